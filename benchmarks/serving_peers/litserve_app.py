"""LitServe: `eager` as its tutorials start it; with our engine a worker a core and batches.

https://lightning.ai/docs/litserve/features/batching and .../parallel-workers
"""

from __future__ import annotations

import os
from typing import Any

import litserve as ls
from predictor import EAGER, MAX_BATCH, PORT, load

WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
BATCH = int(os.environ.get("BENCH_BATCH", str(MAX_BATCH)))


class Classifier(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.net = load(wide=WORKERS == 1)

    def decode_request(self, request):
        return self.net.prepare(request["file"].file.read())

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, x: Any) -> Any:
        return self.net.predict(x) if isinstance(x, list) else self.net.predict([x])[0]

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


def main() -> None:
    if EAGER:
        server = ls.LitServer(Classifier(), accelerator="cpu")
    else:
        api = Classifier(max_batch_size=BATCH, batch_timeout=float(os.environ.get("BENCH_WAIT", "0.005")))
        server = ls.LitServer(
            api,
            accelerator="cpu",
            workers_per_device=WORKERS,
            fast_queue=os.environ.get("BENCH_FAST_QUEUE") == "1",
        )
    server.run(host="127.0.0.1", port=PORT, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()

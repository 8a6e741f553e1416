"""What every peer serves: the same network, as tutorials run it or in our engine; imported in the peers' environments.

`BENCH_MODEL` is the model's folder, `BENCH_WAY` one of `eager` and `engine`, `BENCH_PORT` where to listen.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MODEL = Path(os.environ.get("BENCH_MODEL", "."))
WAY = os.environ.get("BENCH_WAY", "eager")
PORT = int(os.environ.get("BENCH_PORT", "8000"))
EAGER = WAY == "eager"
MAX_BATCH = 4
TOP = 3


class Eager:
    """Torch as tutorials show it: Pillow, torchvision's transforms, `eval`, `inference_mode`, default threads."""

    def __init__(self) -> None:
        import torch
        from torchvision import transforms

        from reel_networks import build, load_weights
        from reel_shared.model_card import WEIGHTS, load_model_card

        self.card = load_model_card(MODEL)
        self.model = build(self.card.architecture, len(self.card.classes))
        load_weights(self.model, MODEL / WEIGHTS)
        self.model.eval()
        self.torch = torch
        self.finish = transforms.Compose([
            transforms.Resize((self.card.size, self.card.size)),
            transforms.ToTensor(),
            transforms.Normalize(self.card.mean, self.card.std),
        ])  # fmt: skip

    def prepare(self, content: bytes) -> Any:
        from PIL import Image
        from torchvision.transforms import functional

        image = Image.open(io.BytesIO(content)).convert("RGB")
        return self.finish(functional.center_crop(image, [min(image.size)] * 2))

    def predict(self, pictures: Sequence[Any]) -> list[dict[str, Any]]:
        with self.torch.inference_mode():
            logits = self.model(self.torch.stack(list(pictures)))
            return answers(logits.softmax(1).numpy(), self.card.classes)


class InEngine:
    """Our preprocessing and our engine; `wide` lets one call use every core, else one thread a process."""

    def __init__(self, *, wide: bool) -> None:
        from reel_inference.engine import load_engine

        options = {"lanes": 0, "wide": True} if wide else {"lanes": 1, "wide": False}
        self.engine = load_engine(MODEL, precision="bf16", max_batch=MAX_BATCH, **options)
        self.lane = None if wide else 0

    def prepare(self, content: bytes) -> Any:
        from reel_shared.images import open_picture, preprocess

        return preprocess(open_picture(content), self.engine.size)

    def predict(self, pictures: Sequence[Any]) -> list[dict[str, Any]]:
        logits = self.engine.infer(np.stack(list(pictures)), self.lane).astype(np.float64)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return answers(exponentials / exponentials.sum(1, keepdims=True), self.engine.card.classes)


def answers(chances: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"predictions": [{"label": classes[i], "probability": float(row[i])} for i in np.argsort(-row)[:TOP]]}
        for row in chances
    ]


def load(*, wide: bool = True) -> Eager | InEngine:
    return Eager() if EAGER else InEngine(wide=wide)

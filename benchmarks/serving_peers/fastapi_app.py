"""Plain FastAPI: a `def` endpoint in the thread pool; with our engine a lock around it.

`eager` has no lock, as tutorials have none.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from predictor import EAGER, PORT, load

app = FastAPI()
model = load(wide=True)
lock = nullcontext() if EAGER else threading.Lock()


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, Any]:
    picture = model.prepare(file.file.read())
    with lock:
        return model.predict([picture])[0]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")

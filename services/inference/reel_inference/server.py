"""The API process of inference: `python -m reel_inference.server`."""

from __future__ import annotations

from reel_inference.api import app
from reel_shared.web.server import main

if __name__ == "__main__":
    main(app)

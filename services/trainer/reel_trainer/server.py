"""The API process of trainer: `python -m reel_trainer.server`."""

from __future__ import annotations

from reel_shared.web.server import main
from reel_trainer.api import app

if __name__ == "__main__":
    main(app)

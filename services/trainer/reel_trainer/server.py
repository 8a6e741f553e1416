"""The API process of trainer: `python -m reel_trainer.server`."""

from __future__ import annotations

from reel_shared.web.server import main

if __name__ == "__main__":
    main("reel_trainer.api:app")

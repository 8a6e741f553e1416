"""The API process of augment: `python -m reel_augment.server`."""

from __future__ import annotations

from reel_shared.web.server import main

if __name__ == "__main__":
    main("reel_augment.api:app")

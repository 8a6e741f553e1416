"""The API process of explainer: `python -m reel_explainer.server`."""

from __future__ import annotations

from reel_shared.web.server import main

if __name__ == "__main__":
    main("reel_explainer.api:app")

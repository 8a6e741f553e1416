"""The API process of the web service, pages and jobs: `python -m reel_web.server`."""

from __future__ import annotations

from reel_shared.web.server import main

if __name__ == "__main__":
    main("reel_web.application:app")

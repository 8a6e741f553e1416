"""The API process of ingest: `python -m reel_ingest.server`."""

from __future__ import annotations

from reel_shared.web.server import main

if __name__ == "__main__":
    main("reel_ingest.api:app")

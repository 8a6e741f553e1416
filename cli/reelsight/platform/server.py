"""The one API process of the embedded platform."""

from __future__ import annotations

from reel_shared.web.server import main

if __name__ == "__main__":
    main("reelsight.platform.application:app")

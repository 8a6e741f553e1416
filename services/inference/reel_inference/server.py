"""The API process of inference: `python -m reel_inference.server`."""

from __future__ import annotations

import sys

from reel_shared.web.server import main

SWITCH_SECONDS = 0.0005
"""How long a thread that wants to run Python waits for another that does; Python's own is ten times as long. A lane
that decodes asks for its turn several times a picture, and its core does nothing meanwhile (5 % of all answers)."""

if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    main("reel_inference.api:app")

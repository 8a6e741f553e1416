"""The worker process of augment: ``python -m reel_augment.worker``."""

from __future__ import annotations

import reel_augment.tasks  # noqa: F401  (registers the job kinds)
from reel_shared.worker import main

if __name__ == "__main__":
    main("augment")

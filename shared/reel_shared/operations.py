"""The part of the typed client for whoever runs the platform: queues; ``client`` adds the rest."""

from __future__ import annotations

from collections.abc import Iterator

from reel_shared.calls import Calls
from reel_shared.contracts import JsonObject


class Operations(Calls):
    """What is asked about the running of the platform, not about pictures and models."""

    def queues(self) -> Iterator[JsonObject]:
        """Yield every queue with what waits and runs in it, and whether it is paused."""
        return self.rows("/v1/queues")

    def pause_queue(self, queue: str, *, reason: str = "") -> JsonObject:
        """Let no worker take a job from a queue until it is resumed. Needs a key with ``admin``."""
        return self.post(f"/v1/queues/{queue}/pause", json={"reason": reason})

    def resume_queue(self, queue: str) -> JsonObject:
        return self.post(f"/v1/queues/{queue}/resume")

    def queue_pauses(self, *, queue: str = "") -> Iterator[JsonObject]:
        """Yield who paused and resumed which queue, the newest first."""
        return self.rows("/v1/queue-pauses", queue=queue)

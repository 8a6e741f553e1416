"""The part of the typed client for whoever runs the platform: queues, webhooks; ``client`` adds the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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

    # --- keys ---------------------------------------------------------------------------------------------

    def keys(self) -> Iterator[JsonObject]:
        """Yield every key, without tokens. Needs a key with ``admin``, as all here."""
        return self.rows("/v1/keys")

    def create_key(self, name: str, scopes: Sequence[str], *, expires_at: str | None = None) -> JsonObject:
        """Make a key; the answer's ``token`` is shown this once. ``expires_at`` is a moment as ISO 8601 writes it."""
        return self.post("/v1/keys", json={"name": name, "scopes": list(scopes), "expires_at": expires_at})

    def revoke_key(self, key_id: str) -> None:
        self._json("DELETE", f"/v1/keys/{key_id}")

    # --- webhooks -----------------------------------------------------------------------------------------

    def webhooks(self) -> Iterator[JsonObject]:
        """Yield the endpoints of this key; everybody's for a key with ``admin``."""
        return self.rows("/v1/webhook-endpoints")

    def add_webhook(self, url: str, **fields: Any) -> JsonObject:
        """Be told of jobs that end; the answer's ``secret`` is shown this once.

        ``fields`` are the other ones of the endpoint's body: ``events``, ``kinds``, ``description``, ``all_jobs``.
        """
        return self.post("/v1/webhook-endpoints", json={"url": url, **fields})

    def roll_webhook_secret(self, endpoint_id: str, *, overlap_hours: float = 24) -> JsonObject:
        """Replace an endpoint's secret; the answer's ``secret`` is shown this once.

        The one before signs too for ``overlap_hours``; 0 when somebody else may know it.
        """
        return self.post(
            f"/v1/webhook-endpoints/{endpoint_id}/roll-secret", json={"overlap_hours": overlap_hours}
        )

    def delete_webhook(self, endpoint_id: str) -> None:
        self._json("DELETE", f"/v1/webhook-endpoints/{endpoint_id}")

    def enable_webhook(self, endpoint_id: str) -> JsonObject:
        return self.post(f"/v1/webhook-endpoints/{endpoint_id}/enable")

    def disable_webhook(self, endpoint_id: str) -> JsonObject:
        return self.post(f"/v1/webhook-endpoints/{endpoint_id}/disable")

    def ping_webhook(self, endpoint_id: str) -> JsonObject:
        """Have a test sent; returns its delivery."""
        return self.post(f"/v1/webhook-endpoints/{endpoint_id}/ping")

    def webhook_deliveries(
        self, endpoint_id: str, *, state: str = "", limit: int = 200
    ) -> Iterator[JsonObject]:
        """Yield what an endpoint was told, the newest first."""
        return self.rows(f"/v1/webhook-endpoints/{endpoint_id}/deliveries", state=state, limit=limit)

    def redeliver_webhook(self, delivery_id: str) -> JsonObject:
        return self.post(f"/v1/webhook-deliveries/{delivery_id}/redeliver")

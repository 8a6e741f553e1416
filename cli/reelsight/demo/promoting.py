"""Lets the full model serve through its gates, in place of the one that saw films only; called by ``mission``."""

from __future__ import annotations

from reel_shared.client import ApiError, Client
from reel_shared.contracts import Gate, GateReport
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts, Promotion
from reelsight.demo.work import MissionFailed

ANEW = "a new run of the demo begins with its own first model"


def begin(client: Client, facts: Facts) -> None:
    """Let the film-only model serve first, whatever an earlier run has left to serve."""
    first = facts.models[FILMS_ONLY].model_id
    earlier = any(row["active"] for row in client.models())
    client.promote(first, force=earlier, reason=ANEW if earlier else "")


def promote(client: Client, facts: Facts) -> None:
    """Promote the full model; its verdict is kept whether it serves or not."""
    model_id = facts.models[EVERYTHING].model_id
    report = client.gates(model_id)
    try:
        client.promote(model_id)
    except ApiError as error:
        if error.code != "gates-failed":
            raise MissionFailed(f"promotion: {error}") from error
    facts.promotion = Promotion(report, serves=bool(client.model(model_id)["active"]))


def be_refused(client: Client, facts: Facts) -> None:
    """Ask for the film-only model back, which must be refused: it is worse on what the full one was judged on."""
    model_id = facts.models[FILMS_ONLY].model_id
    report: GateReport = client.gates(model_id)
    try:
        client.promote(model_id)
    except ApiError as error:
        if error.code != "gates-failed":
            raise MissionFailed(f"promotion: {error}") from error
        failed = [Gate.model_validate(gate) for gate in error.problem["gates"]]
        facts.refusal = Promotion(report, serves=False, failed=failed)
        return
    facts.refusal = Promotion(report, serves=True)
    client.roll_back(reason="it should have been refused")

"""Which model a request means: an id, or ``active``. Called by the trainer, inference and explainer."""

from __future__ import annotations

from sqlalchemy.orm import Session

from reel_shared.contracts import ACTIVE
from reel_shared.db.models import ModelAlias, TrainedModel
from reel_shared.errors import NoModel, NotFound


def find_model(session: Session, model: str) -> TrainedModel:
    """Return the row of an id, or of the model that ``active`` names now. Raises NoModel or NotFound."""
    if model == ACTIVE:
        alias = session.get(ModelAlias, ACTIVE)
        if alias is None:
            raise NoModel("No model is active yet; train one with activate set, or activate one.")
        model = alias.model_id
    row = session.get(TrainedModel, model)
    if row is None:
        raise NotFound(f"There is no model {model}; GET /v1/models lists them.")
    return row

"""Which model a request means: an id, a number or an alias. Called by the trainer, inference and explainer."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import ACTIVE, CANDIDATE, SHADOW
from reel_shared.contracts.registry import NUMBER_PATTERN
from reel_shared.db.models import ModelAlias, TrainedModel
from reel_shared.errors import NoModel, NotFound

_NUMBER = re.compile(NUMBER_PATTERN)


def find_model(session: Session, model: str) -> TrainedModel:
    """Return the row of an id, of a number such as ``v7``, or of what ``active``, ``candidate`` or
    ``shadow`` names now.

    Raises NoModel or NotFound.
    """
    row = _named(session, model)
    if row is None:
        raise NotFound(f"There is no model {model}; GET /v1/models lists them.")
    return row


def _named(session: Session, model: str) -> TrainedModel | None:
    if _NUMBER.fullmatch(model):
        return session.scalar(sa.select(TrainedModel).filter_by(number=int(model[1:])))
    if model not in (ACTIVE, CANDIDATE, SHADOW):
        return session.get(TrainedModel, model)
    alias = session.get(ModelAlias, model)
    if alias is None and model == ACTIVE:
        raise NoModel("No model is active yet; train one with activate set, or activate one.")
    if alias is None:
        raise NotFound(f"No model is the {model}; name one with POST /v1/models/{{model_id}}/{model}.")
    return session.get(TrainedModel, alias.model_id)

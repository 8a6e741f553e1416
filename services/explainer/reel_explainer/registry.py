"""Finds the model that a job names, brings its files from storage and keeps the last ones in memory.

Called by the explainer's tasks, which run one job at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from sqlalchemy.orm import Session

from reel_explainer.fast import FastBody, choose
from reel_explainer.model import ExplainableModel, load_model
from reel_shared.contracts import Evaluation, StoredFile, read_evaluation
from reel_shared.contracts.evaluations import MAX_BYTES
from reel_shared.db.engine import transact
from reel_shared.db.lookups import find_model
from reel_shared.errors import Corrupt, Unprocessable
from reel_shared.model_card import CARD, EVALUATION, WEIGHTS, read_card
from reel_shared.storage import storage

KEPT = 2
CARD_BYTES = 2**20

_loaded: OrderedDict[str, ExplainableModel] = OrderedDict()
_fast: dict[str, FastBody | None] = {}


def explainable(model: str, scratch: Path) -> ExplainableModel:
    """Return the ``active`` model or the one of an id, loading it when it is not in memory.

    Raises:
        NoModel, NotFound: there is none.
        Corrupt: a file is missing or does not match its hash.
    """
    found, files = transact(lambda session: _files(session, model))
    if found not in _loaded:
        _loaded[found] = _load(found, files, scratch)
    _loaded.move_to_end(found)
    while len(_loaded) > KEPT:
        gone, _ = _loaded.popitem(last=False)
        _fast.pop(gone, None)
    return _loaded[found]


def fast_body(model: ExplainableModel, scratch: Path) -> FastBody | None:
    """Return what runs a model's body faster than torch does, or None; made and measured when first asked for."""
    if model.id not in _fast:
        _, files = transact(lambda session: _files(session, model.id))
        _fast[model.id] = choose(model, files, scratch)
    return _fast[model.id]


def evaluation(model: str) -> tuple[str, Evaluation]:
    """Return the id of a model and how it was judged.

    Raises:
        NoModel, NotFound: there is no such model.
        Unprocessable: it was published without its evaluation.
    """
    found, files = transact(lambda session: _files(session, model))
    if EVALUATION not in files:
        raise Unprocessable(
            f"Model {found} was published without its evaluation; its mistakes are not known."
        )
    file = files[EVALUATION]
    return found, read_evaluation(storage().get_bytes(file.key, max_bytes=MAX_BYTES, sha256=file.sha256))


def forget() -> None:
    """Drop the models in memory."""
    _loaded.clear()
    _fast.clear()


def _files(session: Session, model: str) -> tuple[str, dict[str, StoredFile]]:
    row = find_model(session, model)
    return row.id, {name: StoredFile.model_validate(facts) for name, facts in row.files.items()}


def _load(model: str, files: dict[str, StoredFile], scratch: Path) -> ExplainableModel:
    for name in (CARD, WEIGHTS):
        if name not in files:
            raise Corrupt(f"Model {model} has no {name}; train or export it again.")
    card = storage().get_bytes(files[CARD].key, max_bytes=CARD_BYTES, sha256=files[CARD].sha256)
    weights = storage().get_file(files[WEIGHTS].key, scratch / WEIGHTS, sha256=files[WEIGHTS].sha256)
    try:
        return load_model(read_card(card), weights)
    finally:
        weights.unlink()

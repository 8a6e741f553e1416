"""HTTP for how a model was judged."""

from __future__ import annotations

from starlette.responses import Response

from reel_shared.contracts import Evaluation, StoredFile
from reel_shared.contracts.evaluations import MAX_BYTES
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.errors import NotFound
from reel_shared.model_card import EVALUATION
from reel_shared.storage import hasty_storage
from reel_shared.web.auth import Reader
from reel_shared.web.routing import Router
from reel_trainer.api.models import ModelId

router = Router()


@router.get("/v1/models/{model_id}/evaluation", response_model=Evaluation, tags=["models"])
def get_evaluation(model_id: ModelId, _principal: Reader) -> Response:
    """How a model was judged: metrics, calibration, confusion, and its answer to every picture; a file of its own."""
    with reading() as session:
        row = find_model(session, model_id)
        found, stored = row.id, row.files.get(EVALUATION)
    if stored is None:
        raise NotFound(f"{found} was trained before evaluations were stored; train again to get one.")
    file = StoredFile.model_validate(stored)
    data = hasty_storage().get_bytes(file.key, max_bytes=MAX_BYTES, sha256=file.sha256)
    return Response(data, media_type="application/json", headers={"ETag": f'"{file.sha256}"'})

"""HTTP for the report of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from starlette.responses import HTMLResponse, Response

from reel_shared.contracts import StoredFile
from reel_shared.contracts.evaluations import MAX_BYTES
from reel_shared.contracts.reports import Report
from reel_shared.db.engine import reading
from reel_shared.db.lookups import find_model
from reel_shared.errors import NotFound
from reel_shared.model_card import REPORT_HTML, REPORT_JSON
from reel_shared.storage import hasty_storage
from reel_shared.web.auth import Reader
from reel_shared.web.routing import Router
from reel_shared.web.schemas import written_out

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"

router = Router()


@router.get(
    "/v1/models/{model_id}/report",
    tags=["models"],
    response_class=HTMLResponse,
    responses={200: {"content": {"application/json": {"schema": written_out(Report)}}}},
)
def get_report(
    model_id: Annotated[str, Path(description="an id, or `active`", examples=["active"])],
    _principal: Reader,
    format: Literal["html", "json"] = "html",
) -> Response:
    """How it was trained and judged: one HTML page with pictures and plots that asks for nothing from anywhere;
    its figures with `format=json`. The page goes when a picture of its version is taken down, the figures
    stay."""
    name, media_type = (REPORT_JSON, "application/json") if format == "json" else (REPORT_HTML, "text/html")
    with reading() as session:
        row = find_model(session, model_id)
        found, files, takedowns = row.id, dict(row.files), bool(row.takedowns)
    if name not in files:
        raise NotFound(_no_report(found, gone=takedowns and REPORT_JSON in files))
    file = StoredFile.model_validate(files[name])
    content = hasty_storage().get_bytes(file.key, max_bytes=MAX_BYTES, sha256=file.sha256)
    headers = {"Content-Security-Policy": POLICY, "ETag": f'"{file.sha256}"'}
    return Response(content, media_type=media_type, headers=headers)


def _no_report(model: str, *, gone: bool) -> str:
    if gone:
        return (
            f"The report of {model} may have shown a picture that was taken down, and went with it; its figures are "
            "left: ask with format=json."
        )
    return f"Model {model} has no report: it is older than reports, or its notes say why none could be drawn."

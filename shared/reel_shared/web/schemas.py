"""What the API answers besides results: a job, a page, a problem. For OpenAPI and for the typed client."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from reel_shared.contracts import TERMINAL

T = TypeVar("T")


class Progress(BaseModel):
    done: int
    total: int | None
    unit: str
    message: str


class JobUrls(BaseModel):
    self: str
    cancel: str
    events: str


class FieldError(BaseModel):
    pointer: str = Field(examples=["#/every_frames"])
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details. A failed job carries the same object in ``error``."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:reelsight:problem:not-found"])
    title: str
    status: int
    detail: str = Field(description="one sentence that says what is wrong and what to do")
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldError] = Field(default_factory=list)


class JobView(BaseModel):
    """A job as the API shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "job_01978c0de5b47cc2a1c5d0e0ffb2a4c1",
                    "kind": "ingest.extract_frames",
                    "state": "running",
                    "attempt": 1,
                    "progress": {"done": 812, "total": 3600, "unit": "frames", "message": ""},
                    "request": {"label": "mulan", "key": "uploads/6b/6b86b2…4b.mp4", "every_frames": 48},
                    "result": None,
                    "error": None,
                    "created_at": "2026-01-31T12:00:00Z",
                    "started_at": "2026-01-31T12:00:01Z",
                    "finished_at": None,
                    "parent_id": None,
                    "part": None,
                    "urls": {
                        "self": "/v1/jobs/job_01978c0de5b47cc2a1c5d0e0ffb2a4c1",
                        "cancel": "/v1/jobs/job_01978c0de5b47cc2a1c5d0e0ffb2a4c1/cancel",
                        "events": "/v1/jobs/job_01978c0de5b47cc2a1c5d0e0ffb2a4c1/events",
                    },
                    "metadata": {"batch": "spring"},
                }
            ]
        }
    )

    id: str
    kind: str
    state: str = Field(description="queued, running, canceling, succeeded, failed or canceled")
    attempt: int
    progress: Progress
    request: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    parent_id: str | None = Field(default=None, description="the job that this one follows or is a part of")
    part: int | None = Field(
        default=None, description="its number within the parent, when it is a part of it"
    )
    urls: JobUrls
    metadata: dict[str, Any]

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


class Page(BaseModel, Generic[T]):
    data: list[T]
    next_cursor: str | None = Field(description="pass it as `cursor` for the next page; null at the end")


def written_out(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's schema with the models in it written out: a body told by hand has no `$defs` to refer to."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def written(value: Any) -> Any:
        if isinstance(value, list):
            return [written(each) for each in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str) and (name := reference.removeprefix("#/$defs/")) in definitions:
            return written({**definitions[name], **{key: one for key, one in value.items() if key != "$ref"}})
        return {name: written(each) for name, each in value.items()}

    return dict(written(schema))

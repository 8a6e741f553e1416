"""The typed client of the HTTP API, as the command line, the demo and the tests use it. Imports nothing heavy.

Requests are the models of ``contracts``; jobs come back as the API's JSON objects (see ``Client.result``).
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from reel_shared import contracts
from reel_shared.contracts import TERMINAL, JsonObject, Kind, Model, StoredFile
from reel_shared.contracts.curation import ChangeImagesRequest, ImageBatch, Mark, ResolveConflictRequest
from reel_shared.contracts.versions import SplitPinRequest

ResultT = TypeVar("ResultT", bound=Model)
HOLD_SECONDS = 1
"""For so long each look of ``wait`` lets the server hold its answer; so often progress is reported."""

PATHS: dict[Kind, str] = {
    contracts.EXTRACT_FRAMES: "/v1/movies",
    contracts.COLLECT_PICTURES: "/v1/web-collections",
    contracts.IMPORT_DATASET: "/v1/dataset-imports",
    contracts.RANK_SUBJECTS: "/v1/subject-rankings",
    contracts.TAKE_DOWN_PICTURES: "/v1/takedowns",
    contracts.MAKE_VARIANTS: "/v1/variants",
    contracts.BUILD_DATASET_VERSION: "/v1/dataset-versions",
    contracts.TRAIN_MODEL: "/v1/trainings",
    contracts.EXPORT_DATASET: "/v1/exports",
    contracts.CHECK_LABELS: "/v1/label-checks",
    contracts.MEASURE_LEAK_GAP: "/v1/leak-gaps",
    contracts.PREDICT_PICTURES: "/v1/predictions",
    contracts.EXPLAIN_PICTURE: "/v1/explanations",
}


class ApiError(Exception):
    """The API refused, or a job failed; ``problem`` is the RFC 9457 object, the text its one sentence."""

    def __init__(self, problem: JsonObject) -> None:
        self.problem = problem
        self.status: int = problem.get("status", 0)
        super().__init__(problem.get("detail") or problem.get("title") or "The API refused the request.")

    @property
    def code(self) -> str:
        """The last part of the problem's type, such as ``not-found``."""
        return str(self.problem.get("type", "")).rpartition(":")[2]


class Unreachable(ApiError):
    """The API did not answer, however often it was asked."""


class Client:
    """Talks to one Reelsight API. Use it as a context manager, or ``close`` it.

    Whatever may be repeated safely is repeated while the API does not answer, for ``patience`` seconds: reads
    always, and POSTs because each carries an Idempotency-Key of its own.
    """

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        timeout: float = 60.0,
        patience: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.patience = patience
        self._http = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(timeout, connect=5.0),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            transport=transport,
            trust_env=False,
        )

    @property
    def base_url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- submitting ---------------------------------------------------------------------------------------

    def submit(
        self,
        kind: Kind,
        request: Model,
        *,
        metadata: JsonObject | None = None,
        wait: float = 0,
        idempotency_key: str | None = None,
    ) -> JsonObject:
        """Submit a job and return it; with ``wait``, in seconds, return as soon as it has ended.

        Only the fields that were set are sent, so that the server's defaults hold for the others.
        """
        body = request.model_dump(mode="json", exclude_unset=True)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        if wait:
            headers["Prefer"] = f"wait={max(1, round(wait))}"
        return self.post(PATHS[kind], json={**body, "metadata": metadata or {}}, headers=headers)

    def add_movie(
        self, film: Path, *, label: str, metadata: JsonObject | None = None, **fields: Any
    ) -> JsonObject:
        """Upload a film and submit its extraction; ``fields`` are those of ``ExtractFramesRequest``."""
        key = self.upload(film).key
        request = contracts.ExtractFramesRequest(key=key, label=label, **{"title": film.stem[:200], **fields})
        return self.extract_frames(request, metadata=metadata)

    def extract_frames(
        self, request: contracts.ExtractFramesRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.EXTRACT_FRAMES, request, metadata=metadata)

    def collect_pictures(
        self, request: contracts.CollectPicturesRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.COLLECT_PICTURES, request, metadata=metadata)

    def import_dataset(
        self, request: contracts.ImportDatasetRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Read a zip that ``upload`` stored: one of ``export_dataset``, image folders, or pictures with a table."""
        return self.submit(contracts.IMPORT_DATASET, request, metadata=metadata)

    def rank_subjects(
        self, request: contracts.RankSubjectsRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Propose frames that show background only, learnt from those that ``mark_images`` has marked."""
        return self.submit(contracts.RANK_SUBJECTS, request, metadata=metadata)

    def take_down_pictures(
        self, request: contracts.TakeDownPicturesRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Remove a picture for good. Needs a key with ``admin``."""
        return self.submit(contracts.TAKE_DOWN_PICTURES, request, metadata=metadata)

    def takedowns(self) -> Iterator[JsonObject]:
        return self.rows("/v1/takedowns")

    def make_variants(
        self, request: contracts.MakeVariantsRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.MAKE_VARIANTS, request, metadata=metadata)

    def build_dataset_version(
        self, request: contracts.BuildDatasetVersionRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.BUILD_DATASET_VERSION, request, metadata=metadata)

    def train_model(
        self, request: contracts.TrainModelRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.TRAIN_MODEL, request, metadata=metadata)

    def export_dataset(
        self, request: contracts.ExportDatasetRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.EXPORT_DATASET, request, metadata=metadata)

    def check_labels(
        self, request: contracts.CheckLabelsRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.CHECK_LABELS, request, metadata=metadata)

    def measure_leak_gap(
        self, request: contracts.MeasureLeakGapRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.MEASURE_LEAK_GAP, request, metadata=metadata)

    def predict_pictures(
        self, request: contracts.PredictPicturesRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.PREDICT_PICTURES, request, metadata=metadata)

    def explain_picture(
        self, request: contracts.ExplainPictureRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.EXPLAIN_PICTURE, request, metadata=metadata)

    def explain(
        self, picture: Path | bytes, *, labels: list[str] | None = None, model: str = "active"
    ) -> JsonObject:
        """Upload a picture and submit its explanation, for the predicted label or for ``labels``."""
        key = self.upload(picture).key
        return self.explain_picture(
            contracts.ExplainPictureRequest(key=key, labels=labels or [], model=model)
        )

    # --- jobs ---------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JsonObject:
        return self.get(f"/v1/jobs/{job_id}")

    def jobs(
        self, *, state: str = "", kind: str = "", parent_id: str = "", limit: int = 200
    ) -> Iterator[JsonObject]:
        """Yield jobs, the newest first, fetching pages of ``limit`` as they are needed."""
        return self.rows("/v1/jobs", state=state, kind=kind, parent_id=parent_id, limit=limit)

    def wait(
        self,
        job_id: str,
        *,
        on_progress: Callable[[JsonObject], None] | None = None,
        timeout: float | None = None,
    ) -> JsonObject:
        """Return the job once it has ended, however it ended.

        Args:
            on_progress: called with the job as it stands, about once a second.
            timeout: seconds to wait; for ever unless said.

        Raises:
            TimeoutError: the job has not ended by then. It goes on.
        """
        deadline = time.monotonic() + timeout if timeout is not None else None
        while True:
            left = deadline - time.monotonic() if deadline is not None else float(HOLD_SECONDS)
            headers = {"Prefer": f"wait={HOLD_SECONDS}"} if left >= HOLD_SECONDS else {}
            job = self.get(f"/v1/jobs/{job_id}", headers=headers)
            if on_progress is not None:
                on_progress(job)
            if job["state"] in TERMINAL:
                return job
            if left <= 0:
                raise TimeoutError(f"{job_id} is still {job['state']} after {timeout:g} s; it goes on.")
            if not headers:
                time.sleep(min(0.2, left))

    def result(self, job: JsonObject, model: type[ResultT]) -> ResultT:
        """Return an ended job's result as its contract's model.

        Raises:
            ApiError: it failed (with the job's own problem) or was canceled.
        """
        if job["state"] != "succeeded":
            ended = f"The job {job['id']} ({job['kind']}) is {job['state']} and has no result."
            raise ApiError(job["error"] or {"type": f"urn:reelsight:problem:{job['state']}", "detail": ended})
        return model.model_validate(job["result"])

    def cancel(self, job_id: str) -> JsonObject:
        return self.post(f"/v1/jobs/{job_id}/cancel")

    def replay(self, job_id: str) -> JsonObject:
        return self.post(f"/v1/jobs/{job_id}/replay")

    # --- pictures, models, files --------------------------------------------------------------------------

    def predict(self, picture: bytes, *, model: str = "active", top_k: int = 3) -> JsonObject:
        """Return ``contracts.Prediction`` of one picture, at once and without a job."""
        headers = {"Content-Type": "application/octet-stream"}
        path = f"/v1/models/{model}/predict"
        return self.post(path, params={"top_k": top_k}, content=picture, headers=headers)

    def models(self) -> Iterator[JsonObject]:
        return self.rows("/v1/models")

    def model(self, model_id: str) -> JsonObject:
        return self.get(f"/v1/models/{model_id}")

    def activate(self, model_id: str) -> JsonObject:
        return self.post(f"/v1/models/{model_id}/activate")

    def dataset_version(self, dataset_version_id: str) -> JsonObject:
        return self.get(f"/v1/dataset-versions/{dataset_version_id}")

    def leak_certificate(self, dataset_version_id: str) -> JsonObject:
        """Return the leak certificate at full length, with its signature."""
        return self.get(f"/v1/dataset-versions/{dataset_version_id}/certificate")

    def pin_split(self, request: SplitPinRequest) -> JsonObject:
        """Put a scene, a stretch of a film or a picture on a side, from the next dataset version on."""
        return self.post("/v1/split-pins", json=request.model_dump(mode="json", exclude_unset=True))

    def split_pins(self, *, dataset: str = "") -> Iterator[JsonObject]:
        return self.rows("/v1/split-pins", dataset=dataset)

    def unpin_split(self, pin_id: str) -> None:
        self._json("DELETE", f"/v1/split-pins/{pin_id}")

    def diff_versions(self, dataset_version_id: str, *, base: str) -> JsonObject:
        """Return ``contracts.VersionDiff`` from ``base`` to the version."""
        return self.get(f"/v1/dataset-versions/{dataset_version_id}/diff", params={"base": base})

    def images(self, **filters: Any) -> Iterator[JsonObject]:
        return self.rows("/v1/images", **filters)

    # --- what a person decides about pictures -------------------------------------------------------------

    def change_images(self, request: ChangeImagesRequest) -> ImageBatch:
        body = request.model_dump(mode="json", exclude_unset=True)
        return ImageBatch.model_validate(self.post("/v1/image-changes", json=body))

    def undo_changes(self, batch_id: str) -> ImageBatch:
        return ImageBatch.model_validate(self.post(f"/v1/image-changes/{batch_id}/undo"))

    def image_history(self, image_id: str) -> Iterator[JsonObject]:
        return self.rows(f"/v1/images/{image_id}/changes")

    def resolve_conflict(self, keep: str, request: ResolveConflictRequest | None = None) -> ImageBatch:
        """Keep one picture of a conflict; what it contradicts becomes its duplicate."""
        body = request.model_dump(mode="json", exclude_unset=True) if request else {}
        return ImageBatch.model_validate(self.post(f"/v1/images/{keep}/resolve", json=body))

    def mark_images(self, image_ids: Iterable[str], mark: Mark) -> int:
        """Mark frames as ``keep`` or ``background`` for ``rank_subjects``; returns how many."""
        body = {"image_ids": list(image_ids), "mark": mark}
        return int(self.post("/v1/subject-marks", json=body)["marked"])

    def upload(self, file: Path | bytes) -> StoredFile:
        """Store a picture, a film or a zip; a file on disk is streamed. The same content gets the same key."""
        headers = {"Content-Type": "application/octet-stream"}
        if isinstance(file, Path):
            headers["Content-Length"] = str(file.stat().st_size)
        return StoredFile.model_validate(self.post("/v1/uploads", content=file, headers=headers))

    def download(self, url: str) -> bytes:
        """Return the bytes behind a presigned ``url`` of a result. The API key is not sent along."""
        answer = self._repeat(lambda: httpx.get(url, timeout=60.0, trust_env=False))
        if not answer.is_success:
            raise ApiError(
                {"status": answer.status_code, "detail": f"Storage refused the link ({answer.status_code})."}
            )
        return answer.content

    def save(self, url: str, path: Path) -> None:
        """Write the bytes behind a presigned ``url`` to a file, in parts; the file appears when it is whole."""
        part = path.with_name(f"{path.name}.part")
        with httpx.stream("GET", url, timeout=60.0, trust_env=False) as answer:
            if not answer.is_success:
                raise ApiError(
                    {
                        "status": answer.status_code,
                        "detail": f"Storage refused the link ({answer.status_code}).",
                    }
                )
            with part.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        part.replace(path)

    def limits(self) -> JsonObject:
        return self.get("/v1/limits")

    # --- plain requests -----------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> JsonObject:
        return self._json("GET", path, **options)

    def post(self, path: str, **options: Any) -> JsonObject:
        headers = {"Idempotency-Key": uuid.uuid4().hex, **options.pop("headers", {})}
        return self._json("POST", path, headers=headers, **options)

    def rows(self, path: str, **params: Any) -> Iterator[JsonObject]:
        """Yield the rows of any list, page by page."""
        wanted = {name: value for name, value in params.items() if value not in (None, "")}
        while True:
            page = self.get(path, params=wanted)
            yield from page["data"]
            if page["next_cursor"] is None:
                return
            wanted["cursor"] = page["next_cursor"]

    def _json(
        self, method: str, path: str, *, content: Path | bytes | None = None, **options: Any
    ) -> JsonObject:
        def send() -> httpx.Response:
            if isinstance(content, Path):
                with content.open("rb") as file:
                    return self._http.request(method, path, content=file, **options)
            return self._http.request(method, path, content=content, **options)

        answer = self._repeat(send)
        if not answer.is_success:
            raise ApiError(_problem(answer))
        found: JsonObject = answer.json() if answer.content else {}
        return found

    def _repeat(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send again, with backoff, while there is no answer or one that says to come back."""
        deadline = time.monotonic() + self.patience
        pause = 0.1
        while True:
            answer, failure = _attempt(send)
            if answer is not None and not _come_back(answer):
                return answer
            wait = max(pause * random.uniform(0.5, 1.0), _retry_after(answer))
            if time.monotonic() + wait > deadline:
                if answer is None:
                    raise Unreachable(_unreachable(self._http.base_url, failure)) from failure
                return answer
            time.sleep(wait)
            pause = min(pause * 2, 3.0)


def _attempt(send: Callable[[], httpx.Response]) -> tuple[httpx.Response | None, httpx.TransportError | None]:
    try:
        return send(), None
    except httpx.TransportError as error:
        return None, error


def _come_back(answer: httpx.Response) -> bool:
    """Whether asking again may help: the API says so by Retry-After; a proxy's 502 to 504 always may."""
    if answer.status_code not in (429, 502, 503, 504):
        return False
    return "retry-after" in answer.headers or "problem+json" not in answer.headers.get("content-type", "")


def _retry_after(answer: httpx.Response | None) -> float:
    given = answer.headers.get("retry-after", "") if answer is not None else ""
    return float(given) if given.isdecimal() else 0.0


def _unreachable(base_url: httpx.URL, error: Exception | None) -> JsonObject:
    return {
        "type": "urn:reelsight:problem:unreachable",
        "title": "The API does not answer",
        "detail": f"Nothing answers at {base_url} ({type(error).__name__}); is the platform running?",
    }


def _problem(answer: httpx.Response) -> JsonObject:
    try:
        found = answer.json()
        if isinstance(found, dict) and "detail" in found:
            return found
    except ValueError:
        pass
    reason = f"{answer.request.method} {answer.request.url.path} was answered with {answer.status_code}"
    return {"status": answer.status_code, "title": answer.reason_phrase, "detail": f"{reason}."}

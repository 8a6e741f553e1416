"""The typed client of the HTTP API, as the command line, the demo and the tests use it. Imports nothing heavy.

Requests are the models of ``contracts``; jobs come back as the API's JSON objects (see ``Client.result``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from reel_shared import contracts
from reel_shared.calls import ApiError, Unreachable
from reel_shared.contracts import TERMINAL, JsonObject, Kind, Model, StoredFile
from reel_shared.contracts.curation import ChangeImagesRequest, ImageBatch, Mark, ResolveConflictRequest
from reel_shared.contracts.versions import SplitPinRequest
from reel_shared.operations import Operations

__all__ = ["PATHS", "ApiError", "Client", "Unreachable"]

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
    contracts.FIND_LEARNING_RATE: "/v1/learning-rates",
    contracts.PREDICT_PICTURES: "/v1/predictions",
    contracts.EXPLAIN_PICTURE: "/v1/explanations",
    contracts.EXPLAIN_PICTURES: "/v1/explanation-batches",
    contracts.COMPARE_ATTENTION: "/v1/attention-differences",
}


class Client(Operations):
    """Talks to one Reelsight API: a method for each thing that can be asked of it."""

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

    def find_learning_rate(
        self, request: contracts.FindLearningRateRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Try rising rates on a stage for a few steps; the result suggests some and keeps no weights."""
        return self.submit(contracts.FIND_LEARNING_RATE, request, metadata=metadata)

    def predict_pictures(
        self, request: contracts.PredictPicturesRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.PREDICT_PICTURES, request, metadata=metadata)

    def explain_picture(
        self, request: contracts.ExplainPictureRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        return self.submit(contracts.EXPLAIN_PICTURE, request, metadata=metadata)

    def explain(
        self,
        picture: Path | bytes,
        *,
        labels: list[str] | None = None,
        model: str = "active",
        **options: Any,
    ) -> JsonObject:
        """Upload a picture and submit its explanation, for the predicted label or for ``labels``.

        ``options`` are the other fields of ``ExplainPictureRequest``.
        """
        key = self.upload(picture).key
        return self.explain_picture(
            contracts.ExplainPictureRequest(key=key, labels=labels or [], model=model, **options)
        )

    def explain_pictures(
        self, request: contracts.ExplainPicturesRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Explain many pictures: a list, a folder, a model's mistakes, or what a prediction job was not sure of."""
        return self.submit(contracts.EXPLAIN_PICTURES, request, metadata=metadata)

    def explanation_results(self, job_id: str) -> Iterator[JsonObject]:
        """Yield the lines of an ended batch of explanations, each file with a fresh ``url``."""
        for line in self.fetch(f"/v1/explanation-batches/{job_id}/results").splitlines():
            yield json.loads(line)

    def compare_attention(
        self, request: contracts.CompareAttentionRequest, *, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Compare where two models look in the same held-out pictures."""
        return self.submit(contracts.COMPARE_ATTENTION, request, metadata=metadata)

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

    def stop_training(self, job_id: str, *, when: str = "epoch") -> JsonObject:
        """Stop a training ``now`` or after the ``epoch``; ``resume_training`` goes on from its last checkpoint."""
        return self.post(f"/v1/trainings/{job_id}/stop", json={"when": when})

    def resume_training(self, job_id: str) -> JsonObject:
        """Return the new job that goes on with a failed or stopped training."""
        return self.post(f"/v1/trainings/{job_id}/resume", json={})

    def extend_training(self, job_id: str, **fields: Any) -> JsonObject:
        """Return the new job that trains a finished model further; ``fields`` are those of the endpoint's body."""
        return self.post(f"/v1/trainings/{job_id}/extend", json=fields)

    def training_metrics(self, job_id: str) -> JsonObject:
        """Return what a training has told so far: loss by batch, a row an epoch, speed, time left, memory."""
        return self.get(f"/v1/trainings/{job_id}/metrics")

    # --- pictures, models, files --------------------------------------------------------------------------

    def predict(
        self,
        picture: bytes,
        *,
        model: str = "active",
        top_k: int = 3,
        tta: int = 0,
        patience: float | None = None,
    ) -> JsonObject:
        """Return ``contracts.Prediction`` of one picture, at once and without a job.

        Args:
            tta: 1 averages over the picture and its mirror image.
            patience: seconds for which the answer is worth waiting, each time it is asked for.

        Raises:
            ApiError: among others ``deadline-passed``: the model was not reached within ``patience``.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if patience is not None:
            headers["Grpc-Timeout"] = f"{max(1, round(patience * 1000))}m"
        path = f"/v1/models/{model}/predict"
        return self.post(path, params={"top_k": top_k, "tta": tta}, content=picture, headers=headers)

    def models(self, *, tag: str = "") -> Iterator[JsonObject]:
        return self.rows("/v1/models", tag=tag)

    def model(self, model_id: str) -> JsonObject:
        """Return a model by its id, its number such as ``v7``, ``active`` or ``candidate``."""
        return self.get(f"/v1/models/{model_id}")

    def tag_model(self, model_id: str, tags: Iterable[str]) -> JsonObject:
        """Give a model these tags and no others."""
        body = contracts.TagsRequest(tags=list(tags))
        return self._json("PUT", f"/v1/models/{model_id}/tags", json=body.model_dump())

    def remark_on_model(self, model_id: str, text: str) -> JsonObject:
        return self.post(f"/v1/models/{model_id}/remarks", json={"text": text})

    def report(self, model_id: str) -> bytes:
        """Return the report of a model's training, one HTML page."""
        return self.fetch(f"/v1/models/{model_id}/report")

    def report_figures(self, model_id: str) -> JsonObject:
        """Return ``contracts.reports.Report``: what the report says, without its pictures."""
        return self.get(f"/v1/models/{model_id}/report", params={"format": "json"})

    # --- what serves --------------------------------------------------------------------------------------

    def gates(self, model_id: str) -> contracts.GateReport:
        """Return each gate's verdict on a model, against the one that is active now."""
        return contracts.GateReport.model_validate(self.get(f"/v1/models/{model_id}/gates"))

    def promote(self, model_id: str, *, force: bool = False, reason: str = "") -> JsonObject:
        """Let a model serve from now on. Raises ApiError ``gates-failed`` unless its gates pass or ``force`` is set."""
        body = contracts.PromoteRequest(force=force, reason=reason)
        return self.post(f"/v1/models/{model_id}/promote", json=body.model_dump())

    def activate(self, model_id: str) -> JsonObject:
        """Promote a model through its gates."""
        return self.post(f"/v1/models/{model_id}/activate")

    def roll_back(self, *, reason: str = "") -> JsonObject:
        """Let the model serve again that served before the active one; returns it."""
        return self.post("/v1/models/rollback", json={"reason": reason})

    def name_candidate(self, model_id: str, *, reason: str = "") -> JsonObject:
        return self.post(f"/v1/models/{model_id}/candidate", json={"reason": reason})

    def start_shadow(self, model_id: str, *, share: float = 0.1) -> contracts.ShadowReport:
        """Ask a model too, after the active one has answered, for a share of the live predictions."""
        body = contracts.ShadowRequest(share=share)
        answer = self.post(f"/v1/models/{model_id}/shadow", json=body.model_dump())
        return contracts.ShadowReport.model_validate(answer)

    def stop_shadow(self, model_id: str = "shadow") -> None:
        self._json("DELETE", f"/v1/models/{model_id}/shadow")

    def shadow(self) -> contracts.ShadowReport:
        """Return how the shadow compares with the active model so far."""
        return contracts.ShadowReport.model_validate(self.get("/v1/models/shadow"))

    def alias_changes(self, *, alias: str = "") -> Iterator[JsonObject]:
        """Yield who pointed which alias to which model, the newest first."""
        return self.rows("/v1/alias-changes", alias=alias)

    # --- versions, pictures, files ------------------------------------------------------------------------

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

    def unpin_import(self, job_id: str) -> int:
        """Take away every pin that an import has set; returns how many."""
        return int(self._json("DELETE", "/v1/split-pins", params={"job_id": job_id})["removed"])

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

    def limits(self) -> JsonObject:
        return self.get("/v1/limits")

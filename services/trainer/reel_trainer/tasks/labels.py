"""The job ``check_labels``: pictures that are probably filed under a wrong label, as proposals."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy.orm import Session

from reel_shared.contracts import CHECK_LABELS, CheckLabelsRequest, CheckLabelsResult, StoredFile
from reel_shared.db.engine import transact
from reel_shared.db.lookups import find_model
from reel_shared.db.models import DatasetVersion, TrainedModel
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.storage import storage
from reel_trainer import catalogue
from reel_trainer.child import follow
from reel_trainer.label_run import DOUBTS, Spec, originals
from reel_trainer.tasks.fetching import attentive, bring_manifest, bring_pictures, relay


@task(CHECK_LABELS)
def check_labels(context: Context, request: CheckLabelsRequest) -> Outcome:
    """Bring model and pictures here, judge every label out of fold in a child process, store the proposals."""

    def rows(session: Session) -> tuple[DatasetVersion, TrainedModel]:
        return catalogue.whole_version(session, request.dataset_version_id), find_model(
            session, request.model
        )

    version, model = transact(rows)
    folders = {name: context.scratch / name for name in ("out", "cache", "pictures", "model")}
    for folder in folders.values():
        folder.mkdir()
    manifest = bring_manifest(version, context.scratch / "manifest.json")
    for name, file in model.files.items():
        stored = StoredFile.model_validate(file)
        storage().get_file(stored.key, folders["model"] / name, sha256=stored.sha256)
    judged = originals(manifest)
    bring_pictures(context, judged, folders["pictures"])
    spec = Spec(
        manifest=context.scratch / "manifest.json",
        manifest_sha256=version.manifest_sha256,
        pictures=folders["pictures"],
        model=folders["model"],
        seed=request.seed,
        out=folders["out"],
        scratch=folders["cache"],
    )
    follow("reel_trainer.label_run", spec, context.scratch, hear=relay(context), look=attentive(context))
    doubts = [json.loads(line) for line in (spec.out / DOUBTS).read_text().splitlines()]
    result = CheckLabelsResult(
        dataset_version_id=version.id,
        model=model.id,
        images=len(judged),
        doubtful=len(doubts),
        by_label=dict(sorted(Counter(doubt["label"] for doubt in doubts).items())),
        proposals=storage().put_file("reports", spec.out / DOUBTS, "application/jsonl", ".jsonl"),
    )
    return Outcome(result)

"""The child process of a training: ``python -m reel_trainer.run SPEC.json``; started by ``tasks``."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from reel_shared import certificate as certificates
from reel_shared import manifest as manifests
from reel_shared.contracts import Model, SplitCertificate
from reel_shared.cores import usable_cores
from reel_shared.errors import Unprocessable
from reel_shared.imports import without_collections
from reel_shared.manifest import Manifest
from reel_trainer.leaks import certify
from reel_trainer.program import Report, run_program, say
from reel_trainer.recipe import Recipe

RESULT = "result.json"
NOT_HELD_OUT = "Trained on its validation pictures too: its metrics are not held out and prove nothing."


class Spec(Model):
    """``pictures`` is a folder of files named by their SHA-256; ``weights`` a source or a safetensors file."""

    manifest: Path
    manifest_sha256: str
    pictures: Path
    recipe: Recipe
    weights: str
    seed: int
    out: Path
    scratch: Path
    model_id: str
    dataset_version_id: str
    weights_name: str = ""
    already_learnt: int = 0
    """How many validation pictures the weights have learnt before."""
    certificate: Path | None = None
    """The stored leak certificate; None for versions from before it was stored."""
    allow_uncertified: bool = False
    checkpoints: Path | None = None
    """A folder that gets one folder for each epoch; None for none."""
    resume: Path | None = None
    """The checkpoint to go on from."""
    threads: int | None = None


def run(spec: Spec, report: Report) -> None:
    """Train, export and write ``result.json``. Raises ReelError with the reason."""
    manifest = manifests.load(spec.manifest.read_bytes(), sha256=spec.manifest_sha256)
    proof = _checked(spec, manifest)
    # seconds of imports: only once there is something to train on
    with without_collections():
        import torch

        from reel_trainer import preflight
        from reel_trainer.batches import Places
        from reel_trainer.group import ShareDone, join
        from reel_trainer.training import Keeping, train_model

    group = join()
    threads = spec.threads or max(1, usable_cores() // group.here)
    torch.set_num_threads(threads)
    if group.first:
        report = _aloud(report)
        several = f" in each of {group.size} processes" if group.size > 1 else ""
        say(f"torch {torch.__version__}, {threads} threads{several}")
        say(f"recipe {spec.recipe.name}: {spec.recipe.architecture} from {spec.weights_name or spec.weights}")
        preflight.check(
            manifest,
            spec.recipe,
            pictures=spec.pictures,
            scratch=spec.scratch,
            weights=spec.weights,
            tell=lambda message: report(
                "progress", {"done": 0, "total": 1, "unit": "pictures", "message": message}
            ),
        )
    try:
        trained = train_model(
            manifest,
            spec.recipe,
            Places(spec.pictures, spec.scratch),
            weights=spec.weights,
            seed=spec.seed,
            report=report,
            keeping=Keeping(spec.checkpoints, _plan(spec), spec.resume) if spec.checkpoints else None,
            group=group,
        )
    except ShareDone:
        return
    from reel_trainer.export import Identity, export
    from reel_trainer.reporting import report_training

    say(f"trained for {trained.seconds:.0f} s on {trained.device} in {trained.precision}; exporting")
    refit = (NOT_HELD_OUT,) if spec.recipe.train_on_validation else ()
    who = Identity(
        spec.model_id,
        spec.dataset_version_id,
        spec.weights_name or spec.weights,
        manifest_sha256=spec.manifest_sha256,
        certified=proof.certified,
        certificate_sha256=proof.file_sha256,
        held_out=not spec.already_learnt,
        notes=(*proof.notes, *_learnt_before(spec), *trained.notes, *refit),
    )
    card = export(trained, spec.out, manifest=manifest, recipe=spec.recipe, identity_of=who)
    notes = report_training(trained, card, spec.out, split=proof.split, seed=spec.seed)
    result = {
        "recipe": spec.recipe.name,
        "architecture": spec.recipe.architecture,
        "precision": trained.precision,
        "device": trained.device,
        "stages": [stage.model_dump() for stage in trained.stages],
        "metrics": {name: metrics.model_dump() for name, metrics in trained.metrics.items()},
        "epochs": trained.epochs,
        "curve": {stage: [point.model_dump() for point in points] for stage, points in trained.curve.items()},
        "certified": proof.certified,
        "notes": notes,
        "seconds": trained.seconds,
    }
    (spec.out / RESULT).write_text(json.dumps(result))
    for note in notes:
        say(f"note: {note}")
    say("the model is written")


def _aloud(report: Report) -> Report:
    """Also say each epoch in the log."""

    def told(event: str, data: dict[str, Any]) -> None:
        if event == "epoch":
            losses = f"training loss {data['train_loss']:.4f}, validation loss {data['valid_loss']:.4f}"
            say(f"{data['stage']}, epoch {data['epoch']}: {losses}, accuracy {data['accuracy']:.1%}")
        report(event, data)

    return told


def _learnt_before(spec: Spec) -> list[str]:
    if not spec.already_learnt:
        return []
    return [
        f"{spec.already_learnt} validation pictures, or others of their scenes, were learnt before by "
        f"{spec.weights_name} or a model that it extends; the metrics flatter it."
    ]


def _plan(spec: Spec) -> str:
    """Return a digest of what makes a training what it is."""
    facts = [
        spec.manifest_sha256,
        spec.recipe.model_dump_json(
            exclude={"name", "description", "tta", "wanted_accuracy", "int8_accuracy_loss"}
        ),
        spec.weights_name or spec.weights,
        str(spec.seed),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class _Proof(NamedTuple):
    split: SplitCertificate
    certified: bool
    file_sha256: str | None
    notes: tuple[str, ...]


def _checked(spec: Spec, manifest: Manifest) -> _Proof:
    """Check the stored certificate and the split itself once more, by the code of today.

    Raises Corrupt when certificate and manifest do not belong together, Unprocessable for a split that leaks unless
    that is allowed.
    """
    file_sha256, stored = None, None
    if spec.certificate is not None:
        data = spec.certificate.read_bytes()
        stored = certificates.verify(data, manifest_sha256=spec.manifest_sha256)
        file_sha256 = hashlib.sha256(data).hexdigest()
    found = certify(manifest, manifest_sha256=spec.manifest_sha256).summary
    if stored is not None:
        # a manifest does not say all that its making told
        told = {"groups": stored.summary.groups, "warnings": stored.summary.warnings}
        found = found.model_copy(update=told)
    if found.certified and (stored is None or stored.certified):
        return _Proof(found, True, file_sha256, ())
    why = certificates.why_uncertified(found)
    if not spec.allow_uncertified:
        raise Unprocessable(
            f"The dataset version is not certified: {why}. Build it again, or send allow_uncertified: true."
        )
    note = f"Trained on an uncertified dataset version, as was asked for: {why}. Its metrics flatter it."
    return _Proof(found, False, file_sha256, (note,))


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], Spec, run))

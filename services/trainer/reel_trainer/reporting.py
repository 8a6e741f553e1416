"""Makes the report of a finished training; called by ``run``. A training never fails for want of its report."""

from __future__ import annotations

from pathlib import Path

import structlog

from reel_shared.contracts import SplitCertificate
from reel_shared.contracts.evaluations import read_evaluation
from reel_shared.contracts.reports import Report
from reel_shared.model_card import CARD, EVALUATION, REPORT_HTML, REPORT_JSON, ModelCard
from reel_trainer.data import Normalize
from reel_trainer.report.gallery import Decoded
from reel_trainer.report.page import write_report
from reel_trainer.training import Trained

log = structlog.get_logger(__name__)


def report_training(
    trained: Trained, card: ModelCard, folder: Path, *, split: SplitCertificate, seed: int
) -> list[str]:
    """Write ``report.html`` and ``report.json`` beside what ``export`` wrote; return the card's notes.

    Where that goes wrong the card gets a note that says why, and neither file is left.
    """
    try:
        _write(trained, card, folder, split=split, seed=seed)
    except Exception as error:  # whatever it is, the model is trained and checked
        log.exception("report.failed")
        for name in (REPORT_HTML, REPORT_JSON):
            (folder / name).unlink(missing_ok=True)
        note = f"No report could be drawn ({type(error).__name__}: {error}); the evaluation is whole."
        card = card.model_copy(update={"notes": [*card.notes, note]})
        (folder / CARD).write_text(card.model_dump_json(indent=1))
    return card.notes


def _write(trained: Trained, card: ModelCard, folder: Path, *, split: SplitCertificate, seed: int) -> None:
    report = Report(
        evaluation=read_evaluation((folder / EVALUATION).read_bytes()),
        stages=trained.stages,
        epochs=trained.epochs,
        curve=trained.curve,
        recipe=card.recipe,
        weights=card.weights,
        seed=seed,
        precision=trained.precision,
        device=trained.device,
        seconds=trained.seconds,
        split=split,
        certificate_sha256=card.certificate_sha256,
    )
    parts = (trained.answers.valid, trained.answers.probes)
    model = trained.network.model
    write_report(
        report,
        folder,
        model=model,
        normalize=Normalize.of(trained.network.stats, next(model.parameters()).device),
        judged=[Decoded(part.rows, part.cache) for part in parts if part.cache is not None],
    )

"""What a model must show before it serves: each gate's verdict, with figures; called by ``registry``.

Accuracies are compared where both models were judged on the same pictures under the same labels, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reel_shared.contracts import Gate, GateReport, GateState, Metrics
from reel_shared.settings import Gates

PROBE = "probe:"
WHOLE = "all"


@dataclass(frozen=True)
class Standing:
    """What the registry knows of a model that its gates ask for."""

    id: str
    dataset_version_id: str
    metrics: dict[str, Metrics] = field(default_factory=dict)
    held_out: bool = True
    certified: bool = True
    certificate_sha256: str | None = None
    graph_difference: float | None = None
    takedowns: int = 0


def judge(model: Standing, active: Standing | None, wanted: Gates) -> GateReport:
    """Return the verdict of every gate on ``model``, which is to take the place of ``active``."""
    gates = [
        _certificate(model, wanted),
        _held_out(model, wanted),
        _graph(model, wanted),
        _take_downs(model),
        *_least(model, wanted),
        *_against(model, active, wanted),
    ]
    passed = all(gate.state != GateState.FAILED for gate in gates)
    against = active.id if active is not None and active.id != model.id else None
    return GateReport(model_id=model.id, against=against, passed=passed, gates=gates)


def _certificate(model: Standing, wanted: Gates) -> Gate:
    if not wanted.certificate:
        return _off("certificate")
    if not model.certified:
        return _failed("certificate", "Its dataset version leaks, so its figures flatter it.")
    if model.certificate_sha256 is None:
        return _failed(
            "certificate", "No leak certificate is on record for its dataset version; build it again."
        )
    return _passed("certificate", f"Leak certificate {model.certificate_sha256[:12]}… is on record.")


def _held_out(model: Standing, wanted: Gates) -> Gate:
    if not wanted.held_out:
        return _off("held-out")
    if not model.held_out:
        return _failed(
            "held-out", "It was trained on its validation pictures too, so its figures prove nothing."
        )
    return _passed("held-out", "The pictures that judged it were never trained on.")


def _graph(model: Standing, wanted: Gates) -> Gate:
    found, bound = model.graph_difference, wanted.graph_difference
    if found is None:
        return _failed(
            "graph", "No comparison of ONNX with torch is on record; train it again with today's software."
        )
    says = f"ONNX differs from torch by {found:.2g} of the largest logit; {bound:.2g} is allowed."
    make = _passed if found <= bound else _failed
    return make("graph", says, figure=found, bound=bound)


def _take_downs(model: Standing) -> Gate:
    if model.takedowns:
        return _failed(
            "take-downs",
            f"Pictures that it was trained or judged on were taken down ({model.takedowns} take-down(s)); "
            "train on a new dataset version.",
            figure=float(model.takedowns),
            bound=0.0,
        )
    return _passed("take-downs", "None of its pictures was taken down.")


def _least(model: Standing, wanted: Gates) -> Iterator[Gate]:
    for part, bound in wanted.min_accuracy.items():
        found = model.metrics.get(part)
        if found is None:
            yield _failed(
                "accuracy", f"It was not judged on {part}, where {bound:.3f} is asked for.", part, bound=bound
            )
            continue
        says = f"Accuracy on {part} is {found.accuracy:.3f}; {bound:.3f} is asked for."
        make = _passed if found.accuracy >= bound else _failed
        yield make(
            "accuracy", says, part, figure=found.accuracy, interval=found.accuracy_interval, bound=bound
        )


def _against(model: Standing, active: Standing | None, wanted: Gates) -> list[Gate]:
    if not wanted.regression:
        return [_off("regression")]
    if active is None:
        return [
            Gate(
                name="regression", state=GateState.NOT_APPLICABLE, says="No model is active to compare with."
            )
        ]
    if active.id == model.id:
        return [
            Gate(name="regression", state=GateState.NOT_APPLICABLE, says="It is the active model itself.")
        ]
    gates = [_part(model, active, part) for part in _reported(model, active)]
    return [*gates, _comparison(gates, active, wanted)]


def _reported(model: Standing, active: Standing) -> list[str]:
    """Return the parts to compare: the whole, each source, each probe set; styles are too few pictures to tell."""
    both = {*model.metrics, *active.metrics}
    return sorted(part for part in both if ":" not in part or part.startswith(PROBE))


def _part(model: Standing, active: Standing, part: str) -> Gate:
    mine, theirs = model.metrics.get(part), active.metrics.get(part)
    why = _incomparable(model, active, part)
    if why or mine is None or theirs is None:
        return Gate(
            name="regression",
            state=GateState.NOT_COMPARABLE,
            says=f"Not comparable on {part}: {why}.",
            part=part,
            figure=mine.accuracy if mine else None,
            bound=theirs.accuracy if theirs else None,
        )
    loss = least_loss(mine, theirs)
    says = (
        f"Accuracy on {part} is {mine.accuracy:.3f}, the active model's {theirs.accuracy:.3f} on the same "
        f"{mine.images} pictures; "
    )
    says += f"at least {loss:.3f} is lost, beyond chance." if loss > 0 else "no loss beyond chance (95 %)."
    make = _failed if loss > 0 else _passed
    return make(
        "regression",
        says,
        part,
        figure=mine.accuracy,
        interval=mine.accuracy_interval,
        bound=theirs.accuracy,
    )


def _incomparable(model: Standing, active: Standing, part: str) -> str:
    """Return why two figures may not be held against each other; empty when they may."""
    mine, theirs = model.metrics.get(part), active.metrics.get(part)
    if mine is None or theirs is None:
        return f"{'the active model' if theirs is None else 'this one'} was not judged on it"
    if not part.startswith(PROBE) and not (model.held_out and active.held_out):
        return "one of the two was trained on its validation pictures"
    if mine.pictures_sha256 and theirs.pictures_sha256:
        same = mine.pictures_sha256 == theirs.pictures_sha256
    else:  # from before the digest was kept
        same = model.dataset_version_id == active.dataset_version_id and mine.images == theirs.images
    if not same:
        return "the two were judged on other pictures"
    if mine.accuracy_interval is None or theirs.accuracy_interval is None:
        return "too few scenes judged to say what is chance"
    return ""


def least_loss(mine: Metrics, theirs: Metrics) -> float:
    """Return the lower 95 % bound of how much accuracy is lost, from the two intervals; 0 and less is chance.

    The bound is that of Zou and Donner (2008) for the difference of two figures with intervals of their own. The
    active model's interval alone would not do: that of a model without a mistake has no width. Both were judged on
    the same pictures, which makes the true interval narrower: a loss that shows here is real.
    """
    assert mine.accuracy_interval is not None
    assert theirs.accuracy_interval is not None
    down = theirs.accuracy - theirs.accuracy_interval[0]
    up = mine.accuracy_interval[1] - mine.accuracy
    loss = theirs.accuracy - mine.accuracy - math.hypot(down, up)
    return loss if loss > 1e-9 else min(loss, 0.0)


def _comparison(gates: Iterable[Gate], active: Standing, wanted: Gates) -> Gate:
    """Judge whether enough could be compared: the whole, or at least one probe set."""
    compared = [gate.part for gate in gates if gate.state != GateState.NOT_COMPARABLE and gate.part]
    telling = [part for part in compared if part == WHOLE or part.startswith(PROBE)]
    if telling:
        return _passed("comparison", f"Judged on the active model's pictures: {', '.join(compared)}.")
    if not active.held_out:
        says = "The active model was trained on its validation pictures: its figures are none to fall behind."
        return Gate(name="comparison", state=GateState.NOT_COMPARABLE, says=says)
    says = (
        "It was judged on none of the active model's pictures, so nothing says that it is no worse. Build its dataset "
        "version upon the active one's (base_version), keep a probe set"
    )
    if wanted.allow_incomparable:
        return Gate(
            name="comparison", state=GateState.NOT_COMPARABLE, says=f"{says}; it is let pass all the same."
        )
    return _failed("comparison", f"{says}, or force the promotion with a reason.")


def _off(name: str) -> Gate:
    says = "This deployment has switched the gate off."
    return Gate.model_validate({"name": name, "state": GateState.NOT_APPLICABLE, "says": says})


def _passed(name: str, says: str, part: str | None = None, **figures: object) -> Gate:
    return Gate.model_validate(
        {"name": name, "state": GateState.PASSED, "says": says, "part": part, **figures}
    )


def _failed(name: str, says: str, part: str | None = None, **figures: object) -> Gate:
    return Gate.model_validate(
        {"name": name, "state": GateState.FAILED, "says": says, "part": part, **figures}
    )

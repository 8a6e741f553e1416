"""What lets a model serve, gate by gate, without a database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from reel_shared.contracts import GateState, Metrics
from reel_shared.settings import Gates
from reel_trainer.gates import Standing, judge, least_loss

SAME, OTHER = "a" * 64, "b" * 64


def metrics(accuracy, low, high, pictures=SAME, images=50):
    interval = None if low is None else (low, high)
    return Metrics(accuracy=accuracy, images=images, accuracy_interval=interval, pictures_sha256=pictures)


def standing(name="mdl_new", **changes):
    facts = {
        "dataset_version_id": "dsv_1",
        "metrics": {"all": metrics(0.9, 0.85, 0.95)},
        "certificate_sha256": "c" * 64,
        "graph_difference": 1e-6,
    }
    return Standing(id=name, **(facts | changes))


def verdict(report, name, part=None):
    found = [gate for gate in report.gates if (gate.name, gate.part) == (name, part)]
    assert len(found) == 1, report.gates
    return found[0]


def test_the_first_model_has_nothing_to_be_compared_with():
    report = judge(standing(), None, Gates())
    assert report.passed
    assert report.against is None
    assert verdict(report, "regression").state == GateState.NOT_APPLICABLE
    assert [gate.state for gate in report.gates].count(GateState.PASSED) == 4


@pytest.mark.parametrize(
    ("fault", "gate", "says"),
    [
        ({"certified": False}, "certificate", "leaks"),
        ({"certificate_sha256": None}, "certificate", "No leak certificate is on record"),
        ({"held_out": False}, "held-out", "figures prove nothing"),
        ({"graph_difference": None}, "graph", "No comparison of ONNX with torch"),
        ({"graph_difference": 0.01}, "graph", "0.01 of the largest logit; 0.001 is allowed"),
        ({"takedowns": 2}, "take-downs", r"taken down \(2 take-down\(s\)\)"),
    ],
)
def test_each_gate_alone_keeps_a_model_out_and_says_why(fault, gate, says):
    report = judge(standing(**fault), None, Gates())
    assert not report.passed
    assert [each.name for each in report.failed] == [gate]
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(report.failed[0].says)


def test_gates_are_switched_off_by_configuration():
    broken = standing(certified=False, held_out=False, graph_difference=0.01)
    lenient = Gates(certificate=False, held_out=False, graph_difference=0.02, regression=False)
    report = judge(broken, standing("mdl_old"), lenient)
    assert report.passed
    assert {gate.name for gate in report.gates if gate.state == GateState.NOT_APPLICABLE} == {
        "certificate",
        "held-out",
        "regression",
    }


def test_least_accuracies_are_asked_for_by_part():
    wanted = Gates(min_accuracy={"all": 0.8, "probe:sketch": 0.5, "probe:photo": 0.5})
    model = standing(metrics={"all": metrics(0.9, 0.8, 1), "probe:sketch": metrics(0.4, 0.2, 0.6)})
    report = judge(model, None, wanted)
    assert verdict(report, "accuracy", "all").state == GateState.PASSED
    low = verdict(report, "accuracy", "probe:sketch")
    assert (low.state, low.figure, low.bound) == (GateState.FAILED, 0.4, 0.5)
    lacking = verdict(report, "accuracy", "probe:photo")
    assert (lacking.state, lacking.figure) == (GateState.FAILED, None)
    assert "was not judged on probe:photo" in lacking.says
    with pytest.raises(ValidationError):
        Gates(min_accuracy={"all": 80})


def test_a_loss_within_chance_passes_and_one_beyond_it_fails():
    old = standing("mdl_old", metrics={"all": metrics(0.9, 0.86, 0.94), "web": metrics(0.9, 0.8, 0.96)})
    new = standing(metrics={"all": metrics(0.87, 0.82, 0.92), "web": metrics(0.4, 0.3, 0.5)})
    report = judge(new, old, Gates())
    assert verdict(report, "regression", "all").state == GateState.PASSED
    lost = verdict(report, "regression", "web")
    assert (lost.state, lost.figure, lost.bound) == (GateState.FAILED, 0.4, 0.9)
    assert "0.400, the active model's 0.900 on the same 50 pictures; at least 0.359 is lost" in lost.says
    assert (report.against, report.passed) == ("mdl_old", False)


def test_one_more_mistake_than_a_model_without_any_is_no_loss_beyond_chance():
    flawless, nearly = metrics(1.0, 1.0, 1.0), metrics(0.98, 0.94, 1.0)
    assert least_loss(nearly, flawless) == 0.0
    assert least_loss(metrics(0.8, 0.7, 0.9), flawless) == pytest.approx(0.1)
    assert least_loss(flawless, nearly) < 0


def test_figures_of_other_pictures_are_not_held_against_each_other():
    old = standing("mdl_old", metrics={"all": metrics(0.9, 0.88, 0.92), "probe:p": metrics(0.7, 0.6, 0.8)})
    new = standing(metrics={"all": metrics(0.2, 0.1, 0.3, OTHER), "probe:p": metrics(0.7, 0.6, 0.8)})
    report = judge(new, old, Gates())
    assert verdict(report, "regression", "all").state == GateState.NOT_COMPARABLE
    assert verdict(report, "regression", "probe:p").state == GateState.PASSED
    assert verdict(report, "comparison").says == "Judged on the active model's pictures: probe:p."
    assert report.passed

    without = replace(new, metrics={"all": metrics(0.99, 0.98, 1.0, OTHER)})
    report = judge(without, old, Gates())
    assert [gate.name for gate in report.failed] == ["comparison"]
    assert "base_version" in report.failed[0].says
    assert "was not judged on it" in verdict(report, "regression", "probe:p").says
    allowed = judge(without, old, Gates(allow_incomparable=True))
    assert allowed.passed
    assert verdict(allowed, "comparison").state == GateState.NOT_COMPARABLE


def test_models_from_before_digests_compare_on_one_version_only():
    old = standing("mdl_old", metrics={"all": metrics(0.9, 0.86, 0.94, None)})
    assert judge(standing(), old, Gates()).passed
    elsewhere = judge(standing(dataset_version_id="dsv_2"), old, Gates())
    assert [gate.name for gate in elsewhere.failed] == ["comparison"]


def test_figures_that_prove_nothing_or_rest_on_one_scene_are_not_compared():
    flattered = standing("mdl_old", held_out=False, metrics={"all": metrics(1.0, 1.0, 1.0)})
    report = judge(standing(), flattered, Gates())
    assert report.passed
    assert "trained on its validation pictures" in verdict(report, "regression", "all").says
    assert verdict(report, "comparison").state == GateState.NOT_COMPARABLE
    one_scene = standing("mdl_old", metrics={"all": metrics(1.0, None, None)})
    says = verdict(judge(standing(), one_scene, Gates()), "regression", "all").says
    assert "too few scenes" in says

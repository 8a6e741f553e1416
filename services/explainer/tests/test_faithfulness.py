"""Deletion and insertion curves, the weight-randomisation check, and what is said of guided backpropagation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from reel_explainer import judging
from reel_explainer.faithfulness import STEPS, _ranks, blur, curves
from reel_explainer.model import ExplainableModel
from reel_explainer.plots import HEIGHT, WIDTH, curve_plot
from reel_explainer.randomised import cascade, rank_correlation
from reel_shared.contracts import ExplainPictureRequest
from reel_shared.errors import Unprocessable
from reel_shared.images import preprocess

PLAIN = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
SIZE = 64


@pytest.fixture
def red() -> ExplainableModel:
    """Says castle, the surer the more contrast in red there is: what a blur takes away."""
    body = nn.Conv2d(3, 2, 3, bias=False, padding=1, padding_mode="replicate")
    head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        body.weight.zero_()
        body.weight[0, 0] = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])
        head[3].weight.copy_(torch.tensor([[40.0, 0], [0, 0]]))
    for part in (body, head):
        part.requires_grad_(False)
    return ExplainableModel("mdl_red", ("castle", "howl"), SIZE, body, head, *PLAIN)


def chequered() -> np.ndarray:
    """A fine red pattern in the upper left quarter, grey elsewhere."""
    square = np.full((SIZE, SIZE, 3), 90, np.uint8)
    pattern = (np.indices((SIZE // 2, SIZE // 2)).sum(axis=0) // 2 % 2) * 255
    square[: SIZE // 2, : SIZE // 2, 0] = pattern
    return square


def quarter() -> np.ndarray:
    importance = np.zeros((SIZE, SIZE), np.float32)
    importance[: SIZE // 2, : SIZE // 2] = 1
    return importance


def test_the_right_map_is_told_from_the_wrong_one(red: ExplainableModel) -> None:
    right, wrong = (curves(red, chequered(), 0, values) for values in (quarter(), -quarter()))
    assert right.deletion_area < 0.75 < wrong.deletion_area
    assert right.insertion_area > wrong.insertion_area + 0.15
    before, after = (
        red.probabilities(logits_of(red, chequered())),
        red.probabilities(logits_of(red, blur(chequered()))),
    )
    for found in (right, wrong):
        assert len(found.deletion) == len(found.insertion) == STEPS + 1
        assert found.deletion[0] == found.insertion[-1] == pytest.approx(before[0], rel=1e-4)
        assert found.deletion[-1] == found.insertion[0] == pytest.approx(after[0], rel=1e-4)
    assert right.deletion[STEPS // 4 + 1] == pytest.approx(after[0], abs=0.1), "a quarter held all of it"


def logits_of(model: ExplainableModel, square: np.ndarray) -> torch.Tensor:
    return model.head(model.body(model.prepare(square)))[0]


def test_equal_pixels_are_taken_in_an_order_without_a_side() -> None:
    ranks = _ranks(np.zeros((40, 40)))
    assert sorted(ranks.ravel()) == list(range(1600))
    assert ranks[:20].mean() == pytest.approx(ranks[20:].mean(), rel=0.1)
    np.testing.assert_array_equal(ranks, _ranks(np.zeros((40, 40))))
    assert _ranks(np.array([[0.0, 3.0], [1.0, 2.0]])).tolist() == [[3, 0], [2, 1]]


def test_rank_correlation_is_spearmans() -> None:
    dice = np.random.default_rng(0)
    for _ in range(5):
        first, second = dice.integers(0, 6, (2, 9, 9)).astype(np.float32)
        assert rank_correlation(first, second) == pytest.approx(
            spearmanr(first.ravel(), second.ravel()).statistic
        )
    assert rank_correlation(first, first) == pytest.approx(1)
    assert rank_correlation(first, np.zeros((9, 9))) is None


def test_weights_are_shuffled_from_the_head_down_and_the_model_stays(model: ExplainableModel) -> None:
    before = {name: weight.clone() for name, weight in model.body.state_dict().items()}
    head = model.head.state_dict()
    seen, changed = [], []
    for name, shuffled in cascade(model):
        seen.append(name)
        state = shuffled.body.state_dict()
        changed.append({key for key in before if not torch.equal(state[key], before[key])})
        assert shuffled.body is not model.body
        assert any(not torch.equal(shuffled.head.state_dict()[key], head[key]) for key in head)
    assert seen[0] == "head"
    assert len(seen) > 3
    assert changed[0] == set()
    assert all(few < more for few, more in itertools.pairwise(changed))
    kernels = {key for key, weight in before.items() if weight.dim() > 1}
    assert changed[-1] == kernels
    for key in kernels:
        assert torch.equal(state[key].flatten().sort().values, before[key].flatten().sort().values)
    assert all(torch.equal(weight, before[key]) for key, weight in model.body.state_dict().items())


def test_maps_are_judged_and_guided_backpropagation_is_named_for_what_it_is(
    model: ExplainableModel, pictures: list[np.ndarray]
) -> None:
    square = preprocess(pictures[1], model.size)
    label = model.classes[int(logits_of(model, square).argmax())]
    calls = []
    found = judging.judge(
        model, square, [label], ["gradcam", "guided_backprop"], check=lambda: calls.append(1)
    )[label]
    assert len(calls) > 5
    gradcam, guided = found["gradcam"], found["guided_backprop"]
    assert gradcam.curves.deletion[0] == pytest.approx(
        model.probabilities(logits_of(model, square))[model.index(label)], rel=1e-3
    )
    assert (gradcam.note, guided.note) == ("", judging.CAUTION)
    assert "does not depend on the weights" in guided.note
    names = [name for name, _ in gradcam.correlations]
    assert names[0] == "head"
    assert names == [name for name, _ in guided.correlations]
    # it hardly sees that the head was shuffled, which is all that tells one label from another
    assert guided.correlations[0][1] > 0.8
    assert gradcam.depends_on_weights
    assert not guided.depends_on_weights


def test_judging_stops_when_it_is_told_to(model: ExplainableModel, pictures: list[np.ndarray]) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        judging.judge(model, preprocess(pictures[1], model.size), ["howl"], ["gradcam"], check=stop)
    with pytest.raises(Unprocessable, match="no class"):
        judging.judge(model, preprocess(pictures[1], model.size), ["pluto"], ["gradcam"])


def test_at_most_three_labels_are_judged() -> None:
    few = ExplainPictureRequest(key="uploads/a.jpg", labels=["a", "b", "c"], faithfulness=True)
    assert few.faithfulness
    with pytest.raises(ValueError, match="at most 3 labels"):
        ExplainPictureRequest(key="uploads/a.jpg", labels=["a", "b", "c", "d"], faithfulness=True)


def test_the_plot_shows_both_curves(red: ExplainableModel) -> None:
    drawn = curve_plot(curves(red, chequered(), 0, quarter()))
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    colours = drawn.reshape(-1, 3).astype(int)
    assert (colours[:, 0] > colours[:, 2] + 100).sum() > 100
    assert (colours[:, 2] > colours[:, 0] + 100).sum() > 100

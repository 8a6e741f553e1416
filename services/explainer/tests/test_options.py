"""What may be asked for beside the usual drawings: arrays, differences, channels, panels, fades, other scales."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

from reel_explainer.explain import Asked, PictureExplanation, explain_picture, explain_squares
from reel_explainer.model import ExplainableModel, frozen
from reel_networks.gradcam import channel_weights, run_body, run_head
from reel_shared.contracts import ExplanationOptions
from reel_shared.images import preprocess


@pytest.fixture(scope="module")
def resnet(network: Callable[[str], nn.Sequential], make_card) -> ExplainableModel:
    return frozen(network("resnet18"), make_card("resnet18", {}))


@pytest.fixture
def explained(resnet: ExplainableModel, pictures: list[np.ndarray]) -> Callable[..., PictureExplanation]:
    def do(labels: tuple[str, ...] = ("kiki", "howl"), **options: object) -> PictureExplanation:
        return explain_picture(resnet, pictures[1], labels, ExplanationOptions(**options))

    return do


def read(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


def loaded(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


def test_nothing_beyond_the_drawings_is_made_unless_asked_for(explained) -> None:
    found = explained()
    assert (found.difference, found.features, found.panel, found.animation) == (None, [], None, None)
    assert all(set(one.drawings) == {"gradcam", "guided"} and not one.arrays for one in found.explanations)


def test_arrays_are_the_raw_values_behind_the_drawings(explained, resnet, pictures) -> None:
    methods = ["gradcam", "guided", "guided_backprop"]
    one = explained(("kiki",), methods=methods, outputs=["npy"]).explanations[0]
    assert not one.drawings
    arrays = {method: loaded(data) for method, data in one.arrays.items()}
    np.testing.assert_array_equal(arrays["gradcam"], one.heat)
    size = resnet.size
    assert arrays["guided_backprop"].shape == arrays["guided"].shape == (3, size, size)
    assert all(array.dtype == np.float32 for array in arrays.values())
    heat = torch.from_numpy(one.heat)[None, None]
    heat = nn.functional.interpolate(heat - heat.min(), size=(size, size), mode="bilinear")[0, 0]
    expected = arrays["guided_backprop"] * (heat / np.ptp(one.heat)).numpy()
    np.testing.assert_allclose(arrays["guided"], expected, atol=1e-6 * np.abs(expected).max() + 1e-12)


def test_the_difference_of_two_labels_is_that_of_their_heats(explained, resnet) -> None:
    found = explained(("kiki", "howl", "castle"), difference=True, methods=["gradcam"], rectify=False)
    first, second, _ = found.explanations
    assert found.difference.labels == ("kiki", "howl")
    np.testing.assert_allclose(found.difference.change, first.heat - second.heat)
    drawn = read(found.difference.picture).astype(int)
    reddest = np.unravel_index(np.argmax(found.difference.change), found.difference.change.shape)
    cell = resnet.size // first.heat.shape[0]
    middle = drawn[reddest[0] * cell + cell // 2, reddest[1] * cell + cell // 2]
    assert middle[0] > middle[2]
    other = explained(("howl", "kiki"), difference=True, methods=["gradcam"], rectify=False)
    np.testing.assert_allclose(other.difference.change, -found.difference.change)


def test_without_two_labels_the_likeliest_are_set_against_each_other(explained) -> None:
    found = explained((), difference=True, methods=["gradcam"])
    likeliest = tuple(label for label, _ in found.predictions[:2])
    assert found.difference.labels == likeliest
    named = explained(("mulan",), difference=True, methods=["gradcam"])
    assert named.difference.labels[0] == "mulan"
    assert named.difference.labels[1] == next(label for label, _ in named.predictions if label != "mulan")


def test_the_actual_label_is_explained_where_the_model_says_otherwise(resnet, pictures) -> None:
    options = ExplanationOptions(methods=["gradcam"])
    top = explain_picture(resnet, pictures[1], (), options).predictions[0][0]
    other = next(label for label in resnet.classes if label != top)
    wrong = explain_picture(resnet, pictures[1], (), options, actual=other)
    assert [one.label for one in wrong.explanations] == [top, other]
    right = explain_picture(resnet, pictures[1], (), options, actual=top)
    assert [one.label for one in right.explanations] == [top]


def test_heat_against_a_label_stays_when_it_is_not_rectified(explained) -> None:
    kept = explained(methods=["gradcam"], rectify=False).explanations
    usual = explained(methods=["gradcam"]).explanations
    assert min(one.heat.min() for one in kept) < 0
    for signed, plain in zip(kept, usual, strict=True):
        np.testing.assert_allclose(signed.heat.clip(0), plain.heat, atol=1e-7)
        assert signed.border_share == pytest.approx(plain.border_share, rel=1e-4)


def test_on_a_shared_scale_the_weaker_label_is_paler(explained) -> None:
    labels = ("castle", "howl", "kiki", "mulan", "tarzan")
    looks = {"methods": ["gradcam"], "colormap": "gray", "alpha": 1.0}
    shared = explained(labels, scale="shared", **looks).explanations
    peaks = {one.label: one.heat.max() for one in shared}
    weakest, strongest = min(peaks, key=peaks.get), max(peaks, key=peaks.get)
    drawn = {one.label: int(read(one.gradcam).max()) for one in shared}
    assert drawn[strongest] > 240
    assert drawn[weakest] == pytest.approx(255 * peaks[weakest] / peaks[strongest], abs=8)
    each = explained(labels, **looks).explanations
    assert all(int(read(one.gradcam).max()) > 200 for one in each if one.heat.any())


def test_the_style_of_the_author_stretches_gradient_and_heat(explained) -> None:
    one = explained(("kiki",), methods=["guided"], outputs=["npy", "overlay"], guided_style="stretched")
    values = loaded(one.explanations[0].arrays["guided"])
    assert values.min() == 0
    assert 0.2 < values.max() <= 1
    signed = explained(("kiki",), methods=["guided"], outputs=["npy"])
    assert loaded(signed.explanations[0].arrays["guided"]).min() < 0
    np.testing.assert_allclose(
        read(one.explanations[0].guided), values.transpose(1, 2, 0) * 255, atol=0.5 + 1e-4
    )


def test_channels_are_ranked_by_activity_and_by_what_they_add_to_a_label(explained, resnet, pictures) -> None:
    found = explained(("kiki", "howl"), features=7, methods=["gradcam"])
    active, kiki, howl = found.features
    assert [sheet.label for sheet in found.features] == [None, "kiki", "howl"]
    x = resnet.prepare(preprocess(pictures[1], resnet.size))
    run = run_head(resnet.head, run_body(resnet.body, x))
    mean = run.activation.detach()[0].mean(dim=(1, 2))
    assert [one.channel for one in active.channels] == mean.argsort(descending=True)[:7].tolist()
    added = mean * channel_weights(run, torch.tensor([[2]]))[0, 0]
    assert [one.channel for one in kiki.channels] == added.argsort(descending=True)[:7].tolist()
    best = kiki.channels[0]
    assert best.share == pytest.approx(float(added.max() / added.clamp_min(0).sum()), rel=1e-3)
    assert best.weight > 0
    assert active.channels[0].weight is None
    assert read(kiki.picture).shape == read(howl.picture).shape


def test_the_panel_stands_in_the_order_of_the_article(explained, resnet) -> None:
    found = explained(outputs=["overlay", "panel"])
    drawn, size = read(found.panel), resnet.size
    assert drawn.shape[1] == 5 * size  # original, heat and guided of two labels
    columns = [drawn[-size:, place * size : (place + 1) * size] for place in range(5)]
    np.testing.assert_array_equal(columns[0], found.square)
    first, second = found.explanations
    for column, file in zip(
        columns[1:], (first.gradcam, first.guided, second.gradcam, second.guided), strict=True
    ):
        np.testing.assert_array_equal(column, read(file))


def test_the_animation_goes_from_one_label_to_the_other_and_back(explained, resnet) -> None:
    found = explained(outputs=["overlay", "animation"], methods=["gradcam"])
    image = Image.open(io.BytesIO(found.animation))
    assert image.format == "GIF"
    frames = [np.array(frame.convert("RGB"))[-resnet.size :] for frame in ImageSequence.Iterator(image)]
    first, second = (read(one.gradcam).astype(int) for one in found.explanations)
    near = [(np.abs(frame - first).mean(), np.abs(frame - second).mean()) for frame in frames]
    assert len(frames) > 6
    assert near[0][0] < near[0][1] / 2
    assert min(other for _, other in near) < near[0][1] / 2
    assert image.info["loop"] == 0


def test_a_batch_answers_as_each_picture_alone(resnet, pictures) -> None:
    squares = [preprocess(picture, resnet.size) for picture in pictures]
    asked = [Asked(("kiki",)), Asked((), "castle"), Asked(("howl", "mulan"))]
    options = ExplanationOptions(outputs=["npy"])
    together = explain_squares(resnet, squares, asked, options)
    for square, one, found in zip(squares, asked, together, strict=True):
        (alone,) = explain_squares(resnet, [square], [one], options)
        assert [e.label for e in found.explanations] == [e.label for e in alone.explanations]
        for ours, theirs in zip(found.explanations, alone.explanations, strict=True):
            scale = np.abs(theirs.heat).max()
            np.testing.assert_allclose(ours.heat, theirs.heat, atol=1e-4 * scale)
            a, b = loaded(ours.arrays["guided"]), loaded(theirs.arrays["guided"])
            np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())

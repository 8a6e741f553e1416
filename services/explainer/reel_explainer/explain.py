"""Explains pictures: probabilities, and for each label asked for where and what the model saw, drawn as files.

Called by the explainer's tasks; pictures in, files out. The arithmetic lies in ``maps``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reel_explainer import sheets
from reel_explainer.features import Channel, ChannelRanking, heaviest, most_active
from reel_explainer.guided import guided_gradcam, stretched, stretched_gradcam
from reel_explainer.maps import Maps, look, ranked
from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import (
    Pixels,
    difference_picture,
    guided_picture,
    heat_overlay,
    npy,
    png,
    stretched_picture,
)
from reel_networks.attention import border_share
from reel_networks.gradcam import normalise
from reel_shared.contracts import ExplanationOptions
from reel_shared.contracts.explanations import Method
from reel_shared.images import preprocess

if TYPE_CHECKING:
    from reel_explainer.engine import FeatureEngine

DEFAULTS = ExplanationOptions()


@dataclass(frozen=True)
class Asked:
    """What to explain in a picture: these labels, or the predicted one, and what it truly shows, if that is known."""

    labels: Sequence[str] = ()
    actual: str | None = None


@dataclass(frozen=True)
class LabelExplanation:
    """What speaks for one label. Each method's file is there when it was asked for."""

    label: str
    probability: float
    heat: NDArray[np.float32]
    """(h, w), raw, in the logit's scale: the heats of two labels compare."""
    border_share: float | None
    drawings: dict[Method, bytes]
    """PNG."""
    arrays: dict[Method, bytes]
    """npy."""

    @property
    def gradcam(self) -> bytes | None:
        return self.drawings.get("gradcam")

    @property
    def guided(self) -> bytes | None:
        return self.drawings.get("guided")


@dataclass(frozen=True)
class LabelDifference:
    labels: tuple[str, str]
    change: NDArray[np.float32]
    """(h, w), the first's heat less the second's."""
    picture: bytes


@dataclass(frozen=True)
class FeatureSheet:
    label: str | None
    channels: list[Channel]
    picture: bytes


@dataclass(frozen=True)
class PictureExplanation:
    square: Pixels
    """(size, size, 3): the part of the picture that the model saw, as it saw it."""
    predictions: list[tuple[str, float]]
    """Every class with its probability, the likeliest first."""
    explanations: list[LabelExplanation]
    difference: LabelDifference | None = None
    features: list[FeatureSheet] = field(default_factory=list)
    panel: bytes | None = None
    animation: bytes | None = None


def explain_picture(
    model: ExplainableModel,
    picture: NDArray[np.uint8],
    labels: Sequence[str] = (),
    options: ExplanationOptions = DEFAULTS,
    *,
    actual: str | None = None,
    fast: FeatureEngine | None = None,
) -> PictureExplanation:
    """Explain an RGB picture (H, W, 3) for the given labels, or for the predicted one when there are none.

    The body runs forward once, whatever is asked for; each label costs a backward through the head, and
    with a guided method one through the whole network.

    Raises:
        Unprocessable: a label that there is not, or a guided method for a network without ReLU.
    """
    square = preprocess(picture, model.size)
    (found,) = explain_squares(model, [square], [Asked(labels, actual)], options, fast=fast)
    return found


def explain_squares(
    model: ExplainableModel,
    squares: Sequence[Pixels],
    asked: Sequence[Asked],
    options: ExplanationOptions = DEFAULTS,
    *,
    fast: FeatureEngine | None = None,
) -> list[PictureExplanation]:
    """Likewise for pictures that ``preprocess`` has cut (size, size, 3), in one batch.

    Args:
        fast: runs the body in torch's place where no guided method is asked for.
    """
    named = [[model.index(label) for label in dict.fromkeys(one.labels)] for one in asked]
    actual = [None if one.actual is None else model.index(one.actual) for one in asked]
    least = 2 if options.difference or "animation" in options.outputs else 1

    def choose(place: int, likeliest: list[int]) -> list[int]:
        chosen = named[place] or likeliest[:1]
        if len(chosen) < least:
            chosen = [*chosen, *(label for label in likeliest if label not in chosen)][:least]
        true = actual[place]
        return chosen if true is None or true in chosen else [*chosen, true]

    guided = is_guided(options)
    maps = look(model, squares, choose, guided=guided, rectify=options.rectify, fast=None if guided else fast)
    return [_explained(model, square, maps, place, options) for place, square in enumerate(squares)]


def is_guided(options: ExplanationOptions) -> bool:
    """Whether a method is asked for that needs the whole network's gradient."""
    return bool({"guided", "guided_backprop"} & set(options.methods))


def _explained(
    model: ExplainableModel, square: Pixels, maps: Maps, place: int, options: ExplanationOptions
) -> PictureExplanation:
    chances, labels = maps.chances[place], maps.labels[place]
    names = [model.classes[index] for index in labels]
    heat = maps.heat[place, : len(labels)]
    gradients = None if maps.gradients is None else maps.gradients[place, : len(labels)]
    drawn = _Drawn(square, heat, gradients, options)
    explanations = [
        LabelExplanation(
            label=names[number],
            probability=chances[index],
            heat=_array(heat[number]),
            border_share=border_share(_array(heat[number].clamp_min(0))),
            drawings=drawn.files(number) if "overlay" in options.outputs else {},
            arrays=drawn.arrays(number) if "npy" in options.outputs else {},
        )
        for number, index in enumerate(labels)
    ]
    titles = [f"{number}. {one.label} {one.probability:.3f}" for number, one in enumerate(explanations, 1)]
    return PictureExplanation(
        square,
        [(model.classes[index], chances[index]) for index in ranked(chances)],
        explanations,
        difference=_difference(square, names, heat, options) if options.difference else None,
        features=_features(maps, place, names, options) if options.features else [],
        panel=drawn.panel(titles) if "panel" in options.outputs else None,
        animation=drawn.animation(titles) if "animation" in options.outputs else None,
    )


class _Drawn:
    """One picture's drawings, each made when it is first asked for."""

    def __init__(
        self, square: Pixels, heat: Tensor, gradients: Tensor | None, options: ExplanationOptions
    ) -> None:
        self._square, self._heat, self._gradients, self._options = square, heat, gradients, options
        self._pixels: dict[tuple[Method, int], Pixels] = {}

    def files(self, number: int) -> dict[Method, bytes]:
        return {method: png(self.pixels(method, number)) for method in self._options.methods}

    def arrays(self, number: int) -> dict[Method, bytes]:
        return {method: npy(_array(self._values(method, number))) for method in self._options.methods}

    def panel(self, titles: Sequence[str]) -> bytes:
        """The order of the article: the picture, then each label's drawings."""
        columns = [("original", self._square)]
        for number, title in enumerate(titles):
            columns += [(title, self.pixels(method, number)) for method in self._options.methods]
        return sheets.panel(columns)

    def animation(self, titles: Sequence[str]) -> bytes | None:
        if len(titles) < 2:
            return None
        method = self._options.methods[0]
        first, second = ((titles[number], self.pixels(method, number)) for number in (0, 1))
        return sheets.fading(first, second)

    def pixels(self, method: Method, number: int) -> Pixels:
        if (method, number) not in self._pixels:
            self._pixels[method, number] = self._draw(method, number)
        return self._pixels[method, number]

    def _draw(self, method: Method, number: int) -> Pixels:
        options = self._options
        if method == "gradcam":
            return heat_overlay(
                self._square,
                _array(self._shown_heat(number)),
                alpha=options.alpha,
                colormap=options.colormap,
                interpolation=options.interpolation,
            )
        if options.guided_style == "stretched":
            shown = self._values(method, number)
            return stretched_picture(_array(stretched(shown) if method == "guided_backprop" else shown))
        return guided_picture(_array(self._values(method, number)))

    def _shown_heat(self, number: int) -> Tensor:
        """One label's heat (h, w) in 0..1."""
        if self._options.scale == "each":
            return normalise(self._heat[number])
        together = normalise(self._heat.flatten(0, 1))
        return together.reshape(self._heat.shape)[number]

    def _values(self, method: Method, number: int) -> Tensor:
        heat = self._heat[number]
        if method == "gradcam":
            return heat
        assert self._gradients is not None
        gradient = self._gradients[number]
        if method == "guided_backprop":
            return gradient
        combine = stretched_gradcam if self._options.guided_style == "stretched" else guided_gradcam
        return combine(gradient, heat)


def _difference(
    square: Pixels, names: Sequence[str], heat: Tensor, options: ExplanationOptions
) -> LabelDifference | None:
    """None for a model of one class."""
    if len(names) < 2:
        return None
    change = _array(heat[0] - heat[1])
    drawn = difference_picture(square, change, alpha=options.alpha, interpolation=options.interpolation)
    return LabelDifference((names[0], names[1]), change, png(drawn))


def _features(
    maps: Maps, place: int, names: Sequence[str], options: ExplanationOptions
) -> list[FeatureSheet]:
    activation = maps.activation[place]
    rankings: list[tuple[str | None, ChannelRanking]] = [(None, most_active(activation, options.features))]
    for number, name in enumerate(names):
        rankings.append((name, heaviest(activation, maps.weights[place, number], options.features)))
    return [
        FeatureSheet(
            label,
            ranking.channels,
            sheets.contact_sheet(
                _array(ranking.maps),
                [f"{one.channel}  {one.share:.1%}" for one in ranking.channels],
                colormap=options.colormap,
            ),
        )
        for label, ranking in rankings
    ]


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().to(torch.float32).numpy()
    return array

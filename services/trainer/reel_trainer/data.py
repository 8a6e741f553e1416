"""Turns the pictures of a training into batches; called by ``batches``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from fastai.vision.augment import aug_transforms
from fastai.vision.core import TensorImage

from reel_networks import InputStats
from reel_shared.contracts import Source
from reel_trainer.cache import Corner, PictureCache
from reel_trainer.recipe import Transforms

Batch = tuple[torch.Tensor, torch.Tensor]
Change = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Normalize:
    """uint8 (N, H, W, 3) to normalised float32 (N, 3, H, W) in channels-last memory, always explicitly."""

    mean: torch.Tensor
    std: torch.Tensor
    augment: Change | None

    @classmethod
    def of(cls, stats: InputStats, device: torch.device, *, augment: Change | None = None) -> Normalize:
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in stats)
        return cls(mean, std, augment)

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        x = pictures.permute(0, 3, 1, 2).float().div_(255)
        if self.augment is not None:
            x = self.augment(x)
        return x.sub_(self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)


def augmentation(transforms: Transforms, size: int) -> Change:
    """Return fastai's batch transforms from any square float batch to ``size``, with values kept in 0..1."""
    changes = aug_transforms(
        do_flip=transforms.flip,
        max_rotate=transforms.max_rotate,
        max_zoom=transforms.max_zoom,
        max_lighting=transforms.max_lighting,
        max_warp=transforms.max_warp,
        p_affine=transforms.p_affine,
        p_lighting=transforms.p_lighting,
        size=size,
    )

    def change(x: torch.Tensor) -> torch.Tensor:
        picture: Any = TensorImage(x)
        for transform in sorted(changes, key=lambda t: t.order):
            picture = transform(picture, split_idx=0)
        plain: torch.Tensor = picture.as_subclass(torch.Tensor)
        if plain.shape[-1] != size:
            plain = torch.nn.functional.interpolate(plain, size=(size, size), mode="bilinear", antialias=True)
        return plain.clamp_(0, 1)

    return change


class Share(NamedTuple):
    """Which of the processes that train together this one is, and how many there are."""

    rank: int = 0
    of: int = 1


class PictureLoader:
    """Batches from a cache: shuffled or balanced for training (last partial one dropped), in order otherwise.

    ``batch_size`` pictures make one update of the weights. They come in ``parts``, each divided among the processes
    that train together; sizes differ by one at most. All processes draw the same numbers, whatever their share.
    """

    def __init__(
        self,
        cache: PictureCache,
        labels: npt.NDArray[np.int64],
        normalize: Normalize,
        *,
        batch_size: int,
        device: torch.device,
        parts: int = 1,
        share: Share = Share(),
        rng: np.random.Generator | None = None,
        cells: Sequence[tuple[str, str]] | None = None,
        web_share: float | None = None,
    ) -> None:
        self.cache, self.labels, self.normalize = cache, labels, normalize
        self.batch_size, self.device, self.rng = batch_size, device, rng
        self.parts, self.share = parts, share
        self.cells, self.web_share = cells, web_share

    @property
    def trains(self) -> bool:
        return self.rng is not None

    def __len__(self) -> int:
        if self.trains:
            return len(self.cache) // self.batch_size * self.parts
        return -(-len(self._own) // self.batch_size)

    @property
    def images(self) -> int:
        """How many pictures one pass of all processes yields."""
        return len(self.cache) // self.batch_size * self.batch_size if self.trains else len(self.cache)

    def __iter__(self) -> Iterator[Batch]:
        return self._training(self.rng) if self.rng is not None else self._judging()

    def _training(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = self._order()
        for start in range(0, self.images, self.batch_size):
            shares = np.array_split(order[start : start + self.batch_size], self.parts * self.share.of)
            for part in range(self.parts):
                for rank, indices in enumerate(shares[part * self.share.of : (part + 1) * self.share.of]):
                    corners = self.cache.corners(indices.tolist(), rng)
                    if rank == self.share.rank:
                        own = self._batch(indices, corners)
                yield own

    def _judging(self) -> Iterator[Batch]:
        for start in range(0, len(self._own), self.batch_size):
            indices = self._own[start : start + self.batch_size]
            yield self._batch(indices, self.cache.corners(indices.tolist()))

    @property
    def _own(self) -> npt.NDArray[np.int64]:
        return np.array_split(np.arange(len(self.cache)), self.share.of)[self.share.rank]

    def _batch(self, indices: npt.NDArray[np.int64], corners: list[Corner]) -> Batch:
        squares = torch.from_numpy(self.cache.cut(indices.tolist(), corners))
        labels = torch.from_numpy(self.labels[indices])
        x = squares.to(self.device, non_blocking=True)
        return self.normalize(x), labels.to(self.device, non_blocking=True)

    def _order(self) -> npt.NDArray[np.int64]:
        assert self.rng is not None
        if self.cells is None:
            return self.rng.permutation(len(self.cache))
        return balanced_order(self.cells, self.rng, web_share=self.web_share)


def balanced_order(
    cells: Sequence[tuple[str, str]], rng: np.random.Generator, *, web_share: float | None = None
) -> npt.NDArray[np.int64]:
    """Return as many indices as ``cells``, the (class, source) of each picture, in a random order.

    Every class comes equally often, and in it every source; or with ``web_share`` web pictures make up that part of
    each class and film frames the rest, to the picture. A class with one source has all of its draws from that. A
    scarce source repeats its pictures, none twice more than another; of a plentiful one each epoch takes another part.
    """
    members: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (label, source) in enumerate(cells):
        members[label][source].append(index)
    if web_share is None:
        # rounded up, and what is too much falls off the end of the shuffled whole
        counts = {
            (label, source): -(-len(cells) // (len(members) * len(sources)))
            for label, sources in members.items()
            for source in sources
        }
    else:
        counts = _counts(members, len(cells), web_share, rng)
    drawn: list[npt.NDArray[np.int64]] = []
    for label in sorted(members):
        for source, indices in sorted(members[label].items()):
            count = counts[label, source]
            rounds = -(-count // len(indices))
            repeated = [rng.permutation(indices) for _ in range(rounds)]
            drawn.append(np.concatenate([np.empty(0, np.int64), *repeated])[:count])
    return rng.permutation(np.concatenate(drawn))[: len(cells)]


def _counts(
    members: Mapping[str, Mapping[str, Sequence[int]]], total: int, web_share: float, rng: np.random.Generator
) -> dict[tuple[str, str], int]:
    """Return how often to draw from each class's sources, ``total`` in all; who gets a remainder is drawn too."""
    each, rest = divmod(total, len(members))
    counts: dict[tuple[str, str], int] = {}
    for place, label in enumerate(rng.permutation(sorted(members)).tolist()):
        count = each + (place < rest)
        # a fraction of a picture is drawn as one with that probability, so that the mean over epochs is exact
        web = int(count * web_share + rng.random())
        if len(members[label]) == 1:
            web = count if Source.WEB in members[label] else 0
        counts |= {(label, Source.WEB.value): web, (label, Source.MOVIE.value): count - web}
    return counts


class Loaders(NamedTuple):
    """What fastai's Learner asks of its data."""

    train: PictureLoader
    valid: PictureLoader
    device: torch.device
    n_inp: int = 1

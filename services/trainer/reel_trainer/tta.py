"""Test-time augmentation as fastai's ``Learner.tta`` does it; called by ``answers``.

Several views of each picture, changed as in training, and the plain one: their probabilities are averaged. The
largest of them (fastai's ``use_max``) is never taken: such rows do not add up to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import nn

from reel_shared.views import BETA
from reel_trainer.cache import PictureCache
from reel_trainer.calibration import Doubles
from reel_trainer.data import Normalize
from reel_trainer.evaluation import Floats

_LEAST = np.finfo(np.float64).tiny


class ChangedViews:
    """Each pass gives another view of every picture, in order, cut and changed as in training."""

    def __init__(
        self,
        cache: PictureCache,
        normalize: Normalize,
        *,
        batch_size: int,
        device: torch.device,
        rng: np.random.Generator,
        tick: Callable[[int], None] = lambda done: None,
    ) -> None:
        """``cache`` has room around its squares, ``normalize`` the augmentation; ``tick`` hears pictures done."""
        self._cache, self._normalize, self._batch_size = cache, normalize, batch_size
        self._device, self._rng, self._tick = device, rng, tick

    def __iter__(self) -> Iterator[torch.Tensor]:
        count = len(self._cache)
        for start in range(0, count, self._batch_size):
            stop = min(start + self._batch_size, count)
            squares = torch.from_numpy(self._cache.squares(range(start, stop), self._rng))
            yield self._normalize(squares.to(self._device, non_blocking=True))
            self._tick(stop)


def tta(
    model: nn.Module, changed: Iterable[torch.Tensor], plain: Floats, *, passes: int, beta: float = BETA
) -> Doubles:
    """Return log-probabilities (pictures, classes) by ``passes`` over ``changed`` and the plain view's logits.

    They serve as logits: their softmax is the average.
    """
    model.eval()
    total = torch.zeros(plain.shape, dtype=torch.float64)
    with torch.inference_mode():
        for _ in range(passes):
            total += torch.cat([model(x).float().cpu() for x in changed]).double().softmax(dim=1)
    single = torch.from_numpy(plain).double().softmax(dim=1)
    average = torch.lerp(total / passes, single, beta).numpy()
    found: Doubles = np.log(np.maximum(average, _LEAST))
    return found

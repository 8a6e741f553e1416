"""Test-time augmentation: fastai's own, to the bit of single precision, from pictures decoded once."""

from __future__ import annotations

import fastai.callback.progress  # noqa: F401  gives a learner its no_bar
import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders, Datasets, TfmdDL
from fastai.data.transforms import IntToFloatTensor, ToTensor
from fastai.data.transforms import Normalize as FastaiNormalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from fastai.vision.augment import aug_transforms
from fastai.vision.core import PILImage
from torch import nn

from reel_networks import InputStats
from reel_shared.views import BETA, average, views_of
from reel_trainer.cache import build_cache
from reel_trainer.data import Normalize, augmentation
from reel_trainer.evaluation import log_probabilities
from reel_trainer.recipe import Transforms
from reel_trainer.tta import ChangedViews, tta

HALF = InputStats((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CPU = torch.device("cpu")


@pytest.fixture
def network():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)
    )


class Split:
    """Batches of a fastai loader with its training or its validation transforms."""

    def __init__(self, loader, number):
        self.loader, self.number = loader, number

    def __iter__(self):
        with self.loader.dataset.set_split_idx(self.number):
            for x, _ in self.loader:
                yield x.as_subclass(torch.Tensor)


@pytest.mark.parametrize("passes", [1, 4])
def test_it_is_fastais_on_the_same_batches_and_random_state(network, passes):
    rng = np.random.default_rng(1)
    pictures = [PILImage.create(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(11)]
    sets = Datasets(
        list(range(11)), [[lambda index: pictures[index]], [lambda index: torch.tensor(index % 4)]]
    )
    change = [IntToFloatTensor(), *aug_transforms(size=32), FastaiNormalize.from_stats(*HALF, cuda=False)]
    loader = TfmdDL(sets, bs=4, after_item=[ToTensor()], after_batch=change, num_workers=0)
    learner = Learner(DataLoaders(loader, loader), network, loss_func=CrossEntropyLossFlat())
    network(next(iter(Split(loader, 1))))  # gives the last layer its size
    loader.new()  # the first copy looks at a batch, which would draw from the random state
    set_seed(9)
    with learner.no_bar():
        wanted, _ = learner.tta(dl=loader, n=passes)
    network.eval()
    set_seed(9)
    changed = Split(loader, 0)
    with torch.no_grad():
        plain = torch.cat([network(x) for x in Split(loader, 1)]).numpy()
    set_seed(9)
    found = np.exp(tta(network, changed, plain, passes=passes))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert np.abs(found - np.exp(log_probabilities(plain))).max() > 1e-3, "the changed views count"


def test_the_plain_view_weighs_a_quarter():
    class Constant(nn.Module):
        def forward(self, x):
            return x

    plain, changed = np.log(np.float32([[0.8, 0.2]])), torch.tensor([[0.4, 0.6]]).log()
    found = np.exp(tta(Constant(), [changed], plain, passes=3))
    np.testing.assert_allclose(
        found, [[BETA * 0.8 + (1 - BETA) * 0.4, BETA * 0.2 + (1 - BETA) * 0.6]], rtol=1e-6
    )


def test_what_serves_averages_as_many_passes_of_mirroring_do(network):
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)
    only_mirrors = Transforms(max_rotate=0, max_zoom=1, max_lighting=0, max_warp=0)
    normal = Normalize.of(HALF, CPU)
    mirroring = Normalize.of(HALF, CPU, augment=augmentation(only_mirrors, 20))
    network.eval()

    def ask(squares):
        return network(normal(torch.from_numpy(np.stack(squares)))).detach().double()

    single = ask(pictures)
    set_seed(2)
    many = torch.from_numpy(np.tile(pictures, (100, 1, 1, 1)))
    drawn = [
        network(mirroring(many)).detach().double().softmax(1).view(100, 6, -1).mean(0) for _ in range(20)
    ]
    wanted = torch.lerp(torch.stack(drawn).mean(0), single.softmax(1), BETA).numpy()
    found = np.stack([average(ask(views_of(picture, 1)).softmax(1).numpy()) for picture in pictures])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    apart = np.abs(single.softmax(1).numpy() - found).max()
    assert apart > 0.01, "the mirror image counts"
    # of 2000 draws the mean is off by 1.1% of the views' distance: four times that
    np.testing.assert_allclose(found, wanted, atol=0.045 * 0.75 * apart / ((1 - BETA) / 2) + 1e-5)


def test_a_class_that_is_impossible_stays_a_number():
    found = tta(nn.Identity(), [torch.tensor([[0.0, -1e5]])], np.float32([[0, -1e5]]), passes=1)
    assert np.isfinite(found).all()


def test_views_come_in_order_all_of_them_each_time_others(shapes, tmp_path):
    rows = shapes.images[:10]
    cache = build_cache(rows, shapes.folder, tmp_path / "x.u8", side=70, roomy=True)
    normalize = Normalize.of(HALF, CPU, augment=augmentation(Transforms(), 64))
    heard = []

    def passes():
        set_seed(3)
        views = ChangedViews(
            cache, normalize, batch_size=4, device=CPU, rng=np.random.default_rng(3), tick=heard.append
        )
        return [[batch.clone() for batch in views] for _ in range(2)]

    first, second = passes()
    assert [tuple(batch.shape) for batch in first] == [(4, 3, 64, 64), (4, 3, 64, 64), (2, 3, 64, 64)]
    assert heard[:3] == [4, 8, 10]
    assert not torch.equal(first[0], second[0])
    again, _ = passes()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)), "the same seed, the same views"
    still = Normalize.of(
        HALF, CPU, augment=augmentation(Transforms(flip=False, p_affine=0, p_lighting=0), 64)
    )
    square = ChangedViews(cache, still, batch_size=10, device=CPU, rng=np.random.default_rng(0))
    (seen,) = list(square)
    brightness = [float(cache.picture(index).mean()) for index in range(10)]
    assert np.corrcoef(brightness, seen.mean(dim=(1, 2, 3)))[0, 1] > 0.9, "in the order of the rows"

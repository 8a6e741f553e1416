"""Gives every test of the repository the real servers, the settings for one test, and a browser to those that ask."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from reel_shared.imports import without_collections

# Two processes of pytest and what they start share the cores: threads of one small network would only wait for
# one another, and spin while they do. To be said before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Most tests want the same bits twice, which only a CPU gives; `make test-gpu` runs those that need a GPU.
if "REEL_TEST_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

pytest_plugins = [
    "reel_shared.testing.servers",
    "reel_shared.testing.stack",
    "reel_shared.testing.browser",
    "reel_shared.testing.answers",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import all tests, and torch, fastai and all else with them: half of the time would go to garbage collections."""
    with without_collections():
        return (yield)

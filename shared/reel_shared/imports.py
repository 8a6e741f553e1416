"""Imports of what is large, without Python's garbage collections, which would find nothing in modules."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Import within this: it takes a seventh less time, and what is there at its end is in no later collection.

    Some 200,000 objects of an API's modules, and more of torch's and fastai's, would be walked through by each full
    collection, which holds every request up for more than 100 ms: modules live as long as the process. Nor is there a
    collection at the end: it takes as long, and less than one object of a hundred would go.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        # extension modules complain of what is still there when Python has ended
        atexit.register(gc.unfreeze)

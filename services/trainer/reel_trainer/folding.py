"""Folds batch normalisation at rest into the convolutions before it; called by ``learner`` for a frozen body.

A convolution whose output is only normalised by fixed statistics is, with them, one convolution of other weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

SIDE = 32
"""Pixels of the picture that is watched on its way through the network: its size decides nothing."""
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


@contextmanager
def folded(body: nn.Module) -> Iterator[list[Pair]]:
    """Fold every pair that ``pairs`` finds for as long as the context lasts.

    Only ``forward`` of these modules is replaced, on the instance: parameters, buffers, ``state_dict`` and hooks stay,
    and the folded weights go with the context. Weights that change meanwhile are not heeded.
    """
    found: list[Pair] = []
    try:
        found += pairs(body)
        for convolution, norm in found:
            # a plain function in the instance's dictionary: a module there would become part of the network
            vars(convolution)["forward"] = fuse_conv_bn_eval(convolution, norm).forward
            vars(norm)["forward"] = _unchanged
        yield found
    finally:
        for module in (module for pair in found for module in pair):
            vars(module).pop("forward", None)


def pairs(body: nn.Module) -> list[Pair]:
    """Return convolutions with the batch normalisation behind them, found by watching a picture pass.

    Both are at rest, in evaluation mode and without gradient or hooks, and used once; the very tensor that the
    convolution returned is what the other one got, and nothing else saw it.
    """
    watch = _Watch()
    handles = []
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and _rests(module):
            handles.append(module.register_forward_pre_hook(watch.enter))
            handles.append(module.register_forward_hook(watch.leave))
    try:
        like = next(body.parameters())
        picture = torch.zeros(1, 3, SIDE, SIDE, dtype=like.dtype, device=like.device)
        with torch.no_grad(), watch:
            last = body(picture)
    finally:
        for handle in handles:
            handle.remove()
    return watch.pairs(last)


def _rests(module: nn.Module) -> bool:
    if module.training or any(parameter.requires_grad for parameter in module.parameters()):
        return False
    if module._forward_hooks or module._forward_pre_hooks:
        return False  # they are to see, and may change, what they always did
    return not isinstance(module, nn.BatchNorm2d) or module.running_mean is not None


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes who made the tensors that convolutions return, and every operation that takes one of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: Counter[nn.Module] = Counter()
        self._uses: Counter[int] = Counter()
        self._made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
        """By the tensor's id; it is held, so that no other one gets the same."""
        self._met: list[tuple[int, nn.BatchNorm2d]] = []

    def enter(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._calls[module] += 1
        if isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in self._made:
            self._met.append((id(inputs[0]), module))

    def leave(self, module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            self._made[id(output)] = module, output

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_iter((args, kwargs)):
            if isinstance(value, torch.Tensor) and id(value) in self._made:
                self._uses[id(value)] += 1
        return func(*args, **(kwargs or {}))

    def pairs(self, last: torch.Tensor) -> list[Pair]:
        """``last`` is what the network returned, which somebody outside will use."""
        return [
            (convolution, norm)
            for made, norm in self._met
            for convolution, output in [self._made[made]]
            if self._uses[made] == 1
            and self._calls[convolution] == self._calls[norm] == 1
            and output is not last
        ]


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x

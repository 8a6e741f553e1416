"""fastai's Adam in one kernel of torch for each kind of parameter; called by ``learner``.

fastai makes a dozen small calls for each parameter of a network, a tenth of a training step on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from fastai.optimizer import Optimizer


class FusedAdam(Optimizer):  # type: ignore[misc]
    """Adam with decoupled weight decay: same arguments, mathematics and state as ``fastai.optimizer.Adam``.

    A parameter's state is ``grad_avg`` and ``sqr_avg``, in its own shape and memory format, and ``step``, so that a
    training which began with the one goes on with the other.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        mom: float = 0.9,
        sqr_mom: float = 0.99,
        eps: float = 1e-5,
        wd: float = 0.01,
    ) -> None:
        super().__init__(params, [], lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every parameter that has a gradient; one without is left alone, weight decay and all."""
        if closure is not None:
            raise NotImplementedError("this optimizer takes no closure")
        for parameters, hyper in zip(self.param_lists, self.hypers, strict=True):
            # the kernel takes one weight decay and one bias correction for all of its parameters
            alike: dict[tuple[int, bool], list[torch.Tensor]] = {}
            for parameter in parameters:
                if parameter.grad is not None:
                    alike.setdefault(self._count(parameter), []).append(parameter)
            for (step, decays), members in alike.items():
                self._move(members, step, decays, hyper)

    def zero_grad(self) -> None:
        """Drop all gradients: the next ones are then written, not added to zeros."""
        for parameters in self.param_lists:
            for parameter in parameters:
                parameter.grad = None

    def _count(self, parameter: torch.Tensor) -> tuple[int, bool]:
        """Return which step this is for a parameter, from 1, and whether weight decay is for it."""
        state = self.state[parameter]
        if "step" not in state:
            state |= {
                "grad_avg": torch.zeros_like(parameter),
                "sqr_avg": torch.zeros_like(parameter),
                "step": 0,
            }
        state["step"] += 1
        return state["step"], state.get("do_wd", True)

    def _move(self, parameters: list[torch.Tensor], step: int, decays: bool, hyper: dict[str, Any]) -> None:
        steps = torch.full((), step, dtype=torch.float32, device=parameters[0].device)
        torch._fused_adamw_(
            parameters,
            _gradients(parameters),
            [self.state[parameter]["grad_avg"] for parameter in parameters],
            [self.state[parameter]["sqr_avg"] for parameter in parameters],
            [],
            [steps] * len(parameters),
            lr=float(hyper["lr"]),
            beta1=float(hyper["mom"]),
            beta2=float(hyper["sqr_mom"]),
            weight_decay=float(hyper["wd"]) if decays else 0.0,
            eps=float(hyper["eps"]),
            amsgrad=False,
            maximize=False,
        )


def _gradients(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return gradients in the memory format of their parameters: the kernel walks through memory, not by index."""
    found = []
    for parameter in parameters:
        gradient = parameter.grad
        assert gradient is not None
        if not _lie_alike(gradient, parameter):
            gradient = torch.empty_like(parameter).copy_(gradient)
        found.append(gradient)
    return found


def _lie_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two dense tensors of one shape have their elements in the same order of memory.

    An axis of length 1 has whatever stride it likes: to go by those would copy every 1 x 1 convolution's gradient.
    """
    axes = zip(one.shape, one.stride(), other.stride(), strict=True)
    return all(length == 1 or first == second for length, first, second in axes)

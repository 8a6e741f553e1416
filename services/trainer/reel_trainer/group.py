"""The processes that train together, one for each GPU; called by ``training`` and what it uses.

One process alone is a group too, in which nothing is exchanged. Every exchange first asks whether all have had enough
memory, so that a process that has not takes the others along. torchrun ends all of them when one ends early.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from reel_shared.errors import ReelError
from reel_trainer.data import Share
from reel_trainer.memory import is_out_of_memory

EXCHANGE_TIMEOUT = timedelta(minutes=10)
"""For a process that lives but does not come; one that died is noticed at once."""
WORK_TIMEOUT = timedelta(hours=24)
"""For what the first process does while the others wait, such as decoding all pictures."""
T = TypeVar("T")


class PeerFailed(ReelError):
    code, title = "training-process-lost", "A process of the training ended before its time"


class PeerShortOfMemory(MemoryError):
    """Another process of this training had too little memory."""


class ShareDone(Exception):
    """This process's share of a training is done: the first one goes on alone, or was asked to stop."""


class Group:
    """``rank`` 0 is the first process, which alone reports, keeps checkpoints and exports."""

    def __init__(self, rank: int = 0, size: int = 1, *, patient: Any = None) -> None:
        self.share = Share(rank, size)
        self._patient = patient

    @property
    def first(self) -> bool:
        return self.share.rank == 0

    @property
    def size(self) -> int:
        return self.share.of

    @property
    def here(self) -> int:
        """How many of them are on this node."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.size)) if self.size > 1 else 1

    def sum(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes; they must be alike on all of them."""
        if self.size > 1:
            self._exchange(lambda: _sum(list(tensors)))

    def average_statistics(self, model: nn.Module) -> None:
        """Give all processes the mean of what their batch normalisation saw, where it is not at rest."""
        if self.size == 1:
            return
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        buffers = [
            buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None
        ]
        self.sum(buffers)
        for buffer in buffers:
            buffer.div_(self.size)

    def start_alike(self, model: nn.Module) -> None:
        """Give all processes the first one's weights and buffers."""
        if self.size > 1:
            if not self.first:
                for tensor in model.state_dict().values():
                    tensor.zero_()
            self.sum(model.state_dict().values())

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        self._exchange(lambda: dist.all_gather_object(values, value))
        return values

    def any(self, answer: bool) -> bool:
        """Whether one of the processes says yes."""
        return any(self.gather(answer))

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first process do what takes long; return on all what it made."""
        if self.size == 1:
            return make()
        held: list[Any] = [None]
        self._exchange(lambda: None)
        if self.first:
            try:
                held = [(True, make())]
            except Exception as error:
                if not is_out_of_memory(error):
                    raise  # it ends this process, and torchrun the others
                held = [(False, None)]
        self._guarded(lambda: dist.broadcast_object_list(held, src=0, group=self._patient))
        enough, made = held[0]
        if not enough:
            raise PeerShortOfMemory
        result: T = made
        return result

    def tell_short_of_memory(self) -> None:
        """Answer the others' next exchange with the news that memory was too little here."""
        if self.size > 1:
            self._guarded(lambda: _any_short(True))

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()

    def _exchange(self, act: Callable[[], None]) -> None:
        if self._guarded(lambda: _any_short(False)):
            raise PeerShortOfMemory
        self._guarded(act)

    def _guarded(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except RuntimeError as error:  # of all that gloo and NCCL may say
            if is_out_of_memory(error):
                raise
            raise PeerFailed(
                f"One of the {self.size} processes of the training ended or hangs, and the others cannot go on; the "
                "worker's log has the story. The training can be resumed from its last checkpoint."
            ) from error


def join() -> Group:
    """Join the processes that torchrun has started; without it, be a group alone."""
    if not dist.is_torchelastic_launched():
        return Group()
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=EXCHANGE_TIMEOUT)
    patient = dist.new_group(backend="gloo", timeout=WORK_TIMEOUT)
    return Group(dist.get_rank(), dist.get_world_size(), patient=patient)


def _any_short(short: bool) -> bool:
    answer = torch.tensor([short], dtype=torch.uint8)
    dist.all_reduce(answer, dist.ReduceOp.MAX)
    return bool(answer.item())


def _sum(tensors: Sequence[torch.Tensor]) -> None:
    """Sum in one exchange per type and device: one for each tensor would cost its latency hundreds of times."""
    kinds: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in alike])
        dist.all_reduce(flat)
        for tensor, summed in zip(
            alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True
        ):
            tensor.detach().copy_(summed.view(tensor.shape))

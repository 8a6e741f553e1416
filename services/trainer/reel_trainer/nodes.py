"""Several nodes train one model together: ``python -m reel_trainer.nodes`` is what each of them runs.

Somebody else starts the nodes and says who is who, in torchrun's own variables (``PET_NNODES``, ``PET_NODE_RANK``,
``PET_MASTER_ADDR``, ``PET_MASTER_PORT``), as the operator Kubeflow Trainer does. The first is a worker like any other:
it has the job, its lease and its files. What it starts with torchrun it orders in the data folder, which all nodes
share, and the others start the same. They take no jobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import structlog
from pydantic import ValidationError

from reel_shared.contracts import Model
from reel_shared.probes import serve_probes
from reel_shared.settings import settings
from reel_shared.telemetry import configure_logging

log = structlog.get_logger(__name__)
LOOK_EVERY_SECONDS = 0.5
END_SECONDS = 5.0


class Order(Model):
    """A training to take part in: ``processes`` of it on each node, 0 one for each GPU there."""

    id: str
    processes: int
    program: str
    spec: Path


def number() -> int:
    """How many nodes train together; 1 where nobody said anything. As torchrun's ``--nnodes``, without a range."""
    return int(os.environ.get("PET_NNODES", "1"))


def rank() -> int:
    return int(os.environ.get("PET_NODE_RANK", "0"))


def give_order(processes: int, program: str, spec: str) -> str:
    """Let the other nodes start what this one does; returns the order's id, by which they meet."""
    order = Order(id=uuid.uuid4().hex, processes=processes, program=program, spec=Path(spec))
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{order.id}")
    part.write_text(order.model_dump_json())
    part.replace(path)
    return order.id


def take_orders(stopping: threading.Event) -> None:
    """Start what the first node orders, one at a time: a new order ends what is left of the one before."""
    last, child = "", None
    try:
        while not stopping.wait(LOOK_EVERY_SECONDS):
            if child is not None and child.poll() is not None:
                log.info("node.ended", order=last, code=child.returncode)
                child = None
            order = _order()
            if order is None or order.id == last:
                continue
            _end(child)
            last = order.id
            log.info("node.begins", order=order.id, program=order.program)
            child = subprocess.Popen(
                [sys.executable, "-m", "reel_trainer.launch", str(order.processes), order.program,
                 str(order.spec), order.id],
                stdout=subprocess.DEVNULL,  # the first process alone speaks, and that is elsewhere
                start_new_session=True,
            )  # fmt: skip
    finally:
        _end(child)


def _path() -> Path:
    return settings().data_dir / "nodes" / "order.json"


def _order() -> Order | None:
    try:
        return Order.model_validate_json(_path().read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:  # a shared folder may be away for a moment
        log.warning("node.no_order", reason=str(error))
        return None


def _end(child: subprocess.Popen[bytes] | None) -> None:
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main() -> None:
    """Be the first node's worker, or one of the others until SIGTERM."""
    if rank() == 0:
        os.execv(sys.executable, [sys.executable, "-m", "reel_trainer.worker"])  # noqa: S606 - no shell is wanted
    configure_logging()
    serve_probes()
    stopping = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stopping.set())
    log.info("node.ready", rank=rank(), nodes=number())
    take_orders(stopping)


if __name__ == "__main__":
    main()

"""How long a caller waits for an answer, by the header `Grpc-Timeout`: `Depends(deadline)` gives a `Deadline`.

The header is gRPC's, as its gateways take it over plain HTTP too: a duration, so no two clocks need to agree.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from reel_shared.errors import BadRequest

HEADER = "Grpc-Timeout"
_VALUE = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@dataclass(frozen=True, slots=True)
class Deadline:
    """``at`` is in seconds of ``time.monotonic``; None: the caller did not say."""

    at: float | None = None


def parse(value: str) -> float:
    """Return the seconds of a header's value. Raises BadRequest."""
    found = _VALUE.fullmatch(value.strip())
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not seconds:
        raise BadRequest(
            f"{HEADER} is {value[:40]!r}; write one to eight digits, not all 0, and a unit, such as "
            "250m (milliseconds) or 2S (seconds)."
        )
    return seconds


async def deadline(
    grpc_timeout: Annotated[
        str | None, Header(alias=HEADER, description="how long you wait: 250m (milliseconds), 2S (seconds)")
    ] = None,
) -> Deadline:
    """Count from when the request's head is here, so that a slow body is at its caller's cost."""
    return Deadline(None if grpc_timeout is None else time.monotonic() + parse(grpc_timeout))


Patience = Annotated[Deadline, Depends(deadline)]

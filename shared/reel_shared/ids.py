"""Identifiers: a type prefix and a time-ordered UUIDv7, such as ``job_0192f…``; used wherever a row is born."""

from __future__ import annotations

from typing import Literal

from uuid_utils import uuid7

Prefix = Literal[
    "job",
    "evt",
    "mov",
    "col",
    "img",
    "dsv",
    "mdl",
    "key",
    "req",
    "lease",
    "wrk",
    "chg",
    "tkd",
    "pin",
    "alc",
    "shc",
    "kch",
    "fbk",
    "qps",
    "whe",
    "whd",
]


def new_id(prefix: Prefix) -> str:
    return f"{prefix}_{uuid7().hex}"

"""docs/security.md against the tests: each one that it names exists, and each threat names one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def missing(page: str) -> list[str]:
    return [
        f"{file}::{test}"
        for file, test in NAMED.findall(page)
        if not (ROOT / file).is_file() or f"def {test}(" not in (ROOT / file).read_text()
    ]


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED.findall(PAGE)) > 40
    assert missing(PAGE) == []
    assert missing("`tests/test_docs.py::test_of_nothing`") == ["tests/test_docs.py::test_of_nothing"]


def test_every_threat_has_its_test() -> None:
    threats = [line for line in PAGE.splitlines() if re.match(r"\| [STRIDE, ]+ \|", line)]
    assert len(threats) > 30
    assert [line for line in threats if not NAMED.search(line)] == []

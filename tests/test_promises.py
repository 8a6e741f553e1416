"""The pages that name a test for each threat and each promise: the tests that they name exist, and each names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECURITY, RELIABILITY = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("security", "reliability"))
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def missing(page: str) -> list[str]:
    return [
        f"{file}::{test}"
        for file, test in NAMED.findall(page)
        if not (ROOT / file).is_file() or f"def {test}(" not in (ROOT / file).read_text()
    ]


@pytest.mark.parametrize(
    ("page", "at_least"), [(SECURITY, 40), (RELIABILITY, 25)], ids=["threats", "promises"]
)
def test_every_test_that_is_named_exists(page: str, at_least: int) -> None:
    assert len(NAMED.findall(page)) >= at_least
    assert missing(page) == []
    assert missing("`tests/test_docs.py::test_of_nothing`") == ["tests/test_docs.py::test_of_nothing"]


def test_every_threat_has_its_test() -> None:
    threats = [line for line in SECURITY.splitlines() if re.match(r"\| [STRIDE, ]+ \|", line)]
    assert len(threats) > 30
    assert [line for line in threats if not NAMED.search(line)] == []


def test_every_promise_has_its_test_or_says_that_it_has_none() -> None:
    promises = [line for line in RELIABILITY.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(promises) == 26
    told = ("no test yet", "make compose-test")
    assert [
        line for line in promises if not NAMED.search(line) and not any(words in line for words in told)
    ] == []

"""Markdown: a table whose cells may hold anything, defaults and types as a reader writes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, SecretStr

WRITTEN = "<!-- Written by `make reference` from the code; change it there. -->"


def page(title: str, *parts: str) -> str:
    """A generated page: what is empty among its parts is left out."""
    return "\n\n".join([f"# {title}", WRITTEN, *filter(None, parts)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, or nothing where it has no rows."""
    lines = [" | ".join(map(cell, row)) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *lines))


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def prose(text: str | None) -> str:
    """A docstring or a description as a paragraph; reStructuredText's double backticks become single ones."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    told = paragraphs[
        : next((at for at, one in enumerate(paragraphs) if re.match(r"(Args|Raises|Returns):", one)), None)
    ]
    return "\n\n".join(" ".join(one.split()).replace("``", "`") for one in told).strip()


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def default(value: Any) -> str:
    """A default: `none`, `empty`, true, or the value as code."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "none" if value is None else "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return "its own"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f"`{value}`"


def fields(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Each field of a model: its name, its default or `required`, what it is."""
    return [
        (
            f"`{name}`",
            "required" if field.is_required() else default(field.get_default(call_default_factory=True)),
            prose(field.description),
        )
        for name, field in model.model_fields.items()
    ]

"""The page of the command line, from its own help."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from reelsight.main import app
from scripts.reference.tables import page, prose, table

ABOUT = """What a person sees on a terminal a script gets as JSON: a command whose output is piped prints JSON. Progress
goes to stderr. Exit codes: 0 done, 1 failed, 2 used wrongly, 3 nothing answers, 130 Ctrl-C: on a terminal a command
that waits asks whether to detach or to cancel, piped it detaches, and what was submitted goes on. Commands talk to the
platform of `reel up`, or to `REEL_URL` with the key `REEL_TOKEN`. `reel --install-completion` teaches your shell."""


def written() -> str:
    parts = [
        part for path, command in commands(get_command(app), ("reel",)) for part in _command(path, command)
    ]
    return page("Command line", ABOUT, *parts)


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its whole name, in the order of the help."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
    else:
        for name, one in inner.items():
            yield from commands(one, (*path, name))


def _command(path: str, command: Any) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    usage = " ".join([path, *("[options]" for _ in options[:1]), *(_placeholder(one) for one in arguments)])
    rows = [
        (f"`{_placeholder(one)}`", "required" if one.required else _default(one), prose(one.help))
        for one in arguments
    ]
    rows += [(_names(one), "required" if one.required else _default(one), prose(one.help)) for one in options]
    listed = table(("argument or option", "default", "what"), rows)
    return [f"## {path}", f"`{usage}`", prose(command.help), listed]


def _placeholder(argument: Any) -> str:
    name = (argument.metavar or argument.name or "").upper()
    name += "…" if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {_kind(option.type_descriptor.annotation)}"


def _kind(annotation: Any) -> str:
    """An annotation as the help says it: `text`, `int`, `path`, the choices of an enumeration."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(str(choice.value) for choice in annotation)
    options = [_kind(one) for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    return options[0] if options else {"str": "text"}.get(annotation.__name__, annotation.__name__.lower())


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.__dict__.get("is_flag"):
        return "on" if value else "off"
    if value is None or value in ((), []) or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"

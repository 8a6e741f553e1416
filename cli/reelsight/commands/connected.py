"""Gives a command a client of the platform, with the options that name it; used by the data commands."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from reel_shared.contracts import Model
from reelsight.commands import console

RequestT = TypeVar("RequestT", bound=Model)
FieldsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other field of the request, as name=value; may be said several times."),
]


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Turn ``command(client, …)`` into one with --url, --token and --data in place of the client."""
    signature = inspect.signature(command, eval_str=True)
    options = {
        "url": (console.UrlOption, ""),
        "token": (console.TokenOption, ""),
        "data": (console.DataOption, console.DEFAULT_DATA),
    }

    @functools.wraps(command)
    def run(**given: Any) -> None:
        place = {name: given.pop(name) for name in options}
        with console.client(**place) as client:
            command(client=client, **given)

    own = [parameter for name, parameter in signature.parameters.items() if name != "client"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + added
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def request_of(model: type[RequestT], fields: dict[str, Any], extra: list[str] | None) -> RequestT:
    """Build a request of the fields that were given and of ``--set``; ends the command when it is not valid."""
    given = {name: value for name, value in fields.items() if value not in (None, "", [])}
    for pair in extra or []:
        name, equals, value = pair.partition("=")
        if not equals:
            console.fail(f"--set takes name=value; {pair!r} has no =.", code=console.EXIT_USAGE)
        given[name] = _value(value)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        console.fail(f"{where + ': ' if where else ''}{message}", code=console.EXIT_USAGE)


def _value(text: str) -> Any:
    """Read numbers, true, false and lists as JSON, and everything else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text

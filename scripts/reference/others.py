"""The pages of settings, metrics and problem codes, from what the code itself declares."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from reel_inference import figures  # noqa: F401  these two register the metrics
from reel_shared import errors, telemetry  # noqa: F401
from reel_shared.settings import Settings
from scripts.reference.tables import default, page, prose, table

SETTINGS = """Environment variables; lists and objects are JSON. What the environment does not name may be a file of
that name, in lower case, in `/run/secrets`. Every process reads them once, at its start. `reel up` sets
the data folder, the addresses and secrets of its own servers, the port and `REEL_WEB__SECRET` itself;
the rest can be given to it. The command line also knows `REEL_URL` and `REEL_TOKEN`, the platform that
its commands talk to. Of [traces](../how-to/follow-a-request.md) decide OpenTelemetry's own variables, `OTEL_…`."""
METRICS = """Every API serves them at `GET /metrics`, for the inside only: an edge that forwards a request gets 404. A
worker serves them on `REEL_METRICS_PORT`. A histogram has `_bucket`, `_sum` and `_count`. Beside these
are the standard `process_…` and `python_…`."""
PROBLEMS = """`type` is `urn:reelsight:problem:` and the code. A failed job carries the same object in `error`, with
`attempts`. "Tried again": a job that meets it gets its next attempt, after a wait, as long as its kind
allows. Refusals by the HTTP server itself, such as 405, are named after their status
(`method-not-allowed`). The trainer adds `export-failed` (500: the exported graph does not answer as the
trained network does; nothing is published) and `training-process-lost` (500: one of the processes that
trained together died or hangs; resume the training). The Python client adds `unreachable` (nothing
answers). Why single pictures are refused: [details](details.md#refused-pictures)."""
HEAD = ("variable", "default", "meaning")


def settings() -> str:
    parts, plain = [], []
    for name, field in Settings.model_fields.items():
        group = field.get_default(call_default_factory=True)
        if isinstance(group, BaseModel):
            parts += [
                f"## {name}",
                prose(vars(type(group)).get("__doc__")),
                table(HEAD, variables(type(group), name)),
            ]
        else:
            plain.append((_variable(name), default(group), prose(field.description)))
    return page("Settings", SETTINGS, table(HEAD, plain), *parts)


def variables(model: type[BaseModel], *path: str) -> Iterator[tuple[str, str, str]]:
    """Each setting of a group and of the groups in it: its variable, its default, its meaning."""
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            yield from variables(type(value), *path, name)
        else:
            yield _variable(*path, name), default(value), prose(field.description)


def _variable(*path: str) -> str:
    return f"`REEL_{'__'.join(path).upper()}`"


def metrics() -> str:
    rows = []
    for one in REGISTRY._collector_to_names:
        if isinstance(one, MetricWrapperBase):
            [told] = one.describe()
            labels = ", ".join(f"`{label}`" for label in one._labelnames)
            name = f"{told.name}_total" if told.type == "counter" else told.name
            rows.append((f"`{name}`", told.type, labels, told.documentation))
    return page("Metrics", METRICS, table(("metric", "kind", "labels", "what"), sorted(rows)))


def problems() -> str:
    rows = [
        (
            f"`{error.code}`",
            str(error.status),
            "yes" if error.retryable else "no",
            _when(error),
        )
        for error in sorted(kinds_of_errors(), key=lambda error: (error.status, error.code))
    ]
    return page("Problem codes", PROBLEMS, table(("code", "status", "tried again", "when"), rows))


def _when(error: type[errors.ReelError]) -> str:
    if error is errors.ReelError:
        return "Not foreseen; the log has the story under `request_id` or the job's id."
    return prose(vars(error).get("__doc__")) or error.title


def kinds_of_errors() -> list[type[errors.ReelError]]:
    waiting, found = [errors.ReelError], {}
    while waiting:
        error = waiting.pop()
        waiting += error.__subclasses__()
        if error.__module__ == errors.__name__:
            found[error.code] = error
    return list(found.values())

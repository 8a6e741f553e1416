"""``reel models``: which there are, which serves, and what lets one serve."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from reel_shared.client import Client
from reel_shared.contracts import GateReport, GateState, JsonObject, ShadowReport
from reelsight.commands import console
from reelsight.commands.connected import connected

models = typer.Typer(help="List, judge, promote and roll back models.", no_args_is_help=True)
ModelId = Annotated[
    str, typer.Argument(help="A model's id, its number such as v7, active, candidate or shadow.")
]
Reason = Annotated[str, typer.Option(help="Why; kept in the history.")]
SHOWN_PAIRS = 10
MARKS = {
    GateState.PASSED: "[green]✓[/]",
    GateState.FAILED: "[bold red]✗[/]",
    GateState.NOT_APPLICABLE: "–",
    GateState.NOT_COMPARABLE: "[yellow]?[/]",
}


@models.command("list")
@connected
def list_models(
    client: Client,
    tag: Annotated[str, typer.Option(help="Only with this tag.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    as_json: console.JsonOption = False,
) -> None:
    """The newest models first."""
    rows = [row for _, row in zip(range(limit), client.models(tag=tag), strict=False)]
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for heading in ("id", "is", "accuracy", "recipe", "tags", "made"):
        table.add_column(heading)
    for row in rows:
        judged = row["metrics"].get("all")
        accuracy = f"{judged['accuracy']:.3f}" if judged else ""
        is_ = ", ".join(row["aliases"])
        cells = (f"v{row['number']}", row["id"], is_, accuracy, row["recipe"], " ".join(row["tags"]))
        table.add_row(*map(escape, cells), row["created_at"][:16])
    console.out.print(table if rows else "No models yet. `reel train` makes one.")


@models.command()
@connected
def show(client: Client, model: ModelId, as_json: console.JsonOption = False) -> None:
    """One model: what it came from, how it was judged, what people say of it."""
    row = client.model(model)
    if console.wants_json(as_json):
        console.print_json(row)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _facts(row):
        table.add_row(name, escape(value))
    console.out.print(table)


@models.command()
@connected
def tag(
    client: Client,
    model: ModelId,
    tags: Annotated[list[str], typer.Argument(help="Words to add.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them away instead.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Add tags to a model, or take them away."""
    present = client.model(model)["tags"]
    wanted = [each for each in present if each not in tags] if remove else [*present, *tags]
    try:
        row = client.tag_model(model, wanted)
    except ValueError:
        console.fail("A tag is one word of lower-case letters, digits, . - and _.", code=console.EXIT_USAGE)
    _say(row, f"v{row['number']} has the tags {', '.join(row['tags']) or 'none'}.", as_json=as_json)


@models.command()
@connected
def note(
    client: Client,
    model: ModelId,
    text: Annotated[str, typer.Argument(help="What others should know.")],
    as_json: console.JsonOption = False,
) -> None:
    """Note something about a model."""
    row = client.remark_on_model(model, text)
    _say(row, f"Noted on v{row['number']}.", as_json=as_json)


@models.command()
@connected
def gates(client: Client, model: ModelId = "candidate", as_json: console.JsonOption = False) -> None:
    """What lets a model serve and what does not; exits 1 when a gate fails."""
    report = client.gates(model)
    if console.wants_json(as_json):
        console.print_json(report.model_dump(mode="json"))
    else:
        console.out.print(gate_table(report))
    if not report.passed:
        raise typer.Exit(console.EXIT_FAILED)


@models.command()
@connected
def promote(
    client: Client,
    model: ModelId = "candidate",
    force: Annotated[bool, typer.Option("--force", help="Although gates fail; needs --reason.")] = False,
    reason: Reason = "",
    as_json: console.JsonOption = False,
) -> None:
    """Let a model serve, if its gates pass; the candidate unless said."""
    if force and not reason.strip():
        console.fail("--force needs --reason: it is shown with the model for ever.", code=console.EXIT_USAGE)
    row = client.promote(model, force=force, reason=reason)
    _say(row, f"v{row['number']} ({row['id']}) serves. Back with `reel models rollback`.", as_json=as_json)


@models.command()
@connected
def rollback(client: Client, reason: Reason = "", as_json: console.JsonOption = False) -> None:
    """Let the model serve again that served before."""
    row = client.roll_back(reason=reason)
    _say(row, f"v{row['number']} ({row['id']}) serves again.", as_json=as_json)


@models.command()
@connected
def candidate(
    client: Client, model: ModelId, reason: Reason = "", as_json: console.JsonOption = False
) -> None:
    """Say that a model is to serve next."""
    row = client.name_candidate(model, reason=reason)
    told = f"v{row['number']} ({row['id']}) is the candidate. See `reel models gates`."
    _say(row, told, as_json=as_json)


@models.command()
@connected
def shadow(
    client: Client,
    model: Annotated[
        str, typer.Argument(help="The model to begin with; shows the comparison unless said.")
    ] = "",
    share: Annotated[float, typer.Option(help="Of the live predictions, above 0 and at most 1.")] = 0.1,
    stop: Annotated[
        bool, typer.Option("--stop", help="Ask the shadow no more; forget what was counted.")
    ] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Have a model answer beside the active one, for nobody, and see how the two compare."""
    if not 0 < share <= 1:
        console.fail("--share is above 0 and at most 1, such as 0.1.", code=console.EXIT_USAGE)
    if stop:
        client.stop_shadow(model or "shadow")
        console.out.print("No model shadows the active one any more.")
        return
    report = client.start_shadow(model, share=share) if model else client.shadow()
    if console.wants_json(as_json):
        console.print_json(report.model_dump(mode="json"))
        return
    console.out.print(_compared(report), highlight=False)
    if report.disagreements:
        table = Table("active said", "shadow said", "times", box=None, pad_edge=False)
        for each in report.disagreements[:SHOWN_PAIRS]:
            table.add_row(each.active, each.shadow, str(each.count))
        console.out.print(table)


@models.command()
@connected
def history(
    client: Client,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
    as_json: console.JsonOption = False,
) -> None:
    """Which model served when, and who decided it; the newest first."""
    rows = [row for _, row in zip(range(limit), client.alias_changes(), strict=False)]
    if console.wants_json(as_json):
        console.print_json(rows)
        return
    table = Table("when", "alias", "what", "from", "to", "why", box=None, pad_edge=False)
    for row in rows:
        why = row["reason"] + (f" ({', '.join(row['failed_gates'])} failed)" if row["failed_gates"] else "")
        named = [row[end] or "–" for end in ("from_model_id", "to_model_id")]
        table.add_row(*map(escape, (row["created_at"][:19], row["alias"], row["action"], *named, why)))
    console.out.print(table if rows else "No model has been promoted yet.")


def gate_table(report: GateReport) -> Table:
    """Return the gates as a table, a row each."""
    table = Table("", "gate", "on", "says", box=None, pad_edge=False)
    for gate in report.gates:
        table.add_row(MARKS[gate.state], gate.name, gate.part or "", escape(gate.says))
    return table


def _compared(report: ShadowReport) -> str:
    head = (
        f"v{report.number} ({report.model_id}) shadows {report.against} on {report.share:.0%} of the answers"
    )
    if report.agreement is None or report.confidence_difference is None:
        return f"{head}; it has not been asked yet ({report.dropped} dropped, {report.failed} failed)."
    return (
        f"{head}: {report.asked} asked, {report.agreement:.1%} agreed, its confidence differs by "
        f"{report.confidence_difference:+.3f}; {report.dropped} dropped, {report.failed} failed."
    )


def _say(row: JsonObject, sentence: str, *, as_json: bool) -> None:
    if console.wants_json(as_json):
        console.print_json(row)
    else:
        console.out.print(sentence, highlight=False, markup=False)


def _facts(row: JsonObject) -> list[tuple[str, str]]:
    made = row["software"]
    facts = [
        ("model", f"v{row['number']} ({row['id']}) {', '.join(row['aliases'])}"),
        ("network", f"{row['architecture']}, {row['size']} px, {len(row['classes'])} classes"),
        ("trained", f"{row['created_at'][:19]} by the recipe {row['recipe']} in {row['job_id']}"),
        ("on", row["dataset_version_id"]),
        ("by", f"version {made['version']}, commit {made['commit']}"),
        ("tags", " ".join(row["tags"])),
    ]
    for part, judged in row["metrics"].items():
        facts.append((f"accuracy, {part}", f"{judged['accuracy']:.3f} of {judged['images']} pictures"))
    facts += [_served(each) for each in row.get("agreement", [])]
    facts += [("note", note) for note in row["notes"]]
    facts += [("remark", f"{each['text']} ({each['by']}, {each['at'][:10]})") for each in row["remarks"]]
    if row["forced"]:
        forced = row["forced"]
        facts.append(("forced", f"{forced['reason']} ({', '.join(forced['gates'])} had failed)"))
    return facts


def _served(agreement: JsonObject) -> tuple[str, str]:
    """Return a row on how an engine answers at a precision, beside torch."""
    verdict = "may serve" if agreement["passed"] else f"may not serve: {agreement['says']}"
    return (
        f"{agreement['engine']}, {agreement['precision']}",
        f"{agreement['same_answer']:.2%} of {agreement['pictures']} answers are torch's, probabilities differ by up "
        f"to {agreement['probability_difference']:.1e}; {verdict}",
    )

"""The documentation against the product: an endpoint, setting, job kind or problem that it misses fails here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from reel_ingest.imports.plan import MISSING, NO_CLASS
from reel_ingest.sieve import TAKEN_DOWN
from reel_ingest.tasks.imports import ALREADY_THERE, WRONG_HASH
from reel_ingest.tasks.web_pictures import OVER_LIMIT
from reel_shared.client import Client
from reel_shared.contracts import KINDS, QualityChecks
from reel_shared.settings import Settings
from reel_web.pages import PARTS
from reelsight.main import app as commands
from reelsight.platform.application import app

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\s]+)`")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every hand-written page of the repository."""
    folders = ("docs", "shared", "services", "cli")
    found = [ROOT / "README.md", *(page for folder in folders for page in (ROOT / folder).rglob("*.md"))]
    return sorted(page for page in found if not {".venv", "node_modules"} & set(page.parts))


def section(page: str, title: str) -> str:
    """The text below a heading of a page of the reference, up to the next one of its rank."""
    rank, _, _ = title.partition(" ")
    _, found, rest = (REFERENCE / page).read_text().partition(f"\n{title}\n")
    assert found, f"docs/reference/{page} has no heading {title!r}"
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def endpoints() -> set[str]:
    return {f"{verb.upper()} {path}" for path, verbs in app().openapi()["paths"].items() for verb in verbs}


def described(model: type[BaseModel], *path: str) -> Iterator[tuple[str, str | None]]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and model.__module__ == Settings.__module__:
            yield from described(type(default), *path, name)
        else:
            yield ".".join((*path, name)), field.description


def test_the_generated_pages_are_as_the_code_is() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "scripts.reference", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_nothing_in_the_generated_pages_is_without_words() -> None:
    missing = [name for name, words in described(Settings) if not words]
    missing += [
        f"{kind.name}: {name}"
        for kind in KINDS.values()
        for name, words in described(kind.request)
        if not words
    ]
    missing += [
        f"{verb.upper()} {path}"
        for path, verbs in app().openapi()["paths"].items()
        for verb, operation in verbs.items()
        if not operation.get("description")
    ]
    missing += [kind.name for kind in KINDS.values() if not vars(kind.request).get("__doc__")]
    assert missing == []


def test_every_page_for_people_is_named() -> None:
    paths = {route.path for page in PARTS for route in page.router.routes}  # type: ignore[attr-defined]
    named = set(SPAN.findall(section("README.md", "## Pages for people")))
    assert len(paths) >= 5
    assert paths <= named


def test_every_reason_of_a_refused_candidate_is_documented_and_no_other() -> None:
    files = [*(ROOT / "services/ingest/reel_ingest").rglob("*.py")]
    files += [ROOT / f"shared/reel_shared/{name}.py" for name in ("outgoing", "connection")]
    code = "".join(path.read_text() for path in files)
    reasons = set(re.findall(r'\bRefus(?:ed|al)\(\s*"([a-z-]+)"', code)) | {"http-<status>"}
    reasons |= set(re.findall(r'_refusal\(\s*"([a-z-]+)"', (ROOT / "shared/reel_shared/zips.py").read_text()))
    reasons |= {TAKEN_DOWN, OVER_LIMIT, ALREADY_THERE, WRONG_HASH, MISSING, NO_CLASS}
    refused, _, rejected = (
        section("details.md", "## Refused pictures")
        .partition("`counts.refused`")[2]
        .partition("`counts.rejected`")
    )
    named = set(SPAN.findall(refused)) - {"bad-picture", "min_side", "max_side", "._-"}
    assert named == reasons
    assert set(SPAN.findall(rejected)) == {name.replace("_", "-") for name in QualityChecks.model_fields}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{target.name} has no heading #{anchor}"


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_names_files_that_exist() -> None:
    cells = re.findall(r"^\| .* \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    paths = [path for cell in cells for span in SPAN.findall(cell) for path in spread(span) if "." in path]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def spread(path: str) -> list[str]:
    """`a/{b,c}.py` as a shell spreads it."""
    parts = [part.split(",") for part in re.split(r"[{}]", path)]
    return ["".join(choice) for choice in product(*parts)]


def members() -> list[Path]:
    folders = [*(ROOT / "services").iterdir(), ROOT / "shared", ROOT / "shared" / "networks", ROOT / "cli"]
    return sorted(folder for folder in folders if (folder / "pyproject.toml").exists())


@pytest.mark.parametrize("member", members(), ids=lambda member: member.name)
def test_every_package_has_its_page_and_names_what_it_holds(member: Path) -> None:
    page = member / "README.md"
    assert page.exists(), f"{page.relative_to(ROOT)} is missing"
    lines = page.read_text().splitlines()
    assert len(lines) <= 60, "one page, not more"
    first_cells = "\n".join(line.split("|")[1] for line in lines if line.startswith("| `"))
    named = [span for span in SPAN.findall(first_cells) if span.endswith((".py", "/")) and span != "/"]
    assert named
    assert [name for name in named if not any(member.glob(f"*/{name}"))] == []


def test_how_to_uses_endpoints_and_client_methods_that_exist() -> None:
    text = (ROOT / "docs" / "how-to" / "the-api.md").read_text()
    wanted = {re.sub(r"\{[^}]*\}", "*", endpoint.split()[1]) for endpoint in endpoints()}
    used = re.findall(r"\$REEL(/[a-z0-9_/…-]*)", text)
    assert len(used) > 15
    for path in used:
        plain = re.sub(r"/(?:(?:job|mdl|key|whe|whd)_[^/]*|active|trainer)(?=/|$)", "/*", path)
        assert plain in wanted, f"docs/how-to/the-api.md calls {path}"
    methods = set(re.findall(r"\breel\.([a-z_]+)\(", text))
    assert len(methods) > 10
    assert [name for name in methods if not callable(getattr(Client, name, None))] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_reel_exist_with_their_options(page: Path) -> None:
    wrong = []
    for block in FENCE.findall(page.read_text()):
        for line in re.findall(r"^(?:\S*/)?reel ([a-z-][^|#\n]*)", block.replace("\\\n", " "), re.MULTILINE):
            command, words = get_command(commands), line.split()
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            given = {word.partition("=")[0] for word in words if word.startswith("--")}
            if hasattr(command, "commands") and words and not given:
                wrong.append(f"reel {line}: there is no such command")
            wrong += [f"reel {line}: there is no option {name}" for name in given - known - {"--help"}]
    assert wrong == []

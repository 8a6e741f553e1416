"""What ``reel demo`` does: films, drawings, platform, mission, report; exits 1 when a figure is not as it should be."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from reel_shared.client import Client
from reel_shared.embedded.server import ServerFailed
from reelsight.commands import console
from reelsight.demo import looking, report
from reelsight.demo.checks import Check, judge
from reelsight.demo.facts import Facts
from reelsight.demo.mission import Mission
from reelsight.demo.person import Person
from reelsight.demo.pictures import Shown
from reelsight.demo.work import MissionFailed
from reelsight.platform.stack import Stack
from reelsight.screen import Screen
from reelsight.studio.catalogue import LABELS, film
from reelsight.studio.films import SECONDS, FilmFile, render_films
from reelsight.studio.gallery import make_gallery
from reelsight.studio.server import serve

SEED = 7


def run(data: Path, port: int | None, *, full: bool = False) -> None:
    """Run the whole mission on films that the studio renders, and report; ``full`` adds what takes longer."""
    screen = Screen(console.err)
    started = time.monotonic()
    screen.step("rendering films and drawings")
    films = _render(data / "studio", screen)
    rendering = time.monotonic() - started
    with serve(data / "studio" / "drawings", seed=SEED) as studio:
        env = {
            "REEL_INGEST__OPENVERSE_URL": studio.url,
            "REEL_INGEST__WIKIMEDIA_URL": studio.commons_url,
            "REEL_INGEST__CONTACT": studio.url,
            "REEL_INGEST__ALLOWED_HOSTS": json.dumps([studio.host]),
            # The studio is on this machine and ours; strangers are asked five times a second at most.
            "REEL_INGEST__FETCHES_PER_HOST_PER_SECOND": "100",
        }
        try:
            with Stack(data, port=port, say=lambda line: console.err.print(line), extra_env=env) as stack:
                booting = time.monotonic() - started - rendering
                client = Client(stack.access.url, stack.access.token)
                # What an earlier run in this folder had taken down is not taken again.
                gone = studio.of_bytes({row["sha256"] for row in client.takedowns()})
                name = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
                mission = Mission(
                    client,
                    films,
                    dataset=name,
                    screen=screen,
                    offers=studio.offers,
                    person=Person(LABELS, seed=SEED, seconds=SECONDS),
                    full=full,
                )
                facts = mission.run()
                sheets = mission.sheets()
                if full:
                    looking.save_reports(client, facts, data.resolve() / "reports")
            facts.peak_bytes = stack.peak_bytes
        except (MissionFailed, ServerFailed, OSError, TimeoutError) as error:
            console.fail(f"{error} The logs are in {data / 'logs'}.")
    bordered = {made.label for made in films if film(made.label).manner.border}
    facts.seconds = {"films and drawings": rendering, "start": booting, **facts.seconds}
    checks = judge(facts, bordered=bordered, planted=studio.expected(gone=gone))
    sys.exit(0 if conclude(facts, checks, data, sheets=sheets) else 1)


def _render(studio: Path, screen: Screen) -> list[FilmFile]:
    """Render films and drawings side by side: neither divides evenly among the cores."""
    with ThreadPoolExecutor(1) as beside, screen.bar("films", unit="%") as update:
        drawn = beside.submit(make_gallery, studio / "drawings", seed=SEED)
        films = render_films(
            studio / "films", seed=SEED, on_progress=lambda share: update(round(100 * share), 100)
        )
        drawn.result()
    return films


def conclude(facts: Facts, checks: list[Check], data: Path, *, sheets: dict[str, list[Shown]]) -> bool:
    """Write and print the report; True when every check passed."""
    path = data.resolve() / "reports" / f"{facts.dataset}.html"
    report.write_html(facts, checks, path, sheets=sheets)
    report.show(console.out, facts, checks, path)
    failed = [check.name for check in checks if not check.passed]
    if failed:
        console.err.print(f"[bold red]Not as it should be:[/] {', '.join(failed)}")
    else:
        console.out.print("  Look at it yourself: `make up`, then open the page and drop a picture.")
    return not failed

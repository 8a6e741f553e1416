"""Requests per second: our inference service beside LitServe, BentoML, Ray Serve and plain FastAPI, in one run.

    python benchmarks/serving.py [--parts eager engine large replicas bulk overload] [--rounds 5] [--seconds 2]
                                 [--quick] [--check] [--json FILE]

The same ResNet-50 at 300 px, the same JPEG uploads as forms, each picture another one, a client on the same cores.
Servers that are not asked just now are frozen.
`eager`: peers as their tutorials start, in torch. `engine`: each peer with our engine and preprocessing.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from embedded_stack import Surroundings, end_on_sigterm
from serving_bulk import OurJobs, PlainCelery, store
from serving_model import LARGE, SMALL, write_model, write_pictures
from serving_rounds import Bound, Place, Table, Targets, window
from serving_subjects import BENCH, OUR_NAME, PEERS, NotInstalled, Subject, frozen, our_service, peer

from reel_shared.cores import usable_cores

PARTS = ("eager", "engine", "large", "replicas", "bulk", "overload")
CLIENTS = (1, 8, 32)
SMALL_NAME, LARGE_NAME = "700x400", "1920x1080"
RAW, NO_MEMORY = f"{OUR_NAME}, picture as body", f"{OUR_NAME}, no memory"
TOLERANCE = {"eager": 0.06, "engine": 0.02}
"""Largest difference of a probability from ours: bf16 from torch's fp32, and bf16 in other batches."""
BULK = 192


class Run:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.logs = folder / "logs"
        self.small = write_pictures(BENCH / "pictures", SMALL, 48)
        self.large = write_pictures(BENCH / "pictures", LARGE, 12)
        self.model = write_model(BENCH / "model", self.small[:24])
        self.targets = Targets()
        self.data: dict[str, Any] = {}

    @contextmanager
    def running(self, subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
        """Start them one after another; one that does not start is reported and left out."""
        with ExitStack() as stack:
            alive = []
            for subject in subjects:
                stack.callback(subject.stop)
                try:
                    subject.start(self.logs)
                except RuntimeError as error:
                    print(f"{subject.name} does not start: {error}")
                    self.targets.missing(f"{subject.name} is compared", "it does not start")
                    continue
                alive.append(subject)
            yield alive

    def peers(self, way: str) -> list[Subject]:
        found = []
        for name in self.arguments.peers:
            try:
                found.append(peer(name, way, self.model))
            except NotInstalled as error:
                print(f"{name} could not be installed: {error}")
                self.targets.missing(f"{name}, {way} is compared", "it could not be installed")
        return found

    def agree(self, subjects: Sequence[Subject], pictures: Sequence[Path], tolerance: float) -> None:
        """Compare every answer with the first subject's; one that differs is a missed target."""
        wanted = [ask(subjects[0], path) for path in pictures]
        for subject in subjects[1:]:
            worst, other = 0.0, 0
            for path, ours in zip(pictures, wanted, strict=True):
                theirs = ask(subject, path)
                worst = max(
                    [worst, *(abs(ours[label] - theirs[label]) for label in ours.keys() & theirs.keys())]
                )
                best, second = sorted(ours.values(), reverse=True)[:2]
                other += (
                    max(ours, key=ours.__getitem__) != max(theirs, key=theirs.__getitem__)
                    and best - second > tolerance
                )
            self.targets.at_most(f"{subject.name}: answers differ from ours by", worst, tolerance)
            self.targets.at_most(f"{subject.name}: other first labels", other, 0)

    def rounds(
        self,
        table: Table,
        subjects: Sequence[Subject],
        pictures: Sequence[Path],
        places: Sequence[Place],
        *,
        bound: bool,
    ) -> None:
        measure = Bound(self.model, pictures) if bound else None
        seconds, warm = self.arguments.seconds, self.arguments.warm
        for place in places:  # every connection, thread and batch size once
            for subject in subjects:
                window([subject.target], pictures, clients=place.clients, seconds=0.2, warm=0.1)
        end = time.monotonic() + 60 * self.arguments.minutes if self.arguments.minutes else math.inf
        for number in range(self.arguments.rounds):
            if time.monotonic() > end:
                print(f"{number} of {self.arguments.rounds} rounds: the time is up", file=sys.stderr)
                break
            for place in places:
                order = subjects if number % 2 else list(reversed(subjects))
                for subject in order:
                    with frozen(one for one in subjects if one is not subject):
                        found = window(
                            [subject.target], pictures, clients=place.clients, seconds=seconds, warm=warm
                        )
                    table.add(subject.name, place, found)
            if measure is not None:
                with frozen(subjects):
                    table.bounds[places[0].size].append(measure.measure(seconds))
            print(f"round {number + 1} of {self.arguments.rounds}", file=sys.stderr)
        if measure is not None:
            measure.close()

    # --- parts ---------------------------------------------------------------------------------------------

    def eager(self, here: Surroundings) -> None:
        table, places = Table(), [Place(SMALL_NAME, clients) for clients in self.arguments.clients]
        with self.running([our_service(here), *self.peers("eager")]) as subjects:
            self.agree(subjects, self.small[:12], TOLERANCE["eager"])
            self.rounds(table, subjects, self.small, places, bound=False)
        table.show(OUR_NAME, places)
        self.data["eager"] = table.data()
        for subject in subjects[1:]:
            for place in places:
                ratio = table.ratio(OUR_NAME, subject.name, place)
                self.targets.at_least(f"ours over {subject.name} at {place.clients}", ratio, 9)

    def engine(self, here: Surroundings) -> None:
        table, places = Table(), [Place(SMALL_NAME, clients) for clients in self.arguments.clients]
        ours = [
            our_service(here),
            our_service(here, RAW, form=False),
            our_service(here, NO_MEMORY, inference__cache_entries=0),
        ]
        with self.running([*ours, *self.peers("engine")]) as subjects:
            self.agree(subjects, self.small[:12], TOLERANCE["engine"])
            self.rounds(table, subjects, self.small, places, bound=True)
        table.show(OUR_NAME, places)
        self.data["engine"] = table.data()
        self._judge(table, places, {1: 1.0, 8: 1.2, 32: 1.1})
        for place in places:
            kind, name = ("lone", "one by one") if place.clients == 1 else ("load", "under load")
            self.targets.at_least(
                f"ours over the bound {name}, {place.clients} at once",
                table.bound_ratio(OUR_NAME, place, kind),
                0.85,
            )

    def large_pictures(self, here: Surroundings) -> None:
        table, places = Table(), [Place(LARGE_NAME, 8)]
        with self.running([our_service(here), *self.peers("engine")]) as subjects:
            self.agree(subjects, self.large, TOLERANCE["engine"])
            self.rounds(table, subjects, self.large, places, bound=True)
        table.show(OUR_NAME, places)
        self.data["large"] = table.data()
        self._judge(table, places, {8: 1.3})
        self.targets.at_least(
            "ours over the bound, 1080p", table.bound_ratio(OUR_NAME, places[0], "load"), 0.85
        )

    def _judge(self, table: Table, places: Sequence[Place], wanted: dict[int, float]) -> None:
        """The best peer at each place, by rate and by p99."""
        theirs = [name for name in table.figures if not name.startswith(OUR_NAME)]
        if not theirs:
            return
        for place in places:
            best = max(theirs, key=lambda name, place=place: table.figures[name][place].rate)
            ratio = table.ratio(OUR_NAME, best, place)
            what = f"ours over the best ({best}), {place.size}, {place.clients} at once"
            self.targets.at_least(what, ratio, wanted.get(place.clients, 1.0))
            quick = min(theirs, key=lambda name, place=place: table.figures[name][place].quantile(0.99))
            ours, other = table.figures[OUR_NAME][place], table.figures[quick][place]
            self.targets.at_most(
                f"our p99 over the lowest ({quick}), {place.size}, {place.clients} at once",
                ours.quantile(0.99) / other.quantile(0.99),
                1.0,
            )

    def replicas(self, here: Surroundings) -> None:
        """One replica on one core, then two on two; the client shares the cores and asks the least busy."""
        cores = usable_cores()
        if cores < 2:
            self.targets.missing("two one-core replicas", "one core here")
            return
        pair = [our_service(here, f"{OUR_NAME} on core {core}", core=core) for core in (0, 1)]
        rates: dict[int, list[float]] = {1: [], 2: []}
        with self.running(pair) as subjects:
            for _ in range(self.arguments.rounds):
                for count in rates:
                    found = window(
                        [subject.target for subject in subjects[:count]],
                        self.small,
                        clients=8 * count,
                        seconds=self.arguments.seconds,
                        warm=self.arguments.warm,
                    )
                    rates[count].append(found["per_second"])
        ratios = sorted(two / one for one, two in zip(rates[1], rates[2], strict=True))
        self.data["replicas"] = rates
        print(f"\none-core replicas: one {median(rates[1]):.1f} a second, two {median(rates[2]):.1f}")
        self.targets.at_least("two one-core replicas over one", median(ratios), 1.85)

    def bulk(self, here: Surroundings) -> None:
        service = our_service(here)
        with self.running([service]) as subjects, ExitStack() as stack:
            ours = OurJobs(here, f"http://127.0.0.1:{subjects[0].port}", self.logs)
            stack.callback(ours.child.stop)
            celery = PlainCelery(here, self.model, self.logs, cores=usable_cores())
            stack.callback(celery.child.stop)
            keys = store(self.small, BULK)
            for way in (ours, celery):
                way.run(keys[:16])
            rates: dict[str, list[float]] = {"jobs": [], "Celery": []}
            for _ in range(self.arguments.rounds):
                rate, answers = ours.run(keys)
                rates["jobs"].append(rate)
                theirs_rate, theirs = celery.run(keys)
                rates["Celery"].append(theirs_rate)
        worst = max(
            abs(chance - dict(pairs(other))[label])
            for mine, other in zip(answers, theirs, strict=True)
            for label, chance in pairs(mine)
            if label in dict(pairs(other))
        )
        self.data["bulk"] = rates
        print(
            f"\nbulk, {BULK} pictures: ours {median(rates['jobs']):.1f} a second, plain Celery with one picture a task "
            f"{median(rates['Celery']):.1f}"
        )
        self.targets.at_most("bulk: answers differ by", worst, TOLERANCE["engine"])
        ratios = [a / b for a, b in zip(rates["jobs"], rates["Celery"], strict=True)]
        self.targets.at_least("bulk jobs over plain Celery", median(ratios), 1.75)

    def overload(self, here: Surroundings) -> None:
        with self.running([our_service(here)]) as subjects:
            found = window(
                [subjects[0].target], self.small, clients=256, seconds=3 * self.arguments.seconds, warm=0.5
            )
        self.data["overload"] = {key: found[key] for key in ("statuses", "unclear", "sent", "per_second")}
        print(
            f"\noverload, 256 at once: by status {found['statuses']}, {found['per_second']:.1f} pictures a second"
        )
        self.targets.at_most(
            "overload: requests without an answer of 200, or 429 with Retry-After", found["unclear"], 0
        )


def ask(subject: Subject, path: Path) -> dict[str, float]:
    """Return a subject's probabilities by label."""
    url = f"http://127.0.0.1:{subject.port}{subject.path}"
    content = path.read_bytes()
    headers = {**subject.headers, "Cache-Control": "no-store"}
    if subject.form:
        answer = httpx.post(
            url, files={"file": ("p.jpg", content, "image/jpeg")}, headers=headers, timeout=60
        )
    else:
        answer = httpx.post(
            url, content=content, headers=headers | {"Content-Type": "image/jpeg"}, timeout=60
        )
    answer.raise_for_status()
    return dict(pairs(answer.json()))


def pairs(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(one["label"], one["probability"]) for one in answer["predictions"]]


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    flags = next((line for line in lines if line.startswith("flags")), "")
    extras = [name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{model}, {usable_cores()} cores, {' '.join(extras) or 'no AVX-512'}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one window")
    parser.add_argument("--warm", type=float, default=0.4, help="seconds before each window")
    parser.add_argument("--minutes", type=float, default=0, help="begin no round later than this in a part")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    end_on_sigterm()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 1.0
    BENCH.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="reel-serving-"))
    try:
        run = Run(arguments, folder)
        with Surroundings(folder) as here:
            here.publish(run.model)
            print(machine())
            for part in arguments.parts:
                getattr(run, "large_pictures" if part == "large" else part)(here)
        run.targets.show()
        if arguments.json:
            found = {"machine": machine(), "figures": run.data, "targets": run.targets.rows}
            arguments.json.write_text(json.dumps(found, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if arguments.check and run.targets.missed else 0)


if __name__ == "__main__":
    main()

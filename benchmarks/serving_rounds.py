"""Windows in rounds, their figures pooled, the tables, and the targets; used by `serving.py`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

LOAD = Path(__file__).with_name("load.py")
PATIENCE = 60.0


class Place(NamedTuple):
    """Which column of which table."""

    size: str
    clients: int


@dataclass
class Figures:
    """All windows of one subject at one place."""

    rates: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    client_cores: list[float] = field(default_factory=list)
    unclear: int = 0
    refused: int = 0

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def quantile(self, share: float) -> float:
        """Milliseconds; of all windows' answers together."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Table:
    """Figures by subject and place."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[Place, Figures]] = defaultdict(dict)
        self.bounds: dict[str, list[dict[str, float]]] = defaultdict(list)

    def add(self, name: str, place: Place, window: dict[str, Any]) -> None:
        found = self.figures[name].setdefault(place, Figures())
        found.rates.append(window["per_second"])
        found.waits += window["waits"]
        found.client_cores.append(window["client_cores"])
        found.unclear += window["unclear"]
        found.refused += window["statuses"].get("429", 0)

    def ratio(self, ours: str, theirs: str, place: Place) -> float:
        """Median over rounds of our rate over theirs in the same round."""
        pairs = zip(self.figures[ours][place].rates, self.figures[theirs][place].rates, strict=True)
        return statistics.median(a / b if b else float("inf") for a, b in pairs)

    def bound_ratio(self, ours: str, place: Place, kind: str) -> float:
        pairs = zip(self.figures[ours][place].rates, self.bounds[place.size], strict=True)
        return statistics.median(a / b[kind] for a, b in pairs)

    def show(self, ours: str, places: Sequence[Place]) -> None:
        names = [name for name in self.figures if any(place in self.figures[name] for place in places)]
        print(f"\n{'':34}" + "".join(f"{f'{p.size}, {p.clients} at once':^40}" for p in places))
        print(f"{'':34}" + f"{'per s':>8}{'ours x':>8}{'p50 ms':>9}{'p99 ms':>9}{'client':>6}" * len(places))
        for name in names:
            cells = ""
            for place in places:
                found = self.figures[name].get(place)
                if found is None:
                    cells += " " * 40
                    continue
                cells += (
                    f"{found.rate:8.1f}{self.ratio(ours, name, place):8.2f}{found.quantile(0.5):9.1f}"
                    f"{found.quantile(0.99):9.1f}{100 * statistics.median(found.client_cores):5.0f}%"
                )
            print(f"{name:34}{cells}")
        for size in dict.fromkeys(place.size for place in places):
            if self.bounds[size]:
                load = statistics.median(one["load"] for one in self.bounds[size])
                lone = statistics.median(one["lone"] for one in self.bounds[size])
                print(
                    f"bound of decoding and engine, {size}: {load:.1f} a second under load, {lone:.1f} one by one"
                )

    def data(self) -> dict[str, Any]:
        return {
            "subjects": {
                name: [
                    {
                        "size": place.size,
                        "clients": place.clients,
                        "rates": found.rates,
                        "p50": found.quantile(0.5),
                        "p99": found.quantile(0.99),
                        "client_cores": found.client_cores,
                        "refused": found.refused,
                        "unclear": found.unclear,
                    }
                    for place, found in places.items()
                ]
                for name, places in self.figures.items()
            },
            "bounds": dict(self.bounds),
        }


class Targets:
    """What was wanted, and whether it was reached."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def at_least(self, what: str, found: float, wanted: float) -> None:
        self._add(what, found, f"at least {wanted:g}", found >= wanted)

    def at_most(self, what: str, found: float, wanted: float) -> None:
        self._add(what, found, f"at most {wanted:g}", found <= wanted)

    def missing(self, what: str, reason: str) -> None:
        self.rows.append({"what": what, "found": None, "wanted": reason, "reached": False})

    def _add(self, what: str, found: float, wanted: str, reached: bool) -> None:
        self.rows.append({"what": what, "found": round(found, 3), "wanted": wanted, "reached": reached})

    @property
    def missed(self) -> int:
        return sum(not row["reached"] for row in self.rows)

    def show(self) -> None:
        print()
        for row in self.rows:
            found = "-" if row["found"] is None else f"{row['found']:g}"
            print(f"{'reached' if row['reached'] else 'MISSED':8} {row['what']}: {found} ({row['wanted']})")


def window(
    targets: Sequence[dict[str, Any]], pictures: Sequence[Path], *, clients: int, seconds: float, warm: float
) -> dict[str, Any]:
    """Let so many clients ask in closed loops, in a process of their own."""
    spec = {
        "targets": list(targets),
        "pictures": [str(path) for path in pictures],
        "clients": clients,
        "seconds": seconds,
        "warm": warm,
        "patience": PATIENCE,
    }
    done = subprocess.run(
        [sys.executable, str(LOAD)], input=json.dumps(spec), capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Bound:
    """A process that measures decoding and engine alone, one window at a time."""

    def __init__(self, model: Path, pictures: Sequence[Path], *, precision: str = "bf16") -> None:
        script = Path(__file__).with_name("serving_bound.py")
        command = [sys.executable, str(script), str(model), precision, *map(str, pictures)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def measure(self, seconds: float) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

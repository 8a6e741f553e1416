"""`python -m scripts.reference [--check]`: writes docs/reference/, or exits with 1 where a page is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.reference import commands, endpoints, jobs, others

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    return {
        "api.md": endpoints.written(),
        "jobs.md": jobs.written((FOLDER / "details.md").read_text()),
        "settings.md": others.settings(),
        "problems.md": others.problems(),
        "metrics.md": others.metrics(),
        "cli.md": commands.written(),
    }


def main() -> int:
    made = pages()
    stale = [
        name
        for name, text in made.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text
    ]
    if "--check" in sys.argv[1:]:
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} is not as the code is; run `make reference`\n")
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(made[name])
    sys.stdout.write(f"written anew: {', '.join(stale) or 'nothing, all was as it should be'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The scan of `make lint` finds what it is there for, and says nothing of what is none."""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
COMMAND = shlex.split(re.findall(r"^SECRETS := (.+)$", MAKEFILE, re.MULTILINE)[0])
HEADER = "-----BEGIN RSA " + "PRIVATE KEY-----"


def scan(path: Path) -> int:
    program = Path(sys.executable).with_name(COMMAND[0])
    return subprocess.run([program, *COMMAND[1:], path], capture_output=True, timeout=60).returncode


@pytest.mark.parametrize(
    "planted",
    [
        f"{HEADER}\nMIIE\n",
        "key = 'AKIA" + "Z7VRSQ5TJN2XMPLQ'\n",
        f"token = '{secrets.token_hex(32)}'\n",
        "url = 'postgresql://reelsight:" + "hunter2hunter2@db.internal/reelsight'\n",
        "auth = 'ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx'\n",
    ],
    ids=["private key", "cloud key", "hex", "password in an address", "token"],
)
def test_a_planted_secret_is_found(tmp_path: Path, planted: str) -> None:
    path = tmp_path / "settings.py"
    path.write_text(planted)
    assert scan(path) != 0


def test_what_is_none_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.py"
    path.write_text("password = 'test'\nurl = 'postgresql://reelsight:FILL-IN@db/reelsight'\n")
    assert scan(path) == 0


def test_a_key_of_ours_would_be_found() -> None:
    (pattern,) = re.findall(r"git grep -nE '([^']+)'", MAKEFILE)
    assert re.fullmatch(
        pattern.replace("$$", "$"), f"reel_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    )

"""Uploads a zip, or a folder as one; used by the commands that bring pictures in."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from reel_shared.client import Client
from reelsight.commands import console


def check_place(path: Path) -> None:
    """End the command unless this is a zip or a folder."""
    if path.is_file() and not zipfile.is_zipfile(path):
        console.fail(f"{path} is no zip archive; give a zip or a folder.", code=console.EXIT_USAGE)


def uploaded(client: Client, place: Path) -> str:
    """Upload a zip, or a folder packed as one, and return its key."""
    if place.is_file():
        return client.upload(place).key
    files = sorted(file for file in place.rglob("*") if file.is_file())
    if not files:
        console.fail(f"The folder {place} is empty.")
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "pictures.zip")
        # Pictures are compressed already; storing them makes the same bytes of the same folder every time.
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                member = zipfile.ZipInfo(file.relative_to(place).as_posix())
                archive.writestr(member, file.read_bytes())
        return client.upload(packed).key

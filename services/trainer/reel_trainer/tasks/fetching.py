"""What the jobs with a child process need: its files brought here, its events passed on. Called by the tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from reel_shared import certificate as certificates
from reel_shared import manifest as manifests
from reel_shared.contracts import StoredFile
from reel_shared.db.models import DatasetVersion
from reel_shared.manifest import Manifest, ManifestImage
from reel_shared.runner import Context
from reel_shared.storage import storage
from reel_shared.threads import Pool
from reel_trainer.recipe import PUBLIC_WEIGHTS

DOWNLOADS = 8
ASK_EVERY_SECONDS = 2.0
MANIFEST_BYTES = 2**30
WEIGHTS_BYTES = 4 * 2**30


def bring_manifest(version: DatasetVersion, path: Path) -> Manifest:
    """Download a version's manifest to ``path`` and return it, checked against its hash."""
    file = StoredFile.model_validate(version.manifest)
    data = storage().get_bytes(file.key, max_bytes=MANIFEST_BYTES, sha256=version.manifest_sha256)
    path.write_bytes(data)
    return manifests.load(data, sha256=version.manifest_sha256)


def bring_certificate(version: DatasetVersion, path: Path) -> Path | None:
    """Download a version's leak certificate to ``path``; None for versions from before it was stored."""
    if version.certificate_file is None:
        return None
    file = StoredFile.model_validate(version.certificate_file)
    path.write_bytes(storage().get_bytes(file.key, max_bytes=certificates.MAX_BYTES, sha256=file.sha256))
    return path


def bring_weights(wish: str, folder: Path) -> str:
    """Return a public source as it is, and anything else as a file fetched from storage; never a local path."""
    if wish in PUBLIC_WEIGHTS:
        return wish
    return str(storage().get_file(wish, folder / "start.safetensors", max_bytes=WEIGHTS_BYTES))


def bring_pictures(context: Context, images: Sequence[ManifestImage], folder: Path) -> None:
    """Download pictures as ``folder / sha256``, each file once, checked against its hash."""
    wanted = {image.sha256: image.key for image in images}
    with Pool(DOWNLOADS, thread_name_prefix="download") as pool:
        try:
            coming = [
                pool.submit(storage().get_file, key, folder / sha, sha256=sha) for sha, key in wanted.items()
            ]
            for done, future in enumerate(as_completed(coming), start=1):
                future.result()
                context.progress(done, len(wanted), unit="pictures", message="fetching pictures")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def relay(context: Context) -> Callable[[str, dict[str, Any]], None]:
    def hear(event: str, data: dict[str, Any]) -> None:
        if event == "progress":
            message = data.get("message") or f"stage {data['stage']}"
            context.progress(data["done"], data["total"], unit=data["unit"], message=message)
        elif event == "epoch":
            context.metric(**data)

    return hear


def attentive(context: Context, *, ask: Callable[[], bool] = lambda: False) -> Callable[[], bool]:
    """Look for a cancel wish every other second, also while a silent child reports no progress; return ``ask()``."""
    asked, answer = time.monotonic(), False

    def look() -> bool:
        nonlocal asked, answer
        if time.monotonic() - asked >= ASK_EVERY_SECONDS:
            asked = time.monotonic()
            context.beat()
            answer = ask()
        context.check()
        return answer

    return look

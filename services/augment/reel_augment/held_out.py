"""The originals that a dataset version validates on; called by ``tasks``."""

from __future__ import annotations

from reel_shared import manifest as manifests
from reel_shared.contracts import StoredFile
from reel_shared.db.engine import transact
from reel_shared.db.models import DatasetVersion
from reel_shared.errors import NotFound
from reel_shared.manifest import Side
from reel_shared.storage import storage

MANIFEST_BYTES = 2**30


def validation_ids(version_id: str) -> set[str]:
    """Raises NotFound for a version that does not exist."""
    row = transact(lambda session: session.get(DatasetVersion, version_id))
    if row is None:
        raise NotFound(f"There is no dataset version {version_id}.")
    key = StoredFile.model_validate(row.manifest).key
    data = storage().get_bytes(key, max_bytes=MANIFEST_BYTES, sha256=row.manifest_sha256)
    return {image.id for image in manifests.load(data, sha256=row.manifest_sha256).on(Side.VALID)}

"""Writes a dataset version as a zip that other tools read as it is; called by the ``export_dataset`` task.

One folder a side and in it one a class is what fastai and torchvision call image folders; with ``metadata.jsonl``
in each, and the head of the README, it is a Hugging Face data set. ``images.csv`` lists both sides for whoever reads
tables. Probe pictures are not in it: who splits a table by ``is_valid`` would train on them. Their ``metadata.jsonl``
lists them.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from reel_shared import manifest as manifests
from reel_shared.contracts import Variant
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_trainer.tables import descriptions, spreadsheet

_SPLITS = {Side.TRAIN.value: "train", Side.VALID.value: "validation"}
"""Hugging Face's names of our folders; a probe set is a configuration of its own with the split ``test``."""
README = """{card}# {dataset}, version {version}

{images} pictures of {classes} classes. `train/`, `valid/` and each `probe-…/` hold a folder a class; no scene, no
picture and no copy of one lies in two of them. `images.csv` lists the pictures of `train/` and `valid/` with their
licences and where they come from; those of a probe set are for measuring only and stand in the `metadata.jsonl`
beside them. `manifest.json` is the version as Reelsight keeps it.

With fastai:

    from fastai.vision.all import *
    data = ImageDataLoaders.from_folder("{dataset}", train="train", valid="valid", item_tfms=Resize(300, method="crop"))

With Hugging Face datasets:

    load_dataset("./{dataset}")                            # train and validation
    load_dataset("./{dataset}", "probe-…", split="test")   # one probe set

Each picture keeps the licence of its source; see the column `licence`, and name the creators as it asks.
"""


def folder_of(image: ManifestImage) -> str | None:
    """Return the folder of a picture's side; None for one that is on no side."""
    if image.split == Side.EXCLUDED:
        return None
    return f"probe-{image.probe}" if image.split == Side.PROBE else image.split.value


def chosen(manifest: Manifest, *, variants: bool) -> list[ManifestImage]:
    """Return the pictures that an export holds."""
    return [
        image
        for image in manifest.images
        if image.split != Side.EXCLUDED and (variants or image.variant == Variant.ORIGINAL)
    ]


def file_name(image: ManifestImage) -> str:
    """Return a picture's name in the archive: side, class, id."""
    return f"{folder_of(image)}/{image.label}/{image.id}{PurePosixPath(image.key).suffix}"


def pack(
    manifest: Manifest,
    images: list[ManifestImage],
    path: Path,
    *,
    version_id: str,
    read: Callable[[ManifestImage], Iterator[bytes]] | None,
    tick: Callable[[int], None],
) -> dict[str, int]:
    """Write the archive and return how many pictures lie in each folder.

    ``read`` gives a picture's bytes in parts; None leaves the pictures out. ``tick`` hears how many are done.
    Pictures are stored uncompressed, with a fixed date, so that the same version gives the same bytes.
    """
    folders = sorted({folder for image in images if (folder := folder_of(image)) is not None})
    by_id = {image.id: image for image in manifest.images}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        about = README.format(
            card=_card(folders),
            dataset=manifest.dataset,
            version=version_id,
            images=len(images),
            classes=len(manifest.classes),
        )
        _add(archive, "README.md", about.encode())
        _add(archive, "manifest.json", manifests.to_bytes(manifest))
        sides = [(image, _place(image)) for image in images if image.split in (Side.TRAIN, Side.VALID)]
        _add(archive, "images.csv", spreadsheet(sides, by_id))
        for folder, description in _described(folders, images, by_id):
            _add(archive, f"{folder}/metadata.jsonl", description)
        for done, image in enumerate(images if read else [], start=1):
            assert read is not None
            with archive.open(_member(file_name(image)), "w") as file:
                for part in read(image):
                    file.write(part)
            tick(done)
    return dict(sorted(Counter(folder_of(image) or "" for image in images).items()))


def _place(image: ManifestImage) -> dict[str, str | bool | None]:
    return {
        "file_name": file_name(image),
        "split": folder_of(image),
        "is_valid": image.split == Side.VALID,
    }


def _described(
    folders: list[str], images: list[ManifestImage], by_id: Mapping[str, ManifestImage]
) -> Iterator[tuple[str, bytes]]:
    inside: dict[str, dict[str, ManifestImage]] = {folder: {} for folder in folders}
    for image in images:
        if (folder := folder_of(image)) is not None:
            inside[folder][file_name(image).removeprefix(f"{folder}/")] = image
    apart = [{folder: inside[folder]} for folder in folders if folder not in _SPLITS]
    for together in [{folder: inside[folder] for folder in folders if folder in _SPLITS}, *apart]:
        yield from descriptions(together, by_id).items()


def _card(folders: list[str]) -> str:
    """Return a Hugging Face card's head that says which folder is which split.

    Without it the splits are guessed from words in paths, and a class may be called ``test``.
    """
    sides = [(_SPLITS[folder], folder) for folder in folders if folder in _SPLITS]
    configs = [
        ("default", sides),
        *((folder, [("test", folder)]) for folder in folders if folder not in _SPLITS),
    ]
    lines = ["---", "configs:"]
    for name, files in configs:
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, folder in files:
            lines += [f"  - split: {split}", f"    path: {folder}/**"]
    return "\n".join([*lines, "---", "", ""])


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_member(name), content, zipfile.ZIP_DEFLATED)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member

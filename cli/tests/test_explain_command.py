"""``reel explain``: which options it takes, and which files of a result it fetches under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from reel_shared.contracts import (
    ExplainPictureResult,
    Explanation,
    FeatureSheet,
    LabelDifference,
    StoredFile,
)
from reelsight.commands.explain import drawing_options, fetched, files_of


def file(name: str, suffix: str) -> StoredFile:
    return StoredFile(key=f"explanations/{name}{suffix}", media_type="image/png", size=1, sha256="0" * 64)


def test_options_are_read_as_the_request_means_them() -> None:
    spoken = ["alpha=0.5", "colormap=jet", "rectify=false", 'methods=["guided"]']
    assert drawing_options(spoken) == {
        "alpha": 0.5,
        "colormap": "jet",
        "rectify": False,
        "methods": ["guided"],
    }


@pytest.mark.parametrize("spoken", ["alpha=2", "colour=red", "alpha"])
def test_a_wrong_option_is_a_usage_error_that_says_what_is_right(
    spoken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        drawing_options([spoken])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "name=value" in said or "colormap" in said


def test_every_file_of_a_result_is_fetched_under_a_name_of_its_own(tmp_path: Path) -> None:
    result = ExplainPictureResult(
        model="mdl_a",
        predictions=[],
        picture=file("square", ".png"),
        explanations=[
            Explanation(
                label=label,
                probability=0.5,
                gradcam=file(f"{label}-heat", ".png"),
                arrays={"gradcam": file(f"{label}-heat", ".npy")},
            )
            for label in ("kiki", "howl")
        ],
        difference=LabelDifference(
            labels=("kiki", "howl"), largest=1.0, picture=file("less", ".png"), array=file("less", ".npy")
        ),
        features=[
            FeatureSheet(label=None, channels=[], picture=file("active", ".png")),
            FeatureSheet(label="kiki", channels=[], picture=file("heavy", ".png")),
        ],
        panel=file("panel", ".png"),
        animation=file("fade", ".gif"),
    )

    class Bucket:
        def download(self, url: str) -> bytes:
            return url.encode()

    names = []
    for _, name, found in files_of(result.model_dump(mode="json")):
        path = fetched(Bucket(), {**found, "url": found["key"]}, tmp_path / f"a-{name}")  # type: ignore[arg-type]
        names.append(path.name)
        assert path.read_bytes().decode() == found["key"]
    assert sorted(names) == [
        "a-active-features.png",
        "a-animation.gif",
        "a-howl-gradcam.npy",
        "a-howl-gradcam.png",
        "a-kiki-features.png",
        "a-kiki-gradcam.npy",
        "a-kiki-gradcam.png",
        "a-kiki-less-howl.npy",
        "a-kiki-less-howl.png",
        "a-panel.png",
    ]

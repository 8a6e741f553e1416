"""The table that ``reel train`` ends with."""

from __future__ import annotations

from rich.console import Console

from reelsight.commands.training import _metrics


def test_test_time_augmentation_is_a_column_of_the_part_it_belongs_to() -> None:
    metrics = {
        "all": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "images": 150, "macro_f1": 0.89},
        "variant:invert": {"accuracy": 0.5, "accuracy_interval": None, "images": 60},
        "tta:all": {"accuracy": 0.92, "images": 150},
    }
    screen = Console(record=True, width=120)
    screen.print(_metrics(metrics))
    head, *rows = (line.split() for line in screen.export_text().splitlines())
    assert head[-6:] == ["augmented", "macro", "F1", "top", "3", "calibration"]
    assert rows == [
        ["all", "150", "0.900", "0.800", "to", "0.950", "0.920", "0.890"],
        ["variant:invert", "60", "0.500"],
    ]

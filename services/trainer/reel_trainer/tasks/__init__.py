"""The jobs of the queue ``trainer``; importing this registers them. Called by the worker of the queue."""

from reel_trainer.tasks.exports import export_dataset
from reel_trainer.tasks.labels import check_labels
from reel_trainer.tasks.leak_gaps import measure_leak_gap
from reel_trainer.tasks.learning_rates import find_learning_rate
from reel_trainer.tasks.trainings import train_model
from reel_trainer.tasks.versions import build_dataset_version

__all__ = [
    "build_dataset_version",
    "check_labels",
    "export_dataset",
    "find_learning_rate",
    "measure_leak_gap",
    "train_model",
]

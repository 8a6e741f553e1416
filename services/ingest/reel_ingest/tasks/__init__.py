"""The jobs of the queue `ingest`; importing this registers them. Called by the worker of the queue."""

from reel_ingest.tasks.imports import import_dataset
from reel_ingest.tasks.movies import extract_frames
from reel_ingest.tasks.ranges import extract_range
from reel_ingest.tasks.subjects import rank_subjects
from reel_ingest.tasks.takedowns import take_down_pictures
from reel_ingest.tasks.web_pictures import collect_pictures

__all__ = [
    "collect_pictures",
    "extract_frames",
    "extract_range",
    "import_dataset",
    "rank_subjects",
    "take_down_pictures",
]

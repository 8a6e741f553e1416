"""The jobs of the queue ``explainer``; importing this registers them. Called by the worker of the queue."""

from reel_explainer.tasks.attention import compare_attention
from reel_explainer.tasks.batches import explain_part, explain_pictures
from reel_explainer.tasks.pictures import explain_picture

__all__ = ["compare_attention", "explain_part", "explain_picture", "explain_pictures"]

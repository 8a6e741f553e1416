"""Leak-free dataset versions, staged fastai training, evaluation, export."""

"""Predictions from the exported graph; no torch."""

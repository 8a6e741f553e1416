"""Frames from films and pictures from the web, into object storage."""

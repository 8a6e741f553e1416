"""Gives every test of the repository the real servers and the settings for one test."""

from __future__ import annotations

pytest_plugins = ["reel_shared.testing.servers", "reel_shared.testing.stack"]

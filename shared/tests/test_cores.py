"""The usable cores follow the quota of either cgroup version, and garbage means no quota."""

from __future__ import annotations

from pathlib import Path

import pytest

from reel_shared.cores import usable_cores


@pytest.mark.parametrize("quota", ["50000 100000\n", "100000 100000\n", "1000 100000"])
def test_a_quota_of_at_most_one_core_means_one(tmp_path: Path, quota: str) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize("quota", ["max 100000\n", "99999900000 100000", "", "rubbish", "1 2 3"])
def test_without_a_quota_that_binds_every_allowed_core_is_used(tmp_path: Path, quota: str) -> None:
    free = usable_cores(tmp_path)
    assert free >= 1
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path) == free


def test_the_first_cgroup_version_is_read_too(tmp_path: Path) -> None:
    free = usable_cores(tmp_path)
    home = tmp_path / "cpu"
    home.mkdir()
    (home / "cpu.cfs_period_us").write_text("100000")
    (home / "cpu.cfs_quota_us").write_text("100000")
    assert usable_cores(tmp_path) == 1
    (home / "cpu.cfs_quota_us").write_text("-1")
    assert usable_cores(tmp_path) == free

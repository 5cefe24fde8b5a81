"""Campaigns on a real Dask cluster of several processes, one of which is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="campaigns are written as Parquet: pip install 'bomrl-theory[campaign]'")
pytest.importorskip("distributed", reason="needs a Dask cluster: pip install 'bomrl-theory[dask]'")

import distributed
from campaign_helpers import SMALL, content, rows_of, run, write
from helpers import Bomrl

from bomrl_theory.campaign.command import Campaign, done

LONGER = SMALL.replace("cases = 4", "cases = 12").replace('"uniform", ', "")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three worker processes of two threads each, which must not disturb each other."""
    with distributed.LocalCluster(n_workers=3, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster:
        yield cluster


def test_a_killed_worker_loses_nothing_and_nothing_counts_twice(cluster: Any, tmp_path: Path) -> None:
    """A worker with chunks under way is killed with SIGKILL; every byte is as in a run in this process."""
    campaign = Campaign.begin(write(tmp_path, LONGER), tmp_path / "dask")
    chunks = len(campaign.open)
    told: list[tuple[int, int]] = []
    killed: list[int] = []

    def kill_one(one: Any) -> None:
        told.append((one.chunk.cell.index, one.chunk.index))
        if len(told) < 3 or killed:
            return
        for nanny in cluster.workers.values():
            if cluster.scheduler.workers[nanny.worker_address].processing:
                killed.append(nanny.pid)
                os.kill(nanny.pid, signal.SIGKILL)
                return

    campaign.run(done(campaign, "dask", 1, cluster.scheduler_address), kill_one)
    campaign.summary()
    assert killed
    assert len(told) == len(set(told)) == chunks
    run(tmp_path / "spec.toml", tmp_path / "serial")
    assert content(tmp_path / "dask") == content(tmp_path / "serial")
    places = [tuple(row[key] for key in ("cell", "case", "task", "theorem")) for row in rows_of(tmp_path / "dask")]
    assert len(set(places)) == len(places)


def test_the_command_uses_the_cluster(cluster: Any, bomrl: Bomrl, tmp_path: Path) -> None:
    """``--scheduler`` is enough."""
    write(tmp_path)
    code, out, err = bomrl("campaign", "spec.toml", "-o", "out", "--scheduler", cluster.scheduler_address)
    assert code == 0, err
    assert "all certified" in out
    run(tmp_path / "spec.toml", tmp_path / "serial")
    assert content(tmp_path / "out") == content(tmp_path / "serial")


def test_no_scheduler_answers(bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the address and the remedy."""
    monkeypatch.setattr("bomrl_theory.campaign.backends.PATIENCE", 0.2)
    write(tmp_path)
    code, _, err = bomrl("campaign", "spec.toml", "-o", "out", "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2
    assert "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there" in err
    assert "dask worker" in err
    assert not (tmp_path / "out").exists()  # so that the next try needs no --resume

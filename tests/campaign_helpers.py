"""A small campaign for tests, run here, and what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bomrl_theory.campaign.backends import Backend
from bomrl_theory.campaign.command import Campaign, done

SMALL = """
name = "small"
seed = 3
theorems = ["contraction_kl_posterior", "task_variance_sharp", "no_adaptation", "cpo_upper"]
cases = 4
chunk = 3
batch = 2

[adaptation]
algorithms = ["none", "kl-posterior", "wrong-task"]
lambdas = ["random"]
meta_policies = ["uniform", "barycentre"]

[[families]]
kind = "garnet"
states = 3
actions = 2
branching = 2
tasks = [1, 3]

[[families]]
kind = "corners"
"""
"""Theorems about a task and about a family, and an algorithm that mixes tasks."""


def write(folder: Path, text: str = SMALL, name: str = "spec.toml") -> Path:
    """The campaign's file."""
    path = folder / name
    path.write_text(text)
    return path


def run(spec: Path, folder: Path, backend: Backend = "serial", *, resume: bool = False, workers: int = 2) -> Campaign:
    """The campaign from begin to end."""
    campaign = Campaign.begin(spec, folder, resume=resume)
    campaign.run(done(campaign, backend, workers, None))
    campaign.summary()
    return campaign


def content(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The verdicts in a folder."""
    return pq.read_table(folder / "cases").to_pylist()

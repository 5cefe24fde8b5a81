"""Certified optima of 100,000 Garnet tasks of 16 states: all cores of the host against a GPU, both in float64.

    python benchmarks/batch_gpu.py [--tasks 100000] [--device cuda]

On the device the tasks are there already and the bounds stay there; a second row counts the way there and back. The
device's bounds are compared with the host's. Writes batch_gpu.json beside this file; without a GPU nothing is written,
and torch on the CPU stands in for it (``--device cpu``).
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from machine import machine

from bomrl_theory.cli import run
from bomrl_theory.exact.device import certified_optimum_on, device_named, optimum
from bomrl_theory.exact.enclose import CertifiedOptimum, certified_optimum
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet

REPEATS = 7
PACKAGES = ("numpy", "numba", "torch")


def on_all_cores(family: TaskFamily) -> Callable[[], list[CertifiedOptimum]]:
    """A share for each core; the compiled kernel lets other threads run."""
    cores = os.cpu_count() or 1
    edges = np.linspace(0, family.tasks, cores + 1).astype(int)
    shares = [family.only(range(*edge)) for edge in pairwise(edges)]
    pool = ThreadPoolExecutor(cores)
    return lambda: list(pool.map(certified_optimum, shares))


def seconds(call: Callable[[], Any], place: torch.device) -> list[float]:
    """Wall time of each repeat, after one that is not counted."""
    found = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        call()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        found.append(time.perf_counter() - started)
    return found[1:]


@click.command(help=__doc__)
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu", show_default=True)
def main(tasks: int, device: str) -> None:
    place = device_named(device)
    family = garnet(tasks=tasks, rng=np.random.default_rng(2024))
    W, r = torch.tensor(family.P, device=place), torch.tensor(family.r, device=place)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else "the CPU"
    rows = {
        f"host, {os.cpu_count()} cores": seconds(on_all_cores(family), place),
        f"torch on {name}": seconds(lambda: optimum(W, r, family.gamma), place),
        f"torch on {name}, from the host and back": seconds(lambda: certified_optimum_on(device, family), place),
    }
    host, there = certified_optimum(family), certified_optimum_on(device, family)
    apart = np.maximum(np.abs(host.bounds.low - there.bounds.low), np.abs(host.bounds.high - there.bounds.high)).max()
    same = float((host.actions == there.actions).mean())
    reference = statistics.median(next(iter(rows.values())))
    for row, times in rows.items():
        median = statistics.median(times)
        span = f"{min(times) * 1e3:.1f} to {max(times) * 1e3:.1f}"
        click.echo(f"{row}: {median * 1e3:.1f} ms ({span}), {reference / median:.2f} times")
    radius = there.bounds.radius.max()
    click.echo(f"bounds at most {apart:.1e} apart, {same:.2%} of the actions alike; largest radius {radius:.1e}")
    if place.type == "cuda":
        found = {"machine": machine(PACKAGES), "device": name, "tasks": tasks, "seconds": rows, "apart": float(apart)}
        (Path(__file__).parent / "batch_gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    else:
        click.echo("no CUDA GPU was measured")


if __name__ == "__main__":
    run(main)

"""100,000 Garnet tasks of 16 states on the host and on a GPU, both in float64: certified optima, and whole verdicts.

    python benchmarks/batch_gpu.py [--tasks 100000] [--device cuda]

On the device the tasks are there already and the bounds stay there; a second row counts the way there and back. The
device's bounds are compared with the host's. Verdicts are those of the universal bound for Alg^(2) under the uniform
policy, from the tasks' weights to grades; the host uses one core, which also adapts in floats for the device. Writes
batch_gpu.json beside this file; without a GPU nothing is written, and torch on the CPU stands in for it
(``--device cpu``).
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import Counter
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
from bomrl_theory.numbers import computing_on
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.verdict import judge

REPEATS = 7
VERDICTS_REPEATS = 3
BATCH = 10_000
"""Tasks that are judged at once."""
BOUND = "contraction_kl_posterior"
PACKAGES = ("numpy", "numba", "torch")


def on_all_cores(family: TaskFamily) -> Callable[[], list[CertifiedOptimum]]:
    """A share for each core; the compiled kernel lets other threads run."""
    cores = os.cpu_count() or 1
    edges = np.linspace(0, family.tasks, cores + 1).astype(int)
    shares = [family.only(range(*edge)) for edge in pairwise(edges)]
    pool = ThreadPoolExecutor(cores)
    return lambda: list(pool.map(certified_optimum, shares))


def judged(family: TaskFamily, device: str | None) -> Counter[str]:
    """What comes of every task; nothing is remembered from one call to the next."""
    counts: Counter[str] = Counter()
    phi, theorem = uniform_policy(family.states, family.actions), theorem_named(BOUND)
    with computing_on(device):
        for first in range(0, family.tasks, BATCH):
            part = family.only(range(first, min(first + BATCH, family.tasks)))
            verdicts = judge(theorem, Case.new(part, phi, "kl-posterior", "1/10"))
            counts.update(f"{verdict.outcome}, {verdict.grade}" for verdict in verdicts)
    return counts


def seconds(call: Callable[[], Any], place: torch.device, repeats: int = REPEATS) -> list[float]:
    """Wall time of each repeat, after one that is not counted."""
    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        call()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        found.append(time.perf_counter() - started)
    return found[1:]


def tell(rows: dict[str, list[float]]) -> None:
    """Each row's time, and how many times as fast as the first it is."""
    reference = statistics.median(next(iter(rows.values())))
    for row, times in rows.items():
        median = statistics.median(times)
        span = f"{min(times) * 1e3:.1f} to {max(times) * 1e3:.1f}"
        click.echo(f"{row}: {median * 1e3:.1f} ms ({span}), {reference / median:.2f} times")


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
    verdicts = {
        "verdicts, host, 1 core": seconds(lambda: judged(family, None), place, VERDICTS_REPEATS),
        f"verdicts, torch on {name}": seconds(lambda: judged(family, device), place, VERDICTS_REPEATS),
    }
    tell(rows)
    tell(verdicts)
    counts, counts_there = judged(family, None), judged(family, device)
    click.echo(f"{counts_there}; {'the same' if counts == counts_there else 'not the same'} on the host")
    radius = there.bounds.radius.max()
    click.echo(f"bounds at most {apart:.1e} apart, {same:.2%} of the actions alike; largest radius {radius:.1e}")
    if place.type == "cuda":
        found = {
            "machine": machine(PACKAGES),
            "device": name,
            "tasks": tasks,
            "seconds": rows | verdicts,
            "apart": float(apart),
            "verdicts": counts_there,
            "verdicts_alike": counts == counts_there,
        }
        (Path(__file__).parent / "batch_gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    else:
        click.echo("no CUDA GPU was measured")


if __name__ == "__main__":
    run(main)

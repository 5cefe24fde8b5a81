"""Locomotion against what one would write without this package: ``python benchmarks/locomotion.py [--quick]``.

The reference is plain: Gymnasium's ``SyncVectorEnv`` of HalfCheetah-v5 or Ant-v5 under a wrapper that gives the goal's
reward, the same policy, tasks and numbers of trajectories; for whole meta-iterations, which :mod:`meta_iteration`
compares, also a loop over tasks with double backward. Contestants take turns, so that a busy machine slows all;
wall times of several threads need an idle one (the load average is written down).
Writes locomotion.md and locomotion.json beside this file. Rollouts are listed in ``WORKS``, with their contestants;
meta-iterations are named by their learner.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import meta_iteration
import numpy as np
import torch
from machine import machine
from plain.rollouts import environments_of
from size import Size

from bomrl_theory.control.catalogue import simulator_named
from bomrl_theory.control.locomotion.models import unheard_warnings
from bomrl_theory.control.locomotion.rollout import Locomotion
from bomrl_theory.control.policy import GaussianNetwork

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "torch", "mujoco", "gymnasium")
POLICY = (("policy.py", "act"), ("policy.py", "distribution"), ("independent.py", "log_prob"))
CORES = os.cpu_count() or 1


Timed = Callable[[], tuple[float, float]]
"""Does the work; how many units of it were done, and the mean reward of a step, which contestants have in common."""


@dataclass(frozen=True)
class Work:
    """What is compared.

    Attributes:
        unit: what rates count.
        sizes: full, and with ``--quick``.
        contestants: by name, from a size to the timed call; the first is the reference of ratios.
    """

    unit: str
    sizes: tuple[tuple[Size, ...], tuple[Size, ...]]
    contestants: dict[str, Callable[[Size], Timed]]


def policy_of(simulator: Locomotion, tasks: int) -> tuple[GaussianNetwork, torch.Tensor]:
    policy = GaussianNetwork(simulator.observations, simulator.actions)
    theta = policy.start(torch.Generator().manual_seed(0), torch.float32)
    return policy, theta.expand(tasks, -1).contiguous()


def built(size: Size, threads: int) -> Locomotion:
    simulator = simulator_named(size.task, preset="promp", horizon=size.horizon, threads=threads)
    assert isinstance(simulator, Locomotion)
    return simulator


def ours(threads: int) -> Callable[[Size], Timed]:
    def prepare(size: Size) -> Timed:
        simulator, rng = built(size, threads), np.random.default_rng(1)
        policy, theta = policy_of(simulator, size.tasks)
        tasks = simulator.draw_tasks(size.tasks, rng)

        def collect() -> tuple[float, float]:
            batch = simulator.rollout(policy, theta, tasks, size.trajectories, rng)
            return batch.steps, float(batch.rewards.sum()) / batch.steps

        return collect

    return prepare


def sync_vector_env(size: Size) -> Timed:
    """One environment a trajectory in one process, the policy on all of them together."""
    simulator, rng = built(size, 1), np.random.default_rng(1)
    policy, theta = policy_of(simulator, size.tasks)
    goals = np.repeat(simulator.draw_tasks(size.tasks, rng)[:, 0], size.trajectories)
    with unheard_warnings():
        environments = environments_of(size.task, goals)

    def collect() -> tuple[float, float]:
        total, shape = 0.0, (size.tasks, size.trajectories)
        observation, _ = environments.reset()
        for _ in range(size.horizon):
            seen = torch.from_numpy(observation.astype(np.float32)).view(*shape, -1)
            noise = torch.from_numpy(rng.standard_normal((*shape, simulator.actions), dtype=np.float32))
            with torch.no_grad():
                action = policy.act(theta, seen, noise).flatten(0, 1).numpy()
            observation, reward, *_ = environments.step(action)
            total += float(reward.sum())
        steps = len(goals) * size.horizon
        return steps, total / steps

    return collect


WORKS = {
    "rollouts": Work(
        "control steps",
        (
            (
                Size("half-cheetah-vel", 20, 10, 100),
                Size("half-cheetah-vel", 40, 20, 50),
                Size("ant-vel", 20, 10, 50),
                Size("ant-vel", 40, 20, 20),
            ),
            (Size("half-cheetah-vel", 4, 5, 20), Size("ant-vel", 4, 5, 10)),
        ),
        {
            "SyncVectorEnv": sync_vector_env,
            "ours, one thread": ours(1),
            f"ours, {CORES} threads": ours(CORES),
        },
    ),
}
META_SIZES = (
    (Size("half-cheetah-vel", 20, 10, 100),),
    (Size("half-cheetah-vel", 4, 5, 20),),
)
"""Of whole meta-iterations, that of ``bomrl train`` with a horizon of 100, and with ``--quick``."""


def measure(work: Work, size: Size, repeats: int) -> dict[str, dict[str, Any]]:
    """Wall and CPU seconds of each repeat and how much each contestant did in one; a first call is not counted."""
    calls = {name: prepare(size) for name, prepare in work.contestants.items()}
    found: dict[str, dict[str, Any]] = {name: {"wall": [], "cpu": [], "reward": []} for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            units, reward = call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if repeat:
                found[name]["wall"].append(wall / units)
                found[name]["cpu"].append(cpu / units)
                found[name]["reward"].append(reward)
    return found


def shares(size: Size) -> dict[str, float]:
    """Where the CPU time of one of our rollouts goes: simulator, policy, everything else."""
    collect = ours(1)(size)
    collect()
    profile = cProfile.Profile(time.process_time)
    profile.runcall(collect)
    seconds = {"simulator": 0.0, "policy": 0.0}
    stats: Any = pstats.Stats(profile)
    for (file, _, function), (_, _, own, cumulative, _) in stats.stats.items():
        if "mujoco._batch" in function:
            seconds["simulator"] += own
        elif (Path(file).name, function) in POLICY:
            seconds["policy"] += cumulative
    total = float(stats.total_tt)
    return {name: value / total for name, value in seconds.items()} | {"rest": 1 - sum(seconds.values()) / total}


def table(work: Work, size: Size, found: dict[str, dict[str, Any]]) -> str:
    """Markdown: medians with the span of the repeats."""
    lines = [
        f"## Rollouts: {size}",
        "",
        f"| | {work.unit} / s of wall time | span | ratio | / s of CPU time | ratio | mean reward |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    first: dict[str, float] = {}
    for name, row in found.items():
        rates = {kind: 1 / statistics.median(row[kind]) for kind in ("wall", "cpu")}
        first = first or rates
        span = f"{1 / max(row['wall']):,.0f} to {1 / min(row['wall']):,.0f}"
        ratios = {kind: f"{rates[kind] / first[kind]:.2f}" for kind in rates}
        reward = statistics.mean(row["reward"])
        lines.append(
            f"| {name} | {rates['wall']:,.0f} | {span} | {ratios['wall']} | {rates['cpu']:,.0f} | {ratios['cpu']} "
            f"| {reward:.3f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute; nothing is written")
    parser.add_argument("--only", choices=[*WORKS, *meta_iteration.LEARNERS], action="append")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    about = machine(PACKAGES) | {"load average at the start": round(os.getloadavg()[0], 1)}
    described = ", ".join(f"{key} {value}" for key, value in about.items())
    results: dict[str, Any] = {}
    blocks = [f"# Locomotion\n\nMedians of {arguments.repeats} repeats, contestants in turn. Machine: {described}.\n"]

    def told(block: str) -> None:
        blocks.append(block)
        print(block, flush=True)

    for name in arguments.only or (*WORKS, *meta_iteration.LEARNERS):
        sizes = WORKS[name].sizes if name in WORKS else META_SIZES
        for size in sizes[arguments.quick]:
            print(f"{name}: {size}", file=sys.stderr)
            if name in WORKS:
                found, spent = measure(WORKS[name], size, arguments.repeats), shares(size)
                results.setdefault(name, []).append({"size": vars(size), "contestants": found, "shares": spent})
                parts = ", ".join(f"{part} {value:.1%}" for part, value in spent.items())
                told(f"{table(WORKS[name], size, found)}\nOurs on one thread spends its CPU time on: {parts}.\n")
            else:
                alike = meta_iteration.compared(name)
                found = meta_iteration.measure(name, size, arguments.repeats, CORES)
                results.setdefault(name, []).append({"size": vars(size), "contestants": found, "differences": alike})
                told(meta_iteration.table(name, size, found, alike))
    print(described)
    if not arguments.quick:
        (HERE / "locomotion.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
        (HERE / "locomotion.md").write_text("\n".join(blocks))


if __name__ == "__main__":
    main()

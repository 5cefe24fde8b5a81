"""Locomotion against what one would write without this package: ``python benchmarks/locomotion.py [--quick]``.

The reference is plain: Gymnasium's ``SyncVectorEnv`` of HalfCheetah-v5 or Ant-v5 under a wrapper that gives the goal's
reward, the same policy, tasks and numbers of trajectories. Contestants take turns, so that a busy machine slows all;
wall times of several threads need an idle one (the load average is written down).
Writes locomotion.md and locomotion.json beside this file. Works are listed in ``WORKS``; each names its contestants.
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

import numpy as np
import torch
from run import machine

from bomrl_theory.control.catalogue import simulator_named
from bomrl_theory.control.locomotion.models import unheard_warnings
from bomrl_theory.control.locomotion.rollout import Locomotion
from bomrl_theory.control.policy import GaussianNetwork

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "torch", "mujoco", "gymnasium")
ENVIRONMENTS = {
    "half-cheetah-vel": ("HalfCheetah-v5", {"ctrl_cost_weight": 0.05}),
    "ant-vel": (
        "Ant-v5",
        {"ctrl_cost_weight": 0.5, "healthy_z_range": (0.0, 1.0), "include_cfrc_ext_in_observation": False},
    ),
}
POLICY = (("policy.py", "act"), ("policy.py", "distribution"), ("independent.py", "log_prob"))
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Size:
    """What is done once: tasks, trajectories of each, and steps of a trajectory."""

    task: str
    tasks: int
    trajectories: int
    horizon: int

    def __str__(self) -> str:
        return f"{self.task}, {self.tasks} tasks x {self.trajectories} trajectories x {self.horizon} steps"


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
    import gymnasium

    class Goal(gymnasium.Wrapper):
        def __init__(self, env: Any, goal: float):
            super().__init__(env)
            self.goal = goal

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            action = np.clip(0.1 * action, -1, 1)
            observation, _, terminated, truncated, info = self.env.step(action)
            reward = -abs(info["x_velocity"] - self.goal) + info["reward_ctrl"]
            reward += info.get("reward_contact", 0.0) + info.get("reward_survive", 0.0)
            return observation, reward, terminated, truncated, info

    name, settings = ENVIRONMENTS[size.task]
    simulator, rng = built(size, 1), np.random.default_rng(1)
    policy, theta = policy_of(simulator, size.tasks)
    goals = np.repeat(simulator.draw_tasks(size.tasks, rng)[:, 0], size.trajectories)
    with unheard_warnings():
        environments = gymnasium.vector.SyncVectorEnv(
            [lambda goal=goal: Goal(gymnasium.make(name, **settings), goal) for goal in goals]
        )
    environments.reset(seed=0)

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


def table(work: Work, size: dict[str, Any], found: dict[str, dict[str, Any]]) -> str:
    """Markdown: medians with the span of the repeats."""
    lines = [
        f"## {Size(**size)}",
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
    parser.add_argument("--quick", action="store_true", help="small sizes, half a minute; nothing is written")
    parser.add_argument("--only", choices=list(WORKS), action="append")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    about = machine(PACKAGES) | {"load average at the start": round(os.getloadavg()[0], 1)}
    described = ", ".join(f"{key} {value}" for key, value in about.items())
    results: dict[str, Any] = {}
    blocks = [f"# Locomotion\n\nMedians of {arguments.repeats} repeats, contestants in turn. Machine: {described}.\n"]
    for name in arguments.only or WORKS:
        work = WORKS[name]
        for size in work.sizes[arguments.quick]:
            print(f"{name}: {size}", file=sys.stderr)
            found = measure(work, size, arguments.repeats)
            spent = shares(size)
            results.setdefault(name, []).append({"size": vars(size), "contestants": found, "shares": spent})
            told = ", ".join(f"{part} {value:.1%}" for part, value in spent.items())
            blocks.append(table(work, vars(size), found) + f"\nOurs on one thread spends its CPU time on: {told}.\n")
            print(blocks[-1], flush=True)
    print(described)
    if not arguments.quick:
        (HERE / "locomotion.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
        (HERE / "locomotion.md").write_text("\n".join(blocks))


if __name__ == "__main__":
    main()

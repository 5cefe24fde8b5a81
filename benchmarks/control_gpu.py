"""Meta-iterations per second on thousands of linear-quadratic tasks, on the CPU and on a CUDA GPU, and their numbers.

A meta-iteration collects trajectories of every task, adapts (Alg^(2)), collects with the adapted policies, and takes
one step along the sampled hypergradient. Both devices first do the same iterations on the same noise, drawn on the CPU,
and the meta-policies are compared in float64; then each is timed with noise of its own device. Without a GPU only the
CPU is measured, and the output says so.

    python benchmarks/control_gpu.py [--tasks 4096] [--trajectories 10] [--output results/control_gpu.json]
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from bomrl_theory.cli import run
from bomrl_theory.control.exact_linear_quadratic import returns
from bomrl_theory.control.hypergradient import hypergradient
from bomrl_theory.control.linear_gaussian import LinearGaussian
from bomrl_theory.control.linear_quadratic import LinearQuadratic
from bomrl_theory.control.lower_level import LowerLevel, adapt
from bomrl_theory.control.policy_gradient import policy_gradient
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.tasks.files import replacing

GAMMA, STATES, ACTIONS, HORIZON = 0.9, 4, 2, 50
STEP = 0.05
"""Length of a meta-step."""
COMPARED = 5
"""Iterations on the same noise."""
ALIKE = 1e-6
LOWER = LowerLevel("kl-posterior", 1.0, gamma=GAMMA, tolerance=1e-6)


def plants(tasks: int) -> LinearQuadratic:
    """Tasks around one stable plant, on the CPU."""
    rng = np.random.default_rng(0)
    plant = rng.normal(size=(STATES, STATES))
    plant *= 0.8 / np.abs(np.linalg.eigvals(plant)).max()
    inputs = rng.normal(size=(STATES, ACTIONS)) / np.sqrt(STATES)

    def identity(size: int, scale: float) -> Tensor:
        return scale * torch.eye(size, dtype=torch.float64).repeat(tasks, 1, 1)

    model = Model(
        A=torch.tensor(plant + 0.05 * rng.normal(size=(tasks, STATES, STATES))),
        B=torch.tensor(inputs + 0.05 * rng.normal(size=(tasks, STATES, ACTIONS))),
        W=identity(STATES, 0.01),
        R_x=identity(STATES, 1.0),
        R_u=identity(ACTIONS, 0.1),
        gamma=GAMMA,
        mu0=torch.zeros(tasks, STATES, dtype=torch.float64),
        S0=identity(STATES, 1.0),
        weights=torch.full((tasks,), 1 / tasks, dtype=torch.float64),
    )
    return LinearQuadratic(model, HORIZON, "plants")


def meta_iteration(
    simulator: LinearQuadratic, phi: Tensor, trajectories: int, rng: np.random.Generator
) -> tuple[Tensor, dict[str, int]]:
    """The next meta-policy, and how many tasks were adapted with which status."""
    policy, tasks = LinearGaussian(STATES, ACTIONS), simulator.all_tasks
    batch = simulator.rollout(policy, phi.expand(len(tasks), -1), tasks, trajectories, rng)
    adapted = adapt(policy, phi, batch, LOWER)
    theta = torch.where(adapted.solved[:, None], adapted.theta, phi)
    after = simulator.rollout(policy, theta, tasks, trajectories, rng)
    outer = policy_gradient(policy, theta, after, LOWER)
    found = hypergradient(policy, phi, batch, adapted, outer, simulator.model.weights, tolerance=1e-6)
    statuses = {status: found.status.count(status) for status in sorted(set(found.status))}
    return phi + STEP * found.gradient / found.gradient.norm(), statuses


def measured(simulator: LinearQuadratic, device: str, trajectories: int, seconds: float) -> dict[str, Any]:
    """The meta-policy after the compared iterations, and the speed."""
    policy = LinearGaussian(STATES, ACTIONS)
    place = simulator.to(device)
    phi = policy.start(torch.Generator()).to(device)
    rng = np.random.default_rng(1)
    tasks = len(simulator.model.A)
    path = [float(returns(place.model, policy, phi.expand(tasks, -1)).mean())]
    statuses: dict[str, int] = {}
    for _ in range(COMPARED):
        phi, statuses = meta_iteration(place, phi, trajectories, rng)
        path.append(float(returns(place.model, policy, phi.expand(tasks, -1)).mean()))
    fast, moving = replace(place, noise_on_device=True), phi
    moving, _ = meta_iteration(fast, moving, trajectories, rng)
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or count < 2:
        moving, _ = meta_iteration(fast, moving, trajectories, rng)
        float(moving[0])
        count += 1
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU thread(s)",
        "phi": phi.tolist(),
        "return of phi": path,
        "status": statuses,
        "meta-iterations per second": count / elapsed,
        "steps per second": 2 * count * tasks * trajectories * HORIZON / elapsed,
    }


@click.command(help=__doc__)
@click.option("--tasks", default=4096, show_default=True)
@click.option("--trajectories", default=10, show_default=True, help="Of each task, before and after adaptation.")
@click.option("--seconds", default=20.0, show_default=True, help="Of timing on each device.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the numbers.")
def main(tasks: int, trajectories: int, seconds: float, output: Path | None) -> None:
    """Measure what is there and say what is not."""
    simulator = plants(tasks)
    results: dict[str, Any] = {
        "tasks": tasks,
        "trajectories": trajectories,
        "horizon": HORIZON,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    gpu = torch.cuda.is_available()
    for device in ("cpu", "cuda") if gpu else ("cpu",):
        results[device] = found = measured(simulator, device, trajectories, seconds)
        click.echo(
            f"{device} ({found['device']}): {found['meta-iterations per second']:.3g} meta-iterations/s of {tasks} "
            f"tasks, {found['steps per second']:.3g} steps/s; {found['status']}"
        )
    difference: float | None = None
    if gpu:
        here, there = (torch.tensor(results[device]["phi"], dtype=torch.float64) for device in ("cpu", "cuda"))
        difference = float((here - there).abs().max() / here.abs().max())
        ratio = results["cuda"]["meta-iterations per second"] / results["cpu"]["meta-iterations per second"]
        click.echo(
            f"the GPU is {ratio:.3g} times as fast; after {COMPARED} iterations on the same noise the meta-policies "
            f"differ by {difference:.1e}, {'within' if difference <= ALIKE else 'BEYOND'} {ALIKE:g}"
        )
    else:
        click.echo("no CUDA GPU was found: only the CPU was measured, and nothing was compared")
    results["difference"] = difference
    if output:
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if difference is not None and not difference <= ALIKE:
        raise SystemExit(1)


if __name__ == "__main__":
    run(main)

"""Whole meta-iterations, rollouts included: ours, and the plain reference on Gymnasium's ``SyncVectorEnv``.

Every repeat takes one iteration from the same meta-parameters and lambda, that some iterations of ours led to, on tasks
and noise of its own; so what is timed is alike from repeat to repeat and between the contestants. :func:`differences`
says by how much the two disagree in float64 where they work on the same trajectories.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from plain.bo_mrl import BOMRL, LowerLevel
from plain.maml import MAML
from plain.network import Network
from plain.rollouts import environments_of
from plain.samples import Trajectories, samples_of
from plain.trust_region import TrustRegion
from size import Size
from torch import Tensor

from bomrl_theory.control import adaptation, advantage, trust_region
from bomrl_theory.control.adaptation import FURTHEST, PROXIMAL
from bomrl_theory.control.batch import Batch
from bomrl_theory.control.bilevel_learner import LAM, BilevelLearner
from bomrl_theory.control.catalogue import simulator_named
from bomrl_theory.control.config import Config
from bomrl_theory.control.critic import LinearAdvantage
from bomrl_theory.control.gradient_learner import THINNING, Experience, TrustRegionLearner
from bomrl_theory.control.hypergradient import hypergradient
from bomrl_theory.control.learner import stacked
from bomrl_theory.control.locomotion.models import unheard_warnings
from bomrl_theory.control.lower_level import adapt
from bomrl_theory.control.policy import Policy
from bomrl_theory.control.policy_gradient_step import policy_surrogate
from bomrl_theory.control.problem import Problem
from bomrl_theory.control.simulator import Simulator
from bomrl_theory.control.train import State, Trainer
from bomrl_theory.numbers import Array

LEARNERS = ("maml", "bo-mrl", "bo-mrl-first-order")
"""What is compared."""
TRAINED = 5
"""Iterations that lead to where all contestants start."""
ALIKE = 1e-6
"""Largest relative difference of meta-gradients and steps in float64."""
CLOCKS, PARTS, RETURN = ("cpu", "wall"), ("all", "rollouts", "learning"), "return"
"""Of a meta-iteration's seconds; and the mean return after adaptation."""
EXACTLY = (1e-9, 2000)
"""Of both lower levels and linear systems, where their gradients are compared."""


@dataclass
class Clock:
    """Seconds of a meta-iteration and of the rollouts within."""

    wall: float = 0.0
    cpu: float = 0.0

    def timed(self, call: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return result


class Watched:
    """A simulator whose rollouts are timed, with tasks from a generator of their own."""

    def __init__(self, simulator: Simulator):
        self.simulator, self.clock, self.tasks = simulator, Clock(), tasks_generator()
        self.name, self.horizon, self.gamma = simulator.name, simulator.horizon, simulator.gamma
        self.observations, self.actions = simulator.observations, simulator.actions

    def draw_tasks(self, count: int, rng: np.random.Generator) -> Array:
        return self.simulator.draw_tasks(count, self.tasks)

    def rollout(
        self, policy: Policy, theta: Tensor, tasks: Array, trajectories: int, rng: np.random.Generator
    ) -> Batch:
        return self.clock.timed(lambda: self.simulator.rollout(policy, theta, tasks, trajectories, rng))

    def describe(self) -> dict[str, Any]:
        return self.simulator.describe()


def tasks_generator() -> np.random.Generator:
    """The same for all contestants, so that their iterations have the same tasks."""
    return np.random.default_rng(3)


Iterate = Callable[[], float]
"""Takes one meta-iteration; the mean return after adaptation."""


@dataclass(frozen=True)
class Contestant:
    """A way to take a meta-iteration, and the clock of its rollouts."""

    iterate: Iterate
    rollouts: Clock


def ours(simulator: Simulator, config: Config, state: State) -> Contestant:
    """One iteration of the package's trainer from a state."""
    watched = Watched(simulator)
    trainer, rng = Trainer(watched, config), np.random.default_rng(1)

    def iterate() -> float:
        record, _ = next(trainer.run(state, rng))
        return record.return_after

    return Contestant(iterate, watched.clock)


def on_threads(threads: int, contestant: Contestant) -> Contestant:
    """The same with so many threads of torch."""

    def iterate() -> float:
        torch.set_num_threads(threads)
        return contestant.iterate()

    return replace(contestant, iterate=iterate)


Rollout = Callable[[Sequence[Tensor], Array], list[Trajectories]]
"""Trajectories of each task under parameters of its own."""


def reference(rollout: Rollout, clock: Clock, problem: Problem, state: State) -> Contestant:
    """One plain iteration from a state."""
    rng, method, phi = tasks_generator(), plain_method(problem, state), state.phi[0]

    def iterate() -> float:
        tasks = problem.draw_tasks(rng)
        collected: list[list[Trajectories]] = []

        def collect(theta: Sequence[Tensor]) -> list[Trajectories]:
            collected.append(clock.timed(lambda: rollout(theta, tasks)))
            return collected[-1]

        plain_iteration(method, phi, collect, problem)
        return float(torch.stack([data.rewards.sum(-1).mean() for data in collected[-1]]).mean())

    return Contestant(iterate, clock)


def plain_method(problem: Problem, state: State) -> MAML | BOMRL:
    """The reference with the numbers of our configuration."""
    config = problem.config
    network = Network((problem.simulator.observations, *config.hidden, problem.simulator.actions))
    region = TrustRegion(
        radius=config.radius,
        products=trust_region.ITERATIONS,
        tolerance=trust_region.TOLERANCE,
        damping=trust_region.DAMPING,
        shrink=trust_region.SHRINK,
        trials=trust_region.TRIALS,
        every=THINNING,
    )
    if config.learner == "maml":
        return MAML(network, config.alpha, region)
    learner = Trainer(problem.simulator, config).learner
    assert isinstance(learner, BilevelLearner)
    return BOMRL(
        network,
        lam=float(state.memory[LAM]),
        mu=PROXIMAL,
        gamma=problem.simulator.gamma,
        ridge=advantage.RIDGE,
        prior_steps=LinearAdvantage.prior_steps,
        tolerance=adaptation.TOLERANCE,
        steps=adaptation.STEPS,
        residual=learner.tolerance,
        products=learner.products,
        furthest=FURTHEST * max(1.0, config.divergence),
        region=region,
        implicit=learner.method == "implicit",
    )


def plain_iteration(
    method: MAML | BOMRL,
    phi: Tensor,
    collect: Callable[[Sequence[Tensor]], list[Trajectories]],
    problem: Problem,
) -> tuple[Tensor, Tensor]:
    """The meta-gradient and the new meta-parameters."""

    def samples(collected: list[Trajectories]) -> list[Any]:
        return [samples_of(data, problem.simulator.gamma, advantage.RIDGE) for data in collected]

    before = collect([phi] * problem.config.tasks)
    if isinstance(method, MAML):
        inner = samples(before)
        outer = samples(collect([method.adapted(phi, one) for one in inner]))
        gradient = method.gradient(phi, inner, outer)
        return gradient, method.step(phi, gradient, inner, outer)
    levels = [LowerLevel(method.network, phi, data, method) for data in before]
    theta, near = zip(*(level.solved() for level in levels), strict=True)
    after = collect([plus if used else phi for plus, used in zip(theta, near, strict=True)])
    gradient = method.gradient(levels, theta, near, samples(after))
    return gradient, method.step(phi, gradient, levels)


def gymnasium_rollouts(problem: Problem, environments: Any) -> Rollout:
    """With the policy on all environments together."""
    rng, config, simulator = np.random.default_rng(2), problem.config, problem.simulator
    shape = (config.tasks, config.trajectories)

    def rollout(theta: Sequence[Tensor], tasks: Array) -> list[Trajectories]:
        parameters = torch.stack(list(theta))
        for environment, goal in zip(environments.envs, np.repeat(tasks[:, 0], config.trajectories), strict=True):
            environment.goal = goal
        observations, actions, rewards = [], [], []
        observation, _ = environments.reset()
        for _ in range(simulator.horizon):
            seen = torch.from_numpy(observation.astype(np.float32)).view(*shape, -1)
            noise = torch.from_numpy(rng.standard_normal((*shape, simulator.actions), dtype=np.float32))
            with torch.no_grad():
                action = problem.policy.act(parameters, seen, noise)
            observation, reward, *_ = environments.step(action.flatten(0, 1).numpy())
            observations.append(seen)
            actions.append(action)
            rewards.append(torch.from_numpy(reward.astype(np.float32)).view(shape))
        parts = zip(torch.stack(observations, 2), torch.stack(actions, 2), torch.stack(rewards, 2), strict=True)
        return [Trajectories(*part) for part in parts]

    return rollout


def as_trajectories(batch: Batch) -> list[Trajectories]:
    """Of each task of a batch."""
    parts = zip(batch.observations[:, :, :-1], batch.actions, batch.rewards, strict=True)
    return [Trajectories(*part) for part in parts]


def differences(simulator: Simulator, config: Config) -> dict[str, float]:
    """Relative differences of meta-gradient and new meta-parameters from the reference's, on the same trajectories.

    Args:
        simulator: whose trajectories do not end early.
        config: with the learner; its precision is taken to be float64. BO-MRL's lower levels and linear systems are
            solved exactly on both sides, each by its own optimiser.
    """
    trainer = Trainer(simulator, replace(config, precision="float64"))
    problem, rng = trainer.problem, np.random.default_rng(0)
    state = trainer.begin(rng)
    for _, following in trainer.run(state, rng):
        state = following
        if state.iteration == TRAINED:
            break
    if isinstance(trainer.learner, TrustRegionLearner):
        return _maml_differences(trainer, state, rng)
    return _bo_mrl_differences(problem, state, rng)


def _maml_differences(trainer: Trainer, state: State, rng: np.random.Generator) -> dict[str, float]:
    """Of a whole iteration: the trainer's, and the reference on its trajectories."""
    learner, problem = trainer.learner, trainer.problem
    assert isinstance(learner, TrustRegionLearner)
    same = np.random.default_rng()
    same.bit_generator.state = rng.bit_generator.state
    experience = Experience.collect(problem, state.phi, same, "log-likelihood")
    gradient = learner.gradient(problem, experience, state.phi)[0]
    stepped = learner.iterate(problem, state.phi, state.memory, rng)
    batches = iter((experience.before, experience.after))
    found = plain_iteration(
        plain_method(problem, state), state.phi[0], lambda _: as_trajectories(next(batches)), problem
    )
    return {
        "gradient": _relative(gradient, found[0]),
        "step": _relative(stepped.phi[0] - state.phi[0], found[1] - state.phi[0]),
    }


def _bo_mrl_differences(problem: Problem, state: State, rng: np.random.Generator) -> dict[str, float]:
    """Of the hypergradient with everything solved, and of the adapted parameters."""
    policy, phi = problem.policy, state.phi[0]
    method = plain_method(problem, state)
    assert isinstance(method, BOMRL)
    tolerance, steps = EXACTLY
    method = replace(method, tolerance=tolerance, steps=steps, residual=tolerance, products=steps)
    tasks = problem.draw_tasks(rng)
    before = problem.rollout(stacked(state.phi, len(tasks)), tasks, rng)
    lower = replace(adaptation.lower_level(problem, float(state.memory[LAM])), tolerance=tolerance, steps=steps)
    adapted = adapt(policy, phi, before, lower)
    after = problem.rollout(adapted.theta, tasks, rng)
    start = adapted.theta.clone().requires_grad_()
    surrogate = policy_surrogate(policy, start, problem.samples(after), "likelihood-ratio")
    (ascent,) = torch.autograd.grad(surrogate.sum(), start)
    how = "implicit" if method.implicit else "first-order"
    gradient = hypergradient(
        policy, phi, before, adapted, ascent, method=how, tolerance=tolerance, steps=steps
    ).gradient
    batches = iter((before, after))
    theta: list[Sequence[Tensor]] = []

    def collect(parameters: Sequence[Tensor]) -> list[Trajectories]:
        theta.append(parameters)
        return as_trajectories(next(batches))

    found, _ = plain_iteration(method, phi, collect, problem)
    return {
        "gradient": _relative(gradient, found),
        "adaptation": _relative(adapted.theta - phi, torch.stack(list(theta[1])) - phi),
    }


def _relative(ours: Tensor, reference: Tensor) -> float:
    return float((ours - reference).norm() / reference.norm())


def trained(simulator: Simulator, config: Config) -> State:
    """Where all contestants start."""
    rng = np.random.default_rng(0)
    trainer = Trainer(simulator, config)
    state = trainer.begin(rng)
    for _ in range(TRAINED):
        _, state = next(trainer.run(state, rng))
    return state


def contestants(config: Config, size: Size, cores: int) -> dict[str, Contestant]:
    """By name; the first is the reference of ratios. With several threads ours has them in torch and in the simulator,
    the plain one in torch only: ``SyncVectorEnv`` steps one environment after another."""
    alone = simulator_of(size, 1)
    state = trained(alone, config)
    problem = Trainer(alone, config).problem
    with unheard_warnings():
        environments = environments_of(size.task, np.zeros(size.tasks * size.trajectories))
    plain = reference(gymnasium_rollouts(problem, environments), Clock(), problem, state)
    return {
        "plain": on_threads(1, plain),
        f"plain, {cores} threads": on_threads(cores, plain),
        "ours": ours(alone, config, state),
        f"ours, {cores} threads": ours(simulator_of(size, cores), replace(config, threads=cores), state),
    }


def simulator_of(size: Size, threads: int) -> Simulator:
    return simulator_named(size.task, preset="promp", horizon=size.horizon, threads=threads)


def configured(learner: str, size: Size) -> Config:
    return Config(learner=learner, tasks=size.tasks, trajectories=size.trajectories, iterations=10**6)


def measure(learner: str, size: Size, repeats: int, cores: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each repeat by contestant; contestants take turns, and a first one is not counted."""
    calls = contestants(configured(learner, size), size, cores)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in calls}
    for repeat in range(repeats + 1):
        for name, contestant in calls.items():
            total, before = Clock(), replace(contestant.rollouts)
            row = {RETURN: total.timed(contestant.iterate)}
            for clock in CLOCKS:
                whole = getattr(total, clock)
                rollouts = getattr(contestant.rollouts, clock) - getattr(before, clock)
                parts = (whole, rollouts, whole - rollouts)
                row |= {f"{clock} {part}": value for part, value in zip(PARTS, parts, strict=True)}
            if repeat:
                for kind, value in row.items():
                    found[name].setdefault(kind, []).append(value)
    return found


def compared(learner: str, tasks: int = 3, trajectories: int = 5, horizon: int = 20) -> dict[str, float]:
    """:func:`differences` on a small half-cheetah.

    Raises:
        AssertionError: one is larger than :data:`ALIKE`.
    """
    simulator = simulator_of(Size("half-cheetah-vel", tasks, trajectories, horizon), 1)
    config = Config(learner=learner, tasks=tasks, trajectories=trajectories, hidden=(8,), iterations=10**6)
    found = differences(simulator, config)
    assert max(found.values()) <= ALIKE, f"{learner}: the reference computes something else, {found}"
    return found


def table(learner: str, size: Size, found: dict[str, dict[str, list[float]]], alike: dict[str, float]) -> str:
    """Markdown: medians with the span of the repeats."""
    lines = [
        f"## Meta-iteration of {learner}: {size}, before and after adaptation",
        "",
        "| | part | CPU s | span | ratio | wall s | span | ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    reference = next(iter(found.values()))
    for name, row in found.items():
        for part in PARTS:
            cells = [name if part == "all" else "", part]
            for clock in CLOCKS:
                seconds = row[f"{clock} {part}"]
                median = statistics.median(seconds)
                ratio = statistics.median(reference[f"{clock} {part}"]) / median
                cells += [f"{median:.2f}", f"{min(seconds):.2f} to {max(seconds):.2f}", f"{ratio:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
    returns = ", ".join(f"{name} {statistics.mean(row[RETURN]):.1f}" for name, row in found.items())
    told = ", ".join(f"{name} {value:.1e}" for name, value in alike.items())
    alike_told = f"On the same trajectories in float64 the two differ by: {told} (relative)."
    return "\n".join([*lines, "", f"Mean return after adaptation: {returns}. {alike_told}", ""])

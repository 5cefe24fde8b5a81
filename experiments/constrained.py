"""The constrained lower level on random families: multipliers against cvxpy, derivatives against finite differences.

Regenerates results/constrained: agreement.csv with one line a problem, and a README with the worst of each kind.

    python experiments/constrained.py [--families 100] [-o results/constrained]
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from bomrl_theory.adapt.constrained import ConstrainedStep, constrained_step
from bomrl_theory.adapt.constrained_derivative import pullback
from bomrl_theory.adapt.constraint import Constraint, CostBudget, TrustRegion
from bomrl_theory.cli import run
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.report.draws import write_records
from bomrl_theory.report.versions import versions
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.random_dense import random_dense

ALGORITHMS = ("kl-prior", "kl-posterior")
KINDS = ("budget, inactive", "budget, active", "region, active", "region, active, radius at lambda")
STENCIL = {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
"""Central differences of order 6."""
WIDTHS = (1e-3, 3e-4, 1e-4, 3e-5)
DIRECTIONS = 12
"""Derivatives are compared on a random subspace of this dimension, or on all of it where that is smaller."""
TARGET = 1e-7
"""Derivatives should agree to this."""
ERRORS = (
    "kkt",
    "kkt_cvxpy",
    "multiplier_against_cvxpy",
    "policy_against_cvxpy",
    "derivative",
    "derivative_own_error",
    "return_derivative",
    "return_derivative_own_error",
)
MARGIN = 0.05
"""Budgets and radii keep this share of their range away from the kink and from infeasibility."""


@dataclass(frozen=True)
class Problem:
    """A family with a meta-policy, costs, and a functional of the adapted policies to differentiate."""

    family: TaskFamily
    theta: Array
    cost: Array
    cotangent: Array
    lam: float
    share: float

    @classmethod
    def drawn(cls, seed: int) -> Problem:
        """Every second family is sparse, with states that no policy visits when its start is one state."""
        rng = np.random.default_rng([seed, 5])
        states, actions, tasks = (int(rng.integers(2, high + 1)) for high in (16, 4, 5))
        gamma, lam = float(rng.uniform(0, 0.95)), float(10 ** rng.uniform(-2, 1))
        if seed % 2:
            family = random_dense(states=states, actions=actions, tasks=tasks, gamma=gamma, rng=rng)
        else:
            branching = int(rng.integers(1, min(states, 4) + 1))
            sparse = garnet(states=states, actions=actions, branching=branching, tasks=tasks, gamma=gamma, rng=rng)
            start = np.eye(states)[0]
            family = TaskFamily.new(sparse.P, sparse.r, gamma, start, row_weights=True)
        shape = family.r.shape
        return cls(
            family,
            theta=rng.normal(size=shape[1:]),
            cost=rng.random(shape),
            cotangent=rng.normal(size=shape),
            lam=lam,
            share=float(rng.uniform(MARGIN, 1 - MARGIN)),
        )

    def evaluation(self, thetas: Array) -> Evaluation:
        """phi at many logits [N, S, A] at once: N copies of the tasks."""
        copies = len(thetas)
        family = self.family
        many = TaskFamily.new(
            np.tile(family.P, (copies, 1, 1, 1)),
            np.tile(family.r, (copies, 1, 1)),
            family.gamma,
            np.tile(family.rho, (copies, 1)),
            row_weights=True,
        )
        weights = np.exp(thetas - thetas.max(axis=-1, keepdims=True))
        evaluation = Evaluation.of(Model(many, FLOATS), np.repeat(weights, family.tasks, axis=0))
        # All phi have full support, so that one search of the graph serves all copies.
        first = Evaluation.of(Model(family, FLOATS), np.ones_like(family.r))
        vars(evaluation)["visited"] = np.tile(first.visited, (copies, 1))
        return evaluation

    def constraint(self, algorithm: str, kind: str) -> Constraint:
        """A limit drawn inside the range that makes the constraint active, or inactive, on every task."""
        phi = self.evaluation(self.theta[None])
        free = constrained_step(phi, algorithm, CostBudget.new(self.cost, 1e9), self.lam).program
        with FLOATS.activated():
            x, excess = free.at_zero()
            if kind == "budget, active":
                return CostBudget.new(self.cost, free.floor + self.share * excess)
            if kind == "budget, inactive":
                return CostBudget.new(self.cost, free.floor + excess + self.share * (free.range - excess))
            region = constrained_step(phi, algorithm, TrustRegion.new(1e-3)).program
            if kind == "region, active, radius at lambda":
                radius = region.average(free.divergence.value(phi.pi, x))
                return TrustRegion.new(np.minimum(radius, (1 - MARGIN) * region.at_zero()[1]))
            widest = np.minimum(region.at_zero()[1], 2.0)  # infinite for i = 1
            return TrustRegion.new(self.share * widest)


@dataclass(frozen=True)
class Line:
    """What one problem showed. Errors are relative; the reference of a derivative is its Euclidean norm."""

    family: int
    states: int
    actions: int
    tasks: int
    gamma: float
    lam: float
    algorithm: str
    kind: str
    activity: str
    multiplier_low: float
    multiplier_high: float
    kkt: float
    kkt_cvxpy: float
    multiplier_against_cvxpy: float
    policy_against_cvxpy: float
    derivative: float
    derivative_own_error: float
    return_derivative: float
    return_derivative_own_error: float


def differences(functionals: Callable[[Array], Array], theta: Array, directions: Array) -> list[tuple[Array, float]]:
    """For each functional its derivatives by central differences, and how far they are from those at the next width.

    The width is the one at which two neighbours agree best; the derivative under test plays no part in the choice.

    Args:
        functionals: from logits [N, S, A] to values [N, F].
        directions: [D, S, A].
    """
    count = len(directions)
    derivatives = []
    for width in WIDTHS:
        shifts = np.concatenate([sign * k * width * directions for k in STENCIL for sign in (1, -1)])
        try:
            values = functionals(theta + shifts).reshape(len(STENCIL), 2, count, -1)
        except InvalidTask:  # a budget that a shift of this width makes impossible
            continue
        weights = np.array(list(STENCIL.values())) / width
        derivatives.append(np.einsum("k,kdf->fd", weights, values[:, 0] - values[:, 1]))
    found = []
    for of_one in zip(*derivatives, strict=True):
        apart = [float(np.linalg.norm(x - y)) for x, y in pairwise(of_one)]
        best = int(np.argmin(apart))
        found.append((of_one[best + 1], apart[best]))
    return found


def compared(problem: Problem, algorithm: str, kind: str, number: int) -> Line:
    """Solve twice, differentiate twice: a random functional of ``log pi+``, and the expected return."""
    constraint = problem.constraint(algorithm, kind)
    lam = problem.lam if isinstance(constraint, CostBudget) else None
    tasks = problem.family.tasks

    def step_at(thetas: Array) -> ConstrainedStep:
        copies = len(thetas)
        many: Constraint = (
            CostBudget.new(np.tile(problem.cost, (copies, 1, 1)), np.tile(constraint.budget, copies))
            if isinstance(constraint, CostBudget)
            else TrustRegion.new(np.tile(constraint.radius, copies))
        )
        step = constrained_step(problem.evaluation(thetas), algorithm, many, lam)
        if step.status != "solved":
            raise RuntimeError(f"family {number}, {algorithm}, {kind}: {step.kkt}")
        return step

    def functionals(thetas: Array) -> Array:
        step = step_at(thetas)
        logs = step.log_policy.reshape(len(thetas), *problem.cotangent.shape)
        with FLOATS.activated():
            J = Evaluation.of(step.program.phi.model, step.policy).J.reshape(len(thetas), tasks)
        return np.stack([np.einsum("ntsa,tsa->n", logs, problem.cotangent), J.mean(axis=-1)], axis=-1)

    phi = problem.evaluation(problem.theta[None])
    step = step_at(problem.theta[None])
    other = constrained_step(phi, algorithm, constraint, lam, method="cvxpy")
    multiplier = np.abs(other.multiplier - step.multiplier) / np.maximum(step.multiplier, 1)
    policy = phi.nu[..., None] * np.abs(other.policy - step.policy)

    with FLOATS.activated():
        plus = Evaluation.of(phi.model, step.policy)
        by_policy = plus.nu[..., None] * plus.Q / (1 - plus.model.gamma) / tasks
    exact = (
        pullback(step, problem.cotangent, of="log-policy").gradient.sum(axis=0),
        pullback(step, by_policy).gradient.sum(axis=0),
    )
    size = problem.theta.size
    subspace = np.linalg.qr(np.random.default_rng([number, 7]).normal(size=(size, min(size, DIRECTIONS))))[0].T
    directions = subspace.reshape(-1, *problem.theta.shape)
    errors = []
    for gradient, (numeric, own) in zip(exact, differences(functionals, problem.theta, directions), strict=True):
        analytic = subspace @ gradient.ravel()
        scale = float(np.linalg.norm(analytic))
        errors += [float(np.linalg.norm(analytic - numeric)) / scale, own / scale]
    return Line(
        number,
        problem.family.states,
        problem.family.actions,
        tasks,
        float(problem.family.gamma),
        problem.lam,
        algorithm,
        kind,
        " and ".join(sorted(set(step.activity))),
        float(step.multiplier.min()),
        float(step.multiplier.max()),
        step.residual,
        other.residual,
        float(multiplier.max()),
        float(policy.max()),
        *errors,
    )


def lines_of(number: int) -> list[Line]:
    """All problems of one family."""
    problem = Problem.drawn(number)
    return [compared(problem, algorithm, kind, number) for algorithm in ALGORITHMS for kind in KINDS]


def readme(lines: list[Line], command: str) -> str:
    """The worst of each kind."""
    packages = versions() | {"cvxpy": version("cvxpy"), "clarabel": version("clarabel")}
    rows = []
    for algorithm in ALGORITHMS:
        for kind in KINDS:
            some = [line for line in lines if (line.algorithm, line.kind) == (algorithm, kind)]
            worst = {name: max(getattr(line, name) for line in some) for name in ERRORS}
            rows.append(f"| {algorithm} | {kind} | {len(some)} | {' | '.join(f'{worst[n]:.1e}' for n in ERRORS)} |")
    beyond = [line for line in lines if line.derivative > TARGET or line.return_derivative > TARGET]
    within = f"all {len(lines)} problems" if not beyond else f"all but {len(beyond)} of {len(lines)} problems"
    text = [
        "# Constrained lower level",
        "",
        f"`{command}` regenerates this folder ({', '.join(f'{k} {v}' for k, v in packages.items())}).",
        "",
        f"{len({line.family for line in lines})} random families of up to 16 states, 4 actions and 5 tasks, half dense "
        "and half sparse with one start state; discount up to 0.95, lambda log-uniform in [0.01, 10]; all problems of "
        "a family share its meta-policy. The entries are the largest over the families: KKT residual of the scalar "
        "dual and of cvxpy; what the two differ by in the multiplier (relative, or absolute below 1) and in the policy "
        "(absolute, weighted with the visitation); relative error of the derivative of a random functional of log pi+ "
        f"and of the expected return, on a random {DIRECTIONS}-dimensional subspace of the logits (all of them where "
        'there are fewer), in the Euclidean norm, against central differences of order 6. "Own" is how far the '
        "differences are from themselves at the next width, which is what they can resolve.",
        "",
        "The KKT residual is not weighted with the visitation: the conic solver leaves states with a visitation of "
        "1e-6 or less almost unsolved, which its duality gap hardly shows.",
        "",
        f"Both derivatives agree to {TARGET:g} on {within}.",
        "",
        "| algorithm | constraint | problems | KKT | KKT, cvxpy | multiplier | policy "
        "| d log pi+ | own | d return | own |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        *(
            f"- Family {line.family}, {line.algorithm}, {line.kind}, lambda {line.lam:.2g}: "
            f"d log pi+ {line.derivative:.1e} (own {line.derivative_own_error:.1e}), "
            f"d return {line.return_derivative:.1e} (own {line.return_derivative_own_error:.1e})."
            for line in beyond
        ),
        *([""] if beyond else []),
        "`agreement.csv` has one line a problem.",
        "",
    ]
    return "\n".join(text)


@click.command()
@click.option("--families", default=100, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("-o", "--output", default="results/constrained", show_default=True, type=click.Path(path_type=Path))
def main(families: int, workers: int, output: Path) -> None:
    """Compare, and write the table."""
    output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        parts = track(pool.map(lines_of, range(families)), total=families, description="comparing")
        lines = [line for part in parts for line in part]
    write_records(output / "agreement.csv", lines)
    command = f"python experiments/constrained.py --families {families}"
    (output / "README.md").write_text(readme(lines, command), encoding="utf-8")
    click.echo(readme(lines, command))


if __name__ == "__main__":
    run(main)

"""Every hypergradient method on random families: against central differences, and against each other.

Regenerates results/hypergradients: agreement.csv with one line a gradient, and a README with the worst of each kind.

    python experiments/hypergradients.py [--families 100] [-o results/hypergradients]

Needs the extra torch for the method autodiff.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from bomrl_theory.adapt.constrained import constrained, constrained_step
from bomrl_theory.adapt.constraint import Constraint, CostBudget, TrustRegion
from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.cli import run
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.differences import PRECISION, STEP, Precise
from bomrl_theory.meta.hypergradient import METHODS, Unrolled, hypergradient
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.report.draws import write_records
from bomrl_theory.report.versions import versions
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.policy import from_log_weights

FREE = ("none", "kl-prior", "kl-posterior", "euclidean", "policy-gradient")
BOUNDED = ("kl-prior", "kl-posterior")
KINDS = ("budget, active", "budget, inactive", "region, active", "region, inactive")
METHODS_COMPARED = {**METHODS, "unrolled": Unrolled(terms=100_000, sweeps=1000)}
"""Enough terms that nothing but rounding is missing: a contraction of 0.95 and 1000 sweeps leave 5e-23."""
DIRECTIONS = 8
"""Finite differences are taken along the gradient and along random directions, so many together."""
AGREEMENT, DIFFERENCES = 1e-9, 1e-7
"""What the issue asks for: methods with each other, and with finite differences, relative."""
MARGIN = 0.05
"""Limits keep this share of their range away from the kink and from infeasibility."""
DECADES = ((1e-2, 1e-1), (1e-1, 1.0), (1.0, 10.0))
"""Of lambda, for the table of the first-order variant."""


@dataclass(frozen=True)
class Problem:
    """A family with a meta-policy, costs and the share of its range at which limits are put."""

    family: TaskFamily
    theta: Array
    cost: Array
    lam: float
    share: float

    @classmethod
    def drawn(cls, number: int) -> Problem:
        """Every second family is sparse, with states that no policy visits when its start is one state."""
        rng = np.random.default_rng([number, 11])
        S, A, T = (int(rng.integers(2, high + 1)) for high in (16, 4, 5))
        gamma, lam = Fraction(int(rng.integers(0, 96)), 100), float(10 ** rng.uniform(-2, 1))
        weights = rng.integers(1, 4, T)
        if number % 2:
            P, rho = rng.dirichlet(np.full(S, 0.5), (T, S, A)), rng.dirichlet(np.ones(S), T)
            family = TaskFamily.new(P, rng.normal(size=(T, S, A)), gamma, rho, weights, row_weights=True)
        else:
            branching = int(rng.integers(1, min(S, 4) + 1))
            sparse = garnet(states=S, actions=A, branching=branching, tasks=T, gamma=gamma, rng=rng)
            family = TaskFamily.new(sparse.P, sparse.r, gamma, np.eye(S)[0], weights, row_weights=True)
        share = float(rng.uniform(MARGIN, 1 - MARGIN))
        return cls(family, rng.normal(size=(S, A)), rng.random((T, S, A)), lam, share)

    def algorithms(self, solved: Solved) -> Iterator[tuple[str, str, str | Algorithm]]:
        """Name, kind of constraint, and what adapts."""
        yield from ((name, "", name) for name in FREE)
        for name in BOUNDED:
            for kind in KINDS:
                # A region with d_1 binds always: the policy that it keeps out has divergence infinity.
                if (name, kind) != ("kl-prior", "region, inactive"):
                    yield name, kind, constrained(name, self._constraint(solved, name, kind))

    def _constraint(self, solved: Solved, algorithm: str, kind: str) -> Constraint:
        """A limit inside the range that makes the constraint active, or inactive, on every task."""
        with FLOATS.activated():
            phi = solved.evaluate(from_log_weights(self.theta), FLOATS)
            if kind.startswith("budget"):
                free = constrained_step(phi, algorithm, CostBudget.new(self.cost, 1e9), self.lam).program
                excess = free.at_zero()[1]
                if kind == "budget, active":
                    return CostBudget.new(self.cost, free.floor + self.share * excess)
                return CostBudget.new(self.cost, free.floor + excess + self.share * (free.range - excess))
            widest = constrained_step(phi, algorithm, TrustRegion.new(1e-3)).program.at_zero()[1]
            if kind == "region, active":
                return TrustRegion.new(self.share * np.minimum(widest, 2.0))
            return TrustRegion.new(widest * (1 + MARGIN))


@dataclass(frozen=True)
class Line:
    """One gradient. Errors are relative to the closed form's Euclidean norm, absolute where that is 0.

    Attributes:
        apart: from the closed form.
        differences: from central differences: root mean square over the directions times the square root of the
            dimension, which estimates the norm of the error; along the gradient itself it is exact.
        cosine: of the angle to the closed form.
        gauge: largest sum over the actions of a state.
    """

    family: int
    states: int
    actions: int
    tasks: int
    gamma: float
    lam: float
    algorithm: str
    constraint: str
    method: str
    status: str
    residual: float
    linear_residual: float
    iterations: int
    norm: float
    apart: float
    differences: float
    cosine: float
    gauge: float


def lines_of(number: int) -> list[Line]:
    """All gradients of one family."""
    problem = Problem.drawn(number)
    family, theta = problem.family, problem.theta
    solved = Solved(family)
    lines = []
    for name, kind, algorithm in problem.algorithms(solved):
        exact = hypergradient(solved, theta, algorithm, problem.lam).gradient
        norm = float(np.linalg.norm(exact))
        random = np.random.default_rng([number, 13]).normal(size=(DIRECTIONS - 1, *theta.shape))
        first = exact if norm > 0 else np.ones_like(exact)
        units = [u / np.linalg.norm(u) for u in (first, *random)]
        scale = norm if norm > 0 else 1.0
        precise = Precise.of(solved, theta, algorithm, problem.lam)
        slopes = np.array([precise.derivative(u) for u in units])
        for method, settings in METHODS_COMPARED.items():
            found = hypergradient(solved, theta, algorithm, problem.lam, method=settings)
            off = np.abs(np.array([(found.gradient * u).sum() for u in units]) - slopes)
            across = float(np.sqrt(np.mean(off[1:] ** 2) * exact.size))
            size = float(np.linalg.norm(found.gradient))
            lines.append(
                Line(
                    number,
                    family.states,
                    family.actions,
                    family.tasks,
                    float(family.gamma),
                    problem.lam,
                    name,
                    kind,
                    method,
                    found.status,
                    found.residual,
                    float("nan") if found.linear_residual is None else found.linear_residual,
                    found.iterations,
                    norm,
                    float(np.linalg.norm(found.gradient - exact)) / scale,
                    max(float(off[0]), across) / scale,
                    float((found.gradient * exact).sum()) / (size * norm) if norm > 0 else 1.0,
                    float(np.abs(found.gradient.sum(axis=-1)).max()) / scale,
                )
            )
    return lines


def table(lines: list[Line]) -> Iterator[str]:
    """Rows: per algorithm and method the worst of everything."""
    for (algorithm, kind, method), some in grouped(lines):
        statuses = ", ".join(f"{status} {count}" for status, count in Counter(x.status for x in some).most_common())
        linear = [x.linear_residual for x in some if not np.isnan(x.linear_residual)]
        yield (
            f"| {algorithm} | {kind or '-'} | {method} | {statuses} | {worst(x.apart for x in some)} "
            f"| {worst(x.differences for x in some)} | {worst(x.residual for x in some)} "
            f"| {worst(linear) if linear else '-'} | {max(x.iterations for x in some)} "
            f"| {worst(x.gauge for x in some)} |"
        )


def grouped(lines: list[Line]) -> Iterator[tuple[tuple[str, str, str], list[Line]]]:
    """By algorithm, constraint and method, in the order of the lines."""
    keys = dict.fromkeys((x.algorithm, x.constraint, x.method) for x in lines)
    for key in keys:
        yield key, [x for x in lines if (x.algorithm, x.constraint, x.method) == key]


def worst(values: Iterable[float]) -> str:
    return f"{max(values):.1e}"


def bias(lines: list[Line]) -> Iterator[str]:
    """Rows: the first-order variant by algorithm and decade of lambda."""
    for (algorithm, kind, _), some in grouped([x for x in lines if x.method == "first-order"]):
        for low, high in DECADES:
            inside = [x for x in some if low <= x.lam < high and x.norm > 0]
            if inside:
                errors, cosines = np.array([x.apart for x in inside]), np.array([x.cosine for x in inside])
                yield (
                    f"| {algorithm} | {kind or '-'} | {low:g} to {high:g} | {len(inside)} | {np.median(errors):.2g} "
                    f"| {errors.max():.2g} | {np.median(cosines):.4f} | {cosines.min():.4f} |"
                )


def readme(lines: list[Line], command: str) -> str:
    """The worst of each kind, and whether the targets are met."""
    unbiased = [x for x in lines if x.method != "first-order"]
    beyond = [x for x in unbiased if not (x.apart <= AGREEMENT and x.differences <= DIFFERENCES)]
    packages = versions() | {"torch": version("torch")}
    count = f"All {len(unbiased)}" if not beyond else f"{len(unbiased) - len(beyond)} of {len(unbiased)}"
    norms = [x.norm for x in lines if x.norm > 0]
    text = [
        "# Hypergradients",
        "",
        f"`{command}` regenerates this folder ({', '.join(f'{k} {v}' for k, v in packages.items())}).",
        "",
        f"{len({x.family for x in lines})} random families of up to 16 states, 4 actions and 5 tasks with unequal "
        "weights, half dense and half sparse with one start state; discount up to 0.95, lambda log-uniform in "
        "[0.01, 10]; standard normal logits. Limits are drawn inside the range that makes a constraint active, or "
        "inactive, on every task. A trust region with d_1 is always active.",
        "",
        f"The reference of the column *differences* is a central difference of the whole meta-objective in {PRECISION}-"
        f"bit arithmetic with a step of 2^{round(np.log2(STEP))}: in doubles, differences of F cannot show 1e-7 where "
        f"the gradient is small. It is taken along the gradient and {DIRECTIONS - 1} random directions, from which the "
        "norm of the whole error is estimated. *Apart* is the distance to the closed form. Both are relative to the "
        "closed form's norm, and every entry is the worst of all families. In a trust region wide enough for the best "
        "action alone the gradient is exactly zero, and errors are absolute.",
        "",
        f"{count} gradients (those of the first-order variant apart, which is biased) are within {AGREEMENT:g} of the "
        f"closed form and within {DIFFERENCES:g} of the differences. Norms of gradients that are not exactly zero "
        f"begin at {min(norms):.1e}.",
        "",
        *(
            f"- Family {x.family}, {x.algorithm} {x.constraint}, {x.method}, lambda {x.lam:.2g}, norm {x.norm:.1e}: "
            f"apart {x.apart:.1e}, differences {x.differences:.1e}."
            for x in beyond
        ),
        *([""] if beyond else []),
        "| algorithm | constraint | method | status | apart | differences | stationarity | linear residual "
        "| most iterations | sum over actions |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *table(lines),
        "",
        "## Bias of the first-order variant",
        "",
        "Relative error and cosine against the closed form, where the gradient is not zero.",
        "",
        "| algorithm | constraint | lambda | families | median error | largest error | median cosine "
        "| smallest cosine |",
        "|---|---|---|---|---|---|---|---|",
        *bias(lines),
        "",
        "`agreement.csv` has one line a gradient.",
        "",
    ]
    return "\n".join(text)


@click.command()
@click.option("--families", default=100, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("-o", "--output", default="results/hypergradients", show_default=True, type=click.Path(path_type=Path))
def main(families: int, workers: int, output: Path) -> None:
    """Compare, and write the tables."""
    output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        parts = track(pool.map(lines_of, range(families)), total=families, description="comparing")
        lines = [line for part in parts for line in part]
    write_records(output / "agreement.csv", lines)
    text = readme(lines, f"python experiments/hypergradients.py --families {families}")
    (output / "README.md").write_text(text, encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    run(main)

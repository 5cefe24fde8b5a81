"""Pin the cases of ``bomrl regress``: named and random families under fixed and drawn meta-policies, as data.

Every draw that a registered theorem asks for is made on every finite family. Linear-quadratic families are drawn as
``bomrl verify`` does, and single tasks under their optimal gain. Numbers are rounded, so that the file is short; cases
on which rounding errors decide a verdict, or show in it, are left out, for they would differ between machines. A new
corpus makes every baseline old: rewrite those in the same change.

    python experiments/corpus.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np

from bomrl_theory.cli import run
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.linear_quadratic.definite import least_corner
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.random import LARGEST_RADIUS, Varying, average_gain, random_meta_policy
from bomrl_theory.linear_quadratic.random import random_family as random_quadratic_family
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.numbers import Array
from bomrl_theory.regress.baseline import apart, parsed
from bomrl_theory.regress.baseline import row as row_of
from bomrl_theory.regress.corpus import FILE, SCHEMA, Corpus, entry_of
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.draws import ADAPTATIONS
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.registry import registry
from bomrl_theory.verify.casefile import family_mapping
from bomrl_theory.verify.quadratic_cases import cases_on
from bomrl_theory.verify.random_cases import random_family
from bomrl_theory.verify.run import draws_of, family_cases
from bomrl_theory.verify.work import judged

OUTPUT = Path(__file__).resolve().parent.parent / "bomrl_theory" / "theorems" / FILE
NAMED = (
    "bandit:arms=3,tasks=2",
    "chain:states=4,tasks=2",
    "frozen-lake-high:size=3,tasks=2",
    "frozen-lake-low:size=3,tasks=2",
    "garnet:states=4,actions=3,branching=2,tasks=2",
    "random-dense:states=3,tasks=2",
)
RANDOM = 4
LARGEST_DISCOUNT = Fraction(99, 100)
"""Closer to 1 the last digits of values depend on the machine's linear algebra."""
NOISE, TRIALS = 1e-11, 6
"""Adapted policies are disturbed by this share of themselves, so many times: far more than what machines differ by."""
LAMBDAS = (Fraction(1),)
SIZES = ((1, 1), (2, 2))
"""States and actions of the linear-quadratic families; goals add a constant state."""
LARGE = 1000
"""lambda over what noise costs a step, where a bound on linear-quadratic control nears its left side."""


def rounded(family: TaskFamily) -> TaskFamily:
    """Whole percentages as weights, rewards with two decimals."""
    P = np.maximum(np.round(100 * family.P), family.P > 0)
    return TaskFamily.new(
        P,
        np.round(family.r, 2),
        family.gamma,
        np.round(100 * family.rho),
        family.weights,
        name=family.name.partition(":")[0],
        row_weights=True,
    )


def to_digits(x: Array, digits: int = 3) -> Array:
    """So many significant digits."""
    return np.array([float(f"{entry:.{digits}g}") for entry in x.ravel()]).reshape(x.shape)


def random_families(seed: int) -> Iterator[TaskFamily]:
    """Random families with at most two tasks and a discount that leaves digits."""
    found = 0
    for stream in np.random.SeedSequence(seed, spawn_key=(1,)).spawn(1000):
        family = random_family(np.random.default_rng(stream), name=f"random family {found}")
        if family.tasks <= 2 and family.actions > 1 and family.gamma <= LARGEST_DISCOUNT:
            found += 1
            yield family
        if found == RANDOM:
            return


@click.command()
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=OUTPUT)
def main(seed: int, output: Path) -> None:
    """Draw the corpus and write it."""
    streams = np.random.SeedSequence(seed)
    named = [family_named(spec, np.random.default_rng(streams)) for spec in NAMED]
    families: dict[str, dict[str, Any]] = {}
    cases: dict[str, dict[str, Any]] = {}

    def keep(drawn: Iterable[AnyCase]) -> None:
        for case in drawn:
            mapping = family_mapping(case)
            name = next((name for name, known in families.items() if known == mapping), None)
            if name is None:
                name = f"{case.family.name}, changed" if case.family.name in families else case.family.name
                families[name] = mapping
            label = case.describe().replace("lambda = ", "")
            if label in cases:
                label += " (again)"
            assert label not in cases, label
            cases[label] = {"case": label, "family": name, **entry_of(case)}

    for number, family in enumerate((*named, *random_families(seed))):
        stream = np.random.SeedSequence(seed, spawn_key=(2, number))
        found = drawn(Solved(rounded(family)), stream, fixed=number < len(named))
        keep(replace(case, phi=to_digits(case.phi)) for case in found)
    keep(quadratic_cases(np.random.SeedSequence(seed, spawn_key=(3,))))
    corpus = {"schema": SCHEMA, "families": families, "cases": list(cases.values())}
    left_out = sensitive(Corpus.from_json(corpus), np.random.default_rng(streams))
    corpus["cases"] = [case for case in cases.values() if case["case"] not in left_out]
    with replacing(output) as temporary:
        temporary.write_text(text(corpus), encoding="utf-8")
    click.echo(f"wrote {output}: {len(corpus['cases'])} cases on {len(families)} families; left out:")
    for name in left_out:
        click.echo(f"  {name}")


def drawn(solved: Solved, stream: np.random.SeedSequence, *, fixed: bool) -> Iterator[Case]:
    """The cases on one family."""
    rng = np.random.default_rng(stream)
    if fixed:
        yield from family_cases(solved, 1, rng, LAMBDAS)
    else:
        yield from ADAPTATIONS.make(solved, rng, f"{solved.family.name}, policy 0")
    for draw in draws_of(registry().values()):
        yield from draw.make(solved, draw.generator(stream), f"{solved.family.name}, {draw.name}")


# --- linear-quadratic control ---------------------------------------------------------------------


def quadratic_cases(seeds: np.random.SeedSequence) -> Iterator[LinearQuadraticCase]:
    """Two tasks that differ in one thing under a random meta-policy, and one task under its optimal gain."""
    for kind in get_args(Varying):
        for states, actions in SIZES:
            name = f"linear-quadratic {kind}, {states} by {actions}"
            yield from first_possible(seeds, kind, (2, states, actions), name, far)
    for states, actions in SIZES:
        name = f"linear-quadratic task, {states} by {actions}"
        yield from first_possible(seeds, "dynamics", (1, states, actions), name, near)
    yield from first_possible(seeds, "goals", (1, 1, 1), "linear-quadratic goal", near)


Draw = Callable[[LinearQuadraticFamily, np.random.Generator], Iterator[LinearQuadraticCase]]


def first_possible(
    seeds: np.random.SeedSequence, kind: Varying, size: tuple[int, int, int], name: str, draw: Draw
) -> list[LinearQuadraticCase]:
    """The cases on the first random family that is still one when it is rounded, and so are its policies."""
    tasks, states, actions = size
    while True:
        rng = np.random.default_rng(seeds.spawn(1)[0])
        exact = random_quadratic_family(rng, varying=kind, tasks=tasks, states=states, actions=actions, name=name)
        try:
            return list(draw(rounded_quadratic(exact, goals=kind == "goals"), rng))
        except InvalidTask:
            continue


def rounded_quadratic(family: LinearQuadraticFamily, *, goals: bool) -> LinearQuadraticFamily:
    """Three digits; the constant part of the cost of missing a goal up, so that no state pays.

    Raises:
        InvalidTask: a rounded matrix is no longer semidefinite, or a task no longer stabilisable.
    """
    arrays = {
        entry.name: to_digits(getattr(family, entry.name))
        for entry in fields(family)
        if entry.name not in ("gamma", "name")
    }
    for cost in arrays["R_x"] if goals else ():
        corner = least_corner(cost[:-1, :-1], cost[-1, :-1])
        if corner is None:
            raise InvalidTask("a rounded cost is singular")
        cost[-1, -1] = (math.floor(100 * corner) + 1) / 100
    return LinearQuadraticFamily.new(**arrays, gamma=family.gamma, name=family.name)


def far(family: LinearQuadraticFamily, rng: np.random.Generator) -> Iterator[LinearQuadraticCase]:
    """As ``bomrl verify`` draws them."""
    phi = rounded_policy(random_meta_policy(family, rng))
    for case in cases_on(family, phi, rng, origin=family.name):
        yield with_adapted(case, case.adapted)


def near(family: LinearQuadraticFamily, rng: np.random.Generator) -> Iterator[LinearQuadraticCase]:
    """A large lambda under the optimal gain, where only noise costs: left/bound is near 1, also on a good estimate."""
    phi = GaussianPolicy.new(to_digits(average_gain(family), 6), rounded_policy(random_meta_policy(family, rng)).Sigma)
    model = family.model()
    value = cf.evaluate(model, phi.K, phi.Sigma)
    lam = Fraction(f"{LARGE * cf.trace(value.H_uu, phi.Sigma).max():.1g}")
    for steps in (1, 3):
        yield LinearQuadraticCase.new(family, phi, lam, steps=steps, origin=f"{family.name}, optimal gain")
    adapted = GaussianPolicy(*cf.adapt(value, float(lam)))
    yield with_adapted(LinearQuadraticCase.new(family, phi, lam, origin=f"{family.name}, optimal gain"), adapted)


def rounded_policy(policy: GaussianPolicy) -> GaussianPolicy:
    """Three digits.

    Raises:
        InvalidTask: the rounded covariance is not definite.
    """
    return GaussianPolicy.new(to_digits(policy.K), to_digits(policy.Sigma))


def with_adapted(case: LinearQuadraticCase, adapted: GaussianPolicy | None) -> LinearQuadraticCase:
    """The case with rounded adapted policies.

    Raises:
        InvalidTask: they do not stabilise every task by a margin.
    """
    if adapted is None:
        return case
    adapted = rounded_policy(adapted)
    if np.any(case.family.radius(adapted.K) >= LARGEST_RADIUS):
        raise InvalidTask("a rounded policy is almost unstable")
    return LinearQuadraticCase.new(case.family, case.phi, case.lam, adapted=adapted, origin=case.origin)


# --- what would differ between machines -----------------------------------------------------------


def sensitive(corpus: Corpus, rng: np.random.Generator) -> list[str]:
    """Names of the cases on which some theorem's verdict, or a side of it, is another when floats are disturbed."""
    theorems = list(registry().values())
    found = []
    for name, case in corpus.cases():
        covering = [theorem for theorem in theorems if theorem.covers(case)]
        known = [row for verdicts, _ in judged(covering, case) for row in map(row_of, verdicts)]
        for again in elsewhere(case, rng):
            rows = [row for verdicts, _ in judged(covering, again) for row in map(row_of, verdicts)]
            if any(map(differ, known, rows)):
                found.append(name)
                break
    return found


@dataclass(frozen=True, eq=False)
class Disturbed(LinearQuadraticFamily):
    """A family with the same exact data, whose floats, from which its optimum is enclosed, are another machine's."""

    rng: np.random.Generator = field(kw_only=True)

    def model(self, convert: Callable[[Array], Any] = np.asarray) -> Model:
        """Every matrix disturbed."""
        exact = super().model(convert)
        matrices = {name: getattr(exact, name) for name in ("A", "B", "W", "R_x", "R_u")}
        return replace(
            exact, **{name: x * (1 + NOISE * self.rng.uniform(-1, 1, x.shape)) for name, x in matrices.items()}
        )


def elsewhere(case: AnyCase, rng: np.random.Generator) -> Iterator[AnyCase]:
    """The same case, as other machines solve or adapt it."""
    if isinstance(case, LinearQuadraticCase):
        for _ in range(TRIALS):
            data = {entry.name: getattr(case.family, entry.name) for entry in fields(case.family)}
            yield replace(case, family=Disturbed(**data, rng=rng))
        return
    assert isinstance(case, Case)
    for _ in range(TRIALS if case.adaptation.policies[1:].size else 0):
        again = replace(case)
        policies = case.adaptation.policies.copy()
        policies[1:] *= 1 + NOISE * rng.uniform(-1, 1, policies[1:].shape)
        again.__dict__["adaptation"] = replace(case.adaptation, policies=policies)
        yield again


def differ(one: str, other: str) -> bool:
    """Whether a baseline would call them different."""
    (outcome, *sides), (again, *others) = parsed(one), parsed(other)
    return outcome != again or any(map(apart, sides, others))


def text(corpus: dict[str, Any]) -> str:
    """JSON with a family's array or a case on each line."""
    families = ",\n".join(
        f"  {json.dumps(name)}: {{\n"
        + ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in family.items())
        + "\n  }"
        for name, family in corpus["families"].items()
    )
    cases = ",\n".join(f"  {json.dumps(case)}" for case in corpus["cases"])
    schema = json.dumps(corpus["schema"])
    return f'{{\n "schema": {schema},\n "families": {{\n{families}\n }},\n "cases": [\n{cases}\n ]\n}}\n'


if __name__ == "__main__":
    run(main)

"""Pin the cases of ``bomrl regress``: named and random families under fixed and drawn meta-policies, as data.

Every draw that a registered theorem asks for is made on every family. Numbers are rounded, so that the file is short;
cases on which rounding errors of the adaptation decide a verdict, or show in it, are left out, for they would differ
between machines. A new corpus makes every baseline old: rewrite those in the same change.

    python experiments/corpus.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from bomrl_theory.cli import run
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.regress.baseline import apart, parsed
from bomrl_theory.regress.baseline import row as row_of
from bomrl_theory.regress.corpus import FILE, SCHEMA, Corpus, entry_of
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import listed, replacing, to_mapping
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.draws import ADAPTATIONS
from bomrl_theory.theory.registry import registry
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


def to_digits(phi: Array) -> Array:
    """Three significant digits."""
    return np.array([float(f"{x:.3g}") for x in phi.ravel()]).reshape(phi.shape)


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
    for number, family in enumerate((*named, *random_families(seed))):
        solved = Solved(rounded(family))
        stream = np.random.SeedSequence(seed, spawn_key=(2, number))
        for case in drawn(solved, stream, fixed=number < len(named)):
            case = replace(case, phi=to_digits(case.phi))
            mapping = {key: listed(value) for key, value in to_mapping(case.family).items()}
            name = next((name for name, known in families.items() if known == mapping), None)
            if name is None:
                name = f"{solved.family.name}, changed" if solved.family.name in families else solved.family.name
                families[name] = mapping
            label = case.describe().replace("lambda = ", "")
            if label in cases:
                label += " (again)"
            assert label not in cases, label
            cases[label] = {"case": label, "family": name, **entry_of(case)}
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


def sensitive(corpus: Corpus, rng: np.random.Generator) -> list[str]:
    """Names of the cases on which some theorem's verdict, or a side of it, is another when policies are disturbed."""
    theorems = list(registry().values())
    found = []
    for name, case in corpus.cases():
        covering = [theorem for theorem in theorems if theorem.covers(case)]
        known = [row for verdicts, _ in judged(covering, case) for row in map(row_of, verdicts)]
        for _ in range(TRIALS if case.adaptation.policies[1:].size else 0):
            rows = [row for verdicts, _ in judged(covering, disturbed(case, rng)) for row in map(row_of, verdicts)]
            if any(map(differ, known, rows)):
                found.append(name)
                break
    return found


def disturbed(case: Case, rng: np.random.Generator) -> Case:
    """The same case, adapted by another machine."""
    again = replace(case)
    policies = case.adaptation.policies.copy()
    policies[1:] *= 1 + NOISE * rng.uniform(-1, 1, policies[1:].shape)
    again.__dict__["adaptation"] = replace(case.adaptation, policies=policies)
    return again


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

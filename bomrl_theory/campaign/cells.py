"""The grid of a campaign: its cells, each with streams of its own, and the chunks that they are worked through in."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.campaign.kinds import KINDS, Kind, named_kind
from bomrl_theory.campaign.spec import RANDOM, FamilyGrid, Spec, is_random
from bomrl_theory.errors import InvalidFile, InvalidTask, UnknownName
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.linear_quadratic.random import random_meta_policy
from bomrl_theory.meta.barycentre import barycentre_of
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.theory.case import AnyCase, Case, Setting
from bomrl_theory.theory.draws import random_lambda, random_policy
from bomrl_theory.theory.linear_quadratic import EXACT, LinearQuadraticCase
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.quadratic_cases import adapted_on_estimate

KEY_WORDS = 4
"""32-bit words of a cell's key."""


@dataclass(frozen=True)
class Cell:
    """One combination of the grid.

    Attributes:
        index: its place in the grid.
        cases: how many are drawn.
        kind, named, digest: of the families, as in :class:`FamilyGrid`.
        parameters: of the families, by name.
        meta_policy, algorithm: by name.
        lam: exact, as text, or "random".
        steps: K.
    """

    index: int
    cases: int
    kind: str | None
    named: str | None
    digest: str | None
    parameters: tuple[tuple[str, Any], ...]
    meta_policy: str
    algorithm: str
    lam: str
    steps: int

    @cached_property
    def key(self) -> tuple[int, ...]:
        """Seeds the cell's cases: made of what it is, so that another cell in the grid leaves them as they are."""
        source = self.digest or self.named or self.kind
        what = [source, dict(self.parameters), self.meta_policy, self.algorithm, self.lam, self.steps]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()
        return tuple(int(word) for word in np.frombuffer(digest, dtype="<u4")[:KEY_WORDS])

    @property
    def how(self) -> Kind:
        """How its families are drawn."""
        return named_kind(self.named, self.digest) if self.kind is None and self.named else KINDS[self.kind or ""]

    @property
    def setting(self) -> Setting:
        return self.how.setting

    def generator(self, seed: int, chunk: int) -> np.random.Generator:
        """Everything in a chunk is drawn from it."""
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*self.key, chunk)))

    def draw(self, families: int, rng: np.random.Generator) -> AnyCase:
        """So many families (one, unless their tasks are independent) side by side, with one meta-policy and lambda.

        Raises:
            InvalidTask: the parameters do not fit each other.
        """
        parameters = dict(self.parameters)
        if "tasks" in parameters:
            parameters["tasks"] *= families
        if "gamma" in parameters:
            parameters["gamma"] = Fraction(parameters["gamma"])
        family = self.how.build(**parameters, rng=rng)
        lam = random_lambda(rng) if self.lam == RANDOM else Fraction(self.lam)
        if self.setting == "linear-quadratic":
            phi = random_meta_policy(family, rng)
            adapted = None if self.algorithm == EXACT else adapted_on_estimate(family, phi, float(lam), rng)
            return LinearQuadraticCase.new(family, phi, lam, steps=self.steps, adapted=adapted)
        solved = solved_family(family)
        if self.meta_policy == "barycentre":
            phi = barycentre_of(solved)
        elif self.meta_policy == "uniform":
            phi = uniform_policy(family.states, family.actions)
        else:
            phi = random_policy(rng, family.states, family.actions)
        return Case.new(solved, phi, self.algorithm, lam, steps=self.steps)

    def as_json(self) -> dict[str, Any]:
        """For people and for queries."""
        return {
            "cell": self.index,
            "cases": self.cases,
            "family": self.kind or self.named,
            "parameters": dict(self.parameters),
            "meta_policy": self.meta_policy,
            "algorithm": self.algorithm,
            "lambda": None if self.algorithm == "none" else self.lam,
            "steps": self.steps,
        }


@dataclass(frozen=True)
class Chunk:
    """Consecutive cases of a cell: what is worked on as one, and kept in one file.

    Attributes:
        cell: whose.
        index: which one of the cell's.
        first, count: its cases.
    """

    cell: Cell
    index: int
    first: int
    count: int


def chunks_of(cells: tuple[Cell, ...], size: int) -> Iterator[Chunk]:
    """All chunks, cell by cell."""
    for cell in cells:
        for index, first in enumerate(range(0, cell.cases, size)):
            yield Chunk(cell, index, first, min(size, cell.cases - first))


def cells_of(spec: Spec) -> tuple[Cell, ...]:
    """The combinations that some theorem of the campaign speaks about; nothing is drawn that nobody judges.

    Raises:
        InvalidFile: a theorem of a list speaks about none of them, or a combination cannot be drawn.
    """
    cells: list[Cell] = []
    met: set[str] = set()
    keys: set[tuple[int, ...]] = set()
    for grid, meta_policy, algorithm, lam, steps in itertools.product(
        spec.families, spec.meta_policies, spec.algorithms, spec.lambdas, spec.steps
    ):
        for parameters in _products(grid):
            cell = _cell(spec, grid, parameters, meta_policy, algorithm, lam, steps)
            covering = () if cell is None else _covering(spec.theorems, cell)
            if cell is None or not covering or cell.key in keys:
                continue
            met.update(theorem.id for theorem in covering)
            keys.add(cell.key)
            cells.append(replace(cell, index=len(cells)))
    unmet = next((theorem for theorem in spec.theorems if theorem.id not in met), None)
    if unmet is not None and (not cells or not spec.whole_setting):
        steps = "" if unmet.steps is None else f", {unmet.steps} step{'s' * (unmet.steps != 1)}"
        raise InvalidFile(
            f"{spec.path}: no combination in the grid is what {unmet.id} speaks about: {unmet.setting} tasks, "
            f"{' or '.join(unmet.algorithms)}{steps}; add it to the grid, or leave the theorem out"
        )
    for cell in {(cell.kind, cell.named, cell.parameters): cell for cell in cells}.values():
        _check(spec, cell)
    return tuple(cells)


def _products(grid: FamilyGrid) -> Iterator[tuple[tuple[str, Any], ...]]:
    for values in itertools.product(*grid.parameters.values()):
        yield tuple(zip(grid.parameters, values, strict=True))


def _cell(
    spec: Spec,
    grid: FamilyGrid,
    parameters: tuple[tuple[str, Any], ...],
    meta_policy: str,
    algorithm: str,
    lam: str,
    steps: int,
) -> Cell | None:
    """The cell, or None where the combination does not exist."""
    if algorithm == "none":  # nothing adapts: neither lambda nor the number of steps matters
        lam, steps = "1", 1
    cell = Cell(0, spec.cases, grid.kind, grid.named, grid.digest, parameters, meta_policy, algorithm, lam, steps)
    if cell.setting == "linear-quadratic" and (meta_policy != RANDOM or (algorithm != EXACT and steps != 1)):
        return None
    if not is_random(grid) and meta_policy != RANDOM and lam != RANDOM:
        return replace(cell, cases=1)  # every draw would be the same case
    return cell


def _covering(theorems: tuple[Theorem, ...], cell: Cell) -> tuple[Theorem, ...]:
    algorithm = algorithm_named(cell.algorithm)
    return tuple(
        theorem
        for theorem in theorems
        if theorem.setting == cell.setting
        and algorithm.name in theorem.algorithms
        and (theorem.steps is None or algorithm.name == "none" or theorem.steps == cell.steps)
    )


def _check(spec: Spec, cell: Cell) -> None:
    """Draw one family: parameters that do not fit each other are refused before the work begins."""
    parameters = {key: Fraction(value) if key == "gamma" else value for key, value in cell.parameters}
    try:
        cell.how.build(**parameters, rng=np.random.default_rng(0))
    except (InvalidTask, InvalidFile, UnknownName) as error:
        raise InvalidFile(f"{spec.path}: families {cell.kind or cell.named}: {error}") from None

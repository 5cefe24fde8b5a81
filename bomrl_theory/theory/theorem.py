"""A theorem: everything the package knows about one bound, declared in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import sympy as sp

from bomrl_theory.adapt.adapt import ADAPTING as ADAPTING
from bomrl_theory.adapt.adapt import algorithms as known_algorithms
from bomrl_theory.errors import BomrlError, InvalidTheorem
from bomrl_theory.theory.case import AnyCase, Setting
from bomrl_theory.theory.constants import Constant, gap, gap_phi, w
from bomrl_theory.theory.draws import Draw
from bomrl_theory.theory.expression import (
    Expr,
    free_indices,
    largest_over_tasks,
    mixes_tasks,
    over_tasks,
    quantities,
    s,
    tau,
)

Status = Literal["proved", "refuted", "conjectured"]
TOPICS = (
    "adaptation",
    "surrogate bounds",
    "task distribution",
    "policy optimisation",
    "meta-training",
    "bilevel optimisation",
    "online meta-learning",
)
"""Headings of the registry, in the order of lists."""


@dataclass(frozen=True)
class Source:
    """Where a statement comes from.

    Attributes:
        work: author, year, title.
        place: theorem, lemma or section number there.
        obtained: "derived here", "as published", "reconstructed" or "from memory": how the wording and
            the constants came to us.
    """

    work: str
    place: str
    obtained: Literal["derived here", "as published", "reconstructed", "from memory"]


@dataclass(frozen=True)
class Assumption:
    """A checkable condition: ``margin >= 0`` for every task of the case.

    Attributes:
        name: short, for tables.
        statement: for people, LaTeX allowed between dollar signs.
        margin: an expression in the theorem's constants.
        broken: a case where this assumption fails; the others hold there.
        needed: whether ``broken`` violates the claim once the assumption is dropped; False is a finding:
            no such case is known, and the assumption may not matter.
    """

    name: str
    statement: str
    margin: Expr
    broken: Callable[[], Any] | None = None
    needed: bool = True


@dataclass(frozen=True)
class Derivation:
    """A step behind a theorem that SymPy confirms each time it is asked.

    Attributes:
        claim: the step in LaTeX, for people.
        residual: an expression that simplifies to zero exactly if the step is right.
    """

    claim: str
    residual: Callable[[], Expr]

    def holds(self) -> bool:
        """Whether SymPy reduces the residual to zero."""
        return sp.simplify(self.residual()) == 0


@dataclass(frozen=True)
class Theorem:
    """A bound (or identity) with its constants, assumptions, source and witness.

    Attributes:
        id: ``name-vN``; a changed statement or constant is a new version.
        title: one line.
        statement: LaTeX of the full statement.
        source: where it comes from.
        status: "proved" (a violation is an error), "refuted" (a violation is expected, by the
            witness at least) or "conjectured".
        algorithms: the adaptation algorithms it speaks about; ``("none",)`` for the unadapted policy.
        left, relation, bound: what is claimed, as expressions in the constants.
        constants: every quantity that the expressions read.
        assumptions: conditions beyond a valid case; where one fails the verdict is OUT OF SCOPE.
        witness: the case with the largest known left/bound; for a refuted theorem its counterexample.
        tightness: a lower bound on left/bound at the witness, tested.
        proof: path of the readable proof in the repository, or None.
        notes: what a reader must know besides.
        steps: the number of adaptation steps it speaks about; None for any.
        topic: heading in lists; one of :data:`TOPICS` for entries of the registry.
        derivations: steps that SymPy executes.
        draws: further ways to draw cases, where the common ones seldom meet the scope.
        probes: further cases, each of which needs a constant of the bound that the witness does not.
        setting: the kind of tasks that it speaks about: finite MDPs, or linear-quadratic control.
    """

    id: str
    title: str
    statement: str
    source: Source
    status: Status
    algorithms: tuple[str, ...]
    left: Expr
    bound: Expr
    constants: tuple[Constant, ...]
    witness: Callable[[], Any]
    tightness: float
    relation: Literal["<=", "=="] = "<="
    assumptions: tuple[Assumption, ...] = ()
    proof: str | None = None
    notes: str = ""
    steps: int | None = 1
    topic: str = "yours"
    derivations: tuple[Derivation, ...] = ()
    draws: tuple[Draw, ...] = ()
    probes: tuple[Callable[[], Any], ...] = ()
    setting: Setting = "tabular"

    def __post_init__(self) -> None:
        name, dash, version = self.id.rpartition("-v")
        if not (name and dash and version.isdigit()):
            raise InvalidTheorem(f"id '{self.id}' must read name-vN, for example my_bound-v1")
        declared = {constant.name for constant in self.constants}
        margins = [assumption.margin for assumption in self.assumptions]
        for expression in (self.left, self.bound, *margins):
            missing = quantities(sp.sympify(expression)) - declared
            if missing:
                raise InvalidTheorem(
                    f"{self.id}: {', '.join(sorted(missing))} not among its constants; add them to constants=(...)"
                )
            if s in free_indices(sp.sympify(expression)):
                raise InvalidTheorem(f"{self.id}: {expression} depends on the state; sum or maximise over s")
        for algorithm in self.algorithms:
            if algorithm not in known_algorithms():
                raise InvalidTheorem(f"{self.id}: unknown algorithm '{algorithm}'")
        if not self.algorithms:
            raise InvalidTheorem(f"{self.id}: name at least one algorithm ('none' for the unadapted policy)")

    @property
    def own(self) -> bool:
        """Whether the statement was derived here."""
        return self.source.obtained == "derived here"

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id.rpartition("-v")[0]

    @cached_property
    def bounds_gap(self) -> bool:
        """Whether it claims an upper bound on an optimality gap; only such a bound has a grade."""
        return self.relation == "<=" and quantities(sp.sympify(self.left)) <= {gap.name, gap_phi.name, w.name}

    @cached_property
    def scope(self) -> Literal["task", "family"]:
        """Whether it claims something of every task, or of the average over the family."""
        return "task" if tau in free_indices(self.left) | free_indices(self.bound) else "family"

    @cached_property
    def separable(self) -> bool:
        """Whether a task's verdict is the same whichever other tasks the family holds; task weights are not."""
        return (
            self.scope == "task"
            and w not in self.constants
            and self.measured_by_task
            and not any(mixes_tasks(side) for side in (self.left, self.bound, *(x.margin for x in self.assumptions)))
        )

    @cached_property
    def measured_by_task(self) -> bool:
        """Whether every constant but the task weights can be measured on each task alone."""
        return all(tau in constant.symbol.free_symbols or constant.shared for constant in self.constants)

    def covers(self, case: AnyCase) -> bool:
        """Whether the theorem speaks about this kind of tasks and adaptation at all."""
        if case.setting != self.setting or case.algorithm.name not in self.algorithms:
            return False
        return self.steps is None or case.algorithm.name == "none" or case.steps == self.steps

    def known_cases(self) -> dict[str, AnyCase]:
        """The witness and the probes, by name.

        Raises:
            InvalidTheorem: one of them cannot be made, whatever its author's code raises.
        """
        makers = {"witness": self.witness} | {f"probe {number}": make for number, make in enumerate(self.probes)}
        return {name: made(make, f"{self.id}, {name}") for name, make in makers.items()}

    def averaged(self) -> Theorem:
        """The claim about the expectation over tasks that follows from a claim about every task."""
        if self.scope == "family":
            return self
        return replace(
            self,
            left=over_tasks(w.symbol * self.left),
            bound=over_tasks(w.symbol * self.bound),
            assumptions=tuple(
                replace(assumption, margin=-largest_over_tasks(-assumption.margin)) for assumption in self.assumptions
            ),
            constants=self.constants if w in self.constants else (*self.constants, w),
        )

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the statement as a formula, where it comes from, its assumptions."""
        lines = [
            f"**{self.id}** — {self.title}",
            f"$${self.statement}$$",
            f"{self.source.work}; {self.source.place} ({self.source.obtained}). Registered as {self.status}.",
            *(f"- *{assumption.name}*: {assumption.statement}" for assumption in self.assumptions),
        ]
        return "\n\n".join(lines)

    def scaled(self, factor: Any) -> Theorem:
        """The same claim with ``factor``, exact, times the bound: for mutation tests and tightness."""
        return replace(self, bound=sp.Rational(*Fraction(factor).as_integer_ratio()) * self.bound)


def made(make: Callable[[], AnyCase], where: str) -> AnyCase:
    """The case that a theorem's author describes.

    Raises:
        InvalidTheorem: it cannot be made; the message says where.
    """
    try:
        case = make()
    except BomrlError as error:
        raise InvalidTheorem(f"{where}: {error}") from None
    except Exception as error:  # whatever the author's code raises
        raise InvalidTheorem(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(case, AnyCase):
        raise InvalidTheorem(f"{where}: a {type(case).__name__} where Case.new(...) is expected")
    return case


def by_topic(theorems: Iterable[Theorem]) -> dict[str, list[Theorem]]:
    """Theorems under their topics: in the order of :data:`TOPICS`, other topics last, nothing empty."""
    theorems = list(theorems)
    topics = dict.fromkeys((*TOPICS, *sorted(theorem.topic for theorem in theorems)))
    grouped = {topic: [theorem for theorem in theorems if theorem.topic == topic] for topic in topics}
    return {topic: members for topic, members in grouped.items() if members}

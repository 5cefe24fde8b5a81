"""What is known of a case, and how a quantity that bounds speak about is defined.

The definitions themselves are in ``definitions``, one topic a file. A definition is a function of the
facts of a case and of the indices that it depends on. It is used only for a claim whose certificate gives
its name the same meaning: two theorems may call different things C, and a quantity whose meaning changes
is another one, so that older certificates stay checkable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import flint
from flint import fmpq

from bomrl_theory.verify.check.arithmetic import Number, Undefined
from bomrl_theory.verify.check.task import Evaluated, Policy, Task, deterministic

Per = Literal["case", "task", "state"]
PER: tuple[Per, ...] = ("case", "task", "state")
"""How many indices a quantity has: its place here."""


@dataclass(frozen=True, eq=False)
class CaseData:
    """A case in exact rationals.

    Attributes:
        tasks: T of them.
        weights: of the tasks, summing to 1.
        optimal: optimal actions [T][S].
        phi: meta-policy.
        plus: adapted policies [T].
        steps: K.
        between: policies after every step but the last [K-1][T].
        estimates: action values [T][S][A] that the last step used in place of Q^phi, if it estimated them.
    """

    tasks: list[Task]
    weights: list[fmpq]
    optimal: list[list[int]]
    phi: Policy
    plus: list[Policy]
    algorithm: str
    lam: fmpq
    steps: int
    between: list[list[Policy]]
    estimates: list[list[list[fmpq]]] | None = None

    def policy(self, which: str, tau: int) -> Policy:
        match which:
            case "star":
                return deterministic(self.tasks[tau], self.optimal[tau])
            case "phi":
                return self.phi
            case "plus":
                return self.plus[tau]
        return self.between[int(which)][tau]


@dataclass(eq=False)
class Facts:
    """The quantities of a case at the current precision.

    Attributes:
        case: the data.
        exact: whether linear systems are solved in rationals.
        evaluations: for each role of a policy what was evaluated, by precision (0: exact) and task; shared.
        chosen: the comparators' free parameters, by name and task: a list over states.
    """

    case: CaseData
    exact: bool
    evaluations: dict[str, dict[tuple[int, int], Evaluated]]
    chosen: dict[str, dict[int, list[fmpq]]] = field(default_factory=dict)
    _known: dict[tuple[str, int | None, int | None], Number] = field(default_factory=dict, repr=False)

    def evaluated(self, which: str, tau: int) -> Evaluated:
        """A policy ("star", "phi", "plus", or the place of one in between) on a task."""
        known, key = self.evaluations[which], (0 if self.exact else flint.ctx.prec, tau)
        if key not in known:
            known[key] = Evaluated(self.case.tasks[tau], self.case.policy(which, tau), self.exact)
        return known[key]

    def star(self, tau: int) -> Evaluated:
        return self.evaluated("star", tau)

    def phi(self, tau: int) -> Evaluated:
        return self.evaluated("phi", tau)

    def plus(self, tau: int) -> Evaluated:
        return self.evaluated("plus", tau)

    def along(self, tau: int, k: int) -> Evaluated:
        """The policy after k steps on a task."""
        return self.phi(tau) if k == 0 else self.plus(tau) if k == self.case.steps else self.evaluated(str(k - 1), tau)

    def a_star(self, tau: int, s: int) -> int:
        return self.case.optimal[tau][s]

    def value(self, key: str, tau: int | None, s: int | None) -> Number:
        """A quantity at a task and a state, of which it takes what it needs.

        Raises:
            Undefined: it does not exist here, or cannot be enclosed at this precision.
        """
        definition = DEFINITIONS[key]
        place = (None, None) if definition.per == "case" else (tau, None) if definition.per == "task" else (tau, s)
        indices = place[: PER.index(definition.per)]
        if None in indices:
            raise Undefined(f"{key} was asked for outside a sum or a maximum over its index")
        if (key, *place) not in self._known:
            self._known[key, *place] = definition.function(self, *indices)
        return self._known[key, *place]


@dataclass(frozen=True)
class Definition:
    """A quantity: its name in claims, what it may be said to mean there, what it depends on, how it is computed."""

    name: str
    meanings: tuple[str, ...]
    per: Per
    function: Callable[..., Number]


DEFINITIONS: dict[str, Definition] = {}


def key_of(name: str, meaning: Any) -> str | None:
    """The key of the definition that a claim means by ``name``; None where there is none."""
    for key, definition in DEFINITIONS.items():
        if definition.name == name and meaning in definition.meanings:
            return key
    return None


def defines(
    name: str, per: Per, *meanings: str, key: str = ""
) -> Callable[[Callable[..., Number]], Callable[..., Number]]:
    """Register a function as the definition of a quantity.

    Args:
        name: in claims.
        per: which indices the function takes after the facts.
        meanings: what claims may say that the name means, word for word.
        key: for a second definition under the same name.
    """

    def register(function: Callable[..., Number]) -> Callable[..., Number]:
        DEFINITIONS[key or name] = Definition(name, meanings, per, function)
        return function

    return register

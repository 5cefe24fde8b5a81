"""The lines that verdicts refer to, read strictly: claims, families and cases as exact data."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import flint
from flint import fmpq

from bomrl_theory.verify.check import definitions as definitions  # registers every definition
from bomrl_theory.verify.check.arithmetic import ONE, ZERO, total
from bomrl_theory.verify.check.facts import CaseData, Facts, key_of
from bomrl_theory.verify.check.task import Evaluated, Policy, Task, improving_action
from bomrl_theory.verify.check.tree import Malformed, names, rational, renamed


class Wrong(ValueError):
    """Readable data that no certificate may rest on: improper, or not what their hash says."""


class TooLarge(ValueError):
    """Data that the certificate only hashes."""


def data_of(line: dict[str, Any]) -> Any:
    """The data of a line that others refer to, after comparing them with their hash.

    Raises:
        TooLarge: they were left out.
        Wrong: they are not what the hash says.
    """
    data = line["data"]
    if data is None:
        raise TooLarge(f"its {line['kind']} of {line.get('numbers')} numbers is only hashed: too large for the file")
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(canonical.encode()).hexdigest() != line["sha256"]:
        raise Wrong(f"its {line['kind']}'s data do not match their hash")
    return data


# --- claims --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A theorem's claim.

    Attributes:
        left, bound, margins: trees over the keys of the independent definitions.
        unknown: the quantities that have no such definition; where there is one the trees are not used.
    """

    id: str
    algorithms: list[str]
    steps: int | None
    per_task: bool
    identity: bool
    left: list[Any]
    bound: list[Any]
    margins: dict[str, list[Any]]
    unknown: list[str]

    @property
    def graded(self) -> bool:
        """Whether it is a bound on an optimality gap: only such a bound has a grade."""
        return not self.identity and names(self.left) <= {"gap", "gap_phi", "w"}

    @classmethod
    def read(cls, data: Any) -> Claim:
        """
        Raises:
            Malformed: not a claim.
        """
        margins = {_text(margin, "name"): margin.get("margin") for margin in _list(_get(data, "assumptions"))}
        left, bound, meanings = (_get(data, key) for key in ("left", "bound", "quantities"))
        read = names(left).union(names(bound), *(names(margin) for margin in margins.values()))
        if not isinstance(meanings, dict):
            raise Malformed("quantities is not an object from names to meanings")
        keys = {name: key_of(name, meanings.get(name)) or name for name in read}
        steps, algorithms = _get(data, "steps"), _list(_get(data, "algorithms"))
        if steps is not None and type(steps) is not int:
            raise Malformed(f"steps = {steps!r} is neither a whole number nor null")
        return cls(
            _text(data, "id"),
            algorithms,
            steps,
            _one_of(data, "scope", "task", "family") == "task",
            _one_of(data, "relation", "==", "<=") == "==",
            renamed(left, keys),
            renamed(bound, keys),
            {name: renamed(margin, keys) for name, margin in margins.items()},
            sorted(name for name in read if key_of(name, meanings.get(name)) is None),
        )

    def covers(self, algorithm: str, steps: int) -> bool:
        """Whether it speaks about this adaptation; one without adaptation takes any number of steps."""
        return algorithm in self.algorithms and (algorithm == "none" or self.steps in (None, steps))


# --- families ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Family:
    """Tasks, their weights and the optimal actions recorded for them.

    Attributes:
        known: evaluations of policies, by role and owner, so that cases share what they have in common.
    """

    tasks: list[Task]
    weights: list[fmpq]
    optimal: list[list[int]]
    known: dict[str, tuple[Any, dict[tuple[int, int], Evaluated]]] = field(default_factory=dict, repr=False)
    _proved: dict[int, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, data: Any) -> Family:
        """
        Raises:
            Malformed: not a family.
            Wrong: not a proper one.
        """
        gamma = rational(_get(data, "gamma"))
        if not ZERO <= gamma < ONE:
            raise Wrong(f"gamma = {gamma} is outside [0, 1)")
        rewards = [_table(r, "r") for r in _list(_get(data, "r"))]
        if not rewards or any(shape(r) != shape(rewards[0]) for r in rewards):
            raise Malformed("r holds no tasks, or tasks of different shapes")
        tasks, (states, actions) = len(rewards), shape(rewards[0])
        rho = [distribution(row, "rho") for row in _list(_get(data, "rho"), tasks)]
        P = [
            [[_row(row, states) for row in _list(rows, actions)] for rows in _list(task, states)]
            for task in _list(_get(data, "P"), tasks)
        ]
        if any(len(row) != states for row in rho):
            raise Malformed("rho and r have different numbers of states")
        weights = distribution(_list(_get(data, "weights"), tasks), "weights")
        optimal = [_list(row, states) for row in _list(_get(data, "optimal_actions"), tasks)]
        if any(type(a) is not int or not 0 <= a < actions for row in optimal for a in row):
            raise Malformed("optimal_actions holds something that is not an action")
        return cls([Task(*parts) for parts in zip(P, rewards, [gamma] * tasks, rho, strict=True)], weights, optimal)

    def doubt(self, tau: int) -> str:
        """Why the recorded optimal actions of a task are not optimal; empty where they are, proved in rationals."""
        if tau not in self._proved:
            better = improving_action(self.tasks[tau], self.optimal[tau])
            where = "" if better is None else f"at state {better[0]} action {better[1]} is better"
            self._proved[tau] = where and f"the recorded optimal actions of task {tau} are not optimal: {where}"
        return self._proved[tau]

    def evaluations(self, role: str, owner: Any) -> dict[tuple[int, int], Evaluated]:
        """Evaluations of one policy of a role; those of the role's last owner are kept."""
        if role not in self.known or self.known[role][0] != owner:
            self.known[role] = owner, {}
        return self.known[role][1]


# --- cases ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class Case:
    """A family, a meta-policy, and what it was adapted to."""

    family: Family
    data: CaseData
    steps: int
    name: str
    _facts: dict[tuple[bool, int, str], Facts] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, data: Any, family: Family, name: str) -> Case:
        """
        Raises:
            Malformed: not a case of that family.
            Wrong: not a proper one.
        """
        expected = shape(family.tasks[0].r)
        lam, steps = rational(_get(data, "lambda")), _get(data, "steps")
        if lam <= ZERO:
            raise Wrong(f"lambda = {lam} is not positive")
        policies = _list(_get(data, "policies"))
        if type(steps) is not int or len(policies) != steps:
            raise Malformed(f"{len(policies)} adapted policies for steps = {steps!r}")
        phi = _policy(_get(data, "meta_policy"), expected, "the meta-policy")
        steps_taken = [
            [_policy(policy, expected, "an adapted policy") for policy in _list(tasks, len(family.tasks))]
            for tasks in policies
        ]
        plus = steps_taken[-1] if steps_taken else [phi for _ in family.tasks]
        algorithm = _text(data, "algorithm")
        if algorithm == "none" and any(policy != phi for policy in plus):
            raise Wrong("algorithm 'none' changed the meta-policy")
        estimates = [
            [_table(values, "estimates") for values in _list(step, len(family.tasks))]
            for step in _list(data.get("estimates", []))
        ]
        if any(shape(values) != expected for step in estimates for values in step):
            raise Malformed("estimates and r have different shapes")
        exact = CaseData(
            family.tasks,
            family.weights,
            family.optimal,
            phi,
            plus,
            algorithm,
            lam,
            steps,
            steps_taken[:-1],
            estimates[-1] if estimates else None,
        )
        return cls(family, exact, steps, name)

    @cached_property
    def _owner(self) -> str:
        return json.dumps([[str(x) for x in row] for row in self.data.phi])

    def facts(self, chosen: dict[str, dict[int, list[fmpq]]], *, exact: bool) -> Facts:
        """The case's quantities at the current precision."""
        key = exact, flint.ctx.prec, str(chosen)
        if key not in self._facts:
            owners = {"star": None, "phi": self._owner, "plus": self.name}
            owners |= {str(place): self.name for place in range(len(self.data.between))}
            evaluations = {role: self.family.evaluations(role, owner) for role, owner in owners.items()}
            self._facts[key] = Facts(self.data, exact, evaluations, chosen)
        return self._facts[key]


# --- parts ---------------------------------------------------------------------------------------


def shape(table: list[list[Any]]) -> tuple[int, int]:
    return len(table), len(table[0])


def double(x: Any) -> fmpq:
    """A JSON number as the exact double that it is.

    Raises:
        Malformed: not a finite number.
    """
    if type(x) not in (int, float) or not math.isfinite(x):
        raise Malformed(f"{str(x)[:40]!r} is not a finite number")
    return fmpq(*x.as_integer_ratio())


def distribution(row: Any, what: str) -> list[fmpq]:
    """Non-negative weights divided by their exact sum.

    Raises:
        Malformed: not a list of numbers.
        Wrong: a negative weight, or none that is positive.
    """
    weights = [double(x) for x in _list(row)]
    mass = total(weights)
    if any(weight < ZERO for weight in weights) or mass == ZERO:
        raise Wrong(f"{what} has a negative weight, or only zeros")
    return [weight / mass for weight in weights]


def _row(pairs: Any, states: int) -> list[tuple[int, fmpq]]:
    """A transition row, written as [successor, weight] pairs."""
    rows = [_list(pair, 2) for pair in _list(pairs)]
    successors = [pair[0] for pair in rows]
    if any(type(s) is not int or not 0 <= s < states for s in successors) or len({*successors}) != len(rows):
        raise Malformed("a row of P names a state twice, or one that there is not")
    weights = distribution([pair[1] for pair in rows], "a row of P")
    return [(s, weight) for s, weight in zip(successors, weights, strict=True) if weight != ZERO]


def _table(rows: Any, what: str) -> list[list[fmpq]]:
    table = [[double(x) for x in _list(row)] for row in _list(rows)]
    if not table or not table[0] or any(len(row) != len(table[0]) for row in table):
        raise Malformed(f"{what} is not a rectangular table")
    return table


def _policy(rows: Any, expected: tuple[int, int], what: str) -> Policy:
    policy = [distribution(row, what) for row in _list(rows, expected[0])]
    if any(len(row) != expected[1] for row in policy):
        raise Malformed(f"{what} and r have different numbers of actions")
    if any(weight == ZERO for row in policy for weight in row):
        raise Wrong(f"{what} lacks full support")
    return policy


def _get(mapping: Any, key: str) -> Any:
    if not isinstance(mapping, dict) or key not in mapping:
        raise Malformed(f"key '{key}' is missing")
    return mapping[key]


def _list(x: Any, length: int | None = None) -> list[Any]:
    if not isinstance(x, list) or (length is not None and len(x) != length):
        raise Malformed(f"expected a list{'' if length is None else f' of {length}'}, found {str(x)[:40]}")
    return x


def _text(mapping: Any, key: str) -> str:
    value = _get(mapping, key)
    if not isinstance(value, str):
        raise Malformed(f"{key} = {str(value)[:40]} is not text")
    return value


def _one_of(mapping: Any, key: str, *choices: str) -> str:
    value = _get(mapping, key)
    if value not in choices:
        raise Malformed(f"{key} = {str(value)[:40]!r} is none of {', '.join(choices)}")
    return value

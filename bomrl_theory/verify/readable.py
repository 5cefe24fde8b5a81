"""A case in exact numbers that a person can read: every probability a fraction, every move a line."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.verify.shrink import whole_weights

LARGEST_ENTRIES = 60
"""A case with more actions than this over all tasks and states is left to its file."""
LONG = 12
"""Digits of a numerator or denominator beyond which a number is shown in decimals, marked as rounded."""


def exact_mapping(case: Case) -> dict[str, Any]:
    """Everything as text: fractions such as ``1/10``, exact."""
    family = _dense(case.family)
    return {
        "gamma": str(family.gamma),
        "lambda": str(case.lam),
        "weights": _probabilities(family.weights),
        "rho": [_probabilities(row) for row in family.rho],
        "meta_policy": [_probabilities(row) for row in case.phi],
        "P": [[[_probabilities(row) for row in state] for state in task] for task in family.P],
        "r": [[[str(Fraction(float(x))) for x in state] for state in task] for task in family.r],
    }


def exact_lines(case: AnyCase) -> list[str]:
    """The case as lines of text; a large one in a single line that only counts."""
    family = case.family
    how = case.algorithm.name
    if how != "none":
        how += f", lambda = {_shown(case.lam)}" + (f", {case.steps} steps" if case.steps != 1 else "")
    lines = [
        f"{_count(family.tasks, 'task')}, {_count(family.states, 'state')}, {_count(family.actions, 'action')}; "
        f"gamma = {_shown(family.gamma)}; {how}"
    ]
    if family.tasks * family.states * family.actions > LARGEST_ENTRIES:
        return lines
    if isinstance(case, LinearQuadraticCase):
        return lines + _quadratic_lines(case)
    assert isinstance(case, Case)
    family = _dense(family)
    for task in range(family.tasks):
        start = _mixture(family.rho[task], "state {}")
        if family.tasks > 1:
            weight = _shown(_exact(family.weights)[task])
            lines.append(f"task {task}, weight {weight}: starts in {start}")
        else:
            lines.append(f"starts in {start}")
        for s in range(family.states):
            for a in range(family.actions):
                reward = _shown(Fraction(float(family.r[task, s, a])))
                target = _mixture(family.P[task, s, a], "state {}")
                chance = _shown(_exact(case.phi[s])[a])
                lines.append(f"  state {s}, action {a}: reward {reward}, to {target}; meta-policy {chance}")
    return lines


def _dense(family: TaskFamily | SparseFamily) -> TaskFamily:
    """A family of few states may be sparse all the same."""
    return family.dense() if isinstance(family, SparseFamily) else family


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _exact(row: Array) -> list[Fraction]:
    """Weights divided by their exact sum."""
    whole = whole_weights(row)
    return [Fraction(x, sum(whole)) for x in whole]


def _probabilities(row: Array) -> list[str]:
    return [str(x) for x in _exact(row)]


def _mixture(row: Array, name: str) -> str:
    """``state 1``, or ``state 0 (1/3), state 2 (2/3)``."""
    parts = [(name.format(i), p) for i, p in enumerate(_exact(row)) if p > 0]
    if len(parts) == 1:
        return parts[0][0]
    return ", ".join(f"{label} ({_shown(p)})" for label, p in parts)


def _shown(x: Fraction) -> str:
    """The fraction; powers of two as such; decimals, marked, where it is too long to read."""
    for number, sign in ((x, ""), (1 / x if x else x, "-")):
        exponent = number.numerator.bit_length() - 1
        if number.denominator == 1 and exponent >= 10 and number.numerator == 2**exponent:
            return f"2^{sign}{exponent}"
    if max(len(str(abs(x.numerator))), len(str(x.denominator))) <= LONG:
        return str(x)
    nearest_one = 1 - x
    if x < 1 and nearest_one < Fraction(1, 1000):
        return f"about 1 - {float(nearest_one):.6g}"
    return f"about {float(x):.10g}"


def _quadratic_lines(case: LinearQuadraticCase) -> list[str]:
    """Matrices, each entry the shortest text that reads back as the same double."""
    family = case.family
    lines = [f"meta-policy: K = {case.phi.K.tolist()}, Sigma = {case.phi.Sigma.tolist()}"]
    shares = _exact(family.weights)
    for task in range(family.tasks):
        weight = f", weight {_shown(shares[task])}" if family.tasks > 1 else ""
        lines.append(f"task {task}{weight}:")
        lines += [
            "  " + ", ".join(f"{name} = {getattr(family, name)[task].tolist()}" for name in names)
            for names in (("A", "B", "W"), ("R_x", "R_u"), ("mu0", "S0"))
        ]
        if case.adapted is not None:
            lines.append(f"  adapted: K = {case.adapted.K[task].tolist()}, Sigma = {case.adapted.Sigma[task].tolist()}")
    return lines

"""The claim's expressions: nested lists such as ``["*", ["q", "gamma"], ["sum", "s", ["q", "rho"]]]``.

Reading one executes nothing. A sum or a maximum over ``s`` or ``tau`` runs over all states or tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from flint import fmpq

from bomrl_theory.verify.check import arithmetic
from bomrl_theory.verify.check.arithmetic import Number
from bomrl_theory.verify.check.facts import Facts

LARGEST_POWER = 100
RATIONAL = re.compile(r"-?[0-9]+(/0*[1-9][0-9]*)?")
_UNARY: dict[str, Callable[[Number], Number]] = {
    "log": arithmetic.log,
    "exp": arithmetic.exp,
    "sqrt": arithmetic.sqrt,
    "abs": arithmetic.absolute,
}
_OVER = ("sum", "largest")


class Malformed(ValueError):
    """A line, or a part of one, that does not follow the format."""


def rational(text: Any) -> fmpq:
    """``"p/q"`` or ``"p"``, exact.

    Raises:
        Malformed: anything else.
    """
    if not isinstance(text, str) or not RATIONAL.fullmatch(text):
        raise Malformed(f"{str(text)[:40]!r} is not an exact fraction")
    return fmpq(text)


def names(tree: Any) -> set[str]:
    """The quantities that a tree reads; on the way the whole tree is checked.

    Raises:
        Malformed: the tree holds something that the format does not have.
    """
    match tree:
        case ["q", str(name)]:
            return {name}
        case ["rational", text]:
            rational(text)
            return set()
        case ["^", base, int(n)] if not isinstance(n, bool) and abs(n) <= LARGEST_POWER:
            return names(base)
        case [str(operation), "s" | "tau", body] if operation in _OVER:
            return names(body)
        case [str(operation), body] if operation in _UNARY:
            return names(body)
        case ["+" | "*" | "max" | "min", first, *rest]:
            return names(first).union(*(names(argument) for argument in rest))
    raise Malformed(f"expression {str(tree)[:60]} is not in the language of bounds")


def renamed(tree: list[Any], keys: Mapping[str, str]) -> list[Any]:
    """A checked tree with every quantity's name replaced by its key."""
    if tree[0] == "q":
        return ["q", keys[tree[1]]]
    return [renamed(part, keys) if isinstance(part, list) else part for part in tree]


def evaluate(tree: list[Any], facts: Facts, tau: int | None = None, s: int | None = None) -> Number:
    """The value of a checked tree at a task and a state, where it depends on them.

    Raises:
        Undefined: it does not exist on this case, or cannot be enclosed at this precision.
    """
    match tree:
        case ["q", name]:
            return facts.value(name, tau, s)
        case ["rational", text]:
            return rational(text)
        case ["^", base, n]:
            return arithmetic.power(evaluate(base, facts, tau, s), n)
        case ["sum", "s", body]:
            return arithmetic.total(evaluate(body, facts, tau, state) for state in facts.case.tasks[0].states)
        case ["sum", "tau", body]:
            return arithmetic.total(evaluate(body, facts, task, s) for task in range(len(facts.case.tasks)))
        case ["largest", "s", body]:
            return arithmetic.largest(evaluate(body, facts, tau, state) for state in facts.case.tasks[0].states)
        case ["largest", "tau", body]:
            return arithmetic.largest(evaluate(body, facts, task, s) for task in range(len(facts.case.tasks)))
        case [operation, body] if operation in _UNARY:
            return _UNARY[operation](evaluate(body, facts, tau, s))
    operation, *arguments = tree
    first, *rest = (evaluate(argument, facts, tau, s) for argument in arguments)
    for value in rest:
        first = _BINARY[operation](first, value)
    return first


_BINARY: dict[str, Callable[[Number, Number], Number]] = {
    "+": arithmetic.add,
    "*": arithmetic.times,
    "max": arithmetic.larger,
    "min": lambda x, y: -arithmetic.larger(-x, -y),
}

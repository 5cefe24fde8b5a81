"""Both sides of every claim at exact points: computed here, proved in Coq."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import product

import sympy as sp

from bomrl_theory.formal.language import to_coq
from bomrl_theory.formal.statements import arguments, sides
from bomrl_theory.theory.constants import Constant
from bomrl_theory.theory.expression import Expr, Largest, free_indices, name_of, s, tau
from bomrl_theory.theory.theorem import Theorem

POINTS = 3
"""For each definition."""
INDICES = ("tau", "s")
_TACTIC = """
Ltac settle f q := repeat match goal with
  |- context [f ?x] => progress (replace x with q by (field; repeat split; lra)) end.
Ltac evaluate := repeat (first [rewrite FiniteSums.sum_bool | rewrite FiniteSums.largest_bool]; cbv beta iota);
  cbv beta iota;
  repeat match goal with |- context [Rmax ?x ?y] =>
    first [rewrite (Rmax_left x y) by lra | rewrite (Rmax_right x y) by lra] end.
"""


def script(tied: Iterable[Theorem], seed: int = 0) -> str:
    """Goals with their proofs, for each definition of each claim."""
    rng = random.Random(seed)
    goals = [
        _goal(f"Claims.{name}", expression, theorem.constants, rng)
        for theorem in tied
        for name, expression in sides(theorem).items()
        for _ in range(POINTS)
    ]
    return "".join([_TACTIC, *goals])


def _goal(name: str, expression: Expr, constants: Iterable[Constant], rng: random.Random) -> str:
    """A goal: this definition with two tasks and two states has this value at this point."""
    values: dict[tuple[str, ...], Fraction] = {}
    given: list[str] = []
    for constant in arguments(expression, constants):
        indices = constant.symbol.indices if isinstance(constant.symbol, sp.Indexed) else ()
        given.append(_table(constant.name, len(indices), values, rng))
    calls: dict[str, tuple[str, Fraction]] = {}
    text = to_coq(_value(expression, values, {tau: "true"}, calls))
    text = re.sub(r"\bcall\d+\b", lambda found: _call(*calls[found[0]]), text)
    settled = "".join(f" settle {head} ({_rational(at)}).\n" for head, at in calls.values())
    settled += "".join(f" pose proof (exp_pos ({_rational(at)})).\n" for head, at in calls.values() if head == "exp")
    types = [" bool_finType" for index in (tau, s) if any(index in x.indices for x in expression.atoms(sp.Indexed))]
    call = f"@{name}{''.join(types)} {' '.join(given)}{' true' if free_indices(expression) else ''}"
    return f"Goal {call} = {text}.\nProof.\n unfold {name}; evaluate.\n{settled} field; repeat split; lra.\nQed.\n"


def _table(name: str, dimensions: int, values: dict[tuple[str, ...], Fraction], rng: random.Random) -> str:
    """A constant's values on the booleans, recorded and in Coq's words; strictly between zero and one."""

    def entry(*place: str) -> str:
        if len(place) < dimensions:
            return f"(if {INDICES[len(place)]} then {entry(*place, 'true')} else {entry(*place, 'false')})"
        values[name, *place] = Fraction(rng.randint(1, 12), 13)
        return _rational(values[name, *place])

    binders = " ".join(f"({index} : bool)" for index in INDICES[:dimensions])
    return f"(fun {binders} => {entry()})" if dimensions else f"({entry()})"


def _call(head: str, at: Fraction) -> str:
    return f"({head} ({_rational(at)}))"


def _rational(value: Fraction) -> str:
    return f"{value.numerator} / {value.denominator}"


Calls = dict[str, tuple[str, Fraction]]
"""Logarithms and exponentials of rationals, which stay as they are, by the symbol that stands for them."""


def _value(
    expression: Expr, values: Mapping[tuple[str, ...], Fraction], place: Mapping[Expr, str], calls: Calls
) -> Expr:
    """The value over two tasks and two states."""
    if isinstance(expression, sp.Indexed):
        return sp.Rational(*values[name_of(expression), *(place[i] for i in expression.indices)].as_integer_ratio())
    if isinstance(expression, sp.Symbol):
        return sp.Rational(*values[(expression.name,)].as_integer_ratio())
    if isinstance(expression, sp.Sum | Largest):
        body, indices = expression.args[0], [expression.args[1]]
        if isinstance(expression, sp.Sum):
            indices = [limit[0] for limit in expression.limits]
        terms = [
            _value(body, values, dict(place) | dict(zip(indices, truths, strict=True)), calls)
            for truths in product(("true", "false"), repeat=len(indices))
        ]
        return sp.Add(*terms) if isinstance(expression, sp.Sum) else sp.Max(*terms)
    parts = [_value(argument, values, place, calls) for argument in expression.args]
    if isinstance(expression, sp.log | sp.exp) and isinstance(parts[0], sp.Rational):
        at = Fraction(int(parts[0].p), int(parts[0].q))
        name = f"call{len(calls)}"
        calls[name] = ("ln" if isinstance(expression, sp.log) else "exp", at)
        return sp.Symbol(name)
    return expression.func(*parts) if parts else expression

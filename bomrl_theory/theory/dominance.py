"""Is one bound at most another on every case? Shown symbolically, or left open; never guessed.

Both bounds are written as sums over tasks and states of one integrand each. Where the difference of the
integrands is a sum of nonnegative things for all values that the symbols can take, the first bound is
at most the second. Rules that may be used on the way, each of them lowering the difference:

- ``-log p >= 1-p`` for a probability p;
- ``Max(x, y) >= x`` and ``>= y``; the largest over tasks or states is at least every single one;
- a quantity without a state is its own average over states, under any of the distributions rho and nu;
- inequalities between constants that are proved with the theorems (:data:`FACTS`).

A failure to prove says nothing: the search over cases (:mod:`bomrl_theory.verify.order`) may refute it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy as sp

from bomrl_theory.theory.comparator import COMPARATOR_ERRORS, e, eps
from bomrl_theory.theory.constants import (
    A_max,
    Constant,
    Delta,
    Delta_star,
    gamma,
    nu_phi,
    nu_plus,
    nu_star,
    p,
    rho,
    w,
)
from bomrl_theory.theory.expression import Expr, Largest, free_indices, name_of, replaced, s, tau
from bomrl_theory.theory.terms import terms
from bomrl_theory.theory.theorem import Theorem

FACTS: tuple[tuple[Expr, Expr], ...] = (
    (A_max.symbol, Delta.symbol / 2),  # two advantages at one state differ by at most 2 A_max
    (A_max.symbol, Delta_star.symbol * (1 - gamma.symbol) / (2 - gamma.symbol)),  # published_bound_conditional
)
"""(larger, smaller): inequalities between constants, true of every case."""
DISTRIBUTIONS = (rho, nu_phi, nu_star, nu_plus)
"""Constants that sum to 1 over states."""
ATTEMPTS = 24
"""How many consequences of the rules are looked at before an integrand is left open."""

SAMPLES = 25
"""Random points of the domain that an integrand must pass before algebra is tried."""


@dataclass(frozen=True)
class Shared:
    """Two bounds about the same left side, in one language.

    Attributes:
        first, second: the bounds; averaged over tasks if either theorem speaks about the average.
        constants: of both. A constant of the second that merely shares its name with another of the first
            is renamed.
    """

    first: Expr
    second: Expr
    constants: tuple[Constant, ...]


def comparable(first: Theorem, second: Theorem) -> bool:
    """Whether both bound the same quantity of the same kind of tasks and adaptation."""
    return (
        first.relation == second.relation == "<="
        and first.setting == second.setting
        and bool(set(first.algorithms) & set(second.algorithms))
        and sp.sympify(first.averaged().left) == sp.sympify(second.averaged().left)
    )


def shared(first: Theorem, second: Theorem) -> Shared:
    """Both bounds in one language."""
    if first.scope != second.scope:
        first, second = first.averaged(), second.averaged()
    known = {constant.name: constant for constant in first.constants}
    bound, constants = sp.sympify(second.bound), list(first.constants)
    for constant in second.constants:
        own = known.get(constant.name)
        if own is None:
            constants.append(constant)
        elif own != constant:
            renamed = Constant(
                _renamed(constant.symbol), constant.meaning, constant.unit, constant.measure, constant.shared
            )
            bound = replaced(bound, {constant.symbol: renamed.symbol})
            constants.append(renamed)
    return Shared(sp.sympify(first.bound), bound, tuple(constants))


def _renamed(symbol: Expr) -> Expr:
    if isinstance(symbol, sp.Indexed):
        base: Expr = symbol.base
        options: dict[str, Any] = _assumed(base)
        renamed: Expr = sp.IndexedBase(f"{base.name}'", **options)
        return renamed[symbol.indices]
    return sp.Symbol(f"{symbol.name}'", **_assumed(symbol))


def _assumed(symbol: Expr) -> dict[str, bool]:
    """What its constant declares of it."""
    return {name: value for name, value in symbol.assumptions0.items() if name in ("positive", "nonnegative", "real")}


def at_most(first: Theorem, second: Theorem) -> bool:
    """Whether the first bound is shown to be at most the second wherever both apply; False leaves it open."""
    if not comparable(first, second):
        return False
    both = shared(first, second)
    algorithms = sorted(set(first.algorithms) & set(second.algorithms))
    return all(_at_most(_specialised(both.first, a), _specialised(both.second, a)) for a in algorithms)


def _specialised(bound: Expr, algorithm: str) -> Expr:
    """With the comparator error of this algorithm written out."""
    return replaced(bound, {e.symbol: COMPARATOR_ERRORS[algorithm][0]}) if algorithm in COMPARATOR_ERRORS else bound


@cache
def _at_most(first: Expr, second: Expr) -> bool:
    difference = [_integrand(term) for term in terms(second)] + [_integrand(-term) for term in terms(first)]
    task = tau in free_indices(first) | free_indices(second)
    return any(all(map(_nonnegative, sums)) for sums in _arrangements(difference, task=task))


Summand = tuple[frozenset[Expr], Expr]
"""The indices that are summed over, and the integrand."""


def _integrand(term: Expr) -> Summand:
    """A term as one sum; factors before it are drawn in."""
    if isinstance(term, sp.Sum):
        indices, inner = _integrand(term.function)
        return indices | {limit[0] for limit in term.limits}, inner
    if isinstance(term, sp.Mul):
        sums = [factor for factor in term.args if isinstance(factor, sp.Sum)]
        rest = sp.Mul(*(factor for factor in term.args if not isinstance(factor, sp.Sum)))
        if len(sums) == 1 and not rest.has(sp.Sum):
            indices, inner = _integrand(sums[0])
            return indices, rest * inner
    return frozenset(), term


def _arrangements(difference: list[Summand], *, task: bool) -> Iterator[list[Expr]]:
    """Integrands whose sums make up the difference, for every way to average what has no state or task.

    Args:
        task: whether the bounds speak about one task, so that tau is given.
    """
    for by_task in (False,) if task else (False, True):
        for distribution in (None, *DISTRIBUTIONS):
            sums: dict[frozenset[Expr], Expr] = {}
            for indices, body in difference:
                if by_task and tau not in indices:
                    indices, body = indices | {tau}, body * w.symbol
                if distribution is not None and s not in indices and (task or tau in indices):
                    indices, body = indices | {s}, body * distribution.symbol
                sums[indices] = sums.get(indices, sp.Integer(0)) + body
            yield list(sums.values())


def _nonnegative(integrand: Expr) -> bool:
    """Whether some sequence of rules shows it."""
    if not _plausible(integrand):
        return False
    waiting, seen = [sp.expand(integrand)], set()
    while waiting and len(seen) < ATTEMPTS:
        lowered = waiting.pop()
        if lowered in seen:
            continue
        seen.add(lowered)
        if _certainly_nonnegative(lowered):
            return True
        waiting.extend(_lowerings(lowered))
    return False


def _plausible(integrand: Expr) -> bool:
    """Whether it is nonnegative at random points of the domain: where it is not, no algebra can show it."""
    rng = random.Random(0)
    for _ in range(SAMPLES):
        known: dict[Expr, float] = {}
        summands = [_sampled(summand, known, rng) for summand in sp.Add.make_args(integrand)]
        if sum(summands) < -1e-9 * sum(map(abs, summands)):  # False for NaN, which refutes nothing
            return False
    return True


def _sampled(expression: Expr, known: dict[Expr, float], rng: random.Random) -> float:
    """The value at a random point; equal subexpressions have equal values."""
    if expression in known:
        return known[expression]
    if isinstance(expression, sp.Number):
        return float(expression)
    if isinstance(expression, sp.Symbol | sp.Indexed):
        value = _random_value(expression, known, rng)
    elif isinstance(expression, sp.Sum | Largest):
        inside = _sampled(expression.args[0], known, rng)
        value = inside + abs(inside) * rng.random() if isinstance(expression, Largest) else inside * rng.uniform(1, 3)
    else:
        arguments = [_sampled(argument, known, rng) for argument in expression.args]
        try:
            value = float(expression.func(*map(sp.Float, arguments)))
        except (TypeError, ValueError, OverflowError):  # outside the real numbers: nothing is known here
            value = math.nan
    known[expression] = value
    return value


def _random_value(symbol: Expr, known: dict[Expr, float], rng: random.Random) -> float:
    if symbol in (gamma.symbol, p.symbol, eps.symbol):
        return rng.choice([rng.random(), 10 ** -rng.uniform(0, 6), 1 - 10 ** -rng.uniform(0, 6)])
    size = 10 ** rng.uniform(-4, 4)
    base: Expr = symbol.base if isinstance(symbol, sp.Indexed) else symbol
    value = size if base.assumptions0.get("nonnegative") else rng.choice([-1, 1]) * size
    facts = [_sampled(smaller, known, rng) for larger, smaller in FACTS if larger == symbol]
    return max([value, *facts])


def _lowerings(expression: Expr) -> Iterator[Expr]:
    """The expression with one thing in it replaced by something that makes the whole no larger."""
    for node in sorted(expression.atoms(sp.log, sp.Max, Largest), key=str):
        if isinstance(node, sp.log):
            yield from _swapped(expression, node, [node.args[0] - 1], larger=True)
        elif isinstance(node, sp.Max):
            yield from _swapped(expression, node, node.args)
        else:
            yield from _swapped(expression, node, [node.args[0]])
    for larger, smaller in FACTS:
        yield from _swapped(expression, larger, [smaller])


def _swapped(expression: Expr, node: Expr, values: Iterable[Expr], *, larger: bool = False) -> Iterator[Expr]:
    """Each value in the node's place, where the expression is linear in it with a coefficient of the right sign.

    Args:
        larger: the values are at least the node, so that the coefficient must not be positive.
    """
    inside = sp.Dummy(real=True)
    hidden = expression.xreplace({node: inside})
    coefficient = sp.expand(hidden).coeff(inside)
    rest = sp.expand(hidden - coefficient * inside)
    if coefficient == 0 or rest.has(inside) or coefficient.has(inside):
        return
    if _certainly_nonnegative(-coefficient if larger else coefficient):
        yield from (sp.expand(coefficient * value + rest) for value in values)


@cache
def _certainly_nonnegative(expression: Expr) -> bool:
    """Whether it is, for all values in the symbols' domains and as far as SymPy can tell."""
    ordinary = _on_the_domain(expression)
    top, bottom = sp.fraction(sp.together(ordinary))
    if sp.expand(top) == 0:
        return True
    forms = (ordinary, sp.factor(top) / sp.factor(bottom), sp.expand(top) / sp.factor(bottom))
    return any(form.is_nonnegative for form in forms)


def _on_the_domain(expression: Expr) -> Expr:
    """Ordinary symbols in place of quantities, such that every nonnegative value of theirs is possible.

    ``gamma = x/(1+x)`` lies in [0, 1), ``p = 1/(1+x)`` and ``eps`` in (0, 1]. What is left of sums and maxima is
    a symbol that is nonnegative if what it is made of is.
    """
    if isinstance(expression, sp.Sum | Largest):
        inside = expression.args[0]
        return sp.Dummy(nonnegative=True) if _certainly_nonnegative(inside) else sp.Symbol(str(expression), real=True)
    if expression in (gamma.symbol, p.symbol, eps.symbol):
        x = sp.Symbol(f"x_{name_of(expression)}", nonnegative=True)
        return x / (1 + x) if expression == gamma.symbol else 1 / (1 + x)
    if isinstance(expression, sp.Indexed):
        base: Expr = expression.base
        return sp.Symbol(str(expression), **_assumed(base))
    if not expression.args:
        return expression
    return expression.func(*(_on_the_domain(argument) for argument in expression.args))

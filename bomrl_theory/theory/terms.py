"""The additive terms of a bound, and the places in it where a constant could be smaller.

``sum_s rho (gamma D + e) + eta`` has the terms ``sum_s rho gamma D``, ``sum_s rho e`` and ``eta``. A factor
such as ``1 - 1/C`` stays whole: splitting it would give a term that is negative by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sympy as sp

from bomrl_theory.theory.expression import AXES, Expr, name_of, positive


def terms(expression: Expr) -> tuple[Expr, ...]:
    """Expressions whose sum it is; sums and products are distributed over sums of quantities."""
    if isinstance(expression, sp.Add):
        return tuple(term for argument in expression.args for term in terms(argument))
    if isinstance(expression, sp.Sum):
        return tuple(sp.Sum(term, *expression.limits) for term in terms(expression.function))
    if isinstance(expression, sp.Mul):
        for place, factor in enumerate(expression.args):
            inner = terms(factor)
            if len(inner) > 1 and _may_stand_alone(inner):
                rest = expression.args[:place] + expression.args[place + 1 :]
                return tuple(term for part in inner for term in terms(sp.Mul(*rest, part)))
    return (expression,)


def _may_stand_alone(parts: Sequence[Expr]) -> bool:
    """Quantities of the case, none with a minus sign: ``1 + gamma`` and ``1 - p`` stay whole.

    Logarithms are of probabilities in some bounds, negative then, and of numbers above 1 in others; in
    one sum they are taken to be all of one kind.
    """
    if not all(any(name_of(symbol) != "gamma" for symbol in symbols(part)) for part in parts):
        return False
    below_one = [part.replace(sp.log, lambda _: -positive("log")) for part in parts]
    return any(not any(part.could_extract_minus_sign() for part in kind) for kind in (parts, below_one))


def symbols(expression: Expr) -> tuple[Expr, ...]:
    """The quantities that it reads, indexed or not, in alphabetical order."""
    indexed = expression.atoms(sp.Indexed)
    inside = {symbol for node in indexed for symbol in node.free_symbols}
    limits = {symbol for node in expression.atoms(sp.Sum) for limit in node.limits for symbol in limit}
    plain = expression.atoms(sp.Symbol) - inside - limits - set(AXES)
    return tuple(sorted({*indexed, *plain}, key=name_of))


def inner_parts(expression: Expr) -> Iterator[tuple[Expr, int]]:
    """Every argument of a sum or a maximum inside a term, as (node, place): the 1 of ``1 - gamma``, say."""
    seen = dict.fromkeys(
        node
        for term in terms(expression)
        for node in sp.preorder_traversal(term)
        if isinstance(node, sp.Add | sp.Max | sp.Min)
    )
    for node in seen:
        yield from ((node, place) for place in range(len(node.args)))

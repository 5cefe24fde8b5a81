"""By how much one bound differs from another, as an expression."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import sympy as sp
from sympy.polys.polyerrors import PolynomialError

from bomrl_theory.theory.expression import Expr, Largest, free_indices


@dataclass(frozen=True)
class Difference:
    """Two bounds compared by algebra alone.

    Attributes:
        difference: new - old, with like terms collected; zero proves them equal.
        factor: the number that new is of old on every case, where algebra finds one.
    """

    difference: Expr
    factor: Fraction | None

    @property
    def equal(self) -> bool:
        """Whether they were found to be the same; False may only mean that algebra was too weak."""
        return self.difference == 0


def difference(new: Expr, old: Expr) -> Difference:
    """Compare two expressions of the language of bounds."""
    named: dict[Expr, Expr] = {}
    first, second = (_with_names(spread(sp.sympify(side)), named) for side in (new, old))
    back = {name: node for node, name in named.items()}
    apart = _collected(first - second)
    factor = _collected(first / second) if second != 0 else sp.nan
    exact = Fraction(int(factor.p), int(factor.q)) if isinstance(factor, sp.Rational) else None
    if exact is not None:  # shortest in terms of the old bound
        apart = (factor - 1) * second
    return Difference(apart.xreplace(back), exact)


def spread(expression: Expr) -> Expr:
    """Sums distributed over their terms, with what does not depend on their index in front."""
    if isinstance(expression, sp.Sum):
        indices = {limit[0] for limit in expression.limits}
        total = sp.S.Zero
        for term in sp.Add.make_args(sp.expand(spread(expression.function))):
            inside = [factor for factor in sp.Mul.make_args(term) if free_indices(factor) & indices]
            outside = [factor for factor in sp.Mul.make_args(term) if not free_indices(factor) & indices]
            total += sp.Mul(*outside) * sp.Sum(sp.Mul(*inside), *expression.limits)
        return total
    if not expression.args or isinstance(expression, sp.Indexed):
        return expression
    return expression.func(*(spread(argument) for argument in expression.args))


def _with_names(expression: Expr, named: dict[Expr, Expr]) -> Expr:
    """A symbol in place of every outermost sum and maximum, the same for the same."""
    if isinstance(expression, sp.Sum | Largest):
        return named.setdefault(expression, sp.Dummy(real=True))
    if not expression.args or isinstance(expression, sp.Indexed):
        return expression
    return expression.func(*(_with_names(argument, named) for argument in expression.args))


def _collected(expression: Expr) -> Expr:
    try:
        return sp.factor_terms(sp.cancel(sp.together(expression)))
    except PolynomialError:
        return sp.expand(expression)

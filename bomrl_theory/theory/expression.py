"""The language of bounds: one SymPy tree, evaluated in any number system by our own walker.

Quantities of a case are symbols, or symbols indexed by the task ``tau`` and the state ``s``. Sums and
maxima run over all tasks or states. SymPy's own ``lambdify`` would print ``Rational(1, 3)`` as a
double; the walker keeps every constant exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache, reduce
from operator import add, mul
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from jaxtyping import Shaped
from sympy.printing.latex import LatexPrinter

from bomrl_theory.errors import InvalidTheorem
from bomrl_theory.numbers import Numbers, Numeric

Expr: TypeAlias = Any
"""A SymPy expression. SymPy's own annotations are too narrow for the trees that it builds."""

tau = sp.Symbol("tau", integer=True, positive=True)
s = sp.Symbol("s", integer=True, positive=True)
T = sp.Symbol("T", integer=True, positive=True)
S = sp.Symbol("S", integer=True, positive=True)
AXES = {tau: 0, s: 1}


class Largest(sp.Function):
    """``Largest(expression, s)``: the maximum over all states (or tasks, with tau)."""

    nargs = 2

    @classmethod
    def eval(cls, *args: Expr) -> Expr | None:
        """A number is its own maximum."""
        return args[0] if args[0].is_Number else None

    def _latex(self, printer: LatexPrinter, exp: str | None = None) -> str:
        body, index = self.args
        text = rf"\max_{{{printer._print(index)}}} {printer._print(body)}"
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def over_states(expression: Expr) -> Expr:
    """``sum_s expression``."""
    return sp.Sum(expression, (s, 1, S))


def over_tasks(expression: Expr) -> Expr:
    """``sum_tau expression``."""
    return sp.Sum(expression, (tau, 1, T))


def largest_over_states(expression: Expr) -> Expr:
    """``max_s expression``."""
    return Largest(expression, s)


def largest_over_tasks(expression: Expr) -> Expr:
    """``max_tau expression``."""
    return Largest(expression, tau)


def free_indices(expression: Expr) -> set[Expr]:
    """Which of tau and s the expression still depends on."""
    if isinstance(expression, sp.Indexed):
        return set(expression.indices) & set(AXES)
    if isinstance(expression, sp.Sum):
        return free_indices(expression.function) - {limit[0] for limit in expression.limits}
    if isinstance(expression, Largest):
        return free_indices(expression.args[0]) - {expression.args[1]}
    return set().union(*(free_indices(argument) for argument in expression.args))


def mixes_tasks(expression: Expr) -> bool:
    """Whether it holds a sum or a maximum over tasks."""
    sums = any(tau in {limit[0] for limit in node.limits} for node in expression.atoms(sp.Sum))
    return sums or any(node.args[1] == tau for node in expression.atoms(Largest))


def name_of(symbol: Expr) -> str:
    """The name of a quantity, indexed or not."""
    return symbol.base.name if isinstance(symbol, sp.Indexed) else symbol.name  # pyright: ignore


def quantities(expression: Expr) -> set[str]:
    """Names of the quantities that the expression reads."""
    names = {name_of(indexed) for indexed in expression.atoms(sp.Indexed)}
    bases = {base.label for base in expression.atoms(sp.IndexedBase)}
    return names | {symbol.name for symbol in expression.atoms(sp.Symbol) - bases - {tau, s, T, S}}


def replaced(expression: Expr, values: Mapping[Expr, Any]) -> Expr:
    """The expression with quantities replaced, also under sums and maxima over their own index.

    SymPy's ``subs`` leaves a summand alone whose index is summed over. A sum of zeros is zero.
    """
    if expression in values:
        return sp.sympify(values[expression])
    if not expression.args or isinstance(expression, sp.Indexed):
        return expression
    if isinstance(expression, sp.Sum):
        body = replaced(expression.function, values)
        return sp.Sum(body, *expression.limits) if body != 0 else body
    return expression.func(*(replaced(argument, values) for argument in expression.args))


def plain(expression: Expr) -> Expr:
    """The expression with an ordinary positive symbol, named alike, in place of every quantity.

    What SymPy shows of such symbols is shown for positive values; derivations treat zeros as limits.
    """
    named = {indexed: positive(indexed.base.name) for indexed in expression.atoms(sp.Indexed)}
    scalars = {symbol: positive(symbol.name) for symbol in expression.free_symbols}
    return expression.subs(named).subs(scalars)


def positive(name: str) -> Any:
    """A positive symbol: the one that :func:`plain` puts in place of the quantity of that name."""
    return sp.Symbol(name, positive=True)


def evaluate(
    expression: Expr, values: Mapping[str, Numeric], numbers: Numbers, sizes: tuple[int, int]
) -> Shaped[Numeric, "..."]:
    """Walk the tree.

    Args:
        expression: built from symbols, ``+ * / **``, log, exp, sqrt, Max, Min, Abs, :class:`Largest` and sums.
        values: for each quantity an array of shape [1, 1], [T, 1], [1, S] or [T, S].
        numbers: the number system of the values; must be activated.
        sizes: (T, S), over which sums run.

    Returns:
        An array [T or 1, S or 1], by which indices are left free.

    Raises:
        InvalidTheorem: the tree holds something the language does not have.
    """
    return _compiled(expression)(values, numbers, sizes)


Compiled = Callable[[Mapping[str, Numeric], Numbers, tuple[int, int]], Numeric]
"""What :func:`evaluate` does for one tree, which is walked many thousand times."""


@lru_cache(maxsize=8192)
def _compiled(expression: Expr) -> Compiled:
    """The tree as nested functions: looking at SymPy's nodes takes longer than most of the arithmetic."""
    if isinstance(expression, sp.Indexed) or (isinstance(expression, sp.Symbol) and expression not in (T, S)):
        name = name_of(expression)
        return lambda values, numbers, sizes: values[name]
    if isinstance(expression, sp.Symbol):
        axis = 0 if expression == T else 1
        return lambda values, numbers, sizes: _constant(sizes[axis], 1, numbers)
    if isinstance(expression, sp.Rational):
        above, below = int(expression.p), int(expression.q)
        return lambda values, numbers, sizes: _constant(above, below, numbers)
    if isinstance(expression, sp.Sum):
        return _sum(expression)
    if isinstance(expression, Largest):
        body, along = _compiled(expression.args[0]), 0 if expression.args[1] == tau else 1
        return lambda values, numbers, sizes: numbers.largest(body(values, numbers, sizes), along, keepdims=True)
    arguments = [_compiled(argument) for argument in expression.args]
    apply = _operation(expression)
    return lambda values, numbers, sizes: apply([f(values, numbers, sizes) for f in arguments], numbers)


def _sum(expression: Any) -> Compiled:
    body, axes = _compiled(expression.function), []
    for index, *limits in expression.limits:  # SymPy merges nested sums, the innermost first
        if index not in AXES or limits != [1, (T, S)[AXES[index]]]:
            raise InvalidTheorem(f"sum over {(index, *limits)}: use over_states or over_tasks")
        axes.append(AXES[index])

    def total(values: Mapping[str, Numeric], numbers: Numbers, sizes: tuple[int, int]) -> Numeric:
        result = body(values, numbers, sizes)
        for axis in axes:
            shape = list(result.shape)
            shape[axis] = sizes[axis]
            result = np.broadcast_to(result, tuple(shape)).sum(axis=axis, keepdims=True)
        return result

    return total


def _operation(expression: Expr) -> Callable[[list[Numeric], Numbers], Numeric]:
    """What is done with the values of a node's arguments."""
    match expression:
        case sp.Add():
            return lambda arguments, numbers: reduce(add, arguments)
        case sp.Mul():
            return lambda arguments, numbers: reduce(numbers.multiply, arguments)
        case sp.Pow():
            return _power(*expression.args)
        case sp.exp():
            return lambda arguments, numbers: numbers.exp(arguments[0])
        case sp.log():
            return lambda arguments, numbers: numbers.log(arguments[0])
        case sp.Max():
            return _maximum
        case sp.Min():
            return lambda arguments, numbers: -_maximum([-argument for argument in arguments], numbers)
        case sp.Abs():
            return lambda arguments, numbers: numbers.maximum(arguments[0], -arguments[0])
    raise InvalidTheorem(f"the language of bounds has no {type(expression).__name__}: {expression}")


def _maximum(arguments: list[Numeric], numbers: Numbers) -> Numeric:
    return reduce(lambda one, other: numbers.maximum(*np.broadcast_arrays(one, other)), arguments)


def _power(base: Expr, exponent: Expr) -> Callable[[list[Numeric], Numbers], Numeric]:
    if base == sp.E:
        return lambda arguments, numbers: numbers.exp(arguments[1])
    if isinstance(exponent, sp.Integer):
        power = int(exponent)

        def whole(arguments: list[Numeric], numbers: Numbers) -> Numeric:
            value = arguments[0] if power >= 0 else _constant(1, 1, numbers) / arguments[0]
            return reduce(mul, [value] * abs(power))

        return whole
    if exponent == sp.Rational(1, 2):
        return lambda arguments, numbers: numbers.sqrt(arguments[0])
    if exponent == sp.Rational(-1, 2):
        return lambda arguments, numbers: _constant(1, 1, numbers) / numbers.sqrt(arguments[0])
    raise InvalidTheorem(f"power {exponent} of {base}: use whole powers and square roots")


@lru_cache(maxsize=1024)
def _constant(above: int, below: int, numbers: Numbers) -> Numeric:
    """A fraction [1, 1]; nobody writes into it."""
    return numbers.full((1, 1), numbers.constant(Fraction(above, below)))

"""What a theorem claims, as data in a normal form: equal claims are equal data, and reading one executes nothing.

Expressions are the trees of certificates (docs/certificates.md), the arguments of sums, products, maxima and minima
in a fixed order. A quantity is kept with its indices, so that a tree reads back as the SymPy expression it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import sympy as sp

from bomrl_theory.theory.constants import Constant
from bomrl_theory.theory.expression import Expr, Largest, over_states, over_tasks, quantities, s, tau
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.theorem import Assumption, Theorem
from bomrl_theory.verify.certificate import tree
from bomrl_theory.verify.check.tree import Malformed, names, rational

Tree = list[Any]
COMMUTATIVE = ("+", "*", "max", "min")
AXES = {"s": s, "tau": tau}
LONGEST_NUMBER = 400
"""Characters of an exact number in a claim."""


@dataclass(frozen=True)
class Quantity:
    """How a constant is written down: ``indices`` are "", "tau" or "tau,s"."""

    indices: str
    meaning: str
    unit: str

    @classmethod
    def of(cls, constant: Constant) -> Quantity:
        indices = constant.symbol.indices if isinstance(constant.symbol, sp.Indexed) else ()
        return cls(",".join(map(str, indices)), constant.meaning, constant.unit)

    def symbol(self, name: str) -> Expr:
        """A symbol of that name, for a constant that no theorem has any more."""
        if not self.indices:
            return sp.Symbol(name, real=True)
        base: Any = sp.IndexedBase(name, real=True)
        return base[tuple(AXES[index] for index in self.indices.split(","))]


@dataclass(frozen=True)
class Claim:
    """The sides, the scope and the quantities of a theorem.

    Attributes:
        assumptions: name to margin, which must be >= 0.
        quantities: those that the expressions read, by name.
    """

    algorithms: tuple[str, ...]
    steps: int | None
    relation: str
    left: Tree
    bound: Tree
    assumptions: dict[str, Tree]
    quantities: dict[str, Quantity]

    @classmethod
    def of(cls, theorem: Theorem) -> Claim:
        sides = (theorem.left, theorem.bound, *(assumption.margin for assumption in theorem.assumptions))
        read = set().union(*(quantities(sp.sympify(side)) for side in sides))
        known = {constant.name: Quantity.of(constant) for constant in theorem.constants if constant.name in read}
        return cls(
            theorem.algorithms,
            theorem.steps,
            theorem.relation,
            normal(tree(theorem.left)),
            normal(tree(theorem.bound)),
            {assumption.name: normal(tree(assumption.margin)) for assumption in theorem.assumptions},
            dict(sorted(known.items())),
        )

    def says_the_same(self, other: Claim) -> bool:
        """Whether both claim the same of the same cases, whatever assumptions and meanings are called."""
        return self._content == other._content

    @property
    def _content(self) -> tuple[Any, ...]:
        margins = sorted(map(json.dumps, self.assumptions.values()))
        return set(self.algorithms), self.steps, self.relation, self.left, self.bound, margins

    def as_json(self) -> dict[str, Any]:
        return {
            "algorithms": list(self.algorithms),
            "steps": self.steps,
            "relation": self.relation,
            "left": self.left,
            "bound": self.bound,
            "assumptions": self.assumptions,
            "quantities": {
                name: [quantity.indices, quantity.meaning, quantity.unit] for name, quantity in self.quantities.items()
            },
        }

    @classmethod
    def from_json(cls, data: Any) -> Claim:
        """What :meth:`as_json` has written.

        Raises:
            Malformed: anything else.
        """
        match data:
            case {
                "algorithms": [*algorithms],
                "steps": int() | None as steps,
                "relation": "<=" | "==" as relation,
                "left": left,
                "bound": bound,
                "assumptions": dict(assumptions),
                "quantities": dict(known),
            } if all(isinstance(algorithm, str) for algorithm in algorithms):
                pass
            case _:
                raise Malformed("the claim misses a key, or holds something else under it")
        read = {}
        for name, entry in known.items():
            match entry:
                case ["" | "tau" | "tau,s" as indices, str(meaning), str(unit)]:
                    read[name] = Quantity(indices, meaning, unit)
                case _:
                    raise Malformed(f"quantity {str(name)[:40]!r} is not [indices, meaning, unit]")
        for expression in (left, bound, *assumptions.values()):
            missing = _checked(expression) - set(read)
            if missing:
                raise Malformed(f"{', '.join(sorted(missing))[:80]} not among the quantities")
        return cls(tuple(algorithms), steps, relation, left, bound, assumptions, read)

    def symbols(self, theorem: Theorem | None = None) -> dict[str, Expr]:
        """A symbol for each quantity: the theorem's own where it has one of that name and those indices."""
        own = {} if theorem is None else {c.name: c.symbol for c in theorem.constants if self._means(c)}
        return {name: own.get(name, quantity.symbol(name)) for name, quantity in self.quantities.items()}

    def _means(self, constant: Constant) -> bool:
        known = self.quantities.get(constant.name)
        return known is not None and known.indices == Quantity.of(constant).indices

    def claimed_by(self, theorem: Theorem) -> Theorem | None:
        """A theorem that makes this claim with today's constants; None where nobody measures one of them any more."""
        measured = {constant.name: constant for constant in theorem.constants if self._means(constant)}
        for other in registry().values():
            for constant in other.constants:
                if self.quantities.get(constant.name) == Quantity.of(constant):
                    measured.setdefault(constant.name, constant)
        if not set(self.quantities) <= set(measured):
            return None
        constants = tuple(measured[name] for name in self.quantities)
        symbols = {constant.name: constant.symbol for constant in constants}
        return replace(
            theorem,
            left=expression(self.left, symbols),
            bound=expression(self.bound, symbols),
            relation="<=" if self.relation == "<=" else "==",
            assumptions=tuple(
                Assumption(name, "", expression(margin, symbols)) for name, margin in self.assumptions.items()
            ),
            algorithms=self.algorithms,
            steps=self.steps,
            constants=constants,
        )


def normal(node: Tree) -> Tree:
    """The tree with the arguments of operations that may be swapped in a fixed order."""
    operation, *rest = node
    parts = [normal(part) if isinstance(part, list) else part for part in rest]
    return [operation, *(sorted(parts, key=json.dumps) if operation in COMMUTATIVE else parts)]


def expression(node: Tree, symbols: Mapping[str, Expr]) -> Expr:
    """A checked tree as a SymPy expression."""
    match node:
        case ["q", name]:
            return symbols[name]
        case ["rational", text]:
            return sp.Rational(*Fraction(text).as_integer_ratio())
        case ["^", base, power]:
            return expression(base, symbols) ** power
        case ["sum", index, body]:
            return (over_states if index == "s" else over_tasks)(expression(body, symbols))
        case ["largest", index, body]:
            return Largest(expression(body, symbols), AXES[index])
    operation, *arguments = node
    return _FUNCTIONS[operation](*(expression(argument, symbols) for argument in arguments))


_FUNCTIONS: dict[str, Any] = {
    "+": sp.Add,
    "*": sp.Mul,
    "max": sp.Max,
    "min": sp.Min,
    "log": sp.log,
    "exp": sp.exp,
    "sqrt": sp.sqrt,
    "abs": sp.Abs,
}


def _checked(node: Any) -> set[str]:
    """The quantities that a tree of unknown origin reads.

    Raises:
        Malformed: it is not in the language, or SymPy would compute a number of unknown size from it.
    """
    read = names(node)
    _check_numbers(node)
    return read


def _check_numbers(node: Tree) -> bool:
    """Whether it is a number; one is at most a sum, a product or an inverse of fractions, roots, logarithms, exp."""
    operation, *rest = node
    parts = [_check_numbers(part) for part in rest if isinstance(part, list)]
    if operation == "q":
        return False
    if operation == "rational":
        rational(rest[0])
        if len(rest[0]) > LONGEST_NUMBER:
            raise Malformed(f"the number {rest[0][:20]}... is too long")
        return True
    if not all(parts):
        return False
    plain = operation in ("+", "*") or (operation == "^" and abs(rest[1]) <= 1)
    root = operation in ("sqrt", "log", "exp") and rest[0][0] == "rational" and abs(Fraction(rest[0][1])) <= 1000
    if not (plain or root):
        raise Malformed(f"{str(node)[:60]} would be computed without a case")
    return True

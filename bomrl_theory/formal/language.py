"""The language of bounds in Coq's words, and back.

Writing and reading are independent of each other: what Coq prints of a compiled definition is read by a
parser of its own, so that a mistake in the writer cannot confirm itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sympy as sp

from bomrl_theory.errors import BomrlError
from bomrl_theory.theory.expression import AXES, Expr, Largest, S, T, name_of, s, tau


class FormalError(BomrlError):
    """The proofs and the registry do not agree, or cannot be compared."""


TYPES: dict[Any, str] = {tau: "Tasks", s: "States"}
"""The finite types that the indices of a bound run over."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_0-9']*")


def identifier(name: str) -> str:
    """The name, if Coq takes it as one.

    Raises:
        FormalError: it does not.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise FormalError(f"'{name}' is no name in Coq")
    return name


# --- writing -------------------------------------------------------------------------------------


SUM_LEVEL, PRODUCT_LEVEL, SIGN_LEVEL, POWER_LEVEL, CALL_LEVEL, ATOM_LEVEL = 50, 40, 35, 30, 10, 0
"""Coq's precedence levels; whatever binds less tightly than its place asks for goes into parentheses."""


def to_coq(expression: Expr) -> str:
    """The expression as Coq text over the real numbers.

    Raises:
        FormalError: it holds something that the language of bounds does not have.
    """
    return _write(expression)[0]


def _inside(expression: Expr, level: int) -> str:
    """The text where Coq expects at most ``level``."""
    text, own = _write(expression)
    return text if own <= level else f"({text})"


def _call(head: str, *arguments: Expr) -> tuple[str, int]:
    return " ".join([head, *(_inside(argument, ATOM_LEVEL) for argument in arguments)]), CALL_LEVEL


_HEADS: dict[Any, str] = {sp.exp: "exp", sp.log: "ln", sp.Abs: "Rabs"}


def _write(expression: Expr) -> tuple[str, int]:
    """The text and its precedence level."""
    match expression:
        case sp.Indexed():
            words = [identifier(name_of(expression)), *(str(index) for index in expression.indices)]
            return " ".join(words), CALL_LEVEL
        case sp.Symbol():
            if expression in (T, S):
                raise FormalError(f"{expression} stands alone: use a constant of its own")
            return identifier(expression.name), ATOM_LEVEL
        case sp.Integer():
            return (str(expression), ATOM_LEVEL) if expression >= 0 else (f"- {-expression}", SIGN_LEVEL)
        case sp.Sum():
            body = to_coq(expression.function)
            for index, *limits in expression.limits:  # the innermost first
                if index not in AXES or limits != [1, (T, S)[AXES[index]]]:
                    raise FormalError(f"sum over {(index, *limits)}")
                body = f"Sum (fun {index} : {TYPES[index]} => {body})"
            return body, CALL_LEVEL
        case Largest():
            body, index = expression.args
            return f"Largest (fun {index} : {TYPES[index]} => {to_coq(body)})", CALL_LEVEL
        case sp.Add():
            return _write_sum(expression)
        case sp.Mul() | sp.Rational():
            return _write_product(expression)
        case sp.Pow():
            return _write_power(*expression.args)
        case sp.exp() | sp.log() | sp.Abs():
            return _call(_HEADS[type(expression)], expression.args[0])
        case sp.Max() | sp.Min():
            return _call("Rmax" if isinstance(expression, sp.Max) else "Rmin", *_pair(expression))
    raise FormalError(f"no words for {sp.srepr(expression)}")


def _pair(expression: Expr) -> tuple[Expr, Expr]:
    """A maximum of several as one of two."""
    first, *others = expression.args
    return first, others[0] if len(others) == 1 else expression.func(*others)


def _negative(term: Expr) -> bool:
    return bool(term.as_coeff_Mul()[0] < 0)


def _write_sum(expression: Expr) -> tuple[str, int]:
    """Positive terms first, so that it reads as people write it."""
    first, *others = sorted(expression.args, key=_negative)
    text = _inside(first, SUM_LEVEL)
    for term in others:
        sign, size = ("-", -term) if _negative(term) else ("+", term)
        text += f" {sign} {_inside(size, PRODUCT_LEVEL)}"
    return text, SUM_LEVEL


def _write_product(expression: Expr) -> tuple[str, int]:
    """A sign, the factors, and what they are divided by."""
    if _negative(expression):
        return f"- {_inside(-expression, SIGN_LEVEL)}", SIGN_LEVEL
    above: list[Expr] = []
    below: list[Expr] = []
    for factor in sp.Mul.make_args(expression):
        base, exponent = factor.as_base_exp()
        if isinstance(factor, sp.Rational):
            above += [sp.Integer(factor.p)] if factor.p != 1 else []
            below += [sp.Integer(factor.q)] if factor.q != 1 else []
        elif base != sp.E and exponent.is_Rational and exponent < 0:
            below.append(base**-exponent)
        else:
            above.append(factor)
    text = " * ".join(_inside(factor, POWER_LEVEL) for factor in above) or "1"
    if below:
        divisor = " * ".join(_inside(factor, POWER_LEVEL) for factor in below)
        text += f" / ({divisor})" if len(below) > 1 else f" / {divisor}"
    return (text, PRODUCT_LEVEL) if below or len(above) > 1 else _write(above[0])


def _write_power(base: Expr, exponent: Expr) -> tuple[str, int]:
    if base == sp.E:
        return _call("exp", exponent)
    if isinstance(exponent, sp.Integer) and exponent > 0:
        return f"{_inside(base, CALL_LEVEL)} ^ {exponent}", POWER_LEVEL
    if exponent == sp.Rational(1, 2):
        return _call("sqrt", base)
    if exponent.is_Rational and exponent < 0:
        return _write_product(base**exponent)
    raise FormalError(f"power {exponent}")


# --- reading -------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+)|(?P<name>[A-Za-z_][\w.']*)|(?P<sign>=>|[-+*/^():]))")
SUM, LARGEST = "FiniteSums.Sum", "FiniteSums.Largest"
_FUNCTIONS: Mapping[str, tuple[int, Any]] = {
    "ln": (1, sp.log),
    "exp": (1, sp.exp),
    "sqrt": (1, sp.sqrt),
    "Rabs": (1, sp.Abs),
    "Rmax": (2, sp.Max),
    "Rmin": (2, sp.Min),
}
_INDEX_OF = {name: index for index, name in TYPES.items()}


def tokens(text: str) -> Iterator[str]:
    """The words of Coq text.

    Raises:
        FormalError: a character that the language does not have.
    """
    place = 0
    text = text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise FormalError(f"cannot read '{text[place : place + 20]}'")
        place = found.end()
        yield found[0].strip()


class Reader:
    """A recursive descent over what Coq prints, with Coq's precedences.

    Names have to be printed with nothing of ours imported: ``ln`` is then Coq's own, and ``FiniteSums.Sum`` ours.
    """

    def __init__(self, text: str, symbols: Mapping[str, Expr]):
        self.words = [*tokens(text), ""]
        self.place = 0
        self.symbols = symbols
        self.bound: dict[str, Expr] = {}

    def read(self) -> Expr:
        """The whole text as one expression.

        Raises:
            FormalError: it is none.
        """
        result = self._sum()
        if self._next():
            raise FormalError(f"unexpected '{self._next()}'")
        return result

    def _next(self) -> str:
        return self.words[self.place]

    def _take(self, wanted: str = "") -> str:
        word = self._next()
        if wanted and word != wanted:
            raise FormalError(f"expected '{wanted}', found '{word}'")
        self.place += 1
        return word

    def _sum(self) -> Expr:
        result = self._product()
        while self._next() in ("+", "-"):
            result = result + self._product() if self._take() == "+" else result - self._product()
        return result

    def _product(self) -> Expr:
        result = self._signed()
        while self._next() in ("*", "/"):
            result = result * self._signed() if self._take() == "*" else result / self._signed()
        return result

    def _signed(self) -> Expr:
        if self._next() == "-":
            self._take()
            return -self._signed()
        if self._next() == "/":
            self._take()
            return 1 / self._signed()
        base = self._application()
        if self._next() == "^":
            self._take()
            exponent = self._take()
            if not exponent.isdigit():
                raise FormalError(f"exponent '{exponent}'")
            return base ** int(exponent)
        return base

    def _application(self) -> Expr:
        head = self._take()
        if head == "(":
            inside = self._sum()
            self._take(")")
            return inside
        if head.isdigit():
            return sp.Integer(head)
        if head in (SUM, LARGEST):
            return self._binder(head)
        if head in _FUNCTIONS:
            count, function = _FUNCTIONS[head]
            return function(*(self._argument() for _ in range(count)))
        if head not in self.symbols:
            raise FormalError(f"unknown name '{head}'")
        symbol = self.symbols[head]
        for wanted in symbol.indices if isinstance(symbol, sp.Indexed) else ():
            given = self._take()
            if self.bound.get(given) != wanted:
                raise FormalError(f"'{head}' of '{given}', expected {wanted}")
        return symbol

    def _argument(self) -> Expr:
        """One argument of a function: a name, a number, or something in parentheses."""
        if self._next() == "(":
            return self._application()
        word = self._take()
        if word.isdigit():
            return sp.Integer(word)
        symbol = self.symbols.get(word)
        if symbol is None or isinstance(symbol, sp.Indexed):
            raise FormalError(f"unexpected argument '{word}'")
        return symbol

    def _binder(self, head: str) -> Expr:
        for word in ("(", "fun"):
            self._take(word)
        name = self._take()
        self._take(":")
        kind = self._take()
        if kind not in _INDEX_OF:
            raise FormalError(f"an index of type '{kind}'")
        self._take("=>")
        outside = dict(self.bound)
        self.bound[name] = index = _INDEX_OF[kind]
        body = self._sum()
        self.bound = outside
        self._take(")")
        return sp.Sum(body, (index, 1, (T, S)[AXES[index]])) if head == SUM else Largest(body, index)


def from_coq(text: str, symbols: Mapping[str, Expr], indices: Mapping[str, Expr]) -> Expr:
    """Read what Coq prints of a bound.

    Args:
        text: the body of a definition.
        symbols: the meaning of the names, indexed ones included.
        indices: the names of free indices.

    Raises:
        FormalError: the text is no expression in these symbols.
    """
    reader = Reader(text, symbols)
    reader.bound.update(indices)
    return reader.read()

"""Expressions and constants as LaTeX in the field's notation.

A name's parts become script positions: ``nu_phi`` is nu with superscript phi, ``A_max`` is A with
subscript max. The task index is a subscript, the state an argument.
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter, greek_letters_set

from bomrl_theory.theory.expression import Expr, Largest, name_of, s
from bomrl_theory.theory.theorem import Theorem

SUPERSCRIPTS = {"phi": r"\phi", "star": "*", "plus": "+", "pi": r"\pi"}
WORDS = {"ell": r"\ell", "eps": r"\epsilon", "max": r"\max", "min": r"\min"}


def symbol_latex(name: str, indices: tuple[Any, ...] = ()) -> str:
    """A quantity's LaTeX, with its indices."""
    core, *parts = name.split("_")
    above = "".join(SUPERSCRIPTS[part] for part in parts if part in SUPERSCRIPTS)
    below = [_word(part) for part in parts if part not in SUPERSCRIPTS]
    below += [r"\tau"] if any(index != s for index in indices) else []
    scripts = (f"^{{{above}}}" if above else "") + (f"_{{{','.join(below)}}}" if below else "")
    return _word(core) + scripts + ("(s)" if s in indices else "")


def _word(word: str) -> str:
    if word in WORDS:
        return WORDS[word]
    if word[0].lower() + word[1:] in greek_letters_set:
        return rf"\{word}"
    return word if len(word) == 1 else rf"\mathrm{{{word}}}"


class _Printer(LatexPrinter):
    printmethod = "_field_latex"  # the tree's own hooks are left to the methods below

    def _print_Symbol(self, expr: Expr, style: str = "plain") -> str:
        return symbol_latex(expr.name)

    def _print_Indexed(self, expr: Expr) -> str:
        return symbol_latex(name_of(expr), expr.indices)

    def _print_Sum(self, expr: Expr) -> str:
        body = self._print(expr.function)
        indices = ",".join(self._print(limit[0]) for limit in expr.limits)
        ambiguous = expr.function.is_Add or body.startswith("-")
        return rf"\sum_{{{indices}}} " + (rf"\left({body}\right)" if ambiguous else body)

    def _helper_print_standard_power(self, expr: Expr, template: str) -> str:
        base, exponent = self._print(expr.base), self._print(expr.exp)
        if isinstance(expr.base, sp.Symbol | sp.Indexed) and "^" in base:  # no two superscripts on one symbol
            return rf"\left({base}\right)^{{{exponent}}}"
        return super()._helper_print_standard_power(expr, template)

    def _print_Largest(self, expr: Expr, exp: str | None = None) -> str:
        body, index = expr.args
        inner = self._print(body)
        atom = isinstance(body, sp.Symbol | sp.Indexed | Largest)
        text = rf"\max_{{{self._print(index)}}} " + (inner if atom else rf"\left({inner}\right)")
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def expression_latex(expression: Any) -> str:
    """An expression in the constants."""
    return _Printer({"mul_symbol": None, "fold_short_frac": False}).doprint(sp.sympify(expression))


def claim_latex(theorem: Theorem) -> str:
    """``left <= bound``, as it is evaluated."""
    relation = r"\le" if theorem.relation == "<=" else "="
    return f"{expression_latex(theorem.left)} {relation} {expression_latex(theorem.bound)}"

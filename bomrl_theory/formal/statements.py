"""The generated half of the proofs: every tied statement in Coq's words, from the registry alone.

For a theorem of the registry ``Claims.v`` holds its left side, its bound and the margins of its assumptions
as functions of the constants, and the claim itself: for every case with one of the theorem's algorithms
whose assumptions hold, left <= bound. Nothing in a claim can be written by hand, so no hypothesis can be
added to it. The refutation of a refuted theorem has to break it for policies that solve their inner problem
exactly; proved ones claim it for any adapted policy.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import sympy as sp

from bomrl_theory.formal.language import TYPES, identifier, to_coq
from bomrl_theory.theory.comparator import COMPARATOR_ERRORS
from bomrl_theory.theory.constants import Constant
from bomrl_theory.theory.expression import Expr, free_indices, quantities, tau
from bomrl_theory.theory.theorem import Theorem

WIDTH = 116
CASES = "forall (Tasks States Actions : finType) (c : case Tasks States Actions),"
HEADER = """(* Written by `python proofs/check.py --generate` from the registry of bomrl_theory. Do not edit. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import {imports}.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.
"""


def name_in_coq(name: str) -> str:
    """Of an algorithm or a theorem."""
    return identifier(name.replace("-", "_"))


def arguments(expression: Expr, constants: Iterable[Constant]) -> list[Constant]:
    """The constants that an expression reads, in the theorem's order."""
    read = quantities(expression)
    return [constant for constant in constants if constant.name in read]


def sides(theorem: Theorem) -> dict[str, Expr]:
    """What a claim consists of, by the name of its definition."""
    name = name_in_coq(theorem.name)
    margins = {
        f"{name}_assumption{place}": sp.sympify(assumption.margin)
        for place, assumption in enumerate(theorem.assumptions, start=1)
    }
    return {f"{name}_left": sp.sympify(theorem.left), f"{name}_bound": sp.sympify(theorem.bound)} | margins


def comparator_errors() -> str:
    """``ComparatorError.v``: e_i of each algorithm as a function of numbers."""
    lines = [HEADER.format(imports="FiniteSums")]
    for algorithm, (expression, constants) in COMPARATOR_ERRORS.items():
        plain = scalar(expression)
        names = " ".join(identifier(constant.name) for constant in constants)
        lines.append(f"Definition {name_in_coq(algorithm)} ({names} : R) : R :=\n  {to_coq(plain)}.\n")
    return "\n".join(lines)


def scalar(expression: Expr) -> Expr:
    """The expression with a plain symbol for every indexed one."""
    return expression.xreplace({x: sp.Symbol(x.base.name, real=True) for x in expression.atoms(sp.Indexed)})


def claims(theorems: Iterable[Theorem]) -> str:
    """``Claims.v``."""
    return "\n".join([HEADER.format(imports="Definitions Constant"), *(claim(theorem) for theorem in theorems)])


def claim(theorem: Theorem) -> str:
    """The definitions of one theorem, the claim last."""
    name = name_in_coq(theorem.name)
    lines = [f"(* {theorem.id}: {theorem.title} *)"]
    terms: dict[str, str] = {}
    for definition, expression in sides(theorem).items():
        used = arguments(expression, theorem.constants)
        indexed = tau in free_indices(expression)
        binders = [f"({identifier(constant.name)} : {type_of(constant.symbol)})" for constant in used]
        types = _types(expression)
        binders = [f"({' '.join(types)} : finType)"] * bool(types) + binders + ["(tau : Tasks)"] * indexed
        lines.append(_wrapped(f"Definition {definition} {' '.join(binders)} : R :=", f"{to_coq(expression)}."))
        given = [f"(Constant.{constant.name} c)" for constant in used] + ["tau"] * indexed
        terms[definition] = " ".join([definition, *given])
    hypotheses = [" \\/ ".join(f"method c = {name_in_coq(algorithm)}" for algorithm in theorem.algorithms)]
    if theorem.status == "refuted":
        hypotheses.append("Constant.solves_inner_problem c")
    for place, assumption in enumerate(theorem.assumptions, start=1):
        term = f"0 <= {terms[f'{name}_assumption{place}']}"
        quantified = tau in free_indices(sp.sympify(assumption.margin))
        hypotheses.append(f"(forall tau : Tasks, {term})" if quantified else term)
    relation = {"<=": "<=", "==": "="}[theorem.relation]
    quantifier = ["forall tau : Tasks,"] if theorem.scope == "task" else []
    lines.append(
        _wrapped(
            f"Definition {name}_claim : Prop := {CASES}",
            *(f"{hypothesis} ->" for hypothesis in hypotheses),
            *quantifier,
            terms[f"{name}_left"],
            f"{relation} {terms[f'{name}_bound']}.",
        )
    )
    return "\n".join(lines) + "\n"


def _wrapped(head: str, *lines: str) -> str:
    """The head, then the lines below it, none of them too long to read."""
    return "\n".join(
        [
            textwrap.fill(head, WIDTH, subsequent_indent="    "),
            *(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ") for line in lines),
        ]
    )


def type_of(symbol: Expr) -> str:
    """``Tasks -> States -> R``, as the symbol is indexed."""
    indices: tuple[Expr, ...] = symbol.indices if isinstance(symbol, sp.Indexed) else ()
    return " -> ".join([*(TYPES[index] for index in indices), "R"])


def _types(expression: Expr) -> list[str]:
    """The finite types that the expression's constants are indexed by."""
    indices = {index for indexed in expression.atoms(sp.Indexed) for index in indexed.indices}
    return [name for index, name in TYPES.items() if index in indices]

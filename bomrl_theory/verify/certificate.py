"""Certificates: what a run decided, line by line, for a checker that trusts none of it.

A certificate file is JSON Lines (docs/certificates.md). A verdict's line refers by SHA-256 to three kinds of
lines that precede it and are written once: the theorem's claim as expression trees, the task family
with the optimal actions found, and the case (meta-policy, algorithm, lambda, adapted policies). Doubles are
written so that they read back to the bit; balls as exact dyadics.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import flint
import numpy as np
import sympy as sp
from flint import arb, fmpq

from bomrl_theory.errors import InvalidFile, InvalidTheorem
from bomrl_theory.numbers import Array, Enclosure
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.expression import AXES, Expr, Largest, name_of, quantities
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.journal import Journal
from bomrl_theory.verify.verdict import Verdict

SCHEMA = "bomrl-certificate-1"
MAXIMUM_NUMBERS = 20_000
"""A family or a case of more numbers than this is only hashed."""

Line = dict[str, Any]


class CertificateWriter:
    """Appends certificates to a file; every line is complete as soon as it is written.

    Args:
        path: must not exist, unless ``resume``.
        seed: of the run, recorded with every verdict.
        resume: the file may hold what the same run wrote before it ended early; the same lines are not written again.

    Raises:
        InvalidFile: the file exists, or the place cannot be written.
    """

    def __init__(self, path: Path, *, seed: int, resume: bool = False):
        self.path, self.seed = path, seed
        self.left_out = 0
        self._written: set[str] = set()
        self._shared: tuple[Case, Line, Line] | None = None
        self._journal = Journal(path, new=not resume)
        self._held = self._journal.lines()
        self._read = 0

    def write(self, theorem: Theorem, case: AnyCase, verdicts: Sequence[Verdict]) -> None:
        """Append the verdicts, and before them the lines that they refer to and that are not there yet.

        The format is for finite MDPs that are not sparse; verdicts on other cases are only counted, in ``left_out``.

        Raises:
            InvalidFile: the disk is full, the file has become unwritable, or it holds something else than what the run
                that is resumed has written.
        """
        if not (isinstance(case, Case) and case.certifiable):
            self.left_out += len(verdicts)
            return
        if self._shared is None or self._shared[0] is not case:
            family = family_line(case)
            self._shared = case, family, case_line(case, family["sha256"])
        _, family, shared = self._shared
        claim = theorem_line(theorem)
        lines = [line for line in (claim, family, shared) if line["sha256"] not in self._written]
        self._written.update(line["sha256"] for line in lines)
        lines += [_verdict_line(claim, shared, verdict, self.seed) for verdict in verdicts]
        texts = deque(_text(line).encode() for line in lines)
        while texts and (held := next(self._held, None)) is not None:
            self._read += 1
            if held != texts.popleft():
                raise self._foreign()
        if texts:
            if not texts[0].startswith(self._journal.tail):
                raise self._foreign()
            self._journal.cut()
            self._journal.append(b"".join(texts))

    def _foreign(self) -> InvalidFile:
        place = f"{self.path}, line {self._read + bool(self._journal.tail)}"
        return InvalidFile(f"{place} is none of the run that is resumed; move the file away")

    def __enter__(self) -> CertificateWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._journal.close()


def certificate(theorem: Theorem, case: Case, verdict: Verdict, *, seed: int) -> Line:
    """One verdict's line."""
    return _verdict_line(theorem_line(theorem), case_line(case, family_line(case)["sha256"]), verdict, seed)


# --- the four kinds of lines ---------------------------------------------------------------------


@cache
def theorem_line(theorem: Theorem) -> Line:
    """What is claimed, readable without the theorem's file."""
    sides = (theorem.left, theorem.bound, *(assumption.margin for assumption in theorem.assumptions))
    read = set().union(*(quantities(sp.sympify(side)) for side in sides))
    data = {
        "id": theorem.id,
        "algorithms": list(theorem.algorithms),
        "steps": theorem.steps,
        "scope": theorem.scope,
        "relation": theorem.relation,
        "left": tree(theorem.left),
        "bound": tree(theorem.bound),
        "assumptions": [{"name": a.name, "margin": tree(a.margin)} for a in theorem.assumptions],
        **({} if theorem.setting == "tabular" else {"setting": theorem.setting}),
        "quantities": {constant.name: constant.meaning for constant in theorem.constants if constant.name in read},
    }
    return _shared_line("theorem", data)


def family_line(case: Case) -> Line:
    """The tasks and their optimal actions; transition rows as [successor, weight] pairs."""
    family = case.family
    data = {
        "P": [[[_pairs(row) for row in rows] for rows in task] for task in family.P],
        "r": family.r.tolist(),
        "gamma": str(family.gamma),
        "rho": family.rho.tolist(),
        "weights": family.weights.tolist(),
        "optimal_actions": case.solved.optimum.actions.tolist(),
    }
    stored = int(np.count_nonzero(family.P)) + family.r.size + 2 * family.rho.size + family.weights.size
    return _shared_line("family", data, stored, name=family.name)


def case_line(case: Case, family: str) -> Line:
    """How the family with that hash is adapted, and to what."""
    policies = case.adaptation.policies[1:]
    data = {
        "family": family,
        "algorithm": case.algorithm.name,
        "lambda": str(case.lam),
        "steps": case.steps,
        "meta_policy": case.phi.tolist(),
        "policies": policies.tolist(),
    }
    size = case.phi.size + policies.size
    estimates = [step.estimate for step in case.adaptation.steps if step.estimate is not None]
    if estimates:  # what sampled data told of the action values, step by step
        data["estimates"] = [estimate.tolist() for estimate in estimates]
        size += sum(estimate.size for estimate in estimates)
    return _shared_line("case", data, size, origin=case.origin)


def _verdict_line(claim: Line, case: Line, verdict: Verdict, seed: int) -> Line:
    read = claim["data"]["quantities"]
    # e and eta are made with the comparators' free parameters.
    uses_comparator = any(name in read for name in ("e", "eta", *verdict.chosen))
    left, bound = (side(x) for x in verdict.sides) if verdict.sides else (None, None)
    return {
        "schema": SCHEMA,
        "kind": "verdict",
        "theorem": verdict.theorem,
        "claim": claim["sha256"],
        "case": case["sha256"],
        "task": verdict.task,
        "outcome": str(verdict.outcome),
        "grade": None if verdict.grade is None else str(verdict.grade),
        "left": left,
        "bound": bound,
        "chosen": verdict.chosen if uses_comparator else {},
        "reason": verdict.reason,
        "numbers": verdict.numbers,
        "tier": _tier(verdict.numbers),
        "precision": _precision(verdict.numbers),
        "certified": verdict.certified,
        "versions": versions(),
        "seed": seed,
    }


# --- parts ---------------------------------------------------------------------------------------


def tree(expression: Expr) -> list[Any]:
    """A SymPy expression as nested lists, which can be read without being executed.

    Raises:
        InvalidTheorem: the language of bounds has no such expression.
    """
    expression = sp.sympify(expression)
    match expression:
        case sp.Indexed() | sp.Symbol():
            return ["q", name_of(expression)]
        case sp.Rational():
            return ["rational", str(Fraction(int(expression.p), int(expression.q)))]
        case sp.Sum():
            (index, _, _), *others = expression.limits
            if not others and index in AXES:
                return ["sum", str(index), tree(expression.function)]
        case Largest():
            body, index = expression.args
            return ["largest", str(index), tree(body)]
        case sp.exp():
            return ["exp", tree(expression.args[0])]
        case sp.Pow():
            base, exponent = expression.args
            if base == sp.E:
                return ["exp", tree(exponent)]
            if isinstance(exponent, sp.Integer):
                return ["^", tree(base), int(exponent)]
            if exponent in (sp.Rational(1, 2), sp.Rational(-1, 2)):
                root = ["sqrt", tree(base)]
                return root if exponent > 0 else ["^", root, -1]
        case sp.Add() | sp.Mul() | sp.Max() | sp.Min() | sp.log() | sp.Abs():
            return [_NAMES[type(expression)], *(tree(argument) for argument in expression.args)]
    raise InvalidTheorem(f"the language of bounds has no {type(expression).__name__}: {expression}")


_NAMES: dict[type, str] = {sp.Add: "+", sp.Mul: "*", sp.Max: "max", sp.Min: "min", sp.log: "log", sp.Abs: "abs"}


def side(x: Any) -> Line | None:
    """One side of a comparison, exactly as it was known; None where nothing finite was known."""
    if isinstance(x, fmpq):
        return {"rational": str(x)}
    if isinstance(x, arb):
        return {"mid": _dyadic(x.mid()), "rad": _dyadic(x.rad())} if x.is_finite() else None
    if isinstance(x, Enclosure):
        mid, rad = float(x.mid), float(x.rad)
        return {"mid": mid.hex(), "rad": rad.hex()} if math.isfinite(mid) and math.isfinite(rad) else None
    return {"double": float(x).hex()} if math.isfinite(x) else None


def _dyadic(x: arb) -> str:
    """An exact ball as ``m*2^e``."""
    mantissa, exponent = x.man_exp()
    return f"{mantissa}*2^{exponent}"


def _pairs(row: Array) -> list[list[int | float]]:
    return [[int(successor), float(row[successor])] for successor in np.flatnonzero(row)]


def _shared_line(kind: str, data: Line, numbers: int = 0, **labels: str) -> Line:
    """A line that others refer to by the hash of its data's canonical JSON."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {
        "schema": SCHEMA,
        "kind": kind,
        "sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        **({"numbers": numbers} if numbers else {}),
        **labels,
        "data": data if numbers <= MAXIMUM_NUMBERS else None,
    }


def _text(line: Line) -> str:
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def _tier(numbers: str) -> int | None:
    """Enclosures are tier 0, balls 2, rationals 3; floats are none."""
    return next((tier for start, tier in _TIERS.items() if numbers.startswith(start)), None)


_TIERS = {"float64 enclosure": 0, "ball": 2, "rational": 3}


def _precision(numbers: str) -> int:
    """Bits, as the number system's name tells; a double has 53."""
    found = re.search(r"\((\d+)\)", numbers)
    return int(found[1]) if found else 53


@cache
def versions() -> dict[str, str]:
    """Of the package and of what its exact numbers come from."""
    try:
        own = metadata.version("bomrl-theory")
    except metadata.PackageNotFoundError:
        own = "not installed"
    return {
        "bomrl_theory": own,
        "python-flint": flint.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }

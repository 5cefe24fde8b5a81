"""What a large run found about every theorem of the registry, kept with the package for lists.

``python experiments/evidence.py`` makes the table anew. A row counts only as long as the theorem still
makes the claim that was judged.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.certificate import theorem_line
from bomrl_theory.verify.verdict import Outcome, Verdict, tightest

FILE = "evidence.json"
CASES, KINDS = 1000, 4
"""Every theorem is to have been judged on so many cases in scope, on so many kinds of families."""


@dataclass
class Evidence:
    """Counts over cases in scope.

    Attributes:
        claim: hash of the claim that was judged.
        cases: cases with at least one verdict in scope.
        families: those cases by the kind of family.
        verdicts: in scope, by outcome.
        uncertified: verdicts that floats alone decided.
        max_ratio: largest left/bound, or None.
    """

    claim: str
    cases: int = 0
    families: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    uncertified: int = 0
    max_ratio: float | None = None

    @classmethod
    def about(cls, theorem: Theorem) -> Evidence:
        """None yet."""
        return cls(claim_of(theorem))

    def add(self, kind: str, verdicts: list[Verdict]) -> None:
        """Count the verdicts on one case."""
        inside = [verdict for verdict in verdicts if verdict.outcome is not Outcome.OUT_OF_SCOPE]
        if not inside:
            return
        self.cases += 1
        self.families[kind] += 1
        self.verdicts.update(str(verdict.outcome) for verdict in inside)
        self.uncertified += sum(not verdict.certified for verdict in inside)
        self._raise(tightest(inside))

    def _raise(self, ratio: float | None) -> None:
        if ratio is not None and (self.max_ratio is None or ratio > self.max_ratio):
            self.max_ratio = ratio

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Evidence:
        """What :meth:`as_json` has written."""
        return cls(**{**row, "families": Counter(row["families"]), "verdicts": Counter(row["verdicts"])})

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "families": dict(sorted(self.families.items())), "verdicts": dict(self.verdicts)}


def claim_of(theorem: Theorem) -> str:
    """The hash under which certificates know the claim."""
    return theorem_line(theorem)["sha256"]


def kind_of(case: AnyCase) -> str:
    """The family's name without its parameters; random families are one kind."""
    name = case.family.name
    return (
        "random" if name.startswith("random family") else ":".join(name.split(":")[: 2 if "gymnasium" in name else 1])
    )


@cache
def recorded() -> dict[str, Evidence]:
    """The kept evidence by theorem id; empty where the package holds none."""
    file = files("bomrl_theory.theorems") / FILE
    if not file.is_file():
        return {}
    rows = json.loads(file.read_text(encoding="utf-8"))["theorems"]
    return {name: Evidence.from_json(row) for name, row in rows.items()}


def evidence_of(theorem: Theorem) -> Evidence | None:
    """The kept evidence, if the theorem still claims what was judged."""
    found = recorded().get(theorem.id)
    return found if found is not None and found.claim == claim_of(theorem) else None

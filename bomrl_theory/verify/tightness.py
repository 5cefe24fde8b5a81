"""How tight every theorem of the registry is known to be: the largest certified left/bound, kept with the package.

``python experiments/search.py`` makes the table anew. A row counts only as long as the theorem still makes the
claim that was searched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import case_from_mapping, case_mapping
from bomrl_theory.verify.evidence import claim_of
from bomrl_theory.verify.ratio import certified_ratio
from bomrl_theory.verify.verdict import Verdict, judge

FILE = "tightness.json"


@dataclass(frozen=True)
class Tightness:
    """The best ratio known of one theorem.

    Attributes:
        claim: hash of the claim that was searched.
        ratio: the largest certified left/bound: of the search, the witness and the probes; None where nothing
            certified is known, or no factor repairs the bound.
        origin: "search", "witness" or "probe K": where the ratio is attained.
        searched: the largest that the search found by itself; None where it found no case in scope.
        case: the case that the search found, as :func:`bomrl_theory.verify.casefile.case_mapping` has it, less what
            only informs; None likewise.
        seconds, seed: of the search.
    """

    claim: str
    ratio: float | None
    origin: str
    searched: float | None
    case: dict[str, Any] | None
    seconds: float
    seed: int

    def found(self) -> Any:
        """The case that the search found."""
        if self.case is None:
            return None
        return case_from_mapping(self.case, name="found by search")


def plain_mapping(case: AnyCase, verdict: Verdict) -> dict[str, Any]:
    """A case without what only informs."""
    mapping = case_mapping(case, verdict)
    for key in ("exact", "origin", "verdict"):
        del mapping[key]
    return mapping


def best_certified(theorem: Theorem, case: AnyCase) -> float | None:
    """The largest certified left/bound on a case, decided in exact or ball arithmetic now."""
    ratios = (certified_ratio(verdict) for verdict in judge(theorem, case, precise=True))
    return max((ratio for ratio in ratios if ratio is not None), default=None)


@cache
def recorded() -> dict[str, Tightness]:
    """The kept rows by theorem id; empty where the package holds none."""
    file = files("bomrl_theory.theorems") / FILE
    if not file.is_file():
        return {}
    rows = json.loads(file.read_text(encoding="utf-8"))["theorems"]
    return {name: Tightness(**row) for name, row in rows.items()}


def tightness_of(theorem: Theorem) -> Tightness | None:
    """What is known of the theorem, if it still claims what was searched."""
    found = recorded().get(theorem.id)
    return found if found is not None and found.claim == claim_of(theorem) else None

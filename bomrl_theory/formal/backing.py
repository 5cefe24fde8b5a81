"""How far a theorem is backed, answered from facts: its proof in Coq, its derivations, its text, its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bomrl_theory.formal.manifest import checked_by
from bomrl_theory.theory.theorem import Theorem

Level = Literal["machine-checked", "derived symbolically", "proof in words", "as published"]


@dataclass(frozen=True)
class Backing:
    """What stands behind a theorem.

    Attributes:
        level: the strongest kind of support that it has.
        coq: the Coq theorem that proves its claim, or refutes it; empty without one.
        related: further Coq theorems about it.
        derivations: how many of its steps SymPy executes.
        proof: path of the proof in words, empty without one.
        obtained: how the statement came to us.
    """

    level: Level
    coq: str
    related: tuple[str, ...]
    derivations: int
    proof: str
    obtained: str

    @property
    def summary(self) -> str:
        """One line for people."""
        parts = [f"machine-checked: {self.coq}"] if self.coq else []
        if self.derivations:
            parts.append(f"derived symbolically: {self.derivations} step{'s' if self.derivations > 1 else ''}")
        parts += [f"proof in words: {self.proof}"] if self.proof else []
        return "; ".join(parts) or f"no proof here ({self.obtained})"


def backing(theorem: Theorem) -> Backing:
    """What stands behind the theorem as it is now: a claim that changed since it was checked is not checked."""
    entry = checked_by(theorem)
    level: Level = "as published"
    if entry is not None:
        level = "machine-checked"
    elif theorem.derivations:
        level = "derived symbolically"
    elif theorem.proof is not None:
        level = "proof in words"
    return Backing(
        level,
        entry.theorem if entry else "",
        entry.related if entry else (),
        len(theorem.derivations),
        theorem.proof or "",
        theorem.source.obtained,
    )

"""What differs from the committed baseline, as the report tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Changes:
    """Theorems against their baseline.

    Attributes:
        baseline: where it is.
        unchanged: how many theorems are as it says.
        different: by theorem id, what is different in lines of text.
    """

    baseline: str
    unchanged: int
    different: dict[str, tuple[str, ...]]

    @property
    def summary(self) -> str:
        """One sentence."""
        if not self.different:
            return f"All {self.unchanged} theorems are unchanged since the baseline in {self.baseline}."
        return f"{len(self.different)} different from the baseline in {self.baseline}, {self.unchanged} unchanged."

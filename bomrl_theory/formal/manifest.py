"""Which theorems of the registry are machine-checked, and by which theorem in Coq.

The list is data of the package, so that an installed copy can tell; ``proofs/check.py`` keeps it honest. An entry
carries a digest of the claim that was checked, so a theorem that changed since does not count as checked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bomrl_theory.formal.language import FormalError
from bomrl_theory.formal.statements import claim
from bomrl_theory.theory.theorem import Theorem

PATH = Path(__file__).with_name("machine_checked.json")


@dataclass(frozen=True)
class Entry:
    """One theorem of the registry in Coq.

    Attributes:
        theorem: qualified name of the Coq theorem that proves the claim, or refutes it.
        related: further Coq theorems about it, for example what it says of the exact adaptation step.
        digest: of the claim, as generated from the registry.
    """

    theorem: str
    related: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What the proofs in ``proofs/coq`` establish.

    Attributes:
        entries: by theorem id.
        foundations: main theorems in Coq that no entry of the registry states.
    """

    entries: dict[str, Entry]
    foundations: tuple[str, ...]

    @property
    def theorems(self) -> list[str]:
        """Every Coq theorem that is listed, once."""
        listed = [name for entry in self.entries.values() for name in (entry.theorem, *entry.related)]
        return sorted({*listed, *self.foundations})

    @classmethod
    def load(cls, path: Path = PATH) -> Manifest:
        """Read the list.

        Raises:
            FormalError: it is not one.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            entries = {
                name: Entry(entry["theorem"], tuple(entry["related"]), entry["claim"])
                for name, entry in data["theorems"].items()
            }
            return cls(entries, tuple(data["foundations"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormalError(f"{path}: {error}") from error

    def save(self, path: Path = PATH) -> None:
        """Write the list."""
        theorems = {
            name: {"theorem": entry.theorem, "related": list(entry.related), "claim": entry.digest}
            for name, entry in sorted(self.entries.items())
        }
        data = {"theorems": theorems, "foundations": list(self.foundations)}
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


@cache
def manifest() -> Manifest:
    """The package's list."""
    return Manifest.load()


def digest(theorem: Theorem) -> str:
    """Of the claim in Coq's words.

    Raises:
        FormalError: the claim has no words in Coq.
    """
    return hashlib.sha256(claim(theorem).encode()).hexdigest()


def checked_by(theorem: Theorem) -> Entry | None:
    """The machine-checked proof of exactly this theorem, if there is one."""
    entry = manifest().entries.get(theorem.id)
    try:
        return entry if entry is not None and entry.digest == digest(theorem) else None
    except FormalError:
        return None

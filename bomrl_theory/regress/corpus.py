"""The pinned corpus: cases as data, so that no version of NumPy and no processor draws others.

``python experiments/corpus.py`` made the file. Round numbers keep it short and readable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from bomrl_theory.errors import BomrlError, InvalidFile
from bomrl_theory.exact.solved import Solved
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.verify.casefile import (
    adaptation_mapping,
    case_from_mapping,
    case_on,
    family_mapping,
    setting_mapping,
    tasks_from_mapping,
)

FILE = "corpus.json"
SCHEMA = "bomrl-corpus-1"


@dataclass(frozen=True)
class Corpus:
    """Named cases, family by family.

    Attributes:
        sha256: of the whole corpus, also for a part of it.
        families: family files' mappings by name.
        entries: for each case its name, the name of its family, and how that is adapted.
    """

    sha256: str
    families: dict[str, dict[str, Any]]
    entries: tuple[dict[str, Any], ...]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Corpus:
        """What ``experiments/corpus.py`` has written."""
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return cls(hashlib.sha256(canonical.encode()).hexdigest(), data["families"], tuple(data["cases"]))

    @property
    def names(self) -> list[str]:
        return [entry["case"] for entry in self.entries]

    def part(self, families: int, every: int = 1) -> Corpus:
        """Every so many of the cases on the first families."""
        kept = dict(list(self.families.items())[:families])
        entries = tuple(entry for entry in self.entries if entry["family"] in kept)
        return replace(self, families=kept, entries=entries[::every])

    def cases(self) -> Iterator[tuple[str, AnyCase]]:
        """Names and cases; those on one family share what is solved about it."""
        for family, mapping in self.families.items():
            entries = [entry for entry in self.entries if entry["family"] == family]
            if not entries:
                continue
            tasks = tasks_from_mapping(mapping, entries[0].get("setting", Case.setting), name=family)
            for entry in entries:
                yield entry["case"], case_on(tasks, entry, origin=_origin(entry["case"]))
            if isinstance(tasks, Solved):
                tasks.forget()


@cache
def pinned_corpus() -> Corpus:
    """The corpus that comes with the package."""
    file = files("bomrl_theory.theorems") / FILE
    return Corpus.from_json(json.loads(file.read_text(encoding="utf-8")))


def entry_of(case: AnyCase) -> dict[str, Any]:
    """How a case adapts its family, as data."""
    return {**setting_mapping(case), **adaptation_mapping(case)}


def mapping_of(case: AnyCase) -> dict[str, Any]:
    """A whole case as data; what is only there to be read by people is left out."""
    family = {key: value for key, value in family_mapping(case).items() if key not in ("name", "labels")}
    return {"family": family, **entry_of(case)}


def case_of(mapping: Any, name: str) -> AnyCase:
    """What :func:`mapping_of` has written.

    Raises:
        InvalidFile: anything else.
    """
    match mapping:
        case {"family": dict(), "meta_policy": _, "algorithm": str(), "lambda": str(), "steps": int()}:
            try:
                return case_from_mapping({**mapping, "origin": _origin(name)}, name=name)
            except BomrlError as error:
                raise InvalidFile(f"case '{name}': {error}") from None
    raise InvalidFile(f"case '{name}' is not a case: a key is missing or holds something else")


def _origin(name: str) -> str:
    return name.partition("; ")[0]

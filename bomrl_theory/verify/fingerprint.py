"""What the verdicts of a run depend on, so that those of two runs are never mixed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bomrl_theory
from bomrl_theory.numbers import device_in_use
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.certificate import theorem_line, versions

CODE = ("numbers", "tasks", "exact", "adapt", "linear_quadratic", "meta", "theory", "theorems", "verify")
"""Parts of the package that cases and verdicts come from."""
SHOWN = 3
"""So many names are told; of more only the number."""


@dataclass(frozen=True)
class Fingerprint:
    """A run's input, by content.

    Attributes:
        theorems: id and hash of the claim, in the order of the run.
        families: of each that is not drawn at random the name or file, and the hash of its tasks.
        drawn: what is drawn at random, in words.
        seed: of that.
        versions: of the package and of what computes; and the device, where there is one beside the host.
        code: hash of the sources that draw, measure and decide, those of theorems' own files among them.
    """

    theorems: tuple[tuple[str, str], ...]
    families: tuple[tuple[str, str], ...]
    drawn: str
    seed: int
    versions: dict[str, str]
    code: str

    @classmethod
    def of(
        cls,
        theorems: Sequence[Theorem],
        families: Iterable[tuple[str, TaskFamily | SparseFamily]],
        drawn: str,
        seed: int,
    ) -> Fingerprint:
        """The fingerprint of a run of these theorems.

        Raises:
            InvalidTheorem: a claim that the language of bounds does not know.
        """
        return cls(
            tuple((theorem.id, theorem_line(theorem)["sha256"]) for theorem in theorems),
            tuple((name, family.sha256) for name, family in families),
            drawn,
            seed,
            versions() | ({"device": device.described} if (device := device_in_use()) else {}),
            _code_of(theorems),
        )

    @property
    def theorem_ids(self) -> list[str]:
        """In the order of the run."""
        return [name for name, _ in self.theorems]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, other: Any) -> str:
        """How another fingerprint, as JSON, differs from this one; empty for the same run.

        The same tasks under another name are no difference.
        """
        try:
            theorems = {str(name): str(claim) for name, claim in other["theorems"]}
            families = [(str(name), str(tasks)) for name, tasks in other["families"]]
            packages = {str(name): str(version) for name, version in other["versions"].items()}
            drawn, seed, code = str(other["drawn"]), other["seed"], other["code"]
        except (KeyError, ValueError, TypeError, AttributeError):
            return "of another form"
        told = []
        if list(theorems) != self.theorem_ids:
            told.append(_instead("theorem", "theorems", list(theorems), self.theorem_ids))
        told += [f"{name} claims something else" for name, claim in self.theorems if theorems.get(name, claim) != claim]
        if [tasks for _, tasks in families] != [tasks for _, tasks in self.families]:
            names, own = [name for name, _ in families], [name for name, _ in self.families]
            if names != own:
                told.append(_instead("family", "families", names, own))
            elif seed == self.seed:  # otherwise that tells it
                pairs = zip(families, self.families, strict=True)
                told += [f"another content of {name}" for (name, tasks), (_, mine) in pairs if tasks != mine]
        told += [f"{drawn} instead of {self.drawn}"] if drawn != self.drawn else []
        told += [f"seed {seed} instead of {self.seed}"] if seed != self.seed else []
        told += [
            f"{name} {packages.get(name)} instead of {self.versions.get(name)}"
            for name in self.versions | packages
            if packages.get(name) != self.versions.get(name)
        ]
        if not told and code != self.code:
            told.append("the code of bomrl_theory or of a theorem's file has changed")
        return ", ".join(told)


def _instead(one: str, several: str, theirs: list[str], own: list[str]) -> str:
    """Names that differ, or how many there are."""

    def named(names: list[str]) -> str:
        if not 0 < len(names) <= SHOWN:
            return f"{len(names)} {several}"
        return f"{one if len(names) == 1 else several} {', '.join(names)}"

    return f"{named(theirs)} instead of {named(own)}" if named(theirs) != named(own) else f"other {several}"


def _code_of(theorems: Iterable[Theorem]) -> str:
    """The hash of the package's sources, and of files elsewhere that define theorems or measure their constants."""
    package = Path(bomrl_theory.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for part in CODE for path in (package / part).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    makers = [make for theorem in theorems for make in (theorem.witness, *(c.measure for c in theorem.constants))]
    files = {Path(code.co_filename) for make in makers if (code := getattr(inspect.unwrap(make), "__code__", None))}
    for path in sorted(path for path in files if path.is_file() and not path.is_relative_to(package)):
        digest.update(path.read_bytes())
    return digest.hexdigest()

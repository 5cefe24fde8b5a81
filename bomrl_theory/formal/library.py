"""Proofs on disk and compiled, and questions to Coq about them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bomrl_theory.formal.language import FormalError

INSTALL = "apt-get update && apt-get install -y --no-install-recommends coq libcoq-mathcomp-ssreflect"
LIBRARY = "BOMRL"
FORBIDDEN = re.compile(
    r"\b(Admitted|admit|Axioms?|Parameters?|Conjectures?|bypass_check|Unset\s+(Guard|Positivity|Universe)\s+Checking"
    r"|Declare\s+ML|Add\s+(Rec\s+)?LoadPath|Redirect|give_up)\b"
)
FLAGS = ("-w", "-notation-overridden,-ambiguous-paths")
PREAMBLE = """From Coq Require Import Reals Lra.
From mathcomp Require Import eqtype fintype.
{requires}
Local Open Scope R_scope.
Unset Printing Implicit Defensive.
Set Printing Width {width}.
Set Printing Depth 1000.
"""


def installed() -> bool:
    """Whether ``coqc`` can be run here."""
    return shutil.which("coqc") is not None


@dataclass(frozen=True)
class Library:
    """Compiled proofs.

    Attributes:
        directory: with sources and compiled files.
        modules: in the order of ``_CoqProject``.
    """

    directory: Path
    modules: tuple[str, ...]

    def ask(self, commands: Iterable[str], *, width: int = 110) -> list[str]:
        """What Coq answers to each command, in a session of its own that imports none of the modules.

        Raises:
            FormalError: Coq refuses one.
        """
        commands = list(commands)
        requires = f"From {LIBRARY} Require {' '.join(self.modules)}."
        text = PREAMBLE.format(requires=requires, width=width) + "".join(
            f'Redirect "answer{place}" {command}\n' for place, command in enumerate(commands)
        )
        with tempfile.TemporaryDirectory() as scratch:
            _coqc(self.directory, text, Path(scratch))
            return [
                Path(scratch, f"answer{place}.out").read_text(encoding="utf-8").strip()
                for place in range(len(commands))
            ]

    def prove(self, script: str) -> None:
        """Have Coq accept goals with their proofs.

        Raises:
            FormalError: it does not.
        """
        requires = f"From {LIBRARY} Require {' '.join(self.modules)}."
        with tempfile.TemporaryDirectory() as scratch:
            _coqc(self.directory, PREAMBLE.format(requires=requires, width=110) + script, Path(scratch))


def _coqc(library: Path, text: str, scratch: Path) -> None:
    (scratch / "Question.v").write_text(text, encoding="utf-8")
    _run(["coqc", *FLAGS, "-Q", str(library), LIBRARY, "Question.v"], scratch)


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise FormalError(f"coqc refuses:\n{done.stderr.strip()}")


def sources(directory: Path) -> tuple[str, ...]:
    """Module names in the order of ``_CoqProject``.

    Raises:
        FormalError: a file is not listed, or a listed one is missing.
    """
    lines = (directory / "_CoqProject").read_text(encoding="utf-8").split()
    listed = [word for word in lines if word.endswith(".v")]
    present = sorted(path.name for path in directory.glob("*.v"))
    if sorted(listed) != present:
        raise FormalError(f"_CoqProject lists {sorted(listed)}, found {present}")
    return tuple(name.removesuffix(".v") for name in listed)


def without_comments(text: str) -> str:
    """Coq source without its comments, which nest."""
    kept: list[str] = []
    depth = 0
    for part in re.split(r"(\(\*|\*\))", text):
        if part == "(*":
            depth += 1
        elif part == "*)" and depth:
            depth -= 1
        elif not depth:
            kept.append(part)
    return "".join(kept)


def compiled(directory: Path, modules: tuple[str, ...], into: Path) -> Library:
    """Compile the sources in a place of their own, so that no old result can be taken for a new one.

    Raises:
        FormalError: Coq refuses a file.
    """
    for module in modules:
        shutil.copy(directory / f"{module}.v", into)
        compile_module(into, module)
    return Library(into, modules)


def compile_module(directory: Path, module: str) -> None:
    """Compile one module where it lies.

    Raises:
        FormalError: Coq refuses it.
    """
    _run(["coqc", *FLAGS, "-Q", ".", LIBRARY, f"{module}.v"], directory)


def check_text(directory: Path, modules: tuple[str, ...]) -> None:
    """No source admits a proof, assumes an axiom or switches a check off.

    Raises:
        FormalError: one does.
    """
    for module in modules:
        found = FORBIDDEN.search(without_comments((directory / f"{module}.v").read_text(encoding="utf-8")))
        if found:
            raise FormalError(f"{module}.v holds '{found[0]}'")

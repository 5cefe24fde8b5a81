"""The check that ties compiled proofs to the registry.

The proofs are compiled from their sources; then Coq itself is asked what it has compiled, with nothing of ours
imported, so that every name in its answers is unambiguous. Refused are: generated files that the registry no
longer gives; a bound that reads differently from the registry's, or has another value at an exact point; a
theorem that does not prove its claim; definitions and statements that differ from the pinned ones; an axiom
beyond those of the standard library's real numbers; admitted proofs and switched-off checks.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sympy as sp

from bomrl_theory.formal import points
from bomrl_theory.formal.language import TYPES, FormalError, from_coq
from bomrl_theory.formal.library import Library, check_text, compiled, sources
from bomrl_theory.formal.manifest import Manifest, digest
from bomrl_theory.formal.statements import arguments, claims, comparator_errors, name_in_coq, scalar, sides, type_of
from bomrl_theory.theory.comparator import COMPARATOR_ERRORS
from bomrl_theory.theory.constants import Constant
from bomrl_theory.theory.expression import Expr, free_indices, tau
from bomrl_theory.theory.theorem import Theorem

PINNED = "statements.txt"
"""What people have read: every listed statement and every definition that it rests on, as Coq prints them."""
GENERATED = ("ComparatorError.v", "Claims.v")
AXIOMS = frozenset(
    {
        "ClassicalDedekindReals.sig_not_dec",
        "ClassicalDedekindReals.sig_forall_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
        "Classical_Prop.classic",
    }
)
"""What the standard library's real numbers stand on."""


@dataclass(frozen=True)
class Checked:
    """What was established.

    Attributes:
        theorems: Coq theorems, with the ids that they are tied to.
        axioms: the axioms that any of them uses.
        seconds: how long compiling took.
    """

    theorems: dict[str, list[str]]
    axioms: frozenset[str]
    seconds: float


def generated(theorems: Iterable[Theorem]) -> dict[str, str]:
    """The files that the registry gives, by name."""
    return dict(zip(GENERATED, (comparator_errors(), claims(theorems)), strict=True))


def check_sources(directory: Path, theorems: Iterable[Theorem]) -> tuple[str, ...]:
    """The modules, after a look at their text.

    Raises:
        FormalError: a generated file is stale, or a source holds what no source may.
    """
    modules = sources(directory)
    for name, text in generated(theorems).items():
        if (directory / name).read_text(encoding="utf-8") != text:
            raise FormalError(f"{name} is stale: the registry gives another text (python proofs/check.py --generate)")
    check_text(directory, modules)
    return modules


def check(directory: Path, registered: Mapping[str, Theorem], manifest: Manifest) -> Checked:
    """Compile the proofs and compare them with the registry.

    Args:
        directory: ``proofs/coq``.
        registered: the registry.
        manifest: what the proofs are said to establish.

    Raises:
        FormalError: something does not agree; the message says what.
    """
    tied = tied_theorems(registered, manifest)
    modules = check_sources(directory, tied)
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        library = compiled(directory, modules, Path(scratch))
        seconds = time.monotonic() - started
        axioms = check_compiled(library, directory / PINNED, tied, manifest)
    names: dict[str, list[str]] = {name: [] for name in manifest.theorems}
    for identity, entry in manifest.entries.items():
        for name in (entry.theorem, *entry.related):
            names[name].append(identity)
    return Checked(names, axioms, seconds)


def check_compiled(library: Library, pinned: Path, tied: list[Theorem], manifest: Manifest) -> frozenset[str]:
    """What Coq says of the compiled proofs; returns the axioms that they use.

    Raises:
        FormalError: something does not agree.
    """
    check_expressions(library, tied)
    check_points(library, tied)
    check_proofs(library, tied, manifest)
    check_pinned(library, pinned, manifest)
    return check_axioms(library, manifest)


def tied_theorems(registered: Mapping[str, Theorem], manifest: Manifest) -> list[Theorem]:
    """The theorems of the registry that the manifest lists.

    Raises:
        FormalError: it lists one that does not exist, or another version of it.
    """
    for identity, entry in manifest.entries.items():
        if identity not in registered:
            raise FormalError(f"the manifest lists {identity}, which the registry does not have")
        if digest(registered[identity]) != entry.digest:
            raise FormalError(f"{identity} has changed since its proof was checked")
    return [registered[identity] for identity in sorted(manifest.entries)]


_DEFINITION = re.compile(r"\w+\.\w+\s*=\s*fun\s(?P<binders>.*?)=>(?P<body>.*?)\n\s+:\s", re.S)


def check_expressions(library: Library, tied: list[Theorem]) -> None:
    """Every generated definition, as Coq prints it, reads as the registry's expression."""
    expected: dict[str, tuple[Expr, list[Constant]]] = {}
    for theorem in tied:
        for name, expression in sides(theorem).items():
            expected[f"Claims.{name}"] = (expression, arguments(expression, theorem.constants))
    for algorithm, (expression, constants) in COMPARATOR_ERRORS.items():
        expected[f"ComparatorError.{name_in_coq(algorithm)}"] = (scalar(expression), list(constants))
    answers = library.ask((f"Print {name}." for name in expected), width=100_000)
    for (name, (expression, constants)), answer in zip(expected.items(), answers, strict=True):
        found = _DEFINITION.match(answer)
        if found is None:
            raise FormalError(f"{name}: unexpected answer {answer}")
        plain = name.startswith("ComparatorError")
        symbols = {constant.name: scalar(constant.symbol) if plain else constant.symbol for constant in constants}
        _check_binders(name, found["binders"], {k: sp.sympify(v) for k, v in symbols.items()}, expression)
        indices = {str(index): index for index in free_indices(expression)}
        read = from_coq(found["body"], symbols, indices)
        if read != expression and sp.simplify(read - expression) != 0:
            raise FormalError(f"{name} reads {read} in Coq, {expression} in the registry")


def _check_binders(name: str, text: str, symbols: Mapping[str, Expr], expression: Expr) -> None:
    """The arguments are the constants, in order and of the right types."""
    found: list[tuple[str, str]] = []
    for names, kind in re.findall(r"\(?([\w ]+) : ([^()]+)\)?", text):
        found += [(each, " ".join(kind.split())) for each in names.split()]
    wanted = [(symbol_name, type_of(symbol)) for symbol_name, symbol in symbols.items()]
    if free_indices(expression):
        wanted.append(("tau", TYPES[tau]))
    if [pair for pair in found if pair[1] != "finType"] != wanted:
        raise FormalError(f"{name} takes {found}, expected {wanted}")


def check_points(library: Library, tied: list[Theorem]) -> None:
    """Every generated definition has the registry's values at exact points."""
    library.prove(points.script(tied))


def check_proofs(library: Library, tied: list[Theorem], manifest: Manifest) -> None:
    """Each listed theorem proves its claim, or refutes it where the registry says so, with nothing assumed."""
    scripts: dict[str, str] = {}
    for theorem in tied:
        claim = f"Claims.{name_in_coq(theorem.name)}_claim"
        goal = f"~ {claim}" if theorem.status == "refuted" else claim
        proof = manifest.entries[theorem.id].theorem
        scripts[f"{proof} as a proof of {goal}"] = f"Goal {goal}. Proof. exact {proof}. Qed.\n"
    try:
        library.prove("".join(scripts.values()))
    except FormalError:  # which one?
        for what, script in scripts.items():
            try:
                library.prove(script)
            except FormalError as error:
                raise FormalError(f"{what}: {error}") from error
        raise


def check_axioms(library: Library, manifest: Manifest) -> frozenset[str]:
    """``Print Assumptions`` of each listed theorem; every line must be known."""
    used: set[str] = set()
    answers = library.ask(f"Print Assumptions {name}." for name in manifest.theorems)
    for name, answer in zip(manifest.theorems, answers, strict=True):
        if answer == "Closed under the global context":
            continue
        first, *lines = answer.splitlines()
        if first != "Axioms:":
            raise FormalError(f"{name}: unexpected answer {answer}")
        for line in lines:
            if line.startswith(" "):
                continue
            axiom = line.split()[0]
            if axiom not in AXIOMS:
                raise FormalError(f"{name} rests on {line.strip()}")
            used.add(axiom)
    return frozenset(used)


# --- pinned definitions and statements --------------------------------------------------------------


def statements(library: Library, manifest: Manifest) -> str:
    """All listed statements, and every definition of ours that they mention, directly or not."""
    names = manifest.theorems
    texts = dict(zip(names, library.ask(f"Check @{name}." for name in names), strict=True))
    ours = re.compile(rf"\b(?:{'|'.join(library.modules)})\.\w+\b")
    known = set(texts)
    while missing := sorted({name for text in texts.values() for name in ours.findall(text)} - known):
        known.update(missing)
        questions = [f"{verb}{name}." for name in missing for verb in ("About ", "Check @", "Print ")]
        answers = iter(library.ask(questions))
        for name in missing:
            about, kind, body = (next(answers) for _ in range(3))
            texts[name] = kind if " is opaque" in about else body.partition("\n\nArguments ")[0]
    order = {module: place for place, module in enumerate(library.modules)}
    ordered = sorted(texts, key=lambda name: (name not in names, order[name.partition(".")[0]], name))
    return "\n\n".join(texts[name] for name in ordered) + "\n"


def check_pinned(library: Library, pinned: Path, manifest: Manifest) -> None:
    """Statements and definitions are the ones that were read."""
    found = statements(library, manifest)
    expected = pinned.read_text(encoding="utf-8")
    if found != expected:
        known = set(expected.split("\n\n"))
        changed = [block for block in found.split("\n\n") if block not in known] or ["something is missing"]
        raise FormalError(f"not what {PINNED} pins:\n" + "\n\n".join(changed))

"""The machine-checked proofs compile and state what the registry evaluates; changes to either are refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sympy as sp

from bomrl_theory.formal.backing import backing
from bomrl_theory.formal.check import (
    AXIOMS,
    PINNED,
    check_axioms,
    check_compiled,
    check_expressions,
    check_pinned,
    check_points,
    check_proofs,
    check_sources,
    generated,
    tied_theorems,
)
from bomrl_theory.formal.language import FormalError, from_coq, to_coq
from bomrl_theory.formal.library import INSTALL, Library, compile_module, compiled, installed, sources, without_comments
from bomrl_theory.formal.manifest import Manifest, digest, manifest
from bomrl_theory.theory.constants import gamma, p, rho, w
from bomrl_theory.theory.expression import largest_over_tasks, over_states, over_tasks, s, tau
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem

ROOT = Path(__file__).parents[1]
COQ = ROOT / "proofs" / "coq"
needs_coq = pytest.mark.skipif(not installed(), reason=f"Coq is not installed: {INSTALL}")
CHECKED = [pytest.param(registry()[name], id=name) for name in manifest().entries]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The proofs, compiled once."""
    return compiled(COQ, sources(COQ), tmp_path_factory.mktemp("coq"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, to break."""
    return Path(shutil.copytree(COQ, tmp_path / "coq", ignore=shutil.ignore_patterns("*.vo*", "*.glob", ".*")))


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence, which must exist."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- without Coq ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        over_tasks(w.symbol * over_states(rho.symbol * -sp.log(p.symbol))),
        sp.sqrt(gamma.symbol) / (1 - gamma.symbol) ** 2 - sp.Rational(7, 3) * sp.exp(gamma.symbol),
        sp.Max(largest_over_tasks(w.symbol), gamma.symbol) * sp.Abs(gamma.symbol - 1) - 2**gamma.symbol.is_real,
        -over_states(p.symbol**3 / rho.symbol).subs(tau, tau),
        1 / (1 + 1 / (gamma.symbol - 3)),
        sp.Rational(-1, 3),
    ],
    ids=str,
)
def test_what_is_written_reads_the_same(expression: sp.Expr) -> None:
    """Writer and reader agree, with the name under which Coq prints our sums."""
    text = re.sub(r"\b(Sum|Largest)\b", r"FiniteSums.\1", to_coq(expression))
    symbols = {constant.name: constant.symbol for constant in (gamma, p, rho, w)}
    assert from_coq(text, symbols, {"tau": tau, "s": s}) == expression


@pytest.mark.parametrize("text", ["cheat", "gamma +", "gamma ^ gamma", "p tau tau", "gamma % 2", "(gamma", "p s tau"])
def test_reader_refuses(text: str) -> None:
    with pytest.raises(FormalError):
        from_coq(text, {"gamma": gamma.symbol, "p": p.symbol}, {"tau": tau, "s": s})


def test_comments_nest() -> None:
    assert without_comments("a (* b (* c *) d *) e") == "a  e"


def test_generated_files_are_those_of_the_registry() -> None:
    """Also without Coq a change of the registry shows."""
    tied = tied_theorems(registry(), manifest())
    assert check_sources(COQ, tied) == sources(COQ)


@pytest.mark.parametrize("theorem", CHECKED)
def test_proof_in_words_names_the_proof_in_coq(theorem: Theorem) -> None:
    assert theorem.proof is not None
    entry = manifest().entries[theorem.id]
    module = entry.theorem.partition(".")[0]
    text = (ROOT / theorem.proof).read_text(encoding="utf-8")
    assert f"`{entry.theorem}`" in text
    assert f"(coq/{module}.v)" in text


@pytest.mark.parametrize("theorem", CHECKED)
def test_backing_follows_the_facts(theorem: Theorem) -> None:
    """A changed claim is no longer machine-checked, and then what else there is counts."""
    found = backing(theorem)
    assert found.level == "machine-checked"
    assert found.coq == manifest().entries[theorem.id].theorem
    assert found.coq in found.summary
    changed = backing(theorem.scaled(2))
    assert changed.level == ("derived symbolically" if theorem.derivations else "proof in words")
    assert changed.coq == ""
    bare = replace(theorem, id="other-v1", proof=None, derivations=())
    assert backing(bare).level == "as published"


def sabotage_admitted(directory: Path) -> str:
    text = (directory / "Section7.v").read_text(encoding="utf-8")
    start = text.index("Theorem task_variance")
    end = text.index("Qed.", start)
    (directory / "Section7.v").write_text(
        text[:start] + text[start:end] + "Admitted." + text[end + 4 :], encoding="utf-8"
    )
    return "Section7.v holds 'Admitted'"


def sabotage_axiom(directory: Path) -> str:
    edit(directory / "FiniteSums.v", "Lemma sum_0", "Axiom cheat : False.\nLemma sum_0")
    return "FiniteSums.v holds 'Axiom'"


def sabotage_added_hypothesis(directory: Path) -> str:
    edit(
        directory / "Claims.v", "method c = kl_posterior ->", "method c = kl_posterior -> Constant.gamma c <= 1 / 2 ->"
    )
    return "Claims.v is stale"


def sabotage_dropped_hypothesis(directory: Path) -> str:
    path = directory / "Claims.v"
    found = re.search(r"  0 <= published_bound_conditional_assumption1[^>]*->\n", path.read_text(encoding="utf-8"))
    assert found is not None
    edit(path, found[0], "")
    return "Claims.v is stale"


def sabotage_constant(directory: Path) -> str:
    edit(directory / "Claims.v", "Delta_star tau * Sum", "Delta_star tau / 2 * Sum")
    return "Claims.v is stale"


def sabotage_comparator(directory: Path) -> str:
    edit(directory / "ComparatorError.v", "lambda * ln p", "lambda * ln p / 2")
    return "ComparatorError.v is stale"


def sabotage_unlisted(directory: Path) -> str:
    (directory / "Cheat.v").write_text("Axiom cheat : False.\n", encoding="utf-8")
    return "_CoqProject lists"


def sabotage_unguarded(directory: Path) -> str:
    edit(directory / "Section0.v", "Fixpoint iter_fix", "Unset Guard Checking.\nFixpoint iter_fix")
    return "Unset Guard Checking"


SABOTAGE = [value for name, value in sorted(globals().items()) if name.startswith("sabotage_")]


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda f: f.__name__.removeprefix("sabotage_"))
def test_sources_are_refused(copy: Path, sabotage: Callable[[Path], str]) -> None:
    message = sabotage(copy)
    with pytest.raises(FormalError, match=re.escape(message)):
        check_sources(copy, tied_theorems(registry(), manifest()))


def test_changed_registry_is_refused() -> None:
    """The digest tells that a theorem is not the one that was checked; with new digests its file is stale."""
    theorem = theorem_named("no_adaptation")
    changed = registry() | {theorem.id: theorem.scaled(sp.Rational(1, 2))}
    with pytest.raises(FormalError, match="changed since its proof"):
        tied_theorems(changed, manifest())
    with pytest.raises(FormalError, match="which the registry does not have"):
        tied_theorems({}, manifest())
    entries = manifest().entries
    entry = replace(entries[theorem.id], digest=digest(changed[theorem.id]))
    renewed = Manifest(entries | {theorem.id: entry}, manifest().foundations)
    with pytest.raises(FormalError, match=r"Claims\.v is stale"):
        check_sources(COQ, tied_theorems(changed, renewed))


# --- with Coq --------------------------------------------------------------------------------------


@needs_coq
def test_proofs_compile_and_state_what_the_registry_evaluates(library: Library) -> None:
    tied = tied_theorems(registry(), manifest())
    assert check_compiled(library, COQ / PINNED, tied, manifest()) == AXIOMS


@needs_coq
def test_wrong_bounds_claims_and_statements_are_refused(library: Library, tmp_path: Path) -> None:
    """Against the compiled proofs: each step of the check refuses on its own."""
    theorem = theorem_named("no_adaptation")
    half = theorem.scaled(sp.Rational(1, 2))
    with pytest.raises(FormalError, match="reads"):
        check_expressions(library, [half])
    with pytest.raises(FormalError, match="coqc refuses"):
        check_points(library, [half])
    entry = replace(manifest().entries[theorem.id], theorem="Section5.no_adaptation_case")
    with pytest.raises(FormalError, match=r"Section5\.no_adaptation_case as a proof"):
        check_proofs(library, [theorem], Manifest({theorem.id: entry}, ()))
    refuted = theorem_named("published_bound")
    with pytest.raises(FormalError, match="published_bound_is_false as a proof"):
        check_proofs(library, [replace(refuted, status="proved")], manifest())
    pinned = tmp_path / PINNED
    shutil.copy(COQ / PINNED, pinned)
    edit(pinned, "Definitions.KL = \nfun", "Definitions.KL = \ntwice fun")
    with pytest.raises(FormalError, match=r"Definitions\.KL"):
        check_pinned(library, pinned, manifest())


def recompiled(library: Library, into: Path, first: str, last: str = "Examples") -> Library:
    """The library with the modules from first to last compiled again, from the sources in ``into``."""
    for path in library.directory.glob("*.vo"):
        shutil.copy(path, into)
    start, end = library.modules.index(first), library.modules.index(last)
    for module in library.modules[start : end + 1]:
        compile_module(into, module)
    return Library(into, library.modules)


@needs_coq
def test_smuggled_axiom_is_refused(library: Library, copy: Path) -> None:
    """A hypothesis outside any section is an axiom under another name."""
    edit(copy / "Section7.v", "Section Family.", "Hypothesis cheat : 1 <= 0.\nSection Family.")
    edit(
        copy / "Section7.v",
        "Proof. by rewrite compensation; have := mismatch_ge0; lra. Qed.",
        "Proof. have := cheat; lra. Qed.",
    )
    broken = recompiled(library, copy, "Section7")
    with pytest.raises(FormalError, match=r"rests on Section7\.cheat"):
        check_axioms(broken, manifest())


@needs_coq
def test_added_hypothesis_is_refused(library: Library, copy: Path) -> None:
    """In a statement that was written by hand, where no claim of the registry would notice."""
    edit(copy / "Section7.v", "  Constant.M c = 0 /\\", "  Constant.gamma c <= / 2 -> Constant.M c = 0 /\\")
    edit(copy / "Section7.v", "move=> bary; suff M0", "move=> bary _; suff M0")
    broken = recompiled(library, copy, "Section7")
    with pytest.raises(FormalError, match=r"Section7\.mismatch_vanishes"):
        check_pinned(broken, COQ / PINNED, manifest())


@needs_coq
@pytest.mark.parametrize(
    ("name", "factor", "last"),
    [
        ("performance_difference", sp.Rational(1, 2), "Section0"),
        ("contraction_kl_prior", sp.Rational(99, 100), "Section2"),
    ],
)
def test_wrong_constant_has_no_proof(library: Library, copy: Path, name: str, factor: sp.Expr, last: str) -> None:
    """With everything generated anew, Coq refuses the old proof."""
    theorem = theorem_named(name)
    changed = [
        theorem.scaled(factor) if registry()[k].name == name else registry()[k] for k in sorted(manifest().entries)
    ]
    for file, text in generated(changed).items():
        (copy / file).write_text(text, encoding="utf-8")
    with pytest.raises(FormalError, match=rf'{last}\.v"'):
        recompiled(library, copy, "Claims", last)


@needs_coq
def test_dropped_hypothesis_has_no_proof(library: Library, copy: Path) -> None:
    edit(copy / "Section1.v", "Hypothesis lambda_gt0 : 0 < lambda.\n", "")
    with pytest.raises(FormalError, match=r'Section1\.v"'):
        recompiled(library, copy, "Section1", "Section1")

"""The proofs: every theorem has one, and every number quoted in it is right.

Their algebra is declared with the theorems (``Theorem.derivations``) and run by test_theorems.py.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import minimize_scalar

from bomrl_theory.numbers import FLOATS
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import load_family, load_policy
from bomrl_theory.tasks.policy import check_policy
from bomrl_theory.theorems.contraction_kl_prior import GAIN, SHARE, SMALLER_ROOT, WEIGHT, E
from bomrl_theory.theorems.published_bound import ADVANTAGE, DISCOUNT, STAY
from bomrl_theory.theorems.task_variance import mismatch, task_variance
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E1, E3, best_eps, best_t
from bomrl_theory.theory.draws import random_policy
from bomrl_theory.theory.expression import plain
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.symbolic import Evaluated, Task, policy
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.random_cases import random_cases, random_family
from bomrl_theory.verify.verdict import Outcome, judge

ROOT = Path(__file__).parents[1]
PROOFS = ROOT / "proofs"
TEMPLATE = ROOT / "bomrl_theory" / "theorems" / "_template.py"
TEXTS = sorted([*PROOFS.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
PROVED_HERE = [pytest.param(t, id=t.id) for t in registry().values() if t.own or t.proof is not None]
theorems = pytest.mark.parametrize("theorem", PROVED_HERE)


# --- files ---------------------------------------------------------------------------------------


@theorems
def test_every_own_theorem_has_its_proof(theorem: Theorem) -> None:
    assert theorem.proof is not None
    path = ROOT / theorem.proof
    assert path.is_file()
    assert path.parent == PROOFS
    assert path.stem == theorem.name
    assert f"`{theorem.id}`" in path.read_text(encoding="utf-8")


def test_every_proof_belongs_to_a_theorem() -> None:
    names = {theorem.name for theorem in registry().values() if theorem.proof is not None}
    assert {path.stem for path in PROOFS.glob("*.md")} - {"README"} == names


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_formulas_survive_markdown(path: Path) -> None:
    """Markdown eats a backslash before punctuation, an odd dollar swallows the text, a bar splits a table cell."""
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
    assert not re.findall(r"\\[|,;{}#_\\]", text)
    assert text.count("$$") % 2 == 0
    for formula in re.findall(r"\$\$(.*?)\$\$", text, flags=re.S):
        assert not re.search(r"^\s*([-+*>#] |\d+[.)] )", formula, flags=re.M), (
            "a list or a quotation to Markdown: " + formula
        )
    inline = re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)
    for paragraph in inline.split("\n\n"):
        assert paragraph.count("$") % 2 == 0, paragraph
        for formula in re.findall(r"\$(.*?)\$", paragraph, flags=re.S):
            assert formula.count("{") == formula.count("}"), formula
        if paragraph.lstrip().startswith("|"):
            assert not [f for f in re.findall(r"\$(.*?)\$", paragraph) if "|" in f], paragraph


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"\$\$.*?\$\$|\$.*?\$", "", path.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target


@theorems
def test_example_in_the_proof_is_the_witness(theorem: Theorem) -> None:
    """The table "left, bound, left / bound" shows the witness's certified values, every digit right."""
    text = (PROOFS / f"{theorem.name}.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (left|bound|left / bound) \| ([-0-9.]+) \|$", text, flags=re.M))
    verdict = judge(theorem, theorem.witness(), precise=True)[0]
    assert verdict.certified
    assert verdict.ratio is not None
    for name, value in (("left", verdict.left), ("bound", verdict.bound), ("left / bound", verdict.ratio)):
        places = len(rows[name].partition(".")[2])
        assert abs(float(rows[name]) - value) <= 0.5 * 10**-places * (1 + 1e-9), name


def test_family_file_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of docs/family_files.md, in order, and then the package's own readers."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "family_files.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        exec(block, names)
    families = [load_family(tmp_path / name) for name in ("my_family.npz", "my_family.json")]
    assert [family.name for family in families] == ["ring", "my_family"]
    assert all(family.gamma == Fraction(9, 10) for family in families)
    assert np.array_equal(families[0].P, families[1].P)
    check_policy(load_policy(tmp_path / "phi.npy"), families[0].states, families[0].actions)


# --- the template --------------------------------------------------------------------------------


def test_template_verifies_and_its_mutation_is_refuted() -> None:
    theorem = theorem_named(str(TEMPLATE))
    verdict = judge(theorem, theorem.witness())[0]
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.ratio is not None
    assert verdict.ratio >= theorem.tightness
    mutation = theorem.scaled(sp.Rational(99, 100))
    assert judge(mutation, theorem.witness())[0].outcome is Outcome.VIOLATED


def test_template_holds_on_random_cases_and_is_not_registered() -> None:
    theorem = theorem_named(str(TEMPLATE))
    assert theorem.id not in registry()
    cases = [case for case in random_cases(np.random.SeedSequence(3), 25) if theorem.covers(case)]
    outcomes = {verdict.outcome for case in cases for verdict in judge(theorem, case)}
    assert outcomes == {Outcome.HOLDS}


# --- section 0: performance difference and visitation ----------------------------------------------


def test_visitation_of_the_old_policy_is_no_identity() -> None:
    """The classical mistake, told apart from the lemma (whose derivation is run with the registry)."""
    task = Task("x")
    new, old = Evaluated(task, policy("pi")), Evaluated(task, policy("phi"))
    gains = [sum(new.pi[s][a] * old.Q(s, a) for a in (0, 1)) - old.V[s] for s in (0, 1)]
    difference = old.determinant * new.J - new.determinant * old.J
    assert difference - sum(nu * gain for nu, gain in zip(new.nu, gains, strict=True)) == 0
    assert old.determinant * difference - new.determinant * sum(x * y for x, y in zip(old.nu, gains, strict=True)) != 0


# --- section 2: comparator errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [(3, sp.Rational(1, 2), sp.Rational(1, 5)), (sp.Rational(1, 9), 40, sp.Rational(9, 10))]
)
def test_closed_form_eps_is_the_minimiser(values: tuple[Any, ...]) -> None:
    """The root that the derivations speak about lies inside and beats a grid."""
    point = dict(zip((GAIN, WEIGHT, SHARE), values, strict=True))
    best = sp.N(SMALLER_ROOT.subs(point))
    assert 0 < best < 1
    objective = plain(E1).subs(point)
    smallest = sp.N(objective.subs(E, best))
    assert all(smallest <= sp.N(objective.subs(E, sp.Rational(i, 50))) for i in range(1, 51))


def test_code_minimises_the_comparator_errors() -> None:
    """best_eps and best_t against a general-purpose minimiser."""
    rng = np.random.default_rng(11)
    tried = 0
    for _ in range(12):
        family = random_family(rng)
        phi = random_policy(rng, family.states, family.actions)
        for algorithm, names, expression, upper in (
            ("kl-prior", ("a", "p", "lambda", "eps"), E1, 1.0),
            ("euclidean", ("a", "p", "ell", "A", "t"), E3, 60.0),
        ):
            case = Case.new(family, phi, algorithm, Fraction(1, 3))
            with FLOATS.activated():
                m = Measured(case, FLOATS)
                advantage, probability = m.at_star(m.phi.advantage), m.at_star(m.phi.pi)
                found = best_eps(m) if algorithm == "kl-prior" else best_t(m)
                visited, nu = m.phi.visited, m.phi.nu
            function = sp.lambdify([sp.Symbol(name, positive=True) for name in names], plain(expression), "numpy")
            for place in zip(*np.nonzero((advantage > 1e-3) & (probability > 1e-6) & visited), strict=True):
                known = [advantage[place], probability[place]]
                known += [1 / 3] if algorithm == "kl-prior" else [1 / 3 / nu[place], family.actions]
                best: Any = minimize_scalar(
                    lambda x, known=known, function=function: float(function(*known, x)),
                    bounds=(1e-12, upper),
                    method="bounded",
                    options={"xatol": 1e-10},
                )
                scale = 1 + abs(best.fun)
                assert function(*known, found[place]) <= best.fun + 1e-9 * scale
                tried += 1
    assert tried > 50


def test_corridor_examples() -> None:
    """The closed forms behind the examples of the three contraction proofs."""
    x, L = sp.symbols("x L", positive=True)
    # Alg(1), two equally likely actions: maximise x + (L/2) log(1 - 4 x^2).
    best = (sp.sqrt(L**2 + 1) - L) / 2
    assert sp.simplify(sp.diff(x + L / 2 * sp.log(1 - 4 * x**2), x).subs(x, best)) == 0
    half = sp.Rational(1, 2)
    kl = half * sp.log(half / (half + x)) + half * sp.log(half / (half - x))
    penalised = L / 2 * sp.log(1 - 4 * x**2)
    assert sp.simplify(sp.diff(-L * kl - penalised, x)) == 0
    assert (kl.subs(x, 0), penalised.subs(x, 0)) == (0, 0)
    # Alg(2): the softmax of 1/L against 0.
    softmax = sp.exp(1 / L) / (sp.exp(1 / L) + 1)
    for quantity, digits in ((best, "2.38419"), (softmax - half, "2.38419")):
        assert f"{float(sp.N(quantity.subs(L, 2**20), 30)) * 1e7:.5f}" == digits


# --- section 4: the published form ----------------------------------------------------------------------


def test_surrogate_error_needs_its_factor_for_arbitrary_policies() -> None:
    """The example of proofs/surrogate_error.md: go to state 0 and lose there; the ratio is 1 - gamma."""
    g = sp.Symbol("g", positive=True)
    reward_of_going = 1 - g / (1 - g)
    V_phi = (1 / (1 - g), sp.Integer(0))
    Q = {"good": 1 + g * V_phi[0], "bad": g * V_phi[0], "go": reward_of_going + g * V_phi[0], "stay": g * V_phi[1]}
    assert sp.simplify(Q["good"] - Q["bad"] - 1) == sp.simplify(Q["go"] - Q["stay"] - 1) == 0
    change = reward_of_going - V_phi[1]  # pi earns nothing once it is in state 0
    surrogate = (Q["go"] - V_phi[1]) / (1 - g)  # phi stays in state 1
    bound = 2 * g / (1 - g) ** 2  # Delta = 1, and pi differs from phi everywhere
    assert sp.simplify((surrogate - change) / bound - (1 - g)) == 0


def test_gather_example_has_the_ratio_of_its_formula() -> None:
    """(1+u)(1-u^2)/(2 sqrt 2 (1+u^2)) at u = 1/5, which small steps and a small discount approach."""
    u = sp.Rational(1, 5)
    formula = (1 + u) * (1 - u**2) / (2 * sp.sqrt(2) * (1 + u**2))
    theorem = theorem_named("surrogate_error_kl")
    (verdict,) = judge(theorem, theorem.witness())
    assert verdict.ratio == pytest.approx(float(formula), rel=5e-3)


def test_optimal_advantages_are_bounded_by_the_meta_policys() -> None:
    """max(V* - Q*) <= A_max (2-gamma)/(1-gamma) on random tasks, and not much less at the best of them."""
    rng = np.random.default_rng(2)
    largest = 0.0
    for _ in range(150):
        family = random_family(rng)
        case = Case.new(family, random_policy(rng, family.states, family.actions), "none")
        with FLOATS.activated():
            m = Measured(case, FLOATS)
            left = (-m.star.advantage).max(axis=(1, 2))
            g = float(family.gamma)
            right = np.abs(m.phi.advantage).max(axis=(1, 2)) * (2 - g) / (1 - g)
        assert np.all(left <= right * (1 + 1e-9) + 1e-9)
        largest = max(largest, float((left[right > 1e-6] / right[right > 1e-6]).max(initial=0)))
    assert largest > 0.5


def refutation() -> dict[str, Any]:
    """Everything that the counterexample's text quotes, from the definitions, in SymPy."""
    g, weight, lam_ = sp.Rational(4, 5), sp.Rational(1, 10), sp.Rational(1, 10)
    phi_1 = sp.Rational(2**20, 2**20 + 1)
    P = {"stay": sp.Matrix([[1, 0], [0, 1]]), "leave": sp.Matrix([[0, 1], [0, 1]])}
    r = {"stay": sp.Matrix([1, 1]), "leave": sp.Matrix([0, 1])}
    rho = sp.Matrix([[1, 0]])

    def evaluate(stay: Any) -> tuple[Any, Any]:
        rows = {"stay": stay, "leave": 1 - stay}
        mixed = sum((P[x][0, :] * rows[x] for x in rows), sp.zeros(1, 2))
        system = sp.eye(2) - g * sp.Matrix.vstack(mixed, sp.Matrix([[0, 1]]))
        reward = sp.Matrix([sum(r[x][0] * rows[x] for x in rows), 1])
        return system.inv() * reward, (1 - g) * rho * system.inv()

    V, nu = evaluate(weight)
    Q = {x: r[x][0] + g * (P[x][0, :] * V)[0] for x in P}
    advantage = Q["stay"] - Q["leave"]
    growth = sp.exp(advantage / lam_)
    plus = weight * growth / (weight * growth + (1 - weight))
    V_plus, _ = evaluate(plus)
    V_star = max(evaluate(sp.Integer(1))[0][0], evaluate(sp.Integer(0))[0][0])
    gap = V_star - V_plus[0]
    factor = lam_ * (1 + g) / (1 - g)
    first, second = factor * nu[0] * sp.log(1 / weight), factor * nu[1] * sp.log(1 / phi_1)
    limit = {y: 1 / ((2 - y) * (1 - y**2)) for y in (sp.Rational(4, 5), sp.Rational(99, 100))}
    return {
        "lambda drawn": lam_,
        "lambda drawn in one panel": sp.Rational(1, 20),
        "V": V[0],
        "Q stay": Q["stay"],
        "Q leave": Q["leave"],
        "difference": advantage,
        "over lambda": advantage / lam_,
        "growth": growth,
        "pi+": plus,
        "J+": V_plus[0],
        "gap": gap,
        "nu 0": nu[0],
        "nu 1": nu[1],
        "KL 0": sp.log(1 / weight),
        "KL 1": sp.log(1 / phi_1),
        "line from 0": first,
        "line from 1": second,
        "line": first + second,
        "ratio": gap / (first + second),
        "margin": gap - first - second,
        "limit 4/5": limit[sp.Rational(4, 5)],
        "limit 99/100": limit[sp.Rational(99, 100)],
    }


REFUTATION = (PROOFS / "published_bound.md").read_text(encoding="utf-8")
BY_HAND = {"2.7183": sp.Float("2.7183"), "2.71": sp.Float("2.71"), "2.5": sp.Rational(5, 2)}
"""Decimals of the proof without a calculator: each is checked in a test of its own."""
POWERS = {"5.2": 5.2, "8.8": 8.8, "0.4901": 0.4901}


def test_refutation_quotes_exact_fractions() -> None:
    exact = refutation()
    assert exact["V"] == sp.Rational(185, 46)
    assert exact["Q stay"] == sp.Rational(97, 23)
    assert exact["Q leave"] == 4
    assert exact["over lambda"] == sp.Rational(50, 23)
    assert (exact["nu 0"], exact["nu 1"]) == (sp.Rational(5, 23), sp.Rational(18, 23))
    for fraction in (r"\frac{185}{46}", r"\frac{97}{23}", "50/23", r"\frac{5}{23}", r"\frac{18}{23}"):
        assert fraction in REFUTATION


def test_every_decimal_of_the_refutation_is_right() -> None:
    """Each decimal in the text is some quantity, correctly rounded; and the main ones are all there."""
    exact = {name: sp.N(value, 40) for name, value in refutation().items()}
    text = REFUTATION
    quoted = set(re.findall(r"(?<![\w.])\d+\.\d+", text)) - {*BY_HAND, *POWERS}

    def explains(value: Any, decimal: str) -> bool:
        places = len(decimal.partition(".")[2])
        return abs(value - sp.Rational(decimal)) <= sp.Rational(1, 2 * 10**places)

    for decimal in quoted:
        assert any(explains(value, decimal) for value in exact.values()), f"{decimal} is nothing that was computed"
    unquoted = {"Q leave"}
    for name in exact.keys() - unquoted:
        assert any(explains(exact[name], decimal) for decimal in quoted), f"{name} is not in the text"


def test_refutation_without_a_calculator() -> None:
    x = sp.Symbol("x", real=True)
    J = (4 - 3 * x) / (1 - sp.Rational(4, 5) * x)
    assert sp.simplify(sp.diff(J, x) - sp.Rational(1, 5) / (1 - sp.Rational(4, 5) * x) ** 2) == 0
    assert J.subs(x, sp.Rational(1, 2)) == sp.Rational(25, 6)
    assert Fraction("2.7183") ** 50 < Fraction("5.2e21") < Fraction("8.8e21") < 9**23
    assert Fraction("2.71") ** 5 > 12**2
    assert sp.Rational("2.71") < sp.E < sp.Rational("2.7183")
    line = Fraction(9, 10) * (Fraction(5, 23) * Fraction(5, 2) + Fraction(1, 1000))
    assert line == Fraction(45, 92) + Fraction(9, 10000)
    assert line < Fraction("0.4901")


def test_no_constant_repairs_the_published_form() -> None:
    """The lambda of the derivations, at which pi+ is even, makes a certified case."""
    P, r = [[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]], [[[1, 0], [1, 1]]]
    family = TaskFamily.new(P, r, Fraction(99, 100), [1, 0])
    here = {DISCOUNT: Fraction(99, 100), STAY: sp.Rational(1, 2**20 + 1)}
    lam_ = float(ADVANTAGE.subs(here) / sp.log(2**20))
    case = Case.new(family, [[1, 2**20], [2**52, 1]], "kl-posterior", lam_)
    verdict = judge(registry()["published_bound-v1"], case)[0]
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.ratio == pytest.approx(49.754, abs=0.01)


def hold_or_fall(discount: Fraction) -> TaskFamily:
    return TaskFamily.new([[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]], [[[1, -1], [-1, -1]]], discount, [1, 0])


def test_threshold_cannot_be_lowered_to_36_hundredths() -> None:
    """At c A_max/(1-gamma): true with the proved c, false with c = 36/100."""
    discount = Fraction(999, 1000)
    largest = 2 / (2 - discount)
    ratios = {}
    for c in ((2 - discount) / (1 + discount), Fraction(36, 100)):
        case = Case.new(hold_or_fall(discount), [[1, 1], [2**52, 1]], "kl-posterior", c * largest / (1 - discount))
        ratios[c] = judge(registry()["published_bound-v1"], case)[0]
    proved, lower = ratios.values()
    assert proved.outcome is Outcome.HOLDS
    assert proved.ratio == pytest.approx(float(1 / (2 * sp.log(2))), abs=1e-4)
    assert lower.outcome is Outcome.VIOLATED
    assert lower.ratio == pytest.approx(1.0034, abs=1e-4)


# --- section 7: task variance -----------------------------------------------------------------------------


def test_code_splits_the_divergence_into_variance_and_mismatch() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        family = random_family(rng)
        case = Case.new(family, random_policy(rng, family.states, family.actions), "kl-posterior")
        with FLOATS.activated():
            m = Measured(case, FLOATS)
            divergence = -np.log(m.at_star(m.phi.pi))
            total = (m.model.w[:, None] * m.star.nu * divergence).sum()
            assert task_variance(m) + mismatch(m) == pytest.approx(total, rel=1e-9, abs=1e-12)


def test_task_variance_constant_cannot_be_lowered() -> None:
    """The certified ratio of the family that the derivations speak about."""
    discount = 1 - Fraction(1, 10**6)
    family = TaskFamily.new([[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]], [[[1, 0], [0, 0]]], discount, [1, 0])
    case = Case.new(family, [[99, 1], [1, 1]], "kl-posterior", 64)
    verdict = judge(registry()["task_variance-v1"], case)[0]
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.ratio == pytest.approx(0.99462, abs=1e-5)

"""The proofs: every theorem has one, its algebra is right, and so is every number quoted in it."""

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
from bomrl_theory.theorems.published_bound import PUBLISHED
from bomrl_theory.theorems.published_bound_conditional import THRESHOLD
from bomrl_theory.theorems.task_variance import mismatch, task_variance
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E1, E2, E3, best_eps, best_t
from bomrl_theory.theory.constants import A_max, gamma, lam
from bomrl_theory.theory.draws import random_policy
from bomrl_theory.theory.expression import Largest
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.random_cases import random_cases, random_family
from bomrl_theory.verify.verdict import Outcome, judge

ROOT = Path(__file__).parents[1]
PROOFS = ROOT / "proofs"
TEMPLATE = ROOT / "bomrl_theory" / "theorems" / "_template.py"
TEXTS = sorted([*PROOFS.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
PROVED_HERE = [pytest.param(t, id=t.id) for t in registry().values() if t.own or t.proof is not None]
theorems = pytest.mark.parametrize("theorem", PROVED_HERE)


def same(left: Any, right: Any) -> bool:
    """Whether two expressions agree identically; logarithms of positive products are split."""
    difference = sp.expand_log(sp.sympify(left) - right, force=True)
    return sp.simplify(sp.expand(difference)) == 0


def plain(expression: Any) -> Any:
    """A bound's expression with ordinary positive symbols in place of indexed ones."""
    named = {indexed: sp.Symbol(indexed.base.name, positive=True) for indexed in expression.atoms(sp.Indexed)}
    scalars = {symbol: sp.Symbol(symbol.name, positive=True) for symbol in expression.free_symbols}
    return expression.subs(named).subs(scalars)


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


def test_performance_difference_on_a_symbolic_task() -> None:
    """Two states, two actions, everything symbolic; and the visitation's defining identities."""
    g, x0, x1, y0, y1, start = sp.symbols("g x0 x1 y0 y1 start")
    to_zero: Any = sp.Matrix(2, 2, sp.symbols("p00 p01 p10 p11"))  # P(0 | s, a)
    reward: Any = sp.Matrix(2, 2, sp.symbols("r00 r01 r10 r11"))
    rho = sp.Matrix([[start, 1 - start]])

    def evaluate(first: Any, second: Any) -> tuple[Any, Any, Any]:
        pi: Any = sp.Matrix([[first, 1 - first], [second, 1 - second]])
        zero = [sum(pi[s, a] * to_zero[s, a] for a in (0, 1)) for s in (0, 1)]
        system = sp.eye(2) - g * sp.Matrix([[z, 1 - z] for z in zero])
        inverse = system.adjugate() / sp.expand(system.det())
        V = inverse * sp.Matrix([sum(pi[s, a] * reward[s, a] for a in (0, 1)) for s in (0, 1)])
        return pi, V, (1 - g) * rho * inverse

    pi, V, nu = evaluate(x0, x1)
    _, V_old, nu_old = evaluate(y0, y1)
    gains = []
    for s in (0, 1):
        Q = [reward[s, a] + g * (to_zero[s, a] * V_old[0] + (1 - to_zero[s, a]) * V_old[1]) for a in (0, 1)]
        gains.append(sum(pi[s, a] * (Q[a] - V_old[s]) for a in (0, 1)))
    difference = (rho * (V - V_old))[0]
    assert sp.cancel((nu[0] * gains[0] + nu[1] * gains[1]) / (1 - g) - difference) == 0
    assert sp.cancel(nu[0] + nu[1] - 1) == 0
    # The visitation of the old policy in place of the new one's is the classical mistake: not an identity.
    wrong = (nu_old[0] * gains[0] + nu_old[1] * gains[1]) / (1 - g) - difference
    symbols = sorted(wrong.free_symbols, key=str)
    assert wrong.subs({symbol: sp.Rational(1, sp.prime(i + 1)) for i, symbol in enumerate(symbols)}) != 0


# --- section 2: comparator errors --------------------------------------------------------------------

a, p, reg, e = sp.symbols("a p reg e", positive=True)
EPS_OBJECTIVE = e * a + reg * (p * sp.log(p / (1 - e * (1 - p))) - (1 - p) * sp.log(e))


def test_kl_prior_comparator_is_its_definition() -> None:
    """<pi* - q, Q> and KL(phi || q) for q = (1-eps) pi* + eps phi with three actions, against the code's e_1."""
    b = sp.Symbol("b", positive=True)
    Q = sp.symbols("Q0:3")
    phi = (p, b, 1 - p - b)
    q = [1 - e + e * p, e * phi[1], e * phi[2]]
    gain = Q[0] - sum(x * y for x, y in zip(q, Q, strict=True))
    advantage = Q[0] - sum(x * y for x, y in zip(phi, Q, strict=True))
    assert same(gain, e * advantage)
    kl: Any = sum(phi[i] * sp.log(sp.factor(phi[i] / q[i])) for i in range(3))
    expected = p * sp.log(p / (1 - e * (1 - p))) - (1 - p) * sp.log(e)
    assert same(kl.subs(1 - e + e * p, 1 - e * (1 - p)), expected)
    names = {"eps": e, "a": a, "lambda": reg, "p": p}
    code = plain(E1).subs({sp.Symbol(name, positive=True): symbol for name, symbol in names.items()})
    assert sp.simplify(code - EPS_OBJECTIVE) == 0


def test_closed_form_eps_is_the_minimiser() -> None:
    h = 1 - p
    root = 2 * reg * h / (a + reg * h + sp.sqrt((a + reg * h) ** 2 - 4 * a * reg * h**2))
    quadratic = a * h * e**2 - (a + reg * h) * e + reg * h
    slope = sp.diff(EPS_OBJECTIVE, e)
    # The slope's sign is the quadratic's, reversed.
    assert sp.simplify(slope * -(e * (1 - e * h)) - quadratic) == 0
    assert sp.simplify(quadratic.subs(e, root)) == 0
    # One root in (0, 1): positive at 0, negative at 1, opening upward.
    assert sp.expand(quadratic.subs(e, 0) - reg * h) == 0
    assert sp.expand(quadratic.subs(e, 1) + a * p) == 0
    # Strictly convex: a sum of squares with positive weights.
    assert sp.simplify(sp.diff(slope, e) - reg * (p * h**2 / (1 - e * h) ** 2 + h / e**2)) == 0
    # Without an advantage the slope at 1 is a itself, so the minimiser over (0, 1] is 1.
    assert sp.simplify(slope.subs(e, 1) - a) == 0
    for point in (
        {a: 3, reg: sp.Rational(1, 2), p: sp.Rational(1, 5)},
        {a: sp.Rational(1, 9), reg: 40, p: sp.Rational(9, 10)},
    ):
        value = sp.N(root.subs(point))
        assert 0 < value < 1
        others = [sp.N(EPS_OBJECTIVE.subs(point).subs(e, sp.Rational(i, 50))) for i in range(1, 51)]
        assert all(sp.N(EPS_OBJECTIVE.subs(point).subs(e, value)) <= other for other in others)


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


def test_kl_posterior_comparator_is_its_definition() -> None:
    """KL(pi* || phi) for a deterministic pi* is -log p."""
    phi = sp.symbols("p phi1 phi2", positive=True)
    star = (1, 0, 0)
    kl = sum(x * sp.log(x / y) for x, y in zip(star, phi, strict=True) if x)
    assert same(plain(E2), sp.Symbol("lambda", positive=True) * kl)


def test_euclidean_comparator_is_its_definition() -> None:
    t, A, c, ell = sp.symbols("t A c ell", positive=True)
    b = sp.Symbol("b", positive=True)
    Q = sp.symbols("Q0:3")
    phi = (p, b, 1 - p - b)
    weights = (p * sp.exp(t), phi[1], phi[2])
    q = [x / sum(weights) for x in weights]
    gain = Q[0] - sum(x * y for x, y in zip(q, Q, strict=True))
    advantage = Q[0] - sum(x * y for x, y in zip(phi, Q, strict=True))
    assert sp.simplify(gain - advantage / (1 - p + p * sp.exp(t))) == 0
    # The gauge of the softmax: the penalty is the smallest over constant shifts c of all A logits.
    penalty = (t - c) ** 2 + (A - 1) * c**2
    (shift,) = sp.solve(sp.diff(penalty, c), c)
    assert sp.simplify(penalty.subs(c, shift) - t**2 * (1 - 1 / A)) == 0
    code = plain(E3).subs({sp.Symbol("A", positive=True): A})
    assert sp.simplify(code - (a / (1 - p + p * sp.exp(t)) + ell * t**2 * (1 - 1 / A))) == 0


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
    assert sp.simplify((softmax - half - sp.tanh(1 / (2 * L)) / 2).rewrite(sp.exp)) == 0
    for quantity, digits in ((best, "2.38419"), (softmax - half, "2.38419")):
        assert f"{float(sp.N(quantity.subs(L, 2**20), 30)) * 1e7:.5f}" == digits


# --- section 3: three-point identity ------------------------------------------------------------------


def test_three_point_identity_with_the_softmax_solution() -> None:
    f0, f1, y0, y1 = sp.symbols("f0 f1 y0 y1", positive=True)
    Q0, Q1 = sp.symbols("Q0 Q1", real=True)
    Z = sp.Symbol("Z", positive=True)
    q, phi, Q = (y0, y1), (f0, f1), (Q0, Q1)
    plus = [phi[i] * sp.exp(Q[i] / reg) / Z for i in (0, 1)]

    def kl(first: Any, second: Any) -> Any:
        return sum(first[i] * sp.expand_log(sp.log(first[i] / second[i]), force=True) for i in (0, 1))

    left = sum((q[i] - plus[i]) * Q[i] for i in (0, 1))
    right = reg * (kl(q, phi) - kl(q, plus) - kl(plus, phi))
    normaliser = f0 * sp.exp(Q0 / reg) + f1 * sp.exp(Q1 / reg)
    difference = sp.expand(sp.expand_log(left - right, force=True)).subs(y1, 1 - y0)
    assert sp.simplify(difference.subs(sp.log(Z), sp.Symbol("logZ")).subs(Z, normaliser)) == 0
    # Any policy misses the maximum reg log Z by exactly reg KL(q || softmax).
    objective = sum(q[i] * Q[i] for i in (0, 1)) - reg * kl(q, phi)
    shortfall = sp.expand(sp.expand_log(reg * sp.log(Z) - objective - reg * kl(q, plus), force=True))
    assert sp.simplify(shortfall.subs(y1, 1 - y0)) == 0


# --- section 4: the published form ----------------------------------------------------------------------


def test_published_factor_is_the_surrogate_bound_with_kappa_gamma_lambda() -> None:
    kappa = gamma.symbol * lam.symbol
    factors = [factor for factor in sp.Mul.make_args(PUBLISHED) if not factor.has(sp.Sum)]
    assert len(factors) < len(sp.Mul.make_args(PUBLISHED))
    assert sp.simplify(sp.Mul(*factors) - (lam.symbol + kappa) / (1 - gamma.symbol)) == 0


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


def test_threshold_is_what_the_proof_needs() -> None:
    """V* - Q* <= A_max/(1-gamma) + A_max, divided by 1-gamma, is the published factor at the threshold."""
    g, largest = gamma.symbol, sp.Symbol("A", positive=True)
    threshold = THRESHOLD.replace(lambda tree: isinstance(tree, Largest), lambda _: largest)
    assert A_max.symbol not in threshold.atoms(sp.Indexed)
    delta_star = largest / (1 - g) + largest
    assert sp.simplify(delta_star - largest * (2 - g) / (1 - g)) == 0
    published = threshold * (1 + g) / (1 - g)
    assert sp.simplify(published - delta_star / (1 - g)) == 0


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
    """The gap is 1/(2-gamma) when pi+ is even; the line's limit as phi(stay) tends to 0; and a certified case."""
    g, x = sp.symbols("g x", positive=True)
    J = (x + (1 - x) * g / (1 - g)) / (1 - g * x)
    assert sp.simplify(1 / (1 - g) - J.subs(x, sp.Rational(1, 2)) - 1 / (2 - g)) == 0
    difference = 1 + g * J - g / (1 - g)
    assert sp.simplify(difference.subs(x, 0) - (1 - g)) == 0
    P, r = [[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]], [[[1, 0], [1, 1]]]
    family = TaskFamily.new(P, r, Fraction(99, 100), [1, 0])
    here = {g: Fraction(99, 100), x: sp.Rational(1, 2**20 + 1)}
    lam_ = float(difference.subs(here) / sp.log(2**20))
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


def test_compensation_identity_on_two_symbolic_tasks() -> None:
    """One state, three actions, stochastic optima: E KL(pi* || phi) = Var + M, and the barycentre minimises."""
    m1, m2 = sp.symbols("m1 m2", positive=True)  # weight times visitation of each task
    x, y, phi = (sp.symbols(f"{name}0:3", positive=True) for name in "xyf")
    centre = [(m1 * x[i] + m2 * y[i]) / (m1 + m2) for i in range(3)]

    def kl(first: Any, second: Any) -> Any:
        return sum(first[i] * (sp.log(first[i]) - sp.log(second[i])) for i in range(3))

    total = m1 * kl(x, phi) + m2 * kl(y, phi)
    variance = m1 * kl(x, centre) + m2 * kl(y, centre)
    mismatched = (m1 + m2) * kl(centre, phi)
    assert sp.simplify(sp.expand(total - variance - mismatched)) == 0
    # Stationary on the simplex: the derivatives agree between actions.
    slopes = [sp.diff(total, phi[i]).subs(dict(zip(phi, centre, strict=True))) for i in range(3)]
    assert sp.simplify(slopes[0] - slopes[1]) == 0
    assert sp.simplify(slopes[0] - slopes[2]) == 0


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
    """The family of proofs/task_variance.md: its ratio formula, and its certified ratio."""
    g, x, y = sp.symbols("g x p", positive=True)
    returns = x / (1 - g * x)
    gap = 1 / (1 - g) - returns
    span = 1 + g * returns.subs(x, y)  # Q(stay) - Q(leave) under phi
    assert sp.simplify(span - 1 / (1 - g * y)) == 0
    bound = span / (1 - g) * -sp.log(y)
    formula = (1 - x) * (1 - g * y) / ((1 - g * x) * -sp.log(y))
    assert sp.simplify(gap / bound - formula) == 0
    discount = 1 - Fraction(1, 10**6)
    family = TaskFamily.new([[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]], [[[1, 0], [0, 0]]], discount, [1, 0])
    case = Case.new(family, [[99, 1], [1, 1]], "kl-posterior", 64)
    verdict = judge(registry()["task_variance-v1"], case)[0]
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.ratio == pytest.approx(0.99462, abs=1e-5)

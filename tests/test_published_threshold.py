"""The published form's threshold for lambda: the algebra of both proofs, and the limit that cannot be lowered."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from bomrl_theory.theorems.meta_policy_gap import FACTOR
from bomrl_theory.theorems.published_bound_conditional import THRESHOLD as CONDITIONAL
from bomrl_theory.theorems.published_bound_sharp import THRESHOLD as SHARP
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.small import hold_or_fall, wait_then_hold
from bomrl_theory.verify.verdict import Outcome, judge

g = sp.Symbol("g", positive=True)
x = sp.Symbol("x", nonnegative=True)
BELOW = (1 - g) * (sp.exp(x) - 1) + g * (1 - sp.exp(-x))
"""f of step 3 for x <= log 2."""
ABOVE = (1 - g) + g * (1 - sp.exp(-x))


def test_steps_of_the_proof_that_f_is_below_k_x() -> None:
    """Value and slope at 0, the value at log 2 from both sides, and where the second derivative changes sign."""
    assert BELOW.subs(x, 0) == 0
    assert sp.simplify(sp.diff(BELOW, x).subs(x, 0) - 1) == 0
    for side in (BELOW, ABOVE):
        assert sp.simplify(side.subs(x, sp.log(2)) - (1 - g / 2)) == 0
    assert sp.simplify(sp.diff(BELOW, x, 2) - ((1 - g) * sp.exp(x) - g * sp.exp(-x))) == 0
    assert sp.simplify(sp.diff(ABOVE, x) - g * sp.exp(-x)) == 0


def test_factor_is_the_supremum() -> None:
    """On a fine grid f(x)/x stays below K and comes within a thousandth of it, for every discount."""
    p = np.concatenate([np.linspace(1e-4, 1 - 1e-4, 5000), 1 - np.geomspace(1e-8, 1e-4, 50), [0.5]])
    for discount in (0.0, 0.3, 0.6, 0.61, 0.7, 0.9, 0.999):
        value = (1 - discount) * np.minimum(1, (1 - p) / p) + discount * (1 - p)
        factor = float(FACTOR.subs(gamma.symbol, sp.Float(discount, 30)))
        ratio = (value / -np.log(p)).max()
        assert factor * (1 - 1e-3) <= ratio <= factor


def test_sharp_threshold_is_never_the_larger() -> None:
    """K <= 2 - gamma, with equality in the limit gamma = 1 only."""
    for discount in (Fraction(k, 50) for k in range(50)):
        exact = sp.Rational(discount.numerator, discount.denominator)
        quotient = sp.simplify((SHARP / CONDITIONAL).subs(gamma.symbol, exact))
        assert quotient.is_Rational
        assert quotient < 1
    assert FACTOR.subs(gamma.symbol, 1) == 1
    assert float(sp.Rational(721_347_521, 10**9) - 1 / (2 * sp.log(2))) > 0


@pytest.mark.parametrize("discount", [Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(3, 5)])
def test_factor_is_attained_for_small_discounts(discount: Fraction) -> None:
    """The hold-or-fall task has equality up to what its absorbing state adds."""
    case = Case.new(hold_or_fall(discount), [[1, 1], [2**50, 1]], "none")
    (verdict,) = judge(theorem_named("meta_policy_gap"), case)
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.ratio == pytest.approx(1, abs=1e-9)


def quantities(discount: Fraction, give_up: Fraction, move: Fraction) -> dict[str, Fraction]:
    """The closed forms of the three-state family in the proof."""
    u = 1 / (2 - discount)
    v = (1 - give_up) * discount * move * u / (1 - (1 - give_up) * discount * (1 - move))
    first = (1 - discount) / (1 - discount * (1 - give_up) * (1 - move))
    return {
        "J_star": discount * move / (1 - discount + discount * move) / (1 - discount),
        "J_phi": v,
        "A_max": u,
        "nu_0": first,
        "nu_1": first * discount * (1 - give_up) * move / (1 - discount / 2),
    }


def test_closed_forms_of_the_three_state_family() -> None:
    """Each against the package, in exact rationals."""
    from helpers import evaluation, fraction

    from bomrl_theory.numbers import Rationals
    from bomrl_theory.tasks.policy import deterministic

    discount, patience = Fraction(9, 10), 16
    family = wait_then_hold(discount, patience)
    expected = quantities(discount, Fraction(1, 9), Fraction(1, patience))
    numbers = Rationals(128)
    with numbers.activated():
        phi = evaluation(family, np.array([[8.0, 1], [1, 1], [1, 1]]), numbers)
        star = evaluation(family, deterministic(np.zeros(3, dtype=int), 2), numbers)
        found = {
            "J_star": star.J[0],
            "J_phi": phi.J[0],
            "A_max": max(abs(a) for a in phi.advantage.flat),
            "nu_0": phi.nu[0, 0],
            "nu_1": phi.nu[0, 1],
        }
        assert {name: fraction(value) for name, value in found.items()} == expected


def test_limit_of_the_three_state_family() -> None:
    """Gap over line tends to 1/(2c) in SymPy, for delta = y, epsilon = y^2 and 1 - gamma = y^4."""
    y, c = sp.symbols("y c", positive=True)
    discount, give_up, move = 1 - y**4, y, y**2
    u = 1 / (2 - discount)
    first = y**4 / (1 - discount * (1 - give_up) * (1 - move))
    second = first * discount * (1 - give_up) * move / (1 - discount / 2)
    divergence = -first * sp.log(1 - give_up) + second * sp.log(2)
    line = c * u / y**4 * (1 + discount) / y**4 * divergence
    gap = discount * move / (y**4 + discount * move) / y**4
    assert sp.limit(sp.simplify(line / gap), y, 0, "+") == 2 * c


@pytest.mark.parametrize(("c", "outcome"), [("49/100", "VIOLATED"), ("499/1000", "VIOLATED"), ("501/1000", "HOLDS")])
def test_form_is_false_for_every_c_below_one_half(c: str, outcome: str) -> None:
    """Certified at gamma = 1 - 2^-40, with three states and two actions."""
    discount = 1 - Fraction(1, 2**40)
    lam = Fraction(c) / (2 - discount) / (1 - discount)
    case = Case.new(wait_then_hold(discount), [[2**10, 1], [1, 1], [2**60, 1]], "kl-posterior", lam)
    (verdict,) = judge(theorem_named("published_bound"), case)
    assert (verdict.outcome, verdict.certified) == (outcome, True)

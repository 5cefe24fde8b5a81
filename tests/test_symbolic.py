"""The symbolic tasks are decision processes, and an identity that is wrong does not vanish on them."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from bomrl_theory.theory import symbolic
from bomrl_theory.theory.symbolic import Evaluated, Task

NUMBERS = {name: Fraction(k, 41) for k, name in enumerate(sorted(symbolic._NAMED), start=3)}


def at(polynomial: object) -> sp.Expr:
    """The polynomial at the numbers."""
    named = {sp.Symbol(name): sp.Rational(value.numerator, value.denominator) for name, value in NUMBERS.items()}
    return sp.sympify(polynomial.as_expr()).subs(named)  # pyright: ignore


def test_values_and_visitations_solve_their_equations() -> None:
    """Against Bellman's equation and the flow equation, solved as linear systems at one exact point."""
    task = Task("x")
    found = Evaluated(task, symbolic.policy("pi"))
    P = sp.Matrix(2, 2, lambda s, k: at(found.P[s][k]))
    rewards = sp.Matrix([sum(at(found.pi[s][a] * task.r(s, a)) for a in (0, 1)) for s in (0, 1)])
    rho = sp.Matrix([[at(x + 0 * symbolic.w) for x in task.rho]])
    system = sp.eye(2) - at(symbolic.gamma) * P
    assert at(found.determinant) == system.det()
    assert sp.Matrix([at(x) for x in found.V]) / system.det() == system.LUsolve(rewards)
    assert sp.Matrix([at(x) for x in found.nu]) / system.det() == system.T.LUsolve(rho.T)


def test_a_wrong_identity_does_not_vanish() -> None:
    """The lemma with the other policy's visitation is false."""
    task = Task("x")
    new, old = (Evaluated(task, symbolic.policy(name)) for name in ("pi", "phi"))
    gain = [symbolic._dot(new.pi[s], [old.Q(s, a) for a in (0, 1)]) - old.V[s] for s in (0, 1)]
    right = new.J * old.determinant * old.determinant - old.J * new.determinant * old.determinant
    assert right - symbolic._dot(old.nu, gain) * new.determinant != 0
    assert new.J * old.determinant - old.J * new.determinant != 0


def test_the_identities_speak_about_every_symbol() -> None:
    """Both tasks, both policies, the weight and the discount."""
    assert len(symbolic._NAMED) == 6 + 2 * (4 + 4 + 1)
    assert {str(x) for x in Evaluated(Task("y"), symbolic.policy("phi")).J.as_expr().free_symbols} >= {
        "gamma",
        "phi0",
        "phi1",
        "rho_y",
        "r_y00",
        "P_y11",
    }

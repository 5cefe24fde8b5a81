"""Universal contraction bound for Alg^(1) (THEORY section 2, a priori form)."""

from typing import Any

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E1, INNER, eps, eta
from bomrl_theory.theory.constants import D, a, gamma, gap, lam, p, rho
from bomrl_theory.theory.expression import over_states, plain, positive, replaced
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

E, GAIN, WEIGHT, SHARE = (positive(name) for name in ("eps", "a", "lambda", "p"))
REST = 1 - SHARE
QUADRATIC = GAIN * REST * E**2 - (GAIN + WEIGHT * REST) * E + WEIGHT * REST
SMALLER_ROOT = (
    2 * WEIGHT * REST / (GAIN + WEIGHT * REST + sp.sqrt((GAIN + WEIGHT * REST) ** 2 - 4 * GAIN * WEIGHT * REST**2))
)
"""The smaller root: ``best_eps`` in theory/comparator.py."""


def _definition() -> Any:
    """``<pi* - q, Q> + lambda KL(phi || q) - e_1`` for three actions, the first of them optimal."""
    Q, second = sp.symbols("Q0:3"), positive("b")
    phi = (SHARE, second, REST - second)
    q = (1 - E * REST, E * phi[1], E * phi[2])
    gain = Q[0] - sum(x * y for x, y in zip(q, Q, strict=True))
    kl: Any = sum(x * sp.log(sp.cancel(x / y)) for x, y in zip(phi, q, strict=True))
    advantage = Q[0] - sum(x * y for x, y in zip(phi, Q, strict=True))
    return sp.expand(sp.expand_log(gain + WEIGHT * kl - plain(E1).subs(GAIN, advantage), force=True))


DERIVATIONS = (
    Derivation(
        r"$e_1$ is $\langle \pi^* - q, Q^{\phi}\rangle + \lambda \mathrm{KL}(\phi \| q)$ at"
        r" $q = (1-\epsilon) \pi^* + \epsilon \phi$ (three actions, the first optimal)",
        _definition,
    ),
    Derivation(
        r"the slope of $e_1$ in $\epsilon$ is $-(a h \epsilon^2 - (a + \lambda h) \epsilon + \lambda h)"
        r" / (\epsilon (1 - \epsilon h))$ with $h = 1-p$",
        lambda: sp.diff(plain(E1), E) * (E * (1 - E * REST)) + QUADRATIC,
    ),
    Derivation(
        r"the quadratic vanishes at $\epsilon = 2 \lambda h / (a + \lambda h + \sqrt{(a + \lambda h)^2 -"
        r" 4 a \lambda h^2})$, which the code uses",
        lambda: QUADRATIC.subs(E, SMALLER_ROOT),
    ),
    Derivation(
        r"the quadratic is $\lambda h \ge 0$ at $\epsilon = 0$, so its smaller root is not negative",
        lambda: QUADRATIC.subs(E, 0) - WEIGHT * REST,
    ),
    Derivation(
        r"the quadratic is $-a p$ at $\epsilon = 1$: for $a > 0$ exactly one root lies below 1",
        lambda: QUADRATIC.subs(E, 1) + GAIN * SHARE,
    ),
    Derivation(
        r"$e_1$ is convex in $\epsilon$: its second derivative is $\lambda (p h^2/(1-\epsilon h)^2 + h/\epsilon^2)$",
        lambda: sp.diff(plain(E1), E, 2) - WEIGHT * (SHARE * REST**2 / (1 - E * REST) ** 2 + REST / E**2),
    ),
    Derivation(
        r"its slope at $\epsilon = 1$ is $a$: for $a \le 0$ the minimiser over $(0, 1]$ is 1",
        lambda: sp.diff(plain(E1), E).subs(E, 1) - GAIN,
    ),
    Derivation(
        r"as $\lambda \to 0$ the best $\epsilon$ is $\lambda h / a$ to first order, so $e_1 \to 0$",
        lambda: sp.limit(SMALLER_ROOT / WEIGHT, WEIGHT, 0, "+") - REST / GAIN,
    ),
    Derivation(
        r"at $\gamma = 0$ the bound is the comparator error alone (exact adaptation)",
        lambda: replaced(THEOREM.bound, {gamma.symbol: 0, eta.symbol: 0}) - over_states(rho.symbol * E1),
    ),
)

THEOREM = Theorem(
    id="contraction_kl_prior-v1",
    title="Universal contraction bound, Alg^(1): KL(phi || pi)",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s) + \epsilon a(s) + \lambda"
        r" \left( p \log \frac{p}{1-\epsilon(1-p)} - (1-p) \log \epsilon \right) \right], \quad p = \phi(a^*|s)"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 1, a priori", "derived here"),
    status="proved",
    algorithms=("kl-prior",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + E1)) + INNER,
    constants=(gap, rho, gamma, D, a, lam, p, eps, eta),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-prior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_kl_prior.md",
    derivations=DERIVATIONS,
    notes="Valid for every eps in (0, 1]; the closed-form minimiser is used, as the double nearest to it.",
)

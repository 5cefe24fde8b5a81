"""Universal contraction bound for Alg^(3) (THEORY section 2, a priori form)."""

from typing import Any

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E3, INNER, actions, ell, eta, t
from bomrl_theory.theory.constants import D, a, gamma, gap, p, rho
from bomrl_theory.theory.expression import over_states, plain, positive, replaced
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

SHIFT, GAIN, SHARE, STIFFNESS, COUNT = (positive(name) for name in ("t", "a", "p", "ell", "A"))
NORMALISER = 1 - SHARE + SHARE * sp.exp(SHIFT)


def _gain() -> Any:
    """``<pi* - q, Q>`` for q = softmax(theta_phi + t e_{a*}), three actions, less ``a/(1-p+p e^t)``."""
    Q, second = sp.symbols("Q0:3"), positive("b")
    phi = (SHARE, second, 1 - SHARE - second)
    weights: Any = (SHARE * sp.exp(SHIFT), phi[1], phi[2])
    gain = Q[0] - sum(x / sum(weights) * y for x, y in zip(weights, Q, strict=True))
    advantage = Q[0] - sum(x * y for x, y in zip(phi, Q, strict=True))
    return sp.cancel(gain - advantage / NORMALISER)


def _gauge() -> Any:
    """The softmax ignores constant shifts c of a state's A logits; the penalty is the smallest over them."""
    c = positive("c")
    penalty = (SHIFT - c) ** 2 + (COUNT - 1) * c**2
    (best,) = sp.solve(sp.diff(penalty, c), c)
    return penalty.subs(c, best) - SHIFT**2 * (1 - 1 / COUNT)


DERIVATIONS = (
    Derivation(
        r"$\langle \pi^* - q, Q^{\phi}\rangle = a/(1-p+p e^t)$ at $q = \mathrm{softmax}(\theta_{\phi} + t 1_{a^*})$"
        r" (three actions, the first optimal)",
        _gain,
    ),
    Derivation(r"the squared distance of that direction, centred, is $t^2 (1 - \frac1A)$", _gauge),
    Derivation(
        r"$e_3$ is stationary exactly where $2 \frac{\lambda}{\nu^{\phi}} (1 - \frac1A) t (1-p+p e^t)^2 = a p e^t$",
        lambda: (
            sp.diff(plain(E3), SHIFT) * NORMALISER**2
            - (2 * STIFFNESS * (1 - 1 / COUNT) * SHIFT * NORMALISER**2 - GAIN * SHARE * sp.exp(SHIFT))
        ),
    ),
    Derivation(r"at $t = 0$ it is $a$", lambda: plain(E3).subs(SHIFT, 0) - GAIN),
    Derivation(
        r"its slope at $t = 0$ is $-a p$: for $a > 0$ the best $t$ is positive, for $a \le 0$ it is 0",
        lambda: sp.diff(plain(E3), SHIFT).subs(SHIFT, 0) + GAIN * SHARE,
    ),
    Derivation(
        r"as $\lambda \to 0$ the smallest $e_3$ tends to 0: without the penalty it vanishes as $t \to \infty$",
        lambda: sp.limit(plain(E3).subs(STIFFNESS, 0), SHIFT, sp.oo),
    ),
    Derivation(
        r"at $\gamma = 0$ the bound is the comparator error alone (exact adaptation)",
        lambda: replaced(THEOREM.bound, {gamma.symbol: 0, eta.symbol: 0}) - over_states(rho.symbol * E3),
    ),
)

THEOREM = Theorem(
    id="contraction_euclidean-v1",
    title="Universal contraction bound, Alg^(3): squared distance of softmax parameters",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s) + \frac{a(s)}{1-p+p e^t}"
        r" + \frac{\lambda}{\nu^{\phi}(s)} t^2 \left(1-\frac1A\right) \right], \quad p = \phi(a^*|s)"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 3, a priori", "derived here"),
    status="proved",
    algorithms=("euclidean",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + E3)) + INNER,
    constants=(gap, rho, gamma, D, a, p, t, ell, actions, eta),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "euclidean", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_euclidean.md",
    derivations=DERIVATIONS,
    notes=(
        "Valid for every t >= 0. The inner problem may have several local maxima: eta pays whenever the one found "
        "falls short of phi or of the comparator. Unvisited states stay at phi, with t = 0."
    ),
)

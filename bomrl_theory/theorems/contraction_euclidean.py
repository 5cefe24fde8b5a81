"""Universal contraction bound for Alg^(3) (THEORY section 2, a priori form)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E3, INNER, actions, ell, eta, t
from bomrl_theory.theory.constants import D, a, gamma, gap, p, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def _stationarity() -> sp.Expr:
    """The slope of e_3 in t against the condition that the best t satisfies."""
    gain, prob, x, reg, count = sp.symbols("a p t ell A", positive=True)
    plain = {a.symbol: gain, p.symbol: prob, t.symbol: x, ell.symbol: reg, actions.symbol: count}
    Z = 1 - prob + prob * sp.exp(x)
    slope = sp.diff(E3.subs(plain), x)
    return slope - (2 * reg * x * (1 - 1 / count) - gain * prob * sp.exp(x) / Z**2)


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
    notes=(
        "Valid for every t >= 0. The inner problem may have several local maxima: eta pays whenever the one found "
        "falls short of phi or of the comparator. Unvisited states stay at phi, with t = 0."
    ),
    derivations=(
        Derivation(
            r"\frac{d e_3}{d t} = 0 \iff 2 \ell t \left(1 - \frac1A\right) = \frac{a p e^t}{(1-p+p e^t)^2}",
            _stationarity,
        ),
    ),
)

"""Universal contraction bound for Alg^(1) (THEORY section 2, a priori form)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E1, INNER, eps, eta
from bomrl_theory.theory.constants import D, a, gamma, gap, lam, p, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

GAIN, REG, PROB = sp.symbols("a lambda p", positive=True)
"""Where a > 0; otherwise eps = 1."""
BEST_EPS = (
    2
    * REG
    * (1 - PROB)
    / (GAIN + REG * (1 - PROB) + sp.sqrt((GAIN + REG * (1 - PROB)) ** 2 - 4 * GAIN * REG * (1 - PROB) ** 2))
)


def _stationarity() -> sp.Expr:
    """The slope of e_1 in eps, times what it is a fraction of, against the quadratic."""
    x, h = sp.Symbol("eps", positive=True), 1 - PROB
    plain = {a.symbol: GAIN, lam.symbol: REG, p.symbol: PROB, eps.symbol: x}
    slope = sp.diff(E1.subs(plain), x)
    return slope * -x * (1 - x * h) - (GAIN * h * x**2 - (GAIN + REG * h) * x + REG * h)


def _root() -> sp.Expr:
    """The quadratic at the closed form."""
    h = 1 - PROB
    return sp.expand(sp.radsimp(GAIN * h * BEST_EPS**2 - (GAIN + REG * h) * BEST_EPS + REG * h))


def _limit() -> sp.Expr:
    """eps, and with it e_1, vanishes with lambda."""
    return sp.limit(BEST_EPS, REG, 0, "+")


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
    notes="Valid for every eps in (0, 1]; the closed-form minimiser is used, as the double nearest to it.",
    derivations=(
        Derivation(
            r"\frac{d e_1}{d \epsilon} = 0 \iff a h \epsilon^2 - (a + \lambda h) \epsilon + \lambda h = 0,"
            r" \quad h = 1-p",
            _stationarity,
        ),
        Derivation(
            r"\epsilon = \frac{2 \lambda h}{a + \lambda h + \sqrt{(a + \lambda h)^2 - 4 a \lambda h^2}}"
            r" \text{ is a root}",
            _root,
        ),
        Derivation(r"\epsilon \to 0 \text{ as } \lambda \to 0", _limit),
    ),
)

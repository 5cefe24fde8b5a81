"""Mirror descent with coverage, one step (THEORY section 3)."""

import numpy as np

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, gap_phi, lam, nu_plus, nu_star, per_state, per_task
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.symbolic import three_point
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def coverage(m: Measured) -> Numeric:
    """``max_s nu*(s)/nu+(s)`` over the states that pi* visits; pi+ has full support, so it visits them too."""
    reference = np.where(m.star.visited, m.plus.nu, m.numbers.constant(1))
    ratio = np.where(m.star.visited, m.star.nu / reference, m.model.zero)
    return m.numbers.largest(ratio, -1)


C = per_task("C", "max_s nu*(s)/nu+(s): concentrability, a posteriori", "1", coverage, positive=True)
k = per_state(
    "k",
    "KL(pi*||phi) - KL(pi*||pi+) - KL(pi+||phi), measured as <pi* - pi+, Q^phi>/lambda (three-point identity)",
    "nats",
    lambda m: (m.at_star(m.phi.Q) - m.plus.average(m.phi.Q)) / m.lam,
)
zeta = per_state(
    "zeta",
    "lambda KL(pi+ || Alg^(2)(phi)): by how much pi+ misses the maximum of its objective",
    "return",
    lambda m: m.numbers.maximum(
        m.soft_value - m.case.algorithm.objective(m.phi, m.lam, m.plus),
        m.numbers.full(m.phi.V.shape, m.model.zero),
    ),
    nonnegative=True,
)

THEOREM = Theorem(
    id="coverage-v1",
    title="Mirror descent with coverage, one step",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \left(1 - \frac1C\right)(J^* - J(\phi)) + \frac{\lambda}{C(1-\gamma)} \sum_s \nu^*(s)"
        r" \left[ \mathrm{KL}(\pi^* \| \phi) - \mathrm{KL}(\pi^* \| \pi^+) - \mathrm{KL}(\pi^+ \| \phi) \right](s)"
    ),
    source=Source(
        "bomrl_theory, after Xiao 2022, On the convergence rates of policy gradient methods",
        "theory section 3",
        "derived here",
    ),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=(1 - 1 / C.symbol) * gap_phi.symbol
    + lam.symbol / (C.symbol * (1 - gamma.symbol)) * over_states(nu_star.symbol * k.symbol)
    + over_states((nu_plus.symbol - nu_star.symbol / C.symbol) * zeta.symbol) / (1 - gamma.symbol),
    constants=(gap, C, gap_phi, lam, gamma, nu_star, nu_plus, k, zeta),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    proof="proofs/coverage.md",
    notes=(
        "A posteriori: C uses the visitation of pi+. The bracket is measured through the three-point identity, exact "
        "for the argmax and free of logarithms that underflow at small lambda; zeta pays for floating-point adaptation."
    ),
    derivations=(
        Derivation(
            r"two symbolic actions: $\langle q - \hat\pi, Q\rangle = \lambda [ \mathrm{KL}(q \| \phi)"
            r" - \mathrm{KL}(q \| \hat\pi) - \mathrm{KL}(\hat\pi \| \phi) ]$",
            three_point,
        ),
    ),
)

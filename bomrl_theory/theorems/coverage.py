"""Mirror descent with coverage, one step (THEORY section 3)."""

from typing import Any

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import (
    concentrability,
    gamma,
    gap,
    gap_phi,
    lam,
    nu_plus,
    nu_star,
    per_state,
    per_task,
)
from bomrl_theory.theory.expression import over_states, positive, replaced
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.symbolic import three_point
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

C = per_task(
    "C",
    "max_s nu*(s)/nu+(s): concentrability, a posteriori",
    "1",
    lambda m: concentrability(m, m.plus.nu),  # pi+ has full support, so it visits every state that pi* visits
    positive=True,
)
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

WEIGHT = positive("lambda")


def _two_actions() -> tuple[Any, Any, Any, Any, Any]:
    """Q, the softmax solution with log Z as a symbol, two policies, and their divergence."""
    (f, y), Q, log_z = (positive("f"), positive("y")), sp.symbols("Q0 Q1", real=True), sp.Symbol("logZ")
    phi, q = (f, 1 - f), (y, 1 - y)
    normaliser = sum(u * sp.exp(v / WEIGHT) for u, v in zip(phi, Q, strict=True))
    plus = [u * sp.exp(v / WEIGHT) / normaliser for u, v in zip(phi, Q, strict=True)]
    logs = {"phi": [sp.log(u) for u in phi], "q": [sp.log(u) for u in q]}
    logs["plus"] = [u + v / WEIGHT - log_z for u, v in zip(logs["phi"], Q, strict=True)]
    policies = {"phi": phi, "q": q, "plus": plus}

    def kl(first: str, second: str) -> Any:
        return sum(u * (v - x) for u, v, x in zip(policies[first], logs[first], logs[second], strict=True))

    return Q, policies, kl, log_z, normaliser


def _shortfall() -> Any:
    Q, policies, kl, log_z, _ = _two_actions()
    objective: Any = sum(u * v for u, v in zip(policies["q"], Q, strict=True)) - WEIGHT * kl("q", "phi")
    return sp.expand(WEIGHT * log_z - objective - WEIGHT * kl("q", "plus"))


DERIVATIONS = (
    Derivation(
        r"three-point identity (two actions): $\langle q - \hat\pi, Q^{\phi}\rangle = \lambda [\mathrm{KL}(q \| \phi)"
        r" - \mathrm{KL}(q \| \hat\pi) - \mathrm{KL}(\hat\pi \| \phi)]$ for the softmax solution $\hat\pi$",
        three_point,
    ),
    Derivation(
        r"any policy $q$ misses the maximum $\lambda \log Z$ by exactly $\lambda \mathrm{KL}(q \| \hat\pi)$"
        r" (two actions)",
        _shortfall,
    ),
    Derivation(
        r"with full coverage, $C = 1$, and exact adaptation the gap without adaptation drops out",
        lambda: (
            replaced(THEOREM.bound, {zeta.symbol: 0, C.symbol: 1})
            - lam.symbol / (1 - gamma.symbol) * over_states(nu_star.symbol * k.symbol)
        ),
    ),
    Derivation(
        r"as $C \to \infty$ nothing is left but the gap without adaptation (exact adaptation)",
        lambda: (
            replaced(THEOREM.bound, {zeta.symbol: 0, C.symbol: positive("C")}).limit(positive("C"), sp.oo)
            - gap_phi.symbol
        ),
    ),
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
    derivations=DERIVATIONS,
    notes=(
        "A posteriori: C uses the visitation of pi+. The bracket is measured through the three-point identity, exact "
        "for the argmax and free of logarithms that underflow at small lambda; zeta pays for floating-point adaptation."
    ),
)

"""Alg^(2) on an estimate, in linear-quadratic control (THEORY sections 6 and 10)."""

import sympy as sp

from bomrl_theory.theory.constants import gamma, gap, lam
from bomrl_theory.theory.expression import Expr
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.quadratic import D_rho, KL_q, b_plus, h
from bomrl_theory.theory.small_quadratic import scalar_policy, scalar_task, task_policy
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def _witness_in_the_limit() -> Expr:
    """Left over bound at the witness as lambda falls and the adapted variance S grows; R_u = Sigma = 1."""
    lambda_, S = sp.symbols("lambda S", positive=True)
    plus = 1 / (1 + 2 / lambda_)
    b = lambda_ / 2 * (S / plus - 1 - sp.log(S / plus))
    bound = 1 + plus + lambda_ / 2 * (plus - 1 - sp.log(plus)) + 2 * b
    return sp.limit(sp.limit(2 * S / bound, lambda_, 0, "+"), S, sp.oo) - 1


THEOREM = Theorem(
    id="inexact_linear_quadratic-v1",
    title="Universal contraction bound for any adapted policy, linear-quadratic control",
    topic="adaptation",
    setting="linear-quadratic",
    statement=(
        r"J^* - J(\pi^+) \le \gamma\, \mathbb{E}_{\rho} (P_{\pi^*}(V^* - V^{\phi}))(x)"
        r" + \mathrm{tr}(H_{uu} \Sigma_0^+)"
        r" + \lambda\, \mathbb{E}_{\rho} \mathrm{KL}(\mathcal{N}(-K^* x, \Sigma_0^+) \| \mathcal{N}(-K x, \Sigma))"
        r" + \mathbb{E}_{\pi^+} \sum_{t} \gamma^t b(x_t),"
        r" \quad b(x) = \lambda\, \mathrm{KL}(\pi^+ \| \pi_0^+)(x)"
    ),
    source=Source("bomrl_theory", "theory sections 6 and 10, i = 2", "derived here"),
    status="proved",
    algorithms=("kl-posterior-sampled",),
    left=gap.symbol,
    bound=gamma.symbol * D_rho.symbol + h.symbol + lam.symbol * KL_q.symbol + b_plus.symbol,
    constants=(gap, gamma, D_rho, h, lam, KL_q, b_plus),
    witness=lambda: LinearQuadraticCase.new(
        scalar_task(gamma="1/2"), scalar_policy(0, 1), "1/16777216", adapted=task_policy(0, 2**30)
    ),
    tightness=0.9999999,
    proof="proofs/inexact_linear_quadratic.md",
    notes=(
        "pi+ is any linear-Gaussian policy that stabilises the task: adapted on a sampled critic, by finitely many "
        "steps, or trained. pi_0+ is the exact maximiser; b is what pi+ lacks of its objective, measured, not assumed."
    ),
    derivations=(
        Derivation(
            r"\text{left/bound} \to 1 \text{ at the witness as } \lambda \to 0 \text{ and then } S \to \infty",
            _witness_in_the_limit,
        ),
    ),
    probes=(
        lambda: LinearQuadraticCase.new(
            scalar_task(gamma="1/2"), scalar_policy(0, 1), 2**30, adapted=task_policy(0, 1 - 2**-29)
        ),
        lambda: LinearQuadraticCase.new(
            scalar_task(gamma=0, x=2**20), scalar_policy(1, 1), 2, adapted=task_policy(0.5, 0.5)
        ),
    ),
)

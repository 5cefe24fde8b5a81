"""Implicit differentiation with an approximate inner solution and adjoint, by residuals (Pedregosa 2016)."""

from fractions import Fraction

import numpy as np

from bomrl_theory.meta.derivatives import policy_gradient
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.bilevel import largest_size, slope_norm, slopes
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import crossroads
from bomrl_theory.theory.smoothness import dual_norm
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem


def approximation(m: Measured) -> Numeric:
    """The hypergradient at pi+ with ``w = V^phi`` and ``v = nu^phi/(1-gamma)`` as approximate solutions."""
    return (m.phi.nu / (1 - m.model.gamma))[..., None] * slopes(m.plus, m.phi.V)


def adjoint_residual(m: Measured) -> Numeric:
    """``|rho + gamma P_+^T v - v|`` with ``v = nu^phi/(1-gamma)``, the sum of absolute values."""
    v = m.phi.nu / (1 - m.model.gamma)
    residual = m.model.rho + m.model.gamma * m.numbers.dot(np.swapaxes(m.plus.P, 1, 2), v[:, None, :]) - v
    return m.numbers.maximum(residual, -residual).sum(axis=-1)


error = per_task(
    "hoag",
    "sum |h - grad J(pi+)| / 2, h from V^phi and nu^phi",
    "return",
    lambda m: dual_norm(m, approximation(m) - policy_gradient(m.plus)),
    nonnegative=True,
)
inner = per_task(
    "res_w",
    "max_s |<pi+, Q^phi> - V^phi|: residual of V^phi as the value of pi+",
    "return",
    lambda m: largest_size(m, m.plus.average(m.phi.advantage)),
    nonnegative=True,
)
adjoint = per_task(
    "res_v",
    "sum_s |rho + gamma P_+^T v - v| with v = nu^phi/(1-gamma)",
    "1",
    adjoint_residual,
    nonnegative=True,
)
L_plus = per_task(
    "L_Phi_plus",
    "max_s sum_a pi+(a|s) |A^{pi+}(s,a)| / 2: |d2 Phi| at the inner solution",
    "return",
    lambda m: slope_norm(m.plus, m.plus.V),
    nonnegative=True,
)

THEOREM = Theorem(
    id="hoag_error-v1",
    title="Implicit differentiation with inexact inner solution and linear system",
    topic="bilevel optimisation",
    statement=(
        r"\| h - \nabla f \| \le \frac{\gamma}{2(1-\gamma)^2} \| \Phi(w) - w \| + \frac{\| \partial_2 \Phi"
        r" \|}{1-\gamma}"
        r" \| \nabla E + \partial_1 \Phi^\top v - v \|,\quad w = V^{\phi},\ v = \nu^{\phi}/(1-\gamma)"
    ),
    source=Source(
        "Pedregosa 2016, Hyperparameter optimization with approximate gradient",
        "Theorem 1, whose constant is not explicit: derived for this setting",
        "reconstructed",
    ),
    status="proved",
    algorithms=ADAPTING,
    left=error.symbol,
    bound=gamma.symbol / (2 * (1 - gamma.symbol) ** 2) * inner.symbol
    + L_plus.symbol / (1 - gamma.symbol) * adjoint.symbol,
    constants=(error, inner, adjoint, L_plus, gamma),
    witness=lambda: Case.new(crossroads(), [[1, 1]] * 3, "policy-gradient", Fraction(1, 2**13)),
    tightness=0.998,
    proof="proofs/hoag_error.md",
    notes=(
        "The policy gradient at pi+ from the evaluation of phi alone: a warm start one adaptation step old. Pedregosa "
        "proves an error proportional to the tolerance of both solves. Setting and norms as in itd_error."
    ),
    steps=None,
)

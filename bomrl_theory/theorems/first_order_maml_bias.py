"""What first-order MAML leaves out (Fallah et al. 2020)."""

from bomrl_theory.meta.derivatives import hessian_product, maml_step, policy_gradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.maml import ALPHA, alpha
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import SMOOTHNESS, n, square
from bomrl_theory.theory.theorem import Source, Theorem

bias = per_task(
    "bias2",
    "|alpha Hessian(phi) grad J(theta+)|^2 with theta+ = theta + alpha grad J(theta), exactly",
    "return^2",
    lambda m: square(m, alpha(m) * hessian_product(m.phi, policy_gradient(maml_step(m.phi, alpha(m))))),
    nonnegative=True,
)
size = per_task(
    "g2_plus",
    "|grad J(theta+)|^2 with theta+ = theta + alpha grad J(theta), exactly",
    "return^2",
    lambda m: square(m, policy_gradient(maml_step(m.phi, alpha(m)))),
    nonnegative=True,
)

THEOREM = Theorem(
    id="first_order_maml_bias-v1",
    title="Bias of first-order MAML",
    topic="meta-training",
    statement=r"\| \nabla F(\theta) - \nabla J(\theta^+) \|^2 \le (\alpha L_V)^2 \| \nabla J(\theta^+) \|^2",
    source=Source(
        "Fallah, Mokhtari and Ozdaglar 2020, On the convergence theory of gradient-based model-agnostic meta-learning"
        " algorithms",
        "the estimate behind its result for first-order MAML",
        "reconstructed",
    ),
    status="proved",
    algorithms=("policy-gradient",),
    left=bias.symbol,
    bound=(ALPHA * SMOOTHNESS) ** 2 * size.symbol,
    constants=(bias, size, R, gamma, n, lam),
    witness=lambda: Case.new(two_arms(0), [[15, 4]], "policy-gradient", 2**20),
    tightness=0.592,
    proof="proofs/first_order_maml_bias.md",
    notes="Every step size. alpha = (1-gamma)/(2 lambda), L_V as in return_smoothness.",
    steps=None,
)

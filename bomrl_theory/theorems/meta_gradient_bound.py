"""Size of the hypergradient of Alg^(2) (THEORY section 8)."""

from bomrl_theory.meta.derivatives import soft_hypergradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import CHAIN, GRADIENT, dual_norm, n
from bomrl_theory.theory.theorem import Source, Theorem

size = per_task(
    "G1",
    "sum |grad F(phi)| / 2 of one task, F = J(Alg^(2)(phi)) solved exactly",
    "return",
    lambda m: dual_norm(m, soft_hypergradient(m.phi, m.lam)[1]),
    nonnegative=True,
)

THEOREM = Theorem(
    id="meta_gradient_bound-v1",
    title="Size of the hypergradient, Alg^(2)",
    topic="meta-training",
    statement=(
        r"\frac12 \sum_{s,a} \left| \frac{\partial F}{\partial \theta(s,a)} \right| \le (1 + \kappa) G,\quad"
        r" G = \frac{R}{4(1-\gamma)} \min\left(n, \sqrt{\tfrac{1+\gamma}{1-\gamma}}\right),\quad \kappa ="
        r" \frac{\gamma R}{4\lambda(1-\gamma)} \min\left(n, 2\sqrt{\tfrac{1+\gamma}{1-\gamma}}\right)"
    ),
    source=Source("bomrl_theory", "theory section 8, hypergradient for i = 2", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=size.symbol,
    bound=(1 + CHAIN) * GRADIENT,
    constants=(size, R, gamma, n, lam),
    witness=lambda: Case.new(two_arms(0), [[1, 1]], "kl-posterior", 2**20),
    tightness=0.99,
    proof="proofs/meta_gradient_bound.md",
    notes="About the exact adaptation, computed in the deciding number system, not about the floating-point pi+.",
    steps=None,
)

"""Smoothness of the meta-objective of Alg^(2) (THEORY section 8, open question 4)."""

from bomrl_theory.meta.derivatives import soft_hypergradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import META_SMOOTHNESS, difference, distance, n, square
from bomrl_theory.theory.theorem import Source, Theorem

change = per_task(
    "dG2",
    "|grad F(pi+) - grad F(phi)|^2 of one task, F = J(Alg^(2)(phi)) solved exactly",
    "return^2",
    lambda m: square(m, difference(m, soft_hypergradient(m.plus, m.lam)[1], soft_hypergradient(m.phi, m.lam)[1])),
    nonnegative=True,
)

THEOREM = Theorem(
    id="meta_smoothness-v1",
    title="Smoothness of the meta-objective, Alg^(2)",
    topic="meta-training",
    statement=(
        r"\| \nabla F(\theta') - \nabla F(\theta) \|^2 \le L_F^2 \| \theta' - \theta \|^2,\quad"
        r" L_F = 2 L \left[ (1 + \kappa)^2 + \frac{2 \gamma G}{\lambda} \right],\quad L = \frac{R}{8(1-\gamma)}"
        r" \min\left( n + \frac{\gamma(n-1)}{1-\gamma},\ \frac{1 + 2\sqrt{1+\gamma}"
        r" \min(\gamma/\sqrt{1-\gamma}, \sqrt{2})}{1-\gamma} \right)"
    ),
    source=Source("bomrl_theory", "theory section 8, L_F without the number of actions", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=change.symbol,
    bound=META_SMOOTHNESS**2 * distance.symbol,
    constants=(change, R, gamma, n, lam, distance),
    witness=lambda: Case.new(two_arms(0), [[15, 4]], "kl-posterior", 2**20),
    tightness=0.592,
    proof="proofs/meta_smoothness.md",
    notes=(
        "G and kappa as in meta_gradient_bound. F is one task's; the average over tasks is smooth with the average "
        "constant. The two policies compared are phi and pi+, at both of which Alg^(2) is solved exactly."
    ),
    steps=None,
)

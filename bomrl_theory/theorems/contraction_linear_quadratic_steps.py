"""Universal contraction bound after K steps of Alg^(2) in linear-quadratic control (THEORY sections 2 and 10)."""

from bomrl_theory.theory.constants import gap
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.quadratic import C_K
from bomrl_theory.theory.small_quadratic import scalar_policy, scalar_task
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="contraction_linear_quadratic_steps-v1",
    title="Universal contraction bound, K adaptation steps, linear-quadratic control",
    topic="adaptation",
    setting="linear-quadratic",
    statement=(
        r"J^* - J(\pi_K) \le \mathbb{E}_{\rho} \left[ (\gamma P_{\pi^*})^K (V^* - V^{\phi})"
        r" + \sum_{j=0}^{K-1} (\gamma P_{\pi^*})^j e^{(K-1-j)} \right](x), \quad"
        r" e^{(k)}(x) = \mathrm{tr}(H^{(k)}_{uu} \Sigma_{k+1})"
        r" + \lambda\, \mathrm{KL}(\mathcal{N}(-K^* x, \Sigma_{k+1}) \| \mathcal{N}(-K_k x, \Sigma_k))"
    ),
    source=Source("bomrl_theory", "theory sections 2 and 10, i = 2, K steps", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=C_K.symbol,
    constants=(gap, C_K),
    witness=lambda: LinearQuadraticCase.new(scalar_task(gamma="1/2"), scalar_policy(0, 1), 2**30, steps=3),
    tightness=0.999999997,
    proof="proofs/contraction_linear_quadratic_steps.md",
    notes="With one step it is the universal contraction bound of linear-quadratic control.",
    steps=None,
)

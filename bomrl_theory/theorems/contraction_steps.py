"""Universal contraction bound after K adaptation steps (THEORY section 2)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gap, rho
from bomrl_theory.theory.draws import SEVERAL_STEPS
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.steps import D_K, E_K, I_K
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="contraction_steps-v1",
    title="Universal contraction bound, K adaptation steps",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi_K) \le \sum_s \rho(s) \left[ (\gamma P_{\pi^*})^K (V^* - V^{\phi})"
        r" + \sum_{j=0}^{K-1} (\gamma P_{\pi^*})^j e^{(K-1-j)} \right](s)"
    ),
    source=Source("bomrl_theory", "theory section 2, K steps, a posteriori, i = 1, 2, 3", "derived here"),
    status="proved",
    algorithms=("kl-prior", "kl-posterior", "euclidean"),
    left=gap.symbol,
    bound=over_states(rho.symbol * (D_K.symbol + E_K.symbol)) + I_K.symbol,
    constants=(gap, rho, D_K, E_K, I_K),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-posterior", 2**20, steps=3),
    tightness=0.999998,
    proof="proofs/contraction_steps.md",
    notes=(
        "e^(k) is the step's own comparator error, <pi* - pi_(k+1), Q^(k)> + lambda d_i(pi_k, pi_(k+1)). "
        "With one step it is the a posteriori form of the universal contraction bound."
    ),
    steps=None,
    draws=(SEVERAL_STEPS,),
)

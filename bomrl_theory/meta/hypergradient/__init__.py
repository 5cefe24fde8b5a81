"""The gradient of the meta-objective in the meta-policy's logits, by interchangeable methods."""

from bomrl_theory.meta.hypergradient.autodiff import Autodiff as Autodiff
from bomrl_theory.meta.hypergradient.closed_form import ClosedForm as ClosedForm
from bomrl_theory.meta.hypergradient.conjugate_gradient import ConjugateGradient as ConjugateGradient
from bomrl_theory.meta.hypergradient.first_order import FirstOrder as FirstOrder
from bomrl_theory.meta.hypergradient.implicit import Implicit as Implicit
from bomrl_theory.meta.hypergradient.interface import METHODS as METHODS
from bomrl_theory.meta.hypergradient.interface import Hypergradient as Hypergradient
from bomrl_theory.meta.hypergradient.interface import hypergradient as hypergradient
from bomrl_theory.meta.hypergradient.method import Method as Method
from bomrl_theory.meta.hypergradient.method import Outcome as Outcome
from bomrl_theory.meta.hypergradient.unrolled import Unrolled as Unrolled

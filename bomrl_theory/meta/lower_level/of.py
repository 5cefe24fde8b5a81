"""Which inner problem an adaptation solved."""

from __future__ import annotations

from bomrl_theory.adapt.constrained import ConstrainedStep
from bomrl_theory.errors import InvalidTask
from bomrl_theory.meta.lower_level.base import LowerLevel
from bomrl_theory.meta.lower_level.euclidean import Euclidean
from bomrl_theory.meta.lower_level.explicit import PolicyGradientStep, Unadapted
from bomrl_theory.meta.lower_level.regularised import Constrained, Regularised
from bomrl_theory.meta.objective import Adapted

KINDS: dict[str, type[LowerLevel]] = {
    "none": Unadapted,
    "kl-prior": Regularised,
    "kl-posterior": Regularised,
    "euclidean": Euclidean,
    "policy-gradient": PolicyGradientStep,
}
"""By algorithm."""


def lower_level(adapted: Adapted) -> LowerLevel:
    """The inner problem around the adapted policy; use it inside ``FLOATS.activated()``.

    Raises:
        InvalidTask: an algorithm whose derivative is not known here.
    """
    if isinstance(adapted.step, ConstrainedStep):
        return Constrained(adapted, adapted.step)
    if adapted.algorithm.name not in KINDS:
        raise InvalidTask(
            f"no derivative of '{adapted.algorithm.name}' is known; "
            f"differentiable are {', '.join(KINDS)} and the constrained forms"
        )
    return KINDS[adapted.algorithm.name](adapted)

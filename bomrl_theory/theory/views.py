"""Which measurements belong to which kind of case."""

from __future__ import annotations

from bomrl_theory.numbers import Numbers
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase, LinearQuadraticView
from bomrl_theory.theory.measured import Measured, View

VIEWS: dict[type, type[View]] = {Case: Measured, LinearQuadraticCase: LinearQuadraticView}


def view(case: AnyCase, numbers: Numbers) -> View:
    """The quantities of a case in one number system."""
    return VIEWS[type(case)](case, numbers)

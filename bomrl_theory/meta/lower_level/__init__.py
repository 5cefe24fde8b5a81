"""First-order conditions of each algorithm's inner problem, around the adapted policy."""

from bomrl_theory.meta.lower_level.base import LowerLevel as LowerLevel
from bomrl_theory.meta.lower_level.base import Solution as Solution
from bomrl_theory.meta.lower_level.of import lower_level as lower_level

"""Continuous control with a known optimum: linear dynamics, quadratic costs, Gaussian policies (THEORY section 10)."""

from bomrl_theory.linear_quadratic.model import Model as Model
from bomrl_theory.linear_quadratic.policy import GaussianPolicy as GaussianPolicy
from bomrl_theory.linear_quadratic.random import random_family as random_family
from bomrl_theory.linear_quadratic.random import random_meta_policy as random_meta_policy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily as LinearQuadraticFamily

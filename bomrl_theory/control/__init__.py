"""Continuous control in torch: the algorithm where the optimum is known, then where it is not.

Needs the extra ``torch``; locomotion also needs the extra ``mujoco``.
"""

import importlib.util

from bomrl_theory.errors import MissingExtra

if importlib.util.find_spec("torch") is None:
    raise MissingExtra("torch", "torch")

"""Linear-quadratic families and policies as JSON mappings, exact round-trip.

| key | shape | meaning |
|---|---|---|
| ``A``, ``B``, ``W`` | [T, n, n], [T, n, m], [T, n, n] | dynamics, input, covariance of the noise |
| ``R_x``, ``R_u`` | [T, n, n], [T, m, m] | costs |
| ``gamma`` | number, or a string such as ``"4/5"`` | discount in [0, 1), exact |
| ``mu0``, ``S0`` | [T, n], [T, n, n] | mean and covariance of the start |
| ``weights`` | [T], optional | task weights, equal when left out |
| ``name`` | text, optional | how reports call the family |
"""

from __future__ import annotations

from typing import Any

from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily

REQUIRED = ("A", "B", "W", "R_x", "R_u", "gamma", "mu0", "S0")
KEYS = (*REQUIRED, "weights", "name")


def to_mapping(family: LinearQuadraticFamily) -> dict[str, Any]:
    """The family as the schema's keys, losing nothing."""
    arrays = {key: getattr(family, key).tolist() for key in (*REQUIRED, "weights") if key != "gamma"}
    return {**arrays, "gamma": str(family.gamma), "name": family.name}


def from_mapping(mapping: dict[str, Any], *, name: str) -> LinearQuadraticFamily:
    """Validate a mapping that follows the schema.

    Raises:
        InvalidTask: a key is missing, unknown or invalid.
    """
    if unknown := sorted(set(mapping) - set(KEYS)):
        raise InvalidTask(f"unknown key '{unknown[0]}'; the schema has {', '.join(KEYS)}")
    if missing := [key for key in REQUIRED if key not in mapping]:
        raise InvalidTask(f"key '{missing[0]}' is missing; the schema needs {', '.join(REQUIRED)}")
    arguments: dict[str, Any] = {key: mapping[key] for key in REQUIRED}
    return LinearQuadraticFamily.new(**arguments, weights=mapping.get("weights"), name=str(mapping.get("name", name)))


def policy_mapping(policy: GaussianPolicy) -> dict[str, Any]:
    """The policy as lists."""
    return {"K": policy.K.tolist(), "Sigma": policy.Sigma.tolist()}


def policy_from_mapping(mapping: Any) -> GaussianPolicy:
    """Validate what :func:`policy_mapping` has written.

    Raises:
        InvalidTask: no object with K and Sigma, or not a policy.
    """
    if not isinstance(mapping, dict) or set(mapping) != {"K", "Sigma"}:
        raise InvalidTask("a linear-Gaussian policy is an object with the keys K and Sigma")
    return GaussianPolicy.new(mapping["K"], mapping["Sigma"])

"""Families by name: ``NAME[:key=value,...]``, or a path to a family file.

``frozen-lake-high:size=8,slip=0.1`` draws 8x8 maps; ``gymnasium:FrozenLake-v1:map_name=8x8`` reads
Gymnasium's table; a value list ``is_slippery=true|false`` gives one task for each value.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.tasks.bandit import bandit
from bomrl_theory.tasks.chain import chain
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import load_family
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.gymnasium import gymnasium_family
from bomrl_theory.tasks.mdp import exact_number
from bomrl_theory.tasks.random_dense import random_dense
from bomrl_theory.tasks.sparse_family import SparseFamily, slippery_grids, sparse_garnets


@dataclass(frozen=True)
class Entry:
    """One named family: what it is, how to draw it, and between which numbers its rewards lie (None: no bound)."""

    build: Callable[..., TaskFamily | SparseFamily]
    summary: str
    rewards: tuple[int, int] | None = None


CATALOGUE: dict[str, Entry] = {
    "frozen-lake-high": Entry(partial(frozen_lake, "high"), "Frozen Lake, absorbing holes differ by task", (-1, 1)),
    "frozen-lake-low": Entry(partial(frozen_lake, "low"), "Frozen Lake, same moves, marked tiles cost 1", (-1, 1)),
    "garnet": Entry(garnet, "generic random MDPs with a branching factor", (0, 1)),
    "chain": Entry(chain, "a chain with a tempting start", (0, 1)),
    "bandit": Entry(bandit, "multi-armed bandits, one state", (0, 1)),
    "random-dense": Entry(random_dense, "dense random MDPs, rewards of both signs"),
}
SPARSE: dict[str, Entry] = {
    "sparse-garnet": Entry(sparse_garnets, "garnet as sparse tasks, to millions of states", (0, 1)),
    "slippery-grid": Entry(slippery_grids, "sparse square grids that mix slowly, rewards by state", (0, 1)),
}
"""Families of sparse tasks: verdicts on them need no arrays [S, S], and no exact arithmetic."""
GYMNASIUM = "gymnasium"


def family_named(spec: str, rng: np.random.Generator) -> Any:
    """Draw or load the family that ``spec`` describes: a :class:`TaskFamily`, or a :class:`SparseFamily`.

    Raises:
        UnknownName: no such family (offers close names).
        InvalidFile, InvalidTask, MissingExtra: the file, a parameter or the environment is invalid.
    """
    if spec.endswith((".npz", ".json")) or (os.path.isfile(spec) and spec.split(":")[0] not in CATALOGUE | SPARSE):
        return load_family(spec)
    name, _, rest = spec.partition(":")
    if name == GYMNASIUM:
        env_id, _, rest = rest.partition(":")
        if not env_id:
            raise InvalidTask(f"'{spec}' names no environment; write for example {GYMNASIUM}:FrozenLake-v1")
        family = gymnasium_family(env_id, **_parameters(spec, rest))
    else:
        known = CATALOGUE | SPARSE
        if name not in known:
            raise UnknownName("family", name, [*known, f"{GYMNASIUM}:ENVIRONMENT"])
        build = known[name].build
        parameters = _parameters(spec, rest)
        _check_parameters(name, build, parameters)
        family = build(**parameters, rng=rng)
    if isinstance(family, SparseFamily):
        return replace(family, name=spec)
    return TaskFamily(family.P, family.r, family.gamma, family.rho, family.weights, spec, family.labels)


def _check_parameters(name: str, build: Callable[..., Any], parameters: dict[str, Any]) -> None:
    known = {p.name: p.annotation for p in inspect.signature(build).parameters.values() if p.name != "rng"}
    known.pop("variance", None)
    for key, value in parameters.items():
        if key not in known:
            raise UnknownName(f"parameter of {name}", key, known)
        if known[key] == "int" and (not isinstance(value, int) or isinstance(value, bool)):
            raise InvalidTask(f"{key} = {value!r} of {name} is not a whole number")
        if known[key] == "float":
            parameters[key] = float(exact_number(f"{key} of {name}", value))


def _parameters(spec: str, text: str) -> dict[str, Any]:
    """``"size=8,slip=0.1"`` as keyword arguments."""
    parameters: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise InvalidTask(f"'{spec}': '{item}' is not key=value")
        # A decimal gamma means that decimal, not the double nearest to it.
        choices = [choice if key == "gamma" else _value(choice) for choice in value.split("|")]
        parameters[key] = choices if len(choices) > 1 else choices[0]
    return parameters


def _value(text: str) -> Any:
    """A number, true/false, a fraction such as 4/5, or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return text


def describe() -> dict[str, str]:
    """Name to summary, for ``bomrl list --families``."""
    return {name: entry.summary for name, entry in (CATALOGUE | SPARSE).items()} | {
        f"{GYMNASIUM}:ENVIRONMENT": "any Gymnasium toy-text environment",
        "FILE.npz, FILE.json": "a family file (schema in the documentation)",
    }

"""What families a campaign draws: kinds with their parameters, and families by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidFile
from bomrl_theory.linear_quadratic import random as quadratic
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.tasks.catalogue import CATALOGUE, GYMNASIUM, SPARSE, family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import load_family
from bomrl_theory.tasks.mdp import check_sizes
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import Setting
from bomrl_theory.verify.random_cases import random_family
from bomrl_theory.verify.space import Space

Family = TaskFamily | SparseFamily | LinearQuadraticFamily


@dataclass(frozen=True)
class Kind:
    """A way to draw families.

    Attributes:
        build: from parameters by keyword, ``tasks`` among them, and ``rng`` to a family.
        parameters: names, each with the kind of its values: "int", "float", "discount" (exact) or "text".
        needed: parameters that must be given.
        setting: of the tasks.
        independent: tasks are drawn independently and count alike, so that n families of T tasks are drawn, and
            solved, as one of n T.
    """

    build: Callable[..., Any]
    parameters: dict[str, str]
    needed: tuple[str, ...] = ()
    setting: Setting = "tabular"
    independent: bool = True


def _box(*, tasks: int, states: int, actions: int, gamma: Any, rng: np.random.Generator) -> TaskFamily:
    """Uniform in the box of the worst-case search: ties, missing transitions, rewards of 10^-5 to 10^5."""
    check_sizes(tasks * states**2 * actions, states=states, actions=actions, tasks=tasks)
    space = Space(tasks, states, actions)
    drawn = space.decode(rng.uniform(-1, 1, (1, space.dimension)), Fraction(0), Fraction(1), "none", 1)
    return TaskFamily.new(drawn.P[0], drawn.r[0], gamma, drawn.rho[0], name="box", row_weights=True)


def _of_catalogue(name: str) -> Kind:
    build = (CATALOGUE | SPARSE)[name].build
    known = {p.name: str(p.annotation) for p in inspect.signature(build).parameters.values()}
    for fixed in ("rng", "variance"):
        known.pop(fixed, None)
    parameters = {key: value if value in ("int", "float") else "discount" for key, value in known.items()}
    # Large ones are drawn one at a time.
    return Kind(build, parameters, independent=name in CATALOGUE)


_SIZES = {"states": "int", "actions": "int", "tasks": "int", "gamma": "discount"}
KINDS: dict[str, Kind] = {
    **{name: _of_catalogue(name) for name in CATALOGUE | SPARSE},
    # Drawn together, tasks share the kind of their rows, and whatever size is not given.
    "corners": Kind(random_family, _SIZES),
    "box": Kind(_box, _SIZES, needed=("states", "actions", "gamma")),
    "linear-quadratic": Kind(
        quadratic.random_family, {**_SIZES, "varying": "text"}, setting="linear-quadratic", independent=False
    ),
}
"""``corners`` is the draw of ``bomrl verify``: ties, deterministic and sparse rows, degenerate starts."""


def named_kind(spec: str, digest: str | None) -> Kind:
    """A family by name or file as a kind without parameters; always one family at a time.

    Args:
        digest: what :func:`digest_of` said of the file, for other machines to notice another one; None for a name.
    """
    if digest is None:
        return Kind(lambda rng: family_named(spec, rng), {}, independent=False)
    return Kind(lambda rng: _loaded(spec, digest), {}, independent=False)


def is_fixed(spec: str) -> bool:
    """Whether a family by name is the same at every draw."""
    return spec.endswith((".npz", ".json")) or spec.partition(":")[0] == GYMNASIUM


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InvalidFile: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror}") from None


@cache
def _loaded(path: str, digest: str) -> TaskFamily | SparseFamily:
    if digest_of(Path(path)) != digest:
        raise InvalidFile(f"{path} is not the file that the campaign began with; restore it, or begin another campaign")
    return load_family(path)

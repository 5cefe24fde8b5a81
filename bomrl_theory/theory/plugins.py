"""Theorems of other installed packages, announced under the entry-point group ``bomrl_theory.theorems``.

In the package's pyproject.toml::

    [project.entry-points."bomrl_theory.theorems"]
    my_bounds = "my_package.my_bounds"

The target is a module with ``THEOREM``, or a theorem, or several in a tuple. A target that cannot be
used is left out with a warning that names its package, because one broken package must not take all
other theorems with it; two theorems with one id are an error, because no choice between them is right.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any

from bomrl_theory.errors import BrokenPlugin, InvalidTheorem
from bomrl_theory.theory.theorem import Theorem

GROUP = "bomrl_theory.theorems"


def plugin_theorems() -> Iterator[tuple[str, Theorem]]:
    """Who announces it, and the theorem, for every usable announcement of every installed package."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry), entry.name)):
        who = f"package '{_package(entry)}' (entry point {entry.name} = {entry.value})"
        try:
            theorems = list(_theorems(entry.load()))
        except Exception as error:  # whatever another package's code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            warnings.warn(f"{who} is left out: {reason}; upgrade, repair or uninstall it", BrokenPlugin, stacklevel=2)
            continue
        yield from ((who, theorem) for theorem in theorems)


def _package(entry: Any) -> str:
    """Of an entry point, which has a class of its own where the backport of importlib.metadata is loaded."""
    return entry.dist.name if entry.dist else "unknown"


def _theorems(target: object) -> Iterable[Theorem]:
    found = getattr(target, "THEOREM", target)
    theorems = (found,) if isinstance(found, Theorem) else found
    if not isinstance(theorems, tuple | list) or not all(isinstance(theorem, Theorem) for theorem in theorems):
        raise InvalidTheorem("it is neither a theorem, nor a tuple of them, nor a module with THEOREM = Theorem(...)")
    return theorems

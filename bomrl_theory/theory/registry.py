"""Discovery: a theorem is registered by being a file in ``bomrl_theory/theorems``.

Other installed packages add theirs through an entry point (:mod:`bomrl_theory.theory.plugins`).
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from pathlib import Path

from bomrl_theory import theorems as package
from bomrl_theory.errors import InvalidTheorem, UnknownName
from bomrl_theory.theory.plugins import plugin_theorems
from bomrl_theory.theory.theorem import Theorem


@cache
def registry() -> dict[str, Theorem]:
    """Every theorem by id: the package's in alphabetical order, then those of other installed packages.

    Raises:
        InvalidTheorem: a file defines no ``THEOREM``, or one whose name differs from the file's; or two
            theorems share an id or a name.
    """
    found: dict[str, Theorem] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        if module.name.startswith("_"):
            continue
        theorem = _theorem_of(importlib.import_module(f"{package.__name__}.{module.name}"), module.name)
        if theorem.name != module.name:
            raise InvalidTheorem(f"{module.name}.py defines '{theorem.id}'; file and id must share one name")
        found[theorem.id] = theorem
    origins = {theorem.name: f"bomrl_theory ({theorem.id})" for theorem in found.values()}
    for who, theorem in plugin_theorems():
        if theorem.name in origins:
            raise InvalidTheorem(
                f"{who} announces '{theorem.id}', and so does {origins[theorem.name]}; rename one, or uninstall one"
            )
        origins[theorem.name] = f"{who} ({theorem.id})"
        found[theorem.id] = theorem
    return found


def theorem_named(name: str) -> Theorem:
    """A registered theorem by id (or by name without version), or the one in a Python file.

    Raises:
        UnknownName: no such theorem (offers close names).
        InvalidTheorem: the file cannot be used.
    """
    if name.endswith(".py"):
        return _load(Path(name))
    for theorem in registry().values():
        if name in (theorem.id, theorem.name):
            return theorem
    raise UnknownName("theorem", name, registry())


def _load(path: Path) -> Theorem:
    """The theorem that a user's file defines."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InvalidTheorem(f"cannot read {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except InvalidTheorem:
        raise
    except Exception as error:  # any error of the user's code, told with its place
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = f":{place.tb_lineno}" if place else ""
        raise InvalidTheorem(f"{path}{line}: {type(error).__name__}: {error}") from error
    return _theorem_of(module, str(path))


def _theorem_of(module: object, where: str) -> Theorem:
    theorem = getattr(module, "THEOREM", None)
    if not isinstance(theorem, Theorem):
        raise InvalidTheorem(f"{where} defines no THEOREM = Theorem(...); see theorems/_template.py")
    return theorem

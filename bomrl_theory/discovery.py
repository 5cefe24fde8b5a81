"""One file, one entry: what the modules of a package define under an agreed name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def defined(package: ModuleType, name: str, *, by_all: bool = True) -> dict[str, Any]:
    """What the modules of a package define as ``name``, each under its own ``name``.

    Args:
        by_all: every module must define one; otherwise those that do not are passed over.

    Raises:
        AttributeError: a module that must define one does not.
    """
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    found = [getattr(module, name) for module in modules if by_all or hasattr(module, name)]
    return {entry.name: entry for entry in found}

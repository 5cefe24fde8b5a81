"""The versions that a report's numbers come from."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("bomrl-theory", "numpy", "scipy", "sympy", "python-flint", "pandas", "matplotlib")


def versions() -> dict[str, str]:
    """Python's and every numerical package's version."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}

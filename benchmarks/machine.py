"""What figures were taken on: the machine, and the versions of what ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("numpy", "scipy", "numba", "python-flint", "quantecon", "pymdptoolbox", "mdpsolver", "stormpy", "torch")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def machine(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """The processor, its caches and memory, the system, and the versions of Python, BLAS and packages."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    about = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "BLAS of numpy": f"{blas['name']} {blas['version']}",
    }
    return about | {package: _version(package) for package in packages}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _caches() -> str:
    """Of the first core."""
    found = []
    for folder in sorted(CACHES.glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        found.append(f"L{level}{'' if kind == 'Unified' else kind[0].lower()} {size}")
    return ", ".join(found) or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

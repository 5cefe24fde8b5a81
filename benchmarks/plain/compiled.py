"""The policy iteration of ``policy_iteration.c``, compiled here and now by the C compiler of this machine."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("policy_iteration.c")
FLAGS = ("-std=c11", "-O3", "-march=native", "-shared", "-fPIC")
TOLERANCE = 1e-12
"""An action is changed for more than this."""

Solve = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""From P [T, S, A, S], r [T, S, A] and the discount to V [T, S]."""


def policy_iteration(*flags: str) -> Solve:
    """The compiled solver; ``flags`` go to the compiler after its own.

    Raises:
        SystemExit: ``cc`` is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "policy_iteration.so")
        try:
            subprocess.run(["cc", *FLAGS, *flags, str(SOURCE), "-o", str(library)], check=True, capture_output=True)
        except FileNotFoundError:
            raise SystemExit("not installed: a C compiler named cc") from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"cc fails on {SOURCE.name}: {error.stderr.decode().strip().splitlines()[0]}") from None
        solve_batch = ctypes.CDLL(str(library)).solve_batch
    solve_batch.restype = ctypes.c_long
    doubles, whole = np.ctypeslib.ndpointer(np.float64, flags="C"), np.ctypeslib.ndpointer(np.intc, flags="C")
    counts, numbers = [ctypes.c_long, ctypes.c_int, ctypes.c_int], [ctypes.c_double, ctypes.c_double]
    solve_batch.argtypes = [*counts, *numbers, doubles, doubles, doubles, whole]

    def solve(P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
        V, policy = np.empty(r.shape[:2]), np.empty(r.shape[:2], np.intc)
        if solve_batch(*r.shape, gamma, TOLERANCE, P, r, V, policy) < 0:
            raise MemoryError
        return V

    return solve

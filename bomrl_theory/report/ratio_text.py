"""left/bound for people."""

from __future__ import annotations

import math


def ratio_text(ratio: float | None) -> str:
    """left/bound; just below 1 by its distance from 1."""
    if ratio is None or math.isnan(ratio):
        return "–"
    if 0 < 1 - ratio < 5e-5:
        return f"1 − {1 - ratio:.1e}"
    return f"{ratio:.4g}"

"""The small histogram of each theorem, as SVG in the page's own ink and fonts.

There is one for every theorem, so it is written as a few rectangles and words: a hundred drawings by Matplotlib
would be most of a report's time and bytes.
"""

from __future__ import annotations

from html import escape

import numpy as np

from bomrl_theory.report.figures import SMALLEST_RATIO, ratio_counts
from bomrl_theory.report.table import Table

WIDTH, HEIGHT = 520, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 42
"""Margins around the bars, for the axes' labels."""


def histogram(verdicts: Table, description: str) -> str:
    """Verdicts by left side over bound on a logarithmic axis; the line marks 1, where the bound is attained."""
    edges, held, violated = ratio_counts(verdicts)
    logs = np.log10(edges)
    xs = LEFT + (WIDTH - LEFT - RIGHT) * (logs - logs[0]) / (logs[-1] - logs[0])
    largest = max(int((held + violated).max(initial=0)), 1)
    base, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP

    def at(ratio: float) -> float:
        return float(np.interp(np.log10(ratio), logs, xs))

    def bars(counts: np.ndarray, below: np.ndarray, css: str) -> str:
        shapes = [
            f"M{xs[i]:.1f} {base - room * below[i] / largest:.1f}v{-max(room * counts[i] / largest, 0.7):.1f}"
            f"H{xs[i + 1]:.1f}V{base - room * below[i] / largest:.1f}Z"
            for i in np.flatnonzero(counts)
        ]
        return f'<path class="{css}" d="{"".join(shapes)}"/>' if shapes else ""

    decades = range(round(logs[0]), round(logs[-1]) + 1)
    ticks = "".join(
        f'<line x1="{at(10.0**n):.1f}" x2="{at(10.0**n):.1f}" y1="{base}" y2="{base + 4}"/>' for n in decades
    )
    labels = "".join(f'<text x="{at(10.0**n):.1f}" y="{base + 17}">{_power(n)}</text>' for n in decades)
    parts = [
        f'<svg class="histogram" role="img" aria-label="{escape(description, quote=True)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">',
        bars(held, np.zeros_like(held), "held"),
        bars(violated, held, "violated"),
        f'<g class="axis"><line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>{ticks}',
        f'<line x1="{at(1.0):.1f}" x2="{at(1.0):.1f}" y1="{TOP - 6}" y2="{base}"/></g>',
        f'<g class="label">{labels}',
        f'<text class="end" x="{LEFT - 6}" y="{TOP + 8}">{largest:,}</text>',
        f'<text class="end" x="{LEFT - 6}" y="{base}">0</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">left side / bound (logarithmic)</text></g></svg>',
    ]
    return "".join(parts)


def _power(exponent: int) -> str:
    """Plain for 0.001 to 1000; the first bar also holds what is smaller."""
    text = f"{10.0**exponent:g}" if -3 <= exponent <= 3 else f"1e{exponent}".replace("-", "−")
    return ("≤ " if exponent <= round(np.log10(SMALLEST_RATIO)) else "") + text

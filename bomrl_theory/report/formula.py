"""LaTeX as inline SVG, rendered with Matplotlib's mathtext: no fonts, scripts or network in the page.

A formula is cut into pieces at its top-level relations and sums, so that it wraps on a narrow screen.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox

SIZE = 10.0
"""Units of one em in the drawn paths."""
FONT = FontProperties(math_fontfamily="stix")
MARGIN = 0.4
LONGEST_PIECE = 30
"""Sums are cut only where a piece would get longer than this many tokens."""
COMMANDS = {
    r"\le": r"\leq",
    r"\ge": r"\geq",
    r"\lVert": r"\|",
    r"\rVert": r"\|",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\tfrac": r"\frac",
    r"\dfrac": r"\frac",
}
IGNORED = {r"\bigl", r"\bigr", r"\Bigl", r"\Bigr", r"\big", r"\Big"}
SPACED = {r"\sum", r"\max", r"\min"}
RELATIONS = (r"\leq", r"\geq", "=", "+", "-")
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[^\\]")


def to_mathtext(latex: str) -> str:
    r"""The same formula in mathtext's dialect.

    ``\le`` becomes ``\leq``, ``\frac1C`` becomes ``\dfrac{1}{C}`` (``\frac`` inside scripts and other
    fractions), and sums and maxima keep their distance from their neighbours.
    """
    rest = [COMMANDS.get(token, token) for token in _tokens(latex) if token not in IGNORED]
    text = _translated(rest, nested=False)
    return "{}" + text if text.startswith(RELATIONS) else text


def _tokens(latex: str) -> list[str]:
    """Commands and single characters."""
    return [match[0] for match in TOKEN.finditer(latex)]


def _translated(rest: list[str], *, nested: bool) -> str:
    """Consume tokens up to the closing brace of the current group."""
    text = ""
    while rest:
        token = rest.pop(0)
        if token == "}":
            break
        if token == "{":
            text += "{" + _translated(rest, nested=nested) + "}"
        elif token == r"\frac":
            text += (r"\frac" if nested else r"\dfrac") + _argument(rest) + _argument(rest)
        elif token in ("^", "_"):
            text += token + _argument(rest)
        elif token in SPACED:
            below = ""
            while rest and rest[0] in ("^", "_"):
                below += rest.pop(0) + _argument(rest)
            text += (r"\," if text.strip() else "") + token + below + r"\,"
        else:
            text += token + (" " if token[0] == "\\" and token[1:].isalpha() else "")
    return text


def _argument(rest: list[str]) -> str:
    """The next group, or the next token in braces."""
    while rest and rest[0].isspace():
        rest.pop(0)
    if rest and rest[0] == "{":
        rest.pop(0)
        return "{" + _translated(rest, nested=True) + "}"
    return "{" + (_translated([rest.pop(0)], nested=True) if rest else "") + "}"


def pieces(latex: str) -> list[str]:
    """The formula cut before top-level relations, wide spaces and, where it is long, signs."""
    found, current, depth, length = [], "", 0, 0
    for token in _tokens(latex):
        cut = token in (r"\le", r"\leq", r"\ge", r"\geq", "=", r"\quad", r"\qquad") or (
            token in "+-" and length > LONGEST_PIECE
        )
        if depth == 0 and cut and current.strip():
            found.append(current)
            current, length = "", 0
        depth += (token in ("{", r"\left", "(", "[")) - (token in ("}", r"\right"))
        if token in ("(", "[") and current.endswith(r"\left"):
            depth -= 1  # counted with its \left
        if token in (")", "]") and not current.endswith(r"\right"):
            depth -= 1
        current += token
        length += not token.isspace()
    return [piece.removeprefix(r"\quad").removeprefix(r"\qquad").strip() for piece in (*found, current)]


@cache
def formula(latex: str) -> str:
    """Inline SVG of the formula, wrapping between its pieces; as code where mathtext cannot read it."""
    try:
        drawn = [_drawn(to_mathtext(piece)) for piece in pieces(latex)]
    except ValueError:
        return f"<code>{escape(latex)}</code>"
    label = escape(latex, quote=True)
    return f'<span class="formula" role="img" aria-label="{label}">{"".join(drawn)}</span>'


def prose(text: str) -> str:
    """Text with formulas between dollar signs, as HTML."""
    parts = text.split("$")
    return "".join(formula(part) if index % 2 else escape(part) for index, part in enumerate(parts))


_outlines: dict[str, str] = {}
"""Every character that was drawn so far: its name, and its outline as path data at :data:`SIZE`."""


def _drawn(mathtext: str) -> str:
    """One piece; the SVG is scaled in em and sits on the text's baseline. Characters are drawn by reference."""
    placed, outlines, bars = text_to_path.get_glyphs_mathtext(FONT, f"${mathtext}$")
    unit = SIZE / text_to_path.FONT_SCALE
    whole: list[Outline] = [Outline(np.asarray(points, dtype=np.float64) * unit, codes) for points, codes in bars]
    parts = [f'<path d="{_path_data(bar)}"/>' for bar in whole]
    for character, across, up, scale in placed:
        points, codes = outlines[character]
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2) * unit
        name = re.sub(r"[^A-Za-z0-9]+", "-", str(character))
        _outlines.setdefault(name, _path_data(Outline(points, codes)))
        x, y = across * unit, up * unit
        place = (
            f'x="{x:.2f}" y="{-y:.2f}"'
            if scale == 1
            else f'transform="matrix({scale:.3g} 0 0 {scale:.3g} {x:.2f} {-y:.2f})"'
        )
        parts.append(f'<use href="#glyph-{name}" {place}/>')
        whole.append(Outline(points * scale + np.array([x, y]), codes))
    box = Outline.make_compound_path(*whole).get_extents() if whole else Bbox.from_extents(0, 0, 0, 0)
    left, right = min(box.x0, 0.0), box.x1 + MARGIN
    bottom, top = box.y0 - MARGIN, box.y1 + MARGIN
    width, height = right - left, top - bottom
    return (
        f'<svg viewBox="{left:.2f} {-top:.2f} {width:.2f} {height:.2f}" aria-hidden="true" '
        f'style="width:{width / SIZE:.3f}em;height:{height / SIZE:.3f}em;vertical-align:{bottom / SIZE:.3f}em">'
        f"{''.join(parts)}</svg>"
    )


GLYPHS = "<!-- characters of formulas -->"
"""Where a page has the outlines that its formulas refer to."""


def with_glyphs(page: str) -> str:
    """The page with every character's outline once, in place of :data:`GLYPHS`, under a short name."""
    reference = re.compile(r'href="#glyph-([A-Za-z0-9-]+)"')
    short = {name: f"g{number}" for number, name in enumerate(dict.fromkeys(reference.findall(page)))}
    outlines = "".join(f'<path id="{short[name]}" d="{_outlines[name]}"/>' for name in short)
    page = reference.sub(lambda found: f'href="#{short[found[1]]}"', page)
    return page.replace(GLYPHS, f'<svg class="glyphs" aria-hidden="true"><defs>{outlines}</defs></svg>', 1)


def _path_data(outline: Outline) -> str:
    """SVG path commands, y pointing down."""
    letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
    parts = []
    for points, code in outline.iter_segments(simplify=False, curves=True):
        if code == Outline.CLOSEPOLY:
            parts.append("Z")
            continue
        numbers = " ".join(
            f"{-value:.2f}" if index % 2 else f"{value:.2f}" for index, value in enumerate(points.tolist())
        )
        parts.append(letters[code] + numbers)
    return "".join(parts)

r"""LaTeX as one line of plain text for terminals: ``\frac{\lambda}{1-\gamma}`` reads ``λ/(1-γ)``.

Covers what statements and claims of theorems use; an unknown command shows its name, so nothing is lost.
"""

from __future__ import annotations

import re

GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "varepsilon": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "varphi": "φ",
    "psi": "ψ",
    "omega": "ω",
    "Gamma": "Γ",
    "Delta": "Δ",
    "Theta": "Θ",
    "Lambda": "Λ",
    "Sigma": "Σ",
    "Phi": "Φ",
    "Omega": "Ω",
}
SIGNS = {
    "le": " ≤ ",
    "leq": " ≤ ",
    "ge": " ≥ ",
    "geq": " ≥ ",
    "ne": " ≠ ",
    "neq": " ≠ ",
    "to": " → ",
    "infty": "∞",
    "sum": "Σ",
    "prod": "Π",
    "int": "∫",
    "in": " ∈ ",
    "propto": " ∝ ",
    "approx": " ≈ ",
    "equiv": " ≡ ",
    "cdot": "·",
    "times": "×",
    "pm": "±",
    "langle": "⟨",
    "rangle": "⟩",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "lVert": "‖",
    "rVert": "‖",
    "Vert": "‖",
    "nabla": "∇",
    "partial": "∂",
    "ell": "ℓ",
    "top": "ᵀ",
    "ldots": "...",
    "dots": "...",
    "qquad": "  ",
    "quad": "  ",
    "succeq": " ⪰ ",
    "preceq": " ⪯ ",
    "sim": " ~ ",
    "mid": " | ",
    "circ": "∘",
    "bullet": "•",
    "forall": "∀",
    "exists": "∃",
}
ACCENTS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303", "overline": "\u0304", "widehat": "\u0302"}
SUPERSCRIPTS = dict(zip("0123456789+-=()niTK*", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀᴷ*", strict=True))
STYLES = {"mathrm", "text", "operatorname", "mathbf", "mathit", "textbf", "mathcal", "boldsymbol"}
IGNORED = {"left", "right", "displaystyle", "limits", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "bigg", "Bigg"}
FUNCTIONS = {"log", "exp", "max", "min", "sup", "inf", "argmax", "argmin", "cosh", "tanh", "det", "lim", "sin", "cos"}
FRACTIONS = {r"\frac", r"\tfrac", r"\dfrac"}
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|[^\\\s]")


def plain_text(latex: str) -> str:
    """One line; formulas may stand between dollar signs or be the whole text."""
    if "$" in latex:
        parts = latex.split("$")
        return _tidy("".join(_translated(part) if index % 2 else part for index, part in enumerate(parts)))
    return _tidy(_translated(latex)) if "\\" in latex else _tidy(latex)


def _tidy(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+([,.;)\]⟩}²³])", r"\1", text)
    return re.sub(r"([(\[⟨{])\s+", r"\1", text).strip()


def _translated(latex: str) -> str:
    rest = [match[0] for match in TOKEN.finditer(latex)]
    return _group(rest)


def _group(rest: list[str]) -> str:
    """Consume tokens up to the closing brace of the current group."""
    text = ""
    while rest:
        token = rest.pop(0)
        if token == "}":
            break
        text += _one(token, rest)
    return text


def _one(token: str, rest: list[str]) -> str:
    if token == "{":
        return _group(rest)
    if token in "^_":
        return _script(token, _argument(rest))
    if token.isspace():
        return " "
    if token in "=<>":
        return f" {token} "
    if not token.startswith("\\"):
        return token
    name = token[1:]
    if not name.isalpha():
        return {",": " ", ";": " ", ":": " ", "!": "", "|": " ‖ "}.get(name, name)
    if token in FRACTIONS:
        above, below = _argument(rest), _argument(rest)
        return f"{_whole(above)}/{_whole(below)}"
    if name == "sqrt":
        return f"√{_whole(_argument(rest))}"
    if name == "mathbb":
        letter = _argument(rest)
        return {"E": "E", "R": "ℝ", "P": "P"}.get(letter, letter)
    if name in STYLES:
        return _argument(rest)
    if name in ACCENTS:
        inside = _argument(rest)
        return inside + ACCENTS[name] if len(inside) == 1 else inside
    if name in IGNORED:
        if rest and rest[0] == ".":  # \left. draws nothing
            rest.pop(0)
        return ""
    if name in FUNCTIONS:
        return f" {name}" + _function_argument(rest)
    return GREEK.get(name) or SIGNS.get(name) or name


def _argument(rest: list[str]) -> str:
    """The next group or the next token."""
    while rest and rest[0].isspace():
        rest.pop(0)
    if not rest:
        return ""
    token = rest.pop(0)
    return _group(rest) if token == "{" else _one(token, rest)


def _function_argument(rest: list[str]) -> str:
    """A fraction in brackets, which the slash would otherwise tear apart; else only what keeps words apart."""
    while rest and rest[0].isspace():
        rest.pop(0)
    if not rest or rest[0] in "_^(":
        return ""
    return f"({_one(rest.pop(0), rest)})" if rest[0] in FRACTIONS else " "


def _script(mark: str, inside: str) -> str:
    inside = inside.strip()
    if mark == "^" and all(letter in SUPERSCRIPTS for letter in inside):
        return "".join(SUPERSCRIPTS[letter] for letter in inside)
    return f"{mark}{inside}" if len(inside) == 1 or inside.isalnum() else f"{mark}{{{inside}}}"


def _whole(text: str) -> str:
    """In brackets unless it is one thing."""
    text = text.strip()
    single = re.fullmatch(r"[\w*^{}∞ε-ωΑ-Ω⁰-⁹]+", text) or (text.startswith("(") and text.find(")") == len(text) - 1)
    return text if single else f"({text})"

"""LaTeX as plain text: what a terminal shows of a statement."""

from __future__ import annotations

import re

import pytest

from bomrl_theory.report.plain_text import plain_text
from bomrl_theory.theory.registry import registry


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{\lambda(1+\gamma)}{1-\gamma}", "(λ(1+γ))/(1-γ)"),
        (r"\frac1C \le \frac{\lambda}{2}", "1/C ≤ λ/2"),
        (r"p \log \frac{p}{1-p} - (1-p) \log \epsilon", "p log(p/(1-p)) - (1-p) log ε"),
        (r"\sqrt{a + b}", "√(a + b)"),
        (r"\left\| x \right\|^2", "‖ x ‖²"),
        (r"\mathbb{E}_{\nu^{\phi}} \mathrm{KL}(\pi^* \| \phi)", "E_{ν^φ} KL(π* ‖ φ)"),
        (r"\max_{s,a} x_{max}", "max_{s,a} x_max"),
        (r"\hat\pi, \bar{\phi}", "π\u0302, φ\u0304"),
        (r"where $a \to \infty$ and so on", "where a → ∞ and so on"),
        (r"\unknowncommand x", "unknowncommand x"),
        ("plain words, no formula", "plain words, no formula"),
    ],
)
def test_translation(latex: str, text: str) -> None:
    assert plain_text(latex) == text


@pytest.mark.parametrize("theorem", registry().values(), ids=lambda theorem: theorem.id)
def test_every_text_of_the_registry_is_readable(theorem) -> None:
    """No command, dollar sign or unbalanced brace is left in what lists and ``show`` print."""
    texts = [theorem.statement, *(a.statement for a in theorem.assumptions), *(d.claim for d in theorem.derivations)]
    for text in map(plain_text, texts):
        assert text
        assert not re.findall(r"[\\$]", text), text
        assert text.count("{") == text.count("}"), text
        assert "\n" not in text

"""The catalogue of theorems: current, complete, and its links lead somewhere."""

from __future__ import annotations

import re
from os.path import normpath
from pathlib import Path

import pytest

from bomrl_theory.report.catalogue import catalogue, theorem_page, topics
from bomrl_theory.theory.registry import registry

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#]+)\)")


def test_the_committed_pages_are_current() -> None:
    """Remedy: python experiments/readme.py docs/catalogue.md README.md"""
    assert catalogue(registry().values()) in (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert topics(registry().values()) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_catalogue_holds_every_theorem_once() -> None:
    page = catalogue(registry().values())
    assert sorted(re.findall(r"^\| \[`([^`]+)`\]", page, re.MULTILINE)) == sorted(registry())
    targets = LINK.findall(page)
    assert len(targets) > len(registry())
    assert [target for target in targets if not (ROOT / "docs" / target).exists()] == []


@pytest.mark.parametrize("name", sorted(registry()))
def test_a_theorem_has_a_page(name: str) -> None:
    theorem = registry()[name]
    page = theorem_page(theorem)
    assert page.startswith(f"# {theorem.title}\n")
    assert theorem.statement in page
    assert all(assumption.statement in page for assumption in theorem.assumptions)
    assert page.count("| $") == len(theorem.constants)
    targets = LINK.findall(page.partition("## What is known")[2])
    assert [target for target in targets if not (ROOT / normpath(f"docs/theorems/{target}")).exists()] == []

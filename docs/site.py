"""Hooks of ``mkdocs build``: the site mirrors the repository, shows every theorem, and has its formulas as MathML.

Pages keep their place in the repository, so that a link that works there works on the site.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bomrl_theory.report.catalogue import theorem_page
from bomrl_theory.theory.registry import registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/locomotion.md",
    "benchmarks/results.md",
    "docs/*.md",
    "proofs/*.md",
    "results/*/README.md",
)
LINKED = (
    "docs/site.css",
    "LICENSE",
    "CITATION.cff",
    "benchmarks/plain/policy_iteration.c",
    "bomrl_theory/theorems/*.py",
    "bomrl_theory/meta/learners/bo_mrl.py",
    "experiments/*.toml",
    "proofs/coq/*.v",
    "proofs/coq/statements.txt",
    "results/*.json",
    "results/*/*.png",
    "results/*/*.csv",
    "results/*/*.json",
)
"""Files that pages link to; they are copied as they are."""
LARGEST = 2**20
"""Larger ones are left out, and the links to them lead nowhere: the build says so."""
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([\[(])(.*?)\\[\])]</\1>', re.DOTALL)
LONG = 40
"""A formula of more characters may be wider than a phone, and scrolls by itself."""
COMMANDS = {r"\lVert": r"\Vert", r"\rVert": r"\Vert", r"\lvert": r"\vert", r"\rvert": r"\vert", r"\tfrac": r"\frac"}
"""What the converter does not know, by what means the same."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The repository's pages at their own places, what they link to, and a page for each theorem."""
    mirrored = Files([file for file in files if not file.is_documentation_page() and file.inclusion.is_included()])
    for file in list(mirrored):
        if file.src_uri.endswith(".py"):
            mirrored.remove(file)
    for pattern in (*PAGES, *LINKED):
        for path in sorted(ROOT.glob(pattern)):
            if path.stat().st_size <= LARGEST:
                mirrored.append(_file(config, path.relative_to(ROOT).as_posix(), path))
    for theorem in registry().values():
        page = File.generated(config, f"docs/theorems/{theorem.name}.md", content=theorem_page(theorem))
        mirrored.append(page)
    return mirrored


def _file(config: MkDocsConfig, place: str, path: Path) -> File:
    return File.generated(config, place, abs_src_path=str(path))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """On the site the catalogue leads to the theorems' pages, not to their files."""
    if page.file.src_uri == "docs/catalogue.md":
        markdown = re.sub(r"\(\.\./bomrl_theory/theorems/(\w+)\.py\)", r"(theorems/\1.md)", markdown)
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Formulas as MathML, which browsers draw without fonts or scripts from elsewhere."""
    return FORMULA.sub(_formula, html)


def _formula(found: re.Match[str]) -> str:
    latex = unescape(found[3]).strip()
    latex = re.sub(r"\\[A-Za-z]+", lambda command: COMMANDS.get(command[0], command[0]), latex)
    if found[2] == "[":
        return f'<div class="formula">{convert(latex, display="block")}</div>'
    return f'<span class="formula">{convert(latex)}</span>' if len(latex) > LONG else convert(latex)

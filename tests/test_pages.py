"""README, tutorial, page on regressions: every file, edit, command and output, made again in an empty directory."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import click
import pytest
from helpers import experiment

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
SHARE = re.compile(r"\b\d+\.\d%")
"""How often an enclosure in doubles is enough: a matter of their last bits."""
WIDTH = re.compile(r"(?<=\S)( {2,}|─+)")
"""Columns are as wide as the slowest machine's seconds."""
ARM = re.compile(r"^    state .*\n", re.MULTILINE)
"""In the case that a search ends at: which of two mirrored cases it is depends on the last bits too."""


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    """experiments/readme.py, which makes the page."""
    return experiment("readme")


def compared(block: str) -> str:
    """A transcript without what may differ between processors."""
    block = WIDTH.sub(lambda found: found[0][0] * 2, SHARE.sub("...", block))
    return ARM.sub("", block) if block.startswith("```console\n$ bomrl search") else block


@pytest.mark.parametrize(
    ("page", "transcripts"),
    [(ROOT / "README.md", 5), (TUTORIAL, 7), (ROOT / "docs" / "regress.md", 4)],
    ids=["README", "tutorial", "regress"],
)
def test_every_output_is_what_the_command_prints(readme: ModuleType, page: Path, transcripts: int) -> None:
    """All blocks in order, as a reader makes them; only durations and the search's choice among mirrored cases vary."""
    text = page.read_text(encoding="utf-8")
    shown, made = (readme.BLOCK.findall(version) for version in (text, readme.refreshed(text)))
    assert [block[1] for block in shown].count("transcript") >= transcripts
    for (_, _, argument, old, _), (_, _, _, new, _) in zip(shown, made, strict=True):
        assert compared(new) == compared(old), f"{argument}: run python experiments/readme.py"


def test_nothing_on_the_page_escapes_the_script(readme: ModuleType) -> None:
    """No code block stands outside the markers, and every replayed file is one that an output names."""
    page = TUTORIAL.read_text(encoding="utf-8")
    assert "```" not in readme.BLOCK.sub("", page)
    for name in re.findall(r"--replay (\S+)", page):
        assert page.count(name) >= 2


def test_the_page_says_what_the_outputs_say(readme: ModuleType) -> None:
    """The numbers that the text quotes, and what it calculates by hand."""
    page = TUTORIAL.read_text(encoding="utf-8")
    outputs = {block[2]: block[3] for block in reversed(readme.BLOCK.findall(page)) if block[1] == "transcript"}
    first = outputs["bomrl verify my_bound.py --cases 30"]
    text = readme.BLOCK.sub("", page)
    assert "One verdict in 168" in text
    assert "168 verdicts" in first
    assert "  left  = 1.25 " in first
    assert r"2 - \frac34 = \frac54" in text
    assert "  bound = 1 " in first
    assert r"\frac{1}{1/2} \cdot \frac12 = 1" in text
    assert "0.69" in text
    assert "0.692" in page


def test_edit_must_find_its_place(readme: ModuleType) -> None:
    """A hunk replaces its old lines where they stand once, and is refused elsewhere."""
    assert readme.edited("a\nb\nc\n", "-a\n+x\n@@\n b\n+y\n") == "x\nb\ny\nc\n"
    for text in ("b\n", "a\na\n"):
        with pytest.raises(click.ClickException, match="not once"):
            readme.edited(text, "-a\n+x\n")

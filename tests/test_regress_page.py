"""The page on regressions: every file, edit, command and output on it, made again in an empty directory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "regress.md"


def test_every_output_is_what_the_command_prints() -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "experiments" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    page = PAGE.read_text(encoding="utf-8")
    shown, made = (readme.BLOCK.findall(text) for text in (page, readme.refreshed(page)))
    assert [block[1] for block in shown].count("transcript") == 4
    for (_, _, argument, old, _), (_, _, _, new, _) in zip(shown, made, strict=True):
        assert new == old, f"{argument}: run python experiments/readme.py docs/regress.md"

"""Refresh what the README shows: transcripts and the registry's table, between their markers.

Run ``python experiments/readme.py``; with ``--check`` nothing is written and a stale README fails.
Durations differ from run to run and are shown as ``...``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from bomrl_theory.theory.registry import registry

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- (transcript|registry)(?:: (.*?))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
DURATION = re.compile(r"\d+\.\d s\b")


def transcript(command: str) -> str:
    """What a user sees who pastes ``command``; run in an empty directory, 118 columns wide."""
    program, *arguments = shlex.split(command)
    if program != "bomrl":
        raise click.ClickException(f"'{command}' is not a bomrl command")
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.run(
            [sys.executable, "-m", "bomrl_theory", *arguments],
            cwd=directory,
            env={**os.environ, "COLUMNS": "118"},
            capture_output=True,
            text=True,
        )
    if run.returncode not in (0, 1):
        raise click.ClickException(f"{command}: exit code {run.returncode}\n{run.stderr}")
    lines = [DURATION.sub("... s", line).rstrip() for line in run.stdout.strip("\n").splitlines()]
    body = "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before)
    return f"```console\n$ {command}\n{body}\n```\n"


def registry_table() -> str:
    """The registered theorems as a Markdown table."""
    rows = [
        f"| `{theorem.id}` | {theorem.title} | {theorem.status} | {theorem.source.obtained} |"
        for theorem in registry().values()
    ]
    return (
        "\n".join(["| id | what it bounds | status | how the statement was obtained |", "|---|---|---|---|", *rows])
        + "\n"
    )


def refreshed(text: str) -> str:
    """The README with every marked block made anew."""
    return BLOCK.sub(
        lambda block: block[1] + (transcript(block[3]) if block[2] == "transcript" else registry_table()) + block[5],
        text,
    )


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if the README is not current.")
def main(check: bool) -> None:
    """Refresh the README's transcripts and tables."""
    old = README.read_text(encoding="utf-8")
    new = refreshed(old)
    if check and new != old:
        raise click.ClickException("README.md is not current; run python experiments/readme.py")
    if not check:
        README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()

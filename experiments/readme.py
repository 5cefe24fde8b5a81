"""Refresh what PAGES show: transcripts, and tables of the registry, between their markers.

Run ``python experiments/readme.py``; with ``--check`` nothing is written and a stale page fails. The blocks of a page
are made in order, in one directory that is empty at first, so that a command finds the files of earlier blocks::

    <!-- file: NAME -->        the block is saved as NAME
    <!-- edit: NAME -->        the block, a diff whose hunks are parted by @@, is applied to NAME
    <!-- transcript: CMD -->   the block becomes what CMD prints
    <!-- topics -->            the block becomes a table of the registry's topics
    <!-- catalogue -->         the block becomes the tables of all registered theorems

Durations, and how many candidates fit into a search, differ from run to run or from processor to processor and are
shown as ``...``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click

from bomrl_theory.cli import run
from bomrl_theory.report.catalogue import catalogue, topics
from bomrl_theory.theory.registry import registry

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("tutorial", "regress", "catalogue", "default_run")
PAGES = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in NAMES))
INSTALLED = {"PYTEST_PLUGINS": "bomrl_theory.pytest_plugin", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
"""What pytest finds by itself where the package is installed; and no cache in the directory."""
UNSEEN = ("CI", "BUILD_NUMBER")
"""By these pytest knows continuous integration, where its summaries are longer than at a reader's desk."""
BLOCK = re.compile(r"(<!-- (transcript|topics|catalogue|file|edit)(?:: (.*?))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
VARYING = (
    (re.compile(r"\d+\.\d s\b"), "... s"),
    (re.compile(r" in \d+\.\d\ds\b"), " in ...s"),
    (re.compile(r"[\d,]+ candidates"), "... candidates"),
)


def transcript(command: str, directory: Path) -> str:
    """What a user sees who pastes ``command``; run in the directory, 118 columns wide."""
    match shlex.split(command):
        case ["bomrl", *arguments]:
            body = output(["-m", "bomrl_theory", *arguments], directory)
        case ["python", "-m", "pip", "install", "--quiet", "--editable", "."]:
            body = ""
            announce(directory)
        case ["python", *arguments]:
            body = output(arguments, directory)
        case _:
            raise click.ClickException(f"'{command}' is neither bomrl nor Python")
    return f"```console\n$ {command}\n{body}```\n"


def output(arguments: list[str], directory: Path) -> str:
    """What Python prints, without what varies and without blank lines in a row."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    seen = {name: value for name, value in os.environ.items() if name not in UNSEEN}
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**seen, "COLUMNS": "118", "PYTHONPATH": os.pathsep.join(paths), **INSTALLED},
        capture_output=True,
        text=True,
    )
    if run.returncode not in (0, 1) or (run.returncode and not run.stdout):
        raise click.ClickException(f"{shlex.join(arguments)}: exit code {run.returncode}\n{run.stderr}")
    text = run.stdout.strip("\n")
    for pattern, shown in VARYING:
        text = pattern.sub(shown, text)
    lines = [line.rstrip() for line in text.splitlines()]
    return "".join(f"{line}\n" for line, before in zip(lines, ["", *lines], strict=False) if line or before)


def announce(directory: Path) -> None:
    """The part of an editable installation that matters here, without a network: the package's metadata."""
    package = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = package["name"], package["version"]
    information = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, points in package["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {target}" for key, target in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")


def fenced(block: str) -> str:
    """The text between a block's fences."""
    return "".join(f"{line}\n" for line in block.strip("\n").splitlines()[1:-1])


def edited(text: str, diff: str) -> str:
    """The text with every hunk applied, each at the only place where its old lines stand."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] != "+")
        if text.count(old) != 1:
            raise click.ClickException(f"these lines stand {text.count(old)} times in the file, not once:\n{old}")
        text = text.replace(old, "".join(line[1:] for line in lines if line[0] != "-"))
    return text


def refreshed(text: str) -> str:
    """The page with every marked block made anew."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)

        def block(found: re.Match[str]) -> str:
            marker, kind, argument, body, end = found.groups()
            if kind == "transcript":
                body = transcript(argument, directory)
            elif kind == "topics":
                body = topics(registry().values())
            elif kind == "catalogue":
                body = catalogue(registry().values())
            elif kind == "file":
                (directory / argument).write_text(fenced(body), encoding="utf-8")
            else:
                file = directory / argument
                file.write_text(edited(file.read_text(encoding="utf-8"), fenced(body)), encoding="utf-8")
            return marker + body + end

        return BLOCK.sub(block, text)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a page is not current.")
@click.argument("pages", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(check: bool, pages: tuple[Path, ...]) -> None:
    """Refresh the transcripts and tables of PAGES, by default all of PAGES."""
    for page in pages or PAGES:
        old = page.read_text(encoding="utf-8")
        new = refreshed(old)
        if check and new != old:
            raise click.ClickException(f"{page.name} is not current; run python experiments/readme.py")
        if not check:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    run(main)

"""Constants by optimisation: how far the constants of each proved bound might be lowered on a corpus.

Writes results/constants: a readable table and constants.json. Each row is certified on its corpus and is no
theorem; a term whose constant stays at 1 has a case that needs it.

    python experiments/constants.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from bomrl_theory.cli import run
from bomrl_theory.report.notation import expression_latex
from bomrl_theory.report.plain_text import plain_text
from bomrl_theory.theory.registry import registry
from bomrl_theory.verify.admissible import admissible
from bomrl_theory.verify.random_cases import random_cases

OUTPUT = Path("results/constants")


@click.command()
@click.option("--cases", default=60, show_default=True, help="Random families in each corpus.")
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
def main(cases: int, seed: int, output: Path) -> None:
    """Optimise the constants of every proved inequality."""
    rows: dict[str, Any] = {}
    for theorem in registry().values():
        if theorem.status != "proved" or theorem.relation != "<=":
            continue
        found = admissible(theorem, random_cases(np.random.SeedSequence(seed), cases, theorem.draws))
        rows[theorem.id] = {
            "terms": {
                plain_text(expression_latex(term)): str(constant)
                for term, constant in zip(found.terms, found.constants, strict=True)
            },
            "mean": round(found.mean, 4),
            "attainable": round(found.attainable, 4),
            "cases": found.cases,
            "verdicts": found.verdicts,
            "binding": [{"case": binding.describe(), "price": round(binding.price, 4)} for binding in found.binding],
        }
        click.echo(f"{theorem.id}: {found.mean:.4f}")
    command = f"python experiments/constants.py --cases {cases} --seed {seed}"
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"command": command, "theorems": rows}, indent=1, ensure_ascii=False) + "\n"
    (output / "constants.json").write_text(text, encoding="utf-8")
    (output / "README.md").write_text(readme(command, rows), encoding="utf-8")
    click.echo(f"wrote {output}")


def readme(command: str, rows: dict[str, Any]) -> str:
    """The table."""
    lines = [
        "# Constants by optimisation",
        "",
        f"`{command}` regenerates this folder; `bomrl constants THEOREM` does it for one theorem.",
        "",
        "For each proved bound, the smallest constants before its additive terms (derived: all 1) with which every "
        "verdict on a corpus still HOLDS, certified in exact and ball arithmetic. They minimise the mean of new over "
        "derived bound. **None of this is a theorem**: it holds on the corpus. A constant below 1 is room for "
        "improvement, or for a worse case; one at 1 is needed, and the binding cases show where.",
        "",
        "| theorem | constants | mean new / derived | lowest possible | verdicts | dearest binding case |",
        "|---|---|---|---|---|---|",
    ]
    for id, row in rows.items():
        constants = "; ".join(f"{_decimal(value)} × `{_cell(term)}`" for term, value in row["terms"].items())
        dearest = row["binding"][0]["case"] if row["binding"] else "–"
        lines.append(f"| `{id}` | {constants} | {row['mean']} | {row['attainable']} | {row['verdicts']} | {dearest} |")
    return "\n".join([*lines, ""])


def _decimal(text: str) -> str:
    top, _, bottom = text.partition("/")
    return f"{int(top) / int(bottom or 1):.6f}".rstrip("0").rstrip(".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    run(main)

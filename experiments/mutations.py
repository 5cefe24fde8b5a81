"""Which constants of the proved bounds could be smaller without anybody noticing?

Every site of every proved inequality (the whole bound, each additive term, each quantity, each part of an
inner sum or maximum) is made smaller until a certified verdict turns VIOLATED on the theorem's witness, on
its probes or on a corpus of random cases. Writes results/mutations: the findings with the cases that show
them (mutations.json, which the tests replay) and a readable table.

    python experiments/mutations.py
    python experiments/mutations.py --theorem coverage --theorem no_adaptation   # the others stay as they are
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from bomrl_theory.cli import run
from bomrl_theory.report.notation import expression_latex
from bomrl_theory.report.plain_text import plain_text
from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import case_mapping
from bomrl_theory.verify.mutation import Finding, Site, best_ratio, examine
from bomrl_theory.verify.quadratic_cases import quadratic_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Outcome, judge

OUTPUT = Path("results/mutations")


def examined(theorem: Theorem) -> bool:
    """Proved inequalities; an identity is off on one side or the other by construction."""
    return theorem.status == "proved" and theorem.relation == "<="


def text_of(site: Site) -> str:
    """The site for people."""
    if site.kind == "bound":
        return "the whole bound"
    inside = "" if site.within is None else f" in {plain_text(expression_latex(site.within))}"
    return plain_text(expression_latex(site.expression)) + inside


def record(theorem: Theorem, findings: list[Finding]) -> dict[str, Any]:
    """A theorem's findings; cases that are neither witness nor probe are kept whole."""
    cases: list[dict[str, Any]] = []
    rows = []
    for finding in findings:
        where = finding.origin
        if finding.case is not None and finding.factor is not None and where.startswith("corpus"):
            mutant = finding.site.scaled(theorem, finding.factor)
            violated = next(v for v in judge(mutant, finding.case) if v.outcome is Outcome.VIOLATED)
            case = finding.case
            if theorem.separable and violated.task is not None and not case.algorithm.mixes_tasks:
                case = case.restricted((violated.task,))
            mapping = case_mapping(case, violated)
            del mapping["verdict"], mapping["origin"]
            if mapping not in cases:
                cases.append(mapping)
            where = f"case {cases.index(mapping)}"
        rows.append(
            {
                "site": finding.site.key,
                "text": text_of(finding.site),
                "outcome": finding.outcome,
                "factor": None if finding.factor is None else str(finding.factor),
                "where": where,
                "reason": finding.reason,
            }
        )
    known = [theorem.witness(), *(make() for make in theorem.probes)]
    return {"best_ratio": best_ratio(theorem, known), "sites": rows, "cases": cases}


@click.command()
@click.option("--theorem", "names", multiple=True, help="Examine this theorem alone; repeatable.")
@click.option("--families", default=60, show_default=True, help="Random families in the corpus.")
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
def main(names: tuple[str, ...], families: int, seed: int, output: Path) -> None:
    """Mutate every constant of every proved bound and record what is noticed."""
    path = output / "mutations.json"
    former = json.loads(path.read_text(encoding="utf-8"))["theorems"] if names and path.exists() else {}
    chosen = [theorem_named(name) for name in names] or [t for t in registry().values() if examined(t)]
    for theorem in chosen:
        seeds = np.random.SeedSequence(seed)
        tabular = theorem.setting == "tabular"
        corpus = random_cases(seeds, families, theorem.draws) if tabular else quadratic_cases(seeds, families)
        former[theorem.id] = record(theorem, list(examine(theorem, corpus)))
        outcomes = [row["outcome"] for row in former[theorem.id]["sites"]]
        counts = ", ".join(f"{outcomes.count(o)} {o}" for o in ("caught", "weak", "unnoticed"))
        click.echo(f"{theorem.id}: {counts}")
    known = {id: former[id] for id in registry() if id in former}
    options = ("" if families == 60 else f" --families {families}") + ("" if seed == 0 else f" --seed {seed}")
    command = f"python experiments/mutations.py{options}"
    output.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"command": command, "theorems": known}, indent=1) + "\n", encoding="utf-8")
    with replacing(output / "README.md") as temporary:
        temporary.write_text(readme(command, known), encoding="utf-8")
    click.echo(f"wrote {output}")


def readme(command: str, theorems: dict[str, Any]) -> str:
    """The table, with what is not noticed first."""
    sites = [(id, row) for id, entry in theorems.items() for row in entry["sites"]]
    counts = {
        outcome: sum(row["outcome"] == outcome for _, row in sites) for outcome in ("caught", "weak", "unnoticed")
    }
    lines = [
        "# Mutations of the bounds",
        "",
        f"`{command}` regenerates this folder; `tests/test_mutations.py` replays it.",
        "",
        "Each site of a proved bound is multiplied by a factor just below the best ratio left/bound of the theorem's "
        "witness and probes",
        "(one part in a million below it; by the inverse where a larger value tightens, as for the γ of 1 − γ).",
        "",
        f"- **caught** ({counts['caught']} of {len(sites)} sites): some case makes the mutated bound VIOLATED, "
        "certified.",
        f"- **weak** ({counts['weak']}): only a smaller factor is noticed. The constant may be improvable down to it, "
        "or the cases are weak.",
        f"- **unnoticed** ({counts['unnoticed']}): no factor that was tried is noticed on any case. Either the site "
        "pays for rounding, or it may be dispensable.",
        "",
        "## Not caught",
        "",
        "| theorem | site | outcome | noticed from | where | reason |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{id}` | {_cell(row['text'])} | {row['outcome']} | {_factor(row['factor'])} | {row['where'] or '–'} "
        f"| {row['reason']} |"
        for id, row in sites
        if row["outcome"] != "caught"
    ]
    lines += [
        "",
        "## By theorem",
        "",
        "| theorem | best ratio | sites | caught | weak | unnoticed | caught sites |",
        "|---|---|---|---|---|---|---|",
    ]
    for id, entry in theorems.items():
        rows = entry["sites"]
        numbers = [sum(row["outcome"] == outcome for row in rows) for outcome in ("caught", "weak", "unnoticed")]
        caught = "; ".join(_cell(row["text"]) for row in rows if row["outcome"] == "caught")
        lines.append(
            f"| `{id}` | {entry['best_ratio']:.7g} | {len(rows)} | {' | '.join(map(str, numbers))} | {caught or '–'} |"
        )
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`" if text != "the whole bound" else text


def _factor(text: str | None) -> str:
    return "–" if text is None else f"{float(Fraction(text)):.4g}"


if __name__ == "__main__":
    run(main)

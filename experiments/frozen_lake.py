"""Frozen Lake: return against adaptation steps, and the expected optimality gap against its bounds.

Regenerates results/frozen_lake: figures (PNG, SVG), their data (CSV) and a README with the main numbers.

    python experiments/frozen_lake.py [-o results/frozen_lake]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bomrl_theory.report import figures
from bomrl_theory.report.frozen_lake import CONFIDENCE, GAP, Settings, Study, study
from bomrl_theory.report.table import Table
from bomrl_theory.report.versions import versions
from bomrl_theory.theory.registry import registry

OUTPUT = Path("results/frozen_lake")
CONTRACTION, PUBLISHED = "contraction_kl_posterior-v1", "published_bound-v1"


def main() -> None:
    """Run the study and write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help=f"folder to write to (default {OUTPUT})")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default 0)")
    parser.add_argument("--draws", type=int, default=20, help="task families per variance setting (default 20)")
    arguments = parser.parse_args()
    lake = study(
        list(registry().values()),
        Settings(seed=arguments.seed, draws=arguments.draws),
        on_draw=lambda variance, draw: print(f"{variance} variance, family {draw + 1} of {arguments.draws}"),
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    lake.returns.to_csv(arguments.output / "returns.csv", index=False, lineterminator="\n", float_format="%.12g")
    lake.gaps.to_csv(arguments.output / "gaps.csv", index=False, lineterminator="\n", float_format="%.12g")
    for lam in lake.settings.lambdas:
        figure = figures.frozen_lake_returns(lake.returns, str(lam))
        figures.save(figure, arguments.output, f"returns_lambda_{lam.numerator}_{lam.denominator}", ("png", "svg"))
    figures.save(figures.frozen_lake_gaps(lake.gaps), arguments.output, "gaps", ("png", "svg"))
    (arguments.output / "README.md").write_text(readme(lake), encoding="utf-8")
    print(f"wrote {arguments.output}")


def readme(lake: Study) -> str:
    """What the folder holds, what regenerates it, and the main numbers."""
    settings = lake.settings
    options = "" if settings == Settings() else f" --seed {settings.seed} --draws {settings.draws}"
    lines = [
        "# Frozen Lake",
        "",
        f"`python experiments/frozen_lake.py{options}` regenerates this folder "
        f"({', '.join(f'{package} {number}' for package, number in versions().items())}).",
        "",
        f"{settings.draws} independent families of {settings.tasks} maps ({settings.size}x{settings.size}, discount "
        f"4/5) for each variance setting, seed {settings.seed}. Every family is adapted from the barycentre of its "
        f"optima with {settings.uniform_share:.0%} uniform mixed in. Brackets hold {CONFIDENCE:.0%} "
        "percentile bootstrap intervals of the mean over families; all numbers are in units of return.",
        "",
        "| task variance | λ | gap, no adaptation | gap after one Alg⁽²⁾ step | contraction bound | published form "
        "| its verdicts |",
        "|---|---|---|---|---|---|---|",
        *_rows(lake.gaps),
        "",
        "The contraction bound is certified to hold on every family. The published form, reconstructed and without a "
        "condition on λ, is refuted; the last column counts its certified verdicts.",
        "",
        "| file | content |",
        "|---|---|",
        "| `returns_lambda_*.png`, `.svg` | expected return against adaptation steps, from `returns.csv` |",
        "| `gaps.png`, `.svg` | expected gap without and after one step, with every bound on it, from `gaps.csv` |",
        "| `returns.csv`, `gaps.csv` | mean over families, interval (low, high), the first family alone (main); "
        "for bounds also how many families had which verdict |",
        "",
    ]
    return "\n".join(lines)


def _rows(gaps: Table) -> list[str]:
    table = gaps.set_index(["variance", "lambda", "algorithm", "quantity"])
    rows = []
    for variance, lam in gaps[["variance", "lambda"]].drop_duplicates().itertuples(index=False, name=None):
        cells = [
            _with_interval(table.loc[(variance, lam, algorithm, quantity)])
            for algorithm, quantity in (
                ("none", GAP),
                ("kl-posterior", GAP),
                ("kl-posterior", CONTRACTION),
                ("kl-posterior", PUBLISHED),
            )
        ]
        published = table.loc[(variance, lam, "kl-posterior", PUBLISHED)]
        verdicts = f"holds {published['holds']}, violated {published['violated']} of {published['draws']}"
        rows.append(f"| {' | '.join([variance, lam, *cells, verdicts])} |")
    return rows


def _with_interval(row: Table) -> str:
    return f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


if __name__ == "__main__":
    main()

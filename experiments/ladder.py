"""The bound ladder: every applicable bound on the expected gap beside the certified gap, on one logarithmic axis.

Regenerates results/ladder: figures (PNG, SVG) and their data (CSV), for Frozen Lake, Garnet
and a sweep of task variance.

    python experiments/ladder.py [-o results/ladder] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bomrl_theory.report import figures
from bomrl_theory.report.ladder import Settings, bound_ladders, bound_sweep, ladder
from bomrl_theory.theory.registry import registry

OUTPUT = Path("results/ladder")


def main() -> None:
    """Evaluate every bound and write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help=f"folder to write to (default {OUTPUT})")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default 0)")
    arguments = parser.parse_args()
    rungs = ladder(registry().values(), Settings(seed=arguments.seed), on_case=print)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for stem, table, figure in (
        ("bound_ladders", rungs.cases, bound_ladders(rungs.cases)),
        ("bound_sweep", rungs.sweep, bound_sweep(rungs.sweep)),
    ):
        table.to_csv(arguments.output / f"{stem}.csv", index=False, lineterminator="\n", float_format="%.12g")
        figures.save(figure, arguments.output, stem, ("png", "svg"))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()

"""The worst case of every registered theorem: how tight each bound is, by certified verdicts.

Regenerates results/search/search.json: for each theorem the best certified left/bound with its case in exact numbers,
beside the ratio of the theorem's own witness.

    python experiments/search.py [THEOREM ...] [-o results/search] [--seconds 60] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.ratio import certified_ratio
from bomrl_theory.verify.search import Search, Settings
from bomrl_theory.verify.verdict import judge

OUTPUT = Path("results/search")
SIZES = ((2, 1), (3, 1), (2, None))
"""States, and tasks (None: two where the theorem is about the family)."""


def main() -> None:
    """Search every theorem and write the table; theorems that are not named keep their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("theorems", nargs="*", help="ids or names (default: all)")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help=f"folder to write to (default {OUTPUT})")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each theorem (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default 0)")
    arguments = parser.parse_args()
    theorems = [theorem_named(name) for name in arguments.theorems] or list(registry().values())
    table = arguments.output / "search.json"
    rows: dict[str, Any] = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    arguments.output.mkdir(parents=True, exist_ok=True)
    for theorem in theorems:
        rows[theorem.id] = row(theorem, arguments.seconds, arguments.seed)
        known = {key: rows[key] for key in sorted(rows)}
        table.write_text(json.dumps(known, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(theorem.id, {key: rows[theorem.id][key] for key in ("ratio", "witness_ratio", "violated")}, flush=True)


def row(theorem: Theorem, seconds: float, seed: int) -> dict[str, Any]:
    """The best of all sizes, and the certified ratio of the theorem's witness."""
    found = [
        Search(theorem, Settings(states=states, tasks=tasks, seconds=seconds / len(SIZES), seed=seed)).run()
        for states, tasks in SIZES
    ]
    best = max(found, key=lambda one: -1.0 if one.ratio is None else one.ratio)
    ratios = [certified_ratio(verdict) for verdict in judge(theorem, theorem.witness(), precise=True)]
    return {
        **best.as_json(),
        "witness_ratio": max((ratio for ratio in ratios if ratio is not None), default=None),
        "seconds": seconds,
        "seed": seed,
    }


if __name__ == "__main__":
    main()

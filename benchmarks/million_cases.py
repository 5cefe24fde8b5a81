"""A campaign of a million certified cases on two processes: experiments/campaign.py, as it is."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import Work
from side_by_side import Problem

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "campaign.py"
PROCESSES = 2


def campaign(cases: int) -> Work:
    """With so many cases in each cell."""

    def call() -> tuple[dict[str, Any], dict[str, Any]]:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(SCRIPT), "--cases", str(cases), "--workers", str(PROCESSES)]
            places = ["--folder", str(Path(folder, "campaign")), "-o", folder]
            done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit((done.stderr.strip().splitlines() or ["no message"])[-1])
            summary, cost = (json.loads(Path(folder, name).read_text()) for name in ("summary.json", "cost.json"))
            return summary, cost

    def told(found: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, str | int]:
        summary, cost = found
        count = summary["verdicts"]
        undecided = sum(theorem["verdicts"]["UNDECIDED"] for theorem in summary["theorems"])
        shares = {name: f"{name} {decided / count:.2%}" for name, decided in summary["decided_by"].items()}
        return {
            "cases": cost["cases"],
            "cells": summary["cells"],
            "cases a second": cost["cases_a_second"],
            "µs of CPU a case": cost["cpu_microseconds_a_case"],
            "verdicts": count,
            **shares,
            "undecided": undecided,
        }

    return Work(call, told)


CAMPAIGN = Problem(
    "campaign",
    "a campaign of certified cases, {} in each cell, on two processes",
    "campaign",
    (2860, 2),
    1,
    {"ours, certified": campaign},
    "[The campaign](../experiments/campaign.toml) as `experiments/campaign.py` runs it: starting the processes, a row "
    "in Parquet for every verdict, and the summary are included. Shares are of verdicts, by what decided them. Memory "
    "is the largest process's.",
)

"""A campaign of a million cases, with what it costs: CPU seconds, rate, and memory as it goes.

Runs experiments/campaign.toml on two processes of this machine, keeps its Parquet files out of the repository and
writes ``summary.json`` and ``cost.json``. ``--cases`` makes each cell smaller, for a shorter measurement.

    python experiments/campaign.py
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import click

from bomrl_theory.campaign.backends import Processes, done_by
from bomrl_theory.campaign.chunk import Done
from bomrl_theory.campaign.command import Campaign
from bomrl_theory.campaign.store import SUMMARY
from bomrl_theory.cli import run
from bomrl_theory.tasks.files import replacing

SPEC = Path(__file__).with_suffix(".toml")
POINTS = 20
"""How often memory is looked at."""


def memory(pid: int | str) -> float:
    """Resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def children() -> list[int]:
    """The processes that this one has started."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def cpu_seconds() -> float:
    """Of this process and of those that it has started and that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@click.command()
@click.option("--cases", type=int, help="In each cell, instead of what the file says.")
@click.option("--workers", type=int, default=2, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/campaign"), show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("results/campaign"), show_default=True)
def main(cases: int | None, workers: int, folder: Path, output: Path) -> None:
    """Run the campaign and write what it found and what it cost."""
    spec = SPEC
    folder.parent.mkdir(parents=True, exist_ok=True)
    if cases is not None:
        text = SPEC.read_text(encoding="utf-8")
        (line,) = [line for line in text.splitlines() if line.startswith("cases = ")]
        spec = folder.parent / f"{folder.name}.toml"
        spec.write_text(text.replace(line, f"cases = {cases}"), encoding="utf-8")
    output.mkdir(parents=True, exist_ok=True)
    campaign = Campaign.begin(spec, folder)
    begin, cpu, count = time.monotonic(), cpu_seconds(), 0
    points: list[dict[str, float]] = []

    def told(done: Done) -> None:
        nonlocal count
        count += done.chunk.count
        if count >= campaign.cases * (len(points) + 1) / POINTS:
            workers_now = [memory(pid) for pid in children()]
            points.append({"cases": count, "first": round(memory("self")), "largest_other": round(max(workers_now))})
            click.echo(
                f"{count} of {campaign.cases} cases, {count / (time.monotonic() - begin):.0f}/s, {points[-1]}", err=True
            )

    campaign.run(done_by(Processes(workers), campaign.works()), told)
    wall, spent = time.monotonic() - begin, cpu_seconds() - cpu
    _, summary = campaign.summary()
    cost: dict[str, Any] = {
        "cases": campaign.cases,
        "verdicts": summary["verdicts"],
        "workers": workers,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(spent, 1),
        "cpu_microseconds_a_case": round(1e6 * spent / campaign.cases),
        "cases_a_second": round(campaign.cases / wall),
        "parquet_bytes": sum(file.stat().st_size for file in campaign.store.files()),
        "memory_mib": points,
        "machine": {"processors": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        "load_after": os.getloadavg()[0],
    }
    for name, value in ((SUMMARY, summary), ("cost.json", cost)):
        with replacing(output / name) as temporary:
            temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(json.dumps({key: value for key, value in cost.items() if key != "memory_mib"}, indent=1))


if __name__ == "__main__":
    run(main)

"""One row of a campaign's tables as a case again: drawn anew from its cell and number, judged and saved."""

from __future__ import annotations

from pathlib import Path

from bomrl_theory.campaign.cells import Chunk, cells_of
from bomrl_theory.campaign.chunk import Work, drawn_case, own_version
from bomrl_theory.campaign.spec import read_spec
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.verify.casefile import write_case
from bomrl_theory.verify.evaluate import SEVERITY
from bomrl_theory.verify.verdict import Verdict, judge


def save_row(spec: Path, theorem: str, *, cell: int, case: int, file: Path) -> tuple[AnyCase, Verdict]:
    """Write a case file of a row, which ``bomrl verify --replay`` reads.

    Args:
        spec: the campaign's file.
        theorem: id or name of one of its theorems.
        cell, case: as in the table.
        file: to write.

    Returns:
        The case with the verdict on it, the worst of its tasks'.

    Raises:
        UnknownName: the campaign has no such theorem.
        InvalidTask: the campaign has no such cell or case, or the theorem does not speak about it.
        InvalidFile: as :func:`read_spec`, or the place cannot be written.
    """
    campaign = read_spec(spec)
    chosen = next((x for x in campaign.theorems if theorem in (x.id, x.name)), None)
    if chosen is None:
        raise UnknownName("theorem of the campaign", theorem, [x.id for x in campaign.theorems])
    cells = cells_of(campaign)
    if not 0 <= cell < len(cells) or not 0 <= case < cells[cell].cases:
        raise InvalidTask(
            f"there is no case {case} of cell {cell}: {len(cells)} cells have up to {campaign.cases} cases, from 0"
        )
    index, first = case // campaign.chunk, case // campaign.chunk * campaign.chunk
    chunk = Chunk(cells[cell], index, first, min(campaign.chunk, cells[cell].cases - first))
    work = Work(own_version(), campaign.seed, chunk, campaign.batch, campaign.sources, campaign.saved)
    found = drawn_case(work, case)
    if not chosen.covers(found):
        raise InvalidTask(f"{chosen.id} does not speak about cell {cell}: {found.describe()}")
    verdict = min(judge(chosen, found), key=lambda one: SEVERITY.index(one.outcome))
    write_case(found, verdict, file)
    return found, verdict

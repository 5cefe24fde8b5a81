"""How objects show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any


def listing(title: str, entries: Mapping[str, Any]) -> str:
    """An HTML table of names and values under a title; everything is escaped."""
    left = 'style="text-align: left"'
    rows = (
        f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(str(value))}</td></tr>"
        for name, value in entries.items()
    )
    return _table(title, rows)


def grid(title: str, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """An HTML table with a header row under a title; everything is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = ("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return _table(title, [f"<tr>{head}</tr>", *body])


def _table(title: str, rows: Iterable[str]) -> str:
    caption = f'<caption style="text-align: left; font-weight: bold">{escape(title)}</caption>'
    return f"<table>{caption}{''.join(rows)}</table>"

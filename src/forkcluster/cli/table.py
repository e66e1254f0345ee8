"""Tables for people: as many columns as the terminal has room for, plain text where there is no terminal."""

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from forkcluster.dataclass import dataclass

Row = TypeVar("Row")
BORDER = 3  # what a column costs beside its content: "│ " and " "


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column. The higher `rank`, the earlier it is left out for want of room; 0 always stays."""

    title: str
    cell: Callable[[Row], str]
    rank: int = 0
    right: bool = False
    style: Callable[[Row], str] | None = None
    most: int = 0  # characters that a cell may have, 0: any number


def show(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> str:
    """Give the table as this standard output should have it, LF-ended."""
    if sys.stdout.isatty():
        return _pretty(columns, rows, shutil.get_terminal_size().columns)
    return _plain(columns, rows)


def _text(column: Column[Row], row: Row) -> str:
    text = column.cell(row)
    return f"{text[: column.most - 1]}…" if column.most and len(text) > column.most else text


def fitting(columns: Sequence[Column[Row]], rows: Sequence[Row], width: int) -> list[Column[Row]]:
    """Leave out the least important columns until the rest has room."""
    wide = {
        column.title: max([len(column.title), *(len(_text(column, row)) for row in rows)]) + BORDER
        for column in columns
    }
    kept = list(columns)
    while sum(wide[column.title] for column in kept) + 1 > width:
        least = max(kept, key=lambda column: column.rank)
        if least.rank == 0:
            break
        kept.remove(least)
    return kept


def _plain(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> str:
    """Aligned words, every column: for programs, mail and logs. An empty cell is a dash."""
    lines = [[column.title for column in columns]]
    lines += [[_one_word(_text(column, row)) or "-" for column in columns] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "".join(f"{line.rstrip()}\n" for line in text)


def _one_word(text: str) -> str:
    """A quantity without its space (52.1MB, 3m20s), other text with hyphens."""
    return text.replace(" ", "" if text[:1].isdigit() else "-")


def _pretty(columns: Sequence[Column[Row]], rows: Sequence[Row], width: int) -> str:
    from io import StringIO

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ROUNDED, border_style="bright_black", header_style="bold", pad_edge=True)
    kept = fitting(columns, rows, width)
    for column in kept:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None,
        )
    for row in rows:
        table.add_row(*(Text(_text(c, row), c.style(row) if c.style else "") for c in kept))
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=True, highlight=False)
    console.print(table)
    return out.getvalue()

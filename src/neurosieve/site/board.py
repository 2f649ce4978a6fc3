"""The table of rows: its columns, and each row as cells of text. Pure functions; reads and writes no files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurosieve.leaderboard.measures import NONE, count, decimals, share
from neurosieve.leaderboard.table import COLUMNS, best_baseline
from neurosieve.site import texts
from neurosieve.site.charts.parts import claims, judged, needed

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: its key in the address, its head, what it means, and whether it holds numbers.

    ``low_first``: the smaller number is the better one, so it sorts upwards at the first click.
    """

    key: str
    name: str
    title: str
    number: bool = True
    low_first: bool = False


@dataclass(frozen=True)
class Cell:
    """Text of a cell, what stands smaller beside it, the value to sort by ("" for none), a class and a title."""

    text: str
    sub: str = ""
    value: str = ""
    css: str = ""
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the table with what the filters ask of it.

    ``first``: the first of its task, above which a line is drawn.
    """

    slug: str
    task_file: str
    model: str
    task: str
    benchmark: str
    group: str
    protocol: str
    status: str
    evidence: str
    kind: str
    grey: bool
    first: bool
    reason: str
    notes: Sequence[str]
    strip: Mapping[str, str] | None
    cells: Mapping[str, Cell]


HEADS = (
    Column("model", "Model", "the model whose neurons are counted", number=False),
    Column("task", "Task", "the task", number=False),
    Column("benchmark", "Benchmark", "one params file; figures of different benchmarks do not compare", number=False),
    Column("status", "Status", "whether the row may speak of redundancy, decided on judge", number=False),
    Column("evidence", "Evidence", "how far it is shown that the neurons are read and used", number=False),
    Column("n_minimal", "Neurons", f"n_minimal: {COLUMNS['n_minimal']}; below: where another judge would put it",
           low_first=True),
    Column("share", "Share", COLUMNS["share"], low_first=True),
    Column("layers", "Layers", COLUMNS["layers_used"], number=False),
    Column("subset", "Subset", COLUMNS["subset_test"]),
    Column("oracle", "All neurons", f"{COLUMNS['oracle']}; below: its 5-95 % interval over files"),
    Column("baseline", "Best baseline", "test score of the best of majority, text alone and the untrained twin"),
    Column("untrained", "Untrained", COLUMNS["untrained"]),
    Column("rank", "Rank", "1 + the number of models shown to be better by the score of all neurons; = is shared; "
           "twins are ranked among themselves", low_first=True),
    Column("published", "Published", "published score of all neurons, on other data: only shapes compare"),
)  # fmt: skip
TWIN, TRAINED = "untrained twins", "trained models"


def columns(lines: Sequence[Line]) -> list[Column]:
    """The columns that say something of these rows."""
    several = {line.group for line in lines}
    left_out = set() if len(several) > 1 else {"benchmark"}
    if not any(line.cells["published"].value for line in lines):
        left_out.add("published")
    return [head for head in HEADS if head.key not in left_out]


def raw(value: Any) -> str:
    """Value of a cell for sorting."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def shared_ranks(rows: Sequence[Row]) -> dict[int, str]:
    """Rank by the score of all neurons by the id of a row, as "2" or "2=" where another has it too."""

    def place(row: Row) -> tuple[Any, ...]:
        return (row["task"], texts.is_twin(row), row["ranks"].get("score"))

    times = Counter(place(row) for row in rows)
    return {
        id(row): NONE
        if row["ranks"].get("score") is None
        else f"{row['ranks']['score']}{'=' if times[place(row)] > 1 else ''}"
        for row in rows
    }


def strip(row: Row, most: int) -> dict[str, str] | None:
    """The number of neurons and its interval on a log scale from 1 to ``most``: coordinates of 0 to 100."""
    found = needed(row)
    if found is None or most < 2:
        return None

    def at(value: float) -> float:
        return 3 + 94 * math.log(min(max(value, 1), most)) / math.log(most)

    size = found["value"]
    low, high = (size, size) if found["low"] is None else (found["low"], found["high"])
    left, right = at(low), at(high)
    return {
        "x": f"{at(size):.1f}",
        "left": f"{left:.1f}",
        "width": f"{right - left:.1f}",
        "end": f"{at(row['n_neurons']):.1f}",
        "css": "claim" if found["filled"] else "estimate",
    }


def layers(text: str | None) -> str:
    """Ranges of layers with spaces to break at, and hyphens that do not."""
    return (text or NONE).replace(",", ", ").replace("-", "–")


def line(row: Row, slug: str, group: str, task_file: str, rank: str, most: int, first: bool, origin: str = "") -> Line:
    """A row as a line of the table.

    Parameters
    ----------
    row : as read.Results has it.
    slug : of the row's page; group : how its benchmark is called in this site; task_file : the task's page.
    rank : of shared_ranks; most : largest number of neurons in the site; first : whether it is the first of its task.
    origin : who handed it in, and whether it was made again; empty of a row of ours.
    """
    twin, grey = texts.is_twin(row), not texts.supported(row)
    short, meaning = texts.EVIDENCE.get(row["evidence"], (row["evidence"] or NONE, ""))
    tier = list(texts.EVIDENCE).index(row["evidence"]) if row["evidence"] in texts.EVIDENCE else None
    claimed = claims(row)
    size = row["n_minimal"] if row["n_minimal"] is not None else row["estimate"]
    low = row["n_minimal_low"]
    weak = "" if claimed else "weak"
    best = best_baseline(row)
    name = ""
    if best is not None:
        name = row["surface_name"] or best[0] if best[0] == "surface" else best[0]
        name = texts.plainest(row["metric"]) if name == "majority" else name
    not_confirmed = row["confirmed"] is False
    tags = ["untrained twin"] * (twin and "untrained" not in row["model"]) + [row["training"]] * (
        row["training"] not in ("frozen", "untrained", None)
    )
    tags += [origin] * bool(origin)
    oracle = "" if row["oracle_low"] is None else f"{decimals(row['oracle_low'])}–{decimals(row['oracle_high'])}"
    cells = {
        "model": Cell(row["model"], ", ".join(tags), row["model"]),
        "task": Cell(row["task"], "", row["task"], "name", f"scores are {texts.metric_name(row['metric'] or '')}"),
        "benchmark": Cell(group, f"version {row['version']}", group),
        "status": Cell(
            texts.status_word(row),
            "not confirmed" if not_confirmed else "",
            texts.status_word(row),
            "no" if grey else "yes",
            texts.status_title(row),
        ),
        "evidence": Cell(short, "", raw(tier), "", meaning),
        "n_minimal": Cell(
            count(size, about=not claimed),
            (judged(low, row["n_minimal_high"], "–") if low is not None else "")
            if claimed
            else "no claim"
            if size
            else "",
            raw(size),
            weak,
        ),
        "share": Cell(share(row["share"]), f"of {count(row['n_neurons'])}", raw(row["share"])),
        "layers": Cell(layers(row["layers_used"]), "", row["layers_used"] or ""),
        "subset": Cell(decimals(row["subset_test"]), "", raw(row["subset_test"]), weak),
        "oracle": Cell(decimals(row["oracle"]), oracle, raw(row["oracle"])),
        "baseline": Cell(decimals(best[1] if best else None), name, raw(best[1] if best else None)),
        "untrained": Cell(decimals(row["untrained"]), "", raw(row["untrained"])),
        "rank": Cell(rank, "", rank.rstrip("=") if rank != NONE else ""),
        "published": Cell(
            decimals(row["published_score"]),
            "" if row["published_n_neurons"] is None else f"{count(row['published_n_neurons'])} neurons",
            raw(row["published_score"]),
        ),
    }
    return Line(
        slug=slug,
        task_file=task_file,
        model=row["model"],
        task=row["task"],
        benchmark=row["benchmark"],
        group=group,
        protocol=row["protocol"],
        status=texts.status_word(row),
        evidence=short if row["evidence"] else "",
        kind=TWIN if twin else TRAINED,
        grey=grey,
        first=first,
        reason=texts.status_title(row) if grey else "",
        notes=texts.notes(row),
        strip=strip(row, most),
        cells=cells,
    )

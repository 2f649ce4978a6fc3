"""Replicates of the figures of rows: with those of any other row on the same draws they give a paired interval.

A row's file in the leaderboard folder, draws/<model>__<task>.csv, has a line per draw of `probes.bootstrap`: `score`
(of the probe on all neurons) and `subset` (of the headline subset) on files of test, `n_minimal` on files of judge, as
other judges of that size would give it (subsets/minimal.py, drawn_minima), ``inf`` where no size passes there. A figure
that the row does not have or claim has empty cells. The row's "draws" has, by split, the sha256 of the labels and of
the files that were drawn: where it is equal in two rows, line b of both is of the same rows of the task.

Pure functions; reads and writes no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosieve.probes import intervals

# by figure: the split that is drawn, and the figure's key in a row
FIGURES = {"score": ("test", "oracle"), "subset": ("test", "subset_test"), "n_minimal": ("judge", "n_minimal")}
DECIMALS = 6  # of a score: the ends of an interval are shown with four
Row = Mapping[str, Any]
Draws = Mapping[str, np.ndarray]  # by figure: (B,) float64


def draws_file(model: str, task: str) -> str:
    """Name of the row's replicates in the leaderboard folder."""
    return f"draws/{model}__{task}.csv"


def to_csv(draws: Draws) -> str:
    """The text of the file; ``draws`` has the figures that there are, all of one length."""
    lines = [
        ["" for _ in range(len(next(iter(draws.values()))))]
        if name not in draws
        else [f"{v:.0f}" if name == "n_minimal" else f"{v:.{DECIMALS}f}" for v in draws[name]]
        for name in FIGURES
    ]
    return "\n".join([",".join(FIGURES), *(",".join(cells) for cells in zip(*lines, strict=True))]) + "\n"


def from_csv(text: str) -> dict[str, np.ndarray]:
    """The figures of a file that are there.

    Raises
    ------
    ValueError
        naming the line, for other columns, and for a cell that is no such number in a column that has any.
    """
    head, *lines = text.splitlines() or [""]
    if head != ",".join(FIGURES):
        raise ValueError(f"line 1: found {head!r}, expected {','.join(FIGURES)!r}")
    table = [line.split(",") for line in lines]
    for number, cells in enumerate(table, start=2):
        if len(cells) != len(FIGURES):
            raise ValueError(f"line {number}: {len(cells)} cells in {len(FIGURES)} columns")
    columns = zip(FIGURES, zip(*table, strict=True), strict=True) if table else ()
    return {
        name: np.array([_number(name, cell, number) for number, cell in enumerate(cells, start=2)])
        for name, cells in columns
        if any(cells)
    }


def _number(name: str, cell: str, line: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if name == "n_minimal" and not (value == math.inf or (value >= 1 and value == int(value))):
        raise ValueError(f"line {line}: found {cell!r}, expected a number of neurons or inf")
    if name != "n_minimal" and not math.isfinite(value):
        raise ValueError(f"line {line}: found {cell!r}, expected a number")
    return value


def paired(a: np.ndarray, b: np.ndarray, confidence: float) -> dict[str, float | None]:
    """ "low", "high" of a - b, and "p".

    Parameters
    ----------
    a, b : (B,) the same draws of two rows. confidence : two-sided; the interval leaves out 0 where p is 1 - confidence
        at most.

    Returns
    -------
    An end is None where it is beyond every number: no size passes in a draw of one row, and nothing is known where
    none does in either. p is two-sided, not adjusted.
    """
    with np.errstate(invalid="ignore"):
        d = a - b
    unknown = np.isnan(d)
    least, most = (np.where(unknown, end, d) for end in (-np.inf, np.inf))
    one_sided = (1 + confidence) / 2
    ends = {"low": intervals.lower(least, one_sided), "high": intervals.upper(most, one_sided)}
    p = min(1.0, 2 * float(min(intervals.p_value(least), intervals.p_value(-most))))
    return {**{name: float(end) if np.isfinite(end) else None for name, end in ends.items()}, "p": p}


def differ(a: Row, of_a: Draws, b: Row, of_b: Draws) -> dict[str, dict[str, Any]]:
    """By figure what is known of a - b of two rows whose draws are the same, of whatever results they are.

    Returns
    -------
    {figure: {"difference", and as :func:`paired` has them "low", "high", for scores "p"}}, of those that both rows have
    in one metric and at one confidence, of numbers of neurons at one margin, with draws enough for an interval. Where
    a number of neurons would lie on another judge is no test: it has no p.
    """
    found: dict[str, dict[str, Any]] = {}
    same = {split for split, total in (a.get("draws") or {}).items() if (b.get("draws") or {}).get(split) == total}
    for name, (split, key) in FIGURES.items():
        if split not in same or name not in of_a or name not in of_b or len(of_a[name]) != len(of_b[name]):
            continue
        alike = ("metric", "confidence", *(("margin",) if name == "n_minimal" else ()))
        if None in (a.get(key), b.get(key)) or any(a.get(of) != b.get(of) for of in alike):
            continue
        try:
            known = paired(of_a[name], of_b[name], a["confidence"])
        except intervals.IntervalError:
            continue
        found[name] = {"difference": a[key] - b[key], **(whole(known) if name == "n_minimal" else known)}
    return found


def whole(known: Mapping[str, float | None]) -> dict[str, int | None]:
    """The ends of an interval of numbers of neurons."""
    return {name: None if (end := known[name]) is None else int(end) for name in ("low", "high")}

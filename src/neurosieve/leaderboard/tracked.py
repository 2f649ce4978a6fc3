"""What `dvc metrics`, `dvc exp` and `dvc plots` show of a row: a small json and a curve. Pure functions; no files.

Rows are those of collect.py. A file per row, so that `dvc metrics show` prints a line per row and `dvc plots` draws a
chart per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosieve.leaderboard.table import best_baseline

CURVE = ("neurons", "found", "certified", "needed")


def metrics_file(model: str, task: str) -> str:
    """Name of the row's figures in the leaderboard folder."""
    return f"metrics/{model}__{task}.json"


def curve_file(model: str, task: str) -> str:
    """Name of the row's curve in the leaderboard folder."""
    return f"curves/{model}__{task}.csv"


def metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader compares of a row; a missing figure has no key.

    ``score`` and ``baseline`` (the best of majority, surface, untrained) and ``subset`` on test, ``n_minimal`` with
    its interval as text ("156-418", "119-none" where no size is its upper end), and ``status``.
    """
    base = best_baseline(row)
    interval = None
    if row["n_minimal"] is not None and row["n_minimal_low"] is not None:
        high = row["n_minimal_high"]
        interval = f"{row['n_minimal_low']}-{'none' if high is None else high}"
    found = {
        "baseline": None if base is None else base[1],
        "n_minimal": row["n_minimal"],
        "n_minimal_5_95": interval,
        "score": row["oracle"],
        "status": row["status"],
        "subset": row["subset_test"],
    }
    return {name: value for name, value in found.items() if value is not None}


def curve(row: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The headline contender's curve on judge as lines of a csv, heads first, by rising number of neurons.

    ``found`` is the score of the set of that size; ``certified`` what is left of it by the one-sided lower bound of
    its difference to the reference; ``needed`` the reference less the margin. The set passes where certified reaches
    needed (and the best baseline is beaten, which the curve does not show).
    """
    at, reference = row["curves"][row["ranking"]], row["judge"]["reference"]
    lines = sorted(zip(at["sizes"], at["judge"], at["lower"], strict=True))
    needed = reference - row["margin"]
    return [CURVE, *((str(n), *(f"{v:.4f}" for v in (found, reference + lower, needed))) for n, found, lower in lines)]

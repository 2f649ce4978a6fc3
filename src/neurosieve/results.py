"""All published results as one table: `neurosieve.load_results()`. Reads results/<benchmark>/; writes nothing.

Of each benchmark leaderboard.csv says which rows there are. rows/<model>__<task>.json hold the figures of the protocol
`strict` in full; rows of other protocols have no such file, and their figures are the cells, with four decimals.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("benchmark", "version", "protocol", "model", "task")
# Types of the columns: these, whole numbers that may be missing for n_... and version, and numbers for all others.
CATEGORIES = (
    "benchmark", "protocol", "model", "task", "training", "status", "metric", "surface_name", "ranking", "best_ranking",
    "figure",
    "published_model", "published_metric",
)  # fmt: skip
TEXTS = ("layers_used", "note", "evidence")
TRUTHS = ("confirmed",)
WHOLE = (
    "version", "best_n_minimal", "lca_n_minimal", "lca_n_minimal_low", "lca_n_minimal_high", "published_n_neurons",
)  # fmt: skip
CERTIFIED = "certified"
FULL = "strict"  # the protocol whose rows have json files


class ResultsError(RuntimeError):
    """Results that cannot be read; the message names the file and the line."""


def load_results(folder: Path | str | Iterable[Path | str] = "results", *, wide: bool = False) -> pd.DataFrame:
    """Every published result below ``folder`` (or several folders, for results of several versions).

    Parameters
    ----------
    folder : holds one folder per benchmark, as ``neurosieve publish`` writes them.
    wide : one row per row of the leaderboards, with their columns and the certified costs as ``certified.<name>``.
        Else one row per figure.

    Returns
    -------
    DataFrame, long by default: benchmark, version, protocol, model, task, status, metric, figure, value. ``figure`` is
    the name of a number in the row's json, dotted where it is nested (``oracle``, ``certified.flops_share``,
    ``test.subset.accuracy``, ``minima.lca.n_minimal``); truths are 1 and 0; lists (curves, neurons, layers) are left
    to the json files. Missing figures are missing, never zero. Rows of several benchmarks or versions stand together
    in the table and are told apart by its first columns: group by them, never over them.

    Raises
    ------
    ResultsError
        naming file and line: nothing to read, a file that is not what it should be, or the same row twice.

    Examples
    --------
    >>> import neurosieve
    >>> results = neurosieve.load_results(wide=True)
    >>> results[results.status == "supported"][["model", "task", "n_minimal", "share"]]  # doctest: +SKIP
    """
    import pandas as pd

    folders = [folder] if isinstance(folder, (str, Path)) else list(folder)
    rows: list[tuple[dict[str, Any], _Places]] = []
    seen: dict[tuple[Any, ...], Path] = {}
    for one in folders:
        for row, places in _read_folder(Path(one)):
            key = tuple(row[name] for name in KEYS)
            if key in seen:
                raise ResultsError(
                    f"{places.at('model')}: {row['model']} on {row['task']} of {row['benchmark']}, "
                    f"version {row['version']}, is in {seen[key]} already; give one of them"
                )
            seen[key] = places.path
            rows.append((row, places))
    if wide:
        return _typed(pd.DataFrame([_wide(row, places) for row, places in rows]))
    figures = []
    for row, _ in rows:
        own = {name: row.get(name) for name in (*KEYS, "status", "metric")}
        figures += [{**own, "figure": name, "value": value} for name, value in _numbers(row) if name not in KEYS]
    return _typed(pd.DataFrame(figures))


class _Places:
    """Lines of a json file that has a line per key."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")

    def at(self, key: str) -> str:
        """file:line of a key."""
        return f"{self.path}:{self.line(key)}"

    def line(self, key: str) -> int:
        start = f"{json.dumps(key)}:"
        return next((i for i, line in enumerate(self._lines, start=1) if line.startswith(start)), 1)


class _Cells(_Places):
    """The one line of a row of a csv."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self._number = path, number

    def line(self, key: str) -> int:
        return self._number


def _read_folder(folder: Path) -> Iterator[tuple[dict[str, Any], _Places]]:
    # names that begin with a dot are what a killed `publish` left behind
    tables = sorted(path for path in folder.glob("*/leaderboard.csv") if not path.parent.name.startswith("."))
    if not tables:
        raise ResultsError(
            f"{folder}: no <benchmark>/leaderboard.csv in it; run `make benchmark`, or name the folder of the results"
        )
    for table in tables:
        with table.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = [name for name in KEYS if name not in (reader.fieldnames or ())]
            if missing:
                raise ResultsError(f"{table}:1: no column {', '.join(missing)}; publish the benchmark again")
            listed = [(reader.line_num, cells) for cells in reader]
        wanted = {table.parent / "rows" / f"{c['model']}__{c['task']}.json" for _, c in listed if c["protocol"] == FULL}
        for path in sorted((table.parent / "rows").glob("*.json")):
            if path not in wanted and not path.name.startswith("."):
                raise ResultsError(f"{path}:1: not a row of {table}; publish the benchmark again")
        for number, cells in listed:
            if None in cells or None in cells.values():
                raise ResultsError(f"{table}:{number}: not as many cells as columns; publish the benchmark again")
            if cells["protocol"] != FULL:
                places: _Places = _Cells(table, number)
                yield {name: _parse(name, text, places) for name, text in cells.items()}, places
                continue
            path = table.parent / "rows" / f"{cells['model']}__{cells['task']}.json"
            if not path.is_file():
                raise ResultsError(f"{table}:{number}: {path} is not there; publish the benchmark again")
            row, places = _read_row(path)
            for name in KEYS:
                if str(row[name]) != cells[name]:
                    raise ResultsError(
                        f"{places.at(name)}: {name}: found {row[name]!r}, but {table}:{number} has {cells[name]!r}; "
                        "publish the benchmark again"
                    )
            yield row, places


def _parse(name: str, text: str, places: _Places) -> Any:
    """A cell of a csv as a value of its column's type; None where it is empty."""
    kind = _kind(name)[0]
    try:
        if text == "":
            return None
        if kind == "boolean":
            return {"true": True, "false": False}[text]
        return int(text) if kind == "Int64" else float(text) if kind == "Float64" else text
    except (ValueError, KeyError):
        raise ResultsError(f"{places.at(name)}: {name}: found {text!r}, expected {kind}; publish again") from None


def _read_row(path: Path) -> tuple[dict[str, Any], _Places]:
    text = path.read_text(encoding="utf-8")
    try:
        row = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ResultsError(f"{path}:{line}: not valid json ({error}); publish the benchmark again") from None
    places = _Places(path, text)
    if not isinstance(row, dict):
        raise ResultsError(f"{path}:1: found {type(row).__name__}, expected an object; publish the benchmark again")
    for name in KEYS:
        wanted = int if name == "version" else str
        if type(row.get(name)) is not wanted:
            raise ResultsError(
                f"{places.at(name)}: {name}: found {row.get(name)!r}, expected {wanted.__name__}; "
                "publish the benchmark again"
            )
    return row, places


def _numbers(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers and truths of nested mappings with their dotted names, sorted; missing ones and lists are left out."""
    for key in sorted(value):
        found = value[key]
        if isinstance(found, Mapping):
            yield from _numbers(found, f"{prefix}{key}.")
        elif isinstance(found, (bool, int, float)):
            yield f"{prefix}{key}", float(found)


def _wide(row: Mapping[str, Any], places: _Places) -> dict[str, Any]:
    """Cells of the leaderboard's columns, checked against their types, and the certified costs."""
    from neurosieve.leaderboard.table import COLUMNS

    cells: dict[str, Any] = {}
    for name in COLUMNS:
        value = row.get(name)
        kind, fits = _kind(name)
        if value is not None and not (isinstance(value, fits) and isinstance(value, bool) == (kind == "boolean")):
            raise ResultsError(
                f"{places.at(name)}: {name}: found {value!r}, expected {kind}; publish the benchmark again"
            )
        cells[name] = value
    cells |= {f"{CERTIFIED}.{name}": value for name, value in _numbers(row.get(CERTIFIED) or {})}
    return cells


def _kind(name: str) -> tuple[str, type | tuple[type, ...]]:
    """pandas' type of a column, and Python's of its cells."""
    if name in CATEGORIES:
        return "category", str
    if name in TEXTS:
        return "string", str
    if name in TRUTHS:
        return "boolean", bool
    if name in WHOLE or name.startswith("n_"):
        return "Int64", int
    if name.startswith(f"{CERTIFIED}.") and not name.endswith("_share"):
        return "Int64", (int, float)
    return "Float64", (int, float)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({name: _kind(name)[0] for name in table.columns})

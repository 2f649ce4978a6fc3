"""Leaderboard folders as the site shows them: build/<benchmark>/leaderboard, or its copy results/<benchmark>.

Reads, of each folder: leaderboard.csv (which rows there are, and their order), rows/*.json (rows of the protocol
`strict`), and where they are there benchmark.json (facts, cards, rows of the protocol `published`), draws/*.csv,
comparisons.json, transfer.json, effects.json, languages.json, manifest.json. Writes no files.

What was published before version 0.5 lacks benchmark.json and the later keys of rows: facts are then those of the
table, cards are missing, and a key that a row lacks is null; without those of NEEDED no pages are made.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neurosieve.artifacts import csv_cell
from neurosieve.leaderboard.draws import draws_file
from neurosieve.leaderboard.table import COLUMNS

KEYS = ("benchmark", "version", "protocol", "model", "task")
STRICT = "strict"  # the protocol whose rows have files
OWN = "here"  # origin of results that were computed, and not handed in
OF_MODELS = ("transfer", "effects", "languages")
# Keys that came to the rows one after the other, or that the pages ask of rows of all protocols.
EMPTY: dict[str, Any] = {
    **dict.fromkeys(COLUMNS),
    **dict.fromkeys(
        (
            "ablation", "agreement", "attribution", "best_baseline", "bound", "certified", "chosen_layers", "cka",
            "classes", "concepts", "confidence", "control_of", "description_length", "dev", "draws", "effects",
            "estimate", "evidence_tests", "faithfulness", "layer_scores", "layer_selection", "layers", "margin",
            "margin_reason", "model_note", "pipeline", "redundancy", "reference_name", "robustness", "sample",
            "selectivity", "share_kept_test", "status_unseen", "test_files", "test_rows", "twin_training",
            "weak_reference", "width",
        )
    ),
    **dict.fromkeys(("clusters", "notes", "status_notes"), ()),
    **{name: {} for name in ("comparisons", "curves", "judge", "lenses", "minima", "neurons", "ranks", "test")},
}  # fmt: skip
# Keys of a row without which no page of it can be made: results of earlier releases lack them.
NEEDED = ("beats_random", "dev", "layer_selection", "mean_tune")
WHOLE = (
    "version", "n_neurons", "n_minimal", "n_least", "n_minimal_low", "n_minimal_high", "n_failing", "n_bound",
    "best_n_minimal", "lca_n_minimal", "lca_n_minimal_low", "lca_n_minimal_high", "published_n_neurons",
)  # fmt: skip
NUMBERS = (
    "oracle", "oracle_low", "oracle_high", "oracle_spearman", "reference", "majority", "surface", "untrained",
    "bound_factor", "share", "subset_test", "random_test", "bottom_test", "dev_half_width", "published_score",
    "published_subset_score",
)  # fmt: skip
TRUTHS = ("confirmed",)


class SiteError(RuntimeError):
    """Results of which no site can be made; the message names the file, what was found and what to do."""


@dataclass(frozen=True)
class Results:
    """One benchmark's results.

    Attributes
    ----------
    name : of the benchmark.
    folder : label of where they come from; tells apart several results of one name: a folder's name, or who handed
        them in.
    facts : title, benchmark, version, protocol, native (machines on which `numerics: portable` did not hold) and, where
        benchmark.json has them, numerics, seed, random_draws, models, tasks, curves, other_neurons.
    cards : by task, empty where benchmark.json is missing.
    rows : those of the protocol `strict` as in rows/*.json, in the order of leaderboard.csv; every key of EMPTY is
        there.
    published : rows of other protocols, the cells of the table alone.
    figures : table of the published figures beside ours, or None.
    comparisons : by task, as in comparisons.json.
    draws : by model and task, the text of the row's file of replicates.
    transfer, effects, languages : by model, empty where they are off.
    manifest : as written by the phase, empty where there is none.
    origin : OWN, or what a submission says of itself: "by", "reproduced", ...
    """

    name: str
    folder: str
    facts: Mapping[str, Any]
    cards: Mapping[str, Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    published: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, Any] | None = None
    comparisons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    draws: Mapping[tuple[str, str], str] = field(default_factory=dict)
    transfer: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    effects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    languages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    origin: str | Mapping[str, Any] = OWN

    @property
    def by(self) -> str:
        """Who handed them in; empty of those that were computed here."""
        return "" if isinstance(self.origin, str) else str(self.origin["by"])

    @property
    def reproduced(self) -> bool | None:
        """Of results that were handed in, whether they were made again here; else None."""
        return None if isinstance(self.origin, str) else bool(self.origin["reproduced"])


def read_results(folder: Path, origin: str | Mapping[str, Any] = OWN) -> Results:
    """The results in a leaderboard folder.

    Raises
    ------
    SiteError
        naming the file (and the line of leaderboard.csv): no results there, a file that is not json, or a row of the
        table without its file.
    """
    folder = Path(folder)
    listed = _table(folder)
    by_name = {(row["model"], row["task"]): row for row in _row_files(folder / "rows")}
    rows, others = [], []
    for number, cells in listed:
        if cells["protocol"] != STRICT:
            others.append(cells)
            continue
        row = by_name.get((cells["model"], cells["task"]))
        if row is None:
            raise SiteError(
                f"{folder / 'leaderboard.csv'}:{number}: no file in {folder / 'rows'} is the row of "
                f"{cells['model']!r} on {cells['task']!r}; publish the benchmark again"
            )
        if missing := [key for key in NEEDED if row.get(key) is None]:
            raise SiteError(
                f"{folder / 'rows'}: the row of {cells['model']!r} on {cells['task']!r} has no {', '.join(missing)}; "
                "it is of an earlier release, of which no pages are made: run it again, or name other results"
            )
        rows.append({**EMPTY, **cells, **{key: value for key, value in row.items() if value is not None}})
    name = str(listed[0][1]["benchmark"])
    made = _json(folder / "benchmark.json") or {}
    facts = {"title": name, **{key: listed[0][1][key] for key in ("benchmark", "version")}, "protocol": STRICT}
    manifest = _json(folder / "manifest.json") or {}
    native = manifest.get("facts", {}).get("numerics", [])
    twins = {row["model"]: row["control_of"] for row in rows}
    published = [{**EMPTY, **row, "control_of": twins.get(row["model"])} for row in made.get("published") or others]
    # by their names alone: no name in a row leads to a file elsewhere
    drawn = {f"{path.parent.name}/{path.name}": path for path in sorted(folder.glob("draws/*.csv"))}
    label = folder.parent.name if folder.name == "leaderboard" else folder.name
    return Results(
        name=name,
        folder=label if isinstance(origin, str) else f"by {origin['by']}",
        facts=facts | (made.get("facts") or {}) | {"native": native},
        cards=made.get("tasks") or {},
        rows=rows,
        published=published,
        figures=made.get("figures"),
        comparisons=_json(folder / "comparisons.json") or {},
        draws={key: drawn[name].read_text(errors="replace") for key in by_name if (name := draws_file(*key)) in drawn},
        **{key: _json(folder / f"{key}.json") or {} for key in OF_MODELS},
        manifest=manifest,
        origin=origin,
    )


def benchmark_of(folder: Path) -> tuple[str, int]:
    """Name and version of the benchmark of a leaderboard folder.

    Raises
    ------
    SiteError
        as :func:`read_results`, for leaderboard.csv.
    """
    _, cells = _table(Path(folder))[0]
    return cells["benchmark"], cells["version"]


def read_all(folders: Sequence[tuple[Path, str | Mapping[str, Any]]]) -> list[Results]:
    """The results of several folders with their origins, in the given order, each distinct by name and label.

    Where two of one benchmark lie in folders of one name, such as results/default and build/default/leaderboard, the
    whole paths are their labels.

    Raises
    ------
    SiteError
        for no folder, for one given twice, and as :func:`read_results`.
    """
    if not folders:
        raise SiteError("no results to make a site of; name at least one folder, such as results/default")
    for place, times in Counter(Path(folder).resolve() for folder, _ in folders).items():
        if times > 1:
            given = next(folder for folder, _ in folders if Path(folder).resolve() == place)
            raise SiteError(f"{given} was given {times} times; give each once")
    found = [read_results(folder, origin) for folder, origin in folders]
    several = Counter((one.name, one.folder) for one in found)
    return [
        one if several[one.name, one.folder] == 1 else replace(one, folder=Path(folder).as_posix())
        for one, (folder, _) in zip(found, folders, strict=True)
    ]


def _table(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """The lines of leaderboard.csv as of _listed, at least one."""
    listed = list(_listed(folder / "leaderboard.csv"))
    if not listed:
        raise SiteError(f"{folder / 'leaderboard.csv'}:1: no rows in it; name a folder with a finished leaderboard")
    return listed


def _listed(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and typed cells of each row of a leaderboard.csv."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SiteError(f"{path}: not there; name a folder with a finished leaderboard") from None
    except UnicodeDecodeError as error:
        raise SiteError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); publish again") from None
    reader = csv.DictReader(text.splitlines(keepends=True))
    missing = [name for name in KEYS if name not in (reader.fieldnames or ())]
    if missing:
        raise SiteError(f"{path}:1: no column {', '.join(missing)}; publish the benchmark again")
    for cells in reader:
        if None in cells or None in cells.values():
            raise SiteError(f"{path}:{reader.line_num}: not as many cells as columns; publish the benchmark again")
        yield reader.line_num, {key: _value(key, text, f"{path}:{reader.line_num}") for key, text in cells.items()}


def _value(name: str, text: str, where: str) -> Any:
    """A cell as a value of its column's type, None where it is empty."""
    if text == "":
        return None
    if text.startswith("'") and csv_cell(text[1:]) == text:  # as it was before it was made safe for spreadsheets
        text = text[1:]
    try:
        if name in TRUTHS:
            return {"true": True, "false": False}[text]
        return int(text) if name in WHOLE else float(text) if name in NUMBERS else text
    except (ValueError, KeyError):
        raise SiteError(f"{where}: {name}: found {text!r}; publish the benchmark again") from None


def _row_files(folder: Path) -> Iterator[dict[str, Any]]:
    # whatever names are in the table, only files of this folder are read
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):  # left behind by a killed copy
            continue
        row = _json(path)
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("model", "task")):
            raise SiteError(f"{path}:1: not a row: no texts `model` and `task` in it; publish the benchmark again")
        yield row


def _json(path: Path) -> Any:
    """What a json file holds; None where it is not there."""

    def refuse(text: str) -> None:
        raise ValueError(f"found {text}, which is no json")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError:
        return None
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise SiteError(f"{path}:{line}: not valid json ({error}); publish the benchmark again") from None

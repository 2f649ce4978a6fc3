"""load_results: types, both forms, several versions, and errors that name file and line."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import neurosieve
from neurosieve.leaderboard import dump_row
from neurosieve.leaderboard.table import COLUMNS, build_table, to_csv
from neurosieve.results import ResultsError

KEYS = ["benchmark", "version", "protocol", "model", "task"]
PUBLISHED = Path("results")


def make_row(**changes: Any) -> dict[str, Any]:
    row = {
        **dict.fromkeys(COLUMNS),
        "benchmark": "b", "version": 1, "protocol": "strict", "model": "m", "task": "t", "status": "supported",
        "metric": "accuracy", "n_neurons": 48, "oracle": 0.123456789, "n_minimal": 7, "confirmed": False,
        "n_bound": 5, "bound_factor": 1.4, "lca_n_minimal": 9,
        "layers_used": "0,2-4", "note": "a note", "share": 7 / 48,
        "certified": {"flops": 10, "flops_share": 0.5, "classifier": {"values": 7}},
        "test": {"subset": {"accuracy": 0.5, "seen": None, "list": [1, 2]}},
    }  # fmt: skip
    return row | changes


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """results/<benchmark>/ as the leaderboard phase writes it; rows of other protocols stand in the csv alone."""
    for name in {row["benchmark"] for row in rows}:
        own = [row for row in rows if row["benchmark"] == name]
        target = folder / name / "rows"
        target.mkdir(parents=True)
        (folder / name / "leaderboard.csv").write_text(to_csv(build_table(own)))
        for row in own:
            if row["protocol"] == "strict":
                (target / f"{row['model']}__{row['task']}.json").write_text(dump_row(row))
    return folder


def test_wide_has_a_typed_row_per_row(tmp_path: Path) -> None:
    rows = [make_row(), make_row(model="n", n_minimal=None, confirmed=None, oracle=None, note=None, certified=None)]
    found = neurosieve.load_results(write(tmp_path, rows), wide=True)
    assert list(found.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert found.model.tolist() == ["m", "n"]
    first = found.iloc[0]
    assert first.oracle == 0.123456789  # all digits, of which the csv has four
    assert first.n_minimal == 7 and not first.confirmed and first["certified.classifier.values"] == 7
    assert found.iloc[1][["n_minimal", "confirmed", "oracle", "note", "certified.flops"]].isna().all()
    kinds = {name: str(kind) for name, kind in found.dtypes.items()}
    whole = ("n_bound", "lca_n_minimal", "lca_n_minimal_low", "lca_n_minimal_high")
    assert [kinds[n] for n in whole] == ["Int64"] * 4 and kinds["bound_factor"] == "Float64"
    assert (first.n_bound, first.bound_factor, first.lca_n_minimal) == (5, 1.4, 9)
    assert [kinds[n] for n in ("version", "n_minimal", "best_n_minimal", "certified.flops")] == ["Int64"] * 4
    assert [kinds[n] for n in ("oracle", "share", "dev_half_width", "certified.flops_share")] == ["Float64"] * 4
    assert [kinds[n] for n in ("task", "status", "confirmed", "note")] == ["category", "category", "boolean", "string"]


def test_long_has_a_row_per_number(tmp_path: Path) -> None:
    found = neurosieve.load_results(write(tmp_path, [make_row()]))
    assert list(found.columns) == [*KEYS, "status", "metric", "figure", "value"]
    figures = dict(zip(found.figure, found.value, strict=True))
    assert figures == {
        "bound_factor": 1.4, "lca_n_minimal": 9, "n_bound": 5,
        "certified.classifier.values": 7, "certified.flops": 10, "certified.flops_share": 0.5, "confirmed": 0,
        "n_minimal": 7, "n_neurons": 48, "oracle": 0.123456789, "share": 7 / 48, "test.subset.accuracy": 0.5,
    }  # fmt: skip
    assert (found.status == "supported").all() and str(found.value.dtype) == "Float64"


def test_rows_of_other_protocols_are_read_from_the_csv(tmp_path: Path) -> None:
    other = make_row(protocol="published", status=None, oracle=0.87654321, n_minimal=9, confirmed=True)
    found = neurosieve.load_results(write(tmp_path, [make_row(), other]), wide=True)
    assert found.protocol.tolist() == ["strict", "published"]
    assert found.n_minimal.tolist() == [7, 9] and found.oracle.tolist() == [0.123456789, 0.8765]
    assert found.confirmed.tolist() == [False, True] and found.status.isna().tolist() == [False, True]
    assert "published" in set(neurosieve.load_results(tmp_path).protocol)


def test_versions_stand_side_by_side_and_the_same_row_twice_is_refused(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", [make_row()]), write(tmp_path / "new", [make_row(version=2)])
    found = neurosieve.load_results([old, new], wide=True)
    assert found.version.tolist() == [1, 2]
    assert found.set_index(KEYS).index.is_unique
    with pytest.raises(ResultsError, match=rf"m__t\.json:{line_of(old, 'model')}: m on t of b, version 1, is in"):
        neurosieve.load_results([old, shutil.copytree(old, tmp_path / "copy")])


def line_of(folder: Path, key: str) -> int:
    lines = (folder / "b" / "rows" / "m__t.json").read_text().split("\n")
    return 1 + next(i for i, line in enumerate(lines) if line.startswith(f'"{key}":'))


def break_json(folder: Path) -> None:
    path = folder / "b" / "rows" / "m__t.json"
    path.write_text(path.read_text().replace('"metric": "accuracy",', '"metric": accuracy,'))


def break_cell(folder: Path) -> None:
    path = folder / "b" / "rows" / "m__t.json"
    path.write_text(path.read_text().replace('"n_minimal": 7', '"n_minimal": "seven"'))


def break_version(folder: Path) -> None:
    path = folder / "b" / "leaderboard.csv"
    path.write_text(path.read_text().replace("b,1,strict", "b,2,strict"))


def add_csv_row(folder: Path) -> None:
    with (folder / "b" / "leaderboard.csv").open("a") as out:
        csv.writer(out, lineterminator="\n").writerow(
            ["x" if name == "n_neurons" else "other" if name == "protocol" else "" for name in COLUMNS]
        )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (break_json, r"m__t\.json:{metric}: not valid json"),
        (break_cell, r"m__t\.json:{n_minimal}: n_minimal: found 'seven', expected Int64"),
        (break_version, r"m__t\.json:{version}: version: found 1, but .*leaderboard\.csv:2 has '2'"),
        (add_csv_row, r"leaderboard\.csv:3: n_neurons: found 'x', expected Int64"),
        (lambda f: (f / "b" / "rows" / "m__t.json").unlink(), r"leaderboard\.csv:2: .*m__t\.json is not there"),
        (lambda f: (f / "b" / "rows" / "n__t.json").write_text("{}"), r"n__t\.json:1: not a row of"),
        (lambda f: (f / "b" / "leaderboard.csv").write_text("a,b\n"), r"leaderboard\.csv:1: no column benchmark"),
        (lambda f: shutil.rmtree(f / "b"), "no <benchmark>/leaderboard.csv in it; run `make benchmark`"),
    ],
)
def test_errors_name_file_and_line(fault: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    folder = write(tmp_path, [make_row()])
    lines = {key: line_of(folder, key) for key in ("metric", "n_minimal", "version")}
    fault(folder)
    for name, line in lines.items():
        message = message.replace(f"{{{name}}}", str(line))
    with pytest.raises(ResultsError, match=message):
        neurosieve.load_results(folder, wide=True)


def test_the_published_results_can_be_read() -> None:
    """Every column of the leaderboard has the right type: a new one of another type must be named in results.py."""
    tables = sorted(PUBLISHED.glob("*/leaderboard.csv"))
    if not tables:
        pytest.skip("no results here")
    wide, long = neurosieve.load_results(wide=True), neurosieve.load_results()
    raw = pd.concat([pd.read_csv(table) for table in tables])
    assert wide[KEYS].astype(str).values.tolist() == raw[KEYS].astype(str).values.tolist()
    for name in ("oracle", "share", "subset_test"):
        assert (wide[name] - raw[name].array).abs().max() < 6e-5
        assert wide[name].isna().tolist() == raw[name].isna().tolist()
    strict = long[(long.protocol == "strict") & (long.figure == "oracle")]
    assert len(strict) == (wide.protocol == "strict").sum()
    first = next(iter(sorted(tables[0].parent.glob("rows/*.json"))))
    row = json.loads(first.read_text())
    of_row = (long.benchmark == tables[0].parent.name) & (long.model == row["model"]) & (long.task == row["task"])
    picked = long[of_row & (long.figure == "judge.reference")]
    assert picked.value.tolist() == [row["judge"]["reference"]]


def test_importing_the_package_stays_cheap() -> None:
    code = "import sys, neurosieve; print([m for m in ('numpy', 'pandas', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'load_result'"):
        neurosieve.load_result  # noqa: B018

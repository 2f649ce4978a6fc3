"""Leaderboard folders for the tests of the site: the made-up benchmark, whole, renamed, or of an older release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from leaderboard_build import make_params, write_build

from neurosieve.artifacts import Paths, csv_cell
from neurosieve.leaderboard import build_leaderboard


def write_leaderboard(root: Path) -> Path:
    """build/default/leaderboard below ``root``: four models on four tasks."""
    params, paths = make_params(), Paths("default", root / "build")
    write_build(params, paths)
    build_leaderboard(params, paths)
    return paths.leaderboard()


def rename(folder: Path, names: dict[str, str]) -> None:
    """Other names of models or tasks, wherever they stand as a whole text or as a cell."""

    def other(value: object) -> object:
        if isinstance(value, dict):
            return {names.get(key, key): other(one) for key, one in value.items()}
        if isinstance(value, list):
            return [other(one) for one in value]
        return names.get(value, value) if isinstance(value, str) else value

    for path in folder.rglob("*.json"):
        path.write_text(json.dumps(other(json.loads(path.read_text()))))
    table = folder / "leaderboard.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    cells = [",".join(csv_cell(names[cell]) if cell in names else cell for cell in line) for line in lines]
    table.write_text("\n".join(cells) + "\n")


def make_older(folder: Path) -> None:
    """As a release without benchmark.json and without the later keys of rows."""
    (folder / "benchmark.json").unlink()
    (folder / "transfer.json").unlink(missing_ok=True)
    for name in ("metrics", "draws"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (folder / "rows").glob("*.json"):
        row = json.loads(path.read_text())
        for key in (
            "attribution",
            "effects",
            "faithfulness",
            "lenses",
            "evidence",
            "evidence_tests",
            "classes",
            "draws",
        ):
            row.pop(key, None)
        row["oracle_probe"].pop("tried", None)
        path.write_text(json.dumps(row))

"""docs/validity.md: every finding has a row, every test that it names exists; and what no other test covers."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import yaml

from neurosieve.config import load_params

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "validity.md"
FINDINGS = 26
# Findings that a later release settles; whoever writes their tests takes them out here.
NOT_YET: set[int] = set()


def rows() -> dict[int, list[str]]:
    """Number of a finding -> cells: found, what settles it, tests, command."""
    found: dict[int, list[str]] = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| \d+ \|", line):
            number, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert int(number) not in found, f"{DOCUMENT.name}: row {number} stands there twice"
            found[int(number)] = cells
    return found


def named(text: str) -> list[str]:
    """Test ids in backquotes."""
    return re.findall(r"`(tests/[^`]*?::[^`]*)`", text)


@functools.cache
def defined(path: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


def test_every_finding_has_a_row_of_four_cells():
    table = rows()
    assert sorted(table) == list(range(1, FINDINGS + 1))
    assert {n: len(cells) for n, cells in table.items() if len(cells) != 4} == {}
    assert all(cell for cells in table.values() for cell in cells)


def test_every_finding_names_a_test_or_says_not_yet():
    for number, (_, settled, tests, _) in rows().items():
        if number in NOT_YET:
            assert settled.startswith("not yet:") and tests == "not yet", number
        else:
            assert named(tests), f"row {number} names no test as `tests/file.py::test_name`"


def test_every_test_that_is_named_exists():
    ids = named(DOCUMENT.read_text(encoding="utf-8"))
    missing = []
    for test in ids:
        path, name = test.split("::")
        if not (ROOT / path).is_file() or name not in defined(ROOT / path) or not name.startswith("test_"):
            missing.append(test)
    assert not missing and len(ids) > FINDINGS


def test_pytest_commands_name_tests_that_exist():
    for number, (_, _, _, command) in rows().items():
        for path, name in re.findall(r"pytest (\S+)::(\w+)", command):
            assert name in defined(ROOT / path), f"row {number}: {path}::{name}"


def test_no_wheel_of_the_benchmark_was_trained_on():
    """Every wheel of the default tasks is among those whose functions training leaves out, and none is trained on."""
    raw = yaml.safe_load((ROOT / "workflow" / "train.yaml").read_text(encoding="utf-8"))["corpus"]
    left_out = {(w["name"], w["version"], w["sha256"]) for w in raw["task_wheels"]}
    params = load_params(ROOT / "params.yaml")
    used = {
        (w.name, w.version, w.sha256)
        for task in params.run.tasks
        for corpus in params.task_corpora(task)
        for w in params.prepare.corpora[corpus].wheels or []
    }
    assert used and used <= left_out
    assert not {w["name"].lower() for w in raw["wheels"]} & {name.lower() for name, _, _ in left_out}

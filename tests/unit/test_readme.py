"""The README's leaderboard is that of the committed results."""

import json
from pathlib import Path

from neurosieve.config import load_params
from neurosieve.leaderboard.table import format_table, row_file

RESULTS = Path("results/default")


def read(name: str):
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def test_the_table_is_what_the_command_prints():
    """Else: paste the lines of `neurosieve show` up to `page:`, four spaces before each."""
    run = load_params(Path("params.yaml")).run
    rows = [read(row_file(model, task)) for task in run.tasks for model in run.models]
    printed = format_table(rows, read("comparisons.json")).strip("\n").splitlines()
    assert len(printed) > len(run.models)
    wanted = "\n".join(f"    {line}".rstrip() for line in printed)
    assert wanted in Path("README.md").read_text(encoding="utf-8")

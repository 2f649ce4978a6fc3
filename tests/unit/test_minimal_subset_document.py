"""docs/minimal-subset.md has the table and the pictures of the committed results."""

import importlib.util
import sys
from pathlib import Path

from leaderboard_build import make_all

sys.path.insert(0, "benchmarks")  # of pictures.py
SPEC = importlib.util.spec_from_file_location("minimal_subset", Path("benchmarks/minimal_subset.py"))
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def test_the_document_has_the_table_and_the_pictures_of_the_committed_results():
    rows = script.read(Path("results"))
    text = script.DOCUMENT.read_text(encoding="utf-8")
    assert rows and script.summary(rows) in text
    assert script.robustness(rows) in text
    for row in rows:
        name = f"minimal-subset-{row['model']}-{row['task']}.svg"
        assert (name in text) == (row["bound"] is not None)
        if row["bound"] is not None:
            assert script.objectives(row) in text
            picture = (script.DOCS / name).read_text(encoding="utf-8")
            assert script.pictures.named(script.drawn(row).spec) in picture


def test_the_table_of_what_was_asked():
    """Of rows that claim a minimum and have a search for headline; nothing where there is none."""
    rows = [row for row in make_all()[0] if row["status"] == "supported"]
    asked = [row for row in rows if row["robustness"]["reason"] is None]
    lines = script.robustness(rows).splitlines()
    assert 0 < len(asked) < len(rows) and len(lines) == 2 + len(asked)
    row, k = asked[0], asked[0]["n_minimal"]
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:7] == [row["task"], row["model"], str(k), "1", f"{0.05 * k:.0f}", "0.70", "0.841"]
    assert cells[7:11] == ["0.29", "0.05", "0.10", str(2 * k)]
    assert cells[11:] == ["0.841-0.841", "0 of 4", "1", "0.089", "0.087"] and len(lines[0].split("|")) == 18
    found = row["robustness"]
    more = row | {"robustness": found | {"disjoint": found["disjoint"] | {"passing": 3, "stopped": "limit"}}}
    assert "| 3 or more |" in script.robustness([more])
    ranked = row | {"robustness": found | {"halves": {"reason": "a ranking"}}}
    assert script.robustness([ranked, row | {"robustness": None}]) == ""

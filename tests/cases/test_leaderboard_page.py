"""Cases on the pages of the leaderboard and the terminal; what needs a browser is in tests/system/test_site.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from leaderboard_build import make_all
from site_build import rename, write_leaderboard

from neurosieve.leaderboard import table
from neurosieve.site import pages
from neurosieve.site.read import read_results

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", ["params.yaml", *sorted(f"presets/{p.name}" for p in ROOT.glob("presets/*.yaml"))])
def test_N8_a_benchmark_of_the_repository_names_its_own_command(path):
    benchmark = re.search(r"^benchmark: (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.M)[1]
    assert pages.COMMANDS[benchmark] == "make benchmark" + ("" if path == "params.yaml" else f" PARAMS={path}")


@pytest.mark.parametrize(
    ("benchmark", "shown"),
    [("real-data", "PARAMS=presets/real-data.yaml"), ("mine", "PARAMS=&lt;your params file&gt;")],
)
def test_N8_the_site_shows_it_and_asks_for_the_params_file_of_another(tmp_path, benchmark, shown):
    folder = write_leaderboard(tmp_path)
    rename(folder, {"default": benchmark})
    assert f"<code>make benchmark {shown}</code>" in pages.render([read_results(folder)])["benchmarks.html"]


def undecided() -> dict:
    """A row whose test score is far above the majority, though few judge rows did not show it."""
    row = next(r for r in make_all()[0] if r["control_of"] is None and r["status"] == "supported")
    entry = {"score": 0.807, "difference": 0.15, "lower": -0.011, "p": 0.03, "p_holm": 0.24}
    row |= {"status": "at chance", "oracle": 0.96, "majority": 0.807}
    row["comparisons"] = {**row["comparisons"], "judge": {**row["comparisons"]["judge"], "majority": entry}}
    row["sample"] = {**row["sample"], "rows": 24, "files": 12}
    return row


def test_N11_a_status_that_the_scores_do_not_show_has_its_reason_below():
    row = undecided()
    lines = table.format_table([row]).splitlines()
    assert "at chance" in lines[3] and "0.960" in lines[3]
    assert lines[4].strip() == (
        "not above the majority class (0.807 on test) on judge: +0.150, lower bound -0.011, p 0.240; 24 rows, 12 files"
    )
    assert max(map(len, lines)) <= table.TERMINAL_WIDTH


@pytest.mark.parametrize(
    "change", [{"status": "supported"}, {"oracle": 0.807}, {"oracle": None}, {"status": "no twin"}]
)
def test_N11_no_reason_where_the_figures_show_it(change):
    assert table.hidden_reason(undecided()) is not None
    assert table.hidden_reason(undecided() | change) is None

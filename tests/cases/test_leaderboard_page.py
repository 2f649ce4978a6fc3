"""Cases on the leaderboard's page and the terminal's table; what needs a browser is in tests/system/test_page.py."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from leaderboard_build import make_all, make_params

from neurosieve.leaderboard import page, page_facts, table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def html() -> str:
    return page.render(*make_all(), {})


def links(html: str) -> list[str]:
    return re.findall(r'<a [^>]*href="([^"#][^"]*)"', html)


@pytest.mark.parametrize("path", ["params.yaml", *sorted(f"presets/{p.name}" for p in ROOT.glob("presets/*.yaml"))])
def test_N8_a_benchmark_of_the_repository_names_its_own_command(path):
    benchmark = re.search(r"^benchmark: (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.M)[1]
    assert page.COMMANDS[benchmark] == "make benchmark" + ("" if path == "params.yaml" else f" PARAMS={path}")


@pytest.mark.parametrize(
    ("benchmark", "shown"),
    [("real-data", "PARAMS=presets/real-data.yaml"), ("mine", "PARAMS=&lt;your params file&gt;")],
)
def test_N8_the_page_shows_it_and_asks_for_the_params_file_of_another(benchmark, shown):
    rows, cards, meta = make_all()
    assert f"<code>make benchmark {shown}</code>" in page.render(rows, cards, meta | {"benchmark": benchmark}, {})


def test_N9_files_beside_the_page_are_linked(html):
    params = make_params()
    rows = {table.row_file(model, task) for model in params.run.models for task in params.run.tasks}
    named = set(links(html))
    assert {"leaderboard.csv", "comparisons.json", "manifest.json", *rows} <= named
    assert "transfer.json" not in named  # it is off here, and is then not written
    for name in named - rows:
        if name.startswith("../../"):
            assert (ROOT / name.removeprefix("../../")).is_file(), name
        elif name.startswith("https:"):
            assert name in (ROOT / "README.md").read_text(encoding="utf-8")


def test_N9_a_link_holds_whatever_the_name_holds():
    rows, cards, meta = make_all()
    name = 'a b#c?d%"<script>'
    for row in rows:
        if row["model"] == "minilm":
            row["model"] = name
    models = [name if m == "minilm" else m for m in meta["models"]]
    text = page.render(rows, cards, meta | {"models": models}, {})
    assert table.row_file(name, "doc-match") in map(unquote, links(text))
    assert text.count("<script") == 1


def test_N9_long_sections_are_closed(html):
    assert "<details open" not in html
    outside = re.sub(r"<details>.*?</details>", "", html, flags=re.S)
    assert outside.count("<figure>") == len(page_facts(make_params())["tasks"])  # the overview of each task
    assert outside.count("<table") == 1  # the leaderboard


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

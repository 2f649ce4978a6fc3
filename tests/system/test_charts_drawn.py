"""Charts in a real browser (Debian's chromium): every picture of published rows, under the site's strict policy."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from neurosieve.site import charts, report
from neurosieve.site.charts.parts import needed

CHROMIUM = shutil.which("chromium")
SITE = Path(charts.__file__).parent.parent
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'"
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium in the PATH (apt-get install chromium)"),
]
# draws all, whatever is in sight, moves the mouse over a point, and writes down what it saw
PROBE = """addEventListener("load", () => setTimeout(() => {
  dispatchEvent(new Event("beforeprint"));
  setTimeout(() => {
    const figures = [...document.querySelectorAll("figure.chart")];
    const faults = figures.filter(({ dataset: d }) => d.error || d.warnings || !d.drawn)
      .map((f) => `${f.id}: ${f.dataset.error || f.dataset.warnings || "not drawn"}`);
    const marks = figures.map((f) => f.querySelectorAll(".plot svg path").length);
    const point = [...document.querySelectorAll(".plot svg .mark-symbol path")].at(-1);
    point.dispatchEvent(new MouseEvent("pointerover", { bubbles: true, clientX: 9, clientY: 9 }));
    point.dispatchEvent(new MouseEvent("pointermove", { bubbles: true, clientX: 9, clientY: 9 }));
    const tip = document.querySelector(".chart-tip");
    const text = tip.hidden ? null : tip.textContent;
    const seen = { faults, marks, tip: text, children: tip.querySelectorAll("b").length };
    document.documentElement.dataset.answer = JSON.stringify(seen);
  }, 300);
}, 100));"""


def look(folder: Path, found: list[charts.Chart], width: int = 1280) -> dict:
    """What the probe saw of a page with these charts, opened from its folder."""
    for name in ("assets/charts.js", "assets/charts.css", "vendor/vega.min.js"):
        shutil.copy(SITE / name, folder)
    (folder / "probe.js").write_text(PROBE)
    head = f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '<link rel="stylesheet" href="charts.css">'
    scripts = "".join(f'<script src="{name}"></script>' for name in ("vega.min.js", "charts.js", "probe.js"))
    body = "".join(report.figure(chart, f"{chart.key}-{i}") for i, chart in enumerate(found))
    (folder / "page.html").write_text(f"{head}<body>{body}{scripts}", encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--no-first-run", f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
        "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom", (folder / "page.html").as_uri(),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Content Security Policy" not in run.stderr
    answer = re.search(r'data-answer="([^"]*)"', run.stdout)
    assert answer is not None, run.stderr
    return json.loads(html.unescape(answer[1]))


def of_benchmark(name: str) -> list[charts.Chart]:
    folder = Path("results") / name
    rows = [json.loads(path.read_text()) for path in sorted((folder / "rows").glob("*.json"))]
    whole = {
        key: json.loads((folder / f"{key}.json").read_text()) if (folder / f"{key}.json").is_file() else {}
        for key in ("transfer", "effects", "languages")
    }
    own = [row for row in rows if not row["control_of"]]
    ends = (own[0]["model"], own[-1]["model"]) if own[0]["model"] != own[-1]["model"] else ("A", "B")
    sizes = [
        {**size, "task": row["task"], "series": series}
        for row in own
        for series in ends
        if row["model"] == series and (size := needed(row)) is not None
    ]
    scores = [
        {"task": "t", "difference": 0.25, "low": 0.125, "high": 0.5, "apart": True, "what": ""},
        {"task": "u", "difference": -0.125, "low": None, "high": None, "apart": False, "what": ""},
    ]
    found = charts.of_models(ends, scores, sizes, max(row["n_neurons"] for row in own)) if sizes else []
    found += charts.overview(rows) + charts.of_pair(own[0], own[-1])
    for row in own[:: max(1, len(own) // 6)]:
        found += charts.of_row(row)
    for task in sorted({row["task"] for row in rows})[:3]:
        found += charts.of_task(task, [row for row in rows if row["task"] == task])
    for model in sorted({row["model"] for row in own})[:2]:
        found += charts.of_model(model, [r for r in rows if r["model"] == model], SimpleNamespace(**whole))
    return found


@pytest.mark.parametrize("name", ["concepts", "default", "real-data", "training"])
def test_every_picture_is_drawn_without_a_warning(tmp_path, name):
    seen = look(tmp_path, of_benchmark(name))
    assert seen["faults"] == []
    assert min(seen["marks"]) > 0


def test_a_narrow_page_draws_them_too(tmp_path):
    assert look(tmp_path, of_benchmark("concepts")[:20], width=500)["faults"] == []


def test_the_text_box_shows_names_as_text(tmp_path):
    row = json.loads(Path("results/concepts/rows/neurosieve-base__name-scope.json").read_text())
    found = [chart for chart in charts.overview([row | {"model": "<b>bold</b>"}])]
    seen = look(tmp_path, found)
    assert seen["faults"] == [] and seen["children"] == 0
    assert "<b>bold</b>" in seen["tip"] and "name-scope" in seen["tip"]

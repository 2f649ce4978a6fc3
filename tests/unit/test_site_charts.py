"""The charts of the site: figures of rows in specifications and tables, what is left out, the bundle's bytes."""

import copy
import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurosieve.site import charts, dvc, report
from neurosieve.site.charts import (
    agreement,
    bound,
    classes,
    cost,
    layers,
    levels,
    models,
    pair,
    parts,
    penalty,
    robustness,
    score,
    transfer,
)

VENDOR = Path(charts.__file__).parent.parent / "vendor"
ROWS = ("neurosieve-base__name-scope.json", "codebert-3mb-clone__clones.json")  # with and without the newer keys
PUBLISHED = sorted(Path("results").glob("*/rows/*.json"))

ROW: dict[str, Any] = {
    "model": "m",
    "task": "t",
    "control_of": None,
    "benchmark": "b",
    "metric": "accuracy",
    "status": "supported",
    "ranking": "lca",
    "margin": 0.02,
    "n_neurons": 100,
    "width": 50,
    "n_minimal": 10,
    "n_minimal_low": 5,
    "n_minimal_high": None,
    "estimate": None,
    "judge": {"majority": 0.5, "surface": 0.625, "untrained": None, "reference": 0.9},
    "curves": {
        "lca": {"kind": "ranking", "sizes": [100, 1, 10], "judge": [0.9, 0.6, 0.89], "lower": [0.0, -0.35, -0.015]},
        "greedy": {"kind": "ranking", "sizes": [1], "judge": [0.55], "lower": [-0.4]},
        "random": {"sizes": [1, 10], "judge": [0.5, 0.7], "judge_low": [0.4, 0.6], "judge_high": [0.55, 0.75]},
        "bottom": {"kind": "bottom", "sizes": [1], "judge": [0.45], "lower": [-0.5]},
    },
    "chosen_layers": [4, 6],
}


def data(spec: dict[str, Any], layer: int | None = None) -> list[dict[str, Any]]:
    return (spec if layer is None else spec["layer"][layer])["data"]["values"]


def every_point(spec: dict[str, Any]) -> list[dict[str, Any]]:
    sources = [spec, *spec["layer"]]
    return [point for source in sources for point in source.get("data", {"values": []})["values"]]


def everything(rows: list[dict[str, Any]]) -> list[charts.Chart]:
    tasks, names = ({row[key] for row in rows} for key in ("task", "model"))
    found = charts.overview(rows) + charts.of_pair(rows[0], rows[-1])
    for row in rows:
        found += charts.of_row(row)
    for task in sorted(tasks):
        found += charts.of_task(task, [row for row in rows if row["task"] == task])
    for name in sorted(names):
        found += charts.of_model(name, [row for row in rows if row["model"] == name])
    return found


def test_the_score_chart_has_the_figures_of_the_row() -> None:
    lines = score.lines(ROW)
    assert lines["found"] == [
        {"series": "found", "n": 1, "score": 0.6},
        {"series": "found", "n": 10, "score": 0.89},
        {"series": "found", "n": 100, "score": 0.9},
    ]
    # reference plus the lower bound of the difference; reference less the margin
    assert [point["score"] for point in lines["certified"]] == [0.55, 0.885, 0.9]
    assert [(point["n"], point["score"]) for point in lines["needed"]] == [(1, 0.88), (100, 0.88)]
    assert lines["random"][1] == {"series": "random", "n": 10, "score": 0.7, "low": 0.6, "high": 0.75}
    assert [point["score"] for point in lines["bottom"]] == [0.45]
    assert [point["score"] for point in lines["best baseline: surface"]] == [0.625, 0.625]

    chart = score.chart(ROW)
    assert chart is not None
    drawn = every_point(chart.spec)
    assert {"low": 5, "high": 100} in drawn  # an interval without upper end goes to the end of the axis
    assert all(point in drawn for line in lines.values() for point in line)
    assert chart.table[0][:5] == ["neurons", "found", "certified", "needed", "random"]
    assert list(chart.table[2]) == [
        *("10", "0.890", "0.885", "0.880", "0.700", "0.600 to 0.750", parts.NONE, "0.625")
    ]  # fmt: skip


def test_an_estimate_is_dashed_and_has_no_interval() -> None:
    below, upright = score.minimum_marks({**ROW, "n_minimal": None, "n_minimal_low": None, "estimate": 10})
    assert below == []
    assert upright[0]["mark"]["strokeDash"] == parts.DASHED
    assert "strokeDash" not in score.minimum_marks(ROW)[1][0]["mark"]
    assert score.minimum_marks({**ROW, "n_minimal": None, "estimate": None}) == ([], [])


def test_r2_below_the_frame_is_clamped_and_told() -> None:
    axis = parts.score_axis("R²", [-7.5, 0.4])
    assert axis["scale"]["domain"] == [parts.LOWEST, 0.4] and axis["scale"]["clamp"]
    assert "domain" not in parts.score_axis("R²", [-0.5, 0.4])["scale"]


def test_the_bound_begins_at_a_tenth_and_rounds_its_factor_up() -> None:
    row = ROW | {
        "n_bound": 9,
        "bound": {"sizes": [0.5, 1, 10], "found": [2.0, 1.0, 0.5], "certified": [1.5, 0.75, 0.25], "objective": 0.5}
        | {"l1": 0.0, "l2": 0.1},
    }
    chart = bound.chart(row)
    assert chart is not None and "within a factor of 1.2" in chart.text
    assert [(p["series"], p["n"], p["value"]) for p in data(chart.spec)] == [
        ("found", 1, 1.0), ("found", 10, 0.5), ("certified", 1, 0.75), ("certified", 10, 0.25),
    ]  # fmt: skip
    assert bound.chart({**row, "n_minimal": None}) is None


def test_layers_tell_counts_scores_and_what_suffices() -> None:
    row = ROW | {
        "layer_scores": {"split": "judge", "single": [0.7, 0.9], "prefix": [0.7, 0.95]},
        "layer_selection": {"single": [{"layer": 1, "passes": True}], "bottom": {"passes": [False, True]}},
    }
    chosen, scores = layers.chosen(row), layers.scores(row)
    assert chosen is not None and data(chosen.spec) == [{"layer": 0, "count": 4}, {"layer": 1, "count": 6}]
    assert chosen.table[1:] == [["0", "4", "8.0 %"], ["1", "6", "12.0 %"]]
    assert scores is not None and scores.table[1:] == [
        ["0", "0.700", parts.NONE, "0.700", "no"],
        ["1", "0.900", "yes", "0.950", "yes"],
    ]


def test_halves_count_the_neurons_of_the_subset_and_the_others() -> None:
    halves = {"reason": None, "rows": [{}, {}], "frequency": [1.0, 0.5, 0.0], "ever": 4, "ever_by_chance": 5.6}
    halves["chosen"] = {"neurons": [1, 2, 8, 9], "times": [2, 1, 1, 1]}
    row = ROW | {"robustness": {"reason": None, "halves": halves}}
    chart = robustness.halves(row)
    assert chart is not None
    assert chart.table[1:] == [["0", "1", parts.NONE], ["1", "1", "2"], ["2", "1", "0"]]
    assert robustness.halves(ROW | {"robustness": {"reason": "too small"}}) is None


def test_matrices_have_a_cell_for_every_pair() -> None:
    found = {
        "rankings": ["a", "b"], "avg_overlap": [[1.0, 0.25], [0.25, 1.0]], "sizes": [10],
        "chance": {"avg_overlap": 0.1},
    }  # fmt: skip
    chart = agreement.chart({"agreement": found})
    assert chart is not None
    cells = {(c["line"], c["column"]): c["value"] for c in data(chart.spec)}
    assert cells == {("a", "a"): 1.0, ("a", "b"): 0.25, ("b", "a"): 0.25, ("b", "b"): 1.0}

    moved = {
        "tasks": ["s", "t"],
        "subsets": {"s": {"neurons": 7, "claimed": False}, "t": None},
        "reference": {"s": 0.9, "t": 0.8},
        "matrix": {"s": {"s": {"judge": 0.875, "random": 0.5}, "t": None}, "t": {"s": {"judge": 0.25, "random": 0.5}}},
    }
    chart = transfer.chart("m", moved)
    assert chart is not None
    cells = {(c["line"], c["column"]): c["value"] for c in data(chart.spec)}
    assert cells == {("s", "s"): 0.375, ("t", "s"): -0.25}
    assert chart.table[0][1] == "subset of s (about 7)" and chart.table[2][1] == "0.250 (random 0.500)"


def test_scores_on_test_per_class_and_costs() -> None:
    row = ROW | {
        "test": {
            "oracle": {"accuracy": 0.75, "low": 0.5, "high": 0.875},
            "majority": {"accuracy": 0.5},
            "subset": None,
        },
        "classes": {"oracle": {"A": {"rows": 3, "precision": None, "recall": 0.0, "f1": 0.0}}},
        "certified": {"flops": 1, "flops_of_all": 4, "blocks": 2, "blocks_needed": 1},
        "oracle_probe": {"l2": 0.1, "tried": [{"l1": 0, "l2": 0.1, "tune": 0.5}, {"l1": 0, "l2": 0.01, "tune": 0.25}]},
    }
    chart = levels.chart(row)
    assert chart is not None
    assert chart.table[1] == ["all neurons", parts.NONE, "0.750", "0.500 to 0.875"]
    assert data(chart.spec, 0) == [
        {"name": "all neurons", "value": 0.75, "low": 0.5, "high": 0.875, "neurons": parts.NONE}
    ]
    chart = classes.chart(row)
    assert chart is not None and chart.table[1] == ["A", "3", parts.NONE, "0.000", "0.000"]
    assert [(v["name"], v["value"]) for v in cost.values(row)] == [("blocks", 0.5), ("FLOPs", 0.25)]
    chart = penalty.chart(row)
    assert chart is not None and [(p["l2"], p["score"]) for p in data(chart.spec)] == [(0.01, 0.25), (0.1, 0.5)]


def test_many_models_are_the_best_ones_with_their_twins() -> None:
    rows = [ROW | {"model": f"m{i}", "judge": {"reference": i / 20}} for i in range(10)]
    rows.append(ROW | {"model": "twin-9", "control_of": "m9", "judge": {"reference": 0.0}})
    rows.append(ROW | {"model": "twin-0", "control_of": "m0", "judge": {"reference": 1.0}})
    assert [row["model"] for row in models.drawn(rows)] == [*(f"m{i}" for i in range(2, 10)), "twin-9"]
    # a row of the published protocol, which has no reference, takes no place from its model
    published = [*rows, ROW | {"model": "m9", "status": None, "judge": {}}]
    assert [row["model"] for row in models.drawn(published)][-2:] == ["twin-9", "m9"]
    chart = models.minima("t", rows)
    assert chart is not None and len(chart.table) == 13  # the picture of sizes has all of them


def test_a_pair_is_called_by_what_tells_it_apart() -> None:
    assert pair.names(ROW, ROW | {"task": "u"}) == ("t", "u")
    assert pair.names(ROW, ROW | {"model": "n", "task": "u"}) == ("m, t", "n, u")
    assert pair.names(ROW, ROW) == ("m (first)", "m (second)")
    assert pair.curves(ROW, ROW | {"metric": "r2"}) is None  # two metrics have no axis in common


SCORES = [
    {"task": "t", "difference": 0.25, "low": 0.125, "high": 0.5, "apart": True, "what": "+0.250"},
    {"task": "u", "difference": -0.125, "low": None, "high": None, "apart": False, "what": "-0.125"},
]


def test_two_models_have_a_line_for_each_task() -> None:
    claimed = {**parts.needed(ROW), "task": "t", "series": "m"}
    assert claimed == {
        "value": 10, "low": 5, "high": 100, "filled": True, "task": "t", "series": "m",
        "what": "10 of 100 neurons, on another judge 5 or more",
    }  # fmt: skip
    about = {**parts.needed(ROW | {"n_minimal": None, "estimate": 20}), "task": "t", "series": "n"}
    assert (about["value"], about["low"], about["high"], about["filled"]) == (20, None, None, False)
    assert parts.needed(ROW | {"n_minimal": None}) is None
    differences, needed = charts.of_models(("m", "n"), SCORES, [claimed, about], 100)
    assert differences.table == [["task", "B − A", "interval"], ["t", "+0.250", "0.125 to 0.500"], ["u", "-0.125", ""]]
    assert differences.spec["layer"][1]["encoding"]["x"]["scale"]["domain"] == [-0.5, 0.5]
    assert [line[:2] for line in needed.table[1:]] == [["t", "m"], ["t", "n"]]


def test_keys_are_unique_within_a_page() -> None:
    whole = SimpleNamespace(
        transfer={"m": None}, effects=json.loads(Path("results/concepts/effects.json").read_text()), languages=None
    )
    for path in PUBLISHED:
        row = json.loads(path.read_text())
        keys = [chart.key for chart in charts.of_row(row)]
        keys += [chart.key for chart in charts.of_task(row["task"], [row])]
        assert len(keys) == len(set(keys)), path
        keys = [chart.key for chart in charts.of_model(row["model"], [row], whole)]
        assert len(keys) == len(set(keys)), path
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in keys)


def test_specifications_are_plain_json_without_width_and_colours() -> None:
    rows = [json.loads(path.read_text()) for path in PUBLISHED if path.parts[1] in ("concepts", "real-data")]
    found = everything(rows)
    assert len(found) > 100
    for chart in found:
        text = json.dumps(chart.spec, allow_nan=False)
        assert "width" not in chart.spec
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", re.sub(r'"values": \[.*?\]', "", text)), chart.key
        assert len({len(line) for line in chart.table}) == 1 and len(chart.table) > 1, chart.key
        assert all(isinstance(cell, str) for line in chart.table for cell in line), chart.key


@pytest.mark.parametrize("path", [p for p in PUBLISHED if p.name in ROWS], ids=str)
def test_a_missing_key_leaves_out_pictures_and_no_more(path: Path) -> None:
    row = json.loads(path.read_text())
    whole = {chart.key for chart in charts.of_row(row)}
    needed = {"model", "task", "metric", "margin", "n_neurons", "width", "ranking", "judge", "control_of"}
    for key in set(row) - needed:
        for without in ({k: v for k, v in row.items() if k != key}, {**row, key: None}):
            found = {chart.key for chart in charts.of_row(without)}
            assert found <= whole
            charts.of_task(row["task"], [without])
            charts.of_model(row["model"], [without])
    least = {key: row[key] for key in needed}
    assert everything([least]) == []


def test_rows_are_not_changed() -> None:
    before = copy.deepcopy(ROW)
    everything([ROW, ROW])
    assert before == ROW


def test_the_template_of_dvc_is_that_of_the_score_chart() -> None:
    assert Path(".dvc/plots/curve.json").read_text(encoding="utf-8") == dvc.text()
    line = dvc.template()["layer"][0]["encoding"]
    chart = score.chart(ROW)
    assert chart is not None
    drawn = next(layer for layer in chart.spec["layer"] if layer["mark"].get("type") == "line")["encoding"]
    for name, dash in zip(line["strokeDash"]["scale"]["domain"], line["strokeDash"]["scale"]["range"], strict=True):
        scale = drawn["strokeDash"]["scale"]
        assert scale["range"][scale["domain"].index(name)] == dash
    assert line["x"]["scale"]["type"] == drawn["x"]["scale"]["type"] == "log"


def test_the_report_escapes_names_and_allows_its_scripts_alone() -> None:
    name = "</script><script>alert(1)</script>"
    html = report.page("t", [ROW | {"model": name, "task": "<b>"}])
    assert name not in html and "<b>" not in html
    assert "unsafe" not in html.split("<style>")[0]
    # vega, the drawing script, and the specifications as data
    assert len(re.findall(r"<script>", html)) == 2
    assert len(re.findall(r'<script type="application/json"', html)) == 2
    assert "\\u003c" in report.as_json({"a": name}) and json.loads(report.as_json({"a": name})) == {"a": name}


def test_the_bundle_is_that_of_its_sums() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} == {"vega.min.js", "LICENSES"}
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_the_lock_has_the_pinned_versions_and_no_host() -> None:
    pinned = json.loads((VENDOR / "package.json").read_text())["dependencies"]
    lock = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
    readme, licences = ((VENDOR / name).read_text() for name in ("README.md", "LICENSES"))
    for name, version in pinned.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert lock[f"node_modules/{name}"]["version"] == version
        assert version in readme
        # esbuild makes the file and is not in it; of the package vega only its parts are
        assert name in ("esbuild", "vega") or f"{name} {version}" in licences
    assert not any("resolved" in entry for entry in lock.values())


def explained(head: str) -> set[str]:
    text = Path("docs/read-the-leaderboard.md").read_text(encoding="utf-8")
    table = text.split(f"| {head} |")[1].split("\n\n")[0]
    return {name.strip() for line in table.splitlines()[2:] for name in line.split("|")[1].split(",")}


def test_the_guide_explains_every_picture():
    of_rows = explained("picture of a row") | {"Chosen by probes, and used by the model"}  # a comma of its own
    of_several = explained("picture of several rows")
    of_models = of_several | {"Subsets used for other tasks"}  # as on the pages of its rows
    for folder in ("concepts", "default", "real-data", "training"):
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in PUBLISHED if path.parts[1] == folder]
        whole = SimpleNamespace(
            **{
                name: json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
                for name in ("transfer", "effects", "languages")
                for file in [Path("results", folder, f"{name}.json")]
            }
        )
        found = [(chart, of_rows) for row in rows for chart in charts.of_row(row, whole)]
        found += [(chart, of_several) for chart in charts.overview(rows)]
        for task in {row["task"] for row in rows}:
            found += [(chart, of_several) for chart in charts.of_task(task, [r for r in rows if r["task"] == task])]
        for model in {row["model"] for row in rows}:
            of = [row for row in rows if row["model"] == model]
            found += [(chart, of_models) for chart in charts.of_model(model, of, whole)]
        for chart, known in found:
            assert re.split(r" \(|: |, set to", chart.title)[0] in known, chart.title
    for chart in charts.of_pair(rows[0], rows[1]) + charts.of_models(("A", "B"), SCORES, [], 10):
        assert chart.title in of_several, chart.title

"""What differs between two rows, models, results and revisions, on figures worked out by hand."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosieve import cli
from neurosieve.artifacts import ArtifactError
from neurosieve.leaderboard import draws
from neurosieve.leaderboard.table import COLUMNS
from neurosieve.site import compare
from neurosieve.site.compare import as_text, differences, differing, figures, read_side

MODELS, TASKS = ("big", "small"), ("names", "roles")


def row(model: str, task: str, **changes: Any) -> dict[str, Any]:
    found = {
        "benchmark": "tiny", "version": 3, "protocol": "strict", "model": model, "task": task, "metric": "macro_f1",
        "status": "supported", "evidence": "encoded", "oracle": 0.75, "oracle_low": 0.5, "oracle_high": 0.875,
        "subset_test": 0.5, "test": {"subset": {"low": 0.25, "high": 0.75}}, "n_minimal": 40, "n_least": 20,
        "margin": 0.01,
    }  # fmt: skip
    return found | changes


def write(folder: Path, rows: list[dict[str, Any]] | None = None, **manifest: Any) -> Path:
    """A results folder; the first model scores 0.25 more on names, shown by the paired comparison."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    if rows is None:
        rows = [row(m, t) for m in MODELS for t in TASKS]
        rows[2] |= {"oracle": 0.5, "n_minimal": 15, "n_least": 10, "status": "at chance"}
    for one in rows:
        (folder / f"rows/{one['model']}__{one['task']}.json").write_text(json.dumps(one))
    pair = {"a": "big", "b": "small", "difference": 0.25, "low": 0.125, "high": 0.5, "p": 0.001, "p_holm": 0.002}
    pairs = {"score": [pair], "subset": [pair | {"difference": 0.0, "low": -0.25, "high": 0.125}], "n_minimal": []}
    (folder / "comparisons.json").write_text(json.dumps({"names": pairs}))
    said = {
        "params": {
            "benchmark": "tiny", "version": 3, "seed": 1, "run": {"models": list(MODELS)}, "probes": {"gap": 0.1},
            "models": {"big": {"layers": 7, "note": "b"}, "small": {"layers": 4, "note": "s"}},
            "prepare": {"corpora": {}, "tasks": {"names": {"rows": {"test": 10}}, "roles": {"rows": {"test": 20}}}},
        },
        "code": "c" * 64, "lock": "1" * 64, "sources": {},
        "inputs": {f"prepare/tasks/{t}/{part}": f"{t} {part}" for t in TASKS for part in ("card", "test")},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(said | manifest))
    (folder / "leaderboard.csv").write_text("benchmark\n")
    return folder


def sides(a: str | Path, b: str | Path, default: Path) -> dict[str, Any]:
    return differences(*(read_side(str(given), lambda: default) for given in (a, b)))


def of(found: dict[str, Any], figure: str, pair: int = 0) -> dict[str, Any]:
    return next(entry for entry in found["rows"][pair]["figures"] if entry["figure"] == figure)


@pytest.fixture
def results(tmp_path) -> Path:
    return write(tmp_path / "results/tiny")


@pytest.mark.parametrize("turned", [False, True])
def test_models_on_one_task_have_the_paired_interval_of_the_leaderboard(results, turned):
    a, b = ("small__names", "big__names") if turned else ("big__names", "small__names")
    found = sides(a, b, results)
    score = of(found, "score")
    assert score == {
        "figure": "score", "paired": True, "p": 0.002, "adjusted": True, "different": None,
        "a": 0.5 if turned else 0.75, "a_low": 0.5, "a_high": 0.875,
        "b": 0.75 if turned else 0.5, "b_low": 0.5, "b_high": 0.875,
        "difference": 0.25 if turned else -0.25,
        "low": 0.125 if turned else -0.5, "high": 0.5 if turned else -0.125,
    }  # fmt: skip
    subset = of(found, "subset")
    assert (subset["low"], subset["high"]) == ((-0.25, 0.125) if turned else (-0.125, 0.25))
    assert (subset["a"], subset["a_low"], subset["a_high"], subset["paired"]) == (0.5, 0.25, 0.75, True)
    assert "p 0.002, paired" in as_text(found)


def test_numbers_of_neurons_differ_where_their_intervals_are_apart(results):
    found = of(sides("big__names", "small__names", results), "n_minimal")
    assert (found["a_low"], found["a_high"], found["b_low"], found["b_high"]) == (20, 40, 10, 15)
    assert (found["difference"], found["different"], found["paired"]) == (-25, True, False)
    for low, high, different in ((40, 50, False), (41, 50, True), (10, 20, False), (10, 19, True), (None, 50, None)):
        (*_, found) = figures(row("a", "t"), row("b", "t", n_least=low, n_minimal=high))
        assert (found["different"], found["difference"]) == (different, high - 40)
    (*_, found) = figures(row("a", "t"), row("b", "other"))
    assert (found["different"], found["difference"]) == (None, 0)


def test_the_status_is_told_where_a_row_claims_nothing(results):
    """Also where it is the same on both sides: their numbers are no minima."""
    for path in (results / "rows").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "no twin"}))
    found = sides("big__names", "small__names", results)
    assert {"name": "status", "a": "no twin", "b": "no twin"} in found["rows"][0]["columns"]
    assert "status     no twin -> no twin" in as_text(found)


def test_what_is_missing_has_no_difference(results):
    missing = row("b", "t", oracle=None, n_minimal=None, subset_test=None, test={})
    score, subset, minimal = figures(row("a", "t"), missing)
    for entry in (score, subset, minimal):
        assert entry["difference"] is entry["low"] is entry["different"] is entry["b"] is None and not entry["paired"]
    assert minimal["b_low"] is minimal["b_high"] is None and minimal["a_low"] == 20
    assert figures(row("a", "t"), row("b", "t", metric="accuracy"))[0]["difference"] is None
    assert figures({}, {})[0]["a"] is None


def test_other_tasks_and_other_results_are_unpaired(results, tmp_path):
    assert not of(sides("big__names", "big__roles", results), "score")["paired"]
    assert not of(sides("big__roles", "small__roles", results), "score")["paired"]  # no comparison of that task
    other = write(tmp_path / "other", [row("small", "names", oracle=0.5)])
    found = sides("big__names", other / "rows/small__names.json", results)
    assert (of(found, "score")["difference"], of(found, "score")["paired"]) == (-0.25, False)
    assert "-0.2500 unpaired" in as_text(found)


def test_of_rows_only_what_they_depend_on_is_compared(results, tmp_path):
    said = sides("big__names", "small__names", results)["settings"]
    assert [(e["key"], e["a"], e["b"]) for e in said["params"]] == [("model.layers", 7, 4), ("model.note", "b", "s")]
    assert said["code"] is said["lock"] is None and said["data"] == said["unknown"] == []
    said = sides("big__names", "big__roles", results)["settings"]
    assert [(e["key"], e["a"], e["b"]) for e in said["params"]] == [("task.rows.test", 10, 20)]
    assert said["data"] == [
        {"name": "card", "a": "names card", "b": "roles card"}, {"name": "test", "a": "names test", "b": "roles test"}
    ]  # fmt: skip


def test_of_folders_everything_is_compared_settings_first(results, tmp_path):
    manifest = json.loads((results / "manifest.json").read_text())
    params = manifest["params"] | {"seed": 2, "probes": {"gap": 0.1, "more": [1]}}
    inputs = manifest["inputs"] | {"prepare/tasks/roles/test": "other"}
    rows = [row("big", "names"), row("small", "names"), row("third", "names")]
    other = write(tmp_path / "other", rows, params=params, code="d" * 64, inputs=inputs)
    found = sides(results, other, results)
    assert found["settings"] == {
        "params": [
            {"key": "probes.more", "a": None, "b": [1], "only": "b"}, {"key": "seed", "a": 1, "b": 2, "only": None}
        ],
        "code": {"a": "c" * 64, "b": "d" * 64}, "lock": None, "data": [], "unknown": [],
    }  # fmt: skip
    assert [(r["a"], r["b"]) for r in found["rows"]] == [({"model": m, "task": "names"},) * 2 for m in MODELS]
    assert (found["a"]["only"], found["b"]["only"]) == (["big__roles", "small__roles"], ["third__names"])
    assert found["rows"][1]["columns"] == [{"name": "status", "a": "at chance", "b": "supported"}]
    text = as_text(found)
    places = [
        text.index(said) for said in ("seed: 1 -> 2", "code ", "small__names", "1 of 2 rows are equal", "not in A")
    ]
    assert places == sorted(places)
    both = sides(results, write(tmp_path / "both", inputs=inputs), results)
    assert both["settings"]["data"] == [{"name": "prepare/tasks/roles/test", "a": "roles test", "b": "other"}]


def test_another_interval_is_a_difference_and_its_brackets_are_explained(results, tmp_path):
    rows = [row("big", "roles"), row("small", "roles", oracle_low=0.25)]
    text = as_text(sides(results, write(tmp_path / "other", rows), results))
    assert "1 of 2 rows are equal" in text and "big__roles\n" not in text
    assert "[0.5000, 0.8750]" in text and "[0.2500, 0.8750]" in text
    assert "[] of one side" in text
    same = as_text(sides(results, write(tmp_path / "same", rows[:1]), results))
    assert "1 of 1 rows are equal" in same and "[]" not in same


def test_what_a_manifest_does_not_tell_is_unknown(results, tmp_path):
    old = write(tmp_path / "old", lock=None, inputs={"tiny/prepare/tasks/names/test": "names test"})
    said = sides(results, old, results)["settings"]
    assert said["unknown"] == ["lock"] and said["lock"] is None and said["data"] == []
    (old / "manifest.json").unlink()
    said = sides(results, old, results)["settings"]
    assert said["unknown"] == ["params", "code", "lock", "data"] and said["params"] == []
    lone = tmp_path / "row.json"
    lone.write_text(json.dumps(row("big", "names")))
    assert "not known of both: params" in as_text(sides(lone, "big__names", results))


def test_models_meet_on_their_common_tasks(results, tmp_path):
    found = sides("big", "small", results)
    assert [(r["a"]["model"], r["b"]["model"], r["a"]["task"]) for r in found["rows"]] == [
        ("big", "small", "names"), ("big", "small", "roles")
    ]  # fmt: skip
    assert len(sides("big", "small__roles", results)["rows"]) == 1
    assert len(sides("big", results, results)["rows"]) == 2
    with pytest.raises(ArtifactError, match="no row in common: big has big__names"):
        sides("big", write(tmp_path / "x", [row("third", "names")]), results)


def test_another_version_is_said_to_be_one(results, tmp_path):
    assert sides("big", "small", results)["same_benchmark"]
    found = sides("big__names", write(tmp_path / "x", [row("big", "names", version=4)]), results)
    assert not found["same_benchmark"] and "different benchmarks or versions" in as_text(found)


def test_leaves_of_settings():
    a = {"x": {"y": 1, "z": [{"p": 1}, {"p": 2}]}, "t": 1, "e": {}}
    b = {"x": {"y": 1.0, "z": [{"p": 1}]}, "t": True, "e": {"f": None}}
    assert differing(a, b) == [
        {"key": "e", "a": {}, "b": None, "only": "a"}, {"key": "e.f", "a": None, "b": None, "only": "b"},
        {"key": "t", "a": 1, "b": True, "only": None}, {"key": "x.z[1].p", "a": 2, "b": None, "only": "a"},
    ]  # fmt: skip
    assert differing(a, a) == []


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)


def test_revisions_are_read_without_a_checkout(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = Path("results/tiny")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    git("tag", "v1")
    write(default, [row("big", "names", oracle=0.625)])
    git("commit", "--quiet", "--all", "--message", "two")
    write(default, [row("big", "names", oracle=0.5)])
    for a, b, change in (
        ("v1:results/tiny", "results/tiny", -0.25), ("v1", "HEAD", -0.125), ("HEAD~1:big__names", "big__names", -0.25),
        ("v1:big", "HEAD:results/tiny/", -0.125), ("v1:results/tiny/rows/big__names.json", "HEAD", -0.125),
        ("v1", "v1:results/tiny", 0.0),
    ):  # fmt: skip
        found = sides(a, b, default)
        assert of(found, "score")["difference"] == change, (a, b)
        assert found["settings"]["unknown"] == []
    assert of(sides("v1:big__names", "v1:small__names", default), "score")["paired"]
    assert compare.committed_manifest(default)["code"] == "c" * 64
    for wrong in ("v2:results/tiny", "v1:results/none", "v1:", "v2", "--all", "v1:/results/tiny", "none__names"):
        with pytest.raises(ArtifactError, match="neither a results folder"):
            sides(wrong, "HEAD", default)


def test_files_that_are_no_results_are_named(results, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"empty: no leaderboard\.csv in it"):
        sides(tmp_path / "empty", "big", results)
    (results / "rows/big__names.json").write_text('{"model": 1,\n"task"')
    with pytest.raises(ArtifactError, match=r"rows/big__names\.json:2: not valid json"):
        sides("small", "big", results)
    (results / "rows/big__names.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"rows/big__names\.json:1: not a row"):
        sides(results / "rows/big__names.json", "big", results)


def test_the_columns_that_are_told_are_columns():
    assert set(compare.TOLD) <= set(COLUMNS)


def test_the_command(results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", "big__names", "small__names", "--results", "results/tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == sides("big__names", "small__names", Path("results/tiny"))
    changed = row("big", "names", note="\x1b[31m", oracle=0.5)
    write(tmp_path / "x", [changed])
    assert cli.main(["compare", "results/tiny", "x"]) == 0  # no params file is needed
    text = capsys.readouterr().out
    assert "\x1b" not in text and "\\x1b[31m" in text
    assert cli.main(["compare", "nothing", "x", "--results", "results/tiny"]) == 1
    assert "write a row as model__task" in capsys.readouterr().err


def with_draws(folder: Path, spread: dict[str, Any], *, judge: str = "a", test: str = "b") -> Path:
    """Two models on names with replicates: 20 of the file, by figure and model."""
    rows = [row(m, "names", draws={"judge": judge * 64, "test": test * 64}, confidence=0.9) for m in MODELS]
    write(folder, rows)
    (folder / "draws").mkdir(exist_ok=True)
    for one in rows:
        of_row = {name: np.array(values[one["model"]], float) for name, values in spread.items()}
        (folder / draws.draws_file(one["model"], "names")).write_text(draws.to_csv(of_row))
    return folder


def shifted(by: float, of: float) -> list[float]:
    return [by + of * i for i in range(20)]


# what two rows have in common is 0.01 a draw, or 10 neurons; small is 0.001 a draw below, and one neuron above
BEFORE = {"score": {"big": shifted(0.5, 0.01), "small": shifted(0.5, 0.009)},
          "n_minimal": {"big": shifted(100, 10), "small": shifted(100, 11)}}  # fmt: skip
NOW = {"score": {"big": shifted(0.45, 0.01), "small": shifted(0.45, 0.011)},
       "n_minimal": {"big": [*shifted(90, 10)[:-1], math.inf], "small": shifted(90, 10)}}  # fmt: skip


def test_two_folders_on_the_same_draws_are_paired(tmp_path):
    """90 %: the smallest of 20 and the largest."""
    one, other = with_draws(tmp_path / "one", BEFORE), with_draws(tmp_path / "other", NOW)
    found = sides(one, other, one)
    score, subset, minimal = found["rows"][0]["figures"]
    assert (score["paired"], score["adjusted"]) == (True, False)
    assert [score[key] for key in ("low", "high", "p")] == pytest.approx([-0.05, -0.05, 2 / 21])
    assert not subset["paired"] and subset["low"] is None  # no replicates of it
    assert (minimal["paired"], minimal["low"], minimal["high"], minimal["p"]) == (True, -10, None, None)
    same = sides(one, with_draws(tmp_path / "same", BEFORE), one)["rows"][0]["figures"]
    assert [str(same[0][key]) for key in ("difference", "low", "high")] == ["0.0", "0.0", "0.0"]  # not -0.0
    back = sides(other, one, one)["rows"][0]["figures"]
    assert [back[0][key] for key in ("low", "high")] == pytest.approx([0.05, 0.05])
    assert (back[2]["low"], back[2]["high"]) == (None, 10)
    small = found["rows"][1]["figures"]
    assert [small[0][key] for key in ("low", "high")] == pytest.approx([-0.05, -0.05 + 0.002 * 19])
    assert (small[2]["low"], small[2]["high"]) == (-10 - 19, -10)
    for path in (other / "rows").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"oracle": 0.7, "n_minimal": 30}))
    text = as_text(sides(one, other, one))
    assert "B - A -0.0500 [-0.0500, -0.0500], p 0.0952 (not adjusted), paired" in text
    assert "B - A -10 [-10, +inf], paired, intervals overlap" in text


def test_folders_on_other_draws_are_unpaired(tmp_path):
    one, other = with_draws(tmp_path / "one", BEFORE), with_draws(tmp_path / "other", NOW, test="c")
    score, _, minimal = sides(one, other, one)["rows"][0]["figures"]
    assert not score["paired"] and score["low"] is None and minimal["paired"]


def test_a_damaged_file_of_draws_is_named(tmp_path):
    one, other = with_draws(tmp_path / "one", BEFORE), with_draws(tmp_path / "other", NOW)
    (other / "draws/big__names.csv").write_text("score,subset,n_minimal\n0.1,,<b>\n")
    with pytest.raises(ArtifactError, match=r"other: draws/big__names.csv: line 2: found '<b>', expected a number"):
        sides(one, other, one)


def test_two_revisions_are_paired(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q"], check=True)
    for spread in (BEFORE, NOW):
        with_draws(Path("results/tiny"), spread)
        subprocess.run(["git", "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "results"], check=True)
    score, _, minimal = sides("HEAD~1", "HEAD", Path("results/tiny"))["rows"][0]["figures"]
    assert [score["low"], score["high"]] == pytest.approx([-0.05, -0.05])
    assert (minimal["low"], minimal["high"]) == (-10, None)
    # a row of each
    rows = [f"{r}:results/tiny/rows/big__names.json" for r in ("HEAD~1", "HEAD")]
    assert sides(*rows, Path("results/tiny"))["rows"][0]["figures"] == [score, _, minimal]

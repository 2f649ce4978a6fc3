"""The leaderboard: table, csv, terminal, what the benchmark is, publishing."""

from __future__ import annotations

import copy
import math
import subprocess
import threading
from pathlib import Path
from typing import Any

import leaderboard_build as made
import pytest
from leaderboard_build import collected, make_all

from neurosieve.artifacts import ArtifactError, Paths, Writer, check_files, read_json, read_manifest
from neurosieve.leaderboard import build_leaderboard, collect, publish, table, tracked
from neurosieve.verify.differences import compare_results

COLUMNS = (
    "benchmark,version,protocol,model,task,training,status,metric,n_neurons,oracle,oracle_low,oracle_high,"
    "oracle_spearman,reference,majority,surface,surface_name,untrained,ranking,n_minimal,n_least,n_minimal_low,"
    "n_minimal_high,n_failing,n_bound,bound_factor,share,layers_used,"
    "subset_test,random_test,bottom_test,confirmed,evidence,dev_half_width,best_ranking,best_n_minimal,"
    "lca_n_minimal,lca_n_minimal_low,lca_n_minimal_high,note,"
    "published_model,published_metric,published_score,published_n_neurons,published_subset_score"
)


def make_row(model: str, task: str, **changed: Any) -> dict[str, Any]:
    row = next(r for r in collected()[0] if (r["model"], r["task"]) == (model, task))
    return copy.deepcopy(row) | changed


# table


def test_csv_has_the_agreed_columns_and_cells():
    row = make_row("neurosieve-base", "token-roles", n_minimal=12, share=12 / 3456, note='says "a, b"', confirmed=True)
    text = table.to_csv(table.build_table([row, make_row("neurosieve-base-untrained", "doc-match")]))
    lines = text.split("\n")
    assert lines[0] == COLUMNS
    assert lines[-1] == "" and "\r" not in text
    first, second = table.read_csv(text)
    assert first["share"] == "0.0035" and first["oracle"] == "0.8410" and first["confirmed"] == "true"
    assert first["n_minimal"] == "12" and first["note"] == 'says "a, b"' and first["layers_used"] == "0,2-4"
    assert second["n_minimal"] == second["untrained"] == second["confirmed"] == ""


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), (False, "false"), (0.00004, "0.0000"), (7, "7"), (1.0, "1.0000")]
)
def test_cells(value, text):
    assert table.cell(value) == text


def test_a_cell_that_is_no_number_is_refused():
    with pytest.raises(table.TableError, match="write None"):
        table.cell(math.nan)


def test_text_that_a_spreadsheet_would_run_is_guarded():
    rows = [{**dict.fromkeys(table.COLUMNS), "note": "=1+1", "share": -0.5}]
    found = table.read_csv(table.to_csv(rows))[0]
    assert found["note"] == "'=1+1" and found["share"] == "-0.5000"


def test_rows_that_make_no_table_are_refused():
    row = make_row("minilm", "doc-match")
    with pytest.raises(table.TableError, match="twice"):
        table.build_table([row, row])
    with pytest.raises(table.TableError, match="several benchmarks or versions"):
        table.build_table([row, make_row("minilm", "token-roles", version=2)])
    with pytest.raises(table.TableError, match="row 0: no share"):
        table.build_table([{k: v for k, v in row.items() if k != "share"}])


def test_changed_cells_name_row_column_and_both_values():
    rows = [make_row("minilm", "doc-match", oracle=0.5), make_row("minilm", "token-roles")]
    before = table.to_csv(table.build_table(rows))
    after = table.to_csv(table.build_table([rows[0] | {"oracle": 0.6}, make_row("neurosieve-base", "token-roles")]))
    assert table.changed_cells(before, before) == []
    assert table.changed_cells(before, after) == [
        {"row": "minilm/doc-match", "column": "oracle", "committed": "0.5000", "now": "0.6000"},
        {"row": "neurosieve-base/token-roles", "column": "(all)", "committed": "(none)", "now": "(a row)"},
        {"row": "minilm/token-roles", "column": "(all)", "committed": "(a row)", "now": "(none)"},
    ]


def test_terminal_table_fits_and_shows_the_figures():
    rows, _, _ = make_all()
    long = make_row("neurosieve-base", "token-roles", n_minimal=3000, n_minimal_low=2100, n_minimal_high=3456) | {
        "model": "a-model-" * 9
    }
    text = table.format_table([*rows, long])
    assert max(len(line) for line in text.splitlines()) <= 120
    row = make_row("neurosieve-base", "token-roles")
    line = next(x for x in text.splitlines() if x.startswith("  neurosieve-base ") and f" {row['n_minimal']} [" in x)
    for part in ("supported", "0.841", f"[{row['n_minimal_low']}-", "3456", "0.833", "0.721"):
        assert part in line
    assert "3000 [2100-3456]" in text and " ~120 " in text


def test_terminal_has_a_block_a_task_with_its_baselines_and_a_line_for_all_twins():
    rows, _, _ = make_all()
    text = table.format_table(rows)
    for task in {row["task"] for row in rows}:
        members = [row for row in rows if row["task"] == task]
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{task}: {members[0]['metric']}, majority "))
        assert f"surface {members[0]['surface']:.3f} ({members[0]['surface_name']})" in lines[at]
        trained = [row["model"] for row in members if row["control_of"] is None]
        shown = [line.split()[0] for line in lines[at + 1 : at + 1 + len(trained)]]
        assert shown == trained and len(trained) > 1
        told = text.split(lines[at])[1]
        for twin in (row for row in members if row["control_of"] is not None):
            assert f"{twin['model']} {twin['oracle']:.3f} ({twin['status']})" in told
            assert not any(line.startswith(f"  {twin['model']} ") for line in lines)


@pytest.mark.parametrize(
    ("p", "difference", "told"),
    [
        (0.04, 0.1, "a above b (+0.100 [+0.050, +0.150])"),
        (0.04, -0.1, "b above a (+0.100 [+0.050, +0.150])"),
        (0.06, -0.1, "a not told from b (-0.100 [-0.150, -0.050])"),
    ],
)
def test_terminal_compares_trained_models_by_the_adjusted_p(p, difference, told):
    rows = [make_row("neurosieve-base", "token-roles") | {"model": m, "ranks": {"score": i, "n_minimal": None}}
            for i, m in enumerate("ab", 1)]  # fmt: skip
    pair = {
        "a": "a", "b": "b", "difference": difference, "low": difference - 0.05, "high": difference + 0.05, "p_holm": p,
    }  # fmt: skip
    other = pair | {"b": "a-twin", "p_holm": 0.001}
    text = table.format_table(rows, {"token-roles": {"score": [pair, other]}})
    assert f"\n  {told}\n" in text and "a-twin" not in text
    ranks = [line.split()[text.splitlines()[0].split().index("rank")] for line in text.splitlines()[3:5]]
    assert ranks == ["1", "2"]
    # one trained model: nothing to compare
    alone = table.format_table(rows[:1], {"token-roles": {"score": [pair]}})
    assert "rank" not in alone and "above" not in alone


def test_terminal_has_the_bound_only_where_it_fits_beside_whole_names():
    legend = ">=: no set of fewer neurons fits train as well at that penalty; not a bound on accuracy."
    row = make_row("neurosieve-base", "token-roles")
    short = table.format_table([row])
    assert " 260 [182-494] >=200 " in short and legend in short
    for changed in ({"model": "m" * 60}, {"n_bound": None, "bound_factor": None}, {"n_bound": 0}):
        text = table.format_table([row | changed])
        assert " 260 [182-494] " in text and ">=" not in text
    assert ">=" not in table.format_table([make_row("neurosieve-base", "doc-match")])  # no minimum


def test_best_baseline_skips_what_is_missing():
    row = {"majority": 0.1, "surface": None, "untrained": 0.3}
    assert table.best_baseline(row) == ("untrained", 0.3)
    assert table.best_baseline(dict.fromkeys(row)) is None


# the rows, from the artifacts of the earlier phases


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Paths:
    params, paths = made.make_params(), Paths("default", tmp_path_factory.mktemp("build"))
    made.write_build(params, paths)
    build_leaderboard(params, paths)
    return paths


def test_figures_of_a_row_are_those_of_the_files(built):
    row = make_row("neurosieve-base", "token-roles")
    search = read_json(built.search("neurosieve-base", "token-roles") / "curves.json")
    scores = read_json(built.scores("neurosieve-base", "token-roles") / "scores.json")
    cells = ("n_minimal", "n_minimal_low", "n_minimal_high")
    main, lca = search["curves"][made.HEADLINE], search["curves"]["lca"]
    assert [row[c] for c in cells] == [260, 182, 494] == [main[c] for c in cells]
    assert [row[f"lca_{c}"] for c in cells] == [448, 313, 851] == [lca[c] for c in cells]
    assert row["ranking"] == row["best_ranking"] == "elimination" and row["best_n_minimal"] == 260
    assert row["bound"] == search["bound"] and row["mean_tune"] == search["mean_tune"]
    assert (
        (row["n_bound"], row["bound_factor"]) == (200, 1.3) == (search["bound"]["n_bound"], search["bound"]["factor"])
    )
    assert row["share"] == 260 / 3456 and row["n_neurons"] == 9 * 384 and row["constant_neurons"] == 2
    for column, key in (
        ("oracle", "all"),
        ("reference", "reference"),
        ("subset_test", "subset-elimination"),
        ("bottom_test", "bottom-elimination"),
    ):
        assert row[column] == scores["sets"][key]["macro_f1"], column
    assert row["random_test"] == scores["random"]["elimination"]["macro_f1"]
    assert row["oracle_low"] == scores["sets"]["all"]["low"] < row["oracle"] < row["oracle_high"]
    assert row["surface"] == scores["baselines"]["char-ngrams"]["macro_f1"] and row["surface_name"] == "char-ngrams"
    assert row["majority"] == scores["baselines"]["majority"]["macro_f1"]
    assert row["untrained"] == scores["untrained"]["macro_f1"]
    assert row["judge"]["surface"] == search["baselines"]["surface"]["judge"]
    assert row["reference_name"] == "layers 0-4" and row["layers_used"] == "0,2-4"
    assert (
        row["chosen_layers"]
        == made.np.bincount([n // 384 for n in row["neurons"]["elimination"]], minlength=9).tolist()
    )
    assert row["certified"]["highest_layer"] == max(row["neurons"]["elimination"]) // 384
    assert row["layer_scores"]["prefix"][0] == row["layer_scores"]["single"][0]
    assert (
        row["layer_scores"]["prefix"][8]
        == read_json(built.probes("neurosieve-base", "token-roles") / "probes.json")["sets"]["all"]["judge"]["macro_f1"]
    )


def test_a_row_without_a_bound_or_without_the_curve_of_lca_has_no_such_cells(built):
    bounded, cells = ("n_bound", "bound_factor"), ("lca_n_minimal", "lca_n_minimal_low", "lca_n_minimal_high")
    for row in collected()[0]:
        curves = read_json(built.search(row["model"], row["task"]) / "curves.json")
        assert (row["bound"] is None) == (row["n_bound"] is None) == (row["bound_factor"] is None)
        assert [row[c] for c in cells] == [curves["curves"].get("lca", {}).get(c.removeprefix("lca_")) for c in cells]
    none = make_row("neurosieve-base", "doc-match")  # no minimum is claimed
    assert [none[c] for c in (*bounded, *cells)] == [None] * 5 and none["estimate"] == 120
    twin = make_row("neurosieve-base-untrained", "token-roles")  # the headline's curve alone
    assert twin["n_minimal"] == 217 and twin["n_bound"] == 167 and [twin[c] for c in cells] == [None] * 3
    line = table.read_csv((built.leaderboard() / "leaderboard.csv").read_text())[0]
    assert [line[c] for c in (*bounded, *cells)] == ["200", "1.3000", "448", "313", "851"]


def test_order_of_rows_and_files_of_the_artifact(built):
    check_files(built.leaderboard())
    lines = table.read_csv((built.leaderboard() / "leaderboard.csv").read_text())
    names = [(r["model"], r["task"]) for r in lines]
    assert names == [(m, t) for m in made.MODELS for t in made.LEVELS]
    files = set(read_manifest(built.leaderboard())["files"])
    own = {"leaderboard.csv", "comparisons.json", "benchmark.json"}
    per_row = (("rows", "json"), ("metrics", "json"), ("curves", "csv"), ("draws", "csv"))
    assert files == own | {f"{folder}/{m}__{t}.{end}" for m, t in names for folder, end in per_row}
    for line in lines:
        row = read_json(built.leaderboard() / "rows" / f"{line['model']}__{line['task']}.json")
        assert {c: table.cell(row.get(c)) for c in table.COLUMNS} == line


def test_manifest_names_every_folder_that_was_read(built):
    found = {p.parent.relative_to(built.root).as_posix() for p in built.root.rglob("manifest.json")} - {"leaderboard"}
    assert set(read_manifest(built.leaderboard())["inputs"]) == found


def test_the_same_build_has_the_same_bytes(built, tmp_path):
    params, paths = made.make_params(), Paths("default", tmp_path)
    made.write_build(params, paths)
    build_leaderboard(params, paths)
    for path in sorted(built.leaderboard().rglob("*.*")):
        assert path.read_bytes() == (paths.leaderboard() / path.relative_to(built.leaderboard())).read_bytes(), (
            path.name
        )


def test_X11_a_row_has_a_file_of_what_is_compared_and_a_curve_that_ends_where_the_table_says(built):
    folder = built.leaderboard()
    row = read_json(folder / "rows" / "minilm__token-roles.json")
    interval = f"{row['n_minimal_low']}-{row['n_minimal_high']}"
    assert read_json(folder / "metrics" / "minilm__token-roles.json") == {
        "baseline": max(row["majority"], row["surface"], row["untrained"]),
        "n_minimal": 260,
        "n_minimal_5_95": interval,
        "score": row["oracle"],
        "status": "supported",
        "subset": row["subset_test"],
    }
    # a missing figure has no key: `dvc metrics show` prints a dash
    assert not {"n_minimal", "n_minimal_5_95"} & set(read_json(folder / "metrics" / "minilm__doc-match.json"))
    lines = table.read_csv((folder / "curves" / "minilm__token-roles.csv").read_text())
    drawn = row["curves"][row["ranking"]]
    assert list(lines[0]) == ["neurons", "found", "certified", "needed"]
    assert [int(line["neurons"]) for line in lines] == sorted(drawn["sizes"])
    scores = dict(zip(drawn["sizes"], drawn["judge"], strict=True))
    assert [line["found"] for line in lines] == [f"{scores[int(line['neurons'])]:.4f}" for line in lines]
    assert {float(line["needed"]) for line in lines} == {round(row["judge"]["reference"] - row["margin"], 4)}


def test_no_long_token_type_is_published(built):
    for path in built.leaderboard().rglob("*.*"):
        assert "two long lines" not in path.read_text(), path.name
    types = {t["type"] for r in collected()[0] for n in r["concepts"]["neurons"] for t in n["types"]}
    assert '"""A text\\nof two long …' in types and max(map(len, types)) == 24 and "<b>" in types


def test_holm_goes_over_the_rows_on_test():
    rows = make_all()[0]
    alone = [r for r in rows if r["model"] in ("minilm", "minilm-untrained") and r["task"] == "token-roles"]
    collect.confirm(alone, 0.95, 1000)
    first = alone[0]["comparisons"]["test"]["majority"]
    assert first["p"] == first["p_holm"] == 0.001  # one row in the family: nothing to adjust
    assert alone[1]["comparisons"]["test"]["majority"]["p_holm"] is None
    eight = next(r for r in rows if r["model"] == "neurosieve-base" and r["task"] == "token-roles")
    assert eight["comparisons"]["test"]["majority"]["p_holm"] == pytest.approx(0.008)  # of eight rows, all at p = 0.001


@pytest.mark.parametrize(
    ("p", "subset", "confirmed", "says"),
    [
        (0.01, True, True, None),
        (0.01, None, True, None),
        (0.01, False, False, "minimal subset not confirmed on test"),
        (0.03, True, False, "status not confirmed on test"),  # 2 rows: 0.06 after Holm, though 0.03 alone
    ],
)
def test_confirmation_uses_the_adjusted_p_and_the_subset(p, subset, confirmed, says):
    rows = [make_row(m, "token-roles") for m in ("neurosieve-base", "minilm")]
    for row in rows:
        row["confirmed_subset"] = subset
        row["comparisons"]["test"]["surface"]["p"] = p
    collect.confirm(rows, 0.95, 1000)
    assert [row["confirmed"] for row in rows] == [confirmed, confirmed]
    assert rows[0]["note"] is None and collect.notes(rows[0]) == ([says] if says else [])


def test_rows_that_claim_nothing_are_not_confirmed():
    for row in collected()[0]:
        assert (row["confirmed"] is None) == (row["status"] != "supported")


def test_notes_in_plain_words():
    notes = {(r["model"], r["task"]): r["note"] for r in collected()[0]}
    assert notes["neurosieve-base", "token-roles"] is None
    assert notes["neurosieve-base", "doc-match"] == (
        "dev too small: h = 0.0131 > margin/2 = 0.005; about 14,000 judge rows needed; estimate 120 neurons"
    )
    assert notes["minilm", "variable-misuse"] == (
        "not above the majority class on judge: difference +0.0080, lower bound -0.0040; "
        "no minimum: not above the best baseline (surface); no estimate"
    )
    assert notes["minilm", "token-classes"] == (
        "status on types unseen in train: surface; keeps only 85 % of what the reference has above surface on judge"
    )
    assert "in 12 bootstrap replicates no size passes" in notes["minilm", "token-roles"]
    assert notes["minilm-untrained", "token-roles"].startswith("control row; not above char-ngrams on judge")


def test_a_row_of_a_twin_with_the_trained_embeddings_says_so():
    params = made.make_params()
    twin = params.models["neurosieve-base-untrained"]
    assert collect._model_note(params, "neurosieve-base-untrained") == "freshly initialised"
    kept = params.models | {"neurosieve-base-untrained": twin.model_copy(update={"embeddings": "kept"})}
    params = params.model_copy(update={"models": kept})
    wanted = "freshly initialised; its embeddings are the trained ones"
    assert collect._model_note(params, "neurosieve-base-untrained") == wanted
    some = params.models["neurosieve-base"].model_copy(update={"only_layers": [0, 4]})
    params = params.model_copy(update={"models": {**params.models, "neurosieve-base": some}})
    measured = "of its neurons those of the layers 0, 4 are measured"
    assert collect._model_note(params, "neurosieve-base").endswith(f"; {measured}")
    assert measured in collect._model_note(params, "neurosieve-base-untrained")


@pytest.mark.parametrize("status", ["supported", "untrained"])
def test_several_twins_are_told_as_a_range_and_one_is_not(status):
    row = {**make_row("neurosieve-base", "token-roles"), "status": status, "status_unseen": status}
    against = row["comparisons"]["judge"]["untrained"]
    one = "not above the untrained twin on judge"
    assert [text.partition(":")[0] for text in collect.notes(row)] == ([] if status == "supported" else [one])
    against["twins"] = {
        name: {"tune": 0.9 - score, "judge": score} for name, score in (("a", 0.7118), ("b", 0.7434), ("c", 0.72))
    }
    found = collect.notes(row)
    assert found[-1] == "3 untrained twins: 0.712 to 0.743 on judge"
    assert len(found) == 1 if status == "supported" else found[0].startswith("not above the best of 3 untrained twins")


@pytest.mark.parametrize(
    ("training", "twin", "note"),
    [
        ("fine-tuned here", "untrained", "fine-tuned on train, its untrained twin not"),
        ("fine-tuned here", "trained from scratch", None),
        ("fine-tuned folder", "untrained", "fine-tuned elsewhere: whether on rows of these splits is not known"),
    ],
)
def test_a_fine_tuned_row_says_what_its_training_leaves_open(training, twin, note):
    row = {**collected()[0][0], "training": training, "twin_training": twin}
    found = collect.notes(row)
    assert len(found) == (note is not None) and all(text.startswith(note) for text in found)


@pytest.mark.parametrize(
    ("layers", "text"),
    [([0, 2, 3, 4], "0,2-4"), ([5], "5"), ([3, 1, 2], "1-3"), ([0, 1, 3, 5, 6], "0-1,3,5-6"), ([], "")],
)
def test_ranges_of_layers(layers, text):
    assert collect.ranges(layers) == text


@pytest.mark.parametrize(
    ("span", "name"), [([0, 8], "all layers"), ([3, 3], "layer 3"), ([0, 4], "layers 0-4"), ([0, 0], "layer 0")]
)
def test_names_of_feature_sets(span, name):
    assert collect.set_name(span, 9) == name


def test_missing_phase_is_named(tmp_path):
    params, paths = made.make_params(["minilm"], ["doc-match"]), Paths("default", tmp_path)
    made.write_build(params, paths)
    (paths.scores("minilm", "doc-match") / "scores.json").unlink()
    with pytest.raises(ArtifactError, match=r"scores\.json: no such file; delete"):
        build_leaderboard(params, paths)
    assert not paths.leaderboard().exists()


def test_a_weak_reference_and_a_curve_that_falls_again_are_told():
    row = make_row("neurosieve-base", "token-roles")
    main = row["minima"][row["ranking"]]
    plain = "; ".join(collect.notes(row))
    assert "weak reference" not in plain and "larger number" not in plain
    weak = {"curve": "lca", "neurons": 30, "difference": 0.02, "lower": 0.01}
    assert "the best on tune (layers 0-4) is a weak reference" in "; ".join(
        collect.notes(row | {"weak_reference": weak})
    )
    minima = {row["ranking"]: main | {"n_failing": 1300, "n_every": 1301}}
    told = "; ".join(collect.notes(row | {"minima": minima}))
    assert "a larger number of neurons fails (1,300); from 1,301 on all pass" in told
    minima = {row["ranking"]: main | {"n_failing": 3456, "n_every": None}}
    assert "a larger number of neurons fails (3,456);" not in (
        told := "; ".join(collect.notes(row | {"minima": minima}))
    )
    assert "a larger number of neurons fails (3,456)" in told


def test_the_reference_is_named_by_its_layers_or_by_its_contender():
    sets = {"prefix-02": {"layers": [0, 2]}, "all": {"layers": [0, 3]}}
    of = {"set": "prefix-02", "curve": None, "neurons": 12}
    assert collect.reference_name(of, sets, 4) == "layers 0-2"
    assert collect.reference_name(of | {"set": "all"}, sets, 4) == "all layers"
    of = {"set": "greedy-1721", "curve": "greedy", "neurons": 1721}
    assert collect.reference_name(of, sets, 4) == "1,721 neurons of greedy"


# publishing


class Benchmark:
    """Stands for Params where only names are asked for."""

    benchmark = "tiny"

    class run:
        models = ("minilm",)
        tasks = ("token-roles",)


@pytest.fixture(autouse=True)
def of_these_params(monkeypatch):
    """Benchmark has no settings; tests/cases/test_doors.py asks whether a leaderboard is of a params file."""
    monkeypatch.setattr(publish, "check_made", lambda params, paths: None)


def build(tmp_path: Path, machine: str = "", **changed: object) -> Paths:
    paths = Paths("tiny", tmp_path / "build")
    row = make_row("minilm", "token-roles", **changed)
    with Writer(paths.leaderboard(), "leaderboard", {}) as out:
        out.text("leaderboard.csv", table.to_csv(table.build_table([row])))
        out.json("rows/minilm__token-roles.json", row)
        out.json("comparisons.json", {"token-roles": {"score": []}})
        out.facts = {"numerics": [machine]} if machine else {}
    return paths


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(folder), *words], check=True, capture_output=True
    )


def commit(folder: Path) -> None:
    git(folder, "init")
    git(folder, "add", "results")
    git(folder, "commit", "-m", "results")


def test_first_publication_copies_the_folder(tmp_path):
    paths, results = build(tmp_path), tmp_path / "results"
    report = publish.publish(Benchmark, paths, results)
    assert report.against == "nothing" and not report.equal
    found = {p.relative_to(results / "tiny").as_posix() for p in (results / "tiny").rglob("*") if p.is_file()}
    files = {"leaderboard.csv", "rows/minilm__token-roles.json", "comparisons.json", "manifest.json"}
    assert found == files
    assert sorted(p.name for p in results.iterdir()) == ["tiny"]


def test_equal_results_are_not_touched(tmp_path):
    paths, results = build(tmp_path), tmp_path / "results"
    publish.publish(Benchmark, paths, results)
    before = {p: p.stat().st_mtime_ns for p in results.rglob("*")}
    report = publish.publish(Benchmark, paths, results)
    assert report.equal and report.against == "folder"
    assert {p: p.stat().st_mtime_ns for p in results.rglob("*")} == before
    assert "equal those in" in report.sentence(results / "tiny")


def test_difference_to_the_commit_is_named_cell_by_cell(tmp_path):
    results = tmp_path / "results"
    publish.publish(Benchmark, build(tmp_path, oracle=0.8), results)
    commit(tmp_path)
    (results / "tiny" / "old.txt").write_text("not committed, and gone after publishing")
    paths = build(tmp_path, oracle=0.9, n_minimal=None)
    first = publish.publish(Benchmark, paths, results)
    again = publish.publish(Benchmark, paths, results)  # the folder is new now, the commit is not
    for report in (first, again):
        assert report.against == "committed" and not report.equal
        assert report.files == {
            n: "changed" for n in ("leaderboard.csv", "manifest.json", "rows/minilm__token-roles.json")
        }
        assert [(c["row"], c["column"], c["now"]) for c in report.cells] == [
            ("minilm/token-roles", "oracle", "0.9000"),
            ("minilm/token-roles", "n_minimal", ""),
        ]
        assert "minilm/token-roles, oracle: committed 0.8000, now 0.9000" in report.sentence(results)
    assert not (results / "tiny" / "old.txt").exists()
    assert (results / "tiny" / "leaderboard.csv").read_bytes() == (paths.leaderboard() / "leaderboard.csv").read_bytes()
    git(tmp_path, "add", "-A", "results")
    git(tmp_path, "commit", "-m", "new")
    assert publish.compare(Benchmark, paths, results).equal


def test_two_publications_at_once_wait_for_each_other(tmp_path):
    """While somebody holds the folder nothing is written there."""
    paths, results = build(tmp_path), tmp_path / "results"
    results.mkdir()
    runs = [threading.Thread(target=publish.publish, args=(Benchmark, paths, results)) for _ in range(2)]
    with publish._alone(results):
        for run in runs:
            run.start()
        for run in runs:
            run.join(0.5)
            assert run.is_alive()
        assert list(results.iterdir()) == []
    for run in runs:
        run.join()
    assert sorted(p.name for p in results.iterdir()) == ["tiny"]
    assert (results / "tiny" / "leaderboard.csv").read_bytes() == (paths.leaderboard() / "leaderboard.csv").read_bytes()


def test_an_interval_without_an_upper_end_says_so():
    row = make_row("minilm", "token-roles", n_minimal=260, n_minimal_low=119, n_minimal_high=None)
    assert tracked.metrics(row)["n_minimal_5_95"] == "119-none"


def test_N4_results_of_other_hardware_are_compared_within_tolerance(tmp_path):
    results = tmp_path / "results"
    publish.publish(Benchmark, build(tmp_path, oracle=0.8), results)
    commit(tmp_path)

    def said(**made):
        return publish.compare(Benchmark, build(tmp_path, **made), results, compare_results).sentence(results)

    other = {"machine": "native: aarch64"}
    near = said(oracle=0.8004, **other)
    assert near.startswith(
        "results agree with the committed ones within tolerance, on other hardware (native: aarch64): 2 files differ; "
    )
    assert "0.8 before, 0.8004 now (largest difference 0.0004, relative 0.0005)" in near and "\n" not in near
    far = said(oracle=0.9, **other).splitlines()
    assert far[0] == "results differ from the committed ones beyond tolerance, on other hardware (native: aarch64):"
    assert far[1].startswith("  leaderboard.csv: minilm/token-roles, oracle: 0.8 before, 0.9 now")
    assert [line.split(":")[0].strip() for line in far[1:]] == ["leaderboard.csv", "rows/minilm__token-roles.json"]
    fewer = said(oracle=0.8, n_minimal=1, **other)  # a choice has no tolerance
    assert "beyond tolerance" in fewer and "n_minimal" in fewer
    told = said(oracle=0.8, **other)
    assert told == "results equal the committed ones but for the manifest, on other hardware (native: aarch64)"
    # on a machine on which the pins hold there is no tolerance
    assert said(oracle=0.8004).startswith("results differ from the committed ones in 3 files")
    # and a run here is compared so with what was committed from there
    publish.publish(Benchmark, build(tmp_path, oracle=0.8, **other), results)
    git(tmp_path, "add", "-A", "results")
    git(tmp_path, "commit", "-m", "there")
    assert "within tolerance, on other hardware (native: aarch64)" in said(oracle=0.8004)


def test_rows_that_came_and_went_are_named(tmp_path):
    results = tmp_path / "results"
    paths = build(tmp_path)
    publish.publish(Benchmark, paths, results)
    (results / "tiny" / "rows" / "other__task.json").write_text("{}")
    assert publish.compare(Benchmark, paths, results).files == {"rows/other__task.json": "gone"}


def test_a_build_that_was_tampered_with_is_not_published(tmp_path):
    paths = build(tmp_path)
    (paths.leaderboard() / "leaderboard.csv").write_text("made up")
    with pytest.raises(ArtifactError, match=r"leaderboard\.csv: changed"):
        publish.publish(Benchmark, paths, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_show_prints_table_site_and_verdict(tmp_path, capsys):
    paths, results = build(tmp_path), tmp_path / "results"
    publish.publish(Benchmark, paths, results)
    commit(tmp_path)
    publish.show(Benchmark, paths, results)
    text = capsys.readouterr().out
    assert (
        "\ntoken-roles: " in text
        and "site: not made yet" in text
        and text.endswith("results equal the committed ones\n")
    )

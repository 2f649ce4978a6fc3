"""Replicates of a row's figures: their file, what the leaderboard writes of them, and paired differences by them."""

from __future__ import annotations

import leaderboard_build as made
import numpy as np
import pytest

from neurosieve.artifacts import Paths, read_json
from neurosieve.leaderboard import build_leaderboard, draws
from neurosieve.probes import intervals
from neurosieve.probes.features import read_rows


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    params, paths = made.make_params(), Paths("default", tmp_path_factory.mktemp("build"))
    made.write_build(params, paths)
    build_leaderboard(params, paths)
    return params, paths


def drawn(paths, model, task):
    folder = paths.leaderboard()
    row = read_json(folder / f"rows/{model}__{task}.json")
    return row, draws.from_csv((folder / draws.draws_file(model, task)).read_text())


def test_a_file_is_read_as_it_was_written():
    given = {"score": np.array([0.25, -3.5]), "n_minimal": np.array([12.0, np.inf])}
    text = draws.to_csv(given)
    assert text == "score,subset,n_minimal\n0.250000,,12\n-3.500000,,inf\n"
    back = draws.from_csv(text)
    assert {name: values.tolist() for name, values in back.items()} == {n: v.tolist() for n, v in given.items()}
    large = draws.to_csv({"n_minimal": np.array([1234567.0])})
    assert large.endswith(",,1234567\n")  # not 1.23457e+06


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: found ''"),
        ("score,subset\n", "line 1"),
        ("score,subset,n_minimal\n0.1,0.2\n", "line 2: 2 cells in 3 columns"),
        ("score,subset,n_minimal\n0.1,0.2,3\n0.1,,3\n", "line 3: found ''"),
        ("score,subset,n_minimal\n,0.2,3\n0.1,0.2,3\n", "line 2: found ''"),
        ("score,subset,n_minimal\n=cmd(),0.2,3\n", "line 2: found '=cmd\\(\\)'"),
        ("score,subset,n_minimal\nnan,0.2,3\n", "line 2: found 'nan'"),
        ("score,subset,n_minimal\n0.1,inf,3\n", "line 2: found 'inf', expected a number$"),
        *(
            (
                f"score,subset,n_minimal\n0.1,0.2,{cell}\n",
                f"found '{cell}', expected a number of neurons or inf",
            )
            for cell in ("0", "-3", "2.5", "-inf", "nan")
        ),
    ],
)
def test_another_text_is_refused_by_its_line(text, said):
    with pytest.raises(ValueError, match=said):
        draws.from_csv(text)


def test_the_leaderboard_has_the_replicates_of_every_row(built):
    params, paths = built
    for model in params.run.models:
        for task in params.run.tasks:
            row, own = drawn(paths, model, task)
            names = {"score"} | ({"subset"} if row["minima"][row["ranking"]]["size"] else set())
            assert set(own) == names | ({"n_minimal"} if row["n_minimal"] else set())
            assert {len(values) for values in own.values()} == {params.probes.bootstrap}
            if "n_minimal" in own:
                assert np.isinf(own["n_minimal"]).sum() < 30
                finite = own["n_minimal"][np.isfinite(own["n_minimal"])]
                assert set(finite.tolist()) <= set(row["curves"][row["ranking"]]["sizes"])


def test_replicates_are_those_of_the_predictions(built):
    params, paths = built
    model, task = "minilm", "doc-match"
    _, own = drawn(paths, model, task)
    names = read_json(paths.scores(model, task) / "scores.json")["predictions"]
    predicted = np.load(paths.scores(model, task) / "predictions_test.npy")[names.index("all")]
    labels, files = made.make_labels(task), read_rows(paths, task, "test").files
    right = np.bincount(files, predicted == labels, made.TEST_FILES) / np.bincount(files)
    weights = intervals.task_bootstrap(params.seed, task, "test", files, params.probes.bootstrap).weights
    assert own["score"] == pytest.approx(weights @ right / made.TEST_FILES, abs=2e-6)


def test_two_rows_differ_as_the_leaderboard_says(built):
    """From the files alone, as of two revisions: the intervals of comparisons.json, but for the last decimals."""
    params, paths = built
    comparisons = read_json(paths.leaderboard() / "comparisons.json")
    a, b = params.run.models[0], params.run.models[2]
    compared = 0
    for task in params.run.tasks:
        (one, of_one), (other, of_other) = drawn(paths, a, task), drawn(paths, b, task)
        found = draws.differ(one, of_one, other, of_other)
        for name in ("score", "subset", "n_minimal"):
            pair = next((p for p in comparisons[task][name] if (p["a"], p["b"]) == (a, b)), None)
            assert (pair is None) == (name not in found)
            if pair is not None:
                compared += 1
                ends = [found[name]["low"], found[name]["high"]]
                assert ends == pytest.approx([pair["low"], pair["high"]], abs=2e-6)
    assert compared > 8


def test_rows_of_other_draws_tasks_or_metrics_are_not_paired(built):
    _, paths = built
    row, own = drawn(paths, "minilm", "token-roles")
    assert set(draws.differ(row, own, row, own)) == {"score", "subset", "n_minimal"}
    others = {"draws": {"judge": row["draws"]["judge"], "test": "0" * 64}}
    assert set(draws.differ(row, own, row | others, own)) == {"n_minimal"}
    assert draws.differ(row, own, row | {"draws": None}, own) == {}
    assert draws.differ(row, own, row | {"metric": "accuracy"}, own) == {}
    assert draws.differ(row, own, row | {"confidence": 0.9}, own) == {}
    assert set(draws.differ(row, own, row | {"margin": 0.02}, own)) == {"score", "subset"}
    few = row | {"confidence": 0.9999}  # 1,000 draws have no such bound
    assert draws.differ(few, own, few, own) == {}
    assert draws.differ(row, own, *drawn(paths, "minilm", "doc-match")) == {}
    assert "n_minimal" not in draws.differ(row, own, row | {"n_minimal": None}, own)
    shorter = {name: values[:-1] for name, values in own.items()}
    assert draws.differ(row, own, row, shorter) == {}

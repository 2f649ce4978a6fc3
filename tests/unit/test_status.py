"""Status rules by hand, the family-wise error in a simulation, and the rule on made-up predictions."""

import json

import numpy as np
import pytest
import yaml

from neurosieve import config
from neurosieve.artifacts import Paths, check_files, read_json, read_jsonl, read_manifest
from neurosieve.config import load as config_load
from neurosieve.probes import intervals, metrics, status
from neurosieve.probes.features import Rows
from neurosieve.probes.intervals import FileBootstrap, IntervalError


def entry(p, p_holm=None):
    return {"p": p, "p_holm": p_holm}


@pytest.mark.parametrize(
    ("p", "control", "want"),
    [
        ((0.01, 0.01, 0.01), False, "supported"),
        ((0.05, 0.05, 0.05), False, "supported"),  # 1 - 0.95 is not 0.05 in floating point
        ((0.051, 0.01, 0.01), False, "at chance"),
        ((0.01, 0.2, 0.9), False, "surface"),
        ((0.01, 0.01, 0.06), False, "untrained"),
        ((0.01, 0.01), False, "no twin"),
        ((0.01, 0.2), False, "surface"),
        ((0.01, 0.01), True, "untrained"),
        ((0.9, 0.01), True, "at chance"),
    ],
)
def test_status_is_the_first_comparison_that_fails(p, control, want):
    comparisons = {name: entry(value) for name, value in zip(status.FAILS, p, strict=False)}
    assert status.status_of(comparisons, 0.95, control=control) == want


def test_adjusted_p_comes_before_p():
    comparisons = {"majority": entry(0.01, 0.01), "surface": entry(0.04, 0.08), "untrained": entry(0.01, 0.08)}
    assert status.status_of(comparisons, 0.95) == "surface"


def test_adjust_is_holm_over_rows_of_cumulated_p_values():
    family = {
        "a": {"majority": entry(0.01), "surface": entry(0.02), "untrained": entry(0.01)},
        "b": {"majority": entry(0.03), "surface": entry(0.01), "untrained": entry(0.04)},
        "c": {"majority": entry(0.02), "surface": entry(0.3)},  # no twin
    }
    status.adjust(family, 0.95, 1000)
    got = {name: [family[row][name]["p_holm"] for row in "abc" if name in family[row]] for name in status.FAILS}
    # majority .01 .03 .02 -> .03 .04 .04 ; surface, cumulated .02 .03 .3 -> .06 .06 .3 ; untrained .02 .04 -> .04 .04
    np.testing.assert_allclose(got["majority"], [0.03, 0.04, 0.04])
    np.testing.assert_allclose(got["surface"], [0.06, 0.06, 0.3])
    np.testing.assert_allclose(got["untrained"], [0.04, 0.04])


def test_too_few_replicates_for_the_family_are_an_error():
    family = {str(i): {"majority": entry(1 / 101)} for i in range(6)}
    with pytest.raises(IntervalError, match=r"write probes\.bootstrap: 119 or more"):
        status.adjust(family, 0.95, 100)
    for comparisons in family.values():
        comparisons["majority"]["p"] = 1 / 120
    status.adjust(family, 0.95, 119)  # 6 / 120 = 0.05: just enough
    assert status.status_of(family["0"], 0.95) == "no twin"


def test_wrong_support_stays_below_the_level_over_a_benchmark():
    """Eight rows, each equal to one of its three opponents: no more than 5 % of benchmarks support any of them."""
    rng = np.random.default_rng(3)
    n_files, replicates, simulations, wrong = 60, 399, 300, {"holm": 0, "alone": 0}
    bootstrap = FileBootstrap(np.arange(n_files), replicates, 0)
    for _ in range(simulations):
        family = {}
        for row in range(8):
            gaps = np.array([3.0, 3.0, 3.0])
            gaps[row % 3] = 0.0  # the null that is true
            per_file = gaps + rng.standard_normal((n_files, 3))
            p = intervals.p_value((bootstrap.weights @ per_file).T / n_files)
            family[str(row)] = {name: entry(float(value)) for name, value in zip(status.FAILS, p, strict=True)}
        wrong["alone"] += any(status.status_of(c, 0.95) == "supported" for c in family.values())
        status.adjust(family, 0.95, replicates)
        wrong["holm"] += any(status.status_of(c, 0.95) == "supported" for c in family.values())
    assert wrong["holm"] / simulations < 0.10  # 0.05 plus what 60 files undercover and the simulation's spread
    assert wrong["alone"] / simulations > 0.25  # 1 - 0.95**8 = 0.34


CARD = {"metric": "macro_f1", "classes": ["a", "b", "c"], "scored_classes": [0, 1, 2]}


def made_rows(rng, n=1200, n_files=30):
    labels, files = rng.integers(3, size=n), np.arange(n) % n_files
    return Rows(labels, np.arange(n), None, files, rng.random(n) < 0.6)


def guess(rng, labels, share):
    """Predictions of which about ``share`` are known and the others drawn."""
    return np.where(rng.random(labels.size) < share, labels, rng.integers(3, size=labels.size)).astype(np.int16)


def test_compare_equals_the_parts_computed_alone():
    rng = np.random.default_rng(5)
    rows = made_rows(rng)
    bootstrap = FileBootstrap(rows.files, 500, 2)
    reference, surface = guess(rng, rows.labels, 0.8), guess(rng, rows.labels, 0.6)
    for unseen in (False, True):
        at = ~rows.seen if unseen else np.ones(1200, bool)
        found = status.compare(CARD, rows, reference, {"surface": surface}, bootstrap, 0.9, unseen=unseen)
        assert list(found["comparisons"]) == ["surface"]
        values, replicates = [], []
        for predicted in (reference, surface):
            C = metrics.confusion_by_file(rows.labels[at], predicted[at], rows.files[at], 3)
            values.append(metrics.macro_f1(C.sum(0)))
            replicates.append(bootstrap.replicates(C, metrics.macro_f1))
        got = found["comparisons"]["surface"]
        assert found["sample"]["score"] == pytest.approx(values[0])
        assert got["score"] == pytest.approx(values[1])
        assert got["difference"] == pytest.approx(values[0] - values[1])
        assert got["lower"] == pytest.approx(intervals.lower(replicates[0] - replicates[1], 0.9))
        assert got["p"] == 1 / 501
        assert got["p_holm"] is None
        assert (found["sample"]["rows"], found["sample"]["files"]) == (at.sum(), 30)
        assert found["sample"]["design_effect"] == pytest.approx(1, abs=0.6)  # independent rows, 30 files


def test_effective_rows_of_sequences_and_pairs_too():
    """A row that stands ten times in its file counts once: of 2,000 rows of 200 files 200 are effective."""
    rng = np.random.default_rng(8)
    labels, right = rng.integers(3, size=200), rng.random(200) < 0.7
    reference = np.where(right, labels, (labels + 1) % 3).astype(np.int16)
    for copies, second in ((10, None), (1, np.arange(200))):  # sequences with copies, pairs without
        files = np.repeat(np.arange(200), copies)
        inputs2 = None if second is None else np.repeat(second, copies)
        rows = Rows(
            np.repeat(labels, copies), np.arange(len(files)), inputs2, files, [str(i) for i in range(200)], None
        )
        bootstrap = FileBootstrap(files, 2000, 3)
        majority = np.zeros(len(files), np.int16)
        found = status.compare(CARD, rows, np.repeat(reference, copies), {"majority": majority}, bootstrap, 0.95)
        sample = found["sample"]
        assert sample["design_effect"] == pytest.approx(copies, rel=0.1)
        assert sample["effective_rows"] == sample["rows"] / sample["design_effect"] == pytest.approx(200, rel=0.1)


def test_compare_scores_unseen_types_only_where_there_are_enough():
    rng = np.random.default_rng(6)
    rows = made_rows(rng)
    rows.seen[rows.labels == 2] = True
    bootstrap = FileBootstrap(rows.files, 200, 2)
    reference, majority = guess(rng, rows.labels, 0.8), np.zeros(1200, np.int16)

    def compare(**more):
        return status.compare(CARD, rows, reference, {"majority": majority}, bootstrap, 0.95, unseen=True, **more)

    assert compare()["scored_classes"] == [0, 1]
    assert compare(scored=[0])["scored_classes"] == [0]  # as chosen on judge, for test
    rows.seen[rows.labels == 1] = True
    assert compare() is None  # one class is left
    rows.seen[:] = True
    assert compare() is None
    with pytest.raises(ValueError, match="found predictions of 5 rows, expected 1200"):
        status.compare(CARD, rows, reference[:5], {"majority": majority[:5]}, bootstrap, 0.95)


def make_params(models, tasks, twins, further=()):
    raw = yaml.load(open("params.yaml"), Loader=config_load._Loader)  # noqa: S506, PTH123, SIM115
    raw["run"] = {"models": models, "tasks": tasks, "twins": list(further)}
    named = [*models, *further]
    raw["models"] = {m: {"untrained": twins[m]} if m in twins else {"path": "models/x"} for m in named}
    raw["probes"]["bootstrap"] = 400
    return config.Params.model_validate(raw)


def write(folder, **files):
    folder.mkdir(parents=True)
    for name, value in files.items():
        if isinstance(value, np.ndarray):
            np.save(folder / f"{name}.npy", value)
        elif name in ("rows", "inputs"):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in value))
        else:
            (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "manifest.json").write_text("{}")


SHARES = {"good": 0.9, "good-twin": 0.6, "same": 0.6, "same-twin": 0.6, "shallow": 0.3, "lone": 0.9}
TWINS = {"good-twin": "good", "same-twin": "same", "chance-twin": "chance"}


def made_probes(tune, judge):
    """probes.json of a model whose reference scores so."""
    scores = {"tune": {CARD["metric"]: tune}, "judge": {CARD["metric"]: judge}}
    return {"order": ["all", "layer_02"], "reference": "layer_02", "oracle": "all", "sets": {"layer_02": scores}}


@pytest.fixture
def benchmark(tmp_path):
    """Two tasks on which a lookup knows 50 % of the rows; "all" is a weaker set than the reference of each model."""
    paths, rng = Paths("b", tmp_path), np.random.default_rng(8)
    models = [*SHARES, "chance", "chance-twin"]
    for task, unit in (("tokens", "token"), ("texts", "sequence")):
        rows = made_rows(rng, 1500)
        lines = [{"input": i, "label": int(label)} for i, label in enumerate(rows.labels)]
        if unit == "token":
            lines = [
                {**line, "start": 0, "end": 1, "type": "x", "seen": bool(s)}
                for line, s in zip(lines, rows.seen, strict=True)
            ]
        inputs = [{"id": i, "text": "x", "file": f"f{f:02d}.py"} for i, f in enumerate(rows.files)]
        write(paths.task(task) / "judge", rows=lines, inputs=inputs)
        write(paths.task(task) / "card", card={**CARD, "unit": unit})
        majority = np.zeros(1500, np.int16)
        lookup = np.where(rows.seen, guess(rng, rows.labels, 0.6), majority)
        context = guess(rng, rows.labels, 0.4)
        write(
            paths.baselines(task),
            baselines={
                "order": ["majority", "lookup", "context"],
                "surface": "lookup",
                "surface_unseen": "context" if unit == "token" else None,
            },
            predictions_judge=np.stack([majority, lookup, context]),
        )
        for model in models:
            best = majority if model.startswith("chance") else guess(rng, rows.labels, SHARES[model])
            weak = guess(rng, rows.labels, 0.1)
            write(
                paths.probes(model, task),
                probes=made_probes(0.5, 0.5),
                predictions_judge=np.stack([weak, best]),
            )
    return make_params(models, ["tokens", "texts"], TWINS), paths


def test_decide_status(benchmark):
    params, paths = benchmark
    status.decide_status(params, paths)
    check_files(paths.status())
    result = read_json(paths.status() / "status.json")
    rows = result["rows"]
    want = {
        "good": "supported",
        "good-twin": "untrained",
        "same": "untrained",
        "same-twin": "untrained",
        "shallow": "surface",
        "lone": "no twin",
        "chance": "at chance",
        "chance-twin": "at chance",
    }
    assert {name: row["status"] for name, row in rows.items()} == {
        f"{m}/{t}": want[m] for m in want for t in params.run.tasks
    }
    for name, row in rows.items():
        model, task = name.split("/")
        assert row["control"] == model.endswith("-twin")
        assert row["twin"] == {trained: twin for twin, trained in TWINS.items()}.get(model)
        assert row["reference"] == "layer_02"
        assert (row["status_unseen"] is None) == (task == "texts") == (row["comparisons_unseen"] is None)
        assert row["sample"]["rows"] == 1500
        assert row["sample"]["files"] == 30
        for comparison in row["comparisons"].values():
            assert (comparison["p_holm"] is None) == row["control"]
            assert "twins" not in comparison  # one twin says it all
        assert ("untrained" in row["comparisons"]) == (row["twin"] is not None)
    assert sorted(result["family"]) == sorted(n for n, row in rows.items() if not row["control"])
    assert rows["good/tokens"]["twin"] == "good-twin"
    assert rows["good/tokens"]["status_unseen"] == "supported"
    assert rows["shallow/tokens"]["status_unseen"] == "surface"
    assert rows["good/tokens"]["surface_unseen"] == "context"
    assert any("put a model with `untrained: lone`" in note for note in rows["lone/texts"]["notes"])
    assert rows["good/texts"]["notes"] == []
    assert read_manifest(paths.status())["facts"] == {"rows": 16, "family": 10}


@pytest.mark.parametrize(
    ("tune", "twin", "want"),
    [
        ({"weak": 0.7, "strong": 0.6}, "weak", "supported"),  # the one that is best on judge is not the one on tune
        ({"weak": 0.6, "strong": 0.7}, "strong", "untrained"),
        ({"weak": 0.5, "strong": 0.5}, "good-twin", "supported"),  # equal ones: the first named
    ],
)
def test_of_several_twins_the_best_on_tune_is_compared_with(benchmark, tune, twin, want):
    _, paths = benchmark
    rng, twins = np.random.default_rng(9), {**TWINS, **dict.fromkeys(tune, "good")}
    params = make_params(["good", "good-twin"], ["texts"], twins, further=list(tune))
    labels = np.array([row["label"] for row in read_jsonl(paths.task("texts") / "judge" / "rows.jsonl")])
    for name, share in (("weak", 0.2), ("strong", 0.95)):
        predicted = np.stack([labels.astype(np.int16), guess(rng, labels, share)])
        write(paths.probes(name, "texts"), probes=made_probes(tune[name], share), predictions_judge=predicted)
    status.decide_status(params, paths)
    result = read_json(paths.status() / "status.json")
    assert sorted(result["rows"]) == ["good-twin/texts", "good/texts"]  # the further ones are no rows
    row = result["rows"]["good/texts"]
    assert (row["twin"], row["status"]) == (twin, want)
    against = row["comparisons"]["untrained"]
    assert against["twins"] == {
        "good-twin": {"tune": 0.5, "judge": 0.5},
        "weak": {"tune": tune["weak"], "judge": 0.2},
        "strong": {"tune": tune["strong"], "judge": 0.95},
    }
    assert (against["difference"] < 0) == (twin == "strong")
    assert "untrained" not in result["rows"]["good-twin/texts"]["comparisons"]
    assert len(read_manifest(paths.status())["inputs"]) == 3 + 4


def test_the_row_alone_is_confirmed_by_plain_p_values(benchmark):
    """score_test has one row's predictions of test and no family: compare and status_of without adjust."""
    params, paths = benchmark
    from neurosieve.probes.features import read_rows

    rows = read_rows(paths, "tokens", "judge")
    bootstrap = intervals.task_bootstrap(params.seed, "tokens", "test", rows.files, 400)
    _, reference = status.reference_predictions(paths.probes("good", "tokens"))
    _, twin = status.reference_predictions(paths.probes("good-twin", "tokens"))
    opponents = {"majority": np.zeros(1500, np.int16), "surface": twin, "untrained": twin}
    found = status.compare(CARD, rows, reference, opponents, bootstrap, 0.95)
    assert status.status_of(found["comparisons"], 0.95) == "supported"
    assert {c["p_holm"] for c in found["comparisons"].values()} == {None}


def test_few_files_are_said_or_refused(benchmark):
    params, paths = benchmark
    judge = paths.task("texts") / "judge" / "inputs.jsonl"
    inputs = [json.loads(line) for line in judge.read_text().splitlines()]

    def spread(n):
        judge.write_text("".join(json.dumps({**row, "file": f"f{i % n}.py"}) + "\n" for i, row in enumerate(inputs)))

    spread(5)
    status.decide_status(params, paths)
    notes = read_json(paths.status() / "status.json")["rows"]["good/texts"]["notes"]
    assert any("judge has 5 files" in note for note in notes)
    spread(2)
    with pytest.raises(IntervalError, match=r"texts.judge: found 2 file\(s\)"):
        status.decide_status(params, paths)

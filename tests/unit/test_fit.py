"""The probes of one model on one task, from made-up artifacts: what is fitted, chosen, kept and written."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from probe_inputs import make, of

from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_manifest, read_npy, read_tensors
from neurosieve.config import CONTROL_RANKINGS, Params, Penalty, load_params
from neurosieve.probes import fit_probes
from neurosieve.probes.features import Features, layout, standardize_train
from neurosieve.probes.fit import feature_sets, path, strongest_first, tuned
from neurosieve.probes.solver import GramCache, Probe, alone, fit
from neurosieve.subsets.data import load_data

LAYERS, WIDTH, CLASSES = 4, 8, 3
ROWS = {"train": 400, "tune": 300, "judge": 350}
CARRIERS = [17, 20, 22]  # all in layer 2
CONSTANT = [3, 30]


def params_of(**probes) -> Params:
    raw = load_params("params.yaml").model_dump(mode="json")
    raw["probes"] |= {
        "gap": 1e-4,
        "penalties": [{"l1": 0.0, "l2": 0.01}, {"l1": 0.0, "l2": 0.3}, {"l1": 0.01, "l2": 0.01}],
    }
    raw["probes"] |= probes
    return Params.model_validate(raw)


def write(paths: Paths, unit: str, carriers: list[int] = CARRIERS) -> None:
    rng = np.random.default_rng(5)
    for split, n in ROWS.items():
        X = rng.normal(size=(n, LAYERS * WIDTH)).astype(np.float32)
        y = rng.integers(CLASSES if unit == "token" else 2, size=n)
        for i, j in enumerate(carriers):
            X[:, j] += 1.5 * (y == i)
        X[:, CONSTANT] = 2
        rows = [{"input": i, "label": int(c), "seen": True} for i, c in enumerate(y)]
        if unit == "pair":  # the other side is zero: |u - v| carries the class
            X = np.concatenate([np.abs(X), np.zeros_like(X)])
            rows = [{"input": i, "input2": i + n, "label": int(c)} for i, c in enumerate(y)]
        with Writer(paths.task("t") / split, "prepare", {}) as out:
            out.jsonl("inputs.jsonl", [{"id": i, "file": f"{i % 10}.py"} for i in range(len(X))])
            out.jsonl("rows.jsonl", rows)
        with Writer(paths.activations("m", "t", split), "activations", {}) as out:
            for layer in range(LAYERS):
                out.npy(f"layer_{layer:02d}.npy", X[:, layer * WIDTH : (layer + 1) * WIDTH])
            out.facts = {"layers": LAYERS, "width": WIDTH}
    classes = ["a", "b", "c"][: CLASSES if unit == "token" else 2]
    with Writer(paths.task("t") / "card", "prepare", {}) as out:
        card = {"unit": unit, "classes": classes, "metric": "accuracy", "scored_classes": list(range(len(classes)))}
        out.json("card.json", card)


@pytest.fixture(scope="module", params=["token", "pair"])
def fitted(request, tmp_path_factory):
    paths = Paths("b", tmp_path_factory.mktemp(request.param))
    write(paths, request.param)
    fit_probes(params_of(), paths, model="m", task="t")
    return request.param, paths, paths.probes("m", "t")


def standardised(paths: Paths, split: str) -> np.ndarray:
    """Kept neurons' standardised features, with plain float64 arithmetic."""
    found = layout(paths, params_of(), "m", "t")
    kept = np.setdiff1d(np.arange(found.n_neurons), CONSTANT)
    raw, train = (found.load(s, kept).astype(np.float64) for s in (split, "train"))
    spread = train.std(0)
    return np.where(spread > 0, (raw - train.mean(0)) / np.where(spread > 0, spread, 1), 0)


def test_sets_and_counts(fitted):
    _, _, folder = fitted
    check_files(folder)
    probes = read_json(folder / "probes.json")
    layers = [f"layer-{i:02d}" for i in range(LAYERS)]
    assert probes["order"] == ["all", *layers, "prefix-01", "prefix-02", "suffix-01", "suffix-02"]
    assert probes["sets"]["all"]["layers"] == [0, 3] and probes["sets"]["prefix-02"]["layers"] == [0, 2]
    assert probes["sets"]["suffix-01"]["layers"] == [1, 3] and probes["sets"]["suffix-02"]["layers"] == [2, 3]
    assert [probes["sets"][name]["neurons"] for name in probes["order"]] == [30, 7, 8, 8, 7, 15, 23, 23, 15]
    assert probes["oracle"] == "all" and probes["reference"] == "layer-02"
    assert (probes["kept"], probes["constant_neurons"]) == (30, [1, 0, 0, 1])
    assert read_npy(folder / "kept.npy").tolist() == [j for j in range(32) if j not in CONSTANT]
    assert read_manifest(folder)["facts"] == {"kept": 30, "constant": 2, "sets": 9}


def test_penalty_is_the_best_on_tune_and_the_stronger_one_of_equals(fitted):
    _, _, folder = fitted
    sets = read_json(folder / "probes.json")["sets"]
    every = [(0.0, 0.3), (0.01, 0.01), (0.0, 0.01)]
    oracle = every.index((sets["all"]["l1"], sets["all"]["l2"]))
    for name, found in sets.items():
        order = [(t["l1"], t["l2"]) for t in found["tried"]]
        # the last layers try the oracle's penalty and its neighbours
        assert order == (every[max(0, oracle - 1) : oracle + 2] if name.startswith("suffix-") else every), name
        scores = [t["tune"] for t in found["tried"]]
        assert (found["l1"], found["l2"]) == order[scores.index(max(scores))], name
        assert found["tune"]["accuracy"] == max(scores) and found["gap"] <= 1e-4


def test_stored_weights_give_the_stored_predictions_and_scores(fitted):
    unit, paths, folder = fitted
    probes, tensors = read_json(folder / "probes.json"), read_tensors(folder / "weights.safetensors")
    per_neuron = 1 if unit == "token" else 2
    kept_layer = read_npy(folder / "kept.npy") // WIDTH
    columns = {"all": slice(None), "layer-02": np.repeat(kept_layer == 2, per_neuron)}
    for prefix, name in (("", "all"), ("reference_", "layer-02")):
        for split in ("tune", "judge"):
            scores = (
                standardised(paths, split)[:, columns[name]] @ tensors[prefix + "weights"]
                + tensors[prefix + "intercept"]
            )
            predicted = scores.argmax(1) if unit == "token" else scores[:, 0] > 0
            stored = read_npy(folder / f"predictions_{split}.npy")[probes["order"].index(name)]
            assert (stored == predicted).mean() > 0.995  # float32 there
            labels = layout(paths, params_of(), "m", "t").labels(split)
            assert probes["sets"][name][split]["accuracy"] == pytest.approx((stored == labels).mean())
    assert np.count_nonzero(tensors["weights"]) == probes["sets"]["all"]["nonzero"]


def test_oracle_is_the_minimum_of_its_objective(fitted):
    unit, paths, folder = fitted
    found = read_json(folder / "probes.json")["sets"]["all"]
    X = standardised(paths, "train").astype(np.float32)
    y = layout(paths, params_of(), "m", "t").labels("train")
    exact = fit(X, y, 3 if unit == "token" else 2, found["l1"], found["l2"], gap=1e-6)
    assert found["objective"] == pytest.approx(exact.objective, rel=1.1e-4)


def test_suffixes_are_solved_as_from_a_cold_start(fitted):
    """Started from the wider set's weights, they reach the minimum of their own objective."""
    unit, paths, folder = fitted
    X, y = standardised(paths, "train").astype(np.float32), layout(paths, params_of(), "m", "t").labels("train")
    kept_layer = np.repeat(read_npy(folder / "kept.npy") // WIDTH, 1 if unit == "token" else 2)
    for first in (1, 2):
        found = read_json(folder / "probes.json")["sets"][f"suffix-{first:02d}"]
        part = np.ascontiguousarray(X[:, kept_layer >= first])
        exact = fit(part, y, 3 if unit == "token" else 2, found["l1"], found["l2"], gap=1e-6)
        assert found["objective"] == pytest.approx(exact.objective, rel=1.1e-4) and found["gap"] <= 1e-4


def test_a_suffix_is_never_the_reference(tmp_path):
    """Also where the last layers together are the best set on tune."""
    paths = Paths("b", tmp_path)
    write(paths, "token", carriers=[17, 20, 27])  # in the last two layers
    fit_probes(params_of(), paths, model="m", task="t")
    probes = read_json(paths.probes("m", "t") / "probes.json")
    tune = {name: entry["tune"]["accuracy"] for name, entry in probes["sets"].items()}
    best = max(tune.values())
    assert tune["suffix-02"] == best > tune["all"]  # else the test says nothing
    rest = {name: value for name, value in tune.items() if not name.startswith("suffix-")}
    assert probes["reference"] in rest and rest[probes["reference"]] == max(rest.values())


def test_rankings_are_global_orders_of_the_kept_neurons(fitted):
    unit, _, folder = fitted
    kept = read_npy(folder / "kept.npy").tolist()
    rows = 3 if unit == "token" else 1
    for name in read_json(folder / "probes.json")["rankings"]:
        order, per_class = read_npy(folder / f"ranking_{name}.npy"), read_npy(folder / f"ranking_{name}_per_class.npy")
        assert order.dtype == np.int32 and per_class.shape == (rows, 30)
        assert all(sorted(o.tolist()) == kept for o in (order, *per_class))
        carriers = CARRIERS if unit == "token" else CARRIERS[:2]
        if name not in CONTROL_RANKINGS:
            assert set(order[: len(carriers)].tolist()) == set(carriers), name


def test_every_ranking_of_the_params_is_written_and_compared(fitted):
    unit, _, folder = fitted
    names = read_json(folder / "probes.json")["rankings"]
    assert names == params_of().probes.rankings and len(names) > 5
    found = read_json(folder / "agreement.json")
    assert found["rankings"] == names and found["sizes"] == [10] and found["sizes_left_out"] == [30, 100, 300]
    tops = [set(read_npy(folder / f"ranking_{name}.npy")[:10].tolist()) for name in names]
    expected = [[len(a & b) / len(a | b) for b in tops] for a in tops]
    np.testing.assert_allclose(found["overlap"]["10"], expected)
    carriers = CARRIERS if unit == "token" else CARRIERS[:2]
    assert set(found["consensus"][: len(carriers)]) == set(carriers)  # global indices


def test_same_bytes_again(fitted, tmp_path):
    _, paths, folder = fitted
    copy = Paths("b", tmp_path)
    shutil.copytree(paths.root, copy.root)
    fit_probes(params_of(), copy, model="m", task="t")
    for file in sorted(folder.iterdir()):
        assert (copy.probes("m", "t") / file.name).read_bytes() == file.read_bytes(), file.name


def test_feature_sets_of_few_layers():
    def found(layers, only=None):
        return Features(Paths("b"), "m", "t", "token", [], (), layers, 4, only)

    assert feature_sets(np.arange(8), found(2)) == {"all": (0, 1), "layer-00": (0, 0), "layer-01": (1, 1)}
    assert feature_sets(np.arange(4), found(1)) == {"all": (0, 0)}
    assert feature_sets(np.arange(4, 16), found(4)) == {  # layer 0 is constant altogether
        "all": (0, 3),
        "layer-01": (1, 1),
        "layer-02": (2, 2),
        "layer-03": (3, 3),
        "prefix-01": (0, 1),
        "prefix-02": (0, 2),
        "suffix-01": (1, 3),
        "suffix-02": (2, 3),
    }
    assert feature_sets(found(9, (5,)).everything, found(9, (5,))) == {"all": (0, 8)}
    some = found(9, (2, 5, 6))
    assert some.everything.tolist() == [8, 9, 10, 11, *range(20, 28)]
    assert feature_sets(some.everything, some) == {
        "all": (0, 8),
        "layer-02": (2, 2),
        "layer-05": (5, 5),
        "layer-06": (6, 6),
        "prefix-05": (0, 5),
        "suffix-05": (5, 8),
    }


def test_probes_on_some_layers_are_those_of_a_model_of_these_layers(tmp_path):
    """Layers 0 and 2 of four, the others' files gone: figures and weights of a model of two, at their own numbers."""
    for name, only in (("some", [0, 2]), ("alone", None)):
        paths = Paths("b", tmp_path / name)
        write(paths, "token")
        for split in ROWS:
            folder = paths.activations("m", "t", split)
            kept = [read_npy(folder / f"layer_{i:02d}.npy") for i in (0, 2)]
            with Writer(folder, "activations", {}) as out:
                for layer, rows in zip(only or range(2), kept, strict=True):
                    out.npy(f"layer_{layer:02d}.npy", rows)
                out.facts = {"layers": LAYERS if only else 2, "width": WIDTH} | ({"only_layers": only} if only else {})
        fit_probes(params_of(), paths, model="m", task="t")
    some, alone = (Paths("b", tmp_path / name).probes("m", "t") for name in ("some", "alone"))
    found, wanted = (read_json(folder / "probes.json") for folder in (some, alone))
    names = {"all": "all", "layer-00": "layer-00", "layer-02": "layer-01"}
    assert list(found["sets"]) == list(names) and list(wanted["sets"]) == list(names.values())
    for name, other in names.items():
        assert found["sets"][name]["judge"] == wanted["sets"][other]["judge"]
        assert found["sets"][name]["neurons"] == wanted["sets"][other]["neurons"]
    assert found["layers"] == LAYERS and names[found["reference"]] == wanted["reference"]
    orders = [read_npy(folder / "ranking_lca.npy") for folder in (some, alone)]
    assert np.array_equal(orders[0], orders[1] + WIDTH * (orders[1] >= WIDTH))
    data = []
    for name in ("some", "alone"):  # what the search works on
        paths = Paths("b", tmp_path / name)
        columns = 2 * WIDTH - 1
        probe = Probe(np.zeros((columns, CLASSES)), np.zeros(CLASSES), 0.0, 1, 1.0, 0.0, 0.01)
        data.append(load_data(params_of(), paths, "m", "t", probe, probe))
    for split in ROWS:
        assert np.array_equal(data[0].X[split], data[1].X[split])
    assert np.array_equal(data[0].kept, data[1].kept + WIDTH * (data[1].kept >= WIDTH))


def test_strong_penalties_come_first():
    penalties = [
        Penalty(l1=0.0, l2=0.01),
        Penalty(l1=0.0, l2=0.1),
        Penalty(l1=0.005, l2=0.005),
        Penalty(l1=0.01, l2=0.2),
    ]
    found = [(p.l1, p.l2) for p in strongest_first(penalties)]
    assert found == [(0.01, 0.2), (0.0, 0.1), (0.005, 0.005), (0.0, 0.01)]


def test_a_path_of_many_l1_has_each_fit_at_its_gap_and_in_its_place():
    """Penalties out of order, l1 with and without; the objectives in float64 are those of fits by themselves."""
    X, y = make(200, 60, 3)
    pairs = [(0.01, 0.1), (0.0, 0.1), (0.003, 0.1), (0.0, 0.01), (0.01, 0.003), (0.003, 0.003), (0.01, 0.01)]
    penalties = [Penalty(l1=l1, l2=l2) for l1, l2 in pairs]
    found, again = (alone(X, path(X, y, 3, penalties, params_of(), GramCache(X))) for _ in range(2))
    assert [(p.l1, p.l2) for p in found] == pairs
    for probe, same in zip(found, again, strict=True):
        own = fit(X, y, 3, probe.l1, probe.l2, gap=1e-6)
        assert probe.gap <= 1e-4 and np.array_equal(probe.weights, same.weights)
        assert of(X, y, probe) == pytest.approx(of(X, y, own), rel=1.1e-4)
        assert (probe.weights == 0).any() == (probe.l1 > 0)


def test_equal_scores_take_the_stronger_penalty():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    X = (rng.normal(size=(100, 3)) + 20 * y[:, None]).astype(np.float32)
    X -= X.mean(0)
    data, labels = {"train": X, "tune": X}, {"train": y, "tune": y}
    probe, tried = tuned(data, labels, 2, params_of().probes.penalties, lambda C: np.trace(C) / C.sum(), params_of())
    assert [t["tune"] for t in tried] == [1, 1, 1] and (probe.l1, probe.l2) == (0.0, 0.3)


def test_standardiser_is_that_of_train(fitted):
    _, paths, _ = fitted
    found = layout(paths, params_of(), "m", "t")
    everything = np.arange(found.n_neurons)
    kept, standardizer = standardize_train(found.load("train"), found, everything)
    Z = standardizer.apply(found.load("judge"))[:, found.columns(everything[kept])]
    np.testing.assert_allclose(Z, standardised(paths, "judge"), atol=1e-4)

"""Curves of necessity and sufficiency from models that are sums: every figure can be worked out beside them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from neurosieve.artifacts import Paths, Writer
from neurosieve.concepts.faithfulness import Ends, NoOrder, _order, area, complete, measure_points, shuffled, summary
from neurosieve.config.concepts import Faithfulness
from neurosieve.probes.features import Features
from neurosieve.probes.intervals import FileBootstrap

WIDTH, N = 10, 20
WORTH = np.zeros(N)
WORTH[[3, 7, 12]] = 1.0, 2.0, 1.0  # what a neuron adds to m where it is not replaced
ORDER = complete(np.array([7, 12, 3]), np.arange(N))
ITEMS = 12
FILES = np.arange(ITEMS) // 2
EXTRA = np.random.default_rng(0).normal(0, 0.1, ITEMS)


def measure(neurons: np.ndarray) -> np.ndarray:
    """m of a model that is a sum over its neurons, with differences between items."""
    return -5 + (WORTH.sum() - WORTH[neurons].sum()) * (1 + EXTRA)


def ends(bootstrap: FileBootstrap | None, **changes: Any) -> Ends:
    given = {"all_": measure(np.zeros(0, np.int64)), "none": measure(np.arange(N))} | changes
    return Ends(given["all_"], given["none"], FILES, bootstrap, 0.9)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    points = measure_points(ORDER, np.arange(N), [1, 2, 3, 10], 3, measure, WIDTH, np.array([0]), 8, rng, ORDER[:2])
    return summary(points, ends(FileBootstrap(FILES, 200, 1)), [1, 2, 10], 3, N) | {"raw": points}


def test_faithfulness_of_a_sum_is_the_share_of_what_is_kept(found: dict[str, Any]) -> None:
    share = {1: 0.5, 2: 0.75, 3: 1.0, 10: 1.0}  # of the worth, in the first k
    assert [point["k"] for point in found["points"]] == list(share)
    for point in found["points"]:
        assert point["share"] == point["k"] / N
        assert point["necessity"]["f"] == pytest.approx(1 - share[point["k"]])
        assert point["sufficiency"]["f"] == pytest.approx(share[point["k"]])
        for kind in ("necessity", "sufficiency"):  # f of a sum is the same in every draw of files
            assert point[kind]["low"] == pytest.approx(point[kind]["f"], abs=1e-9)
            assert point[kind]["high"] == pytest.approx(point[kind]["f"], abs=1e-9)
    assert found["all"] == pytest.approx(-5 + 4 * (1 + EXTRA.mean()))
    assert found["none"] == pytest.approx(-5)
    assert found["span"]["value"] == pytest.approx(4 * (1 + EXTRA.mean()))
    assert found["reason"] is None


def test_areas_by_hand(found: dict[str, Any]) -> None:
    # sufficiency: 0, 0.5, 0.75, 1, 1 at 0, 1, 2, 10, 20 of 20; 3 is no share
    wanted = (0.25 * 1 + 0.625 * 1 + 0.875 * 8 + 1 * 10) / 20
    assert found["area"]["sufficiency"]["cpr"]["value"] == pytest.approx(wanted)
    assert found["area"]["sufficiency"]["cmd"]["value"] == pytest.approx(1 - wanted)
    assert found["area"]["necessity"]["cpr"]["value"] == pytest.approx(1 - wanted)
    log = (np.log(2) * 0.625 + np.log(5) * 0.875 + np.log(2)) / np.log(20)
    assert found["area"]["sufficiency"]["log_cpr"]["value"] == pytest.approx(log)
    assert found["area"]["sufficiency"]["log_cmd"]["value"] == pytest.approx(1 - log)
    # above 1 both areas grow: |1 - f|, not 1 - f
    over = np.array([[1.5], [1.5]])
    assert area("sufficiency", [5, 10], 20, over, gap=True)[0] == pytest.approx(0.25 * 0.75 + 0.25 * 0.5 + 0.5 * 0.25)
    assert area("sufficiency", [10], 20, np.ones((1, 1)), logarithmic=True)[0] == pytest.approx(1)


def test_verdicts_tell_a_good_order_from_a_bad_one(found: dict[str, Any]) -> None:
    assert found["verdict"] == {
        "k": 3, "necessary": True, "sufficient": True, "necessary_curve": True, "sufficient_curve": True,
    }  # fmt: skip
    three = found["raw"][2]
    assert three.apart and (three.random["necessity"] > three.own["necessity"]).all()
    assert not any(point.apart for point in found["raw"] if point.k != 3)
    assert [point["necessity"]["twin_f"] is None for point in found["points"]] == [False, False, True, True]
    assert found["points"][0]["sufficiency"]["twin_f"] == pytest.approx(0.5)
    worst = complete(np.array([8, 11, 1]), np.arange(N))
    points = measure_points(worst, np.arange(N), [3], 3, measure, WIDTH, np.array([0]), 8, np.random.default_rng(2))
    bad = summary(points, ends(FileBootstrap(FILES, 200, 1)), [], 3, N)
    assert bad["verdict"] == {
        "k": 3, "necessary": False, "sufficient": False, "necessary_curve": None, "sufficient_curve": None,
    }  # fmt: skip
    assert bad["area"] is None


def test_the_paired_difference_is_the_bootstrap_of_its_mean(found: dict[str, Any]) -> None:
    bootstrap = FileBootstrap(FILES, 200, 1)
    point = found["raw"][0]
    paired = point.own["sufficiency"] - point.random["sufficiency"].mean(axis=0)
    values = np.sort([(w[FILES] * paired).sum() / w[FILES].sum() for w in bootstrap.weights.astype(float)])
    entry = found["points"][0]["sufficiency"]["difference"]
    assert entry["value"] == pytest.approx(paired.mean())
    assert entry["low"] == pytest.approx(values[19]) and entry["high"] == pytest.approx(values[-20])


def test_there_is_no_share_of_nothing() -> None:
    points = measure_points(ORDER, np.arange(N), [3], 3, measure, WIDTH, np.array([0]), 4, np.random.default_rng(2))
    flat = ends(FileBootstrap(FILES, 200, 1), none=measure(np.zeros(0, np.int64)) - 0.001)
    found = summary(points, flat, [3], 3, N)
    assert "0.0010 nats" in found["reason"]
    assert found["points"][0]["necessity"]["f"] is None and found["area"] is None
    assert found["points"][0]["necessity"]["m"] == pytest.approx(-5)
    assert found["verdict"]["necessary"] is True  # of m alone, which needs no share
    # of one sign in the mean, not in every draw of files
    mixed = measure(np.zeros(0, np.int64)) - np.where(FILES == 0, -8.0, 2.0)
    assert summary(points, ends(FileBootstrap(FILES, 200, 1), none=mixed), [3], 3, N)["reason"] is not None
    # two files or fewer: no bounds, no verdict, f where the span allows it
    without = summary(points, ends(None), [3], 3, N)
    assert without["verdict"]["necessary"] is None and without["points"][0]["sufficiency"]["f"] == pytest.approx(1)


def test_random_orders_keep_the_layer_of_every_place_and_apart_sets_hold_none_of_the_first() -> None:
    fixed = np.array([0, 15])
    for seed in range(20):
        other = shuffled(ORDER, WIDTH, fixed, np.random.default_rng(seed))
        assert sorted(other.tolist()) == list(range(N)) and (other // WIDTH == ORDER // WIDTH).all()
        for neuron in fixed:
            assert np.flatnonzero(other == neuron) == np.flatnonzero(neuron == ORDER)
    assert (shuffled(ORDER, WIDTH, fixed, np.random.default_rng(0)) != ORDER).sum() > 5
    seen: list[np.ndarray] = []

    def remember(neurons: np.ndarray) -> np.ndarray:
        seen.append(neurons)
        return np.zeros(2)

    measure_points(ORDER, np.arange(N), [3], 3, remember, WIDTH, fixed, 5, np.random.default_rng(0))
    first, rest = seen[0], seen[1]
    assert first.tolist() == [3, 7, 12] and rest.tolist() == sorted(set(range(N)) - {3, 7, 12})
    for ablated, kept_out in zip(seen[2:7], seen[7:12], strict=True):
        assert sorted([*ablated, *kept_out]) == list(range(N))
        assert not set(ablated) & {3, 7, 12, 0, 15} and (np.sort(ablated) // WIDTH).tolist() == [0, 0, 1]
    # eight of ten in a layer: too few others to draw apart
    many = complete(np.arange(8), np.arange(N))
    (point,) = measure_points(many, np.arange(N), [8], 8, measure, WIDTH, fixed, 3, np.random.default_rng(0))
    assert not point.apart and point.random["necessity"].shape == (3, ITEMS)


def test_an_order_is_completed_by_index() -> None:
    assert complete(np.array([4, 4, 9, 1]), np.array([1, 2, 4, 5])).tolist() == [4, 1, 2, 5]


def test_orders_are_those_of_the_files_of_global_indices(tmp_path: Path) -> None:
    paths, params = Paths("tiny", tmp_path), SimpleNamespace(probes=SimpleNamespace(rankings=["lca"]))
    features = Features(paths, "m", "t", "token", ["A", "B"], ("absdiff",), 3, 4, only_layers=(1, 2))
    kept = np.array([5, 6, 7, 8, 9, 11])  # 4 and 10 are constant, and layer 0 was not dumped
    with Writer(paths.probes("m", "t"), "probes", {}) as out:
        out.npy("kept.npy", kept.astype(np.int32))
        out.npy("ranking_lca.npy", kept[::-1].astype(np.int32))  # global indices, see probes/fit.py
    with Writer(paths.search("m", "t"), "subsets", {}) as out:
        out.json("frozen.json", {"headline": "lca", "sets": {}})
    with Writer(paths.attribution("m", "t"), "concepts", {}) as out:
        out.json("attribution.json", {"attribution": {"refused": {"relp": "no rule of relevance for torch's tanh"}}})
        out.tensors("attribution.safetensors", {"gradient-mean.order": np.array([11, 4, 5])})

    def order(name: str) -> list[int]:
        return _order(params, features, name, np.array([8, 6])).neurons.tolist()  # type: ignore[arg-type]

    assert order("lca") == [11, 9, 8, 7, 6, 5, 4, 10]
    assert order("chosen") == [8, 6, 11, 9, 7, 5, 4, 10]
    assert order("gradient-mean") == [11, 4, 5, 6, 7, 8, 9, 10]
    # a model that one method refuses still has its other curves
    for name in ("relp", "relp.signed"):
        with pytest.raises(NoOrder, match="relp refused this model: no rule of relevance for torch's tanh"):
            order(name)


def test_shares_are_ascending() -> None:
    assert Faithfulness(shares=[]).shares == []
    with pytest.raises(ValidationError, match="ascending"):
        Faithfulness(shares=[0.5, 0.1])

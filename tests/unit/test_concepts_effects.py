"""Effects of chosen neurons: the statistics by hand and by other libraries, the rule on models with known neurons."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import planted_language_model as planted
import pytest
import torch
import yaml
from scipy.optimize import isotonic_regression
from scipy.special import log_softmax
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM

from neurosieve.activations import dump_activations
from neurosieve.activations.batches import Rows
from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_jsonl, read_manifest, read_npy
from neurosieve.concepts import effects, language
from neurosieve.concepts.ablation import NoAblation, judge_sample, load_head
from neurosieve.concepts.effect_sizes import (
    Cells,
    bounds,
    mean_replicates,
    monotonicity,
    set_against_members,
    side_effects,
)
from neurosieve.concepts.effects import measure_effects, unlabelled
from neurosieve.config import SPLITS, Params
from neurosieve.config.concepts import Effects
from neurosieve.probes.features import layout
from neurosieve.probes.intervals import FileBootstrap

FILES = np.array([0, 0, 1, 2, 2, 2, 3, 4])


@pytest.fixture(scope="module")
def draws() -> FileBootstrap:
    return FileBootstrap(FILES, 199, 3)


def looped(values: np.ndarray, files: np.ndarray, bootstrap: FileBootstrap) -> np.ndarray:
    """Mean of every draw, file by file."""
    found = []
    for weights in bootstrap.weights:
        taken = [v for v, f in zip(values, files, strict=True) for _ in range(int(weights[f]))]
        found.append(np.mean(taken) if taken else np.nan)
    return np.array(found)


def test_means_are_those_of_the_files_drawn(draws: FileBootstrap) -> None:
    values = np.random.default_rng(0).normal(size=(2, len(FILES)))
    found = mean_replicates(values, FILES, draws)
    for row, wanted in zip(found, values, strict=True):
        np.testing.assert_allclose(row, looped(wanted, FILES, draws), rtol=1e-6)
    few = FILES < 2  # a draw may hold none of these
    part = mean_replicates(values[0][few], FILES[few], draws)
    wanted = looped(values[0][few], FILES[few], draws)
    assert np.isnan(part).any()
    np.testing.assert_array_equal(np.isnan(part), np.isnan(wanted))
    assert bounds(part, 0.95) == {"low": None, "high": None}  # more than a twentieth of the draws say nothing
    assert bounds(None, 0.95) == {"low": None, "high": None}
    assert bounds(found[0], 0.95)["low"] == np.sort(found[0])[9]


def test_monotonicity_is_that_of_scipy(draws: FileBootstrap) -> None:
    rng = np.random.default_rng(1)
    for steps in (np.array([0.0, 0.2, 0.1, 0.5]), np.array([0.0, 0.1, 0.3, 0.4]), np.array([0.0, -0.1, -0.1, -0.3])):
        curve = steps[:, None] + 0.1 * rng.normal(size=(4, len(FILES)))
        means = curve.mean(axis=1)
        found = monotonicity(curve, FILES, draws, 0.9)
        assert found["spearman"] == pytest.approx(spearmanr(range(4), means).statistic)
        fit = isotonic_regression(means).x
        explained = 1 - ((means - fit) ** 2).sum() / ((means - means.mean()) ** 2).sum()
        assert found["isotonic"] == pytest.approx(explained, abs=1e-9)
        assert found["monotone"] == all(a <= b for a, b in itertools.pairwise(means))
        drawn = np.array([looped(row, FILES, draws) for row in curve])
        assert found["share"] == np.mean([all(np.diff(column) >= 0) for column in drawn.T])
        spearmans = [spearmanr(range(4), column).statistic for column in drawn.T]
        assert found["low"] == pytest.approx(np.sort(spearmans)[19])
    flat = monotonicity(np.zeros((3, len(FILES))), FILES, draws, 0.9)
    assert flat["isotonic"] is None and flat["spearman"] is None and flat["low"] is None
    assert monotonicity(curve, FILES, None, 0.9)["share"] is None


def test_a_side_effect_is_told_from_one_on_the_class_alone(draws: FileBootstrap) -> None:
    n = len(FILES)
    hurt, random = np.full(n, -2.0) - 0.1 * np.arange(n), np.full((3, n), -0.1)
    far, near = np.full((4, n), 0.1), np.full((4, n), 0.1)
    far[0] = 1.0
    own = side_effects((hurt, random), (random[0], random), far, near, FILES, FILES, draws, 0.95)
    assert own["difference"] == pytest.approx(hurt.mean() + 0.1)
    assert own["specific"] and own["high"] < -1
    assert own["divergence_ratio"] == pytest.approx(10) and own["moves_more"]
    both = side_effects((hurt, random), (hurt, random), far, far, FILES, FILES, draws, 0.95)
    assert both["difference"] == 0 and not both["specific"] and not both["moves_more"]
    # a model that is ten times as sure outside is moved less there by anything: the ratio stays
    scaled = side_effects((hurt, random), (hurt, random), far, far / 10, FILES, FILES, draws, 0.95)
    assert scaled["divergence_ratio"] == pytest.approx(1) and not scaled["moves_more"]
    still = side_effects((hurt, random), (hurt, random), 0 * far, far, FILES, FILES, draws, 0.95)
    assert still["divergence_ratio"] is None and still["ratio_low"] is None and still["moves_more"] is None
    # without bounds (too few files) nothing was tested, so nothing failed
    untested = side_effects((hurt, random), (random[0], random), far, near, FILES, FILES, None, 0.95)
    assert untested["difference"] == own["difference"] and untested["high"] is None
    assert untested["specific"] is None and untested["moves_more"] is None


def test_a_set_against_its_members_by_hand(draws: FileBootstrap) -> None:
    n = len(FILES)
    alone = np.stack([np.full(n, -0.1), np.full(n, -0.3)])
    none, nothing = np.zeros((2, n)), np.zeros((2, 2, n))
    for together, verdict in ((-0.9, "synergistic"), (-0.4, "additive"), (-0.2, "redundant")):
        found = set_against_members(np.full(n, together), alone, none, nothing, FILES, draws, 0.95)
        assert found["verdict"] == verdict
        assert found["set"] == pytest.approx(-together) and found["sum"] == pytest.approx(0.4)
        assert found["ratio"] == pytest.approx(-together / 0.4)
        assert found["interaction"]["value"] == pytest.approx(-together - 0.4)
        assert found["beyond_random"]["value"] == pytest.approx(-together - 0.4)
        assert found["random"]["ratio"] is None
    rounded = set_against_members(np.full(n, -0.4 + 2e-6), alone, none, nothing, FILES, draws, 0.95)
    assert rounded["verdict"] == "additive" and rounded["interaction"]["high"] < 0
    # sets without harm have nothing to share, and random sets of the same synergy leave nothing beyond them
    assert set_against_members(np.zeros(n), alone, none, nothing, FILES, draws, 0.95)["verdict"] is None
    together = np.full(n, -0.9)
    found = set_against_members(together, alone, np.stack([together] * 2), np.stack([alone] * 2), FILES, draws, 0.95)
    assert found["beyond_random"]["value"] == pytest.approx(0) and found["random"]["ratio"] == pytest.approx(2.25)


def table(own: float, cross: float, tasks: str = "AB", noise: float = 0.01) -> tuple[Any, ...]:
    """Changes where a set hurts its own tokens by ``own``, others by ``cross``, random sets nothing."""
    rng = np.random.default_rng(2)
    n = len(FILES)
    changes = {
        (a, b): (-(own if a == b else cross) + noise * rng.normal(size=n), np.zeros((3, n)))
        for a in tasks
        for b in tasks
    }
    return list(tasks), changes, {b: np.full(n, -2.0) for b in tasks}, {b: FILES for b in tasks}


def test_double_dissociation_by_hand(draws: FileBootstrap) -> None:
    tasks, changes, whole, files = table(1.0, 0.2)
    report = Cells(tasks, changes, whole, files, draws, 0.95).report([1])
    cell = report["cells"]["A"]["B"]
    assert cell["chosen"] == pytest.approx(-changes["A", "B"][0].mean()) and cell["random"] == 0
    assert cell["excess"]["value"] == pytest.approx(0.2, abs=0.02)
    assert cell["share"]["value"] == pytest.approx(0.1, abs=0.01)
    drawn = looped(-changes["A", "B"][0], FILES, draws)
    assert cell["excess"]["low"] == pytest.approx(np.sort(drawn)[9])
    (pair,) = report["pairs"]
    assert pair["verdict"] == "strict" and report["double"] == 1
    assert pair["by_tokens"]["A"]["value"] == pytest.approx(0.8, abs=0.02)
    assert pair["by_set"]["B"]["value"] == pytest.approx(0.4, abs=0.02)
    assert pair["p"] == pair["p_holm"] == pytest.approx(1 / 200)
    summary = report["summary"]
    assert summary["share"]["difference"] == pytest.approx(0.4, abs=0.01) and summary["excess"]["low"] > 0.7
    assert (summary["p_assignment"], summary["assignments"]) == (0.5, 2)

    # both sets hurt tokens of A more: one task is more easily hurt, no two mechanisms
    changes["B", "A"] = changes["A", "A"]
    report = Cells(tasks, changes, whole, files, draws, 0.95).report([1])
    assert report["pairs"][0]["verdict"] == "single" and report["double"] == 0
    assert report["pairs"][0]["by_tokens"]["A"]["value"] == 0
    # own tokens are hurt less than by random sets: nothing is dissociated, whatever the others do
    tasks, changes, whole, files = table(-0.1, -0.5)
    assert Cells(tasks, changes, whole, files, draws, 0.95).report([1])["pairs"][0]["verdict"] == "none"
    # the same on the tokens, but each set hurts the other task's, of which little can be lost, by a larger share
    tasks, changes, whole, files = table(1.0, 0.2)
    whole["A"] = np.full(len(FILES), -20.0)
    assert Cells(tasks, changes, whole, files, draws, 0.95).report([1])["pairs"][0]["verdict"] == "double"
    # rounding is no effect
    tasks, changes, whole, files = table(2e-6, 1e-6, noise=0)
    assert Cells(tasks, changes, whole, files, draws, 0.95).report([1])["pairs"][0]["verdict"] == "none"
    without = Cells(*table(1.0, 0.2), None, 0.95).report([1])
    assert without["pairs"][0]["verdict"] == "none" and without["pairs"][0]["p"] is None


def test_the_diagonal_is_compared_with_every_assignment(draws: FileBootstrap) -> None:
    tasks, changes, whole, files = table(0.5, 0.2, "ABCD", noise=0.6)
    cells = Cells(tasks, changes, whole, files, draws, 0.95)
    share = np.array([[-changes[a, b][0].mean() / 2 for b in tasks] for a in tasks])
    sums = [sum(share[p[j], j] for j in range(4)) for p in itertools.permutations(range(4))]
    wanted = np.mean([s >= np.trace(share) - 1e-12 for s in sums])
    assert cells.summary([1])["p_assignment"] == pytest.approx(wanted) and 0 < wanted < 1
    many = Cells(*table(0.5, 0.2, "ABCDEFGH"), None, 0.95).summary([1])
    assert many["p_assignment"] == pytest.approx(1 / 5040) and many == Cells(
        *table(0.5, 0.2, "ABCDEFGH"), None, 0.95
    ).summary([1])


def test_tokens_without_a_label_by_hand() -> None:
    texts = ["x = f(y) + x1", "y.z", "w"]
    rows = Rows(*np.array([[0, 0, 1], [0, 6, 7], [1, 0, 1]]).T.copy())
    found = unlabelled(texts, rows, np.array([1, 0, 0]))
    spans = [(i, texts[i][a:b]) for i, a, b in zip(found.input, found.start, found.end, strict=True)]
    assert spans == [(0, t) for t in ("=", "f", "(", ")", "+", "x1")] + [(1, "."), (1, "z")]


# --- the rule, on two models of which the used neurons are known

NEXT = {"a": "b", "b": "c", "c": "d", "d": "a"}
SECOND = "second"


def cycle(folder: Path) -> Path:
    """a, b, c, d, a, ...: units 6 to 9 of the last layer say which letter it is; each alone decides what follows."""
    planted.save(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        words, head = model.transformer.wte.weight, model.lm_head.weight
        words[:4], head[:] = 0, 0
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(4, len(planted.NOISE) // 2))).float()
        words[:4, planted.NOISE[::2]], words[:4, planted.NOISE[1::2]] = noise, -noise
        for i, letter in enumerate("abcd"):
            words[i, planted.ATTRIBUTE] = -0.25
            words[i, 6 + i] = 0.75
            head["abcd".index(NEXT[letter]), 6 + i] = 8.0
    model.save_pretrained(folder)
    return folder


def write_tasks(
    root: Path, folder: Path, labels: dict[str, dict[str, int]], chosen: dict[str, list[int]], **settings: Any
) -> tuple[Params, Paths]:
    """Tasks on texts of the model's letters: {task: {letter: label}}; letters that a task does not name have no row."""
    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text().replace("1e-4", "0.0001"))
    raw["models"] = {"m": {"path": str(folder)}, "twin": {"untrained": "m", "seed": 1}}
    raw["prepare"]["tasks"][SECOND] = raw["prepare"]["tasks"]["token-roles"]
    raw["run"] |= {"models": ["m", "twin"], "tasks": list(labels)}
    raw["concepts"]["effects"] = {
        "tokens": 60, "outside": 40, "window": 24, "per_window": 6, "random_draws": 4, "members": 2, **settings
    }  # fmt: skip
    params, paths = Params.model_validate(raw), Paths("tiny", root / "build")
    for task, label in labels.items():
        for seed, split in enumerate(SPLITS):
            found = ["abcd" * 6] * 12 if "c" not in label or len(label) < 24 else planted.texts(12, 30, seed)
            with Writer(paths.task(task) / split, "prepare", {}) as out:
                out.jsonl("inputs.jsonl", [{"id": i, "text": t, "file": f"{split}{i}"} for i, t in enumerate(found)])
                rows = [
                    {"input": i, "start": at, "end": at + 1, "label": label[c], "type": c, "seen": True}
                    for i, text in enumerate(found)
                    for at, c in enumerate(text)
                    if c in label
                ]
                out.jsonl("rows.jsonl", rows)
        with Writer(paths.task(task) / "card", "prepare", {}) as out:
            names = [str(i) for i in range(max(label.values()) + 1)]
            out.json("card.json", {"unit": "token", "classes": names, "scored_classes": list(range(len(names)))})
        dump_activations(params, paths, model="m", task=task)
        with Writer(paths.search("m", task), "subsets", {}) as out:
            sets = {"subset-lca": {"neurons": chosen[task], "claimed": True}} if chosen[task] else {}
            out.json("frozen.json", {"headline": "lca", "sets": sets})
    return params, paths


def run(params: Params, paths: Paths) -> dict[str, Any]:
    measure_effects(params, paths, model="m")
    check_files(paths.effects("m"))
    assert str(paths.root) not in (paths.effects("m") / "manifest.json").read_text()
    return read_json(paths.effects("m") / "effects.json")


def last(unit: int) -> int:
    return (planted.LAYERS - 1) * planted.WIDTH + unit


def test_two_sets_that_decide_two_kinds_of_tokens_are_dissociated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units 6 and 9 decide what follows a and d: b and a, the tokens of one task; 8 and 7 decide those of the other."""
    monkeypatch.setattr(effects, "TOKEN", re.compile(r"\w"))
    labels = {"token-roles": {"a": 0, "b": 1}, SECOND: {"c": 0, "d": 1}}
    noise = last(planted.NOISE[0])
    chosen = {"token-roles": [last(6), noise, last(9)], SECOND: [last(8), noise + 2, last(7)]}
    params, paths = write_tasks(tmp_path, cycle(tmp_path / "model"), labels, chosen, tokens=72, random_draws=14)
    report = run(params, paths)
    assert report["reason"] is None and report["kind"] == "causal"
    found = report["tasks"]["token-roles"]
    assert found["accuracy"] == 1 and found["tokens"] == 72 and found["files"] == 12 and found["measured"] == 3
    # logits are 6 for what follows, -2 for the other three, 0 for 21 others; unit 6 is 0.25 on average, where a and b
    # are the rows, and unit 9 is -0.25
    before = 6 - np.log(np.exp(6) + 3 * np.exp(-2) + 21)
    rest = np.log(np.exp(2) + 3 * np.exp(-2) + 21)
    assert found["log_probability"] == pytest.approx(before, abs=1e-4)
    none = found["doses"]["0"]
    assert none["by_class"]["0"]["chosen"] == pytest.approx(-2 - rest - before, abs=1e-3)
    assert none["by_class"]["1"]["chosen"] == pytest.approx(2 - rest - before, abs=1e-3)
    assert none["more_than_random"] and found["doses"]["1"]["chosen"] == 0
    below = found["monotone"]["below"]
    assert below["doses"] == [1.0, 0.5, 0.25, 0.0]
    assert below["harm"]["chosen"]["share"] == below["divergence"]["chosen"]["share"] == 1
    assert found["monotone"]["above"]["harm"]["chosen"]["spearman"] == -1  # surer of what is right
    outside = found["outside"]
    assert outside["tokens"] == 40 and outside["doses"]["0"]["specific"] and outside["doses"]["0"]["moves_more"]
    assert abs(outside["doses"]["0"]["chosen"]) < 0.1
    members = found["members"]
    assert members["verdict"] == "additive" and members["ratio"] == pytest.approx(1, abs=1e-4)
    assert [entry["neuron"] for entry in members["members"]] == [last(6), noise]
    assert members["members"][1]["alone"] == pytest.approx(0, abs=1e-5)
    matrix = report["matrix"]
    for name in ("equal", "whole"):
        (pair,) = matrix[name]["pairs"]
        assert pair["verdict"] == "strict" and matrix[name]["neurons"] == {"token-roles": 3, SECOND: 3}
        assert matrix[name]["summary"]["share"]["low"] > 0.3
        assert matrix[name]["cells"]["token-roles"][SECOND]["chosen"] < 0.1
    assert matrix["files"] == 12 and matrix["overlap"]["equal"]["token-roles"][SECOND]["shared"] == 0
    assert report["readout"] is None
    # of a task, what is not run twice: 6 doses, its set on the other's tokens, 15 sets each; 2 doses outside; all
    # neurons; untouched, inside and out; 2 members, and together; of 2 random sets the same. A draw may come twice
    passes = read_manifest(paths.effects("m"))["facts"]["passes"]
    most = 2 * (6 * 15 + 15 + 2 * 15 + 1 + 2 + 3 + 2 * 3)
    assert 0.9 * most <= passes <= most
    first = (paths.effects("m") / "effects.json").read_bytes()
    run(params, paths)
    assert (paths.effects("m") / "effects.json").read_bytes() == first

    # one and the same set for both: nothing is dissociated
    with Writer(paths.search("m", SECOND), "subsets", {}) as out:
        sets = {"subset-lca": {"neurons": chosen["token-roles"], "claimed": True}}
        out.json("frozen.json", {"headline": "lca", "sets": sets})
    same = run(params, paths)["matrix"]
    assert same["equal"]["pairs"][0]["verdict"] in ("none", "single") and same["equal"]["double"] == 0
    assert same["overlap"]["whole"]["token-roles"][SECOND]["jaccard"] == 1


CLASS = {c: planted.parts(i)[0] for i, c in enumerate(planted.LETTERS)}
ATTRIBUTE = {c: planted.parts(i)[1] for i, c in enumerate(planted.LETTERS)}


def test_used_carriers_are_told_from_unused_ones_and_members_by_the_models_own_formula(tmp_path: Path) -> None:
    used, unused = planted.USED_CARRIERS[2].tolist(), planted.UNUSED_CARRIERS[2].tolist()
    folder = planted.save(tmp_path / "model")
    labels = {"token-roles": CLASS, SECOND: CLASS}
    settings = {"window": 48, "per_window": 40, "tokens": 400, "outside": 0, "doses": [0.0, 0.5, 2.0]}  # every token
    params, paths = write_tasks(tmp_path, folder, labels, {"token-roles": used, SECOND: unused}, **settings)
    report = run(params, paths)
    of_used, of_unused = report["tasks"]["token-roles"], report["tasks"][SECOND]
    assert of_used["doses"]["0"]["more_than_random"] and of_used["monotone"]["below"]["harm"]["chosen"]["share"] > 0.9
    assert of_used["outside"] is None and of_used["monotone"]["above"] is None
    for dose in ("0", "2"):
        assert abs(of_unused["doses"][dose]["chosen"]) < 1e-5 and not of_unused["doses"][dose]["more_than_random"]
        assert of_unused["doses"][dose]["divergence"]["chosen"] < 1e-5
    assert of_unused["members"]["verdict"] is None
    # both label all letters: the tokens are the same, and cannot part
    assert report["matrix"]["whole"]["pairs"][0]["verdict"] in ("none", "single")

    # the whole model again, without it: the states of the letter before, through the head
    head = np.concatenate([planted.head(), np.zeros((1, planted.WIDTH))])
    train = read_npy(paths.activations("m", "token-roles", "train") / "layer_02.npy").astype(np.float64)
    judge = read_npy(paths.activations("m", "token-roles", "judge") / "layer_02.npy").astype(np.float64)
    rows = read_jsonl(paths.task("token-roles") / "judge" / "rows.jsonl")
    at = np.array([i for i, row in enumerate(rows) if row["start"] > 0])
    target = np.array([planted.LETTERS.index(rows[i]["type"]) for i in at])

    def m(units: list[int]) -> np.ndarray:
        states = judge[at - 1].copy()
        states[:, units] = train.mean(axis=0)[units]
        return log_softmax(states @ head.T, axis=1)[np.arange(len(at)), target]

    assert of_used["tokens"] == len(at) == 12 * 29
    harm = {tuple(units): float((m([]) - m(units)).mean()) for units in ([14], [15], [14, 15])}
    members = of_used["members"]
    assert members["set"] == pytest.approx(harm[14, 15], rel=1e-3)
    assert members["sum"] == pytest.approx(harm[14,] + harm[15,], rel=1e-3)
    assert members["ratio"] == pytest.approx(harm[14, 15] / (harm[14,] + harm[15,]), rel=1e-3)
    # two halves of one score: the second is missed more than the first, for the logarithm bends
    assert members["verdict"] == "synergistic" and members["members"][1]["added"] > members["members"][1]["alone"]


def write_probe(paths: Paths, task: str, neurons: np.ndarray, chosen: list[int], weights: np.ndarray) -> None:
    """A frozen probe of all neurons: raw values times ``weights`` (neurons, classes or 1)."""
    sets = {
        "subset-lca": {"neurons": chosen, "claimed": True},
        "all": {"neurons": neurons.tolist(), "l1": 0.0, "l2": 0.1},
    }
    train = np.concatenate(
        [read_npy(paths.activations("m", task, "train") / f"layer_{i:02d}.npy") for i in range(planted.LAYERS)], axis=1
    )[:, neurons]
    with Writer(paths.search("m", task), "subsets", {}) as out:
        out.json("frozen.json", {"headline": "lca", "sets": sets})
        mean, scale = train.mean(axis=0), 1 / train.std(axis=0)
        tensors = {"weights": weights / scale[:, None], "intercept": mean @ weights, "mean": mean, "scale": scale}
        out.tensors("frozen.safetensors", {f"all.{key}": np.float32(value) for key, value in tensors.items()})


def test_the_readout_parts_tasks_on_the_same_tokens(tmp_path: Path) -> None:
    """Class and attribute of the same letters: their probes read the last layer, their sets lie in layer 0."""
    enter, attribute = planted.USED_CARRIERS[0].tolist(), planted.USED_OTHERS[0].tolist()
    labels = {"token-roles": CLASS, SECOND: ATTRIBUTE}
    chosen = {"token-roles": enter, SECOND: attribute}
    params, paths = write_tasks(
        tmp_path, planted.save(tmp_path / "model"), labels, chosen, readout=6, members=0, outside=0, doses=[0.0]
    )
    own = np.array(enter)
    write_probe(paths, "token-roles", np.concatenate([own, planted.USED_CARRIERS[2]]), enter,
                np.array([[0.0], [0.0], [4.0], [-4.0]]))  # fmt: skip
    write_probe(paths, SECOND, planted.USED_OTHERS[2], attribute, 6 * np.eye(4))
    report = run(params, paths)
    assert report["matrix"]["equal"]["pairs"][0]["verdict"] in ("none", "single")
    readout = report["readout"]
    assert readout["reason"] is None and readout["neurons"] == 2 and readout["rows"]["token-roles"] == 6 * 30
    accuracy = readout["accuracy"]
    assert accuracy["token-roles"]["untouched"] == accuracy[SECOND]["untouched"] == 1
    assert accuracy["token-roles"]["without"]["token-roles"] < 0.8 and accuracy["token-roles"]["without"][SECOND] == 1
    assert accuracy[SECOND]["without"][SECOND] < 0.9 and accuracy[SECOND]["without"]["token-roles"] == 1
    (pair,) = readout["pairs"]
    assert pair["verdict"] == "strict"
    cells = readout["cells"]
    # nothing of the class is left: what the intercept alone would say
    assert cells["token-roles"]["token-roles"]["chosen"] > 0.5
    assert cells["token-roles"][SECOND]["chosen"] == pytest.approx(0, abs=1e-4)
    assert cells[SECOND]["token-roles"]["chosen"] == pytest.approx(0, abs=1e-4)
    # a probe that reads the ablated neurons themselves keeps them
    write_probe(paths, "token-roles", own, enter, np.array([[4.0], [-4.0]]))
    kept = run(params, paths)["readout"]
    assert kept["cells"]["token-roles"]["token-roles"]["chosen"] == 0
    assert kept["accuracy"]["token-roles"]["without"]["token-roles"] == 1


def test_a_model_whose_last_layer_is_not_measured(tmp_path: Path) -> None:
    """All of the text goes through each layer: with one at its mean, nothing of those below is left."""
    used, unused = planted.USED_CARRIERS[1].tolist(), planted.UNUSED_CARRIERS[1].tolist()
    labels, chosen = {"token-roles": CLASS, SECOND: CLASS}, {"token-roles": used, SECOND: unused}
    params, paths = write_tasks(tmp_path, planted.save(tmp_path / "model"), labels, chosen, outside=0, doses=[0.0])
    models = {**params.models, "m": params.models["m"].model_copy(update={"only_layers": [0, 1]})}
    params = params.model_copy(update={"models": models})
    for task in labels:
        dump_activations(params, paths, model="m", task=task)
    report = run(params, paths)
    assert report["reason"] is None and report["tasks"]["token-roles"]["apart"]
    cell = report["matrix"]["whole"]["cells"]["token-roles"]["token-roles"]
    features = layout(paths, params, "m", "token-roles")
    loaded, mask = load_head(params, features, 24, tmp_path)
    sample = judge_sample(params, features, loaded, mask, params.concepts.effects)
    mean = features.load("train").mean(axis=0, dtype=np.float64).astype(np.float32)
    change = language.Change(features.everything, mean, 0.0)
    lost = language.predict(loaded, sample.batches).true - language.predict(loaded, sample.batches, change).true
    assert lost.mean() > 0.1
    assert cell["share"]["value"] == pytest.approx(cell["excess"]["value"] / lost.mean(), rel=1e-3)


def test_models_and_tasks_without_anything_to_measure_say_why(tmp_path: Path) -> None:
    labels = {"token-roles": CLASS, SECOND: CLASS}
    chosen: dict[str, list[int]] = {"token-roles": planted.USED_CARRIERS[2].tolist(), SECOND: []}
    params, paths = write_tasks(
        tmp_path, planted.save(tmp_path / "model"), labels, chosen, doses=[0.0], members=1, outside=5
    )
    report = run(params, paths)
    assert report["tasks"][SECOND]["reason"] == "no neurons were chosen"
    assert report["tasks"]["token-roles"]["members"] is None
    assert report["tasks"]["token-roles"]["outside"] is None  # every token is labelled
    assert report["matrix"] == {"reason": "fewer than two tasks of tokens"}
    with pytest.raises(NoAblation, match="an untrained twin"):
        effects.measured(params, paths, "twin")
    with Writer(paths.task("token-roles") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": "sequence", "classes": ["0", "1"], "scored_classes": [0, 1]})
    assert run(params, paths)["reason"] == "no task of tokens with chosen neurons of the model itself"
    off = params.model_copy(update={"concepts": params.concepts.model_copy(update={"effects": None})})
    assert run(off, paths)["reason"] == "concepts.effects is null: off"
    with pytest.raises(ValueError, match="doses must differ"):
        Effects(doses=[0.0, 0.0])

"""Causal rankings: coefficients by hand and by finite differences, chance by counting, and a model that is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import planted_language_model as planted
import pytest
import tiny_models
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from neurosieve.activations.batches import Rows
from neurosieve.activations.models import Loaded, load_language_model
from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_tensors
from neurosieve.concepts import attribution, language
from neurosieve.concepts.attribution._chance import overlap, precedence
from neurosieve.concepts.attribution._relevance import NoRuleError, relevance
from neurosieve.concepts.auroc import auroc
from neurosieve.config import Params
from neurosieve.config.names import attribution_names
from neurosieve.probes.features import layout

METHODS = attribution_names()
KINDS = ("modernbert", "modernbert-decoder", "bert", "roberta", "gpt2", "llama")
TEXTS = ["x = " * i + "def add(first, second):\n    return first + second\n" for i in range(4)]


def draw(folder: Path) -> tuple[Loaded, language.Sample]:
    loaded, mask = load_language_model(folder, "m", "plain")
    words = ("return", "second")
    spans = [(i, at, at + 6) for i, t in enumerate(TEXTS) for at in range(len(t)) if t[at : at + 6] in words[i % 2 :]]
    rows = Rows(*np.array(spans, np.int64).T.copy())
    inputs = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    settings = {"tokens": 400, "per_window": 3, "window": 40, "batch_tokens": 120}
    where, rng = "{}:{}".format, np.random.default_rng(1)
    return loaded, language.draw_sample(inputs, rows, rows.input, loaded.coding, mask, where, rng, **settings)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Loaded, language.Sample]]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    return {name: draw(tiny_models.save(root / name, name, head=True)) for name in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_contract_of_every_method(kind: str, samples: dict[str, Any]) -> None:
    """All methods on one kind of model; the gradient against differences of the model's own predictions."""
    loaded, sample = samples[kind]
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(loaded.layers, loaded.width))
    scores, true, refused = attribution.token_scores(loaded, sample, mean, METHODS)
    assert not refused and list(scores) == METHODS
    assert len({n for batch in sample.batches for n in np.bincount(batch.window).tolist()}) > 1  # tokens of a window
    for name, values in scores.items():
        assert values.shape == (len(sample.rows), loaded.layers * loaded.width) and values.dtype == np.float64
        assert np.isfinite(values).all() and (np.abs(values).max(axis=1) > 0).all()
        assert (values < 0).any() == attribution.load(name).SIGNED
    np.testing.assert_array_equal(true, language.predict(loaded, sample.batches).true)
    again, _, _ = attribution.token_scores(loaded, sample, mean, METHODS[::-1])
    assert all(again[name].tobytes() == scores[name].tobytes() for name in METHODS)

    found, step = scores["gradient-mean"], 0.01
    for neuron in (3, loaded.width + 5, 2 * loaded.width + 7):
        at = np.array([neuron])
        after, before = (
            language.predict(
                loaded, sample.batches, language.Change(at, mean.ravel()[at].astype(np.float32), 1 + sign * step)
            ).true
            for sign in (1, -1)
        )
        difference = (after - before) / (2 * step)
        np.testing.assert_allclose(found[:, neuron], difference, atol=0.02 * np.abs(difference).max() + 1e-4)


# --- nets that can be computed by hand


class Body(torch.nn.Module):
    """Two blocks that mix positions and units, with a ReLU between the products where ``relu``."""

    def __init__(self, relu: bool) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(3)
        self.words = torch.randn(9, 4, generator=rng)
        self.layers = torch.nn.ModuleList(Block(relu, rng) for _ in range(2))

    def forward(self, ids: torch.Tensor) -> Any:
        x = self.words[ids]
        for block in self.layers:
            x = block(x)
        return SimpleNamespace(last_hidden_state=x)


class Block(torch.nn.Module):
    def __init__(self, relu: bool, rng: torch.Generator) -> None:
        super().__init__()
        self.relu, self.mix = relu, torch.tril(torch.ones(5, 5)) / 5
        self.inner, self.outer = (0.5 * torch.randn(4, 4, generator=rng) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.matmul(self.mix, x) @ self.inner
        return x + (functional.relu(inner) if self.relu else inner) @ self.outer


class Net(torch.nn.Module):
    """Two words: the log-probability of the first is linear in the last layer; else five words, logits linear in it."""

    def __init__(self, relu: bool, linear: bool) -> None:
        super().__init__()
        self.base_model, self.linear = Body(relu), linear
        self.head = torch.randn(4, 5, generator=torch.Generator().manual_seed(4))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        logits = self.base_model(input_ids).last_hidden_state @ self.head
        if self.linear:
            first = logits[..., 0] / 4 - 8  # far enough below 0 to be a log-probability
            logits = torch.stack([first, torch.log1p(-torch.exp(first))], dim=-1)
        return SimpleNamespace(logits=logits)


def net(relu: bool, linear: bool) -> tuple[Any, Any, np.ndarray]:
    ids = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 1, 1], [2, 2, 7, 5, 3]])
    window, position = np.array([0, 0, 1, 2, 2]), np.array([2, 4, 3, 1, 4])
    batch = language.Batch(ids, torch.ones_like(ids), window, position, np.array([0, 0, 0, 0, 0]))
    loaded: Any = SimpleNamespace(name="net", model=Net(relu, linear), layers=3, width=4)
    return loaded, SimpleNamespace(batches=[batch], rows=window), np.random.default_rng(1).normal(size=(3, 4))


def test_of_a_linear_model_the_score_is_the_effect_of_mean_ablation() -> None:
    loaded, sample, mean = net(relu=False, linear=True)
    scores, true, _ = attribution.token_scores(loaded, sample, mean, ["gradient-mean"])
    for neuron in range(12):
        at = np.array([neuron])
        change = language.Change(at, mean.ravel()[at].astype(np.float32), 0.0)
        effect = true - language.predict(loaded, sample.batches, change).true
        np.testing.assert_allclose(scores["gradient-mean"][:, neuron], effect, atol=1e-5)
    assert np.abs(scores["gradient-mean"]).max() > 0.1


def test_relevance_of_a_piecewise_linear_net_without_norms_is_gradient_times_input() -> None:
    loaded, sample, _ = net(relu=True, linear=False)
    scores, _, refused = attribution.token_scores(loaded, sample, np.zeros((3, 4)), METHODS)
    assert not refused
    np.testing.assert_allclose(scores["relp"], scores["gradient-mean"], atol=1e-6)
    assert (scores["activation-gradient"] >= np.abs(scores["gradient-mean"]) - 1e-6).all()
    assert not np.allclose(scores["activation-gradient"], np.abs(scores["gradient-mean"]))  # positions cancel


def test_a_model_with_an_operation_without_a_rule_is_refused_by_relp_alone() -> None:
    loaded, sample, mean = net(relu=True, linear=True)  # its head takes an exponential
    scores, _, refused = attribution.token_scores(loaded, sample, mean, METHODS)
    assert list(refused) == ["relp"] and "exp" in refused["relp"]
    assert set(scores) == set(METHODS) - {"relp"}


def coefficient(of: Any, x: torch.Tensor, weight: torch.Tensor) -> np.ndarray:
    """Of the sum of of(x) * weight."""
    x = x.clone().requires_grad_(True)
    with relevance():
        out = of(x)
    torch.testing.assert_close(out.detach(), of(x.detach()), rtol=1e-5, atol=1e-6)
    return torch.autograd.grad((out * weight).sum(), x)[0].numpy()


def test_rules_by_hand() -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight, a, b, c = (torch.randn(size, generator=rng) for size in ((1, 5, 4), (1, 5, 4), (4, 4), (4, 4), (4, 4)))
    X, W, A, B, C = (value.double().numpy().squeeze() for value in (x, weight, a, b, c))

    centred = X - X.mean(axis=1, keepdims=True)
    factor = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    gain = np.arange(4) + 1.0
    norm = coefficient(lambda v: functional.layer_norm(v, (4,), torch.arange(4) + 1.0, torch.ones(4)), x, weight)
    inside = W * gain * factor
    np.testing.assert_allclose(norm[0], inside - inside.mean(axis=1, keepdims=True), atol=1e-5)

    def rms(v: torch.Tensor) -> torch.Tensor:
        return v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + 1e-5)

    wanted = W / np.sqrt((X**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(coefficient(rms, x, weight)[0], wanted, atol=1e-5)
    np.testing.assert_allclose(
        coefficient(lambda v: functional.rms_norm(v, (4,), eps=1e-5), x, weight)[0], wanted, atol=1e-5
    )

    # a gate: silu(x) = x * sigmoid(x), half the relevance for each side
    gated = coefficient(lambda v: (functional.silu(v @ a) * (v @ b)) @ c, x, weight)
    quotient = 1 / (1 + np.exp(-(X @ A)))
    back = W @ C.T
    wanted = 0.5 * ((back * (X @ B) * quotient) @ A.T + (back * (X @ A) * quotient) @ B.T)
    np.testing.assert_allclose(gated[0], wanted, atol=1e-5)

    # a formula of the library, as GPT-2 has it, and torch's tanh as a module
    from transformers.activations import ACT2FN

    for name in ("gelu_new", "tanh"):
        f = ACT2FN[name]
        np.testing.assert_allclose(coefficient(f, x, weight)[0], W * f(x).numpy()[0] / X, atol=1e-5)

    def attention(v: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(v @ a, v @ b, v @ c)

    def eager(v: torch.Tensor) -> torch.Tensor:
        return torch.softmax((v @ a) @ (v @ b).transpose(1, 2) / 2, dim=-1) @ (v @ c)

    scores = np.exp((X @ A) @ (X @ B).T / 2)
    wanted = (scores / scores.sum(axis=1, keepdims=True)).T @ W @ C.T
    for of in (attention, eager):
        np.testing.assert_allclose(coefficient(of, x, weight)[0], wanted, atol=1e-5)

    for of, named in ((torch.sin, "sin"), (torch.sigmoid, "sigmoid"), (lambda v: v / v.mean(), "truediv|div")):
        with pytest.raises(NoRuleError, match=named):
            coefficient(of, x, weight)
    y = torch.full((2,), 0.3, requires_grad=True)
    for of, slope in ((torch.sin, np.cos(0.3)), (ACT2FN["tanh"], 1 - np.tanh(0.3) ** 2)):  # nothing is left behind
        assert torch.autograd.grad(of(y).sum(), y)[0].tolist() == pytest.approx([slope] * 2)


# --- chance


def test_chance_by_counting_all_draws() -> None:
    candidates = np.array([0, 1, 2, 4, 5, 6, 7])  # of width 4: three of layer 0, four of layer 1
    chosen, first = np.array([7, 1, 5]), np.array([1, 2, 7])
    found = overlap(first, chosen, candidates, 4)
    assert found["shared"] == 2
    draws = [set(draw) for draw in itertools.combinations(candidates.tolist(), 3)]
    alike = [draw for draw in draws if sum(n < 4 for n in draw) == 2]  # as many of each layer as `first` has
    for part, own in ((found, draws), (found["in_layers"], alike)):
        counts = np.array([len(draw & set(chosen.tolist())) for draw in own])
        assert part["expected"] == pytest.approx(counts.mean())
        assert part["p_more"] == pytest.approx((counts >= 2).mean())
        assert part["p_less"] == pytest.approx((counts <= 2).mean())
    scores = np.array([0.5, 2.0, 2.0, 9.0, -1.0, 2.0, 0.0, 3.0])
    got = precedence(scores, chosen, candidates, 4)
    assert got["share"] == pytest.approx(roc_auc_score(np.isin(candidates, chosen), scores[candidates]))
    # layer 0: 1 against 0 and 2; layer 1: 5 and 7 against 4 and 6
    assert got["in_layers"]["share"] == pytest.approx((1 + 0.5 + 1 + 1 + 1 + 1) / 6)
    nothing = {"share": None, "p_more": None}
    assert precedence(scores, candidates, candidates, 4) == {**nothing, "in_layers": nothing}


def test_precedence_against_scipy_and_draws_within_layers() -> None:
    rng = np.random.default_rng(2)
    scores, candidates = rng.normal(size=120), np.arange(120)
    chosen = np.concatenate([rng.choice(40, 12, replace=False), 40 + rng.choice(80, 9, replace=False)])
    scores[chosen] += 0.4
    scores[:40] += 5  # most of the chosen are in the layer of large scores
    rest = np.setdiff1d(candidates, chosen)
    wanted = mannwhitneyu(
        scores[chosen], scores[rest], alternative="greater", use_continuity=False, method="asymptotic"
    )
    one = precedence(scores, chosen, candidates, 120)  # of one layer
    assert one["p_more"] == one["in_layers"]["p_more"] == pytest.approx(wanted.pvalue)
    found = precedence(scores, chosen, candidates, 40)["in_layers"]
    layers, own = np.repeat([0, 1, 2], 40), np.bincount(chosen // 40, minlength=3)

    def share(drawn: np.ndarray) -> float:
        wins = [
            scores[drawn[layers[drawn] == at], None] > scores[(layers == at) & ~np.isin(candidates, drawn)]
            for at in range(3)
        ]
        return sum(w.sum() for w in wins) / sum(w.size for w in wins)

    assert found["share"] == pytest.approx(share(chosen))
    draws = [
        share(np.concatenate([40 * at + rng.choice(40, n, replace=False) for at, n in enumerate(own)]))
        for _ in range(1500)
    ]
    assert found["p_more"] == pytest.approx(np.mean(np.array(draws) >= found["share"]), abs=0.03)


def test_halves_have_no_file_in_common() -> None:
    files = np.array([4, 4, 0, 9, 9, 9, 2, 0])
    first, second = attribution.split_files(files, [1])
    assert sorted([*first, *second]) == list(range(8)) and not set(files[first]) & set(files[second])
    assert len(set(files[first])) == len(set(files[second])) == 2
    assert attribution.split_files(np.zeros(5, np.int64), [1]) == []


# --- a model that is known

USED = np.sort(np.concatenate([*planted.USED_CARRIERS.values(), *planted.USED_OTHERS.values()]))
UNUSED = np.sort(np.concatenate([*planted.UNUSED_CARRIERS.values(), *planted.NEITHER.values()]))
CARRIERS = np.concatenate([*planted.USED_CARRIERS.values(), *planted.UNUSED_CARRIERS.values()])


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Paths]:
    settings = {"tokens": 90, "window": 24, "per_window": 6, "methods": METHODS}
    params, paths = planted.build(tmp_path_factory.mktemp("planted"), USED[:8], attribution=settings)
    rankings = {name: np.arange(72, dtype=np.int32) for name in params.probes.rankings}
    with Writer(paths.probes(planted.MODEL, planted.TASK), "probes", {}) as out:
        for name, order in rankings.items():
            out.npy(f"ranking_{name}.npy", order)
    return params, paths


def run(params: Params, paths: Paths) -> tuple[dict[str, Any], dict[str, np.ndarray], bytes]:
    attribution.attribute_neurons(params, paths, model=planted.MODEL, task=planted.TASK)
    folder = paths.attribution(planted.MODEL, planted.TASK)
    check_files(folder)
    read = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    return read_json(folder / "attribution.json"), read_tensors(folder / "attribution.safetensors"), read


def test_what_a_model_uses_is_ranked_before_what_can_only_be_read(
    known: tuple[Params, Paths], monkeypatch: pytest.MonkeyPatch
) -> None:
    params, paths = known
    features = layout(paths, params, planted.MODEL, planted.TASK)
    read = np.abs(auroc(features.load("judge"), features.labels("judge"), 2)[:, 1] - 0.5)
    assert (read[CARRIERS] > 0.45).all()  # a probe finds both kinds of carriers
    assert np.delete(read, CARRIERS).max() < 0.15

    report, tensors, first = run(params, paths)
    found = report["attribution"]
    assert report["reason"] is None and not found["refused"] and found["kind"] == "causal"
    assert (found["tokens"], found["neurons"], found["chosen"]) == (90, 72, 8)
    assert found["candidates"] == 70  # all but units 14 and 15 of layer 0
    assert sum(found["tokens_by_class"].values()) == 90
    # a perfect predictor loses the entropy of the next letter
    assert found["log_probability"] == pytest.approx(-(0.199 + 0.253 + 1.099), abs=0.4)
    ends = {name: ("", ".signed") if attribution.load(name).SIGNED else ("",) for name in METHODS}
    assert set(found["rankings"]) == {name + end for name, own in ends.items() for end in own}
    for name, ranking in found["rankings"].items():
        scores, order = tensors[f"{name}.scores"], tensors[f"{name}.order"]
        assert scores.dtype == np.float32 and order.dtype == np.int64 and sorted(order) == list(range(72))
        assert (np.diff(scores[order]) <= 0).all()
        assert np.abs(scores[UNUSED]).max() < 1e-4 * np.abs(scores).max()
        assert tensors[f"{name}.per_class"].shape == (2, 72)
        assert sum(ranking["first_per_layer"]) == 8 and sum(ranking["share_by_layer"]) == pytest.approx(1)
        if name.endswith(".signed"):
            continue
        assert set(order[:18]) == set(USED), name
        assert scores[USED].min() > 1e3 * scores[UNUSED].max()
        assert ranking["overlap"]["shared"] == len(set(order[:8]) & set(USED[:8]))
        assert ranking["precedence"]["share"] > 0.8 and ranking["halves"]["spearman"] > 0.5
    share = np.array(list(found["tokens_by_class"].values())) / 90
    np.testing.assert_allclose(share @ tensors["relp.per_class"], tensors["relp.scores"], rtol=1e-4, atol=1e-7)
    # the model's probabilities are right, so that signed scores have no mean but that of the sample
    signed, size = tensors["gradient-mean.signed.scores"][USED], tensors["gradient-mean.scores"][USED]
    assert (np.abs(signed) / size).mean() < 0.5

    monkeypatch.setenv("NEUROSIEVE_THREADS", "2")
    assert run(params, paths)[2] == first

    # chosen are as many units that carry the class, and the model has no path from
    planted.write_search(paths, UNUSED[:8])
    try:
        without = run(params, paths)[0]["attribution"]["rankings"]["relp"]
        assert without["overlap"]["shared"] == 0 and without["overlap"]["p_more"] == 1
        assert without["overlap"]["expected"] == pytest.approx(64 / 70)
        assert without["precedence"]["share"] <= 44 / 62  # each is behind the 18 that are used
    finally:
        planted.write_search(paths, USED[:8])


def test_rows_for_which_there_is_nothing_to_measure_say_why(known: tuple[Params, Paths]) -> None:
    params, paths = known
    features = layout(paths, params, planted.MODEL, planted.TASK)
    off = params.model_copy(update={"concepts": params.concepts.model_copy(update={"attribution": None})})
    for given, changes, why in (
        (off, {}, "off"),
        (params, {"unit": "sequence"}, "task of sequences"),
        (params, {"model": "twin"}, "untrained twin"),
        (params, {"only_layers": (1,)}, "only the layers"),
    ):
        for key, value in changes.items():
            setattr(features, key, value)
        with pytest.raises(attribution.NoAttribution, match=why):
            attribution._measure(given, features, USED[:8], None)
        features = layout(paths, params, planted.MODEL, planted.TASK)
    with pytest.raises(
        ValueError, match="attribution method 'saliency' has no file; write one of: activation-gradient"
    ):
        attribution.load("saliency")

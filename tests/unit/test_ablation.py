"""Neurons changed inside a language model: the hooks, what is predicted, and a model with a planted neuron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from neurosieve.activations import dump_activations, models
from neurosieve.activations.batches import Rows
from neurosieve.activations.models import Loaded, NoHeadError, load_language_model
from neurosieve.activations.trial import find_manners
from neurosieve.artifacts import ArtifactError, Paths, Writer, check_files, read_json, read_manifest
from neurosieve.concepts import language
from neurosieve.concepts.ablation import ablate_neurons, compare, draw_neurons
from neurosieve.config import SPLITS, Params
from neurosieve.probes.features import layout
from neurosieve.probes.intervals import FileBootstrap

TEXT = "def add(first, second):\n    return first + second\n"
LAYERS, WIDTH = 3, 16


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    names = ("modernbert", "modernbert-decoder", "bert", "gpt2", "llama")
    found = {name: tiny_models.save(root / name, name, head=True) for name in names}
    return found | {"headless": tiny_models.save(root / "headless", "modernbert")}


@torch.inference_mode()
def states(loaded: Loaded, ids: torch.Tensor) -> list[torch.Tensor]:
    """All layers as the model goes on with them: the last is what enters the head."""
    seen: list[torch.Tensor] = []
    hook = loaded.model.base_model.register_forward_hook(lambda m, a, out: seen.append(out.last_hidden_state.clone()))
    out = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    hook.remove()
    return [*out.hidden_states[:-1], seen[0], out.logits]


@pytest.mark.parametrize("name", ["modernbert", "modernbert-decoder", "bert", "gpt2", "llama"])
def test_a_change_reaches_exactly_the_named_units_of_exactly_that_layer(folders: dict[str, Path], name: str) -> None:
    loaded, _ = load_language_model(folders[name], name, "portable")
    assert (loaded.layers, loaded.width) == (LAYERS, WIDTH)
    language.check_head(loaded)
    ids = torch.tensor([[7, 8, 9, 30, 31, 8]])
    plain = states(loaded, ids)
    units, mean = np.array([3, 11]), np.array([0.25, -4.0], np.float32)
    others = [u for u in range(WIDTH) if u not in units]
    for layer in range(LAYERS):
        for amount in (0.0, 0.5, 2.0):
            with language.changed(loaded, language.Change(layer * WIDTH + units, mean, amount)):
                found = states(loaded, ids)
            for below in range(layer):
                assert torch.equal(found[below], plain[below])
            assert torch.equal(found[layer][..., others], plain[layer][..., others])
            wanted = mean + amount * (plain[layer][..., units].numpy() - mean)
            np.testing.assert_allclose(found[layer][..., units].numpy(), wanted, rtol=1e-5, atol=1e-6)
            if amount == 0:
                assert (found[layer][..., units].numpy() == mean).all()
            for above in range(layer + 1, LAYERS + 1):  # and the logits
                assert not torch.equal(found[above], plain[above])
        for change in (None, language.Change(layer * WIDTH + units, mean, 1.0)):
            with language.changed(loaded, change):
                assert all(torch.equal(a, b) for a, b in zip(states(loaded, ids), plain, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(states(loaded, ids), plain, strict=True))  # no hook is left


def rows_of(texts: list[str], tokens: list[str]) -> Rows:
    """Every occurrence of the tokens in the texts."""
    found = []
    for i, text in enumerate(texts):
        found += [(i, at, at + len(t)) for at in range(len(text)) for t in tokens if text.startswith(t, at)]
    return Rows(*np.array(found, np.int64).T.copy())


def sample(folder: Path, texts: list[str], rows: Rows, files: np.ndarray, **changes: int) -> tuple[Loaded, Any, Any]:
    loaded, mask = load_language_model(folder, "m", "portable")
    settings = {"tokens": 400, "per_window": 3, "window": 40, "batch_tokens": 100} | changes
    inputs = [{"id": i, "text": text} for i, text in enumerate(texts)]
    where = "{}:{}".format
    found = language.draw_sample(inputs, rows, files, loaded.coding, mask, where, np.random.default_rng(1), **settings)
    return loaded, mask, found


@pytest.mark.parametrize("name", ["modernbert", "modernbert-decoder", "gpt2"])
def test_predictions_are_those_of_the_whole_model_on_texts_masked_by_hand(folders: dict[str, Path], name: str) -> None:
    texts = ["x = " * i + TEXT for i in range(4)]
    rows = rows_of(texts, ["first", "second", "return"])
    # one token a window: what is masked can be written down here
    loaded, _, found = sample(folders[name], texts, rows, rows.input, per_window=1)
    assert len(found.rows) == len(texts) == found.facts["windows"]
    prediction = language.predict(loaded, found.batches)
    auto = AutoModelForMaskedLM if name == "modernbert" else AutoModelForCausalLM
    model = auto.from_pretrained(folders[name]).eval()
    fast = AutoTokenizer.from_pretrained(folders[name])
    for i, row in enumerate(found.rows):
        coded = fast(texts[rows.input[row]], return_offsets_mapping=True)
        ids, offsets = np.array(coded["input_ids"]), np.array(coded["offset_mapping"])
        assert len(ids) <= 40  # whole texts: the window is the text
        hit = np.flatnonzero((offsets[:, 0] < rows.end[row]) & (offsets[:, 1] > rows.start[row]))
        target = ids[hit[0]]
        if name == "modernbert":
            ids[hit] = fast.mask_token_id
            at = hit[0]
        else:
            ids, at = ids[: hit[0]], hit[0] - 1
        with torch.no_grad():
            wanted = torch.log_softmax(model(torch.from_numpy(ids)[None]).logits[0, at].double(), -1)
        assert abs(float(wanted[target]) - prediction.true[i]) < 1e-4
        assert bool(prediction.right[i]) == (int(wanted.argmax()) == target)
    again = language.predict(loaded, found.batches, language.Change(np.array([1, 40]), np.zeros(2, np.float32), 1.0))
    assert (again.log_p == prediction.log_p).all()
    assert (language.divergence(prediction, again) == 0).all()
    np.testing.assert_allclose(np.exp(prediction.log_p.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
    other = language.predict(loaded, found.batches, language.Change(np.array([40]), np.full(1, 9, np.float32), 0.0))
    p, q = prediction.log_p.astype(np.float64), other.log_p.astype(np.float64)
    np.testing.assert_allclose(language.divergence(prediction, other), (np.exp(p) * (p - q)).sum(axis=1), atol=1e-4)


def test_the_sample_takes_files_in_turn_and_few_tokens_of_a_window(folders: dict[str, Path]) -> None:
    texts = [TEXT] * 12
    rows = rows_of(texts, ["first", "second", "return", "add"])
    files = np.minimum(rows.input, 3)  # inputs 3 to 11 are of one file
    _, mask, found = sample(folders["modernbert"], texts, rows, files, tokens=12)
    assert len(found.rows) == 12 and len(set(found.rows.tolist())) == 12
    assert sorted(np.bincount(files[found.rows]).tolist()) == [3, 3, 3, 3]
    assert found.facts["masked_subwords"] == sum(int((batch.ids == mask).sum()) for batch in found.batches) >= 12
    _, _, all_rows = sample(folders["modernbert"], texts, rows, files, tokens=400, per_window=400)
    assert sorted(all_rows.rows.tolist()) == list(range(len(rows.input)))
    # a causal model has nothing to predict the first sub-word of a text from
    starts = rows_of(["add(x)", "add(y)"], ["add"])
    _, _, none = sample(folders["gpt2"], ["add(x)", "add(y)"], starts, starts.input)
    assert len(none.rows) == 0 and none.facts["rows_without_context"] == 2
    # a token longer than the window is counted, not cut
    long = ["abcdefgh" * 20 + " = x", "x = x"]
    token = Rows(np.array([0, 1]), np.array([0, 0]), np.array([160, 1]))
    _, _, short = sample(folders["modernbert"], long, token, np.array([0, 1]), window=12)
    assert short.rows.tolist() == [1] and short.facts["rows_in_no_window"] == 1


def test_effects_by_hand() -> None:
    chosen = np.array([-1.0, -3.0, 0.0, -2.0])
    random = np.array([[0.0, -1.0, 0.0, 1.0], [0.0, 1.0, -2.0, -1.0]])
    labels, files = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    bootstrap = FileBootstrap(files, 200, 3)
    found = compare(chosen, random, labels, ["A", "B", "C"], files, bootstrap, 0.9)
    assert found["chosen"] == -1.5
    assert found["random"] == {"mean": -0.25, "low": -0.5, "high": 0.0}
    assert found["difference"] == -1.25
    assert found["by_class"]["A"] == {"tokens": 2, "chosen": -2.0, "random": 0.0}
    assert found["by_class"]["B"] == {"tokens": 2, "chosen": -1.0, "random": -0.5}
    assert found["by_class"]["C"] == {"tokens": 0, "chosen": None, "random": None}
    paired = np.array([-1.0, -3.0, 1.0, -2.0])
    values = [(w[files] * paired).sum() / w[files].sum() for w in bootstrap.weights.astype(float)]
    assert found["low"] == pytest.approx(np.sort(values)[19]) and found["high"] == pytest.approx(np.sort(values)[-20])
    assert found["more_than_random"] == (found["high"] < 0)
    assert not compare(random[0], np.stack([chosen, chosen]), labels, ["A", "B"], files, bootstrap, 0.9)[
        "more_than_random"
    ]
    without = compare(chosen, random, labels, ["A", "B"], files, None, 0.9)
    assert without["low"] is None and without["more_than_random"] is False


# --- the phase, on a model in which one neuron decides

DECIDES = 2 * WIDTH + 5  # unit 5 of the last layer


def plant(folder: Path) -> Path:
    """A GPT-2 that continues `abab`: its last layer is the embedding, whose unit 5 alone tells b from a."""
    tiny_models.save(folder, "gpt2", head=True)
    model = AutoModelForCausalLM.from_pretrained(folder)
    a, b = (AutoTokenizer.from_pretrained(folder)(t)["input_ids"][0] for t in ("a", "b"))
    head = 0.01 * torch.randn(model.lm_head.weight.shape)
    with torch.no_grad():
        for block in model.transformer.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight.zero_()
                part.bias.zero_()
        model.transformer.wpe.weight.mul_(0.01)
        model.transformer.wte.weight[a, 5], model.transformer.wte.weight[b, 5] = 5.0, -5.0
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.ln_f.bias.zero_()
        head[a, 5], head[b, 5] = -5.0, 5.0
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(folder)
    return folder


def prepare(tmp_path: Path, folder: Path, unit: str = "token", **concepts: Any) -> tuple[Params, Paths]:
    """A task of the letters in `abab...`, its activations, and neuron DECIDES as the subset."""
    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text().replace("1e-4", "0.0001"))
    raw["models"] = {"m": {"path": str(folder)}, "twin": {"untrained": "m", "seed": 1}}
    raw["run"] |= {"models": ["m", "twin"], "tasks": ["token-roles"]}
    raw["concepts"] |= {"ablation": {"tokens": 60, "random_draws": 4, "window": 24, "per_window": 6}} | concepts
    params, paths = Params.model_validate(raw), Paths("tiny", tmp_path / "build")
    texts = ["ab" * (8 + i % 3) for i in range(10)]
    rows = rows_of(texts, ["a", "b"])
    names = np.array(["A", "B"])
    for split in SPLITS:
        with Writer(paths.task("token-roles") / split, "prepare", {}) as out:
            out.jsonl("inputs.jsonl", [{"id": i, "text": t, "file": f"f{i}.py"} for i, t in enumerate(texts)])
            label = [int(texts[i][at] == "b") for i, at in zip(rows.input, rows.start, strict=True)]
            entries = [
                {"input": int(i), "start": int(s), "end": int(e), "label": y, "type": str(names[y]), "seen": True}
                for i, s, e, y in zip(rows.input, rows.start, rows.end, label, strict=True)
            ]
            out.jsonl("rows.jsonl", entries)
    with Writer(paths.task("token-roles") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": unit, "classes": ["A", "B"], "scored_classes": [0, 1]})
    write_search(paths, [DECIDES])
    return params, paths


def write_search(paths: Paths, neurons: list[int]) -> None:
    sets = {"subset-lca": {"neurons": neurons, "claimed": True}} if neurons else {}
    for model in ("m", "twin"):
        with Writer(paths.search(model, "token-roles"), "subsets", {}) as out:
            out.json("frozen.json", {"headline": "lca", "sets": sets})


def run(params: Params, paths: Paths, model: str = "m") -> dict[str, Any]:
    ablate_neurons(params, paths, model=model, task="token-roles")
    folder = paths.ablation(model, "token-roles")
    check_files(folder)
    assert str(paths.root) not in (folder / "manifest.json").read_text()
    return read_json(folder / "ablation.json")


def test_a_planted_neuron_is_used_and_random_ones_are_not(tmp_path: Path) -> None:
    params, paths = prepare(tmp_path, plant(tmp_path / "model"))
    dump_activations(params, paths, model="m", task="token-roles")
    report = run(params, paths)
    found = report["ablation"]
    assert report["reason"] is None and found["kind"] == "causal" and found["per_layer"] == [0, 0, 1]
    assert found["tokens"] == 60 and found["files"] == 10 and found["neurons"] == 1
    none = found["amounts"]["0"]
    assert found["accuracy"]["untouched"] > 0.95 and found["accuracy"]["0 random"] > 0.95
    assert found["accuracy"]["0 chosen"] < 0.7
    assert none["more_than_random"] and none["chosen"] < -2 and abs(none["random"]["mean"]) < 0.2
    assert none["low"] <= none["difference"] <= none["high"] < -2
    assert none["divergence"]["chosen"] > 2 > 0.2 > none["divergence"]["random"]
    assert not found["amounts"]["2"]["more_than_random"]  # twice as sure of what is right
    first = (paths.ablation("m", "token-roles") / "ablation.json").read_bytes()
    own = {"folders": {"token-roles": str(params.models["m"].path)}}  # for the task, where the model itself lies
    models = {**params.models, "m": params.models["m"].model_copy(update=own)}
    run(params.model_copy(update={"models": models}), paths)
    assert (paths.ablation("m", "token-roles") / "ablation.json").read_bytes() == first
    assert str(tmp_path) not in (paths.ablation("m", "token-roles") / "manifest.json").read_text()
    assert read_manifest(paths.ablation("m", "token-roles"))["facts"]["tokens"] == 60
    # the other way round: a neuron that does nothing is not used more than random ones
    write_search(paths, [DECIDES + 1])
    assert not run(params, paths)["ablation"]["amounts"]["0"]["more_than_random"]

    features = layout(paths, params, "m", "token-roles")
    chosen = np.array([3, 17, 20, DECIDES])
    drawn = draw_neurons(features, chosen, [7], 30)
    assert (drawn.random // WIDTH == chosen // WIDTH).all() and not np.isin(drawn.random, chosen).any()
    assert all(len(set(draw.tolist())) == 4 for draw in drawn.random)
    assert len(set(drawn.random[:, 0].tolist())) > 5
    # of a subset measured in part, none of the rest either, wherever there are enough others
    subset = np.array([DECIDES, *range(34, 37), *range(38, 45)])
    one = draw_neurons(features, np.array([DECIDES]), [7], 30, subset)
    assert one.apart and not np.isin(one.random, subset).any() and len(set(one.random.ravel().tolist())) > 2
    layer = np.arange(32, 48)
    one = draw_neurons(features, np.array([DECIDES]), [7], 30, layer)
    assert not one.apart and not (one.random == DECIDES).any()
    last = np.load(paths.activations("m", "token-roles", "train") / "layer_02.npy").astype(np.float64)
    assert drawn.spread(np.array([DECIDES])) == pytest.approx(last[:, 5].std())
    np.testing.assert_allclose(drawn.means(np.array([DECIDES])), last[:, 5].mean(), rtol=1e-5)
    write_search(paths, list(range(9)))
    crowded = params.model_copy(update={"concepts": params.concepts.model_copy(update={"neurons": 9})})
    assert run(crowded, paths)["reason"] == "layer 0 has 9 chosen neurons and only 7 others"

    source = paths.activations("m", "token-roles", "train")
    manifest = read_json(source / "manifest.json")
    manifest["facts"]["model_sha256"] = "0" * 64
    (source / "manifest.json").write_text(json.dumps(manifest))
    write_search(paths, [DECIDES])
    with pytest.raises(ArtifactError, match="other weights"):
        run(params, paths)


def test_a_change_by_the_factor_one_changes_nothing_of_a_masked_model(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablation = {"tokens": 30, "amounts": [1.0, 0.0], "random_draws": 2, "window": 24, "per_window": 3}
    params, paths = prepare(tmp_path, folders["modernbert"], ablation=ablation)
    dump_activations(params, paths, model="m", task="token-roles")
    write_search(paths, [1, 20, 21, DECIDES])
    tried: list[int] = []  # the longest window: the ablation's own, for no other setting is among what it depends on
    monkeypatch.setattr(models, "find_manners", lambda *a: tried.append(a[5]) or find_manners(*a))  # type: ignore[func-returns-value]
    found = run(params, paths)["ablation"]
    assert tried == [24]
    assert found["kind"] == "masked" and found["per_layer"] == [1, 2, 1] and found["windows"] == 10
    same, ablated = (found["amounts"][amount] for amount in ("1", "0"))
    assert same["chosen"] == same["difference"] == same["low"] == same["high"] == same["divergence"]["chosen"] == 0
    assert same["random"] == {"mean": 0, "low": 0, "high": 0} and not same["more_than_random"]
    assert ablated["divergence"]["chosen"] > 0 and ablated["random"]["low"] < ablated["random"]["high"]


def test_rows_without_anything_to_measure_say_why(folders: dict[str, Path], tmp_path: Path) -> None:
    params, paths = prepare(tmp_path, folders["headless"])
    for model in ("m", "twin"):
        dump_activations(params, paths, model=model, task="token-roles")
    report = run(params, paths)
    assert report["ablation"] is None
    assert report["reason"].startswith("no usable language-modelling head: config.json names ModernBertModel")
    assert run(params, paths, "twin")["reason"].startswith("an untrained twin")
    off = params.model_copy(update={"concepts": params.concepts.model_copy(update={"ablation": None})})
    assert "off" in run(off, paths)["reason"]
    write_search(paths, [])
    assert run(params, paths)["reason"] == "no neurons were chosen"
    with Writer(paths.task("token-roles") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": "pair", "classes": ["A", "B"], "scored_classes": [0, 1]})
    assert run(params, paths)["reason"].startswith("a task of pairs")


def test_a_head_that_the_weights_lack_is_no_head(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "m", "modernbert")
    config = read_json(folder / "config.json") | {"architectures": ["ModernBertForMaskedLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(NoHeadError, match="the weights lack"):
        load_language_model(folder, "m", "portable")

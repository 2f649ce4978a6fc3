"""Models that are not what they say, and tokens that a model drops or splits oddly: refused, told, or run rightly."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoModel, GPT2Model
from transformers.modeling_outputs import BaseModelOutput

from neurosieve.activations import ActivationsError, dump_activations, trial
from neurosieve.activations.batches import Coding, DroppedTokens, Plan, Rows, plan_inputs, white_marks
from neurosieve.activations.cut import CutError, cut
from neurosieve.activations.dump import run_plan
from neurosieve.activations.finetune import _backbone
from neurosieve.activations.models import Loaded, layer_states, load_folder, load_language_model
from neurosieve.activations.trial import Snapshot
from neurosieve.artifacts import Paths, Writer, read_manifest
from neurosieve.config import SPLITS, Activations, Model, load_params
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import make_record
from neurosieve.prepare.sampling import NAMED, Want, token_sample

SMALL = {"d_model": 16, "d_ff": 24, "d_kv": 8, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
BIRD = {"block_size": 4, "num_random_blocks": 1}  # full attention for 28 sub-words or fewer
SHORT, LONG = "def f(a)", "for name in names: seen.append(name) # value " * 2


def save(folder: Path, name: str, **changes: Any) -> Path:
    return tiny_models.save_other(folder / name, name, **changes)


def load(folder: Path, **more: Any) -> Loaded:
    return load_folder(folder, "m", "plain", **more)


def ids_of(loaded: Loaded, text: str) -> torch.Tensor:
    coding = loaded.coding
    return torch.tensor(
        [[*coding.prefix, *coding.tokenizer.encode(text, add_special_tokens=False).ids, *coding.suffix]]
    )


def states(loaded: Loaded, text: str) -> list[torch.Tensor]:
    ids = ids_of(loaded, text)
    return [state[0] for state in layer_states(loaded, ids, torch.ones_like(ids))]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def plan_of(coding: Coding, texts: list[str], rows: Rows | None = None, **options: Any) -> Plan:
    settings = {"subword": "mean", "pooling": "mean", "window": 512, "batch_tokens": 512, **options}
    inputs = [{"id": i, "text": text} for i, text in enumerate(texts)]
    return plan_inputs(inputs, rows, coding, lambda kind, i: f"{kind}.jsonl:{i + 1}", **settings)


# --- layers


@pytest.fixture
def spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Loads GPT-2 with another output of its forward than its own."""
    folder, forward = tiny_models.save(tmp_path, "gpt2"), GPT2Model.forward

    def spoil(change: Callable[[Any], Any]) -> None:
        monkeypatch.setattr(GPT2Model, "forward", lambda self, *args, **kw: change(forward(self, *args, **kw)))
        load(folder)

    return spoil


def without(out: Any, states: Any) -> BaseModelOutput:
    return BaseModelOutput(last_hidden_state=out.last_hidden_state, hidden_states=states)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda out: without(out, None), "1 layer:"),
        (lambda out: without(out, ()), "1 layer:"),
        (lambda out: without(out, out.hidden_states[-1:]), "1 layer:"),
        (lambda out: without(out, out.hidden_states[1:]), "2 layers:"),
        (lambda out: without(out, out.hidden_states + out.hidden_states[-1:]), "4 layers:"),
    ],
)
def test_M2_layers_that_are_not_given_out(change: Any, found: str, spoilt: Any) -> None:
    with pytest.raises(ActivationsError, match=f"the configuration has 2 blocks, found {found} .*must give out 3"):
        spoilt(change)


@pytest.mark.parametrize(
    ("change", "found"), [(lambda out: out[0], "Tensor"), (lambda out: tuple(out.values()), "tuple")]
)
def test_M3_an_output_that_is_none_of_transformers(change: Any, found: str, spoilt: Any) -> None:
    with pytest.raises(ActivationsError, match=f"GPT2Model gives out a {found} without hidden_states; its forward"):
        spoilt(change)


def test_M3_a_configuration_that_asks_for_tuples(tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path, "gpt2")
    edit(folder / "config.json", return_dict=False)
    assert load(folder).layers == 3


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mamba", {"state_size": 4}),
        ("rwkv", {"attention_hidden_size": 16, "context_length": 64}),
        ("rwkv", {"attention_hidden_size": 16, "context_length": 64, "rescale_every": 1}),
    ],
)
def test_M11_layer_0_is_what_enters_block_1(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    folder = save(tmp_path, name, **changes)
    loaded, plain = load(folder), AutoModel.from_pretrained(folder).eval()
    ids = ids_of(loaded, LONG)
    with torch.no_grad():
        out = plain(ids, output_hidden_states=True)
        embedded = plain.get_input_embeddings()(ids)
    found = layer_states(loaded, ids, None)
    wanted = [embedded, *out.hidden_states[:-2], out.last_hidden_state]
    assert len(found) == len(wanted) == loaded.layers == 3
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(CutError, match="lists what leaves block 1 first, so it is run whole"):
        cut(loaded, 1)


def test_M11_the_last_layer_is_the_models_output(tmp_path: Path) -> None:
    folder = save(tmp_path, "clip_text_model")  # its list ends before the final norm
    loaded, plain = load(folder), AutoModel.from_pretrained(folder).eval()
    ids = ids_of(loaded, SHORT)
    with torch.no_grad():
        out = plain(ids, output_hidden_states=True)
    found = layer_states(loaded, ids, None)
    torch.testing.assert_close(found[-1], out.last_hidden_state)
    assert not torch.allclose(found[-1], out.hidden_states[-1], atol=0.1)
    assert all(map(torch.equal, found[:-1], out.hidden_states[:-1]))


def test_M11_a_layer_0_of_neighbours_is_told(tmp_path: Path) -> None:
    more = {"embedding_size": 8, "intra_bottleneck_size": 8, "true_hidden_size": 8, "num_feedforward_networks": 1}
    loaded = load(save(tmp_path, "mobilebert", **more))  # it embeds three sub-words together
    assert loaded.facts["layer_0"].startswith("what enters block 1, which depends")
    assert "layer_0" not in load(tiny_models.save(tmp_path / "bert", "bert")).facts


# --- padding, chance, memory


def test_M8_values_that_depend_on_padding(tmp_path: Path) -> None:
    folder = save(tmp_path, "fnet", type_vocab_size=2)
    paths = Paths("b", tmp_path)
    texts = [SHORT, LONG, "x", "if a:", LONG[:30], "x = y", SHORT[::-1]]
    for split in SPLITS:
        with Writer(paths.task("t") / split, "prepare", {}) as writer:
            writer.jsonl("inputs.jsonl", [{"id": i, "text": text} for i, text in enumerate(texts)])
            writer.jsonl("rows.jsonl", [{"input": i, "label": 0} for i in range(len(texts))])
    settings = Activations(subword="mean", pooling="mean", window=64, batch_tokens=512)
    models = {"m": Model(path=str(folder))}
    params = load_params("params.yaml").model_copy(update={"models": models, "activations": settings})
    dump_activations(params, paths, model="m", task="t")
    facts = read_manifest(paths.activations("m", "t", "train"))["facts"]
    assert facts["padded"] is False
    loaded = load(folder)
    for layer in range(3):
        found = np.load(paths.activations("m", "t", "train") / f"layer_{layer:02d}.npy")
        wanted = np.stack([states(loaded, text)[layer].mean(0).numpy() for text in texts])
        np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=1e-4)
    with pytest.raises(ActivationsError, match="depend on the padding of a batch, so it is not trained here"):
        _backbone(loaded, "m")
    assert "padded" not in load(tiny_models.save(tmp_path / "bert", "bert")).facts


def test_M8_batches_of_one_length(tmp_path: Path) -> None:
    coding = load(tiny_models.save(tmp_path, "gpt2")).coding
    texts = ["x", "x y z", "y", "if a : b", "z z z", "a"]
    plan = plan_of(coding, texts)
    assert [int(n) for n in np.diff(plan.batch_bounds)] == [1, 2, 1, 1, 1]  # a lone sub-word runs alone


@pytest.mark.parametrize("part", ["decoder", "both"])
def test_M8_a_decoder_is_padded_though_its_last_special_token_is_not_fed_alone(part: str, tmp_path: Path) -> None:
    assert load(tiny_models.save(tmp_path, "bart"), part=part).coding.padded


def test_M8_values_that_depend_on_chance_are_refused(spoilt: Any) -> None:
    def drop(out: Any) -> Any:
        return without(out, tuple(torch.nn.functional.dropout(state, 0.1) for state in out.hidden_states))

    with pytest.raises(ActivationsError, match=r"run again gives other values .layer 0 .*draws something by chance"):
        spoilt(drop)


def test_M8_values_that_depend_on_the_batch_are_refused(spoilt: Any) -> None:
    def mix(out: Any) -> Any:
        return without(out, tuple(state + len(state) - 1 for state in out.hidden_states))

    with pytest.raises(ActivationsError, match="a text beside itself gives other values"):
        spoilt(mix)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.long(), "a tensor of real numbers each"),
        (lambda state: state.to(torch.complex64), "a tensor of real numbers each"),
        (lambda state: state.transpose(0, 1), r"found states of the shapes \[\(\d+, 1\)\] for \(1, \d+\) sub-words"),
    ],
)
def test_M3_states_that_are_no_real_vector_per_sub_word(change: Any, said: str, spoilt: Any) -> None:
    with pytest.raises(ActivationsError, match=said):
        spoilt(lambda out: without(out, tuple(map(change, out.hidden_states))))


def test_M8_values_that_depend_on_the_place_in_a_batch_are_refused(spoilt: Any) -> None:
    def number(out: Any) -> Any:
        return without(out, tuple(s + torch.arange(len(s))[:, None, None] for s in out.hidden_states))

    with pytest.raises(ActivationsError, match="a text beside itself gives other values"):
        spoilt(number)


def test_M8_a_batch_that_a_model_cannot_run_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(tiny_models.save(tmp_path, "gpt2"))

    def fail(*args: Any, **options: Any) -> Any:
        raise ValueError("5 is no multiple of 4")

    monkeypatch.setattr(loaded.model, "forward", fail)
    with pytest.raises(ActivationsError, match=r"m cannot run a batch of 1 windows of \d+ sub-words: 5 is no multiple"):
        list(run_plan(loaded, plan_of(loaded.coding, [SHORT]), ""))


def test_M12_a_short_text_does_not_switch_the_attention_for_good(tmp_path: Path) -> None:
    folder = save(tmp_path, "big_bird", **BIRD)
    loaded = load(folder)
    assert loaded.model.attention_type == "block_sparse" and loaded.snapshot is not None and not loaded.coding.padded

    def plain(text: str) -> list[torch.Tensor]:
        fresh, ids = AutoModel.from_pretrained(folder).eval(), ids_of(loaded, text)
        with torch.no_grad():
            return [state[0] for state in fresh(ids, output_hidden_states=True).hidden_states]

    full = AutoModel.from_pretrained(folder, attention_type="original_full").eval()
    with torch.no_grad():
        other = full(ids_of(loaded, LONG), output_hidden_states=True).hidden_states
    assert not torch.allclose(other[-1][0], plain(LONG)[-1], atol=1e-2)
    for text in (SHORT, LONG, SHORT, LONG):
        for a, b in zip(states(loaded, text), plain(text), strict=True):
            torch.testing.assert_close(a, b)
    for vectors, values in run_plan(loaded, plan_of(loaded.coding, [SHORT, LONG, "x"]), ""):
        for at, vector in enumerate(vectors):
            wanted = plain([SHORT, LONG, "x"][vector])[-1].mean(0).numpy()
            np.testing.assert_allclose(values[-1][at], wanted, atol=1e-5, rtol=1e-4)
    with pytest.raises(CutError, match="changes in a forward pass"):
        cut(loaded, 1)


@pytest.mark.parametrize("name", ["bert", "gpt2", "modernbert", "t5"])
def test_M12_loading_leaves_no_trace(name: str, tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path, name)
    loaded, plain = load(folder), AutoModel.from_pretrained(folder).eval()
    plain = plain.get_encoder() if name == "t5" else plain
    mine, fresh = (dict(model.named_buffers()) for model in (loaded.model, plain))
    assert all(torch.equal(mine[key], fresh[key]) for key in fresh) and loaded.snapshot is None


def test_M12_what_a_pass_changes_is_put_back() -> None:
    class Keeping(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.longest, self.seen = torch.nn.Linear(2, 2), 8, [1]
            self.register_buffer("table", torch.zeros(3))

    model = Keeping()
    inner, snapshot = model.inner, Snapshot(model)
    assert not snapshot.restore()
    model.inner, model.longest, model.cache = torch.nn.Linear(2, 2), 9, 1
    model.seen.append(2)
    model.table += 1
    assert snapshot.restore()
    assert (model.inner, model.longest, model.seen, model.table.tolist()) == (inner, 8, [1], [0, 0, 0])
    assert not hasattr(model, "cache") and not snapshot.restore()


# --- positions


LLAVA = {
    "text_config": {
        "model_type": "llama", "vocab_size": tiny_models.VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24, "max_position_embeddings": 32,
    },
    "vision_config": {
        "model_type": "clip_vision_model", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "image_size": 8, "patch_size": 4, "projection_dim": 16,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "maximum"),
    [
        pytest.param("llava", LLAVA, 32, id="M6-llava"),
        pytest.param("xlnet", {"max_position_embeddings": None, "d_inner": 24, "d_head": 8}, None, id="M9-xlnet"),
        pytest.param("mpnet", {"pad_token_id": 1}, 62, id="M9-mpnet"),
        pytest.param("ibert", {"pad_token_id": 1}, 62, id="M9-ibert"),
        pytest.param("longformer", {"pad_token_id": 1, "attention_window": 8}, 62, id="M9-longformer"),
        pytest.param("opt", {"ffn_dim": 24, "word_embed_proj_dim": 16}, 64, id="M9-opt"),
    ],
)
def test_M9_positions_are_as_many_as_the_model_has(
    name: str, changes: dict[str, Any], maximum: int | None, tmp_path: Path
) -> None:
    folder = save(tmp_path, name, **changes)
    edit(folder / "tokenizer_config.json", model_max_length=10**30)
    loaded = load(folder, window=80, batch_tokens=160)
    assert loaded.coding.maximum == maximum
    plan = plan_of(loaded.coding, [LONG * 4], window=80)
    assert (plan.window_stop - plan.window_start).tolist()[0] == (maximum or 80)
    assert sum(len(vectors) for vectors, _ in run_plan(loaded, plan, "")) == 1


def test_M9_a_window_that_no_table_holds_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, "mpt", d_model=16, n_heads=2, n_layers=2, max_seq_len=20)
    with pytest.raises(
        ActivationsError, match=r"a window of 64 sub-words cannot be run .* smaller `activations.window`"
    ):
        load(folder)
    assert load(folder, window=20).layers == 3


def test_M10_experts_inside_of_blocks_are_refused_in_words(tmp_path: Path) -> None:
    more = {"num_experts": 2, "num_sparse_encoder_layers": 1, "decoder_start_token_id": 0}
    folder = save(tmp_path, "switch_transformers", like="t5", **SMALL, **more)
    for neurons in ("feed-forward", "attention"):
        with pytest.raises(ActivationsError, match=r"block 1 \(Switch.*write `neurons: hidden`"):
            load(folder, neurons=neurons)
    assert load(folder).layers == 3


# --- special tokens


@pytest.mark.parametrize(
    ("stated", "config", "told"),
    [
        ({"cls_token": "<s>", "sep_token": "</s>"}, {}, "tokenizer_config.json has cls_token and sep_token"),
        ({"add_bos_token": True}, {}, "tokenizer_config.json has add_bos_token"),
        ({}, {"cls_token_id": 1, "sep_token_id": 2}, "config.json has cls_token_id and sep_token_id"),
        ({}, {"bos_token_id": 0, "eos_token_id": 2}, "config.json has bos_token_id"),
        ({"add_bos_token": False}, {"bos_token_id": 0, "eos_token_id": 2}, None),
        ({"bos_token": None}, {"bos_token_id": 0, "eos_token_id": 2}, None),
        ({}, {"bos_token_id": 0, "eos_token_id": 0}, None),
    ],
)
def test_M13_a_tokenizer_without_the_special_tokens_of_the_model_is_told(
    stated: dict[str, Any], config: dict[str, Any], told: str | None, tmp_path: Path, caplog: Any
) -> None:
    folder = tiny_models.save(tmp_path, "gpt2")
    base = Tokenizer.from_file(str(folder / "tokenizer.json"))
    fresh = json.loads(base.to_str()) | {"post_processor": None}
    (folder / "tokenizer.json").write_text(json.dumps(fresh))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **stated}))
    edit(folder / "config.json", **config)
    loaded = load(folder)
    if told is None:
        assert "special_tokens" not in loaded.facts and "special tokens" not in caplog.text
    else:
        assert loaded.facts["special_tokens"] == f"none are put around a text, though {told}"
        assert f"puts no special tokens around a text, though {told}" in caplog.text


# --- sub-words of a token


def unigram(scheme: str) -> Tokenizer:
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("def", -2.0), ("▁x", -1.5), ("x", -2.0), ("(", -2.0), ("ab", -2.0)]
    found = Tokenizer(models.Unigram(pieces, 0))
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme=scheme)]
    )
    return found


def byte_level() -> Tokenizer:
    alphabet = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    found = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return found


def llama() -> Tokenizer:
    found = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate("▁defabx(")}, merges=[]))
    found.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return found


def taken(tokenizer: Tokenizer, text: str, spans: list[tuple[int, int]], subword: str) -> list[str]:
    """The sub-words that each token's vector is made of."""
    coding = Coding(tokenizer, (), (), 0, None, marks=white_marks(tokenizer))
    rows = Rows(*(np.array(x, np.int64) for x in ([0] * len(spans), *zip(*spans, strict=True))))
    plan = plan_of(coding, [text], rows, subword=subword)
    pieces = [tokenizer.id_to_token(i) for i in plan.ids]
    parts = {int(v): pieces[a:b] for v, a, b in zip(plan.part_vector, plan.part_start, plan.part_stop, strict=True)}
    return ["".join(parts[i]) for i in range(len(spans))]


@pytest.mark.parametrize("tokenizer", [unigram("always"), unigram("first"), unigram("never"), llama()])
@pytest.mark.parametrize("subword", ["first", "last", "mean"])
def test_T1_the_sub_word_of_a_token_holds_letters_of_it(tokenizer: Tokenizer, subword: str) -> None:
    found = taken(tokenizer, "def ab x (", [(0, 3), (4, 6), (7, 8), (9, 10)], subword)
    whole = [tokenizer.encode("def").tokens, tokenizer.encode("ab").tokens]
    inner = [[piece for piece in pieces if piece != "▁"] for pieces in whole]
    at = {"first": slice(0, 1), "last": slice(-1, None), "mean": slice(None)}[subword]
    assert found[:2] == ["".join(pieces[at]) for pieces in inner]
    assert [piece.strip("▁") for piece in found[2:]] == ["x", "("]


def test_T1_a_loaded_model_knows_its_marks(tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path, "t5")
    unigram("always").save(str(folder / "tokenizer.json"))
    coding = load(folder).coding
    plan = plan_of(coding, ["def x"], Rows(np.array([0]), np.array([0]), np.array([3])), subword="first")
    assert coding.tokenizer.id_to_token(plan.ids[plan.part_start[0]]) == "def"


def test_T1_white_space_and_marks_that_a_token_itself_holds() -> None:
    tokenizer = byte_level()
    assert taken(tokenizer, "é b", [(0, 1), (2, 3)], "first") == ["Ã", "b"]  # a space put before is no part
    text = 'f" a"'
    assert taken(tokenizer, text, [(2, 4)], "first") == ["a"]
    assert taken(tokenizer, text, [(2, 4)], "mean") == ["Ġa"]
    assert taken(tokenizer, "a \n b", [(1, 3)], "first") == ["Ġ"]  # a token of white space alone
    marks = llama()
    assert taken(marks, "ab▁", [(2, 3)], "first") == ["▁"]  # the character itself, in the text


def test_T2_all_dropped_tokens_are_named_at_once(tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "bert", "bert")
    paths = Paths("b", tmp_path)
    for split in SPLITS:
        with Writer(paths.task("t") / split, "prepare", {}) as writer:
            text = "a \u200b b \u200b" if split != "test" else "a \ufeff"
            writer.jsonl("inputs.jsonl", [{"id": 0, "text": text, "file": "f.py", "name": "f"}])
            spans = [(i, i + 1) for i, c in enumerate(text) if c != " "]
            writer.jsonl("rows.jsonl", [{"input": 0, "start": a, "end": b, "label": 0} for a, b in spans])
    params = load_params("params.yaml").model_copy(update={"models": {"m": Model(path=str(folder))}})
    with pytest.raises(DroppedTokens) as caught:
        dump_activations(params, paths, model="m", task="t")
    said = str(caught.value)
    assert r"'\u200b' (6 rows, the first: " in said and r"'\ufeff' (1 row, the first: " in said
    assert r'write `leave_out: ["\u200b", "\ufeff"]` for the task under prepare.tasks' in said
    assert not list(paths.root.glob("activations/**/*.npy"))


def test_T2_tokens_that_a_task_leaves_out_are_counted() -> None:
    texts = ["a \u200b b", "\u200b", "c \u200b \u200b"]

    def tokens_of(text: str) -> list[Token]:
        places = [(i, c) for i, c in enumerate(text) if c != " "]
        return [Token(i, i + 1, c, 0) for i, c in places]

    names = [f"{i}.py" for i in range(3)]
    records = [make_record(t, package="p", file=n, name="f", where=n) for t, n in zip(texts, names, strict=True)]
    for named, kept, left in ((frozenset(), 7, 0), (frozenset({"\u200b"}), 3, 4)):
        want = Want(9, ("x",), 9, None, np.random.default_rng(0), leave_out=named)
        sample = token_sample(records, want, tokens_of)
        assert len(sample.rows) == kept and sample.left_out[NAMED] == left
        assert {row["type"] for row in sample.rows} == ({"a", "b", "c"} | ({"\u200b"} if not named else set()))


def test_M11_a_language_model_with_another_list_is_not_ablated(tmp_path: Path) -> None:
    folder = save(tmp_path, "mamba", state_size=4)
    edit(folder / "config.json", architectures=["MambaForCausalLM"], tie_word_embeddings=True)
    with pytest.raises(ActivationsError, match="not the hidden states that it lists"):
        load_language_model(folder, "m", "fast")


def test_M8_a_huge_value_at_one_subword_hides_no_difference_at_another() -> None:
    one = torch.ones(1, 6, 8)
    one[0, 0, 0] = 3000.0
    other = one.clone()
    other[0, 3, 2] += 0.05
    assert trial.differ([one], [one.clone()]) is None
    assert "layer 0 by 0.05" in str(trial.differ([one], [other]))
    rounding = one.clone()
    rounding[0, 0, 0] += 0.01
    assert trial.differ([one], [rounding]) is None


def test_what_a_tokenizer_does_not_know_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sub-words that are the sign for unknown text say nothing of it: that is no reason to run in silence."""
    coding = load(tiny_models.save(tmp_path / "m", "bert")).coding
    texts = ["def f(a): return a", "x = a  # \N{PILE OF POO}", "if a: return b"]
    ids = [coding.tokenizer.encode(text, add_special_tokens=False).tokens.count("[UNK]") for text in texts]
    assert ids[0] == ids[2] == 0 < ids[1]

    def plan(texts: list[str]) -> Plan:
        inputs = [{"id": i, "text": text} for i, text in enumerate(texts)]
        return plan_inputs(
            inputs, None, coding, lambda kind, i: f"{kind}.jsonl:{i + 1}", subword="mean", pooling="mean", window=32,
            batch_tokens=64,
        )  # fmt: skip

    with caplog.at_level(logging.WARNING):
        assert plan(texts).facts["unknown_subwords"] == ids[1]
    assert f"inputs.jsonl:2: {ids[1]} of " in caplog.text and "1 input of which" in caplog.text
    caplog.clear()
    assert "unknown_subwords" not in plan(texts[::2]).facts and not caplog.text
    with pytest.raises(ActivationsError, match=r"inputs.jsonl:1: .* give the model its own tokenizer"):
        plan(["\N{PILE OF POO} " * 5, "a"])


def test_a_spelled_sign_for_unknown_text_is_text(tmp_path: Path) -> None:
    coding = load(tiny_models.save(tmp_path / "m", "bert")).coding
    plan = plan_inputs(
        [{"id": 0, "text": "a [UNK] b"}], None, coding, lambda kind, i: kind, subword="mean", pooling="mean",
        window=32, batch_tokens=64,
    )  # fmt: skip
    assert coding.unknown is not None and plan.facts.get("unknown_subwords", 0) < len(plan.ids) / 2

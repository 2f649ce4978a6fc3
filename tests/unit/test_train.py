"""neurosieve.train on a tiny model: the data, the tokenizer, resuming to the same bytes, and promoting."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.numpy import save_file
from test_wheels import make_wheel
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from neurosieve.sources.wheels import Wheel
from neurosieve.train import data, evaluate, loop, tokenizer
from neurosieve.train.__main__ import main
from neurosieve.train.params import ModelParams, TrainError, load_params
from neurosieve.train.promote import promote

VOCABULARY = 320
MODEL: dict[str, Any] = {
    "objective": "masked",
    "layers": 2,
    "width": 16,
    "intermediate": 16,
    "heads": 2,
    "local_attention": 8,
    "global_every": 2,
    "block": 16,
    "batch": 4,
    "steps": 12,
    "mask_share": 0.3,
    "precision": "bfloat16",
    "save_every": 5,
    "checkpoints": [0, 2, 12],
    "optimiser": {
        "muon_lr": 0.01,
        "adam_lr": 0.01,
        "weight_decay": 0.05,
        "warmup_steps": 2,
        "decay_share": 0.25,
    },
}
PIN = {"name": "one", "version": "1.0", "licence": "MIT", "sha256": "0" * 64}
PARAMS: dict[str, Any] = {
    "seed": 3,
    "corpus": {
        "wheels": [PIN, {**PIN, "name": "two"}],
        "heldout": ["two"],
        "task_wheels": [],
        "min_chars": 10,
        "max_chars": 2000,
        "max_share": 1.0,
    },
    "tokenizer": {"size": VOCABULARY, "sample_chars": 100000, "max_length": 64},
    "models": {"tiny": MODEL},
}
SOURCE = 'def f(self, größe):\n    """<|mask|> 日本 \U0001f600"""\n\n    return self.x[größe] + "<|sep|>"\n'


def write(path: Path, **model: Any) -> Path:
    """A params file; keywords change the model's block."""
    params = copy.deepcopy(PARAMS)
    params["models"]["tiny"].update(model)
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus/ and tokenizer/ as the first two steps leave them, of made-up functions."""
    folder = tmp_path_factory.mktemp("build")
    rng = np.random.default_rng(0)
    names = ["alpha", "beta", "gamma", "delta"]
    texts = [
        f"def {a}({b}, {c}):\n    if {b} > {n}:\n        return {c}.{a}\n    return {b}"
        for a, b, c, n in ((*rng.choice(names, 3), rng.integers(100)) for _ in range(300))
    ]
    (folder / "corpus").mkdir()
    for split, part in (("train", texts[:250]), ("heldout", texts[250:])):
        lines = [json.dumps({"package": "one", "source": text}) + "\n" for text in part]
        (folder / "corpus" / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    wheel = {**PIN, "files": 1, "generated": 2, "kept": 250, "heldout": False, "left_out": {"duplicate": 7}}
    summary = {
        "wheels": [wheel, {**wheel, "name": "two", "heldout": True}],
        "task_wheels": [{**PIN, "name": "sympy"}],
        "train": {"functions": 250, "chars": 1234},
        "heldout": {"functions": 50, "chars": 99},
        "left_out": {"duplicate": 14, "in_task_wheel_folded": 4321},
    }
    (folder / "corpus" / "corpus.json").write_text(json.dumps(summary), encoding="utf-8")
    tokenizer.run(write(folder / "train.yaml"), folder / "corpus", folder / "tokenizer")
    return folder


def train(build: Path, output: Path, stop_at: int | None = None, **model: Any) -> list[str]:
    lines: list[str] = []
    params = write(output.parent / f"{output.name}.yaml", **model)
    loop.fit(params, "tiny", build / "tokenizer", output, stop_at=stop_at, report=lines.append)
    return lines


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "state.safetensors"
    }


# ---------------------------------------------------------------- params


def test_the_params_file_in_git_is_valid() -> None:
    params = load_params(Path(__file__).parents[2] / "workflow" / "train.yaml")
    assert params.models["neurosieve-small"].checkpoints[0] == 0
    assert len(params.models["neurosieve-small"].checkpoints) == 8
    assert {wheel.name for wheel in params.corpus.task_wheels} >= {"sympy", "Django", "mpmath"}


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("colour",), 1, "colour"),
        (("models", "tiny", "optimiser", "momentum"), 0.9, "models.tiny.optimiser.momentum"),
        (("models", "tiny", "steps"), "many", "found 'many'"),
        (("models", "tiny", "checkpoints"), [0, 5], "the last of checkpoints must be steps"),
        (("models", "tiny", "heads"), 3, "width"),
        (("models", "tiny", "block"), 100, "above tokenizer.max_length"),
        (("corpus", "heldout"), ["three"], "heldout names three"),
        (("corpus", "task_wheels"), [{**PIN, "name": "One"}], "take it out of wheels"),
        (("corpus", "max_share"), 0.5, "max_share"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, where: tuple[str, ...], value: object, words: str) -> None:
    params = copy.deepcopy(PARAMS)
    place = params
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    with pytest.raises(TrainError, match=r"bad\.yaml") as error:
        load_params(path)
    assert words in str(error.value)


# ---------------------------------------------------------------- data


def function(number: int, name: str = "value") -> str:
    return f"def make_{name}({name}):\n    return [{name}, {number}]\n"


def test_corpus_leaves_out_and_counts(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = "\n".join(function(number) for number in range(40))
    files = {
        "one/a.py": one.encode(),
        "one/b.py": function(0).encode(),  # again
        "one/c.py": b"def f(): 1\n\ndef broken(x):\n    return (1 +* 2\n",
        "one/d.py": ("# This file was automatically generated.\n" + function(500)).encode(),
        "one/e.py": b"x = '\xff'\n",
        "one/f.py": ("def long(x):\n" + "    x = x + 1\n" * 300).encode(),
    }
    task = function(1) + function(2, "other") + "def f(): 1\n"
    wheels = [
        make_wheel(cache, "one", "1.0", files),
        make_wheel(cache, "two", "1.0", {"two/a.py": function(3).encode()}),
        make_wheel(cache, "three", "1.0", {"three/a.py": (function(1000) + function(1001)).encode()}),
        make_wheel(cache, "four", "1.0", {"four/a.py": (function(1002) + function(1003)).encode()}),
    ]
    tasks = [make_wheel(cache, "task", "1.0", {"task/a.py": task.encode()})]
    params = copy.deepcopy(PARAMS)
    params["corpus"].update(
        wheels=[wheel.model_dump() for wheel in wheels],
        task_wheels=[wheel.model_dump() for wheel in tasks],
        min_chars=15,
        max_share=0.5,
    )
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    data.run(path, tmp_path / "out", cache)

    summary = json.loads((tmp_path / "out" / "corpus.json").read_text(encoding="utf-8"))
    first = summary["wheels"][0]
    assert (first["files"], first["not_utf8"], first["generated"], first["functions"]) == (5, 1, 1, 44)
    assert first["left_out"] == {
        "syntax_error": 1,
        "too_short": 1,
        "too_long": 1,
        "in_task_wheel_exactly": 1,
        "in_task_wheel_folded": 1,
        "duplicate": 2,  # once more in `one` itself, once in the held-out wheel
        "above_share": 37 - first["kept"],
    }
    assert 0 < first["kept"] <= 4  # no more characters than the other two give together
    train = data.sources(tmp_path / "out" / "train.jsonl")
    assert len(train) == first["kept"] + 4 == summary["train"]["functions"]
    assert not any(f", {number}]" in text for text in train for number in (1, 2, 3, 500))
    assert data.sources(tmp_path / "out" / "heldout.jsonl") == [function(3).rstrip()]

    before = content(tmp_path / "out")
    data.run(path, tmp_path / "out", cache)
    assert content(tmp_path / "out") == before


# ---------------------------------------------------------------- tokenizer


def test_tokenizer_keeps_every_character(build: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(build / "tokenizer")
    for text in (SOURCE, "", "\t x\r\n", "<|pad|><|cls|>", "a" + " " * 40 + "b"):
        encoded = loaded(text, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"][1:-1]
        assert (ids[0], ids[-1]) == (loaded.cls_token_id, loaded.sep_token_id)
        assert not set(ids[1:-1]) & set(loaded.all_special_ids)
        covered = {place for start, end in offsets for place in range(start, end)}
        assert covered == set(range(len(text)))
        assert loaded.decode(ids[1:-1]) == text


def test_offsets_name_the_characters(build: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(build / "tokenizer")
    text = 'x = "日本é"; alpha'
    encoded = loaded(text, return_offsets_mapping=True)
    start = text.index("alpha")
    pieces = [text[a:b] for a, b in encoded["offset_mapping"] if b > start]
    assert "".join(pieces) == " alpha"


def test_special_tokens_of_the_loaded_tokenizer(build: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(build / "tokenizer")
    found = [loaded.pad_token_id, loaded.cls_token_id, loaded.sep_token_id, loaded.mask_token_id, loaded.unk_token_id]
    assert found == [0, 1, 2, 3, 4]
    assert len(loaded) == VOCABULARY and loaded.model_max_length == 64
    pair = loaded("a", "b")["input_ids"]
    assert pair.count(2) == 2 and pair.count(1) == 1


def test_the_stream_is_read_as_the_loaded_tokenizer_reads(build: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(build / "tokenizer")
    fast = tokenizer.encode(loaded.backend_tokenizer, [SOURCE, "x"])
    assert fast.tolist() == loaded(SOURCE)["input_ids"] + loaded("x")["input_ids"]


def test_learning_repeats_its_bytes(build: Path, tmp_path: Path) -> None:
    tokenizer.run(build / "train.yaml", build / "corpus", tmp_path)
    assert content(tmp_path) == content(build / "tokenizer")


# ---------------------------------------------------------------- the parts of a step


def test_every_block_once_an_epoch() -> None:
    stream = np.repeat(np.arange(10, dtype=np.uint16), 4)
    blocks = loop.Blocks(np.append(stream, [99]).astype(np.uint16), block=4, batch=4, seed=1)
    rows = torch.cat([blocks.ids(step) for step in range(5)])  # two epochs; the third step lies across
    assert sorted(rows[:10, 0].tolist()) == sorted(rows[10:, 0].tolist()) == list(range(10))
    assert rows[:10, 0].tolist() != rows[10:, 0].tolist()
    alone = loop.Blocks(stream, block=4, batch=4, seed=1).ids(3)
    assert torch.equal(alone, rows[12:16])


def test_masking() -> None:
    ids = torch.randint(0, 50, (200, 50), generator=torch.Generator().manual_seed(0))
    inputs, chosen = loop.mask_tokens(ids, 0.3, 50, seed=1, step=7)
    again = loop.mask_tokens(ids, 0.3, 50, seed=1, step=7)
    assert torch.equal(inputs, again[0]) and torch.equal(chosen, again[1])
    assert not torch.equal(chosen, loop.mask_tokens(ids, 0.3, 50, seed=1, step=8)[1])
    assert not (chosen & (ids < 5)).any()
    assert torch.equal(inputs[~chosen], ids[~chosen])
    assert abs(chosen.sum() / (ids >= 5).sum() - 0.3) < 0.02
    shown = inputs[chosen]
    assert abs((shown == tokenizer.MASK_ID).double().mean() - 0.8) < 0.03
    changed = (shown != tokenizer.MASK_ID) & (shown != ids[chosen])
    assert 0.07 < changed.double().mean() < 0.12
    assert shown[changed].min() == 5 and shown[changed].max() == 49
    assert (loop.mask_tokens(ids, 0.3, 50, 1, 7, as_mask=1.0)[0][chosen] == tokenizer.MASK_ID).all()


def test_learning_rate() -> None:
    params = ModelParams(**{**MODEL, "steps": 12, "checkpoints": []})
    rates = [round(loop.rate(params, step), 3) for step in range(12)]
    assert rates == [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.667, 0.333]


# ---------------------------------------------------------------- resuming


@pytest.fixture(scope="module")
def finished(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an uninterrupted run."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    lines = train(build, output)
    assert "step 12/12" in lines[-1] and "tokens/s" in lines[-1] and "ETA" in lines[-1]
    return output


def test_a_resumed_run_gives_the_same_bytes(build: Path, finished: Path, tmp_path: Path) -> None:
    for stop in (3, 11):
        train(build, tmp_path / "run", stop_at=stop)
        assert not (tmp_path / "run" / "run.json").exists()
    lines = train(build, tmp_path / "run")
    assert "going on at step 11" in lines[0]
    assert content(tmp_path / "run") == content(finished)
    assert {"checkpoints/step-000000/model.safetensors", "losses.csv"} <= set(content(finished))
    train(build, tmp_path / "run")  # nothing left to do
    assert content(tmp_path / "run") == content(finished)


@pytest.mark.parametrize("before", [24, 10])
def test_steps_may_change_before_the_decay(build: Path, finished: Path, tmp_path: Path, before: int) -> None:
    train(build, tmp_path / "run", stop_at=7, steps=before, checkpoints=[0, 2, before])
    train(build, tmp_path / "run")
    assert content(tmp_path / "run") == content(finished)


def test_steps_may_not_change_after_it(build: Path, tmp_path: Path) -> None:
    train(build, tmp_path / "run", stop_at=10)
    with pytest.raises(TrainError, match="Put 12 back"):
        train(build, tmp_path / "run", steps=24, checkpoints=[])


def test_other_params_are_not_resumed(build: Path, tmp_path: Path) -> None:
    train(build, tmp_path / "run", stop_at=2)
    with pytest.raises(TrainError, match="other params or other tokens"):
        train(build, tmp_path / "run", mask_share=0.2)


def test_training_lowers_the_loss(finished: Path) -> None:
    steps = load_params(finished.parent / "whole.yaml").models["tiny"].steps
    with safe_open(finished / "state.safetensors", "pt") as file:
        losses = file.get_tensor("losses")
    assert len(losses) == steps and losses[-3:].mean() < losses[:3].mean()


def test_an_unknown_model_and_a_short_stream_are_errors(build: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no model 'other'"):
        loop.fit(write(tmp_path / "p.yaml"), "other", build / "tokenizer", tmp_path)
    save_file({"train": np.zeros(5, np.uint16)}, tmp_path / tokenizer.TOKENS_FILE)
    with pytest.raises(TrainError, match="not even one block"):
        loop.fit(write(tmp_path / "p.yaml"), "tiny", tmp_path, tmp_path / "run")


# ---------------------------------------------------------------- the causal sister

CAUSAL = {**{key: value for key, value in MODEL.items() if key != "mask_share"}, "objective": "next"}


def test_a_causal_model_is_asked_for_each_next_token_that_is_not_special() -> None:
    ids = torch.tensor([[1, 7, 8, 2, 9], [6, 1, 5, 5, 7]])  # ids below 5 are special
    inputs, places, targets = loop.questions(ModelParams(**CAUSAL), ids, 12, 0, 0)
    assert inputs is ids
    assert places.tolist() == [[True, True, False, True, False], [False, True, True, True, False]]
    assert targets.tolist() == [7, 8, 9, 5, 5, 7]


def test_a_causal_model_answers_from_what_stands_before() -> None:
    model = loop.build_model(ModelParams(**CAUSAL), VOCABULARY, 64, 3).eval()
    ids = torch.arange(10, 26)[None]
    later = ids.clone()
    later[0, 9:] += 40
    every = torch.ones_like(ids, dtype=torch.bool)
    with torch.inference_mode():
        one, other = (loop.logits_at(model, x, every) for x in (ids, later))
    assert torch.equal(one[:9], other[:9]) and not torch.allclose(one[9], other[9])
    masked = loop.build_model(ModelParams(**MODEL), VOCABULARY, 64, 3).eval()
    with torch.inference_mode():
        one, other = (loop.logits_at(masked, x, every) for x in (ids, later))
    assert not torch.allclose(one[8], other[8])


def test_a_causal_model_is_trained_resumed_scored_and_promoted(build: Path, tmp_path: Path) -> None:
    params = write(tmp_path / "causal.yaml", objective="next", mask_share=None)
    for name in ("corpus", "tokenizer"):
        shutil.copytree(build / name, tmp_path / "build" / name)
    whole, halves = tmp_path / "whole", tmp_path / "build" / "tiny"
    loop.fit(params, "tiny", build / "tokenizer", whole)
    for stop in (6, None):
        loop.fit(params, "tiny", build / "tokenizer", halves, stop_at=stop)
    assert content(whole / "model") == content(halves / "model")
    evaluate.run(params, "tiny", build / "tokenizer", halves)
    promote("tiny", params, tmp_path / "build", tmp_path / "models")
    folder = tmp_path / "models" / "tiny"
    model = AutoModelForCausalLM.from_pretrained(folder)
    batch = AutoTokenizer.from_pretrained(folder)(SOURCE, return_tensors="pt")
    assert type(model).__name__ == "ModernBertDecoderForCausalLM"
    assert model(**batch).logits.shape[-1] == VOCABULARY
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "causal language model" in card and "each next token" in card.lower() and "[MASK]" not in card
    assert max(map(len, card.splitlines())) <= 110


def test_the_bigram_of_a_causal_model_is_asked_the_same() -> None:
    """By hand: after 5, 6 came two times of three and 7 once; 9 follows nothing known but by the unigram."""
    stream = np.array([5, 6, 5, 7, 5, 6, 8, 9], np.uint16)
    params = ModelParams(**CAUSAL)
    scores = evaluate.baseline_scores(stream, np.array([[5, 6]], np.uint16), params, 12, 0)
    unigram = (np.bincount(stream, minlength=12) + 1) / (len(stream) + 12)
    assert scores["unigram"]["loss"] == pytest.approx(-np.log(unigram[6]), abs=1e-4)
    by_hand = (2 - 0.75) / 3 + 0.75 * 2 / 3 * unigram[6]
    assert scores["bigram"]["loss"] == pytest.approx(-np.log(by_hand), abs=1e-4)


def test_mask_share_belongs_to_the_masked_objective() -> None:
    for wrong in ({**CAUSAL, "mask_share": 0.3}, {**CAUSAL, "objective": "masked"}):
        with pytest.raises(ValueError, match="mask_share belongs to objective: masked"):
            ModelParams(**wrong)


# ---------------------------------------------------------------- evaluating and promoting


@pytest.fixture
def ready(build: Path, finished: Path, tmp_path: Path) -> Path:
    """A build folder with a run that is finished and evaluated."""
    for name in ("corpus", "tokenizer"):
        shutil.copytree(build / name, tmp_path / "build" / name)
    shutil.copytree(finished, tmp_path / "build" / "tiny")
    write(tmp_path / "train.yaml")
    evaluate.run(tmp_path / "train.yaml", "tiny", build / "tokenizer", tmp_path / "build" / "tiny")
    return tmp_path


def copy_to_models(folder: Path) -> list[str]:
    return promote("tiny", folder / "train.yaml", folder / "build", folder / "models")


def test_promoted_folder(ready: Path) -> None:
    copy_to_models(ready)
    first = content(ready / "models")
    copy_to_models(ready)  # over the old one
    assert content(ready / "models") == first
    files = Counter(Path(path).name for path in first)
    assert files == {
        "config.json": 4,
        "model.safetensors": 4,
        "tokenizer.json": 1,
        "tokenizer_config.json": 1,
        "README.md": 1,
    }
    folder = ready / "models" / "tiny"
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert len(file.metadata()) == 1
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
    model = AutoModelForMaskedLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    batch = AutoTokenizer.from_pretrained(folder)(SOURCE, return_tensors="pt")
    assert model(**batch).logits.shape[-1] == VOCABULARY


def test_card_says_what_was_measured(ready: Path) -> None:
    copy_to_models(ready)
    card = (ready / "models" / "tiny" / "README.md").read_text(encoding="utf-8")
    scores = json.loads((ready / "build/tiny/evaluation.json").read_text(encoding="utf-8"))["scores"]
    for score in scores.values():
        assert f"| {score['loss']:.3f} | {score['accuracy']:.1%} |" in card
    for words in (
        "4,321",
        "sympy 1.0",
        "12 steps",
        "768 tokens",
        "| one | 1.0 | MIT |",
        "snakemake -s workflow/train.smk",
    ):
        assert words in card
    assert card.isascii() and max(map(len, card.splitlines())) <= 110


def test_baselines_are_in_order(ready: Path) -> None:
    scores = json.loads((ready / "build/tiny/evaluation.json").read_text(encoding="utf-8"))["scores"]
    assert scores["bigram"]["loss"] < scores["unigram"]["loss"]
    assert scores["bigram"]["accuracy"] > scores["unigram"]["accuracy"]


def test_bigram_is_a_distribution() -> None:
    """Over all tokens that may follow, the probabilities of the bigram add up to one."""
    train_stream = np.array([5, 6, 5, 7, 5, 6, 8, 9], np.uint16)
    nearly_all = ModelParams(**{**MODEL, "mask_share": 0.999999})
    total = 0.0
    for last in range(12):
        blocks = np.array([[5, last]], np.uint16)
        # With nearly all tokens chosen, the second one is; special tokens never are, so they are put in by hand
        if last < 5:
            counts = np.bincount(train_stream, minlength=12)
            total += 0.75 * 2 / 3 * (counts[last] + 1) / (len(train_stream) + 12)
        else:
            both = evaluate.baseline_scores(train_stream, blocks, nearly_all, 12, 0)["bigram"]["loss"]
            first = evaluate.baseline_scores(train_stream, blocks[:, :1], nearly_all, 12, 0)["bigram"]["loss"]
            total += float(np.exp(-(2 * both - first)))
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    ("missing", "words"),
    [("run.json", "is not finished"), ("evaluation.json", "has not been evaluated")],
)
def test_promote_refuses_the_unfinished(ready: Path, missing: str, words: str) -> None:
    (ready / "build" / "tiny" / missing).unlink()
    with pytest.raises(TrainError, match=words):
        copy_to_models(ready)
    assert not (ready / "models").exists()


def test_promote_refuses_what_does_not_belong_together(ready: Path) -> None:
    weights = ready / "build/tiny/model/model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good + b" ")
    with pytest.raises(TrainError, match="other weights"):
        copy_to_models(ready)
    weights.write_bytes(good)
    write(ready / "train.yaml", mask_share=0.2)
    with pytest.raises(TrainError, match="other params"):
        copy_to_models(ready)
    write(ready / "train.yaml")
    save_file({"train": np.zeros(5, np.uint16)}, ready / "build" / "tokenizer" / tokenizer.TOKENS_FILE)
    with pytest.raises(TrainError, match="other tokens"):
        copy_to_models(ready)


def test_evaluate_refuses_the_unfinished(build: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="is not finished"):
        evaluate.run(write(tmp_path / "p.yaml"), "tiny", build / "tokenizer", tmp_path / "run")


def test_command_line(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--params", str(ready / "train.yaml"), "--build", str(ready / "build"), "--models", str(ready / "m")]
    assert main(["promote", "tiny", *common]) == 0
    assert "12 steps" in capsys.readouterr().out
    assert main(["promote", "other", *common]) == 1
    assert "no model 'other'" in capsys.readouterr().err


def test_pins_are_wheels() -> None:
    assert Wheel(**PIN).requirement == "one==1.0"

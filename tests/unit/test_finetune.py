"""Training a model on a task first: what it learns, which rows it sees, the same bytes after a kill, what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import yaml
from safetensors.numpy import load_file

from neurosieve import config, numerics
from neurosieve.activations import ActivationsError, dump_activations, finetune, finetune_model
from neurosieve.activations.models import load_model
from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_manifest

WORDS = {0: ["add", "first", "second", "return"], 1: ["name", "list", "value", "seen"]}
FILES = 20


def texts(rng: np.random.Generator, rows: int, long: int = 0) -> list[tuple[str, int]]:
    """Made-up lines; their label is which of two sets their words are from."""
    made = []
    for i in range(rows):
        label = i % 2
        words = rng.choice(WORDS[label], size=60 if i < long else rng.integers(3, 6))
        made.append((" ".join(words), label))
    return made


def write_task(paths: Paths, unit: str = "sequence", rows: int = 120, long: int = 0, target: bool = False) -> None:
    """All four splits and the card of the task `t`; two rows after one another lie in a file."""
    for number, split in enumerate(config.SPLITS):
        rng = np.random.default_rng([1, number])
        found = texts(rng, rows, long)
        inputs = [
            {"id": i, "text": text, "file": f"p/{i // 2 % FILES}.py", "package": "p", "name": f"f{i}"}
            for i, (text, _) in enumerate(found)
        ]
        if unit == "pair":  # are both sides of one label? A quarter of them reaches over two files
            far = 2 * FILES
            other = [(i ^ 1 if i % 8 < 3 else i if i % 8 < 6 else i + 2) + far for i in range(rows - far - 2)]
            lines = [{"input": i, "input2": j, "label": int(found[i][1] == found[j][1])} for i, j in enumerate(other)]
        elif target:
            lines = [{"input": i, "target": 10.0 + 3 * label} for i, (_, label) in enumerate(found)]
        else:
            lines = [{"input": i, "label": label} for i, (_, label) in enumerate(found)]
        with Writer(paths.task("t") / split, "prepare", {}) as out:
            out.jsonl("inputs.jsonl", inputs)
            out.jsonl("rows.jsonl", lines)
    with Writer(paths.task("t") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": unit, "classes": [] if target else ["no", "yes"], "metric": "accuracy"})


def write_params(
    root: Path, *, architecture: str = "modernbert", model: dict[str, Any] | None = None, **settings: Any
) -> Path:
    """A params file with model `m`, trained on task `t`, and its twin `twin`, which is not."""
    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text())
    folder = root / architecture
    if not folder.exists():
        tiny_models.save(folder, architecture)
    tune = {"tasks": ["t"], "epochs": 3, "learning_rate": 0.01, "batch": 8, "validation": 0.2, **settings}
    raw["models"] = {"m": {"path": str(folder), "finetune": tune}, "twin": {"untrained": "m", **(model or {})}}
    raw["run"] |= {"models": ["m", "twin"], "tasks": ["t"]}
    raw["prepare"]["tasks"] = {"t": {**raw["prepare"]["tasks"]["doc-match"]}}
    file = root / "params.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file


def setup(tmp_path: Path, task: dict[str, Any] | None = None, **settings: Any) -> tuple[config.Params, Paths]:
    params = config.load_params(write_params(tmp_path, **settings))
    paths = Paths("tiny", tmp_path / "build")
    write_task(paths, **(task or {}))
    return params, paths


def run(params: config.Params, paths: Paths, model: str = "m") -> Path:
    finetune_model(params, paths, model=model, task="t")
    return paths.finetuned(model, "t")


def with_weights(params: config.Params) -> config.Params:
    """The same under `numerics: fast`: under portable a model that is loaded holds its weights packed alone."""
    return params.model_copy(update={"numerics": "plain"})


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("architecture", ["bert", "roberta", "llama", "t5"])
def test_the_loss_falls_and_the_model_learns(tmp_path, architecture):
    params, paths = setup(tmp_path, architecture=architecture)
    folder = run(params, paths)
    report = read_json(folder / "report.json")
    first, last = report["epochs"][1], report["epochs"][report["best_epoch"]]
    assert report["epochs"][0]["validation_loss"] > 0.5 > 3 * last["validation_loss"]
    assert last["train_loss"] < first["train_loss"] or report["best_epoch"] == 1
    assert last["validation_accuracy"] == 1
    assert report["training"] == "fine-tuned here"
    check_files(folder)


def test_which_neurons_are_taken_afterwards_changes_no_training(tmp_path):
    """Feed-forward layers of 24 units: the head stands on hidden states of 16 all the same."""
    params, paths = setup(tmp_path, architecture="bert", epochs=1)
    wanted = files(run(params, paths))["model.safetensors"]
    entry = params.models["m"].model_copy(update={"neurons": "feed-forward"})
    params = params.model_copy(update={"models": {**params.models, "m": entry}})
    assert files(run(params, paths))["model.safetensors"] == wanted
    dump_activations(params, paths, model="m", task="t")
    assert read_manifest(paths.activations("m", "t", "test"))["facts"]["width"] == 24


@pytest.mark.parametrize("unit", ["pair", "target"])
def test_pairs_and_targets_are_learned(tmp_path, unit):
    task = {"unit": "pair"} if unit == "pair" else {"target": True}
    params, paths = setup(tmp_path, {**task, "rows": 240}, epochs=6, patience=6)
    report = read_json(run(params, paths) / "report.json")
    best = report["epochs"][report["best_epoch"]]
    if unit == "pair":
        assert best["validation_accuracy"] > 0.9 and report["loss"] == "cross-entropy"
        assert report["rows_across"] > 0
        assert report["rows"] + report["validation_rows"] + report["rows_across"] == 240 - 2 * FILES - 2
    else:
        assert best["validation_r2"] > 0.9 and report["loss"].startswith("squared error")
        assert 10 < report["target_mean"] < 13


@pytest.mark.parametrize("architecture", ["modernbert", "gpt2", "t5", "bart"])
def test_the_artifact_is_a_model_folder_and_the_dump_uses_it(tmp_path, architecture):
    """Every weight that is loaded again stands in the file and is another than before."""
    params, paths = setup(tmp_path, architecture=architecture)
    folder = run(params, paths)
    assert {"config.json", "model.safetensors", "tokenizer.json", "report.json"} <= {p.name for p in folder.iterdir()}
    base = load_model(with_weights(params), "m")
    tuned = load_model(with_weights(params), "m", folder=folder)
    assert tuned.facts["model_sha256"] == read_manifest(folder)["facts"]["model_sha256"]
    assert tuned.facts["model_sha256"] != base.facts["model_sha256"]
    assert tuned.facts["tokenizer_sha256"] == base.facts["tokenizer_sha256"]
    before, after = base.model.state_dict(), tuned.model.state_dict()
    stored = {value.tobytes() for value in load_file(folder / "model.safetensors").values()}
    assert set(before) == set(after)
    for name, value in after.items():
        assert not torch.equal(before[name], value), f"{name} was not trained"
        assert value.numpy().tobytes() in stored, name
    dump_activations(params, paths, model="m", task="t")
    facts = read_manifest(paths.activations("m", "t", "train"))["facts"]
    assert facts["model_sha256"] == tuned.facts["model_sha256"] and facts["training"] == "fine-tuned here"
    dump_activations(params, paths, model="twin", task="t")
    facts = read_manifest(paths.activations("twin", "t", "train"))["facts"]
    assert facts["training"] == "untrained"


def test_the_decoder_of_an_encoder_decoder_is_not_trained(tmp_path):
    params, paths = setup(tmp_path, architecture="t5")
    other = params.models["m"].model_copy(update={"part": "decoder"})
    with pytest.raises(ActivationsError, match=r"models\.m\.part: found 'decoder'.*write `part: encoder`"):
        run(params.model_copy(update={"models": {**params.models, "m": other}}), paths)


def test_a_twin_with_a_block_of_its_own_is_trained_from_fresh_weights(tmp_path):
    block = {"tasks": ["t"], "epochs": 1, "learning_rate": 0.001, "batch": 8, "validation": 0.2}
    params, paths = setup(tmp_path, model={"finetune": block})
    folder = run(params, paths, "twin")
    assert read_json(folder / "report.json")["training"] == "trained from scratch"
    plain = with_weights(params)
    fresh, trained = load_model(plain, "twin"), load_model(plain, "m")
    tuned = load_model(plain, "twin", folder=folder).model.state_dict()
    for name, value in fresh.model.state_dict().items():  # a small step away from its own start
        if value.ndim == 2:
            near = float((tuned[name] - value).abs().mean())
            assert 0 < near < 0.2 * float((tuned[name] - trained.model.state_dict()[name]).abs().mean())
    dump_activations(params, paths, model="twin", task="t")
    facts = read_manifest(paths.activations("twin", "t", "train"))["facts"]
    assert facts["training"] == "trained from scratch"
    assert facts["model_sha256"] == read_manifest(folder)["facts"]["model_sha256"] != fresh.facts["model_sha256"]


def test_validation_files_are_no_training_files(tmp_path):
    params, paths = setup(tmp_path, {"unit": "pair"})
    loaded = load_model(params, "m")
    data = finetune.read_data(paths, "t", loaded.coding, params.models["m"].finetune, "k")
    inputs = [json.loads(line) for line in (paths.task("t") / "train" / "inputs.jsonl").open()]
    of = {name: {inputs[i]["file"] for i in data.inputs[rows].ravel()} for name, rows in
          (("fit", data.fit), ("validation", data.validation))}  # fmt: skip
    assert of["fit"] and of["validation"] and not of["fit"] & of["validation"]
    assert data.facts["validation_files"] == 4 == round(0.2 * FILES)
    assert of["validation"] <= {row["file"] for row in inputs}
    other = params.models["m"].finetune.model_copy(update={"seed": 9})
    assert list(finetune.read_data(paths, "t", loaded.coding, other, "k").validation) != list(data.validation)
    seen = np.concatenate(finetune.epoch_batches(data, 8, 0, 1))
    assert sorted(seen) == sorted(data.fit)
    assert list(seen) != list(np.concatenate(finetune.epoch_batches(data, 8, 0, 2)))


def test_only_train_is_read(tmp_path):
    params, paths = setup(tmp_path)
    before = files(run(params, paths))
    for split in ("tune", "judge", "test"):
        (paths.task("t") / split / "inputs.jsonl").write_text("broken")
        (paths.task("t") / split / "manifest.json").unlink()
    assert files(run(params, paths)) == before


def test_long_inputs_are_cut_and_counted(tmp_path):
    params, paths = setup(tmp_path, {"long": 7}, max_subwords=40, epochs=1)
    manifest = read_manifest(run(params, paths))
    assert manifest["facts"]["cut_inputs"] == 7 and manifest["facts"]["cut_subwords"] > 7 * 20
    coding = load_model(params, "m").coding
    data = finetune.read_data(paths, "t", coding, params.models["m"].finetune, "k")
    assert max(map(len, data.ids)) == 40
    wide = params.models["m"].finetune.model_copy(update={"max_subwords": 512})
    data = finetune.read_data(paths, "t", coding, wide, "k")
    assert max(map(len, data.ids)) == 64 - 2  # the model's positions, two of them for special tokens


def test_two_steps_of_adamw_by_hand():
    """Against the formulas of Loshchilov and Hutter with numpy in float64, one step clipped and one not."""
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.5, -0.25]]))
        module.bias.fill_(0.1)
    optimiser = finetune.AdamW(module, weight_decay=0.1)
    weights = {"weight": np.array([[0.5, -0.25]]), "bias": np.array([0.1])}
    m = {k: np.zeros_like(v) for k, v in weights.items()}
    v = {k: np.zeros_like(v) for k, v in weights.items()}
    steps = [
        ({"weight": [[3.0, 0.0]], "bias": [4.0]}, 0.01),  # norm 5, clipped to 1
        ({"weight": [[-0.3, 0.2]], "bias": [0.1]}, 0.02),
    ]
    for number, (gradients, rate) in enumerate(steps, start=1):
        module.weight.grad = torch.tensor(gradients["weight"])
        module.bias.grad = torch.tensor(gradients["bias"])
        optimiser.step(number, rate)
        norm = np.sqrt(sum((np.array(g) ** 2).sum() for g in gradients.values()))
        for name, w in weights.items():
            g = np.array(gradients[name]) / max(1.0, norm)
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g * g
            hat = (m[name] / (1 - 0.9**number)) / (np.sqrt(v[name] / (1 - 0.999**number)) + 1e-8)
            decay = 0.1 if name == "weight" else 0.0  # a bias does not decay
            weights[name] = w - rate * decay * w - rate * hat
    assert module.weight.detach().numpy() == pytest.approx(weights["weight"], abs=1e-6)
    assert module.bias.detach().numpy() == pytest.approx(weights["bias"], abs=1e-6)


def test_the_rate_rises_and_falls():
    shares = [finetune.rate_share(step, 10, 0.2) for step in range(10)]
    assert shares == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert finetune.rate_share(0, 10, 0.0) == 1


@pytest.mark.parametrize("how", ["mean", "max", "first", "last"])
def test_pooling_is_over_own_subwords(how):
    states = torch.arange(24.0).reshape(2, 4, 3) * torch.tensor([1.0, -1.0, 1.0])
    own = torch.tensor([[False, True, True, False], [False, True, True, True]])
    rows = [states[0, 1:3], states[1, 1:4]]
    wanted = {"mean": [r.mean(0) for r in rows], "max": [r.amax(0) for r in rows],
              "first": [r[0] for r in rows], "last": [r[-1] for r in rows]}[how]  # fmt: skip
    assert torch.allclose(finetune.pool(states, own, how), torch.stack(wanted))


def test_it_stops_after_patience_and_keeps_the_best_epoch(tmp_path, monkeypatch):
    params, paths = setup(tmp_path, epochs=9, patience=2)
    losses = iter([1.0, 0.9, 0.5, 0.6, 0.7, 0.1])
    weights = []

    def validate(part, *_):
        weights.append({name: p.detach().numpy().copy() for name, p in part.model.named_parameters()})
        return {"validation_loss": next(losses), "validation_accuracy": 0.5}

    monkeypatch.setattr(finetune, "_validate", validate)
    folder = run(params, paths)
    report = read_json(folder / "report.json")
    assert report["best_epoch"] == 2 and len(report["epochs"]) == 5 and report["steps"] < report["steps_planned"]
    found = load_file(folder / "model.safetensors")
    for name, value in found.items():
        assert np.array_equal(value, weights[2][name]) and not np.array_equal(value, weights[4][name])


def test_dropout_depends_on_seed_and_step_alone(tmp_path, monkeypatch):
    """A model with dropout gives the same bytes twice, and other ones under another seed."""
    params, paths = setup(tmp_path, architecture="roberta", epochs=1)
    drawn: list[int] = []
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda value: drawn.append(value) or seed(value))
    before = files(run(params, paths))
    state = torch.random.get_rng_state()
    first, drawn = drawn, []
    torch.rand(100)
    assert files(run(params, paths)) == before
    assert len(set(first)) == len(first) > 5
    assert not torch.equal(state, torch.random.get_rng_state())  # the caller's own draws are kept
    entry = params.models["m"]
    other = entry.model_copy(update={"finetune": entry.finetune.model_copy(update={"seed": 1})})
    changed = params.model_copy(update={"models": {**params.models, "m": other}})
    assert files(run(changed, paths))["model.safetensors"] != before["model.safetensors"]


def test_token_tasks_and_too_few_files_are_refused(tmp_path):
    params, paths = setup(tmp_path, {"unit": "token"})
    with pytest.raises(ActivationsError, match=r"models\.m\.finetune\.tasks: found 't', a token task"):
        run(params, paths)
    write_task(paths)
    entry = params.models["m"]
    other = entry.model_copy(update={"finetune": entry.finetune.model_copy(update={"validation": 0.99})})
    with pytest.raises(ActivationsError, match="leaves 0 of 20 files"):
        run(params.model_copy(update={"models": {**params.models, "m": other}}), paths)
    with pytest.raises(ActivationsError, match=r"models\.twin\.finetune\.tasks: 't' is not among them"):
        run(params, paths, "twin")


def test_a_rate_that_is_too_high_is_told(tmp_path):
    params, paths = setup(tmp_path, learning_rate=1e30)
    with pytest.raises(ActivationsError, match=r"not finite at step \d+; lower finetune.learning_rate"):
        run(params, paths)
    assert not paths.finetuned("m", "t").exists()


# In a process of its own, with the pins: runs that end by themselves (0) or are killed right after a checkpoint
SCRIPT = """
import os, signal, sys
from neurosieve import config, numerics
params = config.load_params(sys.argv[1])
numerics.apply(params.numerics)
from neurosieve.activations import finetune, finetune_model
from neurosieve.artifacts import Paths
finetune.CHECKPOINT_SECONDS = 0.0
finetune.torch.set_num_threads(1)
finetune.load_model(params, "m")  # what it imports is not imported again by each run
save = finetune.Checkpoint.save
for build, last, threads in (line.split(":") for line in sys.argv[2:]):
    if os.fork() == 0:
        def saved(self, tensors, facts):
            save(self, tensors, facts)
            if facts["step"] == int(last):
                os.kill(os.getpid(), signal.SIGKILL)
        finetune.Checkpoint.save = saved
        os.environ["NEUROSIEVE_THREADS"] = threads
        finetune_model(params, Paths("tiny", build), model="m", task="t")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.mark.skipif(numerics.shortfall() != "", reason="portable bits need Linux on x86-64 with AVX2")
def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path):
    """Killed inside the second epoch and once more at its end; threads differ between the runs too."""
    setup(tmp_path, architecture="roberta")
    one, other = Paths("tiny", tmp_path / "build"), Paths("tiny", tmp_path / "other")
    write_task(other)
    runs = [f"{tmp_path}/build:0:1", *(f"{tmp_path}/other:{last}:{n}" for last, n in ((17, 1), (24, 2), (0, 2)))]
    environment = {**os.environ, **numerics.pins("portable"), "PYTHONPATH": "src"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "params.yaml"), *runs]
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert done.stdout.split() == ["0", "-9", "-9", "0"], done.stderr
    for step in (17, 24):
        assert f"going on after step {step}" in done.stderr
    wanted, found = (files(paths.finetuned("m", "t")) for paths in (one, other))
    for each in (wanted, found):  # names the build folder
        del each["manifest.json"]
    assert found == wanted and len(found) == 6
    assert not list(other.root.rglob(".finetuned*"))


def small_checkpoint(tmp_path: Path) -> finetune.Checkpoint:
    checkpoint = finetune.Checkpoint(tmp_path / "c", {"params": {"epochs": 2}, "code": "a"})
    facts = {"step": 3, "loss_sum": 0.1 + 0.2, "epochs": [{"epoch": 0}]}
    checkpoint.save({"parameter/x": torch.tensor([1.0, 2.0])}, {**facts, "step": 2})
    checkpoint.save({"parameter/x": torch.tensor([3.0, 4.0])}, facts)
    return checkpoint


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    checkpoint = small_checkpoint(tmp_path)
    tensors, facts = checkpoint.load()
    assert tensors["parameter/x"].tolist() == [3, 4]
    assert facts == {"step": 3, "loss_sum": 0.1 + 0.2, "epochs": [{"epoch": 0}]}
    assert len(list(checkpoint.folder.iterdir())) == 2
    checkpoint.remove()
    assert checkpoint.load() is None


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-3]), r"step-00000003\.safetensors: not as it was written"),
        (lambda f: f.write_bytes(f.read_bytes()[:-1] + b"?"), "not as it was written"),
        (lambda f: f.unlink(), "not a checkpoint"),
        (lambda f: f.with_name("state.json").write_text('{"step": '), "not a checkpoint"),
        (lambda f: f.with_name("state.json").write_text("[]"), "not a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_told_and_not_used(tmp_path, caplog, harm, message):
    import re

    checkpoint = small_checkpoint(tmp_path)
    harm(checkpoint.folder / "step-00000003.safetensors")
    assert checkpoint.load() is None
    (told,) = caplog.messages
    assert re.search(message, told) and told.endswith("the training starts anew")


def test_a_changed_setting_starts_anew(tmp_path, caplog):
    checkpoint = small_checkpoint(tmp_path)
    other = finetune.Checkpoint(checkpoint.folder, {"params": {"epochs": 3}, "code": "a"})
    assert other.load() is None and "made with other params" in caplog.text


def test_a_training_from_a_damaged_checkpoint_gives_the_same_bytes(tmp_path, monkeypatch, caplog):
    params, paths = setup(tmp_path)
    wanted = files(run(params, paths))
    monkeypatch.setattr(finetune, "CHECKPOINT_SECONDS", 0.0)
    save = finetune.Checkpoint.save

    def saved(self, tensors, facts):
        save(self, tensors, facts)
        if facts["step"] == 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(finetune.Checkpoint, "save", saved)
    with pytest.raises(KeyboardInterrupt):
        run(params, paths)
    (file,) = paths.finetuned("m", "t").with_name(".finetuned.checkpoint").glob("step-*")
    file.write_bytes(file.read_bytes()[:1000])
    monkeypatch.setattr(finetune.Checkpoint, "save", save)
    assert files(run(params, paths)) == wanted
    assert "not as it was written; the training starts anew" in caplog.text


def test_the_best_epoch_outlives_a_stop(tmp_path, monkeypatch):
    """Stopped in the third epoch, of which the second was the best."""
    params, paths = setup(tmp_path, patience=3)
    losses = [1.0, 0.9, 0.5, 0.8]
    monkeypatch.setattr(finetune, "_validate", lambda *_: {"validation_loss": losses.pop(0)})
    wanted = files(run(params, paths))
    assert not losses and read_json(paths.finetuned("m", "t") / "report.json")["best_epoch"] == 2
    losses += [1.0, 0.9, 0.5, 0.8]
    monkeypatch.setattr(finetune, "CHECKPOINT_SECONDS", 0.0)
    save = finetune.Checkpoint.save

    def saved(self, tensors, facts):
        save(self, tensors, facts)
        if facts["step"] == 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as stop, pytest.raises(KeyboardInterrupt):
        stop.setattr(finetune.Checkpoint, "save", saved)
        run(params, paths)
    assert files(run(params, paths)) == wanted and not losses


def test_a_batch_has_special_tokens_and_padding_that_are_not_pooled(tmp_path):
    params, paths = setup(tmp_path, {"unit": "pair"})
    coding = load_model(params, "m").coding
    data = finetune.read_data(paths, "t", coding, params.models["m"].finetune, "k")
    rows = data.fit[:3]
    ids, mask, own = finetune.make_batch(data, rows, coding, torch.device("cpu"))
    wanted = [data.ids[i] for side in (0, 1) for i in data.inputs[rows, side]]  # all left sides, then all right ones
    assert len(wanted) == 6 == len(ids) and ids.shape[1] == max(map(len, wanted)) + 2
    for i, text in enumerate(wanted):
        assert ids[i][mask[i] == 1].tolist() == [*coding.prefix, *text, *coding.suffix]
        assert ids[i][own[i]].tolist() == text.tolist() and (ids[i][mask[i] == 0] == coding.pad).all()


def test_features_of_a_pair_are_those_of_the_probes():
    """Against numpy, through a model whose states are a table."""
    table = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -4.0], [5.0, 6.0]])

    class Table(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            return type("Out", (), {"last_hidden_state": table[input_ids]})

    part = finetune.Tuned(Table(), 8, 1, "mean", ("absdiff", "product", "left", "right"), 0)
    ids = torch.tensor([[1, 2], [3, 0]])  # one row: a left side of two sub-words, a right side of one
    own = torch.tensor([[True, True], [True, False]])
    u, v = np.array([2.0, -1.0]), np.array([5.0, 6.0])
    features = np.concatenate([np.abs(u - v), u * v, u, v])
    wanted = features @ part.head.weight.detach().numpy().T
    assert part(ids, own.long(), own, 2).detach().numpy() == pytest.approx(wanted[None], abs=1e-6)


def test_a_setting_of_another_task_trains_nothing_anew(tmp_path):
    params = config.load_params(write_params(tmp_path))

    def settings(rule: str, model: str = "m", task: str = "t", **changes: Any) -> Any:
        entry = params.models["m"].model_copy(update=changes)
        changed = params.model_copy(update={"models": {**params.models, "m": entry}})
        return changed.settings(rule, model=model, task=task)

    block = params.models["m"].finetune
    more, longer = (block.model_copy(update=u) for u in ({"tasks": ["t", "u"]}, {"epochs": 9}))
    for rule in ("finetune_model", "dump_activations", "ablate_neurons"):
        before = settings(rule)
        assert settings(rule, finetune=more, folders={"v": "elsewhere"}) == before
        assert settings(rule, finetune=longer) != before
    before = settings("dump_activations", task="u")
    assert settings("dump_activations", task="u", finetune=longer) == before
    assert settings("dump_activations", task="u", finetune=more) != before
    assert settings("dump_activations", task="u", folders={"u": "elsewhere"}) != before
    before = settings("dump_activations", "twin")  # the twin is not trained, whatever its model is
    assert settings("dump_activations", "twin", finetune=longer) == before

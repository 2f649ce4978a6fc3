"""Task heads, neurons changed under them: against the library's own classes, and the rule on a model trained here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import planted_language_model as planted
import pytest
import tiny_models
import torch
import yaml
from safetensors.numpy import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from neurosieve.activations import dump_activations, finetune_model
from neurosieve.activations.models import NoHeadError, load_task_model
from neurosieve.artifacts import Paths, Writer, read_json
from neurosieve.concepts import heads, language
from neurosieve.concepts.faithfulness import _measure, measure_faithfulness
from neurosieve.concepts.language import SPECIAL, Change
from neurosieve.config import SPLITS, Params
from neurosieve.probes.features import layout

WIDTH = 16
WORDS = {0: ["add", "first", "second", "return"], 1: ["name", "list", "value", "seen"]}
TEXTS = ["return first", "name list value", "add second first", "seen", "value name", "second add"]
LABELS = np.array([0, 1, 0, 1, 1, 0])


def classifier(folder: Path, architecture: str) -> Path:
    """A head of two outputs with random weights, called yes and no."""
    torch.manual_seed(0)
    config = tiny_models.configuration(architecture)
    config.id2label, config.label2id = {0: "yes", 1: "no"}, {"yes": 0, "no": 1}
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape) + (parameter.ndim == 1))
    model.save_pretrained(folder)
    tiny_models.tokenizer(architecture, 64).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("architecture", "last"), [("bert", "bert.encoder.layer.1"), ("roberta", "roberta.encoder.layer.1")]
)
def test_a_head_of_the_library_predicts_as_it_does_and_sees_what_is_changed(
    tmp_path: Path, architecture: str, last: str
) -> None:
    """BERT's reads a pooler inside the model, RoBERTa's the last state."""
    folder = classifier(tmp_path / "m", architecture)
    entry = SimpleNamespace(weights="safetensors", trust_remote_code=False)
    room = SimpleNamespace(window=40, batch_tokens=30)
    params: Any = SimpleNamespace(models={"m": entry}, numerics="portable", activations=room)
    features: Any = SimpleNamespace(unit="sequence", model="m", classes=["no", "yes"])
    loaded, scores = heads._of_library(params, features, folder)
    heads.check_task_head(loaded, scores, 1)
    rows, batches = heads.row_batches(
        TEXTS, np.arange(6)[:, None], LABELS, np.array([0, 1, 2, 4, 5]), loaded.coding, 40, 15
    )
    assert sorted(rows.tolist()) == [0, 1, 2, 4, 5] and len(batches) > 1
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    fast = AutoTokenizer.from_pretrained(folder)

    def wanted() -> list[float]:
        found = []
        for row in rows:
            with torch.no_grad():
                logits = model(**fast(TEXTS[row], return_tensors="pt")).logits[0]
            found.append(float(torch.log_softmax(logits.double(), -1)[1 - LABELS[row]]))  # yes is output 0
        return found

    np.testing.assert_allclose(heads.predict_rows(loaded, batches, scores).true, wanted(), atol=1e-4)
    site = language.find_site(loaded, "hidden")
    units = np.array([0, 3, 8])
    change = Change(2 * WIDTH + units, np.array([1.0, -2.0, 3.0], np.float32), 0.0, site)

    def set_to(module: Any, args: Any, output: Any) -> Any:
        state = output[0] if isinstance(output, tuple) else output
        for unit, value in zip(units, (1.0, -2.0, 3.0), strict=True):
            state[..., unit] = value

    model.get_submodule(last).register_forward_hook(set_to)
    plain, changed = wanted(), heads.predict_rows(loaded, batches, scores, change).true
    np.testing.assert_allclose(changed, plain, atol=1e-4)
    assert np.abs(changed - heads.predict_rows(loaded, batches, scores).true).max() > 1e-3
    with pytest.raises(NoHeadError, match="2 outputs, and the task 3"):
        heads.class_order(loaded.model.config, ["a", "b", "c"])
    assert heads.class_order(loaded.model.config, ["no", "yes"]) == [1, 0]
    assert heads.class_order(loaded.model.config, ["left", "right"]) == [0, 1]

    # every position, special tokens too, is given one of an input of its class, from another file
    files = np.array([0, 0, 1, 1, 2, 2])
    states = language.collect(loaded, batches, site)
    donors = language.draw_donors(batches, LABELS, files, states, None, np.random.default_rng(0), whole=True)
    assert donors.facts["other_kind"] == 0
    row = np.concatenate([np.repeat(b.row.max(axis=1), b.ids.shape[1]) for b in batches])  # type: ignore[union-attr]
    own = np.concatenate([b.row.ravel() for b in batches])  # type: ignore[union-attr]
    ids = np.concatenate([b.ids.numpy().ravel() for b in batches])
    index = np.concatenate([part.ravel() for part in donors.index])
    at = np.flatnonzero(index >= 0)
    assert len(at) == sum(int(b.attention.sum()) for b in batches)
    assert (LABELS[row[at]] == LABELS[row[index[at]]]).all() and (files[row[at]] != files[row[index[at]]]).all()
    special = own[at] == SPECIAL
    assert (ids[at[special]] == ids[index[at[special]]]).all() and (own[index[at]] == SPECIAL)[special].all()


def test_a_model_without_a_head_for_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoHeadError, match="without a head for classification"):
        load_task_model(tiny_models.save(tmp_path / "m", "bert", head=True), "m", "portable")


def prepare(root: Path) -> tuple[Params, Paths]:
    """A task of pairs: are the words of both sides of one kind? A model trained on it, its activations, a subset."""
    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text().replace("1e-4", "0.0001"))
    tune = {"tasks": ["t"], "epochs": 2, "learning_rate": 0.01, "batch": 8, "validation": 0.2}
    raw["models"] = {"m": {"path": str(tiny_models.save(root / "bert", "bert")), "finetune": tune}}
    raw["run"] |= {"models": ["m"], "tasks": ["t"]}
    raw["prepare"]["tasks"] = {"t": raw["prepare"]["tasks"]["doc-match"]}
    raw["concepts"]["faithfulness"] = {"tokens": 400, "shares": [0.5, 1.0], "random_orders": 2}
    params, paths = Params.model_validate(raw), Paths("tiny", root / "build")
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng(number)
        kinds = np.arange(24) % 2
        texts = [" ".join(rng.choice(WORDS[kind], size=rng.integers(2, 5))) for kind in kinds]
        pairs = [(i, i + 1 + i % 4 // 2) for i in range(0, 20)]
        with Writer(paths.task("t") / split, "prepare", {}) as out:
            out.jsonl("inputs.jsonl", [{"id": i, "text": t, "file": f"{i // 4}.py"} for i, t in enumerate(texts)])
            lines = [{"input": i, "input2": j, "label": int(kinds[i] == kinds[j])} for i, j in pairs]
            out.jsonl("rows.jsonl", lines)
    with Writer(paths.task("t") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": "pair", "classes": ["no", "yes"], "metric": "accuracy"})
    finetune_model(params, paths, model="m", task="t")
    dump_activations(params, paths, model="m", task="t")
    with Writer(paths.search("m", "t"), "subsets", {}) as out:
        sets = {"subset-lca": {"neurons": [40, 3, 20, 33], "claimed": True}}
        out.json("frozen.json", {"headline": "lca", "best_ranking": "lca", "sets": sets})
    with Writer(paths.probes("m", "t"), "probes", {}) as out:
        out.npy("kept.npy", np.arange(48))
        out.npy("ranking_lca.npy", np.arange(48)[::-1])
    return params, paths


def test_the_rule_on_a_model_that_was_trained_here_on_pairs(tmp_path: Path) -> None:
    params, paths = prepare(tmp_path)
    measure_faithfulness(params, paths, model="m", task="t")
    folder = paths.faithfulness("m", "t")
    report = read_json(folder / "faithfulness.json")
    assert report["reason"] is None and report["kind"] == "head"
    assert (report["items"], report["neurons"], report["chosen"]) == (20, 48, 4)
    by_method = {curve["method"]: curve for curve in report["curves"]}
    assert list(by_method) == ["mean", "resample"]
    assert by_method["mean"]["source"] == "the subset of lca, then the ranking lca"
    assert [point["k"] for point in by_method["mean"]["points"]] == [4, 24]
    assert by_method["mean"]["points"][0]["empty_layers"] == []

    # by the library alone: m(all) over all judge rows, and m(none) from what a head makes of two equal mean vectors
    model = AutoModel.from_pretrained(paths.finetuned("m", "t"), add_pooling_layer=False).eval()
    fast = AutoTokenizer.from_pretrained(paths.finetuned("m", "t"))
    head = load_file(paths.finetuned("m", "t") / "head.safetensors")

    def state(split: str, number: int) -> torch.Tensor:
        text = read_lines(paths, split)[0][number]
        with torch.no_grad():
            return model(**fast(text, return_tensors="pt")).last_hidden_state[0]

    def read_lines(paths: Paths, split: str) -> tuple[list[str], list[dict[str, Any]]]:
        from neurosieve.artifacts import read_jsonl

        at = paths.task("t") / split
        return [row["text"] for row in read_jsonl(at / "inputs.jsonl")], read_jsonl(at / "rows.jsonl")

    def log_p(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        columns = torch.cat([(u - v).abs(), u * v]).double()
        return torch.log_softmax(
            torch.from_numpy(head["weight"]).double() @ columns + torch.from_numpy(head["bias"]), -1
        )

    rows = read_lines(paths, "judge")[1]
    vectors = {i: state("judge", i)[1:-1].mean(dim=0) for row in rows for i in (row["input"], row["input2"])}
    alone = [float(log_p(vectors[r["input"]], vectors[r["input2"]])[r["label"]]) for r in rows]
    assert by_method["mean"]["all"] == pytest.approx(np.mean(alone), abs=1e-4)
    of_train = [state("train", r[side]) for r in read_lines(paths, "train")[1] for side in ("input", "input2")]
    centre = torch.cat(of_train).double().mean(dim=0).float()
    none = [float(log_p(centre, centre)[r["label"]]) for r in rows]
    assert by_method["mean"]["none"] == pytest.approx(np.mean(none), abs=1e-3)
    first = (folder / "faithfulness.json").read_bytes()
    measure_faithfulness(params, paths, model="m", task="t")
    assert (folder / "faithfulness.json").read_bytes() == first


def test_what_a_planted_model_uses_is_told_from_what_it_only_carries(tmp_path: Path) -> None:
    settings = {"tokens": 100, "shares": [], "random_orders": 6, "window": 24, "per_window": 8}
    params, paths = planted.build(tmp_path, [1], faithfulness=settings)
    with Writer(paths.search("twin", planted.TASK), "subsets", {}) as out:
        sets = {"subset-lca": {"neurons": planted.NEITHER[2][:3].tolist(), "claimed": False}}
        out.json("frozen.json", {"headline": "lca", "sets": sets})
    features = layout(paths, params, planted.MODEL, planted.TASK)

    def ask(neurons: np.ndarray) -> dict[str, dict[str, Any]]:
        _, curves, _ = _measure(params, features, neurons, tmp_path)
        return {curve["method"]: {**curve["verdict"], **curve["points"][0]} for curve in curves}

    used = ask(planted.USED_CARRIERS[2])
    assert used["mean"]["necessary"] and used["mean"]["necessity"]["difference"]["value"] < -0.2
    # a donor of the same class leaves the class as it is, which is all that these neurons tell
    assert not used["resample"]["necessary"] and used["mean"]["necessity"]["f"] < 0.8
    assert used["resample"]["necessity"]["f"] == pytest.approx(1, abs=0.1)
    # the head has nothing else to go by, and nothing comes through the layers below
    assert not used["mean"]["sufficient"] and used["mean"]["empty_layers"] == [0, 1]
    assert used["mean"]["sufficiency"]["f"] == pytest.approx(0, abs=1e-6)
    assert used["mean"]["necessity"]["twin_f"] == pytest.approx(1, abs=1e-4)
    carried = ask(planted.UNUSED_CARRIERS[2])
    assert not carried["mean"]["necessary"] and carried["mean"]["necessity"]["f"] == pytest.approx(1, abs=1e-4)
    path = np.concatenate([planted.USED_CARRIERS[i] for i in range(3)] + [planted.USED_OTHERS[i] for i in range(3)])
    whole = ask(path)
    assert whole["mean"]["sufficient"] and whole["mean"]["sufficiency"]["f"] == pytest.approx(1, abs=1e-3)
    assert whole["mean"]["necessary"] and whole["mean"]["necessity"]["f"] == pytest.approx(0, abs=1e-3)
    assert whole["mean"]["empty_layers"] == []

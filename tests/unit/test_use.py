"""Export, features, transformer and measured cost, against the activations and predictions of a tiny build."""

from __future__ import annotations

import functools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from neurons_build import CLASSES, NEURONS, SETTINGS, TEXTS, UNITS, Build
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from test_cost import save_albert

from neurosieve import cli
from neurosieve.activations import dump_activations
from neurosieve.activations.models import load_folder
from neurosieve.artifacts import (
    ArtifactError,
    Paths,
    Writer,
    read_json,
    read_jsonl,
    read_manifest,
    read_tensors,
    sha256_file,
)
from neurosieve.config import SPLITS, Model, load_params
from neurosieve.prepare.records import PrepareError
from neurosieve.subsets.score import predict_frozen
from neurosieve.use import Extractor, NeuronFeatures, Neurons, NeuronsError, cost, export_neurons
from neurosieve.use.export import warnings
from neurosieve.use.features import from_rows, read_texts
from neurosieve.use.neurons import short


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return Build(tmp_path_factory.mktemp("use"))


# --- export


@pytest.mark.parametrize("unit", UNITS)
def test_an_export_holds_what_was_frozen_bit_for_bit(unit: str, build: Build, tmp_path: Path) -> None:
    path = build.export(unit, tmp_path)
    assert path.read_text() == build.export(unit, tmp_path).read_text()
    assert str(tmp_path) not in path.read_text() and str(build.model) not in path.read_text()
    data, tensors = json.loads(path.read_text()), read_tensors(build.paths.search("tiny", unit) / "frozen.safetensors")
    neurons = Neurons.read(path)
    for name in ("weights", "intercept", "mean", "scale"):
        assert getattr(neurons, name).tobytes() == tensors[f"subset-lca.{name}"].tobytes()
    assert (neurons.layers * 16 + neurons.units).tolist() == NEURONS
    assert neurons.names[:2] == ["tiny/1/1", "tiny/0/3"] and [e["name"] for e in data["neurons"]] == neurons.names
    assert (data["benchmark"], data["version"], data["protocol"]) == ("made-up", 3, "strict")
    assert (data["ranking"], data["size"], data["claimed"], data["status"]) == ("lca", 7, True, "supported")
    assert data["highest_layer"] == neurons.highest_layer == data["certified"]["highest_layer"] == 1
    assert data["model"]["sha256"] == sha256_file(build.model / "model.safetensors")
    assert data["search_sha256"] == sha256_file(build.paths.search("tiny", unit) / "manifest.json")
    assert data["activations"] == SETTINGS.model_dump() and neurons.classes == CLASSES[unit]
    assert data["certified"]["window"] == SETTINGS.window and 0 < data["certified"]["flops_share"] < 1
    assert warnings(data) == []


def test_numbers_are_short_and_exact() -> None:
    values = np.random.default_rng(0).normal(size=20_000).astype(np.float32) ** 9
    found = short(values)
    assert np.array(found, np.float32).tobytes() == values.tobytes()
    assert max(len(repr(value)) for value in found) <= 15
    assert short(np.array([0.1], np.float32)) == [0.1]


def test_an_estimate_is_never_called_minimal(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "_load", lambda args: (build.params, build.paths))
    assert cli.main(["export", "tiny", "token", "--ranking", "probeless", "--output", str(tmp_path / "n.json")]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "estimate, not a minimal subset" in err and "dev too small" in err
    data = read_json(tmp_path / "n.json")
    assert data["claimed"] is False and data["n_minimal_low"] is None
    assert cli.main(["export", "tiny", "token"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["claimed"] is True and err == ""
    assert any("status is `surface`" in line for line in warnings(data | {"status": "surface"}))


def test_export_refuses_what_is_not_there(build: Build, tmp_path: Path) -> None:
    with pytest.raises(NeuronsError, match="model: found 'other', which does not run here; write one of: tiny"):
        export_neurons(build.params, build.paths, model="other", task="token")
    with pytest.raises(NeuronsError, match=r"subsets.search.tiny.token: not there; .* run the benchmark first \(`make"):
        export_neurons(build.params, Paths("made-up", tmp_path), model="tiny", task="token")
    with pytest.raises(NeuronsError, match=r"no size of it is within the margin.*: lca, probeless"):
        export_neurons(build.params, build.paths, model="tiny", task="token", ranking="none")


def test_export_refuses_a_search_of_other_activations(tmp_path: Path) -> None:
    build = Build(tmp_path)
    manifest = build.paths.activations("tiny", "token", "train") / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(NeuronsError, match="made from other activations than lie in"):
        export_neurons(build.params, build.paths, model="tiny", task="token")
    export_neurons(build.params, build.paths, model="tiny", task="pair")


@pytest.mark.parametrize("name", ["frozen.json", "frozen.safetensors", "curves.json"])
def test_export_refuses_neurons_that_are_not_what_the_search_wrote(tmp_path: Path, name: str) -> None:
    build = Build(tmp_path)
    path = build.paths.search("tiny", "token") / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=f"{name}: changed"):
        export_neurons(build.params, build.paths, model="tiny", task="token")


# --- features


@pytest.mark.parametrize("unit", UNITS)
def test_values_and_predictions_are_those_of_the_benchmark_from_a_cut_model(
    unit: str, build: Build, tmp_path: Path
) -> None:
    neurons = Neurons.read(build.export(unit, tmp_path))
    extractor = Extractor.load(neurons, build.model)
    assert extractor.loaded.layers == 2  # of 3
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in build.text_rows(unit)))
    values = extractor.values(read_texts(source))
    folder = build.paths.activations("tiny", unit, "test")
    stored = np.stack([np.load(folder / f"layer_{layer:02d}.npy") for layer in range(3)], axis=1)
    wanted = stored[:, neurons.layers, neurons.units]
    if unit == "pair":
        u, v = wanted[:4], wanted[1:5]
        wanted = np.stack([np.abs(u - v), u * v], axis=2).reshape(4, -1)
    assert values.dtype == np.float32 and values.tobytes() == np.ascontiguousarray(wanted).tobytes()
    predicted = predict_frozen(build.paths, "tiny", unit, ["subset-lca"])["subset-lca"]
    assert neurons.predict(values).tolist() == predicted.tolist() and len(set(predicted.tolist())) > 1


def test_the_sides_of_a_pair_are_kept_apart(build: Build, tmp_path: Path) -> None:
    data = read_json(build.export("pair", tmp_path))
    data["task"]["pair_features"] = ["left", "right"]
    extractor = Extractor.load(Neurons.from_data(data), build.model)
    u, v, _ = extractor.values(from_rows([{"text": text} for text in ("x = 1", "y", "x")], "abc"))
    both = extractor.values(from_rows([{"text": "x = 1", "text2": "y"}, {"text": "y", "text2": "x"}], "ab"))
    np.testing.assert_allclose(both[0], np.stack([u, v], axis=1).ravel(), rtol=1e-5, atol=1e-6)


def test_no_block_above_the_highest_layer_runs(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    layer = type(Extractor.load(Neurons.read(build.export("token", tmp_path)), build.model).loaded.model.layers[0])
    forward = layer.forward

    @functools.wraps(forward)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(1)
        return forward(self, *args, **kwargs)

    extractor = Extractor.load(Neurons.read(build.export("token", tmp_path)), build.model)
    monkeypatch.setattr(layer, "forward", watched)
    texts = from_rows([{"text": "x = 1"}], ["here"])
    extractor.values(texts)
    assert len(ran) == 1 and len(extractor.loaded.model.layers) == 1


def test_a_file_is_one_text(build: Build, tmp_path: Path) -> None:
    extractor = Extractor.load(Neurons.read(build.export("sequence", tmp_path)), build.model)
    (tmp_path / "code.py").write_text(TEXTS[0])
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": TEXTS[0]}) + "\n")
    one, other = (extractor.values(read_texts(tmp_path / name)) for name in ("code.py", "rows.jsonl"))
    assert one.shape == (1, 7) and one.tobytes() == other.tobytes()


def run_features(tmp_path: Path, build: Build, *options: str, model: str | None = None) -> int:
    arguments = ["--neurons", str(tmp_path / "token.json"), "--model-path", model or str(build.model)]
    return cli.main(["features", *arguments, "--input", str(tmp_path / "rows.jsonl"), *options])


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command must not replace pytest's process by one with the pins."""
    monkeypatch.setattr(cli.numerics, "apply", lambda pinned: None)
    monkeypatch.setattr(cli.numerics, "check", lambda pinned: None)


@pytest.mark.usefixtures("unpinned")
def test_the_command_writes_npy_csv_and_classes(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    neurons = Neurons.read(build.export("token", tmp_path))
    rows = build.text_rows("token")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_features(tmp_path, build, "--output", str(tmp_path / "x.npy")) == 0
    values = np.load(tmp_path / "x.npy")
    assert values.shape == (len(rows), 7)
    assert run_features(tmp_path, build, "--output", str(tmp_path / "x.csv")) == 0
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0].split(",") == neurons.names
    assert np.array([line.split(",") for line in lines[1:]], np.float32).tobytes() == values.tobytes()
    capsys.readouterr()
    assert run_features(tmp_path, build, "--predict") == 0
    assert capsys.readouterr().out.split() == ["class", *(CLASSES["token"][i] for i in neurons.predict(values))]
    assert run_features(tmp_path, build, "--output", str(tmp_path / "x.pkl")) == 1
    assert "ends in .npy or .csv" in capsys.readouterr().err


@pytest.mark.usefixtures("unpinned")
def test_another_model_is_refused(build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.export("token", tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "x = 1", "start": 0, "end": 1}\n')
    other = tiny_models.save(tmp_path / "other", "modernbert", seed=1)
    assert run_features(tmp_path, build, model=str(other)) == 1
    assert f"found weights with the sha256 {sha256_file(other / 'model.safetensors')}" in capsys.readouterr().err
    params = tmp_path / "params.yaml"
    params.write_text((Path("tests/data/tiny.yaml")).read_text().replace("models/tiny", str(build.model)))
    assert run_features(tmp_path, build, "--params", str(params), model="tiny") == 0
    assert run_features(tmp_path, build, "--params", str(params), model="tiny-untrained") == 1
    assert run_features(tmp_path, build, "--params", str(params), model="huge") == 1
    assert "params.yaml; its models are: tiny, tiny-untrained" in capsys.readouterr().err


def test_a_changed_configuration_or_tokenizer_is_told(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_models.save(tmp_path / "copy", "modernbert")
    config = folder / "config.json"
    config.write_text(config.read_text() + "\n")
    Extractor.load(Neurons.read(build.export("token", tmp_path)), folder)
    assert "config differs" in caplog.text and "tokenizer differs" not in caplog.text


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], r"x\.jsonl:1: not valid json"),
        (['{"text": "a"}', "3"], r"x\.jsonl:2: found int; write an object like"),
        (['{"text": "a"}', '{"text": "a", "start": 0}'], r"x\.jsonl:2: found the keys start, text; every row needs"),
        (['{"text": "a", "start": 0}'], r"x\.jsonl:1: found the keys start, text"),
        (['{"text": "a", "start": 0, "end": "1"}'], r"x\.jsonl:1: end: found '1'; write an integer"),
        (['{"text": 5}'], r"x\.jsonl:1: 'text' is 5; write a string"),
        (['{"text": "a", "text2": "b", "start": 0, "end": 1}'], "a pair is of whole texts"),
        (['{"text": "\\ud800"}'], r"x\.jsonl:1: 'text' has half a surrogate pair"),
        ([], r"x\.jsonl: no rows"),
    ],
)
def test_errors_in_rows_name_the_line(lines: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("".join(line + "\n" for line in lines))
    with pytest.raises((NeuronsError, PrepareError), match=message):
        read_texts(tmp_path / "x.jsonl")


def test_errors_of_the_plan_name_the_users_line(build: Build, tmp_path: Path) -> None:
    extractor = Extractor.load(Neurons.read(build.export("token", tmp_path)), build.model)
    source = tmp_path / "x.jsonl"
    source.write_text('{"text": "x = 1", "start": 0, "end": 1}\n{"text": "x = 1", "start": 3, "end": 9}\n')
    with pytest.raises(NeuronsError, match=r"x\.jsonl:2: found characters 3 to 9 of a text of 5"):
        extractor.values(read_texts(source))
    source.write_text('{"text": "x = 1"}\n{"text": ""}\n')
    with pytest.raises(NeuronsError, match=r"x\.jsonl:2: 'text' is empty"):
        read_texts(source)
    source.write_text('{"text": "x", "text2": "y"}\n')
    with pytest.raises(NeuronsError, match=r"x\.jsonl:1: found text2"):
        extractor.values(read_texts(source))
    with pytest.raises(NeuronsError, match="takes rows with text, start and end; found text and text2"):
        extractor.check_unit(read_texts(source))


def test_a_broken_file_of_neurons_is_refused(build: Build, tmp_path: Path) -> None:
    path = build.export("token", tmp_path)
    data = read_json(path)
    for change, message in (
        ({"format": "other"}, "not a file of neurons"),
        ({"schema": 9}, "schema: found 9, expected 2"),
        ({"intercept": [0.0]}, r"intercept: found numbers of the shape \(1,\), expected \(3,\)"),
        ({"neurons": []}, "found numbers of the shape"),
        ({"neurons": [{**data["neurons"][0], "unit": 16}]}, "outside of the model's 3 x 16"),
        ({"task": {}}, "no key 'classes'"),
    ):
        path.write_text(json.dumps(data | change))
        with pytest.raises(NeuronsError, match=message):
            Neurons.read(path)
    with pytest.raises(NeuronsError, match="no such file; write it with `neurosieve export"):
        Neurons.read(tmp_path / "nothing.json")


def test_a_model_that_cannot_be_cut_is_run_whole(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = read_json(build.export("sequence", tmp_path))
    folder = save_albert(tmp_path / "albert")
    data["model"] |= {"sha256": sha256_file(folder / "model.safetensors")}
    neurons = Neurons.from_data(data)
    extractor = Extractor.load(neurons, folder)
    assert "run whole" in caplog.text and extractor.loaded.layers == 3
    assert extractor.values(from_rows([{"text": "x = 1"}], ["here"])).shape == (1, 7)


# --- scikit-learn


def test_transformer_in_a_pipeline(build: Build, tmp_path: Path) -> None:
    features = NeuronFeatures(build.export("sequence", tmp_path), build.model)
    labels = [0, 1, 0, 1, 1]
    pipeline = make_pipeline(features, LogisticRegression()).fit(TEXTS, labels)
    copy = pickle.loads(pickle.dumps(pipeline))  # noqa: S301
    assert pipeline.predict(TEXTS).tolist() == copy.predict(np.array(TEXTS, dtype=object)).tolist()
    assert len(pickle.dumps(pipeline)) < 200_000  # the model is not in it
    fitted, fresh = pipeline[0], clone(pipeline[0])
    assert not hasattr(fresh, "neurons_") and fresh.get_params() == features.get_params()
    raw = clone(features).set_params(standardize=False).fit_transform(TEXTS)
    neurons = Neurons.read(tmp_path / "sequence.json")
    wanted = Extractor.load(neurons, build.model).values(from_rows([{"text": t} for t in TEXTS], TEXTS))
    assert raw.tobytes() == wanted.tobytes()
    np.testing.assert_array_equal(fitted.transform(TEXTS), (raw - neurons.mean) * neurons.scale)
    assert fitted.get_feature_names_out().tolist() == neurons.names
    frame = clone(features).set_output(transform="pandas").fit_transform(TEXTS)
    assert list(frame.columns) == neurons.names and frame.shape == (5, 7)


def test_transformer_of_tokens_and_pairs(build: Build, tmp_path: Path) -> None:
    tokens = NeuronFeatures(build.export("token", tmp_path), build.model)
    assert tokens.fit_transform([(TEXTS[0], 4, 7), (TEXTS[0], 8, 13)]).shape == (2, 7)
    pairs = NeuronFeatures(build.export("pair", tmp_path), build.model).fit([("x", "y")])
    assert pairs.transform([("x = 1", "y"), ("y", "x")]).shape == (2, 14)
    assert pairs.get_feature_names_out()[:2].tolist() == ["tiny/1/1/absdiff", "tiny/1/1/product"]
    with pytest.raises(NeuronsError, match=r"give rows of \(text, text2\)"):
        pairs.transform(["x"])
    with pytest.raises(NeuronsError, match=r"X\[1\]: 'text' is 3; write a string"):
        pairs.transform([("x", "y"), (3, "y")])
    with pytest.raises(NeuronsError, match="found one text; write a list"):
        tokens.transform("x = 1")


@pytest.mark.parametrize(
    "check",
    ["estimator_cloneable", "estimator_repr", "get_params_invariance", "set_params", "no_attributes_set_in_init",
     "do_not_raise_errors_in_init_or_set_params", "mixin_order", "valid_tag_types", "estimator_tags_renamed"],
)  # fmt: skip
def test_conventions_of_scikit_learn(check: str, build: Build, tmp_path: Path) -> None:
    getattr(estimator_checks, f"check_{check}")("NeuronFeatures", NeuronFeatures("neurons.json", build.model))


def test_transform_before_fit_is_refused(build: Build) -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        NeuronFeatures("neurons.json", build.model).transform(["x"])


# --- measured cost


def test_measured_cost_of_a_row(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers: list[tuple[int, int]] = []

    def memory(*arguments: Any) -> dict[str, int]:
        layers.append((arguments[4], len(arguments[5])))
        return {"resident": 100, "peak": 10 * len(arguments[5])}

    monkeypatch.setattr(cost, "memory_of", memory)
    monkeypatch.chdir(tmp_path)
    cost.measure_all(build.params, build.paths, ["tiny"], ["token"], inputs=3, repeats=4)
    report = read_json(tmp_path / "timings" / "made-up" / "cost.json")
    assert (report["threads"], report["inputs"], report["repeats"]) == (1, 3, 4)
    (row,) = report["rows"]
    assert (row["size"], row["claimed"], row["cut"], row["certified"]["highest_layer"]) == (7, True, True, 1)
    assert layers == [(2, 48), (1, 7)]  # the whole model with all neurons, and the cut one with the chosen
    ratios = sorted(b / a for a, b in zip(row["seconds"]["whole"], row["seconds"]["cut"], strict=True))
    assert len(ratios) == 4 and row["time_ratio"]["low"] == ratios[0] and row["time_ratio"]["high"] == ratios[-1]
    assert row["time_ratio"]["median"] == (ratios[1] + ratios[2]) / 2
    table = cost.format_costs(report)
    share = f"{100 * row['certified']['flops_share']:.0f}%"
    assert f" 7       0-1 of 0-2 {share} " in table and "1 thread, one thing at a time" in table
    with pytest.raises(NeuronsError, match="--task: found 'x', which does not run here"):
        cost.measure_all(build.params, build.paths, None, ["x"], inputs=3, repeats=4)
    with pytest.raises(NeuronsError, match="write numbers from 1"):
        cost.measure_all(build.params, build.paths, None, None, inputs=3, repeats=0)


def test_the_sample_is_whole_inputs_of_test_with_their_tokens(build: Build) -> None:
    loaded = Extractor.load(
        Neurons.from_data(export_neurons(build.params, build.paths, model="tiny", task="token")), build.model
    ).loaded
    plan = cost.sample_plan(build.params, build.paths, "token", loaded, 2)
    assert plan.facts["inputs"] == 2
    per_input = np.bincount([row["input"] for row in read_jsonl(build.paths.task("token") / "test" / "rows.jsonl")])
    assert plan.vectors in {int(a + b) for i, a in enumerate(per_input) for b in per_input[i + 1 :]}
    assert cost.sample_plan(build.params, build.paths, "pair", loaded, 99).vectors == len(TEXTS)


def test_memory_is_what_the_model_adds(build: Build) -> None:
    found = cost._memory(build.params, build.paths, "tiny", "token", 1, np.array(NEURONS), 3, 1)
    if found is not None:
        assert set(found) == {"resident", "peak"} and found["peak"] >= found["resident"]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("neurons", "part"), [("feed-forward", "encoder"), ("hidden", "both")])
def test_neurons_that_are_no_hidden_states_of_one_stack(neurons: str, part: str, tmp_path: Path) -> None:
    """A file of neurons says which they are; the model is then run whole, and gives the values of the dump."""
    folder, paths = tiny_models.save(tmp_path / "m", "t5" if part == "both" else "gpt2"), Paths("b", tmp_path / "build")
    for split in SPLITS:
        with Writer(paths.task("t") / split, "prepare", {}) as out:
            out.jsonl("inputs.jsonl", [{"id": i, "text": text, "file": f"{i}.py"} for i, text in enumerate(TEXTS)])
            out.jsonl("rows.jsonl", [{"input": i, "label": 0} for i in range(len(TEXTS))])
    models = {"m": Model(path=str(folder), neurons=neurons, part=part)}  # type: ignore[arg-type]
    update = {"models": models, "activations": SETTINGS, "numerics": "portable"}
    params = load_params("params.yaml").model_copy(update=update)
    dump_activations(params, paths, model="m", task="t")
    facts = read_manifest(paths.activations("m", "t", "test"))["facts"]
    places = [(0, 3), (1, 2), (facts["layers"] - 1, facts["width"] - 1)]
    one = {"mean": [0.0], "scale": [1.0], "weights": [[1.0]]}
    data = {
        "numerics": "portable", "intercept": [0.0], "activations": SETTINGS.model_dump(),
        "model": {"name": "m", "sha256": facts["model_sha256"], "layers": facts["layers"], "width": facts["width"],
                  "untrained": None, "training": "frozen", "neurons": neurons, "part": part},
        "task": {"name": "t", "unit": "sequence", "classes": ["a", "b"], "pair_features": None},
        "neurons": [{"layer": layer, "unit": unit, **one} for layer, unit in places],
    }  # fmt: skip
    held = Neurons.from_data(data)
    texts = from_rows([{"text": text} for text in TEXTS], [str(i) for i in range(len(TEXTS))])
    files = paths.activations("m", "t", "test")
    wanted = np.stack([np.load(files / f"layer_{layer:02d}.npy")[:, unit] for layer, unit in places], axis=1)
    for model in (folder, "m"):
        assert Extractor.load(held, model, params).values(texts).tobytes() == wanted.tobytes()


def test_weights_of_a_task_are_safetensors_whatever_the_model_has(tmp_path: Path) -> None:
    """A model with pickled weights that was trained for the task lies in a folder without them."""
    folder = tiny_models.save(tmp_path / "m", "gpt2")
    loaded = load_folder(folder, "m", "portable")
    data = {
        "numerics": "portable", "intercept": [0.0], "activations": SETTINGS.model_dump(),
        "model": {"name": "m", "sha256": loaded.facts["model_sha256"], "layers": loaded.layers, "width": loaded.width,
                  "untrained": None, "training": "frozen", "weights": "bin"},
        "task": {"name": "t", "unit": "sequence", "classes": ["a", "b"], "pair_features": None},
        "neurons": [{"layer": 0, "unit": 0, "mean": [0.0], "scale": [1.0], "weights": [[1.0]]}],
    }  # fmt: skip
    texts = from_rows([{"text": text} for text in TEXTS], [str(i) for i in range(len(TEXTS))])
    assert Extractor.load(Neurons.from_data(data), folder).values(texts).shape == (len(TEXTS), 1)

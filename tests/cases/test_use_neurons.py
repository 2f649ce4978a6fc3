"""What users give to `export`, `features` and `cost`: files as prepare reads them, csv that is sound, messages."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tiny_models
from neurons_build import CLASSES, UNITS, Build

from neurosieve import cli, load_results
from neurosieve.artifacts import csv_cell, printable, read_json
from neurosieve.prepare.records import PrepareError
from neurosieve.subsets.score import predict_frozen
from neurosieve.use import Extractor, NeuronFeatures, Neurons, NeuronsError, export_neurons
from neurosieve.use.export import warnings
from neurosieve.use.features import check_model, read_texts, write_values

BOM = b"\xef\xbb\xbf"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return Build(tmp_path_factory.mktemp("use"))


@pytest.fixture
def tokens(build: Build, tmp_path: Path) -> Extractor:
    return Extractor.load(Neurons.read(build.export("token", tmp_path)), build.model)


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    """Commands run in this process, on the made-up benchmark."""
    monkeypatch.setattr(cli.numerics, "apply", lambda pinned: None)
    monkeypatch.setattr(cli.numerics, "check", lambda pinned: None)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# --- U1: what prepare reads


@pytest.mark.parametrize("name", ["code.py", "code.py.gz", "Code.java", "notes.txt", "noname"])
def test_U1_a_file_is_the_same_text_with_a_mark_and_whatever_its_line_ends(name: str, tmp_path: Path) -> None:
    text = "def f(x):\n\tif x:\n\n\t\treturn 'ä'\n"
    for data in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        for mark in (b"", BOM):
            assert read_texts(write(tmp_path / name, mark + data.encode())).texts == [text]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_U1_rows_are_the_same_with_a_mark_and_whatever_their_line_ends(name: str, tmp_path: Path) -> None:
    rows = [{"text": "a\r\n\tb", "start": 3, "end": 5}, {"text": "x = 1", "start": 0, "end": 1}]
    for end in ("\n", "\r\n"):
        found = read_texts(write(tmp_path / name, BOM + "".join(json.dumps(row) + end for row in rows).encode()))
        assert found.texts == ["a\r\n\tb", "x = 1"]  # line ends inside a text are data, as for a task
        assert found.rows is not None and found.rows.start.tolist() == [3, 0]


def table_files(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """The rows in every form of a table."""
    names = list(rows[0])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([names, *([row[name] for name in names] for row in rows)])
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    pa.parquet.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    return [
        write(folder / "t.csv", BOM + text.getvalue().encode()),
        write(folder / "t.csv.gz", text.getvalue().encode()),
        write(folder / "t.jsonl", lines),
        write(folder / "t.json", json.dumps(rows).encode()),
        folder / "t.parquet",
    ]


@pytest.mark.parametrize("unit", UNITS)
def test_U1_every_form_of_a_table_gives_the_benchmarks_values_and_predictions(
    unit: str, build: Build, tmp_path: Path
) -> None:
    neurons = Neurons.read(build.export(unit, tmp_path))
    extractor = Extractor.load(neurons, build.model)
    stored = [np.load(build.paths.activations("tiny", unit, "test") / f"layer_{i:02d}.npy") for i in range(3)]
    wanted = np.stack(stored, axis=1)[:, neurons.layers, neurons.units]
    if unit == "pair":
        wanted = neurons.pair(wanted[:4], wanted[1:5])
    predicted = predict_frozen(build.paths, "tiny", unit, ["subset-lca"])["subset-lca"].tolist()
    for path in table_files(tmp_path, build.text_rows(unit)):
        values = extractor.values(read_texts(path))
        assert values.tobytes() == np.ascontiguousarray(wanted).tobytes(), path
        write_values(tmp_path / f"{unit}.json", path, tmp_path / "out.csv", model=build.model, predict=True)
        classes = (tmp_path / "out.csv").read_text().split()
        assert classes == ["class", *(CLASSES[unit][i] for i in predicted)], path


def test_U1_inputs_of_a_prepared_task_are_rows(build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    neurons = Neurons.read(build.export("sequence", tmp_path))
    values = Extractor.load(neurons, build.model).values(
        read_texts(build.paths.task("sequence") / "test" / "inputs.jsonl")
    )
    stored = [np.load(build.paths.activations("tiny", "sequence", "test") / f"layer_{i:02d}.npy") for i in range(3)]
    assert values.tobytes() == np.stack(stored, axis=1)[:, neurons.layers, neurons.units].tobytes()
    assert "left aside: file, id, package" in caplog.text


def test_U1_columns_of_other_names(tmp_path: Path) -> None:
    rows = [{"code": "x = 1", "query": "what", "label": 3}]
    for path in table_files(tmp_path, rows):
        found = read_texts(path, {"text": "code", "text2": "query"})
        assert found.texts == ["x = 1", "what"] and found.right is not None
        with pytest.raises(NeuronsError, match=r"no column 'text'; its columns are .*code.*--column text=NAME"):
            read_texts(path)
        with pytest.raises(NeuronsError, match="no column 'quest'"):
            read_texts(path, {"text": "code", "text2": "quest"})
        with pytest.raises(NeuronsError, match="text and text2 are both 'code'"):
            read_texts(path, {"text": "code", "text2": "code"})
    with pytest.raises(NeuronsError, match="found 'right'; write one of text"):
        read_texts(path, {"right": "query"})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.jsonl", b'{"text": "a"}\n\n{"text": "b"}\n', r"x\.jsonl:2: found an empty line"),
        ("x.jsonl", b'{"text": "a\\u0000"}\n', r"x\.jsonl:1: 'text' has a NUL"),
        ("x.jsonl", b'{"text": " \\n"}\n', r"x\.jsonl:1: 'text' is empty"),
        ("x.jsonl", b'{"text": "\xff"}\n', r"x\.jsonl:1: not UTF-8"),
        ("x.jsonl", b"", r"x\.jsonl: no rows"),
        ("x.jsonl", b'{"text": "ab", "start": 1, "end": 3}\n', r"x\.jsonl:1: found characters 1 to 3 of a text of 2"),
        ("x.jsonl", b'{"text": "ab", "start": 1, "end": 1}\n', r"x\.jsonl:1: found characters 1 to 1"),
        ("x.jsonl", b'{"text": "ab", "start": -1, "end": 1}\n', r"x\.jsonl:1: found characters -1 to 1"),
        ("x.csv", b"text,start,end\nab,1,7\n", r"x\.csv:2: found characters 1 to 7"),
        ("x.csv", b"text,start,end\nab,1,b\n", r"x\.csv:2: end: found 'b'; write an integer"),
        ("x.csv", b'text\n"ab\n', r"x\.csv:2: not valid csv"),
        ("x.csv", b"", r"x\.csv: no rows"),
        ("x.csv", b"text\rab\r", r"x\.csv:1: not valid csv \(new-line"),
        ("x.csv", b"text\n", r"x\.csv: no rows"),
        ("x.json", b'{"text": "a"}\n{"text": "b"}\n', r"x\.json: not valid json .* is a \.jsonl"),
        ("x.json", b'{"text": "a"}', r"x\.json: found dict; write a list"),
        ("x.json", b'[{"text": "a"}, 3]', r"x\.json:row 2: found int"),
        ("x.json", b'[{"text": "a", "text": "b"}]', r"x\.json: not valid json \(the key 'text' stands twice"),
        ("x.parquet", b"no", r"x\.parquet: not a readable parquet file"),
        ("x.py", b"version https://git-lfs.github.com/spec/v1\n", r"x\.py is a git-lfs pointer, not the file"),
        ("x.tsv", b"text\na\n", r"x\.tsv: rows are .*; save it as one of them"),
        ("x.in", b"a b\n", r"x\.in: rows are"),
        ("x.py", b"\0", r"x\.py: 'text' has a NUL"),
        ("x.py", b"", r"x\.py: 'text' is empty"),
        ("x.py", b"a\n\xff", r"x\.py:2: not UTF-8"),
    ],
)
def test_U1_faults_are_a_sentence_with_file_and_line(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((NeuronsError, PrepareError), match=message):
        read_texts(tmp_path / name)
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(PrepareError, match=r"no such file|not readable|a folder; name a file"):
            read_texts(path)


# --- U2: csv and terminal

ODD = ['a,b"q"\n', "=1+1", "@\x1b[31mx"]


def odd_classes(build: Build, folder: Path) -> tuple[Path, Path, list[str]]:
    """A file of neurons with odd names of classes, rows of text, and the guarded name of each row's class."""
    data = read_json(build.export("token", folder))
    data["task"]["classes"] = ODD
    (folder / "odd.json").write_text(json.dumps(data))
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in build.text_rows("token")))
    neurons = Neurons.read(folder / "odd.json")
    found = neurons.predict(Extractor.load(neurons, build.model).values(read_texts(rows)))
    return folder / "odd.json", rows, [[ODD[0], "'=1+1", "'@\x1b[31mx"][i] for i in found]


def test_U2_classes_are_sound_csv_that_no_spreadsheet_runs(build: Build, tmp_path: Path) -> None:
    neurons, rows, wanted = odd_classes(build, tmp_path)
    write_values(neurons, rows, tmp_path / "x.csv", model=build.model, predict=True)
    with (tmp_path / "x.csv").open(newline="") as handle:
        assert list(csv.reader(handle)) == [["class"], *([name] for name in wanted)]
    assert len(set(wanted)) > 1
    with pytest.raises(NeuronsError, match=r"x\.npy'; write a name that ends in \.csv"):
        write_values(neurons, rows, tmp_path / "x.npy", model=build.model, predict=True)


def test_U2_what_is_printed_steers_no_terminal(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    neurons, rows, wanted = odd_classes(build, tmp_path)
    write_values(neurons, rows, None, model=build.model, predict=True)
    out = capsys.readouterr().out
    assert out.isascii() and "\x1b" not in out and out.count("\n") == len(wanted) + 1
    assert "'=1+1\n" in out or "\\x1b[31mx" in out


def test_U2_numbers_stay_numbers_and_formulas_are_guarded() -> None:
    for text in ("-1.5", "+3", "-1e-05", "12", "nan", "-inf", "a=1", "a-b", "", "'a"):
        assert csv_cell(text) == text
    for text in ("=1", "+a", "-a", "-1+1", "@x", "\tx", "\rx", "\n=1", "\uff1d1"):
        assert csv_cell(text) == f"'{text}"
    assert printable("a\x1b]0;x\x07\u202eb\nc\ttab ä") == "a\\x1b]0;x\\x07\\u202eb\nc\\ttab ä"


def test_U2_an_error_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["checksum", str(tmp_path / "a\x1b[31m")]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err and "a\\x1b[31m: no such file" in err


def test_U2_names_of_neurons_as_a_header(build: Build, tmp_path: Path) -> None:
    data = read_json(build.export("token", tmp_path))
    data["model"]["name"] = "=HYPERLINK(1)"
    (tmp_path / "n.json").write_text(json.dumps(data))
    (tmp_path / "x.jsonl").write_text('{"text": "x = 1", "start": 0, "end": 1}\n')
    write_values(tmp_path / "n.json", tmp_path / "x.jsonl", tmp_path / "x.csv", model=build.model)
    header, values = list(csv.reader((tmp_path / "x.csv").open()))
    assert all(name.startswith("'=HYPERLINK") for name in header) and all(float(value) for value in values)


# --- N2: the model of the file


@pytest.mark.usefixtures("unpinned")
def test_N2_features_finds_the_model_by_the_name_in_the_file(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    neurons = build.export("token", tmp_path)
    params, rows = tmp_path / "mine.yaml", tmp_path / "x.jsonl"
    params.write_text(Path("tests/data/tiny.yaml").read_text().replace("models/tiny", str(build.model)))
    rows.write_text('{"text": "x = 1", "start": 0, "end": 1}\n')
    command = ["features", "--neurons", str(neurons), "--input", str(rows)]
    assert cli.main([*command, "--params", str(params)]) == 0
    assert capsys.readouterr().out.startswith("tiny/1/1,tiny/0/3,")
    assert cli.main(command) == 1  # params.yaml has no such model
    err = capsys.readouterr().err
    assert "'tiny', the model of the neurons in benchmark 'made-up'; params.yaml is 'default'" in err
    assert "write --params with the file of the neurons' benchmark, or --model-path" in err
    assert NeuronFeatures(neurons, params=params).fit_transform([("x = 1", 0, 1)]).shape == (1, 7)


def test_N2_another_entry_with_the_same_weights_is_refused(build: Build, tmp_path: Path) -> None:
    neurons = Neurons.read(build.export("token", tmp_path))
    other = build.params.models["tiny"].model_copy(update={"neurons": "feed-forward"})
    params = build.params.model_copy(update={"models": {**build.params.models, "inner": other}})
    with pytest.raises(NeuronsError, match=r"models\.inner\.neurons: found 'feed-forward'; the neurons are of a model"):
        Extractor.load(neurons, "inner", params)
    assert Extractor.load(neurons, None, params).loaded.layers == 2


def test_a_file_of_neurons_says_how_its_model_was_trained(build: Build, tmp_path: Path) -> None:
    task = "sequence"
    data = read_json(build.export(task, tmp_path))
    assert data["model"]["training"] == "frozen"
    trained = tiny_models.save(tmp_path / "trained", "modernbert", seed=5)
    own = build.params.models["tiny"].model_copy(update={"folders": {task: str(trained)}})
    params = build.params.model_copy(update={"models": {**build.params.models, "tiny": own}})
    loaded = Extractor.load(Neurons.from_data(data), build.model).loaded
    for training, words in (
        ("fine-tuned folder", "others trained it for sequence"),
        ("fine-tuned here", "write build/made-up/activations/tiny/sequence/finetuned as --model-path"),
        ("untrained", "untrained twin of tiny"),
    ):
        model = {**data["model"], "training": training, "sha256": "0" * 64, "untrained": "tiny"}
        with pytest.raises(NeuronsError, match=words):
            check_model(Neurons.from_data({**data, "model": model}), loaded)
    from neurosieve.activations.models import load_folder

    facts = load_folder(trained, "tiny", "portable").facts
    model = {**data["model"], "training": "fine-tuned folder", "sha256": facts["model_sha256"]}
    held = Neurons.from_data({**data, "model": model})
    assert Extractor.load(held, None, params).loaded.facts["model_sha256"] == facts["model_sha256"]
    gone = params.models["tiny"].model_copy(update={"folders": {task: str(tmp_path / "gone")}})
    with pytest.raises(NeuronsError, match=r"gone: no such folder; the neurons are those of tiny as it was trained"):
        Extractor.load(held, None, params.model_copy(update={"models": {**params.models, "tiny": gone}}))
    del data["model"]["training"]
    with pytest.raises(NeuronsError, match="no key 'training'; write the file again"):
        Neurons.from_data(data)


def test_a_warning_names_the_training(build: Build, tmp_path: Path) -> None:
    data = export_neurons(build.params, build.paths, model="tiny", task="pair")
    data["model"]["training"] = "fine-tuned here"
    assert any("the model fine-tuned here for pair" in line for line in warnings(data))


@pytest.mark.usefixtures("unpinned")
def test_an_output_that_cannot_be_written_is_a_sentence(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_load", lambda args: (build.params, build.paths))
    (tmp_path / "file").touch()
    for target in (tmp_path, tmp_path / "file" / "n.json"):
        assert cli.main(["export", "tiny", "token", "--output", str(target)]) == 1
        assert "cannot be written" in capsys.readouterr().err


# --- N14


def test_N14_cost_says_what_it_does(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from neurosieve.use import cost

    monkeypatch.setattr(cost, "memory_of", lambda *arguments: {"resident": 1, "peak": 1})
    told: list[tuple[str, bool]] = []
    cost.measure_costs(
        build.params, build.paths, [("tiny", "token")], inputs=2, repeats=2, step=lambda *a: told.append(a)
    )
    assert [first for _, first in told] == [True, *[False] * 5] and len(told) == 2 + cost.OTHER_STEPS
    texts = [text for text, _ in told]
    assert texts[0] == "tiny on token: load the model twice, whole and cut"
    assert texts[1].startswith("tiny on token: 2 texts of ") and texts[1].endswith(" sub-words, to warm up")
    assert texts[3].endswith("pair 2 of 2") and "memory of the cut model" in texts[5]
    monkeypatch.chdir(tmp_path)
    cost.measure_all(build.params, build.paths, ["tiny"], ["token", "pair"], inputs=2, repeats=1)
    assert "10/10" in capsys.readouterr().err


# --- X9


def test_X9_names_that_begin_with_a_dot_are_no_results(tmp_path: Path) -> None:
    import shutil

    shutil.copytree("results/default", tmp_path / "default")
    shutil.copytree("results/default", tmp_path / ".default.old")
    rows = load_results(tmp_path, wide=True)
    assert len(rows) == len(load_results("results", wide=True).query("benchmark == 'default'"))
    (tmp_path / "default" / "rows" / ".x__y.json.part").write_text("{}")
    (tmp_path / "default" / "rows" / ".x__y.json").write_text("{}")
    assert len(load_results(tmp_path, wide=True)) == len(rows)

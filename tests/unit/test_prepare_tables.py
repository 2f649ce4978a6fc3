"""Data with named columns: the same rows from every format, what is wrong with a file, and the kinds made of tables."""

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from neurosieve.artifacts import Paths, iter_jsonl, read_json, sha256_file
from neurosieve.config import Columns, HubDataset, Params, Prepare, Task
from neurosieve.prepare import prepare_task
from neurosieve.prepare.records import MAX_FAULTS, PrepareError
from neurosieve.prepare.table import dataset_records, read_table
from neurosieve.prepare.tasks import table, table_pairs

COLUMNS = Columns.model_validate({"text": "function", "label": "bug", "package": "repo", "file": "path"})
FORMATS = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet", "arrow")
CODES = ["int a() {\n  return 1;\n}", 'puts("one, two");\n', "x = '\u00e9\U0001f600'\r\n"]
ROWS = [{"function": c, "bug": i % 2, "repo": "r", "path": f"{i}.c", "more": "-"} for i, c in enumerate(CODES)]


def save(folder, rows, end):
    """The rows as a file all.<end>."""
    path = folder / f"all.{end}"
    if end.startswith("jsonl"):
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    elif end.startswith("csv"):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        data = text.getvalue().encode()
    else:
        saved = pa.Table.from_pylist(rows)
        if end == "parquet":
            pq.write_table(saved, path)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, saved.schema) as stream:
                stream.write_table(saved)
        return path
    path.write_bytes(gzip.compress(data) if end.endswith(".gz") else data)
    return path


def message(path, columns=COLUMNS):
    with pytest.raises(PrepareError) as error:
        list(read_table(path, columns))
    return str(error.value)


def task_of(path, kind="table", columns=None, **changed):
    paths = path if isinstance(path, dict) else {"all": path}
    files = {role: {"name": p.name, "sha256": sha256_file(p)} for role, p in paths.items()}
    entry = {"kind": kind, "folder": str(next(iter(paths.values()), Path()).parent), "files": files, "columns": columns}
    entry |= {"metric": "accuracy", "rows": {"train": 9, "tune": 9, "judge": 9, "test": 9}}
    return Task.model_validate({**entry, **changed})


def prepared(tmp_path, task):
    prepare = Prepare.model_validate({"corpora": {}, "tasks": {"t": task.model_dump()}})
    params = Params.model_construct(benchmark="tiny", seed=1, data_root="data", prepare=prepare)
    paths = Paths("tiny", tmp_path / "build")
    prepare_task(params, paths, task="t")
    return paths.task("t")


# --- one table, six formats


@pytest.mark.parametrize("end", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, end):
    path = save(tmp_path, ROWS, end)
    found = list(read_table(path, COLUMNS))
    assert [row for _, row in found] == [
        {"text": code, "label": str(i % 2), "package": "r", "file": f"{i}.c"} for i, code in enumerate(CODES)
    ]
    # the second row of a csv begins after the three lines of the first, and the third after its own line end
    lines = {"csv": ["2", "5", "7"], "parquet": ["row 1", "row 2", "row 3"], "jsonl": ["1", "2", "3"]}
    expected = lines["parquet" if end == "arrow" else end.removesuffix(".gz")]
    assert [where for where, _ in found] == [f"{path}:{line}" for line in expected]


def test_a_csv_as_spreadsheets_save_it(tmp_path):
    path = tmp_path / "all.csv"
    path.write_bytes('\ufefffunction,bug,repo,path\r\n"a ""b"" c\r\nd",yes,r,f\r\ne,no,r,f'.encode())
    assert [(where.rpartition(":")[2], row["text"], row["label"]) for where, row in read_table(path, COLUMNS)] == [
        ("2", 'a "b" c\r\nd', "yes"),
        ("4", "e", "no"),
    ]


def test_labels_become_text(tmp_path):
    labels = [True, False, 7, "7", "a b"]
    path = save(tmp_path, [{"t": "x", "l": label} for label in labels], "jsonl")
    found = [row["label"] for _, row in read_table(path, Columns.model_validate({"text": "t", "label": "l"}))]
    assert found == ["true", "false", "7", "7", "a b"]


def test_targets_become_numbers(tmp_path):
    columns = Columns.model_validate({"text": "t", "target": "y"})
    for end, values in (("jsonl", [1, -2.5, 1e300]), ("csv", ["1", "-2.5", " 1e300"]), ("parquet", [1.0, -2.5, 1e300])):
        path = save(tmp_path, [{"t": "x", "y": value} for value in values], end)
        assert [row["target"] for _, row in read_table(path, columns)] == [1.0, -2.5, 1e300]


def test_a_cell_of_any_length_is_read(tmp_path):
    long = "x" * 200_000
    for end in FORMATS:
        path = save(tmp_path, [{**ROWS[0], "function": long}], end)
        assert next(read_table(path, COLUMNS))[1]["text"] == long


def test_arrow_metadata_names_the_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ok", "bad"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, 1]}, features=features)
    data.save_to_disk(str(tmp_path / "saved"))
    data.to_parquet(str(tmp_path / "all.parquet"))
    saved = next((tmp_path / "saved").glob("*.arrow"))
    columns = Columns.model_validate({"label": "label"})
    for path in (saved, tmp_path / "all.parquet"):
        assert [(row["text"], row["label"]) for _, row in read_table(path, columns)] == [
            ("a", "bad"),
            ("b", "ok"),
            ("c", "bad"),
        ]
    unknown = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, -1]}, features=features)
    unknown.to_parquet(str(tmp_path / "all.parquet"))
    fault = f"{tmp_path / 'all.parquet'}:row 2: 'label' is -1, of the classes 0 to 1; leave out rows without one"
    assert message(tmp_path / "all.parquet", columns) == fault


# --- what is wrong with a table

BAD_VALUES = {  # column, value, what is said of it
    "null text": ("function", None, "'function' is null; write a value"),
    "null label": ("bug", None, "'bug' is null; write a value"),
    "number as text": ("function", 5, "'function' is 5; write a text"),
    "list as text": ("function", ["a"], "'function' is ['a']; write a text"),
    "blank text": ("function", " \n\t", "'function' is empty"),
    "blank label": ("bug", " ", "'bug' is empty"),
    "NUL": ("function", "a\0b", "'function' has a NUL character"),
    "half a surrogate": ("function", "a\ud800", "'function' has half a surrogate pair"),
    "fraction as label": ("bug", 0.5, "'bug' is 0.5; write a text or a whole number"),
    "object as package": ("repo", {"a": 1}, "'repo' is {'a': 1}; write a text or a whole number"),
}


def can_hold(end, value):
    """csv has texts alone, and only the escapes of json can write half a surrogate pair."""
    return end == "jsonl" or (value != "a\ud800" and (end == "parquet" or isinstance(value, str | None)))


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (e, name)
        for name, (_, value, _) in BAD_VALUES.items()
        for e in ("jsonl", "csv", "parquet")
        if can_hold(e, value)
    ],
)
def test_a_bad_value_is_refused_with_its_line(tmp_path, end, name):
    column, value, said = BAD_VALUES[name]
    good = [{**row, column: None} for row in ROWS] if end == "parquet" else ROWS  # its columns have one type
    path = save(tmp_path, [good[0], good[1], {**good[2], column: value}], end)
    said = f"'{column}' is empty" if end == "csv" and value is None else said
    place = {"jsonl": "3", "csv": "7", "parquet": "row 3"}[end]
    assert f"{path}:{place}: {said}" in message(path)


def test_numbers_must_be_finite(tmp_path):
    columns = Columns.model_validate({"text": "t", "target": "y"})
    for value in (float("nan"), float("inf"), True, "many", None, [1], 10**400):
        path = save(tmp_path, [{"t": "x", "y": 1.0}, {"t": "x", "y": value}], "jsonl")
        shown = "null" if value is None else f"{value!r}"[:37]
        assert message(path, columns).startswith(f"{path}:2: 'y' is {shown}")
    for cell in ("nan", "-inf", "1,5", "0x1", ""):
        path = save(tmp_path, [{"t": "x", "y": "1"}, {"t": "x", "y": cell}], "csv")
        assert message(path, columns).startswith(f"{path}:3: 'y' is {cell!r}; write a finite number")


@pytest.mark.parametrize("end", FORMATS)
def test_a_wrong_column_is_named_with_those_there_are(tmp_path, end):
    path = save(tmp_path, ROWS, end)
    found = message(path, Columns.model_validate({"text": "functon", "label": "zzz"}))
    at = f"{path}:1" if "jsonl" in end or "csv" in end else f"{path}"
    there = "the columns are function, bug, repo, path, more"
    assert f"{at}: no column 'functon'; {there}; write `columns: {{text: function}}`?" in found
    assert f"{at}: no column 'zzz'; {there}; write one of them as `columns.label`" in found


SPOILT = gzip.compress(b"a,y,p\n")[:10] + b"\xff" * 30
RAW = {  # file, its bytes, what is said
    "empty.jsonl": (b"", "{}: no rows"),
    "empty.csv": (b"", "{}: no rows"),
    "header.csv": (b"function,bug,repo,path\n", "{}: no rows"),
    "cut.jsonl": (b'{"function": "a", "bug": 1, "repo": "r", "path": "p"}\n{"function": "b', "{}:2: not valid json"),
    "key.jsonl": (b'{"function": "a", "bug": 1, "repo": "r", "path": "p"}\n{"function": "b"}', "{}:2: no key 'bug'"),
    "array.jsonl": (b"[1]\n", "{}:1: found list; write an object like"),
    "utf8.jsonl": (b'{"function": "\xff"}\n', "{}:1: not UTF-8 at byte 14 of the line"),
    "utf8.csv": (b"function,bug,repo,path\na,1,r,\xff\n", "{}:2: not UTF-8 at byte 6 of the line"),
    "cells.csv": (b'function,bug,repo,path\n"a\nb",1,r,p\nf(a, b),1,r,p\n', "{}:4: found 5 cells, the header has 4"),
    "blank.csv": (b"function,bug,repo,path\na,1,r,p\n\nb,1,r,p\n", "{}:3: found an empty line; take it out"),
    "open.csv": (b'function,bug,repo,path\na,1,r,p\n"b,1,r,p\nc,1,r,p\n', "{}:3: not valid csv (a quote that opens"),
    "quote.csv": (b'function,bug,repo,path\na,1,r,p\n"b"c,1,r,p\n', "{}:3: not valid csv"),
    "mac.csv": (
        b"function,bug,repo,path\ra,1,r,p\r",
        "{}:1: not valid csv (new-line character seen in unquoted field)",
    ),
    "twice.csv": (b"function,bug,bug,path\na,1,r,p\n", "{}:1: found two columns 'bug'"),
    "torn.csv.gz": (gzip.compress(b"function,bug,repo,path\na,1,r,p\n")[:-9], "{}: not readable"),
    "plain.jsonl.gz": (b'{"function": "a"}\n', "{}: not readable"),
    "torn.parquet": (b"PAR1 and no more", "{}: not a readable parquet file"),
    "torn.arrow": (b"ARROW1 and no more", "{}: not a readable Arrow stream"),
    "spoilt.csv.gz": (SPOILT, "{}: not readable (Error -3 while decompressing"),
    "all.xlsx": (b"PK", "{}: a table is .jsonl or .csv"),
    "all.parquet.gz": (b"PK", "{}: a table is .jsonl or .csv"),
}


@pytest.mark.parametrize("name", RAW)
def test_a_file_that_is_no_table_is_refused(tmp_path, name):
    data, said = RAW[name]
    path = tmp_path / name
    path.write_bytes(data)
    assert message(path).startswith(said.format(path))


@pytest.mark.parametrize("end", FORMATS)
def test_a_missing_file_is_told(tmp_path, end):
    path = tmp_path / f"all.{end}"
    assert message(path) == f"{path}: no such file"


def test_a_parquet_text_that_is_not_utf8_is_told(tmp_path):
    path = tmp_path / "all.parquet"
    texts = pa.array([b"good", b"b\xffd"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": texts}), path)
    assert (
        message(path, Columns.model_validate({})) == f"{path}:row 2: 'text' is not UTF-8 at byte 1; write it as UTF-8"
    )


def test_all_faults_are_told_at_once_up_to_a_number(tmp_path):
    path = save(tmp_path, [{"text": ""}] * (MAX_FAULTS + 5), "jsonl")
    lines = message(path, Columns.model_validate({})).splitlines()
    assert len(lines) == MAX_FAULTS + 1
    assert lines[-1] == f"{path}: 5 more faulty rows"


# --- kinds

PART_OF = {0: "train", 1: "validation", 2: "test"}


def split_rows(number=30):
    return [
        {
            "a": f"f{i}()",
            "b": f"g{i}()",
            "y": ("no", "yes")[i % 4 // 2],
            "n": i / 4,
            "p": PART_OF[i % 3],
            "r": f"o/{i % 5}",
        }
        for i in range(number)
    ]


def test_a_column_gives_the_splits(tmp_path):
    path = save(tmp_path, split_rows(), "csv")
    task = task_of(path, columns={"text": "a", "label": "y", "split": "p"})
    records = table.read({"all": path}, task)
    assert [r.split for r in records[:3]] == ["train", "dev", "test"]
    assert (records[4].package, records[4].file, records[4].where) == ("dev", "dev/row-000006", "all.csv:6")
    folder = prepared(tmp_path, task)
    card = read_json(folder / "card" / "card.json")
    assert card["classes"] == ["no", "yes"] and card["splits"]["train"]["rows"] == 9
    of = {row["a"]: row for row in split_rows()}
    for split, wanted in (("train", "train"), ("tune", "validation"), ("judge", "validation"), ("test", "test")):
        texts = [row["text"] for row in iter_jsonl(folder / split / "inputs.jsonl")]
        for row in iter_jsonl(folder / split / "rows.jsonl"):
            source = of[texts[row["input"]]]
            assert source["p"] == wanted and source["y"] == card["classes"][row["label"]]


def test_roles_give_the_splits_and_package_and_file_the_groups(tmp_path):
    paths = {}
    for part in ("train", "dev", "test"):
        (tmp_path / part).mkdir()
        paths[part] = save(tmp_path / part, split_rows(), "parquet").rename(tmp_path / f"{part}.parquet")
    task = task_of(paths, kind="table-pairs", columns={"text": "a", "right": "b", "label": "y", "package": "r"})
    records = table_pairs.read(paths, task)
    assert [r.split for r in records] == ["train"] * 30 + ["dev"] * 30 + ["test"] * 30
    assert (records[31].text, records[31].right, records[31].label) == ("f1()", "g1()", "no")
    assert records[1].package == records[31].package == "o/1"
    assert len({r.file for r in records}) == 90  # a row of another table is another file
    grouped = task_of(paths, kind="table", columns={"text": "a", "label": "y", "file": "r", "name": "b"})
    assert {r.file for r in table.read(paths, grouped)} == {f"{p}/o/{i}" for p in paths for i in range(5)}
    assert table.read(paths, grouped)[2].name == "g2()"


def test_packages_with_a_slash_and_shares_split_a_table(tmp_path):
    path = save(tmp_path, split_rows(60), "jsonl")
    columns = {"text": "a", "label": "y", "package": "r"}
    packages = {"train": ["o/0", "o/1"], "dev": ["o/2", "o/3"], "test": ["o/4"]}
    card = read_json(prepared(tmp_path, task_of(path, columns=columns, packages=packages)) / "card" / "card.json")
    assert set(card["splits"]["test"]["packages"]) == {"o/4"}
    shares = {"train": 0.5, "dev": 0.3, "test": 0.2}
    card = read_json(prepared(tmp_path, task_of(path, columns=columns, shares=shares)) / "card" / "card.json")
    assert set(card["splits"]["test"]["packages"]) <= {f"o/{i}" for i in range(5)}


@pytest.mark.parametrize("kind", ["table", "table-pairs"])
def test_a_number_is_the_target_of_r2(tmp_path, kind):
    path = save(tmp_path, split_rows(), "parquet")
    right = {"right": "b"} if kind == "table-pairs" else {}
    task = task_of(path, kind, {"text": "a", "target": "n", "split": "p", **right}, metric="r2")
    folder = prepared(tmp_path, task)
    texts = [row["text"] for row in iter_jsonl(folder / "train" / "inputs.jsonl")]
    rows = list(iter_jsonl(folder / "train" / "rows.jsonl"))
    assert len(rows) == 9 and all(row["target"] == int(texts[row["input"]][1:-2]) / 4 for row in rows)
    assert all("label" not in row for row in rows)
    card = read_json(folder / "card" / "card.json")
    assert card["classes"] == [] and card["majority"] is None


def test_a_split_of_equal_numbers_is_refused(tmp_path):
    rows = [row | ({"n": 7} if row["p"] == "test" else {}) for row in split_rows()]
    task = task_of(save(tmp_path, rows, "parquet"), columns={"text": "a", "target": "n", "split": "p"}, metric="r2")
    with pytest.raises(PrepareError, match="every test row has the target 7; add other rows"):
        prepared(tmp_path, task)


BAD_ENTRIES = {  # kind, columns, other keys, what is said
    "no columns": ("table", None, {}, "columns: no column has the class; add `label:`"),
    "no right": ("table-pairs", {"text": "a", "label": "y"}, {}, "columns: a pair needs the column of its right side"),
    "right": ("table", {"text": "a", "label": "y", "right": "b"}, {}, "columns.right: found a right side"),
    "r2 without target": ("table", {"text": "a"}, {"metric": "r2"}, "add its column as `target:`"),
    "r2 with label": ("table", {"text": "a", "label": "y", "target": "n"}, {"metric": "r2"}, "take `label:` out"),
    "class and target": ("table", {"text": "a", "target": "n"}, {}, "columns.target: metric accuracy needs a class"),
    "two splits": (
        "table",
        {"text": "a", "label": "y", "split": "p"},
        {"shares": {"train": 0.5, "dev": 0.3, "test": 0.2}},
        "columns.split: found it beside `shares:`",
    ),
    "no split": ("table", {"text": "a", "label": "y"}, {}, "the data give no splits"),
    "wrong split": (
        "table",
        {"text": "a", "label": "y", "split": "y"},
        {},
        "write one of train, dev, valid, validation",
    ),
    "a class too many": (
        "table",
        {"text": "a", "label": "y", "split": "p"},
        {"classes": ["no", "maybe"]},
        "all.jsonl:3: found the label 'yes', which is not among `classes:` (no, maybe)",
    ),
    "negatives": (
        "table",
        {"text": "a", "label": "y"},
        {"negatives": {"kind": "hard"}},
        ".negatives: the kind 'table' ",
    ),
    "target no number": ("table", {"text": "a", "target": "y", "split": "p"}, {"metric": "r2"}, "'y' is 'no'; write a"),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_keys_that_do_not_fit_are_refused(tmp_path, name):
    kind, columns, more, said = BAD_ENTRIES[name]
    path = save(tmp_path, split_rows(), "jsonl")
    with pytest.raises(PrepareError) as error:
        prepared(tmp_path, task_of(path, kind, columns, **more))
    assert str(error.value).startswith("prepare.tasks.t") and said in str(error.value)


def test_a_split_column_beside_files_by_split_is_refused(tmp_path):
    paths = {}
    for part in ("train", "dev", "test"):
        paths[part] = save(tmp_path, split_rows(), "jsonl").rename(tmp_path / f"{part}.jsonl")
    with pytest.raises(PrepareError, match=r"columns\.split: found it beside one file per split"):
        table.read(paths, task_of(paths, columns={"text": "a", "label": "y", "split": "p"}))


# --- datasets of the hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.lower().endswith("_proxy") or n in ("HF_HOME", "HF_HUB_CACHE", "HF_TOKEN")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with HubServer() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running
    close_session()


def test_a_dataset_of_the_hub_gives_the_records_of_its_files(hub, tmp_path):
    files = {}
    for part in ("train", "validation", "test"):
        path = save(tmp_path, [row for row in split_rows() if row["p"] == part], "parquet")
        files[f"data/{part}-00000.parquet"] = path.read_bytes()
    commit = hub.add("org/data", files, "dataset")
    entry = {"id": "org/data", "revision": commit, "splits": {"train": "train", "dev": "validation", "test": "test"}}
    dataset = HubDataset.model_validate(entry)
    columns = {"text": "a", "label": "y"}
    task = Task.model_validate(
        {**task_of({}, columns=columns).model_dump(), "folder": None, "files": None, "dataset": entry}
    )

    def records(entry, task=task, **places):
        return dataset_records(entry, task, pair=False, tables=tmp_path / "tables", cache=tmp_path / "wheels")

    found = records(dataset)
    assert [(r.text, r.label, r.split) for r in found if r.split == "dev"] == [
        (row["a"], row["y"], "dev") for row in split_rows() if row["p"] == "validation"
    ]
    assert (found[10].package, found[10].file, found[10].where) == ("dev", "dev/row-000001", "data validation:row 1")
    assert len(found) == 30 and (tmp_path / "tables").is_dir()
    changed = dataset.model_copy(update={"splits": {"all": "train"}})
    assert {r.split for r in records(changed)} == {None}
    for update, said in (
        ({"splits": {"train": "train"}}, r"dataset.splits has train; write `all`"),
        ({"splits": {"all": "valid"}}, "valid"),
        ({"id": "org/none"}, "org/none"),
        ({"revision": "1" * 40}, "1" * 12),
    ):
        with pytest.raises(PrepareError, match=said):
            records(dataset.model_copy(update=update))
    wrong = task.model_copy(update={"columns": Columns.model_validate({"text": "A", "label": "y"})})
    with pytest.raises(PrepareError, match=r"org/data train: no column 'A'; the columns are a, b, y, n, p, r"):
        records(dataset, task=wrong)
    home = Path.home() / ".cache" / "huggingface"
    assert not (home / "datasets" / "org___data").exists() and not (home / "hub" / "datasets--org--data").exists()

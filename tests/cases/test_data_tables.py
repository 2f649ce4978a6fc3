"""Data of users: names that look alike, numbers in odd forms, splits of one class, pairs of equal texts, counts."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from neurosieve.artifacts import Paths, read_json, sha256_file
from neurosieve.config import load_params
from neurosieve.config.prepare import Columns
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import PrepareError, make_record, number_of, spelling
from neurosieve.prepare.sampling import Want, token_sample
from neurosieve.prepare.table import read_table
from neurosieve.prepare.task import data_faults, prepare_task

ROWS = {"train": 40, "tune": 10, "judge": 20, "test": 20}
SPLITS = ("train", "dev", "test")


def rows_of(pair=False, number=False, **changed):
    """Twelve rows a split, a file each; `changed`: "train:0" -> changes of that row."""
    rows = []
    for split in SPLITS:
        for i in range(12):
            row = {"text": f"{split} {i}", "split": split, "y": i % 7 if number else "ab"[i % 2]}
            row |= {"right": f"{split} right {i}"} if pair else {}
            rows.append(row | changed.get(f"{split}:{i}", {}))
    return rows


def params_of(tmp_path, rows, columns=None, **more):
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pair = {"right": "right"} if "right" in rows[0] else {}
    entry = {
        "kind": "table-pairs" if pair else "table", "folder": str(tmp_path), "metric": "accuracy", "rows": ROWS,
        "files": {"all": {"name": path.name, "sha256": sha256_file(path)}},
        "columns": columns or {"text": "text", "label": "y", "split": "split", **pair}, "tune_share": 0.5, **more,
    }  # fmt: skip
    tiny = load_params("tests/data/tiny.yaml")
    prepare = type(tiny.prepare).model_validate({"corpora": {}, "tasks": {"t": entry}})
    return tiny.model_copy(update={"prepare": prepare})


def card_of(tmp_path, rows, columns=None, **more):
    paths = Paths("b", tmp_path / "build")
    prepare_task(params_of(tmp_path, rows, columns, **more), paths, task="t")
    return read_json(paths.task("t") / "card" / "card.json")


@pytest.mark.parametrize("other", ["b ", "\tb", "b\u200b", "\ufeffb", "b\u00a0"])
def test_D1_labels_that_look_the_same_are_refused_with_both_places(tmp_path, other):
    with pytest.raises(PrepareError) as error:
        card_of(tmp_path, rows_of(**{"dev:4": {"y": other}}))
    text = str(error.value)
    assert "all.jsonl:17: found the label" in text and "differs from 'b' in all.jsonl:2 by white space" in text
    assert ascii(other) in text and text.endswith("write 'b' in both")


def test_D1_other_forms_of_unicode_and_packages_are_refused(tmp_path):
    changed = {"train:0": {"y": "e\u0301"}, "test:1": {"y": "\u00e9"}}
    with pytest.raises(PrepareError, match=r"all\.jsonl:26: found the label '\\xe9', which differs from 'e\\u0301'"):
        card_of(tmp_path, rows_of(**changed))
    rows = [{**row, "repo": f"{row['split']}{' ' * (i == 20)}"} for i, row in enumerate(rows_of())]
    columns = {"text": "text", "label": "y", "split": "split", "package": "repo"}
    with pytest.raises(PrepareError, match=r"all\.jsonl:21: found the package 'dev ', which differs from 'dev'"):
        card_of(tmp_path, rows, columns)


@pytest.mark.parametrize("one, other", [("b", "B"), ("b", "\uff42"), ("1", "1.0"), ("1", "01"), ("true", "True")])
def test_D1_labels_that_differ_by_case_or_by_the_form_of_a_number_are_told(tmp_path, one, other):
    rows = [{**row, "y": one if row["y"] == "b" else "a"} for row in rows_of()]
    for i in (2, 6, 10, 14, 18, 22, 26, 30):
        rows[i]["y"] = other
    card = card_of(tmp_path, rows)
    reason = f"label {other!r} beside {one!r}: the same but for case or the form of a number?"
    assert card["notices"] == {reason: {"count": 1, "first": "all.jsonl:3"}}
    assert len(card["classes"]) == 3


def test_D1_whole_numbers_and_their_texts_are_one_label(tmp_path):
    rows = [{**row, "y": "ab".index(row["y"])} for row in rows_of()]
    rows[3]["y"] = "1"
    card = card_of(tmp_path, rows)
    assert card["classes"] == ["0", "1"] and card["notices"] == {}


@pytest.mark.parametrize(
    "value, number",
    [("1e3", 1000.0), (" 1 ", 1.0), ("-.5", -0.5), (3, 3.0), ("1,5", None), ("1_000", None), ("0x10", None),
     ("nan", None), ("inf", None), ("\u0661", None), ("\uff11", None), ("1e400", None), (10**400, None), (True, None),
     ("true", None), ("", None), (float("nan"), None)],
)  # fmt: skip
def test_D1_numbers_are_read_as_written_or_refused(value, number):
    assert number_of(value) == number


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a.csv", "text;y\na;b\n", r"a\.csv:1: found one column 'text;y', with ';' between the cells; save"),
        ("a.csv", "text\ty\na\tb\n", r"a\.csv:1: found one column .*'\\t' between"),
        ("a.csv", "text, y\na,b\n", r'write `columns: \{label: " y"\}`'),
        ("a.csv", "text,y,y\na,b,c\n", r"a\.csv:1: found two columns 'y'"),
        ("a.jsonl", '{"text": "a", "y": "b", "y": "c"}\n', r"a\.jsonl:1: .*the key 'y' stands twice"),
        ("a.jsonl", '{"text": "a", "y": "b"}\n\n', r"a\.jsonl:2: found an empty line; take it out"),
    ],
)
def test_D1_a_table_of_another_form_says_what_to_write(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(PrepareError, match=says):
        list(read_table(tmp_path / name, Columns(text="text", label="y")))


def test_D1_two_columns_of_a_parquet_file_with_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["text", "y", "y"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(PrepareError, match=r"a\.parquet: found two columns 'y'; give each a name of its own"):
        list(read_table(tmp_path / "a.parquet", Columns(text="text", label="y")))


@pytest.mark.parametrize("split, of", [("test", "test"), ("judge", "dev"), ("tune", "dev"), ("train", "train")])
def test_D2_a_split_of_one_class_is_refused(tmp_path, split, of):
    rows = [{**row, "y": "a" if row["split"] == of else row["y"]} for row in rows_of()]
    if split == "judge":  # of dev the files of tune keep both
        files = {row["file"] for row in _inputs(tmp_path, "tune")}
        rows = [
            {**row, "y": "b" if i % 2 and f"dev/row-{i + 1:06d}" in files else row["y"]} for i, row in enumerate(rows)
        ]
    with pytest.raises(
        PrepareError, match=rf"every {split} row.* is 'a' \(found \d+\), so there is nothing to .*add rows"
    ):
        card_of(tmp_path, rows)


def _inputs(tmp_path, split):
    card_of(tmp_path, rows_of())
    path = Paths("b", tmp_path / "build").task("t") / split / "inputs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_D2_D3_what_the_rows_lack_is_found_by_check(tmp_path):
    for number, (rows, says) in enumerate(
        (
            (rows_of(**{f"test:{i}": {"y": "a"} for i in range(12)}), "every test row is 'a'"),
            (rows_of(**{"dev:4": {"y": "b "}}), "found the label 'b '"),
            (rows_of(**{f"dev:{i}": {"text": f"train {i}"} for i in range(12)}), "split tune has no rows"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert says in "\n".join(data_faults(params_of(folder, rows), "t"))


@pytest.mark.parametrize("scale, zero", [(1e300, 0.0), (1e-300, 0.0), (1e-6, 1e9)])
def test_D2_numbers_that_a_double_cannot_tell_apart_are_refused(tmp_path, scale, zero):
    rows = [row | {"y": row["y"] * scale + zero} for row in rows_of(number=True)]
    columns = {"text": "text", "target": "y", "split": "split"}
    with pytest.raises(PrepareError, match="made of rounding errors; write them in another unit"):
        card_of(tmp_path, rows, columns, metric="r2")


@pytest.mark.parametrize(
    "note", [{"info": None}, {"info": {"features": {"y": ["a"]}}},
             {"info": {"features": {"y": {"names": ["n", "p"], "_type": "ClassLabel"}}}}],
)  # fmt: skip
def test_D1_a_parquet_file_with_odd_notes_of_classes_is_read_as_it_is(tmp_path, note):
    path = tmp_path / "all.parquet"
    table = pa.table({"text": ["x", "z"], "y": ["a", "b"]})
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": json.dumps(note).encode()}), path)
    assert [row["label"] for _, row in read_table(path, Columns(label="y"))] == ["a", "b"]


def test_D1_a_text_of_invisible_characters_is_refused(tmp_path):
    with pytest.raises(PrepareError, match=r"all\.jsonl:4: .text. has invisible characters alone"):
        card_of(tmp_path, rows_of(**{"train:3": {"text": "\u200b \ufeff"}}))


def test_D2_a_split_of_one_number_is_refused(tmp_path):
    rows = [{**row, "y": 1.5 if row["split"] == "test" else row["y"]} for row in rows_of(number=True)]
    columns = {"text": "text", "target": "y", "split": "split"}
    with pytest.raises(PrepareError, match=r"every test row has the target 1\.5"):
        card_of(tmp_path, rows, columns, metric="r2")


def test_D1_pairs_of_equal_texts_packages_and_labels_in_two_ways_are_told(tmp_path):
    rows = rows_of(pair=True)
    rows[2]["right"] = "train  2"
    rows[5] = {**rows[4], "text": rows[4]["right"], "right": rows[4]["text"], "y": "b"}  # the other way round
    rows = [{**row, "repo": "shared" if i in (0, 12, 13) else row["split"]} for i, row in enumerate(rows)]
    columns = {"text": "text", "right": "right", "label": "y", "split": "split", "package": "repo"}
    card = card_of(tmp_path, rows, columns)
    assert card["notices"] == {
        "copy of one of the split with another label": {"count": 1, "first": "all.jsonl:6"},
        "of a package that an earlier split has too": {"count": 2, "first": "all.jsonl:13"},
        "pair of two texts that are equal but for white space": {"count": 1, "first": "all.jsonl:3"},
    }
    assert card["left_out"] == {"copy of one in the same split": 1}


def test_D1_numbers_are_alike_only_where_they_are_equal():
    names = ["1234567", "1234568", "12345678901234567890", "12345678901234567891", "1", "1.5"]
    assert len({spelling(name) for name in names}) == len(names)
    assert spelling("01") == spelling("1.0") == spelling("1") and spelling("Bug") == spelling("bug")


def test_a_text_without_a_token_of_the_classes_is_counted_as_that():
    records = [make_record(t, package="p", file=t, name=t, where=t) for t in ("none", "x", "x y")]
    want = Want(rows=9, classes=("a",), max_rows_per_input=9, cap_per_type=1, rng=np.random.default_rng(0))
    sample = token_sample(records, want, lambda text: [Token(0, 1, "x", 0)] if "x" in text else [])
    assert sample.left_out == {"no token of the classes": 1, "every token type is at its cap": 1}

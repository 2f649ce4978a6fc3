"""tagged-lines: rows of parallel token and tag lines, and what is wrong with such files."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from neurosieve.artifacts import Paths, iter_jsonl, read_json, sha256_file
from neurosieve.config import Params, Prepare, Task
from neurosieve.prepare import prepare_task
from neurosieve.prepare.records import MAX_FAULTS, PrepareError
from neurosieve.prepare.tasks import tagged_lines

TINY = Path("tests/data/tiny_tagged_lines")
ROWS = {"train": 60, "tune": 12, "judge": 24, "test": 30}


SIDES = [f"{part}.{side}" for part in ("train", "dev", "test") for side in ("in", "label")]


def task_of(folder, names=None, **changed) -> Task:
    """The task of the files of a folder, named as their roles unless `names` says otherwise."""
    paths = {role: folder / (names or {}).get(role, role) for role in SIDES}
    files = {role: {"name": p.name, "sha256": sha256_file(p)} for role, p in paths.items() if p.is_file()}
    entry = {"kind": "tagged-lines", "folder": str(folder), "files": files, "metric": "accuracy", "rows": ROWS}
    return Task.model_validate({**entry, **changed})


def read(folder, **changed):
    return tagged_lines.read({role: folder / role for role in SIDES}, task_of(folder, **changed))


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny files, to be spoilt."""
    for file in map(TINY.__truediv__, SIDES):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def prepared(folder, tmp_path, **changed):
    prepare = Prepare.model_validate({"corpora": {}, "tasks": {"tags": task_of(folder, **changed).model_dump()}})
    params = Params.model_construct(benchmark="tiny", seed=1, prepare=prepare)
    paths = Paths("tiny", tmp_path / "build")
    prepare_task(params, paths, task="tags")
    return paths.task("tags")


def read_rows(folder, split):
    inputs = [row["text"] for row in iter_jsonl(folder / split / "inputs.jsonl")]
    return [
        (inputs[r["input"]], r["start"], r["end"], r["type"], r["label"])
        for r in iter_jsonl(folder / split / "rows.jsonl")
    ]


def test_a_row_has_the_tag_of_its_token(tmp_path):
    task = prepared(TINY, tmp_path)
    classes = read_json(task / "card" / "card.json")["classes"]
    tags = {
        word: tag
        for part in ("train", "dev", "test")
        for line, labels in zip(
            (TINY / f"{part}.in").read_text().splitlines(),
            (TINY / f"{part}.label").read_text().splitlines(),
            strict=True,
        )
        for word, tag in zip(line.split(), labels.split(), strict=True)
    }
    for split in ROWS:
        for text, start, end, word, label in read_rows(task, split):
            assert text[start:end] == word and classes[label] == tags[word]


def test_splits_are_those_of_the_files_and_dev_is_cut_by_line(tmp_path):
    task = prepared(TINY, tmp_path)
    lines = {part: set((TINY / f"{part}.in").read_text().splitlines()) for part in ("train", "dev", "test")}
    texts = {split: {r["text"] for r in iter_jsonl(task / split / "inputs.jsonl")} for split in ROWS}
    assert texts["train"] <= lines["train"] and texts["test"] <= lines["test"]
    assert texts["tune"] | texts["judge"] <= lines["dev"] and not texts["tune"] & texts["judge"]
    card = read_json(task / "card" / "card.json")
    assert card["splits"]["train"]["files"] == card["splits"]["train"]["inputs"]


def test_classes_choose_rows_and_the_other_tokens_stay_as_context(tmp_path):
    task = prepared(TINY, tmp_path, classes=["TYPE", "NUMBER", "STRING"], balanced=True, max_rows_per_input=5)
    card = read_json(task / "card" / "card.json")
    assert card["classes"] == ["TYPE", "NUMBER", "STRING"]  # in the order of the params file
    assert card["left_out"]["no token of the classes"] > 0
    assert all(" " in text and {label} <= {0, 1, 2} for text, *_, label in read_rows(task, "train"))
    for split, rows in ROWS.items():
        counts = Counter(label for *_, label in read_rows(task, split))
        assert max(counts.values()) <= rows / 3 and len(counts) == 3
    free = prepared(TINY, tmp_path / "free", classes=["TYPE", "NUMBER", "STRING"])
    counts = Counter(label for *_, label in read_rows(free, "train"))
    assert max(counts.values()) > ROWS["train"] / 3


def test_compressed_files_of_other_names(tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir()
    names = {role: f"x_{role}.gz" for role in SIDES}
    for role, name in names.items():
        (other / name).write_bytes(gzip.compress((folder / role).read_bytes()))
    task = prepared(other, tmp_path, names=names)
    plain = prepared(folder, tmp_path / "plain")
    for split in ROWS:
        for name in ("inputs.jsonl", "rows.jsonl"):
            assert (task / split / name).read_bytes() == (plain / split / name).read_bytes()


def append(folder, name, line):
    with (folder / name).open("a", encoding="utf-8", newline="\n") as handle:
        handle.write(line + "\n")


def test_a_misaligned_line_is_named_or_left_out_and_counted(tmp_path, folder):
    append(folder, "dev.in", "a b c")
    append(folder, "dev.label", "IDENT IDENT")
    with pytest.raises(PrepareError, match=r"dev\.in:71: found 3 tokens and 2 tags in dev\.label; .*misaligned: skip"):
        read(folder)
    task = prepared(folder, tmp_path, misaligned="skip")
    assert read_json(task / "card" / "card.json")["left_out"][tagged_lines.MISALIGNED] == 1


def test_spaces_alone_separate_tokens(folder):
    """A tab lies inside a string literal, and white space at the end of a line is none; METHOD's five lines."""
    append(folder, "dev.in", '"\tif" + name ')
    append(folder, "dev.label", "STRING PLUS IDENT ")
    record = read(folder)[90 + 70]
    assert record.text.split(" ") == ['"\tif"', "+", "name"] and record.tags == ("STRING", "PLUS", "IDENT")


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("test.in", "one line more", r"test\.label: ends before line 51, which .*test\.in has"),
        ("train.label", "IDENT", r"train\.in: ends before line 91, which .*train\.label has"),
    ],
)
def test_files_of_different_length(folder, name, line, says):
    append(folder, name, line)
    with pytest.raises(PrepareError, match=says):
        read(folder)


def test_other_faults(tmp_path, folder):
    with pytest.raises(PrepareError, match=r"`classes` has .VERB., which no token has; write some of: COMMA"):
        read(folder, classes=["IDENT", "VERB"])
    packages = {"train": ["a"], "dev": ["b"], "test": ["c"]}
    with pytest.raises(
        PrepareError, match=r"found `packages:`, but the data give the splits \(train\.in:1 is in train"
    ):
        prepared(folder, tmp_path, packages=packages)
    (folder / "test.in").write_bytes(b"ok\n\xff\n")
    with pytest.raises(PrepareError, match=r"test\.in:2: not UTF-8 at byte 0"):
        read(folder)
    (folder / "train.in.gz").write_bytes(b"no gzip")
    with pytest.raises(PrepareError, match=r"train\.in\.gz: not readable"):
        prepared(folder, tmp_path, names={"train.in": "train.in.gz"})


def test_many_faults_are_cut(folder):
    for _ in range(MAX_FAULTS + 5):
        append(folder, "test.in", "a b")
        append(folder, "test.label", "IDENT")
    with pytest.raises(PrepareError) as caught:
        read(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == MAX_FAULTS + 1 and lines[-1].endswith("5 more misaligned lines")


def test_lines_that_cannot_be_used_are_counted(tmp_path, folder):
    for line, tags in (("x \0 y", "IDENT IDENT IDENT"), ("", ""), ("new_name_here", "IDENT")):
        append(folder, "train.in", line)
        append(folder, "train.label", tags)
    left_out = read_json(prepared(folder, tmp_path) / "card" / "card.json")["left_out"]
    assert (left_out["a NUL character"], left_out["no tokens"]) == (1, 1)

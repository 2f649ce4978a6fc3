"""Formats of users' data: roles, sums, splits by shares, copies, notices, pairs; each malformed input by its line."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from neurosieve.artifacts import Paths, iter_jsonl, read_json, read_manifest, sha256_file
from neurosieve.config import DataFile, Packages, Params, Prepare, Shares, Task
from neurosieve.prepare import prepare_task
from neurosieve.prepare.records import PrepareError, make_record, text_notices
from neurosieve.prepare.sampling import CLASSES_FULL, Want, pair_sample, sequence_sample, token_sample
from neurosieve.prepare.splits import by_shares, copies, split_records
from neurosieve.prepare.task import _notices
from neurosieve.prepare.tasks import labelled_sequences, load_kind, poj_104

DATA = Path("tests/data")
ROWS = {"train": 40, "tune": 12, "judge": 20, "test": 20}
SHARES = {"train": 0.5, "dev": 0.3, "test": 0.2}
KINDS = {
    "codexglue-defect": {"shares": SHARES, "classes": ["0", "1"]},
    "codexglue-clone": {"classes": ["0", "1"]},
    "poj-104": {"shares": {**SHARES, "group": "package"}},
    "labelled-sequences": {"shares": SHARES, "classes": ["loop", "straight"]},
    "tagged-lines": {},
}
SPLITS = ("train", "tune", "judge", "test")


@pytest.fixture
def folder(tmp_path):
    """Function that copies the tiny data of a kind, to be spoilt."""

    def copied(kind):
        target = tmp_path / kind
        target.mkdir(exist_ok=True)
        for path in (DATA / f"tiny_{kind.replace('-', '_')}").iterdir():
            if path.suffix != ".yaml":
                (target / path.name).write_bytes(path.read_bytes())
        return target

    return copied


def entry_of(kind, folder, **changed):
    """The entry of a folder: files by their roles, with the sums that they have now."""
    files = {}
    for path in sorted(folder.iterdir()):
        roles = [role for role in load_kind(kind).ROLES if f"{path.name}.".startswith(f"{role}.")]
        files[max(roles, key=len)] = {"name": path.name, "sha256": sha256_file(path)}
    entry = {"kind": kind, "folder": str(folder), "files": files, "metric": "accuracy", "rows": ROWS}
    return {**entry, **KINDS[kind], **changed}


def prepared(kind, folder, entry=None, seed=3, **changed):
    entry = entry or entry_of(kind, folder, **changed)
    prepare = Prepare.model_validate({"corpora": {}, "tasks": {"t": entry}})
    paths = Paths("b", folder.parent / "build")
    prepare_task(Params.model_construct(benchmark="b", seed=seed, prepare=prepare), paths, task="t")
    return paths.task("t")


def card_of(task):
    return read_json(task / "card" / "card.json")


def read(task, split):
    return list(iter_jsonl(task / split / "inputs.jsonl")), list(iter_jsonl(task / split / "rows.jsonl"))


def spoil(path, number, line):
    """Put `line` in the place of a line (from 1)."""
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(b"\n".join(lines))


def objects(path, **changed):
    """The jsonl file with other values in every object."""
    rows = [{**json.loads(line), **changed} for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# malformed data

DEFECT, CLONE, POJ, TEXTS = "codexglue-defect", "codexglue-clone", "poj-104", "labelled-sequences"
FUNC = {"func": "int f() {}", "target": 1}
CODE = {"label": "p", "code": "int f() {}"}
TEXT = {"text": "x = 1", "label": "loop", "package": "geometry"}
IDX = {"func": "int f() {}", "idx": "x"}


@pytest.mark.parametrize(
    ("kind", "file", "line", "says"),
    [
        # truncated json
        (DEFECT, "all.jsonl", '{"func": "int', "not valid json (Unterminated string"),
        (CLONE, "functions.jsonl", '{"func": "int f() {}", "idx": ', "not valid json (Expecting value"),
        (POJ, "all.jsonl", '{"label": 3, "code"', "not valid json"),
        (TEXTS, "all.jsonl", '{"text": ', "not valid json"),
        (DEFECT, "all.jsonl", "[" * 100_000, "not valid json"),
        # not an object, an empty line
        (DEFECT, "all.jsonl", "3", "found int; write an object like"),
        (POJ, "all.jsonl", "", "found an empty line"),
        # wrong key
        (DEFECT, "all.jsonl", json.dumps({"code": "x", "target": 1}), "no key 'func' (found code, target); write it"),
        (DEFECT, "all.jsonl", json.dumps({"func": "x", "label": 1}), "no key 'target'"),
        (CLONE, "functions.jsonl", json.dumps({"code": "x", "idx": "1"}), "no key 'func' (found code, idx)"),
        (POJ, "all.jsonl", json.dumps({"func": "x", "label": "1"}), "no key 'code' (found func, label)"),
        (TEXTS, "all.jsonl", json.dumps({**TEXT, "lable": "x"}), "unknown key 'lable'"),
        # empty function
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "func": " \n"}), "'func' is empty; write some text"),
        (CLONE, "functions.jsonl", json.dumps({**IDX, "func": ""}), "'func' is empty"),
        (POJ, "all.jsonl", json.dumps({**CODE, "code": ""}), "'code' is empty"),
        (TEXTS, "all.jsonl", json.dumps({**TEXT, "text": ""}), "'text' is empty"),
        # NUL, half a character
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "func": "a\0b"}), "'func' has a NUL character"),
        (CLONE, "functions.jsonl", json.dumps({**IDX, "func": "a\0b"}), "'func' has a NUL character"),
        (POJ, "all.jsonl", json.dumps({**CODE, "code": "a\0b"}), "'code' has a NUL character"),
        (TEXTS, "all.jsonl", json.dumps({**TEXT, "text": "a\0b"}), "'text' has a NUL character"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "func": "\ud800"}), "half a surrogate pair"),
        # no text, no class
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "func": None}), "'func' is null; write a string"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "target": None}), "'target' is null; write a whole number or a str"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "target": True}), "'target' is true; write a whole number"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "target": 0.5}), "'target' is 0.5; write a whole number"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "project": 3}), "'project' is 3; write a string"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "commit_id": ""}), "'commit_id' is empty"),
        (POJ, "all.jsonl", json.dumps({**CODE, "label": " "}), "'label' is empty"),
        # invalid UTF-8
        (DEFECT, "all.jsonl", b'{"func": "caf\xe9"}', "not UTF-8 at byte 13 of the line"),
        (CLONE, "functions.jsonl", b"\xff", "not UTF-8 at byte 0"),
        (CLONE, "train.txt", b"\xff", "not UTF-8 at byte 0"),
        (POJ, "all.jsonl", b"\xff", "not UTF-8 at byte 0"),
        (TEXTS, "all.jsonl", b"\xff", "not UTF-8 at byte 0"),
        ("tagged-lines", "dev.label", b"\xff", "not UTF-8 at byte 0"),
        # label outside the classes
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "target": 7}), "found the label '7', which is not among `classes:`"),
        (CLONE, "test.txt", "1001\t1002\tyes", "found the label 'yes', which is not among `classes:` (0, 1)"),
        (TEXTS, "all.jsonl", json.dumps({**TEXT, "label": "lop"}), "found the label 'lop'"),
        # pairs
        (CLONE, "dev.txt", "1030\t99\t1", "no function of functions.jsonl has the idx '99'; add it there"),
        (CLONE, "dev.txt", "99\t1030\t1", "no function of functions.jsonl has the idx '99'"),
        (CLONE, "train.txt", "1001 1002 1", "found 1 fields ('1001 1002 1'); write idx1<TAB>idx2<TAB>label"),
        (CLONE, "train.txt", "1001\t1002", "found 2 fields"),
        (CLONE, "train.txt", "1001\t1002\t", "found 3 fields"),
        (CLONE, "train.txt", "", "found 1 fields"),
        (CLONE, "functions.jsonl", json.dumps({**IDX, "idx": None}), "'idx' is null"),
        (CLONE, "train.txt", "1001\t1002\t1 ", "found the label '1 ', with space beside it"),
        (CLONE, "train.txt", "1001\t1002\ta\0b", "'label' has a NUL character"),
        (DEFECT, "all.jsonl", json.dumps({**FUNC, "idx": ["x"]}), "'idx' is [\"x\"]; write a whole number"),
        # parallel lines
        ("tagged-lines", "train.in", "one two three", "found 3 tokens and"),
    ],
)
def test_a_bad_line_is_named_with_what_was_found(kind, file, line, says, folder):
    data = folder(kind)
    spoil(data / file, 5, line)
    with pytest.raises(PrepareError) as error:
        prepared(kind, data)
    first = str(error.value).splitlines()[0]
    assert f"{file}:5: " in first and says in first and first.startswith("prepare.tasks.t: ")
    if says.startswith("not UTF-8"):
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_refused_and_an_unpinned_one_tells_its_sum(kind, folder):
    data = folder(kind)
    entry = entry_of(kind, data)
    role, file = next(iter(entry["files"].items()))
    path = data / file["name"]
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(PrepareError) as error:
        prepared(kind, data, entry)
    found = sha256_file(path)
    assert f"prepare.tasks.t.files.{role}: {path}: found sha256 {found}, expected {file['sha256']}" in str(error.value)
    entry["files"][role]["sha256"] = None
    with pytest.raises(PrepareError, match=f"its sha256 is not pinned; write `sha256: {found}`"):
        prepared(kind, data, entry)
    path.unlink()
    entry["files"][role]["source"] = "example.org/data"
    with pytest.raises(PrepareError, match=r"no such file; get it from example\.org/data"):
        prepared(kind, data, entry)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_off_gz_file_is_named(kind, folder):
    data = folder(kind)
    path = sorted(data.iterdir())[0]
    (data / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()
    with pytest.raises(PrepareError, match=rf"{path.name}\.gz: not readable .*; fetch the file again"):
        prepared(kind, data)


@pytest.mark.parametrize("kind", ["codexglue-defect", "poj-104", "labelled-sequences"])
def test_an_empty_file_is_named(kind, folder):
    data = folder(kind)
    (data / "all.jsonl").write_bytes(b"")
    with pytest.raises(PrepareError, match=r"all\.jsonl: no lines; write one object a line, like"):
        prepared(kind, data)


def test_an_empty_file_of_pairs_or_functions_is_named(folder):
    data = folder(CLONE)
    for name in ("dev.txt", "functions.jsonl"):
        (data / name).write_bytes(b"")
        with pytest.raises(PrepareError, match=rf"{name}: no lines; write one"):
            prepared(CLONE, data)


def test_a_single_class_in_train_is_refused(folder):
    data = folder(DEFECT)
    objects(data / "all.jsonl", target=1)
    with pytest.raises(
        PrepareError, match=r"every train row \(the first: all\.jsonl:\d+\) is '1' \(found \d+\), so there is nothing"
    ):
        prepared(DEFECT, data, classes=None)
    data = folder(CLONE)
    path = data / "train.txt"
    path.write_text("".join(f"{line[:-1]}1\n" for line in path.read_text().splitlines()))
    with pytest.raises(PrepareError, match=r"every train row \(the first: train\.txt:1\) is '1'"):
        prepared(CLONE, data, classes=None)
    data = folder(TEXTS)
    objects(data / "all.jsonl", label="loop")
    with pytest.raises(PrepareError, match=r"every train row \(the first: all\.jsonl:\d+\) is 'loop'"):
        prepared(TEXTS, data, classes=None)
    data = folder("tagged-lines")
    path = data / "train.label"
    tags = [" ".join("X" for _ in line.split(" ")) for line in path.read_text().splitlines()]
    path.write_text("\n".join(tags) + "\n")
    with pytest.raises(PrepareError, match=r"every train row \(the first: train\.in:\d+\) is 'X'"):
        prepared("tagged-lines", data)
    data = folder(POJ)
    objects(data / "all.jsonl", label="one")
    with pytest.raises(PrepareError, match="no package is left for dev and test"):
        prepared(POJ, data)
    reason = "too few for pairs, which take 12 rows or more and 3 programs each of two problems or more: 108"
    with pytest.raises(PrepareError, match=rf"has no rows \(left out: {reason}"):
        prepared(POJ, data, shares=SHARES)


def test_two_functions_of_one_idx_are_refused(folder):
    data = folder(CLONE)
    first = json.loads((data / "functions.jsonl").read_text().splitlines()[0])
    spoil(data / "functions.jsonl", 5, json.dumps({**IDX, "idx": int(first["idx"])}))
    with pytest.raises(PrepareError, match=rf"functions\.jsonl:5: 'idx' is '{first['idx']}', as on line 1; give each"):
        prepared(CLONE, data)


def test_all_bad_lines_are_told_up_to_a_limit(folder):
    data = folder(CLONE)
    for number in range(1, 26):
        spoil(data / "dev.txt", number, "7\t8\t1")
    with pytest.raises(PrepareError) as error:
        prepared(CLONE, data)
    told = str(error.value).splitlines()
    assert len(told) == 21 and "dev.txt:20: " in told[19] and told[20].endswith("5 more faulty lines")


def test_long_functions_are_left_out_and_counted_with_the_first_place(folder, caplog):
    for kind, file, number in ((DEFECT, "all.jsonl", 4), (POJ, "all.jsonl", 4), (TEXTS, "all.jsonl", 4)):
        data = folder(kind)
        key = {DEFECT: "func", POJ: "code", TEXTS: "text"}[kind]
        line = json.loads((data / file).read_text().splitlines()[number - 1])
        spoil(data / file, number, json.dumps({**line, key: "x = 1;\n" * 30_000}))
        card = card_of(prepared(kind, data))
        reason = "longer than 2000 characters"
        assert (card["left_out"][reason], card["left_out_first"][reason]) == (1, f"{file}:{number}")
        assert f"left out, {reason}: 1, the first in {file}:{number}" in caplog.text
    data = folder(CLONE)
    right = (data / "test.txt").read_text().splitlines()[6].split("\t")[1]
    path = data / "functions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps({**r, **({"func": "x" * 9999} if r["idx"] == right else {})}) + "\n" for r in rows)
    )
    pairs = [
        i for i, line in enumerate((data / "test.txt").read_text().splitlines(), 1) if right in line.split("\t")[:2]
    ]
    card = card_of(prepared(CLONE, data))
    assert card["left_out"][reason] == len(pairs) and card["left_out_first"][reason] == f"test.txt:{pairs[0]}"


# roles and splits


@pytest.mark.parametrize(
    ("kind", "drop", "add", "says"),
    [
        (
            DEFECT,
            "all",
            {"trian": "all.jsonl"},
            "found the role 'trian'; the roles of the kind 'codexglue-defect' are: ",
        ),
        (CLONE, "functions", {}, "no file has the role 'functions'; the roles of the kind 'codexglue-clone' are: func"),
        (CLONE, "dev", {}, "has the roles train, test; write `all`"),
        (CLONE, None, {"all": "dev.txt"}, "has the roles train, dev, test, all; write `all`"),
        ("tagged-lines", "test.label", {}, "no file has the role 'test.label'"),
        (DEFECT, None, {"train.ids": "all.jsonl"}, "lists of ids without their functions"),
        (POJ, "all", {"train": "all.jsonl"}, "has the roles train; write `all`"),
    ],
)
def test_wrong_roles_are_told_with_the_right_ones(kind, drop, add, says, folder):
    data = folder(kind)
    entry = entry_of(kind, data)
    entry["files"].pop(drop, None)
    entry["files"] |= {r: {"name": name, "sha256": sha256_file(data / name)} for r, name in add.items()}
    with pytest.raises(PrepareError) as error:
        prepared(kind, data, entry)
    assert says in str(error.value) and "prepare.tasks.t" in str(error.value)


def test_splits_given_twice_or_not_at_all_are_refused(folder):
    data = folder(CLONE)
    with pytest.raises(
        PrepareError, match=r"found `shares:`, but the data give the splits \(train\.txt:1 is in train\)"
    ):
        prepared(CLONE, data, shares=SHARES)
    data = folder(DEFECT)
    with pytest.raises(
        PrepareError, match="the data give no splits; add `packages:` with train, dev and test, or `sha"
    ):
        prepared(DEFECT, data, shares=None)


def record(package, file, text=None, **more):
    text = text or f"{package} {file}"
    return make_record(text, package=package, file=f"{package}/{file}", name=file, where=f"x:{file}", **more)


def shared(records, seed=1, **shares):
    return by_shares(records, Shares(**{"train": 0.6, "dev": 0.2, "test": 0.2, **shares}), seed, "prepare.tasks.t")


def files_of(parts):
    return {part: {r.file for r in records} for part, records in parts.items()}


def test_shares_are_drawn_by_file_within_every_package():
    records = [record(p, str(i), f"{p} {i} {j}") for p in ("a", "b") for i in range(10) for j in range(1 + i % 3)]
    parts = shared(records)
    files = files_of(parts)
    assert sum(map(len, parts.values())) == len(records)
    for p in ("a", "b"):
        assert [sum(f.startswith(p) for f in files[part]) for part in files] == [6, 2, 2]
    assert not files["train"] & files["dev"] and not files["dev"] & files["test"] and not files["train"] & files["test"]
    assert files_of(shared(records[::-1])) == files != files_of(shared(records, seed=2))


@pytest.mark.parametrize(("number", "sizes"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (20, [12, 4, 4])])
def test_every_part_gets_a_file_of_a_package_with_three(number, sizes):
    files = files_of(shared([record("a", str(i)) for i in range(number)]))
    assert [len(files[part]) for part in ("train", "dev", "test")] == sizes


def test_packages_of_few_files_share_them_together():
    parts = shared([record(f"p{i:02d}", str(j)) for i in range(20) for j in range(1 + i % 2)])
    assert [len(parts[part]) for part in ("train", "dev", "test")] == [18, 6, 6]


def test_held_out_packages_have_no_train_rows():
    records = [record(p, str(i)) for p in ("a", "b", "c") for i in range(12)]
    parts = shared(records, train=0.4, dev=0.4, test=0.2, held_out=["b"])
    assert {r.package for r in parts["train"]} == {"a", "c"} and len(parts["train"]) == 24
    assert (len(parts["dev"]), len(parts["test"])) == (8, 4)
    assert {r.package for r in parts["dev"] + parts["test"]} == {"b"}


def test_whole_packages_are_drawn():
    parts = shared([record(f"p{i}", str(j)) for i in range(10) for j in range(3)], group="package")
    packages = {part: {r.package for r in records} for part, records in parts.items()}
    assert [len(packages[part]) for part in ("train", "dev", "test")] == [6, 2, 2]
    assert len(set.union(*packages.values())) == 10


@pytest.mark.parametrize(
    ("records", "shares", "says"),
    [
        ([record("a", "1", t) for t in "xyz"], {}, r"no file is left for dev and test \(found 1 files in 1 packages"),
        (
            [record("a", f) for f in "123"] + [record("b", "1")],
            {"group": "package"},
            r"no package is left for \w+ \(fou",
        ),
        ([record("a", f) for f in "123"], {"held_out": ["a"]}, r"no file is left for train \("),
        ([record("a", "1"), record("b", "1")], {"held_out": ["b"]}, r"no file is left for (dev|test) \("),
        ([record("a", "1"), record("b", "1")], {"held_out": ["c"]}, r"held_out: found c, .* write some of: a, b"),
    ],
)
def test_a_part_without_a_group_is_refused(records, shares, says):
    with pytest.raises(PrepareError, match=says):
        shared(records, **shares)


def test_records_in_no_split_are_counted():
    task = Task.model_validate({**entry_of(DEFECT, DATA / "tiny_codexglue_defect"), "shares": None})
    records = [record("a", str(i), split=("train", "dev", "test", None)[i % 4]) for i in range(12)]
    parts, left_out = split_records(records, task, 1, "prepare.tasks.t")
    assert {part: len(rs) for part, rs in parts.items()} == {"train": 3, "dev": 3, "test": 3}
    assert (left_out.counts, left_out.first) == (Counter({"in no split": 3}), {"in no split": "x:3"})
    chosen = task.model_copy(update={"packages": Packages(train=["a"], dev=["b"], test=["c"])})
    records = [record(p, str(i)) for p in "abcd" for i in range(2)]
    _, left_out = split_records(records, chosen, 1, "prepare.tasks.t")
    assert left_out.counts == Counter({"of a package in no split": 2})


def test_a_corpus_can_be_split_by_shares(tmp_path):
    from neurosieve.prepare import extract_corpus
    from neurosieve.prepare.corpus import folder_sha256

    code = DATA / "tiny_corpus"
    corpora = {"tiny": {"folder": str(code), "sha256": folder_sha256(code, "python"), "licence": "MIT"}}
    entry = {"kind": "token-roles", "corpus": "tiny", "shares": {"train": 0.4, "dev": 0.3, "test": 0.3}}
    entry |= {"rows": dict.fromkeys(ROWS, 999), "metric": "accuracy"}
    prepare = Prepare.model_validate({"corpora": corpora, "tasks": {"t": entry}})
    params = Params.model_construct(benchmark="b", seed=3, prepare=prepare)
    paths = Paths("b", tmp_path)
    extract_corpus(params, paths, corpus="tiny")
    prepare_task(params, paths, task="t")
    files = {split: {i["file"] for i in read(paths.task("t"), split)[0]} for split in SPLITS}
    assert sum(map(len, files.values())) == len(set.union(*files.values()))
    packages = {split: {name.split("/")[0] for name in files[split]} for split in SPLITS}
    assert len(packages["train"]) == len(packages["test"]) == len(packages["tune"] | packages["judge"]) == 9


# copies, notices, where things lie


def test_copies_in_two_splits_are_counted_for_both_sides_of_pairs():
    def pair(left, right):
        return record("p", f"{left}-{right}", left, right=right)

    parts = {
        "train": [pair("a b", "c")],
        "dev": [pair("a  b", "d"), pair("x", "c"), pair("y", "z")],
        "test": [pair("c", "a b"), pair("d", "q"), pair("r", "s")],
    }
    assert copies(parts) == {
        "exact": {"train-dev": 1, "train-test": 1, "dev-test": 2},
        "folded": {"train-dev": 2, "train-test": 1, "dev-test": 2},
    }


@pytest.mark.parametrize(("duplicates", "kept"), [("drop", False), ("keep", True)])
def test_copies_are_dropped_or_kept_as_the_task_says(duplicates, kept, folder):
    data = folder(CLONE)
    lines = (data / "train.txt").read_text().splitlines()
    with (data / "test.txt").open("a") as handle:
        handle.write(f"{lines[0]}\n")
    with (data / "dev.txt").open("a") as handle:  # one known function is enough
        handle.write(f"{lines[1].split(chr(9))[0]}\t1030\t0\n")
    task = prepared(CLONE, data, duplicates=duplicates, rows=dict.fromkeys(ROWS, 999))
    card = card_of(task)
    assert card["duplicates"]["dropped"] is (not kept)
    assert card["duplicates"]["exact"]["train-dev"] == 1 and card["duplicates"]["exact"]["train-test"] == 1
    if not kept:
        assert card["left_out"]["copy of one in train"] == 2
        assert card["left_out_first"]["copy of one in train"] == "dev.txt:81"
    else:
        assert "copy of one in train" not in card["left_out"]
    assert card["splits"]["test"]["rows"] == 80 + kept
    dev = card["splits"]["tune"]["rows"] + card["splits"]["judge"]["rows"]
    assert dev + card["left_out"]["one side in tune, the other in judge"] == 80 + kept


def test_a_copy_inside_a_split_is_a_pair_of_the_same_two(folder):
    data = folder(CLONE)
    left, right, label = (data / "train.txt").read_text().splitlines()[0].split("\t")
    with (data / "train.txt").open("a") as handle:
        handle.write(f"{right}\t{left}\t{1 - int(label)}\n")
    card = card_of(prepared(CLONE, data))
    assert card["left_out"]["copy of one in the same split"] == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("int main() { return 0; }\n", []),
        ("a\r\nb\r\n", []),
        ("a\r\nb\n", ["mixed line ends, kept as written"]),
        ("a\rb", ["mixed line ends, kept as written"]),
        ("a\r\r\nb", ["mixed line ends, kept as written"]),
        ("x = '<mask>' + '</s>' + '<mask>'", ["literal <mask> in the text", "literal </s> in the text"]),
        ("# [MASK] and <|endoftext|>", ["literal [MASK] in the text", "literal <|endoftext|> in the text"]),
        ("<script>[mask]", []),
    ],
)
def test_what_is_kept_as_written_is_noticed(text, found):
    assert text_notices(text) == found


def test_notices_are_on_the_card_with_count_and_first_place(folder, caplog):
    data = folder(DEFECT)
    for number, func in ((7, 'puts("<mask>");'), (9, 'puts("</s>");\r\n//\n'), (12, 'puts("<mask> 2");')):
        line = json.loads((data / "all.jsonl").read_text().splitlines()[number - 1])
        spoil(data / "all.jsonl", number, json.dumps({**line, "func": func}))
    task = prepared(DEFECT, data, rows=dict.fromkeys(ROWS, 999))
    assert card_of(task)["notices"] == {
        "literal </s> in the text": {"count": 1, "first": "all.jsonl:9"},
        "literal <mask> in the text": {"count": 2, "first": "all.jsonl:7"},
        "mixed line ends, kept as written": {"count": 1, "first": "all.jsonl:9"},
    }
    assert "prepare.tasks.t: literal <mask> in the text: 2, the first in all.jsonl:7" in caplog.text
    texts = [i["text"] for split in SPLITS for i in read(task, split)[0]]
    assert 'puts("</s>");\r\n//\n' in texts  # as it was written, to the last character


def test_a_pair_the_other_way_round_with_another_label_is_noticed(folder):
    data = folder(CLONE)
    left, right, label = (data / "train.txt").read_text().splitlines()[0].split("\t")
    spoil(data / "train.txt", 5, f"{right}\t{left}\t{1 - int(label)}")
    notices = card_of(prepared(CLONE, data))["notices"]
    assert notices["copy of one of the split with another label"] == {"count": 1, "first": "train.txt:5"}


def test_a_copy_with_another_number_is_noticed(tmp_path):
    rows = [json.dumps({"a": f"text {i}", "y": i % 7}) for i in range(60)]
    (tmp_path / "all.jsonl").write_text("\n".join([*rows, '{"a": "text 3", "y": 99}', '{"a": "text 4", "y": 4}']))
    entry = {
        "kind": "table", "folder": str(tmp_path), "metric": "r2", "rows": ROWS,
        "files": {"all": {"name": "all.jsonl", "sha256": sha256_file(tmp_path / "all.jsonl")}},
        "columns": {"text": "a", "target": "y"}, "shares": SHARES,
    }  # fmt: skip
    task = Task.model_validate(entry)
    records = load_kind("table").read({"all": tmp_path / "all.jsonl"}, task)
    found = _notices(records, {"train": records, "dev": [], "test": []})
    assert found == {"copy of one of the split with another label": {"count": 1, "first": "all.jsonl:61"}}


@pytest.mark.parametrize(("kind", "file"), [(DEFECT, "all.jsonl"), (CLONE, "train.txt"), ("tagged-lines", "train.in")])
def test_a_byte_order_mark_is_no_part_of_the_first_line(kind, file, folder):
    data = folder(kind)
    plain = prepared(kind, data)
    want = [(plain / split / "rows.jsonl").read_bytes() for split in SPLITS]
    texts = [(plain / split / "inputs.jsonl").read_bytes() for split in SPLITS]
    (data / file).write_bytes(b"\xef\xbb\xbf" + (data / file).read_bytes())
    marked = prepared(kind, data)
    assert [(marked / split / "rows.jsonl").read_bytes() for split in SPLITS] == want
    assert [(marked / split / "inputs.jsonl").read_bytes() for split in SPLITS] == texts


@pytest.mark.parametrize("name", ["../all.jsonl", "/data/all.jsonl", "a/../../all.jsonl"])
def test_a_file_outside_the_folder_is_refused(name):
    with pytest.raises(ValueError, match="a path below `folder:`"):
        DataFile.model_validate({"name": name, "sha256": None})


def test_files_in_two_given_splits_and_copies_of_another_label_are_noticed(folder):
    data = folder(DEFECT)
    lines = (data / "all.jsonl").read_text().splitlines()
    (data / "all.jsonl").unlink()
    for part, own in (("train", lines[:40]), ("dev", lines[40:80]), ("test", lines[80:])):
        (data / f"{part}.jsonl").write_text("\n".join(own) + "\n")
    commit = json.loads(lines[0])
    spoil(data / "dev.jsonl", 3, json.dumps({**commit, "func": "int other;"}))
    spoil(data / "train.jsonl", 9, json.dumps({**commit, "commit_id": "another", "target": 1 - commit["target"]}))
    card = card_of(prepared(DEFECT, data, shares=None))
    assert card["notices"] == {
        "copy of one of the split with another label": {"count": 1, "first": "train.jsonl:9"},
        "of a file that an earlier split has too": {"count": 1, "first": "dev.jsonl:3"},
        "of a package that an earlier split has too": {"count": 12, "first": "dev.jsonl:1"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_depends_on_where_the_files_lie_or_on_their_names(kind, folder, tmp_path):
    data = folder(kind)
    one = prepared(kind, data)
    files = {p.relative_to(one): p.read_bytes() for p in sorted(one.rglob("*")) if p.is_file()}
    entry = entry_of(kind, data)
    (tmp_path / "else").mkdir()
    for file in entry["files"].values():
        (data / file["name"]).rename(tmp_path / "else" / file["name"])
    two = prepared(kind, tmp_path / "else", {**entry, "folder": str(tmp_path / "else")})
    assert files == {p.relative_to(two): p.read_bytes() for p in sorted(two.rglob("*")) if p.is_file()}
    manifest = read_manifest(two / "train")
    assert manifest["inputs"] == {}
    assert manifest["sources"] == {r: f["sha256"] for r, f in entry["files"].items()}
    assert manifest["params"]["task"]["files"] == {r: {"sha256": f["sha256"]} for r, f in entry["files"].items()}
    assert str(tmp_path) not in (two / "train" / "manifest.json").read_text()


def test_files_are_found_below_the_data_root(folder, tmp_path, monkeypatch):
    data = folder(DEFECT)
    monkeypatch.setenv("NEUROSIEVE_DATA", str(tmp_path))
    prepared(DEFECT, data, {**entry_of(DEFECT, data), "folder": DEFECT})


# formats


def by_place(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_defect_rows_have_the_label_project_and_commit_of_their_function(folder):
    data = folder(DEFECT)
    task = prepared(DEFECT, data, rows=dict.fromkeys(ROWS, 999))
    known = {row["func"]: row for row in by_place(data / "all.jsonl")}
    seen = 0
    for split in SPLITS:
        inputs, rows = read(task, split)
        for row in rows:
            shown, of = inputs[row["input"]], known[inputs[row["input"]]["text"]]
            assert row["label"] == of["target"] and shown["package"] == of["project"]
            assert shown["file"] == f"{of['project']}/{of['commit_id']}" and shown["name"] == f"idx-{of['idx']}"
            seen += 1
    assert seen == len(known) == 108


def test_defect_without_project_and_commit_is_one_package_of_single_files(folder):
    data = folder(DEFECT)
    rows = [{"func": row["func"], "target": row["target"]} for row in by_place(data / "all.jsonl")]
    (data / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = card_of(prepared(DEFECT, data))
    assert [list(facts["packages"]) for facts in card["splits"].values()] == [["all"]] * 4
    assert all(facts["files"] == facts["rows"] for facts in card["splits"].values())


def array(folder):
    """The function.json and the lists of ids that hold the tiny lines."""
    data = folder(DEFECT)
    rows = by_place(data / "all.jsonl")
    (data / "all.jsonl").unlink()
    (data / "functions.json").write_text(json.dumps(rows))
    for part, ids in (("train", range(50)), ("dev", range(50, 80)), ("test", range(80, 105))):
        (data / f"{part}.ids.txt").write_text("".join(f"{i}\n" for i in ids))
    return data, rows


def test_defect_reads_the_array_with_its_lists_of_ids(folder):
    data, rows = array(folder)
    task = prepared(DEFECT, data, shares=None, rows=dict.fromkeys(ROWS, 999))
    texts = {split: {i["text"] for i in read(task, split)[0]} for split in SPLITS}
    assert texts["train"] == {row["func"] for row in rows[:50]} and texts["test"] == {
        row["func"] for row in rows[80:105]
    }
    card = card_of(task)
    assert card["left_out"] == {"in no split": 3} and card["left_out_first"] == {"in no split": "functions.json[105]"}
    for part in ("train", "dev", "test"):
        (data / f"{part}.ids.txt").unlink()
    assert card_of(prepared(DEFECT, data))["left_out"].keys() <= {"not needed"}


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("functions.json", '[\n{"func": "x", "target": 1},\n{"func": ', r"functions\.json:3: not valid json"),
        ("functions.json", '{"func": "x", "target": 1}', r"functions\.json:1: found dict; write an array"),
        ("functions.json", '[{"func": "x", "target": 1}, {"func": "x"}]', r"object 1 \(from 0\): no key 'target'"),
        ("functions.json", "[3]", r"object 0 \(from 0\): found int; write an object"),
        ("dev.ids.txt", "60\n3\n", r"dev\.ids\.txt:2: function 3 is in train already"),
        ("dev.ids.txt", "60\n108\n", r"dev\.ids\.txt:2: found '108'; write the place of a function, 0 to 107"),
        ("dev.ids.txt", "60\n-1\n", r"dev\.ids\.txt:2: found '-1'"),
        ("dev.ids.txt", "60\n\n", r"dev\.ids\.txt:2: found ''"),
        ("dev.ids.txt", None, r"beside functions write all of train\.ids, dev\.ids, test\.ids, or none"),
    ],
)
def test_a_bad_array_or_list_of_ids_is_named(file, text, says, folder):
    data, _ = array(folder)
    (data / file).unlink() if text is None else (data / file).write_text(text)
    with pytest.raises(PrepareError, match=says):
        prepared(DEFECT, data, shares=None)


def test_clone_rows_are_the_pairs_and_a_function_is_one_input_of_its_split(folder):
    data = folder(CLONE)
    functions = {row["idx"]: row["func"] for row in by_place(data / "functions.jsonl")}
    task = prepared(CLONE, data, rows=dict.fromkeys(ROWS, 999))
    for part, splits in (("train", ["train"]), ("dev", ["tune", "judge"]), ("test", ["test"])):
        expected = {tuple(line.split("\t")) for line in (data / f"{part}.txt").read_text().splitlines()}
        found = set()
        sides: list[set[str]] = []
        for split in splits:
            inputs, rows = read(task, split)
            sides.append({i["name"] for i in inputs})
            assert len({i["text"] for i in inputs}) == len(inputs)
            assert all(i["text"] == functions[i["name"]] and i["file"] == i["name"] for i in inputs)
            assert all(i["package"] == part for i in inputs)
            found |= {(inputs[r["input"]]["name"], inputs[r["input2"]]["name"], str(r["label"])) for r in rows}
        if part == "dev":  # pairs with one function in tune and one in judge are left out
            assert not sides[0] & sides[1] and found < expected
            assert len(expected - found) == card_of(task)["left_out"]["one side in tune, the other in judge"]
        else:
            assert found == expected
    assert card_of(task)["description"].count("counts as a file") == 1


def test_clone_pairs_of_one_file_are_split_by_their_first_function(folder):
    data = folder(CLONE)
    pairs = "".join((data / f"{part}.txt").read_text() for part in ("train", "dev", "test"))
    for part in ("train", "dev", "test"):
        (data / f"{part}.txt").unlink()
    (data / "all.txt").write_text(pairs)
    task = prepared(CLONE, data, shares=SHARES, duplicates="keep")
    left = {s: {inputs[r["input"]]["name"] for r in rows} for s in SPLITS for inputs, rows in [read(task, s)]}
    assert sum(map(len, left.values())) == len(set.union(*left.values()))


def programs(problems, each):
    return [
        make_record(f"{p} {i}", package=f"p{p}", file=f"p{p}/{i}", name=f"{i}", where="", label=f"p{p}")
        for p in range(problems)
        for i in range(each if isinstance(each, int) else each[p])
    ]


def want(rows, classes=("DIFFERENT", "SAME"), seed=0, cap=None):
    return Want(rows, classes, 40, None, np.random.default_rng(seed), cap)


@pytest.mark.parametrize(
    ("each", "rows"),
    [
        ([6, 6, 6], 12),
        ([6, 6, 6], 36),
        ([6, 6, 6], 60),
        ([9, 4, 5, 3], 30),
        ([8, 8], 32),
        ([8, 8], 48),
        ([20, 3, 4], 99),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_poj_pairs_are_balanced_different_and_tell_nothing_on_one_side(each, rows, seed):
    sample = poj_104.build(programs(len(each), each), want(rows, seed=seed))
    assert 6 <= len(sample.rows) <= rows
    for row in sample.rows:
        left, right = sample.inputs[row["input"]], sample.inputs[row["input2"]]
        assert (left["package"] == right["package"]) == (row["label"] == 1) and left is not right
    pairs = [frozenset((row["input"], row["input2"])) for row in sample.rows]
    assert len(set(pairs)) == len(pairs)
    for side in ("input", "input2"):
        counts = [Counter(row[side] for row in sample.rows if row["label"] == label) for label in (0, 1)]
        assert counts[0] == counts[1]
        used = Counter(row[side] for row in sample.rows)
        assert max(used.values()) - min(used.values()) <= 2  # a round more or less
    assert len(sample.inputs) + sum(sample.left_out.values()) == sum(each)


def test_poj_takes_as_many_rows_as_asked_where_there_are_programs():
    assert len(poj_104.build(programs(10, 20), want(400)).rows) == 400
    assert len(poj_104.build(programs(10, 20), want(1000)).rows) == 1000
    few = poj_104.build(programs(10, 20), want(60))
    assert len(few.rows) == 60 and len({i["package"] for i in few.inputs}) == 10  # three of every problem
    lonely = poj_104.build(programs(3, [5, 5, 2]), want(60))
    assert lonely.left_out["of a problem with fewer than 3 programs"] == 2


def test_poj_problems_are_not_parted(folder):
    data = folder(POJ)
    task = prepared(POJ, data)
    packages = {s: {i["package"] for i in read(task, s)[0]} for s in SPLITS}
    assert packages["tune"] == packages["judge"] and not packages["train"] & packages["judge"]
    assert not packages["test"] & (packages["train"] | packages["judge"])
    assert card_of(task)["classes"] == ["DIFFERENT", "SAME"]
    with pytest.raises(PrepareError, match=r"classes: found a, b, but the kind 'poj-104' gives its classes; take"):
        prepared(POJ, data, classes=["a", "b"])
    lines = (data / "all.jsonl").read_text().splitlines()
    (data / "all.jsonl").unlink()
    for part, own in (("train", lines[:50]), ("dev", lines[50:80]), ("test", lines[80:])):
        (data / f"{part}.jsonl").write_text("\n".join(own) + "\n")
    with pytest.raises(PrepareError, match=r"dev\.jsonl:1: package '\w+' is in dev here and in train in train\.jsonl:"):
        prepared(POJ, data, shares=None)


def test_texts_in_a_file_for_each_split(folder):
    data = folder(TEXTS)
    rows = by_place(data / "all.jsonl")
    (data / "all.jsonl").unlink()
    packages = sorted({row["package"] for row in rows})
    for part, names in (("train", packages[:5]), ("dev", packages[5:7]), ("test", packages[7:])):
        own = [row for row in rows if row["package"] in names]
        (data / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    card = card_of(prepared(TEXTS, data, shares=None, tune_share=0.5))
    assert set(card["splits"]["train"]["packages"]) == set(packages[:5])
    spoil(data / "dev.jsonl", 2, json.dumps({**TEXT, "package": packages[5], "split": "dev"}))
    with pytest.raises(PrepareError, match=r"dev\.jsonl:2: found 'split' though the roles of the files in the params"):
        prepared(TEXTS, data, shares=None)


# samples


def labelled(number, files=4):
    return [record("p", str(i), f"text {i}", label="abc"[i % 3]) for i in range(number)]


@pytest.mark.parametrize("cap", [None, 4])
def test_sequence_sample_has_a_row_for_each_record_up_to_its_class(cap):
    sample = sequence_sample(labelled(30), want(12, ("a", "b", "c"), cap=cap))
    counts = Counter(row["label"] for row in sample.rows)
    assert len(sample.rows) == 12 == len(sample.inputs) and sum(sample.left_out.values()) == 18
    for row in sample.rows:
        assert set(row) == {"input", "label"} and int(sample.inputs[row["input"]]["name"]) % 3 == row["label"]
    if cap:
        assert set(counts.values()) == {4}
    skewed = [r for r in labelled(30) if r.label != "b" or r.name == "1"]
    sample = sequence_sample(skewed, want(12, ("a", "b", "c"), cap=4))
    assert Counter(row["label"] for row in sample.rows) == {0: 4, 1: 1, 2: 4}
    assert sample.left_out == {CLASSES_FULL: 12}


def test_equal_texts_of_a_file_are_one_input():
    def pair(file, left, right, label):
        return replace(record("p", file, left, right=right, right_name=right, label=label), key=f"{left}{right}")

    records = [pair("f", "l", "r", "y"), pair("f", "r", "l", "n"), pair("g", "l", "l", "y"), pair("f", "l", "s", "n")]
    sample = pair_sample(records, want(9, ("n", "y")))
    assert sorted((i["file"], i["text"]) for i in sample.inputs) == [
        ("p/f", "l"), ("p/f", "r"), ("p/f", "s"), ("p/g", "l"),
    ]  # fmt: skip
    shown = {(*(sample.inputs[row[side]]["text"] for side in ("input", "input2")), row["label"]) for row in sample.rows}
    assert shown == {("l", "r", 1), ("r", "l", 0), ("l", "l", 1), ("l", "s", 0)}
    assert [i["id"] for i in sample.inputs] == [0, 1, 2, 3]


def test_the_right_input_has_its_own_name_and_file_where_it_is_known():
    one = record("p", "a", "x", right="y", right_name="b", right_file="p/b", label="n")
    sample = pair_sample([one], want(1, ("n", "y")))
    assert [(i["name"], i["file"]) for i in sample.inputs] == [("a", "p/a"), ("b", "p/b")]
    sample = pair_sample([replace(one, right_name="", right_file="")], want(1, ("n", "y")))
    assert [(i["name"], i["file"]) for i in sample.inputs] == [("a", "p/a"), ("a", "p/a")]


def test_numbers_stand_in_the_place_of_labels():
    sample = sequence_sample([record("p", str(i), target=i / 2) for i in range(3)], want(3, ()))
    assert sorted(row["target"] for row in sample.rows) == [0.0, 0.5, 1.0]
    assert all(set(row) == {"input", "target"} for row in sample.rows)
    sample = pair_sample([record("p", "1", target=2.5, right="r")], want(3, ()))
    assert sample.rows == [{"target": 2.5, "input": 0, "input2": 1}]


def test_a_task_that_predicts_a_number_has_its_moments_on_the_card(folder, monkeypatch):
    data = folder(TEXTS)
    original = labelled_sequences.read

    def numbers(files, task):
        return [replace(r, target=float(len(r.text)), label=None) for r in original(files, task)]

    monkeypatch.setattr(labelled_sequences, "read", numbers)
    task = prepared(TEXTS, data, metric="r2", classes=None)
    card = card_of(task)
    assert (card["classes"], card["scored_classes"], card["majority"]) == ([], [], None)
    for split in SPLITS:
        inputs, rows = read(task, split)
        assert all(row["target"] == len(inputs[row["input"]]["text"]) and "label" not in row for row in rows)
        found = card["target"]["splits"][split]
        values = np.array([row["target"] for row in rows])
        expected = [values.mean(), values.std(), values.min(), values.max()]
        assert [found[k] for k in ("mean", "std", "min", "max")] == pytest.approx(expected, rel=1e-12)
        assert card["splits"][split]["labels"] == {}
    assert {k: v for k, v in card["target"].items() if k != "splits"} == card["target"]["splits"]["train"]
    for changed, says in (
        ({"classes": ["a", "b"]}, "metric r2 predicts a number; take `classes:` out"),
        ({"balanced": True}, "take `balanced:` out"),
    ):
        with pytest.raises(PrepareError, match=says):
            prepared(TEXTS, data, metric="r2", **{"classes": None, **changed})
    with pytest.raises(PrepareError, match=r"t: all\.jsonl:1: no label; name its column, or write `metric: r2`"):
        prepared(TEXTS, data, classes=None)
    monkeypatch.setattr(labelled_sequences, "read", original)
    with pytest.raises(PrepareError, match=r"t: all\.jsonl:1: no number to predict"):
        prepared(TEXTS, data, metric="r2", classes=None)
    with pytest.raises(PrepareError, match="found r2, but rows of the kind 'poj-104' have classes"):
        prepared(POJ, folder(POJ), metric="r2")


def test_classes_give_the_order_and_balance_of_sequences_and_pairs(folder):
    card = card_of(prepared(TEXTS, folder(TEXTS), classes=["straight", "loop"], balanced=True))
    assert card["classes"] == ["straight", "loop"]
    card = card_of(prepared(CLONE, folder(CLONE), classes=["1", "0"], balanced=True))
    assert card["classes"] == ["1", "0"] and card["splits"]["train"]["labels"] == {"1": 20, "0": 20}
    assert card["left_out"][CLASSES_FULL] > 0


def test_full_classes_and_types_at_their_cap_are_told_apart():
    from neurosieve.prepare.python_tokens import Token

    def tokens(text):
        return [Token(i, i + 1, c, "xy".index(c)) for i, c in enumerate(text)]

    records = [record("p", str(i), "xxy" if i else "x", label="a") for i in range(6)]
    capped = Want(99, ("x", "y"), 40, 2, np.random.default_rng(0), None)
    assert token_sample(records, capped, tokens).left_out.keys() == {"every token type is at its cap"}
    full = Want(99, ("x", "y"), 40, None, np.random.default_rng(0), 2)
    assert token_sample(records, full, tokens).left_out.keys() == {CLASSES_FULL}


def test_the_entries_of_the_docs_are_valid():
    text = Path("docs/add-a-task.md").read_text(encoding="utf-8")
    text = text.replace("sha256: ...", f"sha256: {'a' * 64}").replace("revision: ...", f"revision: {'a' * 40}")
    kinds = set()
    for block in text.split("```yaml\n")[1:]:
        entries = yaml.safe_load(block.split("```")[0])
        tasks = entries["prepare"]["tasks"] if "prepare" in entries else entries
        entries = [entry for entry in tasks.values() if isinstance(entry, dict) and "kind" in entry]
        kinds |= {Task.model_validate(entry).kind for entry in entries}
        for entry in entries:
            roles = load_kind(entry["kind"]).ROLES if "files" in entry else {}
            assert entry.get("files", {}).keys() <= roles.keys()
    assert kinds >= set(KINDS)


def test_the_kind_that_the_docs_show_is_a_whole_one(tmp_path, monkeypatch):
    """It is put beside the others and run."""
    import neurosieve.prepare.tasks as tasks

    code = Path("docs/add-a-task.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "name_language.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    monkeypatch.setattr(tasks, "task_kinds", lambda: ["name-language"])
    data = tmp_path / "data"
    data.mkdir()
    (data / "all.csv").write_text("".join(f"name{i},{'de' if i % 3 else 'en'}\n" for i in range(60)))
    entry = {"kind": "name-language", "folder": str(data), "metric": "accuracy", "rows": ROWS, "shares": SHARES}
    entry["files"] = {"all": {"name": "all.csv", "sha256": sha256_file(data / "all.csv")}}
    assert card_of(prepared("name-language", data, entry))["classes"] == ["de", "en"]
    spoil(data / "all.csv", 7, "nothing")
    entry["files"]["all"]["sha256"] = sha256_file(data / "all.csv")
    with pytest.raises(PrepareError, match=r"all\.csv:7: found 'nothing'; write name,language"):
        prepared("name-language", data, entry)

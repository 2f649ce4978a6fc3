"""Corpora and tasks as artifacts: what is read, counted, refused."""

import hashlib
import json
import zipfile
from collections import Counter

import numpy as np
import pytest

from neurosieve.artifacts import Paths, check_files, iter_jsonl, read_json, read_manifest, sha256_file
from neurosieve.config import Params, Prepare, Task
from neurosieve.prepare.corpus import extract_corpus, folder_sha256, read_corpus
from neurosieve.prepare.python_source import folded_key, functions
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.sampling import Sample, Want
from neurosieve.prepare.task import _scored, prepare_task
from neurosieve.prepare.tasks import doc_match, labelled_sequences, load_kind, variable_misuse
from neurosieve.sources.wheels import WheelError

ROWS = {"train": 40, "tune": 20, "judge": 40, "test": 40}
PACKAGES = {"train": ["geometry", "textkit", "money"], "dev": ["graphs", "schedule", "matrix"]}
PACKAGES["test"] = ["parsing", "stats", "storage"]


def params_of(corpora=None, tasks=None, seed=7):
    """Only the blocks that the phase reads."""
    prepare = Prepare.model_validate({"corpora": corpora or {}, "tasks": tasks or {}})
    return Params.model_construct(benchmark="b", seed=seed, prepare=prepare)


def entry_of(folder, **more):
    """Entry of a folder corpus, with the sum of its files as they are now."""
    return {"folder": str(folder), "sha256": folder_sha256(folder, "python"), **more}


TINY = entry_of("tests/data/tiny_corpus", licence="MIT")


def want(rows, seed=0, classes=()):
    return Want(rows, classes, 40, None, np.random.default_rng(seed))


def records_of(source, file="p/m.py"):
    return [
        Record("p", file, f.qualname, f.source, folded_key(f.source), f.docstring, f.docstring_span)
        for f in functions(source)
    ]


def task(**more):
    entry = {"kind": "token-roles", "corpus": "tiny", "packages": PACKAGES, "metric": "accuracy", "rows": ROWS}
    return {**entry, **more}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    paths = Paths("b", tmp_path_factory.mktemp("build"))
    extract_corpus(params_of({"tiny": TINY}), paths, corpus="tiny")
    return paths


def run(tiny, licence="MIT", seed=7, **more):
    corpora = {"tiny": {**TINY, "licence": licence}}
    prepare_task(params_of(corpora, {"t": task(**more)}, seed), tiny, task="t")
    return read_json(tiny.task("t") / "card" / "card.json")


# corpus


def test_folder_corpus_reads_every_function_once_and_counts_the_rest(tmp_path):
    source = tmp_path / "code"
    for name, data in {
        "top.py": b"def lost(): pass\n",
        "p/one.py": b'\xef\xbb\xbfdef f(a):\r\n    """Doc."""\r\n    return a\r\n',
        "p/sub/two.py": b"class C:\n    def m(self, x): return x\n\ndef broken(:\n    pass\n",
        "p/tests/test_it.py": b"def test_it(): pass\n",
        "p/latin.py": b"# caf\xe9\n",
        "q/copy.py": b"def g(b):\n    return b\n\ndef f(a):\n    '''Doc.'''\n    return a\n",
        "q/readme.txt": b"def no(): pass\n",
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    paths = Paths("b", tmp_path / "build")
    extract_corpus(params_of({"c": entry_of(source)}), paths, corpus="c")
    rows = list(iter_jsonl(paths.corpus("c") / "functions.jsonl"))
    assert [(r["package"], r["file"], r["qualname"], r["start_line"], r["docstring"]) for r in rows] == [
        ("p", "p/one.py", "f", 1, "Doc."),
        ("p", "p/sub/two.py", "C.m", 2, None),
        ("q", "q/copy.py", "g", 1, None),
        ("q", "q/copy.py", "f", 4, "Doc."),
    ]
    assert rows[0]["source"] == 'def f(a):\n    """Doc."""\n    return a'
    facts = read_manifest(paths.corpus("c"))["facts"]
    assert {k: v for k, v in facts.items() if k not in ("folder_sha256", "packages")} == {
        "functions": 4, "with_docstring": 2, "exact_copies": 0, "folded_copies": 2, "files": 3, "test_files": 1,
        "left_out_files": {"outside_packages": 1}, "parse_errors": 1, "not_utf8": 1, "not_utf8_files": ["p/latin.py"],
        "first_left_out": {
            "outside_packages": "top.py", "parse_errors": "p/sub/two.py:4", "test_files": "p/tests/test_it.py",
        },
    }  # fmt: skip
    assert facts["packages"]["q"]["folded_copies"] == 2
    records = read_corpus(paths.corpus("c"))
    assert records[0].key == records[2].key == records[3].key != records[1].key
    assert str(tmp_path) not in (paths.corpus("c") / "manifest.json").read_text()
    (source / "p/one.py").write_bytes(b"def f(a): return a\n")
    extract_corpus(params_of({"c": entry_of(source)}), paths, corpus="c")
    assert read_manifest(paths.corpus("c"))["facts"]["folder_sha256"] != facts["folder_sha256"]


def test_wheel_corpus_comes_from_the_cache_under_the_name_of_the_params(tmp_path):
    wheel = tmp_path / "cache" / "Some_Lib-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("somelib/a.py", "def f(x):\n    return x\n")
        archive.writestr("somelib/bad.py", b"\xff")
    entry = {
        "name": "some-lib",
        "version": "1.0",
        "licence": "MIT",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    paths = Paths("b", tmp_path / "build")
    extract_corpus(params_of({"c": {"wheels": [entry]}}), paths, corpus="c", cache=wheel.parent)
    (record,) = read_corpus(paths.corpus("c"))
    assert (record.package, record.file) == ("some-lib", "somelib/a.py")
    assert read_manifest(paths.corpus("c"))["facts"]["not_utf8_files"] == ["somelib/bad.py"]
    wrong = {**entry, "sha256": "0" * 64}
    with pytest.raises(WheelError, match="sha256"):
        extract_corpus(params_of({"c": {"wheels": [wrong]}}), paths, corpus="c", cache=wheel.parent)
    assert len(read_corpus(paths.corpus("c"))) == 1  # the older artifact stands


def test_corpus_without_functions_is_an_error(tmp_path):
    (tmp_path / "code" / "p").mkdir(parents=True)
    with pytest.raises(PrepareError, match=r"prepare\.corpora\.c: .*code: no \.py file in a sub-folder"):
        extract_corpus(params_of({"c": {"folder": str(tmp_path / "code")}}), Paths("b", tmp_path), corpus="c")
    (tmp_path / "code" / "p" / "a.py").write_text("x = 1\n")
    with pytest.raises(PrepareError, match=r"prepare\.corpora\.c: no Python function in folder .* \(found files: 1\)"):
        extract_corpus(params_of({"c": entry_of(tmp_path / "code")}), Paths("b", tmp_path), corpus="c")


# tasks


def test_card_counts_what_the_files_hold(tiny):
    card = run(tiny, rows={**ROWS, "tune": 9999})
    for split in ("train", "tune", "judge", "test"):
        check_files(tiny.task("t") / split)
        inputs = list(iter_jsonl(tiny.task("t") / split / "inputs.jsonl"))
        rows = list(iter_jsonl(tiny.task("t") / split / "rows.jsonl"))
        facts = card["splits"][split]
        assert (facts["rows"], facts["inputs"]) == (len(rows), len(inputs))
        assert facts["files"] == len({i["file"] for i in inputs})
        assert facts["characters"] == sum(len(i["text"]) for i in inputs)
        assert facts["packages"] == Counter(inputs[r["input"]]["package"] for r in rows)
        named = Counter(card["classes"][r["label"]] for r in rows)
        assert facts["labels"] == {name: named[name] for name in card["classes"]}
        assert facts["seen_rows"] == sum(r["seen"] for r in rows)
        assert card["types"][split] == len({r["type"] for r in rows})
        share = named[card["majority"]["class"]] / len(rows)
        assert card["majority"]["share"][split] == share
    assert card["majority"]["class"] == max(card["classes"], key=lambda c: card["splits"]["train"]["labels"][c])
    assert card["short"] == {"tune": 9999 - card["splits"]["tune"]["rows"]}
    assert set(card["licences"].values()) == {"MIT"}
    assert read_manifest(tiny.task("t") / "card")["facts"]["short"] == card["short"]


def sample_of(rows_and_files):
    """A sample with, for each label, so many rows spread over so many files."""
    inputs, rows = [], []
    for label, (count, files) in enumerate(rows_and_files):
        for i in range(count):
            rows.append({"input": len(inputs), "label": label})
            inputs.append({"file": f"f{i % files}"})
    return Sample(inputs, rows)


def test_scored_classes_need_twenty_rows_in_five_files_of_judge_and_of_test():
    enough, few_rows, few_files = (20, 5), (19, 5), (50, 4)
    judge = sample_of([enough, enough, enough, few_rows, few_files])
    test = sample_of([enough, few_rows, few_files, enough, enough])
    assert _scored({"judge": judge, "test": test}) == [0]
    assert _scored({"judge": judge, "test": judge}) == [0, 1, 2]


def test_macro_f1_without_a_scored_class_is_refused(tiny):
    with pytest.raises(PrepareError, match="no class has 20 rows in 5 files"):
        run(tiny, metric="macro_f1", rows={"train": 40, "tune": 9, "judge": 15, "test": 40})


def test_empty_split_says_why(tiny):
    with pytest.raises(PrepareError, match=r"split train has no rows \(left out: .*longer than 20 characters: \d+"):
        run(tiny, max_characters=20)


def test_unknown_package_is_named_with_those_there(tiny):
    with pytest.raises(PrepareError, match=r"prepare\.tasks\.t\.packages: found nothing.*geometry"):
        run(tiny, packages={**PACKAGES, "test": ["nothing"]})


def test_kind_without_its_source_is_refused(tiny):
    with pytest.raises(PrepareError, match="found `corpus:`, but the kind 'labelled-sequences' needs `folder:`"):
        run(tiny, kind="labelled-sequences")


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(PrepareError, match="token-roles"):
        load_kind("token-role")


def test_cap_is_kept_in_train_only(tiny):
    rows = {"train": 200, "tune": 100, "judge": 300, "test": 300}
    run(tiny, rows=rows, cap_per_type=3)
    most = {
        split: max(Counter(r["type"] for r in iter_jsonl(tiny.task("t") / split / "rows.jsonl")).values())
        for split in ("train", "judge", "test")
    }
    assert most["train"] == 3 < min(most["judge"], most["test"])


# doc-match

DOCS = '''
def first(a):
    """Return the first of a."""
    return a[0]

def second(a):
    """Like first but gives the second item."""
    return first(a[1:])

def third(a):
    """RETURN the first of a."""
    return a[-1]

def fourth(a):
    """Call fourth fourth."""
    return fourth(a)

def fifth(a):
    """There is nothing but this text."""

def sixth(a):
    """Give the length of a list.

    Sixth is its name.
    """
    return len(a)
'''


def doc_match_task(**more):
    return Task.model_validate(task(kind="doc-match", **more))


def test_doc_match_leaves_out_what_cannot_be_matched():
    reasons = {r.name: doc_match.why_not(r, doc_match_task()) for r in records_of(DOCS + "def bare(): return 1\n")}
    assert reasons == {
        "first": None, "second": None, "third": None, "sixth": None, "bare": "no docstring",
        "fourth": "docstring of fewer than 4 words", "fifth": "nothing but a docstring in the body",
    }  # fmt: skip
    long = records_of('def f(a):\n    """' + "many words " * 30 + '"""\n    return a\n')[0]
    assert doc_match.why_not(long, doc_match_task(max_characters=100)) == "longer than 100 characters"
    short_summary = records_of(
        'def f(a):\n    """One two three four.\n\n' + "    more\n" * 90 + '    """\n    return a\n'
    )
    assert doc_match.why_not(short_summary[0], doc_match_task(max_characters=100)) is None  # only its summary is used


def test_doc_match_forms_a_ring_of_masked_functions():
    usable = [r for r in records_of(DOCS) if doc_match.why_not(r, doc_match_task()) is None]
    sample = doc_match.build(usable, want(100))
    texts = [i["text"] for i in sample.inputs]
    assert len(sample.rows) == 6 and len(texts) == 6
    # third has first's docstring, though first's is masked
    assert sample.left_out["docstring or code equals another's in the file"] == 1
    for side in ("input", "input2"):
        for label in (0, 1):
            assert len({r[side] for r in sample.rows if r["label"] == label}) == 3
    for row in sample.rows:
        same = sample.inputs[row["input"]]["name"] == sample.inputs[row["input2"]]["name"]
        assert same == (row["label"] == 1)
    code = {i["name"]: i["text"] for i in sample.inputs if i["text"].startswith("def")}
    assert code["second"] == "def function(a):\n    return first(a[1:])"  # only its own name is masked
    assert code["sixth"] == "def function(a):\n    return len(a)"
    assert "Give the length of a list." in texts


def test_doc_match_masks_a_name_in_its_docstring():
    source = 'def scan(a):\n    """Let scan read all of a; scanning is slow."""\n    return scan(a)\n'
    (record,) = records_of(source)
    assert doc_match._sides(record) == (
        "Let this function read all of a; scanning is slow.", "def function(a):\n    return function(a)",
    )  # fmt: skip


@pytest.mark.parametrize(("rows", "pairs"), [(4, 2), (6, 3), (7, 3), (100, 8)])
def test_doc_match_takes_two_functions_of_every_file_first(rows, pairs):
    source = "".join(
        f'def f{i}(a):\n    """Give word{i} word{i}a word{i}b word{i}c."""\n    return a + {i}\n\n' for i in range(4)
    )
    records = [r for file in ("p/m.py", "p/n.py") for r in records_of(source, file)]
    sample = doc_match.build(records, want(rows))
    assert len(sample.rows) == 2 * pairs
    assert len({i["file"] for i in sample.inputs}) == (1 if pairs < 4 else 2)
    assert sample.left_out["not needed"] == 8 - pairs


# variable-misuse

MISUSE = "def f(left, right):\n    total = left\n    return total + right\n"


def test_variable_misuse_overwrites_one_of_two_uses_with_the_name_of_the_other():
    outcomes = Counter()
    for seed in range(200):
        sample = variable_misuse.build(records_of(MISUSE), want(2, seed))
        text = sample.inputs[0]["text"]
        rows = {row["label"]: row for row in sample.rows}
        assert set(rows) == {0, 1} and rows[0]["type"] == rows[1]["type"]
        for row in rows.values():
            assert text[row["start"] : row["end"]] == row["type"]
        swapped = rows[1]
        names = {"left", "right", "total"} - {swapped["type"]}
        back = [text[: swapped["start"]] + name + text[swapped["end"] :] for name in names]
        assert MISUSE.rstrip() in back
        outcomes[(text.split("\n", 1)[1], swapped["type"])] += 1
    # uses: left, total, right; total is not in scope at left, so the pairs are left-right and total-right
    assert set(outcomes) == {
        ("    total = right\n    return total + right", "right"),
        ("    total = left\n    return total + left", "left"),
        ("    total = left\n    return right + right", "right"),
        ("    total = left\n    return total + total", "total"),
    }
    assert min(outcomes.values()) > 25  # 50 expected each


def test_variable_misuse_skips_and_counts_functions_without_two_variables():
    source = "def f(a):\n    return a\n\ndef g(self, a):\n    return self.b(a)\n\n"
    source += "def later(a):\n    print(b)\n    print(a)\n    b = 1\n\n"  # b is not in scope at a
    source += MISUSE.replace("def f", "def h")
    sample = variable_misuse.build(records_of(source), want(10))
    assert [i["name"] for i in sample.inputs] == ["h"]
    assert sample.left_out["no two variables that could change places"] == 3


# labelled-sequences

GOOD = {"text": "x = 1", "label": "a", "package": "p"}


def sequences_task(packages=True):
    entry = {"kind": "labelled-sequences", "folder": "data", "files": {}, "metric": "accuracy", "rows": ROWS}
    return Task.model_validate(
        {**entry, "packages": {"train": ["p"], "dev": ["q"], "test": ["r"]} if packages else None}
    )


def read_sequences(path, **more):
    return labelled_sequences.read({"all": path}, sequences_task(**more))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "x"', "not valid json"),
        ("", "found an empty line; take it out"),
        ('["x"]', "found list; write an object"),
        (json.dumps({"text": "x", "package": "p"}), "no key 'label'"),
        (json.dumps({**GOOD, "text": 3}), "'text' is 3; write a string"),
        (json.dumps({**GOOD, "label": 1}), "'label' is 1; write a string"),
        (json.dumps({**GOOD, "label": None}), "'label' is null"),
        (json.dumps({**GOOD, "text": " \n"}), "'text' is empty"),
        (json.dumps({**GOOD, "text": "a\0b"}), "NUL"),
        (json.dumps({**GOOD, "text": "\ud800"}), "surrogate"),
        (json.dumps({**GOOD, "lable": "a"}), "unknown key 'lable'"),
        (json.dumps({**GOOD, "split": "train"}), "keep one of the two"),
    ],
)
def test_bad_line_is_named_with_what_was_found(tmp_path, line, message):
    path = tmp_path / "data.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n{json.dumps(GOOD)}\n")
    with pytest.raises(PrepareError) as error:
        read_sequences(path)
    assert str(error.value).startswith(f"{path}:2: ") and message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", None], "2: no key 'split'; write it (or give the task `packages:` or `shares:`)"),
        (["train", "judge"], "2: 'split' is 'judge'; write one of train, dev, test"),
        (["train", "dev"], "2: package 'p' is in dev here and in train in data.jsonl:1"),
    ],
)
def test_bad_split_key_is_named(tmp_path, splits, message):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({**GOOD, **({"split": s} if s else {})}) + "\n" for s in splits))
    with pytest.raises(PrepareError) as error:
        read_sequences(path, packages=False)
    assert message in str(error.value)


def test_all_faults_are_told_at_once_up_to_a_limit(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("{}\n" * 25)
    with pytest.raises(PrepareError) as error:
        read_sequences(path)
    assert len(str(error.value).splitlines()) == 21 and "5 more faulty lines" in str(error.value)


def test_unreadable_data_file_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    with pytest.raises(PrepareError, match=r"data\.jsonl: no such file"):
        read_sequences(path)
    path.write_bytes(b"")
    with pytest.raises(PrepareError, match="no lines"):
        read_sequences(path)
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"text": "\xe9"}\n')
    with pytest.raises(PrepareError, match=r"data\.jsonl:2: not UTF-8 at byte 10"):
        read_sequences(path)


def sequences(tmp_path, rows, packages=None):
    path = tmp_path / "data" / "data.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"all": {"name": path.name, "sha256": sha256_file(path)}}
    entry = {"kind": "labelled-sequences", "folder": str(path.parent), "files": files}
    entry |= {"metric": "accuracy", "rows": ROWS}
    paths = Paths("b", tmp_path / "build")
    prepare_task(params_of(tasks={"t": {**entry, "packages": packages}}), paths, task="t")
    return paths


def lines(split, labels, package=None):
    """A line per label, each a file of its own, all texts different."""
    package = package or split
    return [{"text": f"{package} {i}", "label": x, "package": package, "split": split} for i, x in enumerate(labels)]


def test_split_keys_make_the_splits_and_a_line_without_file_is_its_own_file(tmp_path):
    paths = sequences(tmp_path, lines("train", "abab") + lines("dev", "aaaabbbb") + lines("test", "ab"))
    card = read_json(paths.task("t") / "card" / "card.json")
    assert card["classes"] == ["a", "b"] and card["licences"] == {"dev": None, "test": None, "train": None}
    assert {s: f["rows"] for s, f in card["splits"].items()} == {"train": 4, "tune": 2, "judge": 6, "test": 2}
    assert {s: f["files"] for s, f in card["splits"].items()} == {"train": 4, "tune": 2, "judge": 6, "test": 2}
    rows = list(iter_jsonl(paths.task("t") / "train" / "rows.jsonl"))
    assert all(set(row) == {"input", "label"} for row in rows) and card["splits"]["train"]["seen_rows"] is None


def test_single_class_in_train_is_refused(tmp_path):
    with pytest.raises(
        PrepareError, match=r"every train row \(the first: data\.jsonl:1\) is 'a' \(found 3\), so there is nothing to"
    ):
        sequences(tmp_path, lines("train", "aaa") + lines("dev", "aaaabbbb") + lines("test", "ab"))


def test_label_without_train_rows_is_refused(tmp_path):
    with pytest.raises(PrepareError, match="no train row of c"):
        sequences(tmp_path, lines("train", "ab") + lines("dev", "aabbabab") + lines("test", "abc"))


def test_copies_of_train_texts_are_left_out_of_test(tmp_path):
    test = lines("test", "abab")
    test[0]["text"] = "train 0  \n"
    paths = sequences(tmp_path, lines("train", "abab") + lines("dev", "aaaabbbb") + test)
    card = read_json(paths.task("t") / "card" / "card.json")
    assert card["splits"]["test"]["rows"] == 3 and card["left_out"] == {"copy of one in train": 1}

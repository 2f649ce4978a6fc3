"""Printing, splits and sampling against answers by hand."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from neurosieve.config import Packages
from neurosieve.prepare.printer import mask, replaced, summary, without_docstring
from neurosieve.prepare.python_source import functions
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import PrepareError, Record, make_record
from neurosieve.prepare.sampling import Want, over_files, token_sample
from neurosieve.prepare.splits import assign, by_package, rng

PACKAGES = Packages(train=["a"], dev=["b"], test=["c"])


def record(package, file, name, key=None):
    return Record(package, f"{package}/{file}", name, f"def {name}(): pass", key or f"{package}/{file}/{name}")


def want(rows, cap=None, most=40, seed=0):
    return Want(rows, ("X", "Y"), most, cap, np.random.default_rng(seed))


def words(text):
    return [Token(m.start(), m.end(), m.group(), 0) for m in re.finditer(r"\w+", text)]


# printer


def test_summary_is_the_first_paragraph_on_one_line():
    assert summary("\n  Add two\n  numbers.  \n \t\nMore text.") == "Add two numbers."
    assert summary("One line") == "One line"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('def f(a):\n    """Doc\n    more."""\n\n\n    return a\n', "def f(a):\n    return a"),
        ('def f(a):\n    "Doc"  # why\n    return a', "def f(a):\n    # why\n    return a"),
        ('def f(a): "Doc"; return a', "def f(a): return a"),
        ("def f(a):\n    # first\n    r'''Doc'''\n    return a", "def f(a):\n    # first\n    return a"),
        ('def f(a):\n    """Doc"""\n', "def f(a):"),
    ],
)
def test_without_docstring_leaves_the_rest_as_written(source, expected):
    (function,) = functions(source)
    assert without_docstring(function.source, function.docstring_span) == expected


def test_mask_replaces_whole_words_only():
    assert mask("def add(x): return self.add(x) + add_all(x) # add.", "add", "f") == (
        "def f(x): return self.f(x) + add_all(x) # f."
    )
    assert mask("the __init__ method", "__init__", r"\1") == r"the \1 method"


def test_replaced():
    assert replaced("abcde", 1, 3, "XYZ") == "aXYZde"


# splits


def test_by_package_puts_packages_where_the_params_say_and_ignores_others():
    records = [record("b", "1", "f"), record("a", "1", "f"), record("z", "1", "f"), record("c", "1", "f")]
    parts = by_package(records, PACKAGES, "prepare.tasks.t")
    assert {part: [r.package for r in rs] for part, rs in parts.items()} == {
        "train": ["a"],
        "dev": ["b"],
        "test": ["c"],
    }


def test_by_package_reads_the_records_own_split_without_packages():
    records = [replace(record("x", "1", "f"), split="dev"), replace(record("y", "1", "f"), split="train")]
    parts = by_package(records, None, "prepare.tasks.t")
    assert {part: len(rs) for part, rs in parts.items()} == {"train": 1, "dev": 1, "test": 0}


def test_by_package_names_a_package_without_records():
    with pytest.raises(PrepareError, match=r"prepare\.tasks\.t\.packages: found b, c.*write some of: a, q"):
        by_package([record("a", "1", "f"), record("q", "1", "f")], PACKAGES, "prepare.tasks.t")


def split_all(parts, why_not=lambda r: None, per_file=1, share=0.3, seed=1):
    kept, left_out = assign(parts, why_not, per_file, share, seed)
    return kept, left_out.counts


def test_no_function_of_a_pair_is_in_tune_and_in_judge():
    dev = [
        make_record(f"l{a}", package="all", file=f"{a}", name="", where=f"dev:{a}", right=f"r{b}", right_file=f"{b}")
        for a in range(12)
        for b in range(12, 24)
    ]
    kept, left_out = split_all({"train": [], "dev": dev, "test": []}, share=0.5)
    sides = [{file for r in kept[split] for file in (r.file, r.right_file)} for split in ("tune", "judge")]
    assert all(sides) and not sides[0] & sides[1] and len(sides[0]) == 12
    number = len(kept["tune"]) + len(kept["judge"])
    assert left_out == {"one side in tune, the other in judge": 144 - number}


def test_copies_are_kept_in_the_earliest_split_only():
    parts = {
        "train": [
            record("a", "1", "f", key="K"),
            record("a", "1", "bad", key="U"),
            record("a", "2", "g", key="K"),
        ],
        "dev": [record("b", "1", "f", key="K"), record("b", "1", "g", key="U"), record("b", "2", "h", key="D")],
        "test": [record("c", "1", "f", key="D"), record("c", "1", "g", key="K"), record("c", "1", "h", key="T")],
    }
    kept, left_out = split_all(parts, lambda r: "no good" if r.name == "bad" else None)
    assert {split: [r.key for r in rs] for split, rs in kept.items()} == {
        "train": ["K"],
        "tune": [],  # one file is not enough to be cut
        "judge": ["D"],
        "test": ["T"],
    }
    # a copy of a train function is left out of dev also where the train function itself cannot be used
    assert left_out == Counter(
        {"copy of one in train": 3, "copy of one in dev": 1, "copy of one in the same split": 1, "no good": 1}
    )


def test_files_with_too_few_usable_records_are_left_out_and_counted():
    parts = {"train": [record("a", f, n) for f, n in ("1f", "1g", "2f")], "dev": [], "test": []}
    kept, left_out = split_all(parts, per_file=2)
    assert [r.file for r in kept["train"]] == ["a/1", "a/1"]
    assert left_out == Counter({"fewer than 2 usable ones in the file": 1})


@pytest.mark.parametrize(("files", "share", "tune"), [(2, 0.1, 1), (2, 0.9, 1), (10, 0.3, 3), (7, 0.5, 4)])
def test_every_dev_package_gives_its_share_of_files_to_tune(files, share, tune):
    dev = [record(p, str(i), n) for p in ("b", "d") for i in range(files) for n in "fg"]
    kept, _ = split_all({"train": [], "dev": dev, "test": []}, share=share)
    for package in ("b", "d"):
        of = {s: {r.file for r in kept[s] if r.package == package} for s in ("tune", "judge")}
        assert (len(of["tune"]), len(of["judge"])) == (tune, files - tune)
        assert not of["tune"] & of["judge"]


def test_packages_of_one_dev_file_are_cut_together():
    dev = [record(f"p{i}", "1", n) for i in range(10) for n in "fg"]
    kept, _ = split_all({"train": [], "dev": [*dev, record("q", "1", "f"), record("q", "2", "f")], "test": []})
    assert (len({r.file for r in kept["tune"]}), len({r.file for r in kept["judge"]})) == (3 + 1, 7 + 1)
    assert len({r.package for r in kept["tune"]} & {r.package for r in kept["judge"]}) == 1  # q


def test_the_cut_depends_on_the_seed_and_a_files_name_alone():
    dev = [record("b", str(i), "f") for i in range(20)]

    def tune(records, seed):
        return {r.file for r in split_all({"train": [], "dev": records, "test": []}, share=0.5, seed=seed)[0]["tune"]}

    assert tune(dev, 1) == tune(dev[::-1], 1) != tune(dev, 2)
    assert tune(dev[:-1], 1) - tune(dev, 1) <= {min(tune(dev[:-1], 1) - tune(dev, 1), default="")}  # at most one moves


def test_rng_differs_by_name():
    draws = {rng(1, "a", "b").random(), rng(1, "b", "a").random(), rng(2, "a", "b").random(), rng(1, "a").random()}
    assert len(draws) == 4
    assert rng(1, "a").random() == rng(1, "a").random()


# sampling


def test_over_files_takes_one_of_each_file_before_a_second():
    records = [record("a", f, n) for f, n in ("1f", "1g", "1h", "2f", "3f", "3g")]
    order = list(over_files(records, np.random.default_rng(0)))
    assert sorted(r.file for r in order[:3]) == ["a/1", "a/2", "a/3"]
    assert sorted(r.file for r in order[3:5]) == ["a/1", "a/3"]
    assert order[5].file == "a/1" and {r.key for r in order} == {r.key for r in records}


def test_token_sample_takes_exactly_the_rows_asked_and_counts_the_rest():
    records = [replace(record("a", str(i), "f"), text="one two three four five") for i in range(4)]
    sample = token_sample(records, want(7, most=3), words)
    assert Counter(row["input"] for row in sample.rows) == {0: 3, 1: 3, 2: 1}
    assert sample.left_out == Counter({"not needed": 1})
    for row in sample.rows:
        assert sample.inputs[row["input"]]["text"][row["start"] : row["end"]] == row["type"]
    for number in (0, 1):
        starts = [row["start"] for row in sample.rows if row["input"] == number]
        assert starts == sorted(starts)


def test_token_sample_draws_tokens_from_the_whole_function():
    text = " ".join(f"w{i}" for i in range(100))
    sample = token_sample([replace(record("a", "1", "f"), text=text)], want(20), words)
    positions = [int(row["type"][1:]) for row in sample.rows]
    assert min(positions) < 25 and max(positions) > 75


def test_cap_per_type_holds_over_all_inputs():
    records = [replace(record("a", str(i), "f"), text="x x x y") for i in range(3)]
    sample = token_sample(records, want(100, cap=2), words)
    assert Counter(row["type"] for row in sample.rows) == {"x": 2, "y": 2}
    assert len(sample.inputs) + sample.left_out["every token type is at its cap"] == 3
    free = token_sample(records, want(100), words)
    assert Counter(row["type"] for row in free.rows) == {"x": 9, "y": 3}

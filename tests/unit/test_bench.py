"""`make bench` with parts that measure nothing real: what a row says, floors that move, one file of all rows."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("bench", Path("benchmarks/bench.py"))
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)  # puts benchmarks/ on sys.path
from speed import common  # noqa: E402
from speed.common import Options, Row  # noqa: E402


class Clock:
    """Time that goes on only by what is done."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, *seconds):
        """A job of these seconds, one after the other, the last for good."""
        left = list(seconds)

        def work():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_ours_and_floor_are_medians_and_the_floor_is_first_and_last():
    clock, order = Clock(), []
    ours, floor = clock.takes(3, 2, 9, 4, 5), clock.takes(1)
    timed = common.interleaved(
        lambda: (order.append("o"), ours()), lambda: (order.append("f"), floor()), repeat=5, clock=clock
    )
    assert "".join(order) == "fofofofofof"
    assert timed == common.Timed(ours=4, floor=1, moved=0)
    assert Row("w", unit="CPU s", **timed.facts).ratio == 0.25


def test_a_floor_that_moves_is_measured_again_and_the_quietest_try_counts():
    clock = Clock()
    moves = clock.takes(1, 1, 1, 1, 2, 2, *[1, 1, 1.05, 1.05, 1, 1], 50)
    timed = common.interleaved(clock.takes(*[3] * 5, 7), moves, repeat=5, clock=clock)
    assert (timed.ours, timed.floor) == (7, 1) and timed.moved == pytest.approx(0.05)
    restless = clock.takes(1, 1, 1, 1, 1.5, 1.5, 1, 1, 1, 1, 1.2, 1.2, 1, 1, 1, 1, 3, 3, 99)
    timed = common.interleaved(clock.takes(*[3] * 5, *[4] * 5, 5), restless, repeat=5, clock=clock)
    assert timed.ours == 4 and timed.moved == pytest.approx(0.2)
    line = bench.record("part", Row("w", unit="s", **timed.facts), "m", "c")
    assert "the floor moved by 20%" in line["note"]


def test_a_row_is_met_where_it_is_as_many_times_better_as_wanted():
    assert Row("w", 10, 26, "CPU s", reach=2.6).met == "yes" and Row("w", 10, 25.9, "CPU s", reach=2.6).met == "no"
    assert Row("w", 26, 10, "tokens/CPU s", reach=2.6).met == "yes" and Row("w", 10, 26, "score", reach=1).met == "no"
    assert Row("w", 180, 200, "MB", "limit", reach=1).met == "yes" and Row("w", 201, 200, "MB", reach=1).met == "no"
    assert Row("w", 0, 1e-5, "error", reach=1).ratio == math.inf and Row("w", 0, 0, "error", reach=1).met == "yes"
    assert Row("w", 1, 2, "s").met == ""


def test_what_was_not_measured_is_never_met():
    for row in (Row("w", 1, None, "s", "NeuroX", reach=1), Row("w", None, 1, "s", reach=1)):
        assert row.ratio is None and row.met == "not measured"
        assert "not measured" in bench.table([bench.record("p", row, "m", "c")])
    assert Row("w", 1, 100, "s", reach=1, partly="small sizes").met == "partly"
    assert "partly: small sizes" in bench.record("p", Row("w", 1, 2, "s", partly="small sizes"), "m", "c")["note"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"work": ""}, "work"),
        ({"unit": "parsecs"}, "unit: 'parsecs'"),
        ({"numerics": "quick"}, "numerics: 'quick'"),
        ({"reach": 0}, "reach: 0"),
        ({"ours": math.nan}, "ours: nan of w"),
        ({"against": -1}, "against: -1 of w"),
    ],
)
def test_a_row_that_says_nothing_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        Row(**({"work": "w", "ours": 1, "against": 2, "unit": "s"} | given))


def test_rows_come_back_from_the_file_and_parts_are_merged(tmp_path):
    file = tmp_path / "results.csv"
    assert bench.read(file) == []
    first = [bench.record(p, Row(f"{p}, 1 x 2", 1.23456, 2, "s", note='a "note"\nof two'), "m", "c") for p in "ba"]
    bench.write(file, first)
    assert bench.read(file) == first and first[0]["ours"] == "1.235" and first[0]["ratio"] == "1.62"
    again = [bench.record("a", Row(w, 1, 2, "s"), "other", "d") for w in ("z", "y")]
    merged = bench.merge(bench.read(file), again, ["a", "b"])
    assert [(line["part"], line["work"], line["machine"]) for line in merged] == [
        ("a", "z", "other"), ("a", "y", "other"), ("b", "b, 1 x 2", "m"),
    ]  # fmt: skip
    assert bench.merge(merged, again, ["a"]) == again
    file.write_text("part,work\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.csv: columns"):
        bench.read(file)


TOY = """
import os, time

def measured(value, mib=0):
    held = bytearray(mib << 20)
    return {"value": value, "held": len(held), "mkl": os.environ.get("MKL_CBWR"), "omp": os.environ["OMP_NUM_THREADS"]}

def broken():
    print("halfway")
    raise RuntimeError("no such luck")

def busy(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
    return {"wall": 0.5}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "bench_toy.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("bench_toy")


def test_a_process_of_its_own_has_the_pins_and_is_measured(toy, monkeypatch):
    found = common.fresh(toy.measured, "portable", 2, value="x", mib=64)
    assert found.value["value"] == "x" and found.value["omp"] == "2"
    assert found.value["mkl"] == common.pinned.pins("portable").get("MKL_CBWR")
    assert 60 < found.peak < 90 and found.most > found.peak and found.start > 0
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")  # of this process: it is no pin of fast
    found = common.fresh(toy.measured, "fast", value=1)
    assert found.value["mkl"] is None and found.peak < 20
    with pytest.raises(common.Failed, match=r"(?s)broken ended with 1.*halfway.*no such luck"):
        common.fresh(toy.broken)
    assert common.fresh(toy.busy, seconds=0.2).cpu >= 0.2
    timed = common.alone_and_beside(toy.busy, repeat=1, tries=1, seconds=0.01)
    assert (timed.ours, timed.floor, timed.moved) == (0.5, 0.5, 0)  # what the function said its work took


def test_the_peak_is_that_of_the_block():
    del (held := [bytearray(96 << 20)])[:]
    with common.peak() as memory:
        held = bytearray(32 << 20)
    assert 30 < memory.above < 60 and len(held) == 32 << 20


def test_exponents():
    assert common.exponent([1, 4, 16], [3, 48, 768]) == pytest.approx(2)
    row = common.growth("tokens", [1, 2, 4], [5, 10.5, 22], 1, "CPU s", numerics="fast")
    assert row.ours == pytest.approx(1.069, abs=1e-3) and row.met == "no" and row.numerics == "fast"
    assert "1: 5, 2: 10.5, 4: 22" in row.note
    assert common.growth("tokens", [1, 2, 4], [5, 9, 16], 1, "MB").met == "yes"
    for sizes, costs in (([1, 1], [1, 2]), ([1, 2], [0, 1])):
        with pytest.raises(ValueError, match="two sizes"):
            common.exponent(sizes, costs)


@pytest.fixture
def tree(tmp_path):
    """A copy of the scripts with parts of its own."""
    speed = tmp_path / "benchmarks" / "speed"
    speed.mkdir(parents=True)
    (tmp_path / "src").symlink_to(Path("src").absolute())
    for name in ("bench.py", "speed/__init__.py", "speed/common.py"):
        (tmp_path / "benchmarks" / name).write_text(Path("benchmarks", name).read_text())
    head = "from speed.common import Row\n"
    (speed / "good.py").write_text(
        f"{head}def rows(options):\n    print('said by a library')\n"
        "    yield Row('well', 1, 2, 's', reach=options.size(1, 3), partly=options.partly)\n"
        "    yield Row('peer', 1, options.neurox and 9, 's', 'NeuroX', reach=1)\n"
    )
    (speed / "bad.py").write_text(
        f"{head}def rows(options):\n    yield Row('a', 1, 2, 's')\n    raise OSError('gone')\n"
    )
    (speed / "empty.py").write_text("def rows(options):\n    return iter(())\n")
    (speed / "helper.py").write_text("raise RuntimeError('never imported')\n")
    return tmp_path


def bench_in(tree, *arguments):
    command = [sys.executable, str(tree / "benchmarks" / "bench.py"), *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_a_part_that_fails_is_told_and_the_others_go_on(tree):
    assert bench.parts(tree / "benchmarks" / "speed") == ["bad", "empty", "good"]
    file = tree / "benchmarks" / "results.csv"
    earlier = bench.record("bad", Row("earlier", 1, 2, "s"), "m", "c")
    bench.write(file, [earlier])
    done = bench_in(tree)
    assert done.returncode == 1
    assert "OSError: gone" in done.stderr and "empty measured nothing" in done.stderr
    assert "failed, their earlier rows stay: bad, empty" in done.stderr
    lines = bench.read(file)
    assert [(line["work"], line["met"]) for line in lines] == [
        ("earlier", ""), ("well", "yes"), ("peer", "not measured"),
    ]  # fmt: skip
    assert lines[0] == earlier and lines[1]["machine"] == bench.machine()
    assert "said by a library" not in done.stdout and "2 rows; 1 met" in done.stdout


def test_parts_that_are_named_and_quick_looks(tree):
    file = tree / "benchmarks" / "results.csv"
    done = bench_in(tree, "--only", "good", "--quick")
    assert done.returncode == 0 and not file.exists()
    assert "partly" in done.stdout and "nothing written" in done.stdout
    done = bench_in(tree, "--only", "good", "--neurox", str(tree))
    assert done.returncode == 2 and "no folder neurox" in done.stderr
    (tree / "neurox").mkdir()
    (tree / "neurox" / "__init__.py").touch()
    assert bench_in(tree, "--only", "good", "--neurox", str(tree)).returncode == 0
    assert [line["met"] for line in bench.read(file)] == ["yes", "yes"]
    assert "invalid choice: 'other'" in bench_in(tree, "--only", "other").stderr


def test_another_checkout_is_measured_by_these_scripts(tree, tmp_path):
    (tree / "benchmarks" / "speed" / "good.py").write_text(
        "from speed.common import ROOT, Row, fresh\n"
        "def which():\n    import neurosieve\n    return neurosieve.__file__\n"
        "def rows(options):\n    for peer in 'ab':\n"
        "        yield Row(fresh(which).value.replace(str(ROOT), 'there'), 1, 2, 's', peer)\n"
    )
    other = tmp_path / "other" / "src" / "neurosieve"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    (other / "numerics.py").write_text("PORTABLE = {}\ndef pins(numerics):\n    return {}\n")
    (other / "artifacts.py").write_text("raise RuntimeError('not to write with')\n")
    done = bench_in(tree, "--only", "good", "--before", "other")
    assert done.returncode == 0, done.stderr
    before = bench.read(tree / "benchmarks" / "before.csv", bench.BEFORE_COLUMNS)
    assert [(line["work"], line["ours"]) for line in before] == [("there/src/neurosieve/__init__.py", "1")]
    assert not (tree / "benchmarks" / "results.csv").exists()
    assert "no src/neurosieve in it" in bench_in(tree, "--before", "src").stderr


def test_the_page_has_the_tables_of_the_rows():
    lines = [bench.record(p, Row(f"{p} | 1", 1, None, "s", "NeuroX", 2, "fast", 2), "m", "c") for p in "ab"]
    names = ("machines", "prices", "a", "b")
    text = "\n".join(["head", *(line for name in names for line in (*bench.marks(name), f"after {name}"))])
    before = [{"part": "a", "work": "a | 1", "unit": "s", "numerics": "fast", "ours": "9", "commit": "b"}]
    made = bench.page(text.replace(bench.marks("b")[1], f"old\n{bench.marks('b')[1]}"), lines, before)
    assert bench.page(made, lines, before) == made and "old" not in made and made.endswith("after b")
    assert r"| a \| 1 (fast, 2 threads) | 1 s | 9 | NeuroX: not measured |  | 2 | not measured |  |" in made
    assert r"| b \| 1 (fast, 2 threads) | 1 s | NeuroX: not measured |  | 2 | not measured |  |" in made
    assert "- all parts: m, commit c" in made
    other = bench.record("b", Row("w", 1, 2, "s"), "other", "d")
    assert bench.measured_on([*lines, other]) == "- a, b: m, commit c\n- b: other, commit d"
    with pytest.raises(ValueError, match="table of b"):
        bench.page("\n".join(line for name in names[:3] for line in bench.marks(name)), lines)


def test_the_price_of_portable_is_of_what_was_measured_in_both():
    rows = [("w", 3.0, "CPU s", n) for n in ("portable", "fast")] + [("x", 1.0, "CPU s", "fast"), ("y", 1.0, "MB", "")]
    rows[0] = ("w", 4.5, "CPU s", "portable")
    lines = [bench.record("p", Row(w, ours, 1, unit, numerics=n), "m", "c") for w, ours, unit, n in rows]
    assert bench.prices(lines).splitlines()[2:] == ["| p | w | 4.5 CPU s | 3 CPU s | 1.50 |"]


def test_the_document_has_the_tables_of_the_committed_rows():
    """And a place for each part; what was measured before is of rows that there are."""
    text, lines = bench.PAGE.read_text(encoding="utf-8"), bench.read(bench.RESULTS)
    before = bench.read(bench.BEFORE, bench.BEFORE_COLUMNS)
    assert bench.page(text, lines, before) == text
    for part in bench.parts():
        assert [text.count(mark) for mark in bench.marks(part)] == [1, 1], part
    known = {tuple(line[n] for n in ("part", *bench.SAME)) for line in lines}
    for line in before if lines else []:
        assert tuple(line[n] for n in ("part", *bench.SAME)) in known, line


def test_neurox_is_measured_where_it_is_given(tmp_path):
    """A package that stands for it: it is found, its output goes nowhere, another commit is told."""
    from speed import neurox_peer

    assert (
        neurox_peer.run(Options(), "clusters", X="x.npy", threshold=0.5) is None and neurox_peer.note(Options()) == ""
    )
    (tmp_path / "neurox" / "interpretation").mkdir(parents=True)
    (tmp_path / "neurox" / "interpretation" / "clustering.py").write_text(
        "def create_correlation_clusters(X, clustering_threshold):\n    print('noise')\n    return X.argmax(1)\n"
    )
    options = Options(neurox=tmp_path)
    assert "not as of a9ac7cd" in neurox_peer.note(options)
    np.save(tmp_path / "x.npy", np.eye(3))
    given = {"X": tmp_path / "x.npy", "threshold": 0.5, "output": tmp_path / "labels.npy"}
    found = neurox_peer.run(options, "clusters", **given)
    assert found.value["clusters"] == 3 and found.value["seconds"] >= 0 and found.value["most"] > found.value["above"]
    assert np.load(tmp_path / "labels.npy").tolist() == [0, 1, 2]
    with pytest.raises(common.Failed, match="linear_probe"):  # the package lacks it
        neurox_peer.run(options, "probe", X=tmp_path / "x.npy", y=tmp_path / "x.npy")

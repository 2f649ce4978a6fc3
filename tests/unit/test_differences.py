"""Two runs compared: what is equal, what is equal within tolerance, and the first place and cause of what differs."""

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from neurosieve.artifacts import dump_json, sha256_file
from neurosieve.verify import differences
from neurosieve.verify.differences import DIFFERENT, IDENTICAL, WITHIN


def write(folder, name, value):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".npy"):
        np.save(path, value)
    elif name.endswith(".safetensors"):
        save_file(value, path)
    elif name.endswith(".json"):
        path.write_text(json.dumps(value))
    else:
        path.write_text(value)
    return path


def difference(tmp_path, name, before, now):
    a, b = write(tmp_path / "a", name, before), write(tmp_path / "b", name, now)
    return differences.compare_file(a, b, name)


def make(build, name, files, inputs=(), **manifest):
    """An artifact by hand: its manifest as artifacts.Writer writes it."""
    for file, value in files.items():
        write(build / name, file, value)
    sums = {f"tiny/{i}": sha256_file(build / i / "manifest.json") for i in inputs}
    found = {"phase": name.split("/")[0], "code": "c", "lock": "l", "params": {"seed": 5}, "sources": {}}
    found |= {"inputs": sums, "files": {file: sha256_file(build / name / file) for file in files}} | manifest
    (build / name / "manifest.json").write_text(dump_json(found))


def chain(build, layer=None, neurons=(1, 2), **of_prepare):
    """Three artifacts in a row."""
    layer = np.arange(6, dtype=np.float32).reshape(2, 3) if layer is None else layer
    make(build, "prepare/tasks/t/train", {"rows.jsonl": '{"row": 1}\n{"row": 2}\n'}, **of_prepare)
    make(build, "activations/m/t/train", {"layer_00.npy": layer}, ["prepare/tasks/t/train"])
    make(build, "subsets/search/m/t", {"frozen.json": {"neurons": list(neurons)}}, ["activations/m/t/train"])


def told(found):
    return [(one.artifact, one.verdict, one.kind) for one in found]


def test_equal_bytes_are_no_difference(tmp_path):
    assert difference(tmp_path, "layer_00.npy", np.ones(3), np.ones(3)) is None


@pytest.mark.parametrize(("change", "within"), [(0.9e-4, True), (1.1e-4, False)])
def test_activations_are_measured_by_the_scale_of_their_layer(tmp_path, change, within):
    """The largest value is 10: a change of 1e-4 of it is ten times that of the element that changes."""
    before = np.array([[10.0, 1.0], [0.0, 2.0]])
    now = before.copy()
    now[1, 0] += change * 10
    found = difference(tmp_path, "layer_00.npy", before, now)
    assert found.within is within and found.place == "[1, 0]" and found.count == 1
    assert found.absolute == pytest.approx(change * 10) and found.relative == pytest.approx(change)


def test_the_first_place_out_of_tolerance_is_told_and_the_largest_difference(tmp_path):
    before = np.ones((3, 2), np.float32)
    now = before.copy()
    now[0, 1], now[1, 0], now[2, 1] = 1.00001, 1.5, 3
    found = difference(tmp_path, "layer_00.npy", before, now)
    assert (found.place, found.now, found.count, found.absolute) == ("[1, 0]", "1.5", 3, 2)


def test_a_value_that_is_no_number_is_in_no_tolerance(tmp_path):
    assert not difference(tmp_path, "layer_00.npy", np.array([1.0, 2.0]), np.array([1.0, np.nan])).within


def test_a_bit_that_changes_no_value_is_seen(tmp_path):
    found = difference(tmp_path, "layer_00.npy", np.array([0.0, 1.0]), np.array([-0.0, 1.0]))
    assert found.within and found.place == "[0]" and found.absolute == 0


def test_shapes_and_types_are_told(tmp_path):
    found = difference(tmp_path, "layer_00.npy", np.zeros((2, 3)), np.zeros((3, 3)))
    assert not found.within and found.before == "float64 of shape (2, 3)"


def test_choices_are_in_no_tolerance_and_told_with_what_they_mean(tmp_path):
    found = difference(tmp_path, "predictions_judge.npy", np.array([1, 2, 3]), np.array([1, 3, 2]))
    assert not found.within and found.meaning == "predicted classes: 2 of 3 differ" and found.place == "[1]"
    found = difference(tmp_path, "frozen.json", {"sets": {"a": [1, 2]}}, {"sets": {"a": [1, 3]}})
    assert not found.within and found.place == "sets.a[1]" and found.meaning == "chosen neurons"
    assert difference(tmp_path, "frozen.json", {"sets": [1, 2]}, {"sets": [1]}).before == "2 entries"


def test_weights_have_a_tolerance_of_their_own_by_tensor(tmp_path):
    before = {"big": np.array([100.0]), "small": np.array([1.0, 0.0])}
    now = {"big": np.array([100.5]), "small": np.array([1.0, 0.005])}
    assert difference(tmp_path, "weights.safetensors", before, now).within
    now["small"][1] = 0.02
    found = difference(tmp_path, "weights.safetensors", before, now)
    assert not found.within and found.place == "small[1]"


@pytest.mark.parametrize(
    ("before", "now", "within"),
    [
        ({"score": 0.700}, {"score": 0.704}, True),
        ({"score": 0.700}, {"score": 0.706}, False),
        ({"bits": 5000.0}, {"bits": 5004.0}, True),
        ({"bits": 5000.0}, {"bits": 5006.0}, False),
        ({"n_minimal": 12}, {"n_minimal": 13}, False),
        ({"fits": [{"iterations": 12}]}, {"fits": [{"iterations": 80}]}, True),
        ({"gap": 1e-5}, {"gap": 0.5}, True),
        ({"status": "supported"}, {"status": "not above majority"}, False),
        ({"score": 0.5}, {"score": None}, False),
        ({"score": 0.5}, {}, False),
        ({"note": "lower bound +0.0121, 17 files"}, {"note": "lower bound +0.0122, 17 files"}, True),
        ({"note": "lower bound +0.0121, 17 files"}, {"note": "lower bound +0.0121, 18 files"}, False),
        ({"claimed": True}, {"claimed": 1}, False),
    ],
)
def test_figures_within_and_choices_without_tolerance(tmp_path, before, now, within):
    assert difference(tmp_path, "curves.json", before, now).within is within


def test_other_bytes_of_the_same_values_are_no_equality(tmp_path):
    a, b = write(tmp_path, "a.json", {}), write(tmp_path, "b.json", {})
    a.write_text('{"x": 1, "y": 2}')
    b.write_text('{"y": 2, "x": 1}')
    assert not differences.compare_file(a, b, "x.json").within


def test_cells_of_a_table_are_named_by_row_and_column(tmp_path):
    before = "model,task,oracle,n_minimal\nm,t,0.8123,12\nm,u,0.7,3\n"
    found = difference(tmp_path, "leaderboard.csv", before, before.replace("0.8123", "0.8124"))
    assert found.within and found.place == "m/t, oracle"
    found = difference(tmp_path, "leaderboard.csv", before, before.replace("0.7,3", "0.7,4"))
    assert not found.within and (found.place, found.before, found.now) == ("m/u, n_minimal", "3", "4")


def test_rows_by_line(tmp_path):
    found = difference(tmp_path, "rows.jsonl", '{"a": "x"}\n{"a": "y"}\n', '{"a": "x"}\n{"a": "z"}\n')
    assert not found.within and found.place == "line 2.a"


def test_what_is_broken_differs_as_a_whole(tmp_path):
    a, b = write(tmp_path, "a.npy", np.zeros(9)), write(tmp_path, "b.npy", np.zeros(9))
    b.write_bytes(b.read_bytes()[:100])
    found = differences.compare_file(a, b, "layer.npy")
    assert not found.within and found.now.startswith("not readable")


@pytest.mark.parametrize("place", [0, 8, 21, 30])
def test_a_bit_of_the_head_of_an_array_is_a_difference_and_no_traceback(tmp_path, place):
    a, b = write(tmp_path, "a.npy", np.zeros(9)), write(tmp_path, "b.npy", np.zeros(9))
    for bit in range(8):
        data = bytearray(a.read_bytes())
        data[place] ^= 1 << bit
        b.write_bytes(data)
        for one, other in ((a, b), (b, a)):
            assert not differences.compare_file(one, other, "layer.npy").within
    b.write_bytes(b"")
    assert differences.compare_file(a, b, "layer.npy").now.startswith("not readable")


def test_a_table_that_is_one_cell_from_some_place_on_is_no_traceback(tmp_path):
    row = "m,t,0.5\n"
    assert not difference(tmp_path, "a.csv", row * 20000, f'"{row}' + row * 19999).within


def test_a_folder_of_results_and_its_page(tmp_path):
    for folder, score in (("a", 0.81), ("b", 0.811)):
        write(tmp_path / folder, "metrics.json", {"score": score})
        write(tmp_path / folder, "index.html", f"<td>{score}</td>")
        write(tmp_path / folder, "manifest.json", {"any": score})
    assert [(d.file, d.within) for d in differences.compare_results(tmp_path / "a", tmp_path / "b")] == [
        ("index.html", True),
        ("metrics.json", True),
    ]
    write(tmp_path / "b", "metrics.json", {"score": 0.81})  # the page alone has no figure that explains it
    assert [(d.file, d.within) for d in differences.compare_results(tmp_path / "a", tmp_path / "b")] == [
        ("index.html", False)
    ]
    write(tmp_path / "b", "rows/x.json", {})
    assert [d.within for d in differences.compare_results(tmp_path / "a", tmp_path / "b")] == [False, False]


def test_two_equal_builds(tmp_path):
    for folder in ("a", "b"):
        chain(tmp_path / folder)
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert [one.verdict for one in found] == [IDENTICAL] * 3 and differences.worst(found) == IDENTICAL
    assert [one.artifact for one in found] == [
        "prepare/tasks/t/train", "activations/m/t/train", "subsets/search/m/t"
    ]  # fmt: skip


def test_within_tolerance_goes_on_as_that(tmp_path):
    """What was computed from it has another sum of its input; equal files make it no worse than its input."""
    chain(tmp_path / "a")
    chain(tmp_path / "b", np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(1e-6))
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert told(found)[1:] == [
        ("activations/m/t/train", WITHIN, "numerics"),
        ("subsets/search/m/t", WITHIN, "input"),
    ]
    assert "layer_00.npy" in found[1].why and differences.worst(found) == WITHIN


def test_the_first_cause_is_told_and_what_follows_from_it_is_its_input(tmp_path):
    chain(tmp_path / "a")
    chain(tmp_path / "b", np.zeros((2, 3), np.float32), neurons=[4, 5])
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert told(found)[1:] == [
        ("activations/m/t/train", DIFFERENT, "numerics"),
        ("subsets/search/m/t", DIFFERENT, "input"),
    ]
    assert "activations/m/t/train differs" in found[2].why and "[chosen neurons]" in found[2].why


def test_chosen_neurons_on_activations_within_tolerance_are_numerics(tmp_path):
    chain(tmp_path / "a")
    chain(tmp_path / "b", np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(1e-6), neurons=[1, 3])
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert told(found)[2] == ("subsets/search/m/t", DIFFERENT, "numerics")


@pytest.mark.parametrize(
    ("changed", "kind", "place"),
    [
        ({"code": "d"}, "code", "sha256 c before, d now"),
        ({"lock": "m"}, "lock", "sha256 l before, m now"),
        ({"params": {"seed": 6}}, "params", "seed: 5 before, 6 now"),
        ({"sources": {"data": "s"}}, "source", "data: nothing before, s now"),
    ],
)
def test_each_cause_is_named(tmp_path, changed, kind, place):
    chain(tmp_path / "a")
    chain(tmp_path / "b", **changed)
    first, *later = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert (first.verdict, first.kind) == (DIFFERENT, kind)
    assert place in first.why and "its files are equal" in first.why
    assert {(one.verdict, one.kind) for one in later} == {(DIFFERENT, "input")}


def test_a_file_that_was_changed_after_it_was_made_is_content_wherever_it_lies(tmp_path):
    for tampered, when in (("a", "before"), ("b", "now")):
        for folder in ("a", "b"):
            chain(tmp_path / when / folder)
        path = tmp_path / when / tampered / "activations/m/t/train/layer_00.npy"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        found = differences.compare_builds(tmp_path / when / "a", tmp_path / when / "b")
        assert told(found)[1] == ("activations/m/t/train", DIFFERENT, "content")
        assert found[1].why.startswith(f"{when}: layer_00.npy is not what its manifest.json says")


def test_equal_files_of_other_hardware_are_within_tolerance(tmp_path):
    """Their manifests differ by the mark of a machine on which the pins do not hold."""
    chain(tmp_path / "a")
    chain(tmp_path / "b", facts={"numerics": ["native: aarch64"]})
    first = differences.compare_builds(tmp_path / "a", tmp_path / "b")[0]
    assert (first.verdict, first.kind) == (WITHIN, "numerics") and "native: aarch64" in first.why
    chain(tmp_path / "b", facts={"rows": 3})
    assert differences.compare_builds(tmp_path / "a", tmp_path / "b")[0].kind == "content"


def test_artifacts_that_lie_elsewhere_are_compared_too(tmp_path):
    for build in ("a", "b"):
        chain(tmp_path / build)
        (tmp_path / build / "activations").rename(tmp_path / f"disk-{build}")
        (tmp_path / build / "activations").symlink_to(tmp_path / f"disk-{build}")
    (tmp_path / "disk-b/m/t/train/layer_00.npy").write_bytes(b"")
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert told(found)[1] == ("activations/m/t/train", DIFFERENT, "content")


def test_another_sum_of_an_input_that_is_identical_is_no_tolerance(tmp_path):
    chain(tmp_path / "a")
    chain(tmp_path / "b")
    path = tmp_path / "b/subsets/search/m/t/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"] = dict.fromkeys(manifest["inputs"], "0" * 64)
    path.write_text(dump_json(manifest))
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert told(found)[-1] == ("subsets/search/m/t", DIFFERENT, "content") and "manifest.json" in found[-1].why


def test_a_lost_and_a_further_artifact(tmp_path):
    chain(tmp_path / "a")
    chain(tmp_path / "b")
    (tmp_path / "a/subsets/search/m/t/manifest.json").unlink()
    make(tmp_path / "b", "leaderboard", {"metrics.json": {}})
    found = differences.compare_builds(tmp_path / "a", tmp_path / "b")
    assert [(one.artifact, one.why) for one in found if one.verdict != IDENTICAL] == [
        ("subsets/search/m/t", "not made before"),
        ("leaderboard", "not made before"),
    ]


def test_an_input_within_a_phase_is_compared_first(tmp_path):
    """`cards` sorts before `train`, but was computed from it."""
    for folder, code in (("a", "c"), ("b", "d")):
        make(tmp_path / folder, "prepare/train", {"rows.jsonl": ""}, code=code)
        make(tmp_path / folder, "prepare/card", {"card.json": {}}, ["prepare/train"])
    assert [one.artifact for one in differences.compare_builds(tmp_path / "a", tmp_path / "b")] == [
        "prepare/train",
        "prepare/card",
    ]


def test_an_array_is_judged_alike_whatever_the_size_of_the_blocks(tmp_path, monkeypatch):
    """Against the places found with the whole array in memory."""
    rng = np.random.default_rng(3)
    before = rng.normal(size=(7, 5, 3))
    now = before.copy()
    spots = rng.permutation(before.size)[:40]
    now.flat[spots] += rng.choice([1e-7, 1e-5, 0.3], 40)
    now.flat[spots[:4]] = [np.nan, np.inf, np.nan, 1.0]
    before.flat[spots[1]] = np.inf  # both not finite and equal
    for name, a, b in (
        ("layer.npy", before, now), ("layer.npy", before.astype(np.float32), now.astype(np.float32)),
        ("layer.npy", np.asfortranarray(before), np.asfortranarray(now)),
        ("layer.npy", np.array(1.0), np.array(1.5)), ("w.safetensors", {"w": before}, {"w": now}),
        ("layer.npy", np.zeros((7, 5)), -np.zeros((7, 5))),
        ("predictions_test.npy", (before > 0).astype(np.int8), (now > 0).astype(np.int8)),
    ):  # fmt: skip
        monkeypatch.setattr(differences, "_BLOCK", 10**9)
        whole = difference(tmp_path, name, a, b)
        for size in (1, 2, 7, 105):
            monkeypatch.setattr(differences, "_BLOCK", size)
            assert difference(tmp_path, name, a, b) == whole
    finite = np.isfinite(before) & np.isfinite(now)
    gap = np.abs(np.where(finite, now, 0) - np.where(finite, before, 0))
    monkeypatch.setattr(differences, "_BLOCK", 4)
    found = difference(tmp_path, "layer.npy", np.where(finite, before, 0), np.where(finite, now, 0))
    assert found.absolute == gap.max() and found.count == np.count_nonzero(gap)
    scale = np.abs(np.where(finite, before, 0)).max()
    assert found.place == str([int(i) for i in np.argwhere(gap > 1e-4 * scale)[0]])


def test_memory_does_not_grow_with_the_layer(tmp_path):
    """What is allocated is a few blocks, not copies of the array, which is read from disk as it is needed."""
    before = np.ones((4, 2**22), np.float32)
    a, b = write(tmp_path, "a.npy", before), write(tmp_path, "b.npy", before + np.float32(1e-6))
    places = differences._Places("layer.npy")
    tracemalloc.start()
    differences._npy(a, b, places)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert places.found().count == before.size
    assert peak < before.nbytes / 4


def test_an_error_of_a_reader_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    """As those of the system do, of a file that cannot be opened, by the name it was asked for or the whole one."""
    monkeypatch.chdir(tmp_path)
    write(Path("a"), "layer.npy", np.zeros(9))
    write(Path("b"), "layer.npy", np.ones(9))

    def reader(name):
        def read(before, now, places):
            if before != now:
                raise OSError(5, "Input/output error", str(name(now)))

        return read

    for folder in (Path(), tmp_path):
        for name in (Path, Path.absolute):
            monkeypatch.setitem(differences._BY_SUFFIX, ".npy", reader(name))
            found = differences.compare_file(folder / "a/layer.npy", folder / "b/layer.npy", "layer.npy")
            assert found.now == "not readable ([Errno 5] Input/output error: 'layer.npy')"


NATIVE, DRAWN = {"numerics": ["native: aarch64"]}, {"differing_tensors": 3}
CLOSE = np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(1e-6)


def dump(build, facts=None, layer=CLOSE, **manifest):
    """Activations, and what was made from them, with the same facts."""
    make(build, "activations/m/t/train", {"layer_00.npy": layer}, facts=facts or {}, **manifest)
    make(build, "subsets/search/m/t", {"figures.json": {"score": 0.5}}, ["activations/m/t/train"],
         facts={k: v for k, v in (facts or {}).items() if k == "numerics"})  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "verdict", "kind"),
    [
        ({"model_sha256": "a" * 64}, {"model_sha256": "a" * 64}, WITHIN, "numerics"),
        ({"model_sha256": "a" * 64}, {"model_sha256": "b" * 64}, DIFFERENT, "source"),
        ({"model_sha256": "a" * 64}, {"model_sha256": "b" * 64, **NATIVE}, DIFFERENT, "source"),
        # weights that are drawn on the machine
        (DRAWN | {"model_sha256": "a" * 64}, DRAWN | NATIVE | {"model_sha256": "b" * 64}, WITHIN, "numerics"),
        (DRAWN | {"model_sha256": "a" * 64}, DRAWN | {"model_sha256": "b" * 64}, DIFFERENT, "source"),
        ({"vectors": 9}, {"vectors": 8, **NATIVE}, DIFFERENT, "numerics"),
        ({"share": 0.5}, {"share": 0.5001}, WITHIN, "numerics"),
    ],
)  # fmt: skip
def test_facts_of_a_manifest_are_compared_too_where_its_files_are_within_tolerance(
    tmp_path, before, now, verdict, kind
):
    dump(tmp_path / "a", before, CLOSE - np.float32(1e-6))
    dump(tmp_path / "b", now)
    first = differences.compare_builds(tmp_path / "a", tmp_path / "b")[0]
    assert (first.verdict, first.kind) == (verdict, kind)
    if verdict == DIFFERENT:
        assert "manifest.json: facts." in first.why


def test_what_is_gone_is_judged_by_what_was_made_from_it(tmp_path):
    """A dump that was deleted to make room; before or now."""
    for gone, when in (("a", "before"), ("b", "now")):
        place = tmp_path / when
        dump(place / "a")
        dump(place / "b")
        shutil.rmtree(place / gone / "activations")
        names = ["activations/m/t/train", "subsets/search/m/t"]
        found = differences.compare_builds(place / "a", place / "b", names)
        assert [one.verdict for one in found] == [IDENTICAL, IDENTICAL]
        other = "b" if gone == "a" else "a"
        dump(place / other, layer=CLOSE * 2)
        found = differences.compare_builds(place / "a", place / "b", names)
        assert told(found) == [
            ("activations/m/t/train", DIFFERENT, "content"), ("subsets/search/m/t", DIFFERENT, "input")
        ]  # fmt: skip
        assert found[0].why.startswith(f"gone {when}, and the manifests of what was made from it")
        dump(place / other, NATIVE, CLOSE * 2)
        found = differences.compare_builds(place / "a", place / "b", names)
        assert told(found) == [
            ("activations/m/t/train", differences.NOT_COMPARED, "numerics"), ("subsets/search/m/t", WITHIN, "input")
        ]  # fmt: skip
        assert found[1].why == "input tiny/activations/m/t/train is not compared; its files are equal"
        assert differences.worst(found) == WITHIN


def test_a_leaderboard_of_other_hardware_is_judged_by_its_files(tmp_path):
    """Its inputs lie nowhere to be compared; on one kind of machine they have to be the same."""
    for folder, facts, score in (("a", {}, 0.5), ("b", NATIVE, 0.501), ("c", {}, 0.501), ("d", NATIVE, 0.6)):
        dump(tmp_path / folder, facts, CLOSE + np.float32(score))
        make(tmp_path / folder, "leaderboard", {"m.json": {"score": score}}, ["activations/m/t/train"], facts=facts)
    verdicts = {}
    for folder in "bcd":
        one = differences.compare_artifact(
            "leaderboard", tmp_path / "a/leaderboard", tmp_path / folder / "leaderboard", {}
        )
        verdicts[folder] = (one.verdict, one.kind)
        if folder == "b":
            assert one.why.startswith(
                "other hardware (portable before, native: aarch64 now); m.json: score: 0.5 before"
            )
    assert verdicts == {"b": (WITHIN, "numerics"), "c": (DIFFERENT, "input"), "d": (DIFFERENT, "numerics")}


@pytest.mark.parametrize(("moved", "within"), [(0, True), (10, True), (11, False)])
def test_of_a_hundred_minima_of_replicates_ten_may_move(tmp_path, moved, within):
    """Scores as figures do; no figure of the leaderboard is of one replicate."""

    def write(name, minima, score):
        lines = ["score,subset,n_minimal", *(f"{score:.6f},0.500000,{n}" for n in minima)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "m__t.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / name

    before = write("before", [100] * 99 + ["inf"], 0.7)
    others = [101] * max(moved - 1, 0)
    now = write("now", [*others, *[100] * (99 - len(others)), "inf" if moved == 0 else 120], 0.701)
    (found,) = differences.compare_results(before, now)
    assert found.within is within and found.absolute == pytest.approx(0.001)
    if not within:
        assert "11 of 100" in found.text()


def test_a_figure_that_a_row_has_no_more_is_told(tmp_path):
    for name, cell in (("before", "100"), ("now", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m__t.csv").write_text(f"score,subset,n_minimal\n0.5,0.5,{cell}\n")
    (found,) = differences.compare_results(tmp_path / "before", tmp_path / "now")
    assert not found.within and "draw 1, n_minimal" in found.text()

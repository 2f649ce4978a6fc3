"""Artifact folders: whole or not at all, with a manifest that holds no time, host or absolute path."""

import numpy as np
import pytest

from neurosieve import artifacts
from neurosieve.artifacts import ArtifactError, Writer


def make(folder, value=1, inputs=()):
    with Writer(folder, "probes", {"value": value}, inputs) as writer:
        writer.json("a.json", {"value": np.float32(0.5), "list": np.arange(3)})
        writer.npy("b.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
        writer.jsonl("sub/c.jsonl", [{"x": "\u2028é\r"}, {"x": "two"}])
        writer.tensors("d.safetensors", {"w": np.ones((2, 2), np.float32)})
        writer.facts["rows"] = 2
    return folder


def test_what_is_written_is_read_back(tmp_path):
    folder = make(tmp_path / "one")
    assert artifacts.read_json(folder / "a.json") == {"list": [0, 1, 2], "value": 0.5}
    assert artifacts.read_npy(folder / "b.npy", mmap=True).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert artifacts.read_jsonl(folder / "sub/c.jsonl") == [{"x": "\u2028é\r"}, {"x": "two"}]
    assert artifacts.read_tensors(folder / "d.safetensors")["w"].sum() == 4
    assert artifacts.read_manifest(folder)["facts"] == {"rows": 2}
    artifacts.check_files(folder)


def test_the_same_content_gives_the_same_bytes_anywhere(tmp_path):
    first = make(tmp_path / "x" / "one", inputs=[make(tmp_path / "x" / "in")])
    second = make(tmp_path / "y" / "one", inputs=[make(tmp_path / "y" / "in")])
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)
    assert str(tmp_path) not in (first / "manifest.json").read_text()


def test_an_input_that_changed_shows_in_the_manifest(tmp_path):
    first = make(tmp_path / "x" / "one", inputs=[make(tmp_path / "x" / "in", value=1)])
    second = make(tmp_path / "y" / "one", inputs=[make(tmp_path / "y" / "in", value=2)])
    assert (first / "manifest.json").read_bytes() != (second / "manifest.json").read_bytes()


def test_a_failure_leaves_the_old_artifact_and_nothing_half_written(tmp_path):
    folder = make(tmp_path / "one")
    before = (folder / "manifest.json").read_bytes()

    def fail():
        with Writer(folder, "probes", {}) as writer:
            writer.json("a.json", {})
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert (folder / "manifest.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_what_a_killed_run_left_is_replaced(tmp_path):
    left = tmp_path / ".one.part"
    left.mkdir()
    (left / "rubbish").write_text("half")
    folder = make(tmp_path / "one")
    assert not (folder / "rubbish").exists() and not left.exists()


def test_a_nan_is_refused(tmp_path):
    def write():
        with Writer(tmp_path / "one", "probes", {}) as writer:
            writer.json("a.json", {"deep": [1.0, float("nan")]})

    with pytest.raises(ValueError, match=r"deep\[1\] is nan"):
        write()
    assert not (tmp_path / "one").exists()


def test_check_files_names_each_fault(tmp_path):
    folder = make(tmp_path / "one")
    (folder / "a.json").write_text("{}\n")
    (folder / "b.npy").unlink()
    (folder / "extra").write_text("")
    with pytest.raises(ArtifactError) as caught:
        artifacts.check_files(folder)
    assert all(
        text in str(caught.value) for text in ("a.json: changed", "b.npy: missing", "extra: not in the manifest")
    )


def test_broken_files_are_named_with_their_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ArtifactError, match=r"rows\.jsonl:2: not valid json"):
        artifacts.read_jsonl(path)
    path.write_text("[1]\n")
    with pytest.raises(ArtifactError, match=r"rows\.jsonl:1: found list"):
        artifacts.read_jsonl(path)
    (tmp_path / "x.npy").write_bytes(b"not an array")
    with pytest.raises(ArtifactError, match=r"x\.npy: not a readable array"):
        artifacts.read_npy(tmp_path / "x.npy")
    with pytest.raises(ArtifactError, match="run again"):
        artifacts.read_manifest(tmp_path / "none")


def test_pickled_arrays_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="not a readable array"):
        artifacts.read_npy(tmp_path / "x.npy")


def test_a_missing_input_is_told_before_anything_is_moved(tmp_path):
    with pytest.raises(ArtifactError, match="run again"):
        make(tmp_path / "one", inputs=[tmp_path / "none"])
    assert list(tmp_path.iterdir()) == []

"""A dump that makes other tasks' artifacts too: the bytes of dumps alone, and none taken that is not of the run."""

import shutil
from pathlib import Path

import pytest
import stub_chain
import tiny_models

from neurosieve import chain, company, flow
from neurosieve.activations import dump_activations
from neurosieve.artifacts import Paths
from neurosieve.config import SPLITS
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import drawn

TEXTS = [*tiny_models.TEXT, "x = 1\n", "total = total + price * count\n" * 9]
TASKS = ("token-roles", "doc-match")


def prepared(params, build: Path) -> Paths:
    """The corpus and the tasks of the tiny benchmark; the second task has texts of the first."""
    paths = Paths("tiny", build)
    stub_chain.make(params, paths, lambda artifact: artifact.phase == "prepare")
    for task in TASKS:
        texts = TEXTS if task == "token-roles" else [TEXTS[1], "def f(): return 2\n", TEXTS[-1]]
        for split in SPLITS:
            with flow.writer(params, paths, "prepare_task", task=task, split=split) as out:
                out.jsonl("inputs.jsonl", [{"id": i, "text": text, "file": f"{i}.py"} for i, text in enumerate(texts)])
                place = {"start": 0, "end": 1} if task == "token-roles" else {}
                out.jsonl("rows.jsonl", [{"input": i, "label": 0, **place} for i in range(len(texts))])
    return paths


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("models") / "m", "modernbert", positions=512)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def job(params, paths, task: str) -> str:
    """What the command does: how it came by the artifact."""
    with company.of(params, paths, model="tiny", task=task) as found:
        if found.take():
            return "taken"
        others = found.others()
        dump_activations(params, paths, model="tiny", task=task, others=others, ready=found.ready)
        return f"computed with {', '.join(others)}" if others else "computed"


@pytest.fixture
def params(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    return stub_chain.load(tmp_path)


def test_a_task_taken_from_another_dump_has_the_bytes_of_one_alone(params, tmp_path, monkeypatch):
    paths, alone = prepared(params, tmp_path / "build"), prepared(params, tmp_path / "alone")
    first, second = TASKS
    assert job(params, paths, first) == f"computed with {second}"
    assert not paths.activations("tiny", second, "train").exists()
    assert job(params, paths, second) == "taken"
    assert not list(company.ready(paths).root.rglob("*.npy"))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert [job(params, alone, task) for task in TASKS] == ["computed", "computed"]
    made = paths.root / "activations" / "tiny"
    assert bytes_of(made) == bytes_of(alone.root / "activations" / "tiny")
    assert len(bytes_of(made)) == len(TASKS) * len(SPLITS) * 4  # three layers and a manifest
    assert not [
        f for f in chain.Chain(params, paths).faults(contents=True) if "activations/tiny/" in f.folder.as_posix()
    ]


def test_what_is_ready_and_not_of_this_run_is_not_taken(params, tmp_path):
    paths = prepared(params, tmp_path / "build")
    first, second = TASKS
    job(params, paths, first)
    with flow.writer(params, paths, "prepare_task", task=second, split="tune") as out:
        out.jsonl("inputs.jsonl", [{"id": 0, "text": "y = 3\n", "file": "0.py"}])
        out.jsonl("rows.jsonl", [{"input": 0, "label": 0}])
    assert job(params, paths, second) == "computed"
    assert not list(company.ready(paths).root.rglob("*.npy"))
    assert job(params, paths, first) == "computed"  # what is there already is made by no other task's job


def test_tasks_take_the_same_functions_whatever_each_leaves_out():
    records = [Record("p", f"f{i % 7}", f"g{i}", f"def g{i}(): pass", str(i)) for i in range(60)]
    order = list(drawn(records, 5))
    assert sorted(r.name for r in order) == sorted(r.name for r in records) and order != list(drawn(records, 6))
    assert len({r.file for r in order[:7]}) == 7  # one of each file before a second
    assert list(drawn(records[::-1], 5)) == order
    left = [r for r in records if int(r.key) % 3]
    kept = [r for r in order if int(r.key) % 3]
    for file in {r.file for r in left}:  # of each file in the same order
        assert [r for r in drawn(left, 5) if r.file == file] == [r for r in kept if r.file == file]

"""Shards of a dump: whole batches of one plan, in processes of their own, give the bytes of a single process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models

from neurosieve.activations import ActivationsError, dump_activations, shards
from neurosieve.activations.batches import make_plan
from neurosieve.activations.dump import Kept, Target, preallocate, run_plan, targets, write_layers, write_rows
from neurosieve.activations.models import load_model
from neurosieve.artifacts import Paths, Writer
from neurosieve.config import SPLITS, Activations, Model, Params, load_params

# of 1 to 12 windows; the windows of a long text run far from one another, for the longest run first
TEXTS = ["names.append(name)\n" * 20, "x = 1", "def add(first, second):\n    return first + second\n", "y == x[0]"] * 4
TEXTS[4] = "total = total + price * count\n" * 30
SETTINGS = {"subword": "mean", "pooling": "mean", "window": 24, "batch_tokens": 72}


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    model = Model(path=str(tiny_models.save(tmp_path_factory.mktemp("models") / "m", "modernbert")))
    changed = {"models": {"m": model}, "activations": Activations(**SETTINGS), "numerics": "fast"}
    return load_params("params.yaml").model_copy(update=changed)


def prepared(build: Path) -> Paths:
    paths = Paths("b", build)
    for split in SPLITS:
        with Writer(paths.task("t") / split, "prepare", {}) as writer:
            writer.jsonl("inputs.jsonl", [{"id": i, "text": text, "file": f"{i}.py"} for i, text in enumerate(TEXTS)])
            writer.jsonl("rows.jsonl", [{"input": i, "label": 0} for i in range(len(TEXTS))])
    return paths


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("number", [1, 2, 3, 5, 60])
def test_any_number_of_shards_gives_the_same_bytes(params, tmp_path, number, pooling):
    """In one process: each shard's batches, then what they leave to be put together."""
    loaded = load_model(params, "m")
    plan = make_plan(prepared(tmp_path).task("t") / "train", loaded.coding, **{**SETTINGS, "pooling": pooling})
    assert 20 < plan.batches < 60
    paths = [tmp_path / f"{layer}.npy" for layer in range(loaded.layers)]
    write_layers(loaded, plan, [plan], [paths], "t")
    expected = [path.read_bytes() for path in paths]

    bounds = shards.cuts(plan, number)
    assert bounds[0] == 0 and bounds[-1] == plan.batches and len(bounds) == number + 1 and (np.diff(bounds) >= 0).all()
    apart = shards.apart(plan, bounds)
    assert apart.any() == (number > 1)
    crew = shards.Crew.__new__(shards.Crew)
    kept_by_shard = []
    with shards.ExitStack() as stack:
        opened = targets(stack, [plan], [paths], loaded.width)
        for first, stop in reversed(list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))):
            kept = Kept()
            for rows, layers in run_plan(loaded, plan, "", first, stop, apart, kept):
                opened[0].write(rows, layers)
            kept_by_shard.insert(0, tmp_path / f"{first}.{stop}.{len(kept_by_shard)}.npz")
            values = np.array(kept.values) if kept.values else np.empty((0, loaded.layers, loaded.width))
            np.savez(kept_by_shard[0], vectors=np.array(kept.vectors, np.int64), places=kept.places, values=values)
        crew._gather(plan, opened, kept_by_shard)
    assert [path.read_bytes() for path in paths] == expected
    assert not list(tmp_path.glob("*.npz"))


def test_processes_that_share_a_dump_write_the_folders_of_one(params, tmp_path, monkeypatch):
    one, three = prepared(tmp_path / "one"), prepared(tmp_path / "three")
    dump_activations(params, one, model="m", task="t")
    monkeypatch.setenv("NEUROSIEVE_DUMP_SHARDS", "3")
    dump_activations(params, three, model="m", task="t")
    found = files(three.activations("m", "t", "train").parent)
    assert found == files(one.activations("m", "t", "train").parent)
    assert len(found) == 4 * (load_model(params, "m").layers + 1)


def test_a_lost_shard_is_told_and_nothing_is_written(params, tmp_path, monkeypatch):
    paths = prepared(tmp_path)
    monkeypatch.setenv("NEUROSIEVE_DUMP_SHARDS", "2")
    start = shards.Crew.__init__

    def lose(crew, *args):
        start(crew, *args)
        crew.processes[1].kill()
        crew.processes[1].wait()  # else what it is told may still reach it

    monkeypatch.setattr(shards.Crew, "__init__", lose)
    with pytest.raises(ActivationsError, match=r"m t train: shard .*2 of 2 was lost \(exit status -9\).*again"):
        dump_activations(params, paths, model="m", task="t")
    assert not paths.activations("m", "t", "train").parent.exists() or not files(
        paths.activations("m", "t", "train").parent
    )


@pytest.mark.parametrize("text", ["0", "two", "-1"])
def test_a_number_of_shards_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("NEUROSIEVE_DUMP_SHARDS", text)
    with pytest.raises(ActivationsError, match="NEUROSIEVE_DUMP_SHARDS: found"):
        shards.shards()


def test_parts_of_a_vector_are_summed_in_the_order_of_the_text(tmp_path):
    """1 + 1e17 - 1e17 is 0 in this order, and 1 in another, whichever shard has which part."""
    parts = []
    for number, (place, value) in enumerate(((2, -1e17), (0, 1.0), (1, 1e17))):
        parts.append(tmp_path / f"{number}.npz")
        np.savez(parts[-1], vectors=np.array([1]), places=np.array([place]), values=np.full((1, 1, 2), value))
    plan = SimpleNamespace(how="mean", vector_length=np.array([1, 1]))
    with shards.ExitStack() as stack:
        file = preallocate(stack, tmp_path / "layer.npy", 2, 2)
        write_rows(file, np.array([0, 1]), np.ones((2, 2), np.float32))
        shards.Crew.__new__(shards.Crew)._gather(plan, [Target(0, 2, [file])], parts)
    assert np.load(tmp_path / "layer.npy").tolist() == [[1, 1], [0, 0]]

"""benchmarks/training.py: what is measured of a checkpoint, its table and picture; presets/training.yaml."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from neurosieve import config

sys.path.insert(0, "benchmarks")  # of pictures.py
SPEC = importlib.util.spec_from_file_location("training", Path("benchmarks/training.py"))
training = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(training)


def row(step: int, neurons: list[int], concepts: list[str | None], score: float = 0.5, claimed: bool = True) -> dict:
    return {
        "model": f"step-{step:06d}", "task": "t", "status": "supported", "n_neurons": 20, "ranking": "lca",
        "judge": {"oracle": score, "surface": 0.4}, "neurons": {"lca": neurons} if neurons else {},
        "n_minimal": len(neurons) if claimed else None, "cka": [[1.0, 0.5, 0.2], [0.5, 1.0, None], [0.2, None, 1.0]],
        "clusters": [{"threshold": 0.1, "clusters": 18}, {"threshold": 0.3, "clusters": 15}],
        "concepts": {"described": len(concepts), "neurons": [{"concept": name} for name in concepts]},
    }  # fmt: skip


def test_what_is_measured_of_a_checkpoint_by_hand():
    last = row(8, [1, 2, 3, 4], ["A", "A", "B", "B"])
    found = training.measure(row(2, [3, 4, 5, 6, 7], ["A", None, "B", "C", "A"], claimed=False), last)
    assert (found["step"], found["neurons"], found["share"], found["claimed"]) == (2, 5, 0.25, False)
    assert (found["named"], found["described"], found["names"]) == (4, 5, 3)
    assert found["entropy"] == pytest.approx(1.5)  # a half, a quarter, a quarter
    assert found["left"] == 0.75 and found["cka"] == pytest.approx(0.35)
    assert found["again"] == pytest.approx(2 / 7)
    assert 0 < found["chance"] < found["again"]
    # without a subset, without a name
    none = training.measure(row(0, [], [None]), last)
    assert none["again"] is None and none["share"] is None and none["entropy"] == 0


def test_rows_are_read_in_the_order_of_the_steps_and_shown(tmp_path):
    folder = tmp_path / "training" / "rows"
    folder.mkdir(parents=True)
    for step, neurons in ((8, [1, 2]), (0, []), (2, [2, 3])):
        (folder / f"step-{step:06d}__t.json").write_text(json.dumps(row(step, neurons, ["A"])))
    rows = training.read(tmp_path)
    assert [training.step(each) for each in rows] == [0, 2, 8]
    lines = training.tables(rows).splitlines()
    assert len(lines) == 2 + 2 + 3 and lines[-1].startswith(
        "| 8 | supported | 0.500 | 0.400 | 75.0% | 0.35 | 2 | 1 of 1"
    )
    assert lines[-1].endswith(f"| 1.00 | {training.chance_overlap(2, 2, 20):.2f} |")
    assert lines[-3].endswith("| - | 1 of 1 | 1 | 0.00 | - | - |")
    assert len({line.count("|") for line in lines[2:]}) == 1
    heads = [head.strip() for head in lines[2].strip("| ").split("|")]
    explained = training.LEGEND.replace("\n", " ")
    assert not [head for head in heads if head not in ("step", "status") and head not in explained]
    points = training.picture(rows, "t")["data"]["values"]
    assert len({point["series"] for point in points}) == 4
    assert [p["value"] for p in points if p["series"] == "score, all neurons"][-1] == 0.5


def test_a_folder_is_a_whole_model(tmp_path):
    model = tmp_path / "model"
    for step in ("step-000000", "step-000002"):
        (model / "checkpoints" / step).mkdir(parents=True)
        for name in ("config.json", "model.safetensors"):
            (model / "checkpoints" / step / name).write_text(f"{step} {name}")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).write_text(name)
    made = training.assemble(model, tmp_path / "to")
    assert [folder.name for folder in made] == ["step-000000", "step-000002"]
    assert {path.name for path in made[1].iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert (made[1] / "config.json").read_text() == "step-000002 config.json"


def test_the_preset_names_every_checkpoint_and_keeps_step_with_the_default_but_for_sizes():
    default, preset = config.load_params("params.yaml"), config.load_params("presets/training.yaml")
    checkpoints = sorted(path.name for path in (training.MODEL / "checkpoints").iterdir())
    assert preset.run.models == checkpoints and len(checkpoints) == 8
    for name in checkpoints:
        assert preset.models[name].path == (training.ASSEMBLED / name).as_posix()
    for task in preset.run.tasks:
        here, there = (params.prepare.tasks[task].model_dump(exclude={"rows"}) for params in (preset, default))
        assert here == there
    assert preset.prepare.corpora == default.prepare.corpora and preset.redundancy == default.redundancy

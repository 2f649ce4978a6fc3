"""The script that looks for the published concept neurons: its rules by hand, and on neurons that were planted."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("claims", Path("benchmarks/claims.py"))
assert SPEC is not None and SPEC.loader is not None
claims = importlib.util.module_from_spec(SPEC)
sys.modules["claims"] = claims
SPEC.loader.exec_module(claims)


def test_the_heaviest_hold_the_share_of_the_mass() -> None:
    weights = np.array([1.0, -4.0, 2.0, 0.0, -3.0])  # mass 10; by size 1, 4, 2, 0, 3
    assert claims.heaviest(weights, 0.05).tolist() == [1]
    assert claims.heaviest(weights, 0.4).tolist() == [1]
    assert claims.heaviest(weights, 0.41).tolist() == [1, 4]
    assert claims.heaviest(weights, 0.9).tolist() == [1, 4, 2]
    assert claims.heaviest(np.zeros(3)).tolist() == []


def test_the_strongest_types_by_hand() -> None:
    codes = np.array([0, 1, 1, 2, 2, 3])
    size = np.array([[9.0, 0], [1, 5], [3, 5], [4, 1], [4, 1], [0, 7]])  # means: 9, 2, 4, 0 and 0, 5, 1, 7
    assert claims.strongest_types(size, codes, 3).tolist() == [[0, 2, 1], [3, 1, 2]]
    assert claims.strongest_types(size, codes, 5).tolist() == [[0, 2, 1, 3, -1], [3, 1, 2, 0, -1]]


def test_the_eye_reads_four_of_five() -> None:
    class_of = np.array([0, 0, 0, 0, 1, 1, 2])
    types = np.array([[0, 1, 2, 3, 4], [0, 1, 2, 4, 5], [0, 1, 4, 5, 6], [0, 1, 2, 6, -1], [6, 6, 6, 6, 6]])
    assert claims.by_eye(types, class_of, (0,), False).tolist() == [True, False, False, False, False]
    assert claims.by_eye(types, class_of, (0, 1), False).tolist() == [True, True, True, False, False]
    assert claims.by_eye(types, class_of, (0, 1), True).tolist() == [False, True, True, False, False]


def cell(named: list[int], own: list[int]) -> claims.Cell:
    """Forty neurons in two layers."""
    mask = np.isin(np.arange(40), named)
    layers = np.arange(40) // 20
    own_of, judged = {"NUMBER": np.array(own)}, {"NUMBER": "unseen"}
    return claims.Cell(layers, {"NUMBER": mask}, {"NUMBER": mask}, own_of, judged, {"NUMBER": 0.1})


def test_shares_stand_beside_those_of_random_neurons_of_the_same_layers() -> None:
    rare = claims.shares(cell([0, 1, 21], [0, 1, 2, 3]), "NUMBER", [1])
    assert (rare["neurons"], rare["per_layer"]) == (4, [4, 0])
    # in layer 0 none of the others is named
    assert rare["eye"] == {"named": 2, "share": 0.5, "random": 0.0, "random_95": 0.0, "of_all": 3 / 40}
    common = claims.shares(cell(list(range(20)), [0, 20]), "NUMBER", [1])
    assert common["ours"]["random"] == 0.5  # one of layer 0, which is named, and one of layer 1, which is not


def test_the_verdict_in_words() -> None:
    def row(named: int, beyond: bool) -> claims.Row:
        return {"eye": {"named": named, "beyond": beyond}}

    assert claims.verdict([row(0, False)] * 2, "eye") == "not found"
    assert claims.verdict([row(3, False), row(0, False)], "eye").startswith("found in 1 of 2, in none beyond")
    assert claims.verdict([row(3, True), row(2, False)], "eye").startswith("found in 2 of 2, in 1 beyond")


def test_planted_text_neurons_are_neither_identifiers_nor_strings() -> None:
    from neurosieve.config import Concepts, Params

    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(120), 5)
    labels = (np.arange(120) % 3)[codes]  # 0 identifiers, 1 strings, 2 others
    X = rng.normal(size=(600, 8)).astype(np.float32)
    X[:, 0] += 3 * (labels == 0)
    X[:, 1] -= 3 * (labels == 1)
    X[:, 2] += 3 * (labels < 2)
    settings = {"neurons": 1, "top_types": 1, "min_count": 1, "context": 0, "permutations": 99}
    params = Params.model_construct(seed=1, concepts=Concepts.model_validate(settings))
    seen = codes < 60
    of = {"STRING": (1,), "IDENT": (0,), claims.TEXT: (0, 1)}
    ours, judged = claims._named(params, X, labels, codes, seen, of, "task")
    assert set(judged.values()) == {"unseen"}
    assert ours["IDENT"][0] and ours["STRING"][1] and ours[claims.TEXT][2]
    assert not ours[claims.TEXT][[0, 1]].any()
    assert not np.stack(list(ours.values()))[:, 3:].any()


def test_figures_make_the_tables_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"share": 0.75, "named": 3, "random": 0.25, "random_95": 0.5, "twin": 0.2, "beyond": True}
    row = {"task": "tags", "claim": "NUMBER", "model": "a", "neurons": 4, "eye": rule, "ours": rule | {"beyond": False}}
    other = row | {"model": "b", "neurons": 12, "eye": rule | {"named": 0, "share": 0, "beyond": False}}
    (tmp_path / "claims.json").write_text(json.dumps([row, other]))
    claims.main(["--figures", str(tmp_path / "claims.json")])
    told = capsys.readouterr().out
    line = "| NUMBER neurons, tags | by eye, five types | found in 1 of 2, in 1 beyond random neurons and the twin "
    assert line + "| 3 of 16 (19%); random 25%; twins 20% |" in told
    assert "| tags | NUMBER | a | 4 | **75%** | 25% (95 %: 50%) | 20% | 75% | 25% (95 %: 50%) | 20% |" in told


def test_published_rows_are_counted(tmp_path: Path) -> None:
    def row(model: str, of: str | None, concepts: list[str | None], task: str = "tags") -> None:
        neurons = [{"concept": concept} for concept in concepts]
        report = {"described": len(neurons), "neurons": neurons, "tested": {"NAME": "unseen", "NUMBER": "all"}}
        line = {"task": task, "protocol": "strict", "control_of": of, "concepts": report}
        (tmp_path / "rows" / f"{model}__{task}.json").write_text(json.dumps(line))

    (tmp_path / "rows").mkdir()
    row("a", None, ["NUMBER", "NUMBER", None])
    row("a-untrained", "a", [None, "NAME"])
    row("b", None, ["NAME"])
    row("b", None, ["NUMBER"], "other")
    number, name = claims.of_results(tmp_path, ["tags"])
    assert (number["claim"], name["claim"]) == ("NUMBER", "IDENT")
    assert number["trained"] == {"described": 4, "named": 2, "models": 2, "with_one": 1}
    assert number["twins"] == {"described": 2, "named": 0, "models": 1, "with_one": 0}
    assert name["twins"]["named"] == 1
    table = claims.results_table([number, name], tmp_path)
    assert "in 1 of 2 trained models, and in 0 of 1 untrained twins | 2 of 4 described neurons; twins 0 of 2" in table


def test_nothing_is_read_without_a_run(tmp_path: Path) -> None:
    with pytest.raises((OSError, RuntimeError)):
        claims.main(["--params", "presets/real-data.yaml", "--build", str(tmp_path), "--models", "minilm"])


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--tasks: found 'java-tags'; .* has nothing"):
        claims.main(["--results", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"--models: found 'x'; the trained models of the run are .*minilm"):
        claims.main(["--params", "presets/real-data.yaml", "--models", "x"])
    with pytest.raises(SystemExit, match=r"--tasks: found 'x'; the tasks of the run are .*java-tags"):
        claims.main(["--params", "presets/real-data.yaml", "--tasks", "x"])


def test_no_draw_is_smaller_than_the_neurons_it_stands_beside() -> None:
    with pytest.raises(SystemExit, match="NUMBER: layer 0 has too few other neurons"):
        claims.shares(cell([0], list(range(11))), "NUMBER", [1])

"""What every file of concepts/lenses/ must keep to; a file dropped in is tested without a change here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lens_inputs
import numpy as np
import pytest
import tiny_models

from neurosieve.activations.models import load_language_model
from neurosieve.concepts import lenses
from neurosieve.config import Params
from neurosieve.config.base import Block
from neurosieve.config.lenses import LENS_UNITS, lens_facts, lens_settings
from neurosieve.config.names import lens_names

each_lens = pytest.mark.parametrize("name", lens_names())


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model with its head: random weights, which know nothing of what is planted."""
    folder = tiny_models.save(tmp_path_factory.mktemp("models") / "tiny", "modernbert", head=True)
    return load_language_model(folder, "tiny", "portable")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """planted: carriers are chosen; permuted: of labels in random order, neurons are chosen at random; the others."""
    root = tmp_path_factory.mktemp("rows")
    noise = np.random.default_rng(5).choice(np.arange(16, 48), 6, replace=False)
    sentences = replace(lens_inputs.SETTING, unit="sequence")
    pairs = replace(lens_inputs.SETTING, unit="pair")
    numbers = replace(lens_inputs.SETTING, classes=0)
    return {
        "planted": lens_inputs.build(root / "planted"),
        "permuted": lens_inputs.build(root / "permuted", labels="permuted", chosen=noise),
        "sequence": lens_inputs.build(root / "sequence", sentences),
        "pair": lens_inputs.build(root / "pair", pairs),
        "number": lens_inputs.build(root / "number", numbers),
        "none": lens_inputs.build(root / "none", chosen=[]),
    }


def look(rows: dict[str, Any], kind: str, name: str, head: Any) -> dict[str, Any]:
    params, paths, _ = rows[kind]
    facts = lens_facts(name)
    settings = {"models": params.run.models} if facts.others == "models" else {}
    data = replace(lens_inputs.row(params, paths, name, **settings), load=lambda: head)
    return lenses.examine(data)[0]


@each_lens
def test_it_says_what_it_asks_what_it_compares_with_and_where_it_comes_from(name):
    told = lenses.said(name)
    assert told["question"].endswith("?")
    assert all(len(text) > 20 for text in told.values())
    facts = lens_facts(name)
    assert set(facts.units) <= set(LENS_UNITS)
    # what is read as text is what the module has
    module = lenses.load(name).__globals__
    assert module["UNITS"] == facts.units
    assert (module.get("NUMBERS", False), module.get("NEEDS_MODEL", False)) == (facts.numbers, facts.model)


@each_lens
def test_its_settings_have_defaults_and_are_a_key_of_the_params(name, rows):
    default = lens_settings(name)()
    assert isinstance(default, Block)
    params = lens_inputs.with_settings(rows["planted"][0], name)
    assert params.concepts.lenses.names() == [name]
    assert params.concepts.lenses.of(name) == default
    again = Params.model_validate(params.model_dump(mode="json"), strict=False)
    assert again.concepts.lenses == params.concepts.lenses


@each_lens
def test_what_it_finds_in_planted_data_is_plain_and_the_same_twice(name, rows, head):
    found = look(rows, "planted", name, head)
    assert json.dumps(found, allow_nan=False) == json.dumps(look(rows, "planted", name, head), allow_nan=False)
    assert set(found) == {
        "lens", "question", "null", "source", "model", "task", "unit", "subset", "claimed", "chosen", "headline",
        "found", "reproducible", "reason",
    }  # fmt: skip
    if found["reason"] is not None:
        assert found["headline"] is None and found["found"] is None
        pytest.fail(f"{name} finds nothing to measure in a planted task of tokens: {found['reason']}")
    assert 0 < found["headline"]["p"] <= 1 and found["found"]


@each_lens
def test_permuted_labels_and_random_neurons_give_nothing(name, rows, head):
    found = look(rows, "permuted", name, head)
    assert found["headline"]["p"] > 0.05, found["headline"]


@each_lens
@pytest.mark.parametrize("kind", ["sequence", "pair", "number", "none"])
def test_what_it_does_not_look_at_it_says(name, kind, rows, head):
    facts = lens_facts(name)
    found = look(rows, kind, name, head)
    fits = {kind: kind in facts.units for kind in ("sequence", "pair")}
    fits |= {"number": "token" in facts.units and facts.numbers, "none": False}
    if not fits[kind]:
        assert found["reason"] and found["found"] is None and found["headline"] is None
    else:
        assert (found["reason"] is None) == (found["found"] is not None)


def test_of_pairs_as_many_directions_as_columns_are_told(rows, head):
    found = look(rows, "pair", "subspace", head)  # 2 and 3 neurons, two columns each
    assert [entry["k"] for entry in found["found"]["directions"]["scores"]] == [4, 6]
    assert found["headline"]["statistic"] == "judge score of the first directions, mean over 4, 6 of them"


def test_the_view_of_a_row(rows):
    params, paths, chosen = rows["planted"]
    data = lens_inputs.row(params, paths, lens_names()[0])
    raw = {split: data.features.load(split, chosen).astype(np.float64) for split in ("train", "judge")}
    wanted = (raw["judge"] - raw["train"].mean(0)) / raw["train"].std(0)
    np.testing.assert_allclose(data.matrix("judge", chosen), wanted, atol=2e-5)
    np.testing.assert_allclose(data.matrix("judge", chosen[::-1]), wanted[:, ::-1], atol=2e-5)
    with pytest.raises(ValueError, match="lenses read train, tune and judge"):
        data.matrix("test", chosen)
    sets = data.random_sets(chosen, 20)
    assert sets.shape == (20, 3) and not np.isin(sets, chosen).any() and np.isin(sets, data.usable).all()
    assert (np.sort(sets // 16, axis=1) == np.sort(chosen // 16)).all()
    assert data.usable.size == 48 - 3
    codes, names = data.types("judge")
    assert [names[c] for c in codes[:5]] == [row["type"] for row in data.rows("judge")[:5]]
    drawn = data.permuted("judge", 3)
    assert drawn.shape == (3, 900) and all((row != data.labels("judge")).any() for row in drawn)


def test_the_headline_counts_ties_as_at_least_as_large():
    plain = lenses.Headline("s", 2.0, np.r_[np.zeros(17), 2.0, 3.0]).plain()
    assert plain["p"] == 3 / 20
    assert plain["null"] == {"draws": 19, "mean": 5 / 19, "low": 0.0, "high": 3.0}
    with pytest.raises(ValueError, match="expected 19 or more"):
        lenses.Headline("s", 2.0, np.zeros(5)).plain()


def test_a_lens_that_has_no_file_is_told(rows):
    with pytest.raises(Exception, match=r"lenses\.nonsense"):
        lens_inputs.with_settings(rows["planted"][0], "nonsense")
    with pytest.raises(ValueError, match="lens 'nonsense' has no file"):
        lenses.load("nonsense")


def test_reports_hold_plain_values_alone():
    assert lenses._not_plain({"a": [1, 2.5, None, "x", True, {"b": []}]}) is None
    assert lenses._not_plain({"a": [1, np.float64(2)]}) is not None
    assert "[1]" in str(lenses._not_plain([0.0, float("nan")]))
    assert "key" in str(lenses._not_plain({1: "x"}))


def test_constants_of_a_file_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from neurosieve.config import lenses as config

    folder = tmp_path / "concepts" / "lenses"
    folder.mkdir(parents=True)
    monkeypatch.setattr(config, "PACKAGE", tmp_path)
    (folder / "good_one.py").write_text('UNITS = ("pair",)\nNEEDS_MODEL = True\nOTHERS = "tasks"\n')
    assert lens_facts("good-one") == config.LensFacts(("pair",), model=True, others="tasks")
    (folder / "odd.py").write_text('UNITS = ("word",)\n')
    with pytest.raises(ValueError, match="write a tuple of some of"):
        lens_facts("odd")
    (folder / "other.py").write_text('UNITS = ("token",)\nOTHERS = "rows"\n')
    with pytest.raises(ValueError, match='write "tasks", "models", "twins" or None'):
        lens_facts("other")

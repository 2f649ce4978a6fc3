"""Tables of the page beyond the board: what stands in which cell."""

import pytest
from leaderboard_build import make_all

from neurosieve.leaderboard import measures
from neurosieve.leaderboard.table import COLUMNS


@pytest.fixture(scope="module")
def rows():
    return [row for row in make_all()[0] if row["task"] == "token-roles"]


def line(table, name):
    return dict(zip(table["heads"], dict(table["lines"])[name], strict=True))


def test_every_table_has_a_cell_per_head(rows):
    for table in measures.task_tables(rows):
        assert table["lines"]
        for _, cells in table["lines"]:
            assert len(cells) == len(table["heads"])
            assert all(isinstance(cell, str) and cell for cell in cells)


def test_layers_tell_a_claim_from_an_estimate(rows):
    row = rows[0]
    found = line(measures.layers([row]), row["model"])
    assert found["fewest from the bottom"] == str(row["layers"] - 2)
    assert found["single layers that pass"] == "none"
    bottom = {**row["layer_selection"]["bottom"], "layers": None, "estimate": 3}
    changed = {**row, "layer_selection": {**row["layer_selection"], "bottom": bottom}}
    assert line(measures.layers([changed]), row["model"])["fewest from the bottom"] == "about 3"


def test_a_ranking_that_always_beats_random_says_never(rows):
    row = rows[0]
    name = f"{row['model']}: lca"
    assert line(measures.contenders([row]), name)["random suffices from"] == "2"
    never = {**row["beats_random"]["rankings"]["lca"], "random_suffices_from": None}
    changed = {**row, "beats_random": {**row["beats_random"], "rankings": {"lca": never}}}
    assert line(measures.contenders([changed]), name)["random suffices from"] == "never"


def test_contenders_stand_side_by_side_with_minimum_interval_and_score_on_tune(rows):
    table = measures.contenders(rows[:2])
    assert [name for name, _ in table["lines"]] == [
        "neurosieve-base: lca", "neurosieve-base: probeless", "neurosieve-base: elimination",
        "neurosieve-base-untrained: elimination",
    ]  # fmt: skip
    search, lca = (line(table, f"neurosieve-base: {name}") for name in ("elimination", "lca"))
    assert search["kind"] == "search, headline, best on tune" and lca["kind"] == "ranking"
    assert search["minimal subset"] == "260 [182–494]" and lca["minimal subset"] == "448 [313–851]"
    tune = rows[0]["mean_tune"]
    assert search["mean on tune"] == f"{tune['elimination']:.3f}" > lca["mean on tune"] == f"{tune['lca']:.3f}"


def test_the_pipeline_says_what_it_searched_among(rows):
    row = rows[0]
    curves = {**row["curves"], "pipeline": {"kind": "pipeline"}}
    entry = {**row["minima"]["lca"], "layers": 3, "threshold": 0.3, "neurons_in": 512}
    found = line(measures.contenders([{**row, "pipeline": entry, "curves": curves}]), f"{row['model']}: pipeline")
    assert found["searched among"] == "512 in 3 layers, clusters at 0.3"
    assert found["kind"] == "pipeline" and found["mean on tune"] == "–"


def test_selectivity_is_left_out_where_there_is_none(rows):
    assert line(measures.selectivity(rows), rows[0]["model"])["selectivity"] == "0.290 [0.270, 0.310]"
    assert not measures.selectivity([{**row, "selectivity": None} for row in rows])["lines"]
    tables = measures.task_tables([{**row, "selectivity": None} for row in rows])
    assert "Selectivity" not in [table["title"] for table in tables]


def test_what_the_model_uses_is_told_from_what_is_not_shown(rows):
    ablated, doubled = (line(measures.used(rows), f"neurosieve-base: {how}") for how in ("ablated", "deviation × 2"))
    assert ablated["chosen"] == "−1.200" and ablated["random"] == "−0.300 [−0.500, −0.100]"
    assert ablated["difference"] == "−0.900 [−1.000, −0.800]" and ablated["more than random"] == "yes"
    assert ablated["right"] == "40.0 % / 10.0 % / 30.0 %"
    assert doubled["more than random"] == "not shown" and doubled["neurons / tokens"] == "50 / 200"
    none = [{**r, "ablation": {"ablation": None, "reason": "no head"}} for r in rows]
    assert not measures.used(none)["lines"] and not measures.used([{**r, "ablation": None} for r in rows])["lines"]
    assert "What the model itself uses" not in [table["title"] for table in measures.task_tables(none)]


def test_what_was_asked_of_the_subset_stands_beside_what_to_compare_it_with(rows):
    row = rows[0]
    table = measures.robustness(row)
    first = row["neurons"][row["ranking"]][0]
    where = f"layer {first // row['width']}, unit {first % row['width']}"
    found = {name: cells for name, cells in table["lines"]}
    k = row["n_minimal"]
    assert found["leave one neuron out, fit the others again"] == [
        f"1 of {k} shown to lose score, 0 to gain, {k - 1} not told apart; most: {where}, −0.0040",
        f"were none needed, about {0.05 * k:.0f} would seem to lose and as many to gain",
    ]
    assert found["search again on all train rows"] == [
        "overlap with the subset 0.70; judge 0.841: it does not pass",
        "train objective 0.121, that of the subset 0.12",
    ]
    assert found["search on halves of train that share no file"] == [
        f"overlap of the two sets of a cut 0.29, with the subset 0.43; {2 * k} different neurons in 4 sets",
        "random sets: 0.05, with as many per layer 0.10; 700 neurons",
    ]
    judged = found["judge of these sets, fitted on all train rows"]
    assert judged == ["0.841 to 0.841; 0 of 4 pass", "the subset, chosen on all rows: 0.861"]
    assert found["search with shuffled labels"] == [
        "judge 0.089: not above chance; train 0.115", "chance: 0.087 (p 0.13)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("passing", "stopped", "others", "told"),
    [
        (1, "failed", 1, "no set that shares no neuron with it passes; judge 0.841"),
        (2, "failed", 2, "1 more that shares no neuron passes, the next one does not; judge 0.841, 0.841"),
        (3, "limit", 2, "2 more that share no neuron pass, there may be more; judge 0.841, 0.841"),
        (1, "neurons", 0, "fewer neurons are left than the subset has; judge –"),
        (2, "neurons", 1, "1 more that shares no neuron passes, no other can be made; judge 0.841"),
    ],
)
def test_disjoint_sets_in_words(rows, passing, stopped, others, told):
    found = rows[0]["robustness"]
    sets = [found["disjoint"]["sets"][0], *[found["disjoint"]["sets"][1]] * others]
    disjoint = {**found["disjoint"], "passing": passing, "stopped": stopped, "sets": sets}
    changed = {**rows[0], "robustness": {**found, "disjoint": disjoint}}
    assert dict(measures.robustness(changed)["lines"])["take the subset out, search among the others"][0] == told


def test_a_ranking_and_shuffled_labels_above_chance_are_told(rows):
    found = rows[0]["robustness"]
    ranked = {name: {"reason": "a ranking <b>"} for name in ("again", "halves", "disjoint", "shuffled")}
    cells = [cells for _, cells in measures.robustness({**rows[0], "robustness": {**found, **ranked}})["lines"]]
    assert len(cells) == 5 and cells[1:] == [["a ranking <b>", "–"]] * 4
    leak = {**found["shuffled"], "above_chance": True, "p": 0.004975}
    lines = measures.robustness({**rows[0], "robustness": {**found, "shuffled": leak}})["lines"]
    assert dict(lines)["search with shuffled labels"] == [
        "judge 0.089: above chance, which it must not be; train 0.115", "chance: 0.087 (p 0.005)",
    ]  # fmt: skip


def test_transfer_and_published_rows_have_a_table_each():
    entry = {"judge": 0.81234, "random": 0.5}
    transfer = {
        "m<1>": {
            "tasks": ["a", "b"],
            "reference": {"a": 0.9, "b": 0.8},
            "subsets": {"a": {"neurons": 12, "claimed": False}, "b": None},
            "matrix": {"a": {"a": entry, "b": None}, "b": {"a": entry, "b": None}},
        }
    }
    (table,) = measures.transfer_tables(transfer)
    assert table["heads"] == ["a (about 12)", "b", "reference"]
    assert dict(table["lines"])["b"] == ["0.81 (0.50)", "–", "0.80"]
    published = {
        **dict.fromkeys(COLUMNS), "protocol": "published", "model": "m<1>", "task": "a", "oracle": 0.7,
        "oracle_low": 0.65, "oracle_high": 0.75, "n_minimal": 30, "n_minimal_low": 9, "n_minimal_high": 1200,
        "subset_test": 0.71, "layers_used": "0-2", "note": "chosen on test",
    }  # fmt: skip
    cells = measures.published_table([published])["lines"][0][1]
    assert cells == ["0.700 [0.650, 0.750]", "30 [9–1,200]", "0.710", "0-2", "chosen on test"]

"""Layer selection on hand-made figures: from the bottom, from the top, and each layer alone."""

from __future__ import annotations

import pytest

from neurosieve.subsets.layers import Found, every_span, number_that_passes, select_layers

MARGIN = 0.01


def found(judge: float, lower: float, baseline_lower: float = 0.1, neurons: int = 4) -> Found:
    """A set whose reference scores 0.9."""
    return Found(neurons, judge, judge - 0.9, lower, baseline_lower)


# Five layers of four neurons; layer 2 is as good as all, from the bottom 3 and 5 layers pass but 4 do not.
SETS = {
    (0, 0): found(0.50, -0.42),
    (0, 1): found(0.70, -0.22, neurons=8),
    (0, 2): found(0.90, -0.005, neurons=12),
    (0, 3): found(0.88, -0.03, neurons=16),
    (0, 4): found(0.90, -0.002, neurons=20),
    (1, 4): found(0.90, -0.001, neurons=16),
    (2, 4): found(0.90, -0.009, neurons=12),
    (3, 4): found(0.895, -0.01, neurons=8),  # a tie with the margin fails
    (4, 4): found(0.60, -0.33),
    (1, 1): found(0.60, -0.33),
    (2, 2): found(0.90, -0.004),
    (3, 3): found(0.90, -0.004, baseline_lower=0.0),  # not above the best baseline
}


def test_fewest_is_the_number_from_which_on_every_larger_one_passes():
    selected = select_layers(SETS, 5, MARGIN, no_claim=None)
    bottom, top = selected["bottom"], selected["top"]
    assert bottom["passes"] == [False, False, True, False, True]
    assert (bottom["layers"], bottom["neurons"], bottom["score"], bottom["lower"]) == (5, 20, 0.90, -0.002)
    assert top["passes"] == [False, False, True, True, True]
    assert (top["layers"], top["neurons"], top["score"], top["lower"]) == (3, 12, 0.90, -0.009)
    assert bottom["estimate"] is None and bottom["reason"] is None
    assert bottom["judge"] == [0.50, 0.70, 0.90, 0.88, 0.90] and top["judge"] == [0.60, 0.895, 0.90, 0.90, 0.90]
    assert top["lowers"] == [-0.33, -0.01, -0.009, -0.001, -0.002]


def test_single_layers_pass_one_by_one():
    single = select_layers(SETS, 5, MARGIN, no_claim=None)["single"]
    assert [s["layer"] for s in single] == [0, 1, 2, 3, 4]
    assert [s["passes"] for s in single] == [False, False, True, False, False]
    assert single[2] == {"layer": 2, "neurons": 4, "judge": 0.90, "lower": -0.004, "passes": True}


def test_where_dev_is_too_small_there_is_an_estimate_and_no_claim():
    selected = select_layers(SETS, 5, MARGIN, no_claim="dev too small")
    bottom, top = selected["bottom"], selected["top"]
    assert bottom["layers"] is None and bottom["reason"] == "dev too small"
    assert (bottom["estimate"], bottom["neurons"], bottom["score"]) == (3, 12, 0.90)
    assert (top["layers"], top["estimate"], top["neurons"]) == (None, 2, 8)  # by its estimate alone 0.895 is within
    assert bottom["passes"] == [False, False, True, False, True]


def test_where_all_layers_fail_no_number_is_claimed_and_the_pipeline_takes_all():
    sets = SETS | {(0, 4): found(0.90, -0.02)}
    bottom = select_layers(sets, 5, MARGIN, no_claim=None)["bottom"]
    assert bottom["layers"] is None and bottom["reason"] == "all layers fail" and bottom["estimate"] == 3
    assert number_that_passes(bottom) == 5
    worse = {span: found(0.5, -0.5) for span in SETS}
    top = select_layers(worse, 5, MARGIN, no_claim=None)["top"]
    assert (top["layers"], top["estimate"], top["score"]) == (None, None, None) and number_that_passes(top) == 5


@pytest.mark.parametrize("no_claim", ["dev too small", None])
def test_the_pipeline_takes_what_passes_whether_it_is_claimed_or_not(no_claim):
    top = select_layers(SETS, 5, MARGIN, no_claim=no_claim)["top"]
    assert number_that_passes(top) == 3


def test_layers_that_are_not_measured_add_nothing_to_those_below_or_above():
    """Layers 1, 4 and 5 of seven are measured: as of a model of three layers, at the numbers of the whole."""
    few = {
        (0, 6): found(0.90, -0.002, neurons=12),
        (1, 1): found(0.60, -0.3),
        (4, 4): found(0.90, -0.004),
        (5, 5): found(0.50, -0.4),
        (0, 4): found(0.90, -0.003, neurons=8),
        (4, 6): found(0.90, -0.001, neurons=8),
    }
    selected = select_layers(every_span(few, [1, 4, 5], 7), 7, MARGIN, no_claim=None)
    assert selected["bottom"]["judge"] == [None, 0.60, 0.60, 0.60, 0.90, 0.90, 0.90]
    assert selected["top"]["judge"] == [None, 0.50, 0.90, 0.90, 0.90, 0.90, 0.90]
    assert (selected["bottom"]["layers"], selected["bottom"]["neurons"]) == (5, 8)
    assert (selected["top"]["layers"], selected["top"]["neurons"]) == (3, 8)
    assert [entry["neurons"] for entry in selected["single"]] == [0, 4, 0, 0, 4, 4, 0]
    assert every_span(SETS, range(5), 5) == SETS


def test_a_layer_of_constant_neurons_fails_and_has_no_figures():
    sets = {(0, 1): found(0.9, 0.0), (1, 1): found(0.9, 0.0)}
    selected = select_layers(sets, 2, MARGIN, no_claim=None)
    assert selected["single"][0] == {"layer": 0, "neurons": 0, "judge": None, "lower": None, "passes": False}
    assert (selected["bottom"]["layers"], selected["bottom"]["judge"]) == (2, [None, 0.9])
    assert selected["top"]["layers"] == 1

"""Tiers of evidence: each with all before it, and what was not measured is no failure and no proof."""

import pytest

from neurosieve.leaderboard import measures
from neurosieve.leaderboard.evidence import TIERS, chosen_curve, evidence


def curve(necessary, sufficient, order="chosen", method="mean"):
    entry = {"f": 0.4, "low": 0.3, "high": 0.5, "random_f": {"mean": 0.8, "low": 0.7, "high": 0.9}}
    return {
        "site": "hidden",
        "order": order,
        "method": method,
        "points": [{"k": 5, "chosen": False}, {"k": 12, "chosen": True, "necessity": entry, "sufficiency": entry}],
        "area": None,
        "verdict": {"necessary": necessary, "sufficient": sufficient},
    }


def row(status="supported", confirmed=True, curves=(), specific=None):
    outside = {
        "doses": {
            "0": {"chosen": -0.1, "random": -0.2, "difference": -0.3, "low": -0.5, "high": -0.1, "specific": specific}
        }
    }
    effects = {
        "reason": None,
        "measured": 12,
        "doses": {"0": {"chosen": -0.9, "random": {"mean": -0.4}}},
        "outside": outside,
        "members": {"verdict": "additive"},
    }
    return {
        "model": "m",
        "status": status,
        "confirmed_status": confirmed,
        "faithfulness": {"curves": list(curves), "reason": None if curves else "no head"},
        "effects": None if specific is None else effects,
    }


@pytest.mark.parametrize(
    ("given", "tier"),
    [
        (row("at chance", None), "none"),
        (row("surface", None, [curve(True, True)], True), "encoded"),
        (row("supported", False, [curve(True, True)], True), "encoded"),
        (row(), "encoded beyond baselines"),
        (row(curves=[curve(False, True)], specific=True), "encoded beyond baselines"),
        (row(curves=[curve(None, True)]), "encoded beyond baselines"),
        (row(curves=[curve(True, False)], specific=True), "necessary"),
        (row(curves=[curve(True, True)]), "necessary and sufficient"),
        (row(curves=[curve(True, True)], specific=False), "necessary and sufficient"),
        (row(curves=[curve(True, True)], specific=True), "specific"),
        # other orders and replacements are shown, and decide nothing
        (row(curves=[curve(True, True, "relp"), curve(True, True, method="resample")]), "encoded beyond baselines"),
        ({**row(), "faithfulness": None}, "encoded beyond baselines"),
    ],
)
def test_a_tier_needs_all_before_it(given, tier):
    found = evidence(given)
    assert found["evidence"] == tier and tuple(found["evidence_tests"]) == TIERS[1:]


def test_what_was_not_measured_is_told_from_what_failed():
    tests = evidence(row(curves=[curve(False, None)]))["evidence_tests"]
    assert tests["necessary"] is False and tests["necessary and sufficient"] is None and tests["specific"] is None
    assert chosen_curve({"faithfulness": None}) is None


def test_tables_say_what_was_shown():
    given = row(curves=[curve(True, False), curve(None, None, "relp")], specific=True)
    ((_, cells), (name, other)) = measures.faithfulness([given])["lines"]
    assert cells[0] == "12" and cells[1] == "0.400 [0.300, 0.500]" and cells[2] == "0.800 [0.700, 0.900]"
    assert cells[4] == "yes" and cells[8] == "not shown"
    assert name == "m: relp, mean, hidden" and other[4] == other[8] == "–"
    ((_, cells),) = measures.effects([given])["lines"]
    assert cells == ["12", "−0.900 / −0.400", "−0.100 / −0.200", "−0.300 [−0.500, −0.100]", "yes", "additive"]
    assert not measures.effects([row()])["lines"] and not measures.faithfulness([row()])["lines"]


def test_causal_rankings_and_lenses_stand_beside_chance():
    overlap = {"shared": 7, "expected": 1.25, "p_more": 0.001, "in_layers": {"expected": 4.0, "p_more": 0.06}}
    rankings = {"relp": {"overlap": overlap, "halves": {"spearman": 0.91}}, "none": {"overlap": None}}
    found = {"reason": None, "attribution": {"chosen": 12, "rankings": rankings}}
    ((name, cells),) = measures.causal([{"model": "m", "attribution": found}])["lines"]
    assert (name, cells) == ("m: relp", ["7 of 12", "1.2, p 0.001", "4.0, p 0.060", "0.91"])
    assert not measures.causal([{"model": "m", "attribution": None}])["lines"]
    null = {"draws": 19, "mean": 0.5, "low": 0.4, "high": 0.6}
    headline = {"statistic": "score at 4 bits", "value": 0.9, "null": null, "p": 0.05}
    lenses = {"low-bit": {"headline": headline}, "text": {"headline": None, "reason": "no head"}}
    (name, cells), (without, why) = measures.lenses([{"model": "m", "lenses": lenses}])["lines"]
    assert (name, cells) == ("m: low-bit", ["score at 4 bits", "0.900", "0.500 [0.400, 0.600]", "0.050"])
    assert (without, why[0]) == ("m: text", "no head")


def test_what_one_tasks_neurons_do_to_the_others_is_told_by_model():
    def cell(value):
        return {"excess": {"value": value, "low": value - 0.1, "high": None if value > 1 else value + 0.1}}

    part = {
        "reason": None,
        "neurons": {"a": 3, "b": 40},
        "cells": {"a": {"a": cell(0.5), "b": cell(0.25)}, "b": {"a": cell(0.125), "b": cell(1.5)}},
        "pairs": [{}],
        "double": 1,
        "summary": {"excess": {"difference": 0.8, "low": 0.6, "high": 1.0}, "p_assignment": 0.5},
    }
    readout = {**part, "neurons": 3}
    matrix = {"reason": None, "equal": {"reason": "too few others"}, "whole": part}
    tables = measures.dissociation_tables(
        {
            "m": {"reason": None, "matrix": matrix, "readout": readout},
            "n": {"reason": "no head", "matrix": None, "readout": None},
        }
    )
    assert [table["title"] for table in tables] == ["m: whole sets", "m: readout"]
    assert tables[0]["heads"] == ["a (3)", "b (40)"] and tables[1]["heads"] == ["a (3)", "b (3)"]
    assert tables[0]["lines"] == [
        ("a", ["0.500 [0.400, 0.600]", "0.125 [0.025, 0.225]"]),
        ("b", ["0.250 [0.150, 0.350]", "1.500"]),
    ]
    assert "0.800 [0.600, 1.000]" in tables[0]["text"] and "dissociated: 1 of 1" in tables[0]["text"]

"""benchmarks/concepts.py: its tables of made-up rows by hand; what was not measured stands there, with its reason."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("concepts_document", Path("benchmarks/concepts.py"))
concepts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(concepts)


def seen(value: float, p: float, statistic: str = "score of sets of 10") -> dict:
    null = {"draws": 19, "mean": 0.5, "low": 0.4, "high": 0.6}
    return {"headline": {"statistic": statistic, "value": value, "null": null, "p": p}, "reason": None}


def unseen(reason: str) -> dict:
    return {"headline": None, "reason": reason}


def row(task: str, model: str = "m", **given) -> dict:
    return {
        "task": task, "model": model, "control_of": None, "status": "supported", "evidence": "encoded", "lenses": {},
        "attribution": None, "faithfulness": None, "effects": None,
        "concepts": {"significant": 1, "described": 2, "neurons": [{"concept": "NAME"}, {"concept": None}]}, **given,
    }  # fmt: skip


def lines(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_a_lens_says_of_how_many_rows_and_why_not_of_the_others():
    rows = [
        row("a", lenses={"synergy": seen(0.9, 0.05), "text": unseen("other space")}),
        row("b", lenses={"synergy": seen(0.7, 0.5, "score of sets of 4"), "text": unseen("other space")}),
        row("c", lenses={"synergy": unseen("2 chosen neurons"), "text": unseen("too few types")}),
    ]
    synergy, text = lines(concepts.lenses(rows))
    assert synergy == [
        "synergy", "score of sets of 10 / score of sets of 4", "1 of 2", "0.90 against 0.50 [0.40, 0.60] (a, m)",
        "c, m: 2 chosen neurons",
    ]  # fmt: skip
    assert text == ["text", "-", "0 of 0", "-", "a, m; b, m: other space. c, m: too few types"]


def test_causal_rankings_that_were_not_made_are_told():
    within = {"expected": 4.0, "p_more": 0.0612}
    overlap = {"shared": 7, "expected": 1.25, "p_more": 0.001, "in_layers": within}
    made = {"reason": None, "attribution": {"chosen": 1200, "rankings": {"relp": {"overlap": overlap}}}}
    rows = [
        row("a", attribution=made),
        row("b", attribution={"reason": "no head", "attribution": None}),
        row("a", "m-untrained", control_of="m"),
        row("c"),
    ]
    found = lines(concepts.causal(rows))
    assert found[0] == ["a, m", "1,200", "7; 1.2 (p 0.001); 4.0 (p 0.061)", "-", "-"]
    assert found[1:] == [["b, m", "not measured: no head", "-", "-", "-"], ["c, m", "not asked", "-", "-", "-"]]


def test_every_twin_of_a_row_is_counted():
    other = {"significant": 0, "described": 50, "neurons": []}
    rows = [row("a"), row("a", "t1", control_of="m", concepts=other), row("a", "t2", control_of="m")]
    assert lines(concepts.named(rows)) == [["a, m", "1 of 2", "0 of 50, 1 of 2", "1 NAME"]]


def test_evidence_of_a_row_by_hand():
    entry = {"f": 0.4, "random_f": {"mean": 0.8, "low": 0.7, "high": 0.9}}
    curve = {"order": "chosen", "method": "mean",
             "points": [{"k": 12, "chosen": True, "necessity": entry, "sufficiency": entry}]}  # fmt: skip
    outside = {"doses": {"0": {"difference": -0.3, "low": -0.5, "high": -0.1}}}
    rows = [
        row("a", faithfulness={"curves": [curve]}, effects={"reason": None, "outside": outside}),
        row("b", faithfulness={"curves": [], "reason": "no head"}, effects={"reason": "no head"}, evidence="none"),
    ]
    table, counts = concepts.evidence(rows).split("\n\n")
    assert lines(table) == [
        ["a, m", "supported", "12", "0.40", "0.70 to 0.90", "0.40", "0.70 to 0.90", "-0.30 [-0.50, -0.10]", "encoded"],
        ["b, m", "supported", "-", "-", "-", "-", "-", "-", "none"],
    ]
    assert counts == "Rows by evidence: none 1, encoded 1."


def test_a_model_whose_tasks_were_not_set_against_each_other_is_told():
    assert concepts.dissociation({}) == "Not measured."
    whole = {"reason": "one task"}
    found = concepts.dissociation(
        {
            "m": {"reason": None, "matrix": {"reason": None, "equal": whole, "whole": whole}, "readout": None},
            "n": {"reason": "no head", "matrix": None, "readout": None},
            "o": {"reason": None, "matrix": {"reason": "one task"}, "readout": {"reason": "no inputs"}},
        }
    )
    assert found.split("\n\n") == [
        "Not measured: m: sets of one size: one task; m: whole sets: one task; n: no head; o: one task; "
        "o: readout: no inputs."
    ]


def test_results_without_the_benchmark_are_no_empty_tables(monkeypatch):
    monkeypatch.setattr("sys.argv", ["concepts.py", "--results", "results", "--benchmark", "nonsense", "--print"])
    with pytest.raises(SystemExit, match=r"not there; run `neurosieve run --params presets/nonsense.yaml`"):
        concepts.main()


def test_rows_are_those_of_the_board_once_each_in_its_order():
    board = Path("results/default/leaderboard.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows, _ = concepts.read(Path("results"), "default")
    assert len(rows) == len(board) and all(
        {row["model"], row["task"]} <= set(line.split(",")) for row, line in zip(rows, board, strict=True)
    )


def test_the_page_has_a_place_for_every_table():
    text = concepts.DOCUMENT.read_text(encoding="utf-8")
    made = dict.fromkeys(("evidence", "causal", "named", "lenses", "dissociation"), "TABLE")
    page = concepts.put(text, made)
    assert page.count("TABLE") == 5 and concepts.put(page, made) == page
    with pytest.raises(ValueError, match="expected the lines"):
        concepts.put("", made)

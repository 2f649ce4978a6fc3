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
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n\n")[0].splitlines()[2:]]


def lens(name: str, found: dict, headline: dict | None = None) -> list[dict]:
    entry = {"headline": headline or seen(0.7, 0.05)["headline"], "reason": None, "found": found}
    return [row("a", lenses={name: entry}), row("a", "m-untrained", control_of="m", lenses={name: entry})]


def test_a_lens_says_of_how_many_rows_and_why_not_of_the_others():
    rows = [
        row("a", lenses={"synergy": seen(0.9, 0.05), "text": unseen("other space")}),
        row("b", lenses={"synergy": seen(0.7, 0.5, "score of sets of 4"), "text": unseen("other space")}),
        row("c", lenses={"synergy": unseen("2 chosen neurons"), "text": unseen("too few types")}),
    ]
    synergy, text = lines(concepts.lenses(rows))
    assert synergy == [
        "synergy", "score of sets of several sizes", "1 of 2", "0.90 against 0.50 [0.40, 0.60] (a, m)",
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
        row("d", attribution={"reason": "no head", "attribution": None}),
    ]
    table, without = concepts.causal(rows).split("\n\n")
    assert lines(table) == [["a, m", "1,200", "7; 1.2 (p 0.001); 4.0 (p 0.061)", "-", "-"]]
    assert without == "Not measured: b, m; d, m: no head. c, m: not asked."


def test_causal_rankings_beside_their_nulls_and_each_other():
    overlap = {"shared": 7, "expected": 1.25, "p_more": 0.05, "in_layers": {"expected": 4.0, "p_more": 0.06}}
    precedence = {"share": 0.6, "p_more": 0.01, "in_layers": {"share": 0.4, "p_more": 0.9}}

    def ranking(**others: float) -> dict:
        return {
            "overlap": overlap, "precedence": precedence, "others": others, "first_per_layer": [2, 0, 5],
            "halves": {"spearman": 0.8}, "probes": {"lca": -0.2, "auroc": 0.3, "random": 0.9},
        }  # fmt: skip

    made = {"relp.signed": ranking(), "relp": ranking(**{"gradient-mean": 0.5, "relp.signed": 0.1})}
    rows = [row("a", attribution={"reason": None, "attribution": {"chosen": 7, "rankings": made}})]
    table, counts = concepts.rankings(rows).split("\n\n")
    cells = ["7; 1.2 (p 0.050); 4.0 (p 0.060)", "0.60 (p 0.010)", "0.40 (p 0.900)", "0.80", "-0.20 to 0.30; 0.90"]
    assert lines(table) == [["a, m", name, *cells, "2 0 5"] for name in ("relp", "relp.signed")]
    assert counts == "p of at most 0.05, over all neurons or within layers: shared 2 of 4, precedence 2 of 4."
    assert lines(concepts.agreement(rows)) == [["a, m", "0.50", "-", "-"]]


def test_orders_are_set_side_by_side_and_verdicts_counted():
    def curve(order: str, method: str, necessary: bool | None, sufficient: bool | None) -> dict:
        def entry(f: float) -> dict:
            return {"f": f, "random_f": {"low": 0.7, "high": 0.9}}

        verdict = None if necessary is None else {"necessary": necessary, "sufficient": sufficient}
        points = [
            {"k": 1, "chosen": False, "necessity": entry(0.99), "sufficiency": entry(0.99)},
            {"k": 9, "chosen": True, "necessity": entry(0.4), "sufficiency": entry(0.1)},
        ]
        return {"order": order, "method": method, "points": points, "verdict": verdict}

    curves = [curve("chosen", "mean", True, False), curve("chosen", "resample", None, None),
              curve("relp", "mean", True, True)]  # fmt: skip
    rows = [
        row("a", faithfulness={"curves": curves, "reason": None}),
        row("b", faithfulness={"curves": [], "reason": "no head"}),
    ]
    table, without, counts = concepts.orders(rows).split("\n\n")
    assert lines(table) == [
        ["a, m", "chosen", "**0.40; 0.70 to 0.90**", "0.10; 0.70 to 0.90", "0.40; 0.70 to 0.90", "0.10; 0.70 to 0.90"],
        ["a, m", "relp", "**0.40; 0.70 to 0.90**", "**0.10; 0.70 to 0.90**", "-", "-"],
    ]
    assert without == "Not measured: b, m: no head."
    assert counts == (
        "Rows: necessary by mean, chosen 1 of 1; necessary by mean, relp 1 of 1; necessary by resample, chosen 0 of 1; "
        "sufficient by mean, chosen 0 of 1; sufficient by mean, relp 1 of 1; sufficient by resample, chosen 0 of 1."
    )


def test_effects_are_told_as_harm_and_by_their_verdicts():
    dose = {"chosen": -0.5, "random": {"mean": -0.2}, "difference": -0.3, "low": -0.4, "high": -0.1,
            "more_than_random": True}  # fmt: skip
    helps = {**dose, "chosen": 0.1, "difference": 0.3, "low": 0.2, "high": 0.45, "more_than_random": False}

    def steps(chosen: bool, random: bool) -> dict:
        return {"chosen": {"monotone": chosen, "share": 0.8}, "random": {"monotone": random, "share": 0.25}}

    side = {"difference": -0.2, "low": -0.3, "high": -0.1, "specific": True, "divergence_ratio": 1.0,
            "ratio_low": 0.9, "ratio_high": 1.2, "moves_more": False}  # fmt: skip
    apart = {"value": 0.0194, "low": 0.001, "high": -0.0001}
    effects = {
        "reason": None, "measured": 50, "doses": {"0": dose, "2": helps, "4": dose, "0.5": dose},
        "monotone": {"below": {"harm": steps(True, False), "divergence": steps(True, True)},
                     "above": {"harm": steps(False, True), "divergence": steps(False, True)}},
        "outside": {"doses": {"0": side}},
        "members": {"neurons": 8, "set": 0.08, "sum": 0.0606, "interaction": apart, "beyond_random": apart,
                    "verdict": None},
    }  # fmt: skip
    rows = [row("a", effects=effects), row("a", "m-untrained", control_of="m", effects=effects)]
    harm, helped = "**0.50; 0.20; 0.30 [0.10, 0.40]**", "-0.10; 0.20; -0.30 [-0.45, -0.20]"
    assert lines(concepts.doses(rows)) == [["a, m", "50", harm, helped, harm]]
    table, divergence = concepts.monotone(rows).split("\n\n")
    assert lines(table) == [["a, m", "yes (0.80)", "no (0.25)", "no (0.80)", "yes (0.25)"]]
    assert divergence == "The divergence (KL) is monotone: chosen 1 of 2, random 2 of 2."
    assert lines(concepts.outside(rows)) == [["a, m", "**-0.20 [-0.30, -0.10]**", "1.00 [0.90, 1.20]", "-", "-"]]
    bounds = "0.019 [0.001, 0.000]"
    assert lines(concepts.members(rows)) == [["a, m", "8", "0.080", "0.061", bounds, bounds, "none"]]


def test_readout_tells_the_own_set_from_those_of_the_others():
    found = {"untouched": 0.9, "without": {"b": 0.6, "a": 0.7, "c": 0.5}, "random": {"a": 0.8, "b": 0.1, "c": 0.2}}
    effects = {
        "m": {"readout": {"accuracy": {"a": found}}},
        "n": {"readout": {"reason": "no head"}},
        "o": {"readout": None},
    }
    assert lines(concepts.readout(effects)) == [["a, m", "0.900", "0.700", "0.800", "0.600, 0.500"]]


def test_directions_and_neurons_are_told_apart_by_their_bounds_only():
    def score(k: int, low: float, high: float) -> dict:
        gap = {"low": low, "high": high, "difference": 0.5}
        return {"k": k, "directions": 0.5, "chosen": 0.4, "random": {"mean": 0.3}, "directions_less_chosen": gap}

    scores = [score(2, 0.1, 0.2), score(8, -0.1, 0.2), score(30, -0.3, -0.1)]
    shared = [{"directions": k, "shared": 0.9, "by_chance": 0.1} for k in (1, 2, 8)]
    found = {
        "directions": {"needed": 700, "features": 1792, "participation_ratio": 69.6, "scores": scores},
        "two_ways": {"layer": 3, "needed": 219, "needed_hebbian": 225, "agreement": shared},
    }
    table, counts = concepts.subspace(lens("subspace", found)).split("\n\n")
    cells = ["700 of 1,792", "70", "**0.50; 0.40; 0.30**", "0.50; 0.40; 0.30", "-", "30: *0.50; 0.40; 0.30*"]
    assert lines(table) == [["a, m", *cells]]
    assert counts == "Ahead, of 3 comparisons: directions 1, chosen neurons 1, neither 1."
    hebbian = lines(concepts.hebbian(lens("subspace", found)))
    assert hebbian == [["a, m", "3", "219", "225", "0.90 (0.10)", "0.90 (0.10)", "-"]]


def test_redundancy_is_shown_with_its_own_sign():
    def size(n: int) -> dict:
        both = {"chosen": {"mean": 0.3}, "random": {"mean": 0.1}}
        return {"size": n, "omega": both, "omega_difference": 0.2, "omega_low": 0.15, "omega_high": 0.25,
                "label": {"information": both, "index": {**both, "bias": -0.05}}}  # fmt: skip

    headline = {"value": -0.06, "p": 1.0, "null": {"mean": -0.03, "low": -0.05, "high": 0.01}}
    rows = lens("synergy", {"sizes": [size(10), size(20)]}, headline)
    ten = ["0.060", "0.030 (-0.010 to 0.050)"]
    assert lines(concepts.synergy(rows)) == [["a, m", *ten, "0.300", "0.100", "0.200 [0.150, 0.250]"]]
    assert lines(concepts.label(rows)) == [["a, m", "20", "0.300", "0.100", "0.300", "0.100", "-0.050"]]
    fewer = lens("synergy", {"sizes": [size(5), size(10)]}, headline)
    assert lines(concepts.synergy(fewer)) == [["a, m", *ten, "-", "-", "-"]]


def test_symbols_of_every_task_stand_under_its_name():
    def source(sign: float, own: bool) -> dict:
        codes = {"sign": {"judge": sign, "random": {"low": 0.4, "high": 0.6}}, "ternary": {"judge": 0.65}}
        return {"own": own, "values": 0.7, "codes": codes}

    rows = lens("symbols", {"sources": {"b": source(0.6, False), "a": source(0.61, True)}})
    rows += [row("b"), row("c", lenses={"symbols": unseen("one task")})]
    table, without = concepts.symbols(rows).split("\n\n")
    assert table.splitlines()[0] == "| row | own values | own ternary | signs of a | signs of b | signs of c |"
    assert lines(table) == [["a, m", "0.70", "0.65", "**0.61; 0.40 to 0.60** own", "0.60; 0.40 to 0.60", "-"]]
    assert without == "Not measured: b, m: not asked. c, m: one task."


def test_what_lenses_found_stands_under_its_head():
    def draws(mean: float) -> dict:
        return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "p": 0.2}

    space = {"agreement": 0.7, "overlap": 0.25, "overlap_permuted": 0.04, "random": draws(0.65),
             "layers": [{"layer": 0, "agreement": 0.9}, {"layer": 4, "agreement": 0.5}]}  # fmt: skip
    assert lines(concepts.text(lens("text", {"spaces": {"input": space}}))) == [
        [
            "a, m",
            "0.70 (p 0.050)",
            "0.50 (0.40 to 0.60)",
            "0.65 (0.55 to 0.75; p 0.200)",
            "0.25; 0.04",
            "0: 0.90, 4: 0.50",
        ]
    ]
    scores = {"types": 0.1, "position": 0.2, "surface": 0.3, "class": 0.4, "around": 0.5, "all": 0.7}
    explained = lens("explain", {"described": 20, "scores": scores, "unseen": 0.45, "random_neurons": draws(0.55)})
    own = ["20", "0.70 (p 0.050)", "0.50 (0.40 to 0.60)", "0.45", "**0.55 (0.45 to 0.65)**"]
    assert lines(concepts.explain(explained)) == [["a, m", *own]]
    assert lines(concepts.asked(explained)) == [["a, m", "0.70", "0.50", "0.40", "0.30", "0.20", "0.10"]]
    mean = {"learned": 0.9, "neurons": 0.7, "principal": 0.8, "rotated": 0.5, "whitened": 0.1}
    assert lines(concepts.directions(lens("directions", {"mean": mean}))) == [
        ["a, m", "0.70 (p 0.050)", "0.50 (0.40 to 0.60)", "0.10", "0.80", "0.90"]
    ]
    names = ("best_class_entropy", "mean_abs_correlation", "participation_ratio")
    several = {
        name: {"chosen": value, "random": draws(0.5)} for name, value in zip(names, (0.2, 0.5, 0.7), strict=True)
    }
    areas = {
        name: {"area": {"chosen": value, "random": draws(0.5)}} for name, value in (("noise", 0.3), ("dropout", 0.8))
    }
    band = "0.40 to 0.60"
    assert lines(concepts.population(lens("population", {"heterogeneity": several, **areas}))) == [
        ["a, m", f"0.20; {band}", f"0.50; {band}", f"**0.70; {band}**", f"0.30; {band}", f"**0.80; {band}**"]
    ]
    bits = [
        {"bits": b, "chosen": b / 100, "random": draws(b / 200), "n_within": n, "bytes_row": 3 * b}
        for b, n in ((2, None), (8, 40), (4, 50))
    ]
    whole = {"chosen": 0.9, "random": draws(0.5), "n_within": 30, "bytes_row": 96}
    assert lines(concepts.low_bit(lens("low-bit", {"float": whole, "bits": bits}))) == [
        ["a, m", "0.900; 0.500", "0.080; 0.040", "0.040; 0.020", "0.020; 0.010", "30, 40, 50, none", "96, 24, 12, 6"]
    ]
    learnt = {
        "layer": 3, "score": 0.9, "needed": {"neurons": 21, "rotated": [32, None], "latents": None},
        "r2": {"train": 0.8, "judge": 0.6}, "at": {"latents": 0.65, "neurons": 0.75, "random": draws(0.5),
        "latents_less_neurons": {"difference": -0.1, "low": -0.2, "high": -0.05}},
    }  # fmt: skip
    cells = ["3", "0.90", "0.65 (p 0.05)", band, "0.75", "-0.10 [-0.20, -0.05]", "21", "32, none", "none", "0.80; 0.60"]
    assert lines(concepts.dictionary(lens("dictionary", learnt))) == [["a, m", *cells]]


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


def selection(chosen: int, shared: int, p: float, below: int | None) -> dict:
    null = {"chosen": {"mean": 10.4, "high": 12}, "shared": {"mean": 3.04, "p": p}}
    separation = {"chosen": 0.9, "random": {"mean": 0.8, "low": 0.7, "high": 0.85}}
    sets = {name: {"neurons": list(range(n))} for name, n in (("python", chosen - 1), ("c", 1))}
    return {
        "chosen": chosen, "sets": sets, "stability": {"shared": shared}, "separation": separation, "ablation": None,
        "null": null if below is None else null | {"below": below},
    }  # fmt: skip


def test_neurons_of_languages_stand_beside_permuted_ones_and_what_was_not_measured_is_told():
    def changed(own: float, special: float, specific: bool) -> dict:
        bounds = {"low": special - 0.1, "high": special + 0.1}
        by = {"python": {"difference": own, "low": own - 0.1, "high": own + 0.1}}
        return {"by_language": by, "specificity": {"difference": special, **bounds, "specific": specific}}

    lape = selection(10, 7, 0.01, 9)
    lape["ablation"] = {
        "tokens": {"python": 60, "c": 60},
        "zero": {"python": changed(-0.5, -0.25, True), "c": None},
        "mean": {"python": changed(0.0, 0.125, False), "c": None},
    }
    found = {
        "m": {
            "reason": None,
            "trained": {"lape": lape, "pls": {"reason": "no gradient"}},
            "untrained": {"lape": selection(4, 1, 0.5, 0), "pls": {"reason": "no gradient"}},
        },
        "n": {"reason": "odd blocks", "trained": None, "untrained": None},
    }
    table = concepts.languages(found)
    assert lines(table) == [
        [
            "m, LAPE", "10 (9, 1)", "10", "9 of 10", "**7; 3.0 (0.010)**", "0.90; 0.80 (0.70 to 0.85)",
            "4; 0 of 4; 1; 3.0 (0.500)",
        ]
    ]  # fmt: skip
    assert table.endswith("Not measured: m, PLS: no gradient. n, LAPE; n, PLS: odd blocks.")
    used = concepts.language_use(found)
    assert lines(used) == [
        [
            "m, LAPE, python", "-0.500 [-0.600, -0.400]", "**-0.250 [-0.350, -0.150]**", "0.000 [-0.100, 0.100]",
            "0.125 [0.025, 0.225]",
        ],
        ["m, LAPE, c", "-", "-", "-", "-"],
    ]  # fmt: skip
    assert used.endswith("Specific: 1 of 2.")
    assert concepts.language_use({"n": found["n"]}) == "Not measured."


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


def test_the_committed_documents_are_made_of_the_committed_results():
    made = concepts.documents(Path("results"))
    assert {path.name for path in made} == {
        "concepts.md",
        "attribution.md",
        "effects.md",
        "faithfulness.md",
        "lenses.md",
        "languages.md",
        "real-data.md",
    }
    for path, found in made.items():
        page = path.read_text(encoding="utf-8")
        assert concepts.put(page, found, path.name) == page, f"{path}: run `python benchmarks/concepts.py`"
        assert page.count("made by benchmarks/concepts.py -->") == len(found)


def test_a_page_needs_a_place_for_every_table():
    begin, end = concepts.mark("named")
    page = concepts.put(f"above\n{begin}\nold\n{end}\nbelow\n", {"named": "TABLE"})
    assert page == f"above\n{begin}\n\nTABLE\n\n{end}\nbelow\n"
    for text in ("", f"{begin}{end}{end}"):
        with pytest.raises(ValueError, match=r"x.md: expected the lines"):
            concepts.put(text, {"named": "TABLE"}, "x.md")

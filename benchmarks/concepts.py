"""What the chosen neurons mean, and whether the model uses them: tables of docs/concepts.md and docs/concepts/.

    python benchmarks/concepts.py [--results results] [--benchmark concepts] [--print]

Reads published results and writes each document's tables (``documents``) between its marks; --print shows them and
writes nothing. No model is run and nothing is drawn: the same results give the same tables.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from neurosieve.artifacts import write_text
from neurosieve.leaderboard import measures
from neurosieve.leaderboard.evidence import TIERS, chosen_curve
from neurosieve.leaderboard.table import row_file

DOCUMENT = Path(__file__).parents[1] / "docs" / "concepts.md"
PAGES = DOCUMENT.parent / "concepts"
METHODS = ("relp", "gradient-mean", "activation-gradient")
REFERENCES = ("mean", "resample")
DOSES = ("0", "2", "4")  # of those measured, the ones shown
ASKED = ("all", "around", "class", "surface", "position", "types")
SIZES = (2, 8, 32)  # of the lens subspace; beside the largest

Row = dict[str, Any]
Found = dict[str, Any]


def mark(name: str) -> tuple[str, str]:
    """Between which lines of the page a table stands."""
    return f"<!-- {name}: made by benchmarks/concepts.py -->", f"<!-- end of {name} -->"


def read(results: Path, benchmark: str) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a benchmark in the order of its leaderboard, and what was asked of whole models, by file."""
    folder = results / benchmark
    board = folder / "leaderboard.csv"
    if not board.is_file():
        raise SystemExit(
            f"{board}: not there; run `neurosieve run --params presets/{benchmark}.yaml` first, "
            "or name another benchmark"
        )
    with board.open(encoding="utf-8", newline="") as file:
        cells = [line for line in csv.DictReader(file) if line["protocol"] == "strict"]
    names = [folder / row_file(line["model"], line["task"]) for line in cells]
    rows = [json.loads(name.read_text(encoding="utf-8")) for name in names]
    files = {name: folder / f"{name}.json" for name in ("effects", "languages")}
    whole = {n: json.loads(p.read_text(encoding="utf-8")) if p.is_file() else {} for n, p in files.items()}
    return rows, whole


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    """A table; the first column is of names, the others of figures."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def measured(
    rows: list[Row],
    found_of: Callable[[Row], tuple[Found | None, str]],
    heads: list[str],
    lines_of: Callable[[Found], Iterable[list[str]]],
) -> str:
    """A table of the rows of trained models, one line or more each; beneath it those without figures, by reason."""
    lines: list[list[str]] = []
    without: dict[str, list[str]] = {}
    for name, row in _trained(rows):
        found, reason = found_of(row)
        if found is None:
            without.setdefault(reason, []).append(name)
        else:
            lines += [[name, *cells] for cells in lines_of(found)]
    parts = [markdown(["row", *heads], lines)] if lines else []
    parts += [f"Not measured: {_reasons(without)}."] if without else []
    return "\n\n".join(parts)


def evidence(rows: list[Row]) -> str:
    """Each row of a trained model: how far its evidence goes, and the figures of it."""
    lines = []
    for name, row in _trained(rows):
        curve = chosen_curve(row)
        point = next((p for p in curve["points"] if p["chosen"]), None) if curve is not None else None
        cells = []
        for kind in ("necessity", "sufficiency"):
            found = point and point[kind]
            cells += [_f(found and found["f"]), _band(found and found["random_f"])]
        outside = ((row["effects"] or {}).get("outside") or {"doses": {}})["doses"].get("0")
        cells.append("-" if outside is None else f"{_f(outside['difference'])} {_bounds(outside)}")
        k = "-" if point is None else f"{point['k']:,}"
        lines.append([name, row["status"], k, *cells, row["evidence"]])
    heads = [
        "row",
        "status",
        "neurons",
        "f without them",
        "random",
        "f with them alone",
        "random",
        "side effects",
        "evidence",
    ]
    counts = ", ".join(f"{tier} {n}" for tier in TIERS if (n := sum(line[-1] == tier for line in lines)))
    return f"{markdown(heads, lines)}\n\nRows by evidence: {counts}."


def causal(rows: list[Row]) -> str:
    """Of trained models: how many of the chosen neurons are among as many first ones of each causal ranking."""

    def lines(found: Found) -> Iterator[list[str]]:
        shared = [(found["rankings"].get(name) or {}).get("overlap") for name in METHODS]
        yield [f"{found['chosen']:,}", *("-" if entry is None else _overlap(entry) for entry in shared)]

    return measured(rows, _attribution, ["chosen", *METHODS], lines)


def rankings(rows: list[Row]) -> str:
    """Every causal ranking of every row beside its nulls, and how many are beyond them."""
    tests: dict[str, list[float]] = {"shared": [], "precedence": []}

    def lines(found: Found) -> Iterator[list[str]]:
        for name, entry in sorted(found["rankings"].items(), key=lambda item: (item[0].endswith(".signed"), item[0])):
            shared, before, probes = entry["overlap"], entry["precedence"], dict(entry["probes"])
            for test, made in zip(tests.values(), (shared, before), strict=True):
                test += [made["p_more"], made["in_layers"]["p_more"]]
            chance = probes.pop("random")
            yield [
                name,
                f"{_overlap(shared)}",
                f"{_f(before['share'])} (p {before['p_more']:.3f})",
                f"{_f(before['in_layers']['share'])} (p {before['in_layers']['p_more']:.3f})",
                _f(entry["halves"]["spearman"]),
                f"{_f(min(probes.values()))} to {_f(max(probes.values()))}; {_f(chance)}",
                " ".join(str(n) for n in entry["first_per_layer"]),
            ]

    heads = [
        "ranking", "shared", "precedence", "within layers", "halves", "probes' rankings; random", "first n, by layer",
    ]  # fmt: skip
    table = measured(rows, _attribution, heads, lines)
    counts = [f"{name} {sum(p <= 0.05 for p in made)} of {len(made)}" for name, made in tests.items()]
    return f"{table}\n\np of at most 0.05, over all neurons or within layers: {', '.join(counts)}."


def agreement(rows: list[Row]) -> str:
    """Spearman's correlation of the causal rankings by size with each other."""
    pairs = [(a, b) for i, a in enumerate(METHODS) for b in METHODS[i + 1 :]]

    def lines(found: Found) -> Iterator[list[str]]:
        made = found["rankings"]
        yield [_f(made[a]["others"].get(b)) if a in made else "-" for a, b in pairs]

    return measured(rows, _attribution, [f"{a}, {b}" for a, b in pairs], lines)


def orders(rows: list[Row]) -> str:
    """As many first neurons of every order ablated and kept, under every reference; bold: so says the verdict."""
    said: dict[str, list[bool]] = {}

    def found_of(row: Row) -> tuple[Found | None, str]:
        report = row["faithfulness"] or {"curves": [], "reason": "not asked"}
        return (report if report["curves"] else None), report.get("reason") or "no curve"

    def cells(curve: Found, point: Found) -> Iterator[str]:
        for kind, verdict in (("necessity", "necessary"), ("sufficiency", "sufficient")):
            holds = bool((curve["verdict"] or {}).get(verdict))
            said.setdefault(f"{verdict} by {curve['method']}, {curve['order']}", []).append(holds)
            yield _bold(f"{_f(point[kind]['f'])}; {_band(point[kind]['random_f'])}", holds)

    def lines(found: Found) -> Iterator[list[str]]:
        for order in dict.fromkeys(curve["order"] for curve in found["curves"]):
            of = {curve["method"]: curve for curve in found["curves"] if curve["order"] == order}
            line = [order]
            for method in REFERENCES:
                point = next((p for p in of[method]["points"] if p["chosen"]), None) if method in of else None
                line += ["-", "-"] if point is None else cells(of[method], point)
            yield line

    heads = [f"{method}: {kind}" for method in REFERENCES for kind in ("without", "alone")]
    table = measured(rows, found_of, ["order", *heads], lines)
    counts = [f"{name} {sum(made)} of {len(made)}" for name, made in sorted(said.items())]
    return f"{table}\n\nRows: {'; '.join(counts)}."


def doses(rows: list[Row]) -> str:
    """Harm of the chosen neurons, of random ones, and beyond these with bounds; bold: more than random."""

    def lines(found: Found) -> Iterator[list[str]]:
        cells = []
        for dose in DOSES:
            entry = found["doses"][dose]
            values = f"{_f(-entry['chosen'])}; {_f(-entry['random']['mean'])}"
            beyond = f"{_f(-entry['difference'])} [{_f(-entry['high'])}, {_f(-entry['low'])}]"
            cells.append(_bold(f"{values}; {beyond}", entry["more_than_random"]))
        yield [str(found["measured"]), *cells]

    return measured(rows, _effects, ["neurons", *(f"dose {dose}" for dose in DOSES)], lines)


def monotone(rows: list[Row]) -> str:
    """Whether no step of harm falls, below and above dose 1, and in which share of resamples; the same of random."""
    divergence: dict[str, list[bool]] = {"chosen": [], "random": []}

    def lines(found: Found) -> Iterator[list[str]]:
        sides = [found["monotone"][side] for side in ("below", "above")]
        for side in sides:
            for who, made in divergence.items():
                made.append(side["divergence"][who]["monotone"])
        made = [side["harm"][who] for side in sides for who in divergence]
        yield [f"{'yes' if entry['monotone'] else 'no'} ({_f(entry['share'])})" for entry in made]

    table = measured(rows, _effects, ["below 1: chosen", "random", "above 1: chosen", "random"], lines)
    counts = [f"{who} {sum(made)} of {len(made)}" for who, made in divergence.items()]
    return f"{table}\n\nThe divergence (KL) is monotone: {', '.join(counts)}."


def outside(rows: list[Row]) -> str:
    """Side effects by dose: the difference and the ratio of KL ratios with bounds; bold: so says the verdict."""

    def lines(found: Found) -> Iterator[list[str]]:
        cells = []
        for dose in DOSES[:2]:
            entry = found["outside"]["doses"].get(dose)
            if entry is None:
                cells += ["-", "-"]
                continue
            ratio = f"{_f(entry['divergence_ratio'])} [{_f(entry['ratio_low'])}, {_f(entry['ratio_high'])}]"
            cells.append(_bold(f"{_f(entry['difference'])} {_bounds(entry)}", entry["specific"]))
            cells.append(_bold(ratio, entry["moves_more"]))
        yield cells

    heads = [head for dose in DOSES[:2] for head in (f"dose {dose}", "KL ratio")]
    return measured(rows, _effects, heads, lines)


def members(rows: list[Row]) -> str:
    """A set against the sum of its members, in nats."""

    def lines(found: Found) -> Iterator[list[str]]:
        made = found["members"]
        apart, beyond = made["interaction"], made["beyond_random"]
        yield [
            str(made["neurons"]),
            _f(made["set"], 3),
            _f(made["sum"], 3),
            f"{_f(apart['value'], 3)} {_bounds(apart, 3)}",
            f"{_f(beyond['value'], 3)} {_bounds(beyond, 3)}",
            made["verdict"] or "none",
        ]

    return measured(rows, _effects, ["neurons", "together", "sum", "interaction", "beyond random", "verdict"], lines)


def readout(effects: Mapping[str, Any]) -> str:
    """Accuracy of the frozen probe of each task with sets of neurons ablated inside the model."""
    lines = []
    for model, report in effects.items():
        if report["readout"] and not report["readout"].get("reason"):
            for task, found in report["readout"]["accuracy"].items():
                others = [value for name, value in found["without"].items() if name != task]
                cells = [found["untouched"], found["without"][task], found["random"][task]]
                others_cell = ", ".join(_f(value, 3) for value in others)
                lines.append([f"{task}, {model}", *(_f(value, 3) for value in cells), others_cell])
    return markdown(["probe of", "untouched", "own set", "random for it", "sets of the others"], lines)


def lenses(rows: list[Row]) -> str:
    """Every lens: its statistic, on how many rows it is above all but a twentieth of its null, and where it was not
    measured."""
    lines = []
    for name in sorted({name for row in rows for name in row["lenses"]}):
        found = {f"{row['task']}, {row['model']}": row["lenses"][name] for row in rows if name in row["lenses"]}
        made = {key: entry["headline"] for key, entry in found.items() if entry["headline"] is not None}
        without: dict[str, list[str]] = {}
        for key, entry in found.items():
            if key not in made:
                without.setdefault(entry["reason"], []).append(key)
        statistics = {entry["statistic"] for entry in made.values()}
        if len(statistics) > 1:  # they differ in the sizes that a row has
            statistics = {re.sub(r"\d+(, \d+)*", "several sizes", text) for text in statistics}
        beyond = sum(entry["p"] <= 0.05 for entry in made.values())
        example = "-"
        if made:
            best = min(made, key=lambda key: (made[key]["p"], -made[key]["value"]))
            null = made[best]["null"]
            example = f"{_f(made[best]['value'])} against {_f(null['mean'])} {_bounds(null)} ({best})"
        statistic = " / ".join(sorted(statistics))
        lines.append([name, statistic or "-", f"{beyond} of {len(made)}", example, _reasons(without) or "-"])
    return markdown(["lens", "statistic", "rows beyond chance", "strongest row", "not measured"], lines)


def text(rows: list[Row]) -> str:
    """The lens text: agreement in the space of the input embeddings."""

    def lines(found: Found, seen: Found) -> Iterator[list[str]]:
        own, permuted, random = found["spaces"]["input"], seen["null"], found["spaces"]["input"]["random"]
        yield [
            f"{_f(own['agreement'])} (p {seen['p']:.3f})",
            f"{_f(permuted['mean'])} ({_band(permuted)})",
            f"{_f(random['mean'])} ({_band(random)}; p {random['p']:.3f})",
            f"{_f(own['overlap'])}; {_f(own['overlap_permuted'])}",
            ", ".join(f"{entry['layer']}: {_f(entry['agreement'])}" for entry in own["layers"]),
        ]

    heads = ["chosen", "types permuted", "random neurons", "shared types; permuted", "chosen, by layer"]
    return _lens(rows, "text", heads, lines)


def explain(rows: list[Row]) -> str:
    """The lens explain: scores of short descriptions."""

    def lines(found: Found, seen: Found) -> Iterator[list[str]]:
        random, null = found["random_neurons"], seen["null"]
        yield [
            str(found["described"]),
            f"{_f(seen['value'])} (p {seen['p']:.3f})",
            f"{_f(null['mean'])} ({_band(null)})",
            _f(found["unseen"]),
            _bold(f"{_f(random['mean'])} ({_band(random)})", seen["value"] > random["high"]),
        ]

    heads = ["neurons", "own description", "another's", "unseen types", "random neurons, own"]
    return _lens(rows, "explain", heads, lines)


def asked(rows: list[Row]) -> str:
    """The lens explain: what a description may ask about."""

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        yield [_f(found["scores"][name]) for name in ASKED]

    return _lens(rows, "explain", list(ASKED), lines)


def directions(rows: list[Row]) -> str:
    """The lens directions: neurons beside other axes."""

    def lines(found: Found, seen: Found) -> Iterator[list[str]]:
        null, mean = seen["null"], found["mean"]
        yield [
            f"{_f(seen['value'])} (p {seen['p']:.3f})",
            f"{_f(null['mean'])} ({_band(null)})",
            *(_f(mean[name]) for name in ("whitened", "principal", "learned")),
        ]

    return _lens(rows, "directions", ["neurons", "rotated", "whitened", "principal", "learned"], lines)


def subspace(rows: list[Row]) -> str:
    """The lens subspace: first directions, first chosen and random neurons at several sizes, and who is ahead."""
    ahead: list[str] = []

    def cell(entry: Found) -> str:
        gap = entry["directions_less_chosen"]
        ahead.append("directions" if gap["low"] > 0 else "chosen neurons" if gap["high"] < 0 else "neither")
        values = f"{_f(entry['directions'])}; {_f(entry['chosen'])}; {_f(entry['random']['mean'])}"
        return {"directions": f"**{values}**", "chosen neurons": f"*{values}*", "neither": values}[ahead[-1]]

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        made = found["directions"]
        of = {entry["k"]: entry for entry in made["scores"]}
        largest = max(of)
        cells = [cell(of[k]) if k in of and k != largest else "-" for k in SIZES]
        width = f"{made['needed']} of {made['features']:,}"
        yield [width, f"{made['participation_ratio']:.0f}", *cells, f"{largest}: {cell(of[largest])}"]

    heads = ["for 99 %", "participation ratio", *(str(k) for k in SIZES), "largest"]
    table = _lens(rows, "subspace", heads, lines)
    counts = [f"{who} {ahead.count(who)}" for who in ("directions", "chosen neurons", "neither")]
    return f"{table}\n\nAhead, of {len(ahead)} comparisons: {', '.join(counts)}."


def hebbian(rows: list[Row]) -> str:
    """The lens subspace: directions of one layer by eigenvectors and by the online Hebbian rule."""

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        made = found["two_ways"]
        shared = {entry["directions"]: entry for entry in made["agreement"]}
        cells = [
            f"{_f(shared[k]['shared'])} ({_f(shared[k]['by_chance'])})" if k in shared else "-" for k in (1, 8, 64)
        ]
        yield [str(made["layer"]), str(made["needed"]), str(made["needed_hebbian"]), *cells]

    return _lens(rows, "subspace", ["layer", "eigenvectors", "Hebbian", "first", "first 8", "first 64"], lines)


def synergy(rows: list[Row]) -> str:
    """The lens synergy: O-information of sets; bold: the chosen beyond the means of all random draws."""

    def lines(found: Found, seen: Found) -> Iterator[list[str]]:
        null, of = seen["null"], {entry["size"]: entry for entry in found["sizes"]}
        cells = [_f(-seen["value"], 3), f"{_f(-null['mean'], 3)} ({_f(-null['high'], 3)} to {_f(-null['low'], 3)})"]
        if 20 not in of:
            yield [*cells, "-", "-", "-"]
            return
        omega = of[20]["omega"]
        gap = f"{_f(of[20]['omega_difference'], 3)} [{_f(of[20]['omega_low'], 3)}, {_f(of[20]['omega_high'], 3)}]"
        yield [*cells, _f(omega["chosen"]["mean"], 3), _f(omega["random"]["mean"], 3), gap]

    heads = ["10: chosen", "random", "20: chosen", "random", "difference"]
    return _lens(rows, "synergy", heads, lines)


def label(rows: list[Row]) -> str:
    """The lens synergy: what the largest sets say about the label, together and one by one, in nats."""

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        last = found["sizes"][-1]
        together, index = last["label"]["information"], last["label"]["index"]
        cells = [_f(entry[who]["mean"], 3) for entry in (together, index) for who in ("chosen", "random")]
        yield [str(last["size"]), *cells, _f(index["bias"], 3)]

    heads = ["neurons", "together: chosen", "random", "singles less together: chosen", "random", "bias taken off"]
    return _lens(rows, "synergy", heads, lines)


def population(rows: list[Row]) -> str:
    """The lens population; bold: above all random populations."""

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        several = found["heterogeneity"]
        entries = [several["best_class_entropy"], several["mean_abs_correlation"], several["participation_ratio"]]
        entries += [found["noise"]["area"], found["dropout"]["area"]]
        yield [_above(entry["chosen"], entry["random"]) for entry in entries]

    heads = ["best classes, bits", "mean correlation", "participation ratio", "noise", "lost members"]
    return _lens(rows, "population", heads, lines)


def low_bit(rows: list[Row]) -> str:
    """The lens low-bit: scores, sizes and bytes by number of bits."""

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        made = [found["float"], *sorted(found["bits"], key=lambda entry: -entry["bits"])]
        scores = [f"{_f(entry['chosen'], 3)}; {_f(entry['random']['mean'], 3)}" for entry in made]
        within = ", ".join(str(entry["n_within"] or "none") for entry in made)
        yield [*scores, within, ", ".join(str(entry["bytes_row"]) for entry in made)]

    heads = ["32 bits", "8", "4", "2", "neurons within the margin", "bytes of a row"]
    return _lens(rows, "low-bit", heads, lines)


def dictionary(rows: list[Row]) -> str:
    """The lens dictionary: latents beside neurons and turned neurons of one layer."""

    def lines(found: Found, seen: Found) -> Iterator[list[str]]:
        at, needed = found["at"], found["needed"]
        gap = at["latents_less_neurons"]
        yield [
            str(found["layer"]),
            _f(found["score"]),
            f"{_f(at['latents'])} (p {seen['p']:.2f})",
            _band(at["random"]),
            _f(at["neurons"]),
            f"{_f(gap['difference'])} {_bounds(gap)}",
            str(needed["neurons"] or "none"),
            ", ".join(str(n or "none") for n in needed["rotated"]),
            str(needed["latents"] or "none"),
            f"{_f(found['r2']['train'])}; {_f(found['r2']['judge'])}",
        ]

    heads = [
        "layer", "all neurons", "16 latents", "random dictionaries", "16 neurons", "latents less neurons",
        "needed: neurons", "turned", "latents", "variance: train; judge",
    ]  # fmt: skip
    return _lens(rows, "dictionary", heads, lines)


def symbols(rows: list[Row]) -> str:
    """The lens symbols: a task read from symbols of its own and of other tasks' neurons; bold: above all draws."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))

    def lines(found: Found, _: Found) -> Iterator[list[str]]:
        own = next(entry for entry in found["sources"].values() if entry["own"])
        cells = [_f(own["values"]), _f(own["codes"]["ternary"]["judge"])]
        for task in tasks:
            entry = found["sources"].get(task)
            sign = entry and entry["codes"]["sign"]
            cells.append("-" if sign is None else _above(sign["judge"], sign["random"]) + (" own" * entry["own"]))
        yield cells

    return _lens(rows, "symbols", ["own values", "own ternary", *(f"signs of {task}" for task in tasks)], lines)


def _lens(rows: list[Row], name: str, heads: list[str], lines_of: Callable[[Found, Found], Iterable[list[str]]]) -> str:
    """The table of a lens from what it found and its headline."""

    def found_of(row: Row) -> tuple[Found | None, str]:
        report = row["lenses"].get(name)
        if report is None:
            return None, "not asked"
        return (None if report["headline"] is None else report), report["reason"]

    return measured(rows, found_of, heads, lambda report: lines_of(report["found"], report["headline"]))


def named(rows: list[Row]) -> str:
    """Neurons that have a name, in trained models and in their twins."""
    twins: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["control_of"] is not None:
            twins.setdefault((row["control_of"], row["task"]), []).append(_named_of(row["concepts"]))
    lines = []
    for name, row in _trained(rows):
        other = ", ".join(twins.get((row["model"], row["task"]), ["-"]))
        classes = ", ".join(f"{n} {of}" for of, n in _by_class(row["concepts"]).items())
        lines.append([name, _named_of(row["concepts"]), other, classes or "-"])
    return markdown(["row", "named", "of the twin", "after"], lines)


def dissociation(effects: Mapping[str, Any]) -> str:
    """The tables of the page, a model after the other; what their lines and columns are is said in the document."""
    parts = []
    for table in measures.dissociation_tables(effects):
        lines = [[name, *cells] for name, cells in table["lines"]]
        summary = "".join(table["text"].partition("Diagonal less rest")[1:])
        parts.append(f"**{table['title']}.** {summary}\n\n{markdown(['tokens of', *table['heads']], lines)}")
    without = list(_without(effects))
    if without:
        parts.append(f"Not measured: {'; '.join(without)}.")
    return "\n\n".join(parts) or "Not measured."


LANGUAGE_METHODS = {"lape": "LAPE", "pls": "PLS"}


def languages(found: Mapping[str, Any]) -> str:
    """Neurons of single languages: a line for each model and method; bold: beyond what permuted languages give."""
    lines, without = [], {}
    for model, report, method, of in _languages(found):
        if of is None:
            without.setdefault(report, []).append(f"{model}, {LANGUAGE_METHODS[method]}")
            continue
        trained, twin = of
        null, separation, same = trained["null"], trained["separation"], trained["stability"]
        lines.append(
            [
                f"{model}, {LANGUAGE_METHODS[method]}",
                f"{trained['chosen']} ({', '.join(str(len(own['neurons'])) for own in trained['sets'].values())})",
                f"{null['chosen']['mean']:.0f}",
                _below(trained),
                _shared(same, null),
                f"{_f(separation['chosen'])}; {_f(separation['random']['mean'])} ({_band(separation['random'])})"
                if separation
                else "-",
                "-"
                if not twin or twin.get("reason")
                else f"{twin['chosen']}; {_below(twin)}; {_shared(twin['stability'], twin['null'])}",
            ]
        )
    heads = [
        "model, method", "chosen", "with permuted languages", "below the level", "shared by the halves; permuted (p)",
        "separation; random", "untrained: chosen; below; shared",
    ]  # fmt: skip
    return "\n\n".join(
        [*([markdown(heads, lines)] if lines else []), *([f"Not measured: {_reasons(without)}."] if without else [])]
    )


def _below(report: Mapping[str, Any]) -> str:
    null = report["null"]
    return f"{null['below']} of {report['chosen']}" if "below" in null else "-"


def _shared(stability: Mapping[str, Any], null: Mapping[str, Any]) -> str:
    p = null["shared"]["p"]
    return _bold(f"{stability['shared']}; {null['shared']['mean']:.1f} ({p:.3f})", p <= 0.05)


def _languages(found: Mapping[str, Any]) -> Iterator[tuple[str, Any, str, tuple[Any, Any] | None]]:
    """Model, reason, method, and the reports of the trained and the untrained network; None with a reason."""
    for model, report in found.items():
        for method in LANGUAGE_METHODS:
            trained = None if report["reason"] else report["trained"][method]
            reason = report["reason"] or trained.get("reason")
            yield model, reason, method, None if reason else (trained, report["untrained"].get(method))


def language_use(found: Mapping[str, Any]) -> str:
    """What ablating a language's neurons does to its own tokens and, less that, to the others; bold: specific."""
    lines, count = [], [0, 0]
    for model, _, method, of in _languages(found):
        ablation = of and of[0]["ablation"]
        if not ablation or ablation.get("reason"):
            continue
        for language in ablation["tokens"]:
            line = [f"{model}, {LANGUAGE_METHODS[method]}, {language}"]
            for value in ("zero", "mean"):
                entry = ablation[value][language]
                if entry is None:
                    line += ["-", "-"]
                    continue
                own, special = entry["by_language"][language], entry["specificity"]
                count[0] += special["specific"]
                count[1] += 1
                line.append(f"{_f(own['difference'], 3)} {_bounds(own, 3)}")
                line.append(_bold(f"{_f(special['difference'], 3)} {_bounds(special, 3)}", special["specific"]))
            lines.append(line)
    if not lines:
        return "Not measured."
    heads = ["neurons of", *(f"{value}: {what}" for value in ("to 0", "to the mean") for what in ("own", "specific"))]
    return f"{markdown(heads, lines)}\n\nSpecific: {count[0]} of {count[1]}."


def _without(effects: Mapping[str, Any]) -> Iterator[str]:
    """What of each model has no table, and why."""
    for model, report in effects.items():
        matrix = report["matrix"] or report
        if matrix["reason"] is not None:
            yield f"{model}: {matrix['reason']}"
        else:
            for name, part in (("sets of one size", matrix["equal"]), ("whole sets", matrix["whole"])):
                if part.get("reason"):
                    yield f"{model}: {name}: {part['reason']}"
        if report["readout"] and report["readout"].get("reason"):
            yield f"{model}: readout: {report['readout']['reason']}"


def _named_of(concepts: Mapping[str, Any]) -> str:
    return f"{concepts['significant']} of {concepts['described']}"


def _by_class(concepts: Mapping[str, Any]) -> dict[str, int]:
    names = [neuron["concept"] for neuron in concepts["neurons"]]
    return {name: names.count(name) for name in dict.fromkeys(filter(None, names))}


def _trained(rows: list[Row]) -> Iterator[tuple[str, Row]]:
    return ((f"{row['task']}, {row['model']}", row) for row in rows if row["control_of"] is None)


def _attribution(row: Row) -> tuple[Found | None, str]:
    report = row["attribution"] or {"attribution": None, "reason": "not asked"}
    return report["attribution"], report["reason"]


def _effects(row: Row) -> tuple[Found | None, str]:
    report = row["effects"] or {"reason": "not asked"}
    return (None if report["reason"] else report), report["reason"]


def _reasons(without: Mapping[str, list[str]]) -> str:
    return ". ".join(f"{'; '.join(names)}: {reason}" for reason, names in without.items())


def _f(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:z.{digits}f}"


def _bold(cell: str, said: bool | None) -> str:
    return f"**{cell}**" if said else cell


def _above(value: float, random: Mapping[str, Any]) -> str:
    return _bold(f"{_f(value)}; {_band(random)}", value > random["high"])


def _bounds(entry: Mapping[str, Any], digits: int = 2) -> str:
    return f"[{_f(entry['low'], digits)}, {_f(entry['high'], digits)}]"


def _band(entry: Mapping[str, Any] | None) -> str:
    return "-" if not entry else f"{_f(entry['low'])} to {_f(entry['high'])}"


def _overlap(shared: Mapping[str, Any]) -> str:
    within = shared["in_layers"]
    chance = f"{shared['expected']:.1f} (p {shared['p_more']:.3f}); {within['expected']:.1f} (p {within['p_more']:.3f})"
    return f"{shared['shared']}; {chance}"


def documents(results: Path, benchmark: str = "concepts") -> dict[Path, dict[str, str]]:
    """Each document with its tables by name."""
    rows, whole = read(results, benchmark)
    lenses_of = {
        "text": text, "explain": explain, "asked": asked, "directions": directions, "subspace": subspace,
        "hebbian": hebbian, "synergy": synergy, "label": label, "population": population, "low-bit": low_bit,
        "dictionary": dictionary, "symbols": symbols,
    }  # fmt: skip
    of_rows: dict[Path, dict[str, Callable[[list[Row]], str]]] = {
        DOCUMENT: {"evidence": evidence, "causal": causal, "named": named, "lenses": lenses},
        PAGES / "attribution.md": {"rankings": rankings, "agreement": agreement},
        PAGES / "effects.md": {"doses": doses, "monotone": monotone, "outside": outside, "members": members},
        PAGES / "faithfulness.md": {"orders": orders},
        PAGES / "lenses.md": lenses_of,
    }
    found = {path: {name: make(rows) for name, make in made.items()} for path, made in of_rows.items()}
    found[DOCUMENT]["dissociation"] = dissociation(whole["effects"])
    found[PAGES / "effects.md"]["readout"] = readout(whole["effects"])
    found[PAGES / "faithfulness.md"]["evidence"] = evidence(read(results, "default")[0])
    real, of_models = read(results, "real-data")
    of_real: dict[str, Callable[[list[Row]], str]] = {
        "evidence": evidence, "orders": orders, "causal": causal, "named": named, "lenses": lenses,
    }  # fmt: skip
    found[PAGES / "real-data.md"] = {name: make(real) for name, make in of_real.items()}
    found[PAGES / "real-data.md"]["dissociation"] = dissociation(of_models["effects"])
    found[PAGES / "languages.md"] = {
        "languages": languages(of_models["languages"]), "use": language_use(of_models["languages"]),
    }  # fmt: skip
    return found


def put(text: str, made: Mapping[str, str], document: str = DOCUMENT.name) -> str:
    """The page with the tables in their places; ValueError for a place that is not there once."""
    for name, table in made.items():
        begin, end = mark(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{document}: expected the lines {begin} and {end} once each")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--benchmark", default="concepts")
    parser.add_argument("--print", action="store_true", help="show the tables, write nothing")
    args = parser.parse_args()
    for document, made in documents(args.results, args.benchmark).items():
        if args.print:
            print("\n\n".join(f"{document.name}: {name}\n\n{table}\n" for name, table in made.items()))
        else:
            write_text(document, put(document.read_text(encoding="utf-8"), made, document.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())

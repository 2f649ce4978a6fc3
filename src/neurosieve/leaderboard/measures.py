"""Tables of the page beyond the board: text cells made from the rows. Pure functions; reads and writes no files.

A table is {"title", "text", "heads", "lines": [(name of the line, [cells])]}; cells are plain text, escaped by the
template. A missing figure is an en dash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Table = dict[str, Any]
NONE = "–"


def integer(value: float) -> str:
    """4992 -> 4,992."""
    return f"{value:,.0f}"


def decimals(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def count(value: int | None, about: bool = False) -> str:
    return NONE if value is None else f"{'about ' if about else ''}{integer(value)}"


def between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{decimals(low)}, {decimals(high)}]"


def from_to(low: int | None, high: int | None) -> str:
    return "" if low is None or high is None else f" [{count(low)}–{count(high)}]"


def task_tables(rows: Sequence[Row]) -> list[Table]:
    """Tables of one task, a line or several per model; a table without a line is left out."""
    tables = [layers(rows), contenders(rows), selectivity(rows), description_length(rows), spared(rows), used(rows)]
    tables += [faithfulness(rows), causal(rows), effects(rows), lenses(rows), ranks(rows)]
    tables += [agreement(row) for row in rows if row["control_of"] is None]
    return [table for table in tables if table["lines"]]


def layers(rows: Sequence[Row]) -> Table:
    """Fewest layers from the bottom and from the top, and the single layers that pass."""
    lines = []
    for row in rows:
        found = row["layer_selection"]
        cells = []
        for side in ("bottom", "top"):
            entry = found[side]
            number = entry["layers"] if entry["layers"] is not None else entry["estimate"]
            cells.append(count(number, about=entry["layers"] is None))
        single = ", ".join(str(entry["layer"]) for entry in found["single"] if entry["passes"]) or "none"
        lines.append((row["model"], [*cells, NONE if row["dev"]["too_small"] else single]))
    return {
        "title": "Layers that suffice",
        "text": "On judge, against the reference and the best baseline, each by its own bounds: every larger number of "
        "layers passes as well. “About” marks an estimate without a claim.",
        "heads": ["fewest from the bottom", "fewest from the top", "single layers that pass"],
        "lines": lines,
    }


def contenders(rows: Sequence[Row]) -> Table:
    """Every ranking and search, and the pipeline: minimum, scores, and from where random neurons do as well."""
    lines = []
    for row in rows:
        found = dict(row["minima"])
        if row["pipeline"] is not None:
            found["pipeline"] = row["pipeline"]
        for name, entry in found.items():
            size = entry["n_minimal"]
            interval = from_to(entry["n_minimal_low"], entry["n_minimal_high"])
            number = count(size) + interval if size else count(entry["n_estimate"], about=True)
            test = row["test"].get("subset" if name == row["ranking"] else f"subset-{name}") or {}
            beats = row["beats_random"]["rankings"].get(name)
            suffices = NONE if beats is None else _from(beats["random_suffices_from"])
            kind = [row["curves"][name]["kind"]]
            kind += ["headline"] * (name == row["ranking"]) + ["best on tune"] * (name == row["best_ranking"])
            kept = NONE
            if name == "pipeline":
                cut = entry["threshold"]
                kept = f"{count(entry['neurons_in'])} in {entry['layers']} layers"
                kept += ", no clusters" if cut is None else f", clusters at {cut:g}"
            tune = decimals(row["mean_tune"].get(name))
            scores = [share(entry["share_kept"]), decimals(test.get(row["metric"]))]
            cells = [", ".join(kind), number, tune, *scores, suffices, kept]
            lines.append((f"{row['model']}: {name}", cells))
    beyond = ["random suffices from", "searched among"]
    return {
        "title": "Contenders, and the pipeline of layers, clusters and ranking",
        "text": "A contender is a ranking (one order of all neurons) or a search (the best set at every size); lca is "
        "the ranking of the published method. Mean on tune: over log sizes, by which the best is chosen. Random "
        "suffices from: the size from which on the contender is not above random neurons on judge (lower bound of "
        "the paired difference to the mean of the draws); “never” where it is above up to the largest size compared. "
        "The pipeline's number of layers is chosen on judge as well, and its interval does not carry that. Brackets: "
        "where another judge of the same size would put the number, 5-95 %.",
        "heads": ["kind", "minimal subset", "mean on tune", "kept of the gain", "test", *beyond],
        "lines": lines,
    }


def _from(size: int | None) -> str:
    return "never" if size is None else count(size)


def selectivity(rows: Sequence[Row]) -> Table:
    """Task minus control task, on test tokens of types seen in train (Hewitt and Liang 2019)."""
    lines = []
    for row in rows:
        found = row["selectivity"]
        if found is None:
            continue
        spread = f"{decimals(min(found['control']))}–{decimals(max(found['control']))}"
        cells = [
            decimals(found["task"]),
            decimals(found["control_mean"]),
            spread,
            decimals(found["selectivity"]) + between(found["low"], found["high"]),
            count(found["rows"]),
        ]
        lines.append((row["model"], cells))
    return {
        "title": "Selectivity",
        "text": "Accuracy (R² where a number is predicted) of the probe on all neurons less that on control tasks, in "
        "which every token type has a random label; on test tokens whose type occurs in train.",
        "heads": ["task", "control, mean", "control, seeds", "selectivity", "rows"],
        "lines": lines,
    }


def description_length(rows: Sequence[Row]) -> Table:
    """Online code of the train labels (Voita and Titov 2020), beside shuffled labels."""
    lines = []
    for row in rows:
        found = row["description_length"]
        if found is not None:
            cells = [decimals(found["bits_per_row"]), decimals(found["compression"], 2)]
            lines.append((row["model"], [*cells, decimals(found["shuffled_compression"], 2), count(found["rows"])]))
    return {
        "title": "Description length",
        "text": "Online code of the train labels given all neurons. Compression is against a uniform code; with "
        "shuffled labels it should not exceed what the class frequencies give.",
        "heads": ["bits per row", "compression", "shuffled labels", "rows"],
        "lines": lines,
    }


def spared(rows: Sequence[Row]) -> Table:
    """What the headline subset needs of the model: certified counts."""
    lines = []
    for row in rows:
        found = row["certified"]
        if found is None:
            continue
        cells = [f"{found['highest_layer']} of {found['blocks']}"]
        cells += [share(found[f"{name}_share"]) for name in ("flops", "parameters", "bytes_stored")]
        values = found["classifier"]
        cells.append(f"{count(values['values'])} of {count(values['values_of_all'])}")
        lines.append((row["model"], cells))
    return {
        "title": "What the subset needs of the model",
        "text": "Up to its highest layer, as a share of the whole model; counted, not timed; the command neurosieve "
        "cost times the real path on your machine.",
        "heads": ["highest layer", "FLOPs", "parameters", "bytes stored", "values for the classifier"],
        "lines": lines,
    }


def used(rows: Sequence[Row]) -> Table:
    """Change of the model's own predictions with the chosen neurons ablated or amplified, beside random ones."""
    lines = []
    for row in rows:
        found = (row["ablation"] or {"ablation": None})["ablation"]
        for amount, entry in (found or {"amounts": {}})["amounts"].items():
            how = "ablated" if float(amount) == 0 else f"deviation × {amount}"
            random, accuracy = entry["random"], found["accuracy"]
            right = [accuracy["untouched"], accuracy[f"{amount} chosen"], accuracy[f"{amount} random"]]
            cells = [
                decimals(entry["chosen"]),
                decimals(random["mean"]) + between(random["low"], random["high"]),
                decimals(entry["difference"]) + between(entry["low"], entry["high"]),
                "yes" if entry["more_than_random"] else "not shown",
                " / ".join(share(value) for value in right),
                f"{count(found['neurons'])} / {count(found['tokens'])}",
            ]
            lines.append((f"{row['model']}: {how}", cells))
    return {
        "title": "What the model itself uses",
        "text": "Change of the log-probability (nats) that the model with its own language-modelling head gives to "
        "the first sub-word of judge tokens, when the first neurons of the headline subset are changed in it at every "
        "position, and when as many random neurons of the same layers are (mean, and the draws' range). Difference: "
        "chosen less random, with its bounds over files. “Yes” says that the model uses the chosen neurons for its "
        "own prediction of such tokens more than random ones of the same layers: not that it uses them for the "
        "classes of this task. “Not shown” does not say that they are unused. Right: share of the tokens, untouched / "
        "chosen / random.",
        "heads": ["chosen", "random", "difference", "more than random", "right", "neurons / tokens"],
        "lines": lines,
    }


def _measured(row: Row, name: str) -> Any:
    """What stands under a key of a row, None where it was not asked for or there was nothing to measure."""
    found = row[name]
    return None if found is None or found.get("reason") is not None else found


def _range(entry: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Mean of random draws, and the least and largest of them."""
    return NONE if entry is None else decimals(entry["mean"], digits) + between(entry["low"], entry["high"])


def faithfulness(rows: Sequence[Row]) -> Table:
    """Is the subset necessary for the model's own predictions, is it sufficient? A line per order and replacement."""
    lines = []
    for row in rows:
        for curve in (_measured(row, "faithfulness") or {"curves": []})["curves"]:
            point = next((entry for entry in curve["points"] if entry["chosen"]), None)
            if point is None:
                continue
            cells = [count(point["k"])]
            for kind, verdict in (("necessity", "necessary"), ("sufficiency", "sufficient")):
                found, area = point[kind], (curve["area"] or {}).get(kind)
                cells += [decimals(found["f"]) + between(found["low"], found["high"]), _range(found["random_f"])]
                cells += [
                    NONE if area is None else f"{decimals(area['cpr']['value'])} / {_range(area['cpr']['random'])}"
                ]
                cells += [{True: "yes", False: "not shown", None: NONE}[curve["verdict"][verdict]]]
            lines.append((f"{row['model']}: {curve['order']}, {curve['method']}, {curve['site']}", cells))
    return {
        "title": "Necessary, or sufficient, for the model's own predictions",
        "text": "The first neurons of an order, as many as the subset has: replaced in the model (necessity), or all "
        "others replaced in every layer (sufficiency), by their means on train or by values at another token of the "
        "same class from another file (resample). f: 1 where predictions are as good as untouched, 0 as with all "
        "replaced; brackets are over files, those of random sets of the same layers from least to largest draw. CPR: "
        "area under f over the share of neurons, of the order / of random orders. Necessary: worse than with any "
        "random set, bound included; sufficient: better than with any. Neither says what the neurons are used for; "
        "where a layer keeps none of them nothing can pass.",
        "heads": [
            "neurons",
            *("f without", "random", "CPR", "necessary"),
            *("f with these alone", "random", "CPR", "sufficient"),
        ],
        "lines": lines,
    }


def causal(rows: Sequence[Row]) -> Table:
    """How many of the chosen neurons are among the first of a causal ranking, against chance."""
    lines = []
    for row in rows:
        found = (_measured(row, "attribution") or {"attribution": None})["attribution"]
        for name, entry in (found or {"rankings": {}})["rankings"].items():
            shared = entry["overlap"]
            if shared is None:
                continue
            within, halves = shared["in_layers"], entry["halves"]
            cells = [
                f"{count(shared['shared'])} of {count(found['chosen'])}",
                f"{decimals(shared['expected'], 1)}, p {decimals(shared['p_more'])}",
                f"{decimals(within['expected'], 1)}, p {decimals(within['p_more'])}",
                NONE if not halves else decimals(halves["spearman"], 2),
            ]
            lines.append((f"{row['model']}: {name}", cells))
    return {
        "title": "Chosen by probes, and used by the model",
        "text": "Neurons ranked by what the model's own predictions of train tokens owe them; how many of the subset "
        "are among as many first ones. By chance: hypergeometric, over all neurons and within layers, with the "
        "one-sided p of as many or more. Halves: Spearman's correlation of the rankings of two halves of the files. "
        "Scores are of first order, a neuron at a time.",
        "heads": ["among the first", "by chance", "by chance within layers", "halves"],
        "lines": lines,
    }


def effects(rows: Sequence[Row]) -> Table:
    """Harm of the ablated subset to tokens of the task and to others, and set against members."""
    lines = []
    for row in rows:
        found = _measured(row, "effects")
        ablated = (found or {"doses": {}})["doses"].get("0")
        if found is None or ablated is None:
            continue
        outside, members = (found["outside"] or {"doses": {}})["doses"].get("0"), found["members"]
        cells = [
            count(found["measured"]),
            f"{decimals(ablated['chosen'])} / {decimals(ablated['random']['mean'])}",
            NONE if outside is None else f"{decimals(outside['chosen'])} / {decimals(outside['random'])}",
            NONE if outside is None else decimals(outside["difference"]) + between(outside["low"], outside["high"]),
            NONE if outside is None else "yes" if outside["specific"] else "not shown",
            NONE if members is None else members["verdict"] or NONE,
        ]
        lines.append((row["model"], cells))
    return {
        "title": "Side effects of ablating the subset",
        "text": "Change of the log-probability (nats), by the subset / by random neurons of the same layers: on tokens "
        "of the task, and on others of the same inputs. Difference: the subset's beyond random on the task's tokens "
        "less that on the others, with its bounds over files; specific where the upper bound is below 0. Set and "
        "members: whether the first neurons together do more harm (synergistic), less (redundant) or as much "
        "(additive) as the sum of each alone.",
        "heads": ["neurons", "task's tokens", "other tokens", "difference", "specific", "set and members"],
        "lines": lines,
    }


def lenses(rows: Sequence[Row]) -> Table:
    """The headline of each lens beside its null."""
    lines = []
    for row in rows:
        for name, found in row["lenses"].items():
            headline = found["headline"]
            if headline is None:
                lines.append((f"{row['model']}: {name}", [found["reason"] or "no statistic", NONE, NONE, NONE]))
                continue
            cells = [headline["statistic"], decimals(headline["value"]), _range(headline["null"])]
            lines.append((f"{row['model']}: {name}", [*cells, decimals(headline["p"])]))
    return {
        "title": "Through lenses",
        "text": "One statistic each, the larger the more there is of what the lens asks for, beside its values under "
        "the null (mean, least and largest draw) and their one-sided p. What each asks, and against what: "
        "docs/concepts/lenses.md.",
        "heads": ["statistic", "value", "null", "p"],
        "lines": lines,
    }


def robustness(row: Row) -> Table:
    """What was asked of the minimal subset, a line per question: what was found, and what to compare it with."""
    found = row["robustness"]
    lines = []
    for name, (question, tell) in ASKED.items():
        reason = found[name]["reason"]
        lines.append((question, [reason, NONE] if reason else tell(row)))
        if name == "halves" and not reason:
            lines.append(("judge of these sets, fitted on all train rows", _judge_of_halves(row)))
    return {
        "title": row["model"],
        "text": f"{count(found['size'])} neurons; judge {decimals(found['judge'])}, reference "
        f"{decimals(found['reference'])}, margin {found['margin']:g}.",
        "heads": ["found", "to compare with"],
        "lines": lines,
    }


def _members(row: Row) -> list[str]:
    found, size = row["robustness"]["members"], row["robustness"]["size"]
    layer, unit = divmod(found["largest"]["neuron"], row["width"])
    told = (
        f"{count(found['losses'])} of {count(size)} shown to lose score, {count(found['gains'])} to gain, "
        f"{count(found['undecided'])} not told apart; most: layer {layer}, unit {unit}, "
        f"{decimals(found['largest']['change'], 4)}"
    )
    return [told, f"were none needed, about {found['by_chance']:.0f} would seem to lose and as many to gain"]


def _again(row: Row) -> list[str]:
    again = row["robustness"]["again"]
    passes = "it passes" if again["passes"] else "it does not pass"
    told = f"overlap with the subset {decimals(again['jaccard'], 2)}; judge {decimals(again['judge'])}: {passes}"
    return [told, f"train objective {again['objective']:.4g}, that of the subset {again['objective_subset']:.4g}"]


def _halves(row: Row) -> list[str]:
    halves = row["robustness"]["halves"]
    told = (
        f"overlap of the two sets of a cut {decimals(halves['jaccard'], 2)}, with the subset "
        f"{decimals(halves['jaccard_subset'], 2)}; {count(halves['ever'])} different neurons in "
        f"{len(halves['rows'])} sets"
    )
    chance = (
        f"random sets: {decimals(halves['chance'], 2)}, with as many per layer "
        f"{decimals(halves['chance_by_layer'], 2)}; {count(round(halves['ever_by_chance']))} neurons"
    )
    return [told, chance]


def _judge_of_halves(row: Row) -> list[str]:
    found, halves = row["robustness"], row["robustness"]["halves"]
    number, scores = len(halves["rows"]), halves["sets"]["judge"]
    judge = f"{decimals(min(scores))} to {decimals(max(scores))}; {count(halves['passing'])} of {number} pass"
    return [judge, f"the subset, chosen on all rows: {decimals(found['judge'])}"]


STOPPED = {"failed": "the next one does not", "limit": "there may be more", "neurons": "no other can be made"}


def _disjoint(row: Row) -> list[str]:
    found, disjoint = row["robustness"], row["robustness"]["disjoint"]
    more = disjoint["passing"] - 1
    told = "no set that shares no neuron with it passes"
    if more > 0:
        told = f"{count(more)} more that share{'s' if more == 1 else ''} no neuron pass{'es' if more == 1 else ''}, "
        told += STOPPED[disjoint["stopped"]]
    elif disjoint["stopped"] == "neurons":
        told = "fewer neurons are left than the subset has"
    others = ", ".join(decimals(entry["judge"]) for entry in disjoint["sets"][1:]) or NONE
    return [f"{told}; judge {others}", f"the subset: {decimals(found['judge'])}"]


def _shuffled(row: Row) -> list[str]:
    shuffled = row["robustness"]["shuffled"]
    verdict = "above chance, which it must not be" if shuffled["above_chance"] else "not above chance"
    told = f"judge {decimals(shuffled['judge'])}: {verdict}; train {decimals(shuffled['train'])}"
    return [told, f"chance: {decimals(shuffled['chance'])} (p {shuffled['p']:.2g})"]


# what robustness.json answers, by its key: the question, and the cells of an answer
ASKED = {
    "members": ("leave one neuron out, fit the others again", _members),
    "again": ("search again on all train rows", _again),
    "halves": ("search on halves of train that share no file", _halves),
    "disjoint": ("take the subset out, search among the others", _disjoint),
    "shuffled": ("search with shuffled labels", _shuffled),
}


def ranks(rows: Sequence[Row]) -> Table:
    """Ranks among the models of the task; shared without evidence of a difference."""
    lines = []
    for row in rows:
        found = row["ranks"]
        lines.append((row["model"], [count(found[name]) for name in ("score", "subset", "n_minimal")]))
    return {
        "title": "Ranks",
        "text": "One more than the number of models that are shown to be better, by the paired bootstrap on test with "
        "Holm over the pairs, or by disjoint intervals from n_least to n_minimal. Two models of different ranks "
        "need not be shown to differ from each other. Untrained twins are ranked among themselves.",
        "heads": ["score of all neurons", "score of the subset", "neurons needed"],
        "lines": lines,
    }


def agreement(row: Row) -> Table:
    """Mean overlap of the first neurons of every two rankings."""
    found = row["agreement"]
    lines = []
    heads: list[str] = []
    text = ""
    if found["avg_overlap"] is not None:
        heads = [*found["rankings"], "vote"]
        for i, name in enumerate(found["rankings"]):
            cells = [decimals(value, 2) for value in found["avg_overlap"][i]]
            lines.append((name, [*cells, decimals(found["neuron_vote"][name], 2)]))
        sizes = ", ".join(count(size) for size in found["sizes"])
        text = (
            f"Intersection over union of the first neurons, mean over {sizes} neurons; by chance "
            f"{decimals(found['chance']['avg_overlap'], 2)}. Vote: the same against the vote of the other rankings."
        )
    return {"title": f"Agreement between rankings: {row['model']}", "text": text, "heads": heads, "lines": lines}


def transfer_tables(transfers: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """For each model the task by task matrix: the subset of the task in the column, used for the task in the line."""
    tables = []
    for model, found in transfers.items():
        tasks = found["tasks"]
        lines = []
        for target in tasks:
            cells = []
            for source in tasks:
                entry = found["matrix"][target][source]
                if entry is None or entry["judge"] is None:
                    cells.append(NONE)
                else:
                    random = "" if entry["random"] is None else f" ({decimals(entry['random'], 2)})"
                    cells.append(f"{decimals(entry['judge'], 2)}{random}")
            lines.append((target, [*cells, decimals(found["reference"][target], 2)]))
        subsets = found["subsets"]
        heads = [name + _size(subsets[name]) for name in tasks]
        tables.append(
            {
                "title": model,
                "text": "Line: the task; column: whose subset is used, with its number of neurons. Judge score, in "
                "brackets that of as many random neurons.",
                "heads": [*heads, "reference"],
                "lines": lines,
            }
        )
    return tables


def dissociation_tables(found: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """For each model task by task: harm of the ablated set of the column to the task of the line, beyond random."""
    tables = []
    for model, report in found.items():
        matrix = report["matrix"] or {"reason": report["reason"]}
        parts = {} if matrix.get("reason") else {"sets of one size": matrix["equal"], "whole sets": matrix["whole"]}
        if report["readout"] and not report["readout"].get("reason"):
            parts["readout"] = report["readout"]
        for name, part in parts.items():
            if part.get("reason"):
                continue
            tasks, summary, size = list(part["cells"]), part["summary"], part["neurons"]
            sizes = size if isinstance(size, Mapping) else dict.fromkeys(tasks, size)
            lines = []
            for target in tasks:
                excess = [part["cells"][source][target]["excess"] for source in tasks]
                lines.append((target, [decimals(e["value"]) + between(e["low"], e["high"]) for e in excess]))
            gap = summary["excess"]
            difference = decimals(gap["difference"]) + between(gap["low"], gap["high"])
            tables.append(
                {
                    "title": f"{model}: {name}",
                    "text": "Line: the task whose tokens are predicted (readout: whose probe reads); column: whose set "
                    "is ablated, with its number of neurons. Harm in nats beyond random neurons of the same layers, "
                    f"with its bounds over files. Diagonal less rest: {difference}; pairs of tasks doubly "
                    f"dissociated: {part['double']} of {len(part['pairs'])}; p of the assignment of sets to tasks "
                    f"{decimals(summary['p_assignment'])}.",
                    "heads": [f"{task} ({count(sizes[task])})" for task in tasks],
                    "lines": lines,
                }
            )
    return tables


def _size(subset: Mapping[str, Any] | None) -> str:
    return "" if subset is None else f" ({count(subset['neurons'], about=not subset['claimed'])})"


def published_table(rows: Sequence[Row]) -> Table | None:
    """Rows of the protocol `published`; None where it did not run."""
    lines = []
    for row in rows:
        cells = [
            decimals(row["oracle"]) + between(row["oracle_low"], row["oracle_high"]),
            count(row["n_minimal"]) + from_to(row["n_minimal_low"], row["n_minimal_high"]),
            decimals(row["subset_test"]),
            row["layers_used"] or NONE,
            row["note"] or "",
        ]
        lines.append((f"{row['model']}, {row['task']}", cells))
    if not lines:
        return None
    return {
        "title": "Protocol published",
        "text": "The published steps, repeated with several seeds: scores are means, numbers of neurons "
        "medians, each with the smallest and the largest over seeds. "
        "Thresholds, stopping and the reported row are chosen on test, as published, so these figures make no claim; "
        "the strict rows above do.",
        "heads": ["all neurons", "neurons", "subset", "layers", "note"],
        "lines": lines,
    }

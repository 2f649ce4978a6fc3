"""Cards and tables of single pages: of a task, of neurons, of a row's metrics, settings and lenses.

Pure functions of what read.Results holds; reads and writes no files. A table is {"title", "text", "heads", "lines":
[(name, [cells])]}, as in leaderboard/measures.py; all cells are plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.leaderboard import measures
from neurosieve.leaderboard.measures import NONE, Table, between, count, decimals, share
from neurosieve.leaderboard.table import row_file
from neurosieve.site.texts import OPPONENTS, evidence_lines, metric_name, plainest

Row = Mapping[str, Any]
FEATURES = ("oracle", "layer-reference", "reference", "subset", "random", "bottom", "untrained", "surface", "majority")
METRICS = ("accuracy", "macro_f1", "matthews", "r2", "spearman", "pearson", "rmse")
CARDS = 48  # neurons on a page; the files of the row have all that were described
RULES = 2  # of the lens explain, per neuron


def task_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Facts, splits, classes and baselines of a task, from card.json with its "baselines"."""
    scored = {card["classes"][i] for i in card["scored_classes"]}
    test = card["splits"]["test"].get("labels") or {}
    total = max(sum(test.values()), 1)
    baselines = card["baselines"]
    facts = [
        ("Kind", f"{card['kind']}; one row is one {card['unit']}"),
        ("Primary metric", metric_name(card["metric"])),
    ]
    majority, target = card.get("majority"), card.get("target")
    if majority:
        facts.append(("Majority class", f"{majority['class']}, {share(majority['share']['test'])} of the test rows"))
    if target:
        spread = f"standard deviation {target['std']:.4g}, from {target['min']:.4g} to {target['max']:.4g}"
        facts.append(("Target", f"a number; of the train rows mean {target['mean']:.4g}, {spread}"))
    licences = [f"{package} {licence or 'not stated'}" for package, licence in sorted(card["licences"].items())]
    facts.append(("Sources and licences", "; ".join(licences) or "not stated"))
    for key, text in (("left_out", "Left out"), ("short", "Fewer rows than asked for")):
        if card.get(key):
            facts.append((text, "; ".join(f"{name} {count(number)}" for name, number in sorted(card[key].items()))))
    return {
        "facts": facts,
        "splits": {
            "title": "Splits",
            "text": "",
            "heads": ["rows", "inputs", "files", "packages"],
            "lines": [
                (
                    name,
                    [
                        *(count(split[key]) for key in ("rows", "inputs", "files")),
                        ", ".join(f"{p} {count(n)}" for p, n in sorted(split["packages"].items())),
                    ],
                )
                for name, split in ((k, card["splits"][k]) for k in ("train", "tune", "judge", "test"))
            ],
        },
        "labels": {
            "title": "Classes",
            "text": "Rows on test. * not scored: too few rows or files." if len(scored) < len(card["classes"]) else "",
            "heads": ["rows", "share"],
            "lines": [
                (name if name in scored else f"{name} *", [count(test.get(name, 0)), share(test.get(name, 0) / total)])
                for name in card["classes"]
            ],
        },
        "baselines": {
            "title": "Baselines that read text alone",
            "text": f"{metric_name(card['metric'])}; the one to beat is chosen on tune: {baselines['surface']}.",
            "heads": ["tune", "judge"],
            "lines": [
                (
                    name,
                    [
                        decimals((baselines["baselines"][name].get(split) or {}).get(card["metric"]))
                        for split in ("tune", "judge")
                    ],
                )
                for name in baselines["order"]
            ],
        },
    }  # fmt: skip


def neurons(row: Row) -> dict[str, Any]:
    """Cards of the described neurons, best first, and a sentence on them; no cards where none were described."""
    report = row["concepts"] or {}
    described = report.get("neurons") or []
    rules = _rules(row)
    metric = str(report.get("metric") or "AUROC").replace("-", " ")
    cards = [_neuron(neuron, report, metric, rules.get(neuron["neuron"], [])) for neuron in described[:CARDS]]
    text = (
        f"The first {len(cards)} of {count(report.get('chosen'))} chosen neurons, best first. A class is named only "
        f"where the neuron’s {metric} with it is beyond chance, by permuted labels over all neurons and classes: "
        f"{count(report.get('significant'))} of the {count(report.get('described'))} described. Tokens: largest mean "
        "|z|; underlined where the neuron is low on them. Encoding is not use."
    )
    return {"cards": cards, "text": text if cards else ""}


def _neuron(neuron: Mapping[str, Any], report: Mapping[str, Any], metric: str, rules: list[str]) -> dict[str, Any]:
    null, concept = neuron.get("null") or {}, neuron.get("concept")
    score = null.get("spearman", null.get("score", neuron.get("score")))
    figures = [("Spearman" if "spearman" in null else metric, decimals(score))]
    if null.get("expected") is not None:
        figures.append(("by chance", decimals(null["expected"])))
    auroc = null.get("auroc", neuron.get("best_auroc"))
    if auroc is not None and metric != "auroc":
        figures.append(("AUROC", decimals(auroc)))
    if null.get("p_max") is not None:
        figures.append(("p", decimals(null["p_max"])))
    if neuron.get("purity"):
        purity = neuron["purity"]
        figures.append(("purity", f"{share(purity['share'])}, by chance {share(purity['chance'])}"))
    nearest = neuron.get("best_class")
    said = f"{'low on ' if neuron.get('direction') == -1 else ''}{concept}" if concept else "no class beyond chance"
    if not concept and nearest:
        said += f"; nearest {nearest}"
    return {
        "title": f"Layer {neuron['layer']}, unit {neuron['unit']}",
        "rank": f"#{neuron['rank']}" if neuron.get("rank") else "",
        "named": bool(concept),
        "concept": said,
        "figures": [pair for pair in figures if pair[1] != NONE],
        "tokens": [
            (
                entry["type"],
                f"mean z {decimals(entry.get('mean_z'), 2)}, {count(entry.get('count'))} times",
                (entry.get("mean_z") or 0) < 0,
            )
            for entry in neuron.get("types") or []
        ],
        "rules": rules,
    }


def _rules(row: Row) -> dict[int, list[str]]:
    """By neuron what the lens explain says of it: conditions on the token and where they put the neuron."""
    found = ((row["lenses"].get("explain") or {}).get("found") or {}).get("neurons") or []
    return {
        entry["neuron"]: [
            f"{', '.join(rule['if'])}: mean z {decimals(rule.get('judge_mean_z'), 2)} on "
            f"{count(rule.get('judge_rows'))} judge tokens"
            for rule in [rule for rule in entry.get("rules") or [] if rule.get("judge_rows")][:RULES]
        ]
        for entry in found
    }


def lenses(row: Row) -> list[dict[str, str]]:
    """What each lens asked and found, beside its null."""
    lines = []
    for name, found in row["lenses"].items():
        headline = (found or {}).get("headline")
        null = (headline or {}).get("null")
        lines.append(
            {
                "name": name,
                "question": str((found or {}).get("question") or ""),
                "statistic": headline["statistic"] if headline else str((found or {}).get("reason") or "no statistic"),
                "value": decimals(headline["value"]) if headline else NONE,
                "null": decimals(null["mean"]) + between(null["low"], null["high"]) if null else NONE,
                "p": decimals(headline.get("p")) if headline else NONE,
            }
        )
    return lines


def row_tables(row: Row) -> list[Table]:
    """Tables of one row, the tests of its status first."""
    if row["status"] is None:
        return []
    model = row["model"]
    shown = [table for table in measures.task_tables([row]) if table["title"] != "Through lenses"]
    for table in shown:
        table["lines"] = [(_own(name, model), cells) for name, cells in table["lines"]]
        table["title"] = table["title"].removesuffix(f": {model}")
    tables = [comparisons(row), _evidence(row), scores([row]), *shown]
    if row["robustness"] and not row["robustness"].get("reason"):
        title = "Is it this set, and is all of it needed?"
        tables.insert(3, {**measures.robustness(row), "title": title})
    return [table for table in tables if table["lines"]]


def _own(name: str, model: str) -> str:
    return "this row" if name == model else name.removeprefix(f"{model}: ")


def task_tables(rows: Sequence[Row]) -> list[Table]:
    """Tables of all rows of a task beside each other."""
    judged = [row for row in rows if row["status"] is not None]
    return [scores(judged), *measures.task_tables(judged)] if judged else []


def pair_table(task: str, comparisons: Mapping[str, Any], trained: Sequence[str]) -> Table:
    """Every two trained models of a task by the score of all neurons, and by their numbers of neurons; no lines where
    there are not two."""
    minima = {(pair["a"], pair["b"]): pair for pair in comparisons.get("n_minimal", ())}
    lines = [
        (
            f"{pair['a']} − {pair['b']}",
            [
                decimals(pair["difference"]) + between(pair["low"], pair["high"]),
                decimals(pair["p_holm"]),
                _difference_of_minima(minima.get((pair["a"], pair["b"]))),
            ],
        )
        for pair in comparisons.get("score", ())
        if pair["a"] in trained and pair["b"] in trained
    ]
    return {
        "title": "Models compared",
        "text": "Score of all neurons on test, difference with its interval by the paired bootstrap over files; p "
        "after Holm over the pairs of the task. Neurons: difference of the two minima, where it would lie on another "
        "judge, files drawn for both at once; apart: the intervals of the smallest size that suffices are disjoint.",
        "heads": ["difference", "p", "neurons"],
        "lines": lines,
    }


def _difference_of_minima(pair: Mapping[str, Any] | None) -> str:
    if pair is None:
        return NONE
    found, low, high = (
        f"{pair[name]:+,d}".replace("-", "−") if pair.get(name) is not None else beyond
        for name, beyond in (("difference", NONE), ("low", "−∞"), ("high", "+∞"))
    )
    interval = f" [{low}, {high}]" if "low" in pair else ""  # results of earlier releases have none
    return f"{found}{interval}{', apart' if pair['different'] else ''}"


def _evidence(row: Row) -> Table:
    lines = [(name, [meaning, said]) for name, meaning, said in evidence_lines(row)]
    text = "Each tier with all before it; the first that is not shown ends them."
    return {"title": "Evidence", "text": text, "heads": ["means", "test"], "lines": lines}


def comparisons(row: Row) -> Table:
    """The tests of the status: the layer reference against each opponent on judge and on test."""
    judge, test = row["comparisons"].get("judge") or {}, row["comparisons"].get("test") or {}
    lines = []
    for name in judge:
        cells = []
        for entry in (judge[name], test.get(name) or {}):
            p = entry.get("p") if entry.get("p_holm") is None else entry["p_holm"]
            cells += [decimals(entry.get("difference")), decimals(entry.get("lower")), decimals(p)]
        lines.append((plainest(row["metric"]) if name == "majority" else OPPONENTS.get(name, name), cells))
    level = "" if row["confidence"] is None else f"{100 * row['confidence']:g} % "
    return {
        "title": "Tests of the status",
        "text": "The best of all neurons, single layers and first layers, chosen on tune before any search, less the "
        f"opponent: difference, one-sided {level}lower bound, and p after Holm over the rows of the benchmark "
        "(control rows: unadjusted).",
        "heads": ["judge", "lower", "p", "test", "lower", "p"],
        "lines": lines,
    }


def scores(rows: Sequence[Row]) -> Table:
    """All metrics on test by predictor, of one row or of several; a column only where some row has a figure."""
    primary = rows[0]["metric"]
    packages = sorted({p for row in rows for found in row["test"].values() if found for p in found.get("packages", {})})
    heads: list[tuple[str, tuple[str, ...]]] = [(metric_name(name), (name,)) for name in METRICS]
    heads += [("seen types", ("seen", primary)), ("unseen types", ("unseen", primary))]
    heads += [(package, ("packages", package, primary)) for package in packages]

    def get(value: Any, keys: tuple[str, ...]) -> Any:
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    lines = []
    for row in rows:
        for name in FEATURES:
            found = row["test"].get(name)
            if found:
                kind = row.get(f"{name}_name")
                shown = plainest(primary) if name == "majority" else name.replace("oracle", "all neurons")
                label = f"{shown}: {kind}" if kind else shown
                label = label if len(rows) == 1 else f"{row['model']}: {label}"
                lines.append((label, [get(found, keys) for _, keys in heads]))
    keep = [i for i in range(len(heads)) if any(cells[i] is not None for _, cells in lines)]
    return {
        "title": "All metrics on test",
        "text": f"Seen and unseen types and single packages: {metric_name(primary)}.",
        "heads": [heads[i][0] for i in keep],
        "lines": [(name, [decimals(cells[i]) for i in keep]) for name, cells in lines],
    }


def settings(row: Row, facts: Mapping[str, Any], params: Mapping[str, Any], by: str = "") -> list[tuple[str, str]]:
    """Name and value of what was chosen before the measurement, as far as the results tell; ``by`` handed it in."""
    size = row["layers"] and f"{row['layers']} layers of {count(row['width'])} neurons"
    subsets, probes = params.get("subsets") or {}, params.get("probes") or {}
    margin = None if row["margin"] is None else f"{row['margin']:g} ({row['margin_reason'] or 'no reason given'})"
    seed, file = facts.get("seed", params.get("seed")), row_file(row["model"], row["task"])
    found = [
        ("Benchmark", f"{row['benchmark']}, version {row['version']}, protocol {row['protocol']}"),
        ("Model", "; ".join(filter(None, [size, row["model_note"]]))),
        ("Training for the task", row["training"]),
        ("Metric", metric_name(row["metric"]) if row["metric"] else None),
        ("Margin", margin),
        ("Headline contender", row["ranking"]),
        ("Reference", row["reference_name"]),
        ("Confidence", None if row["confidence"] is None else f"{row['confidence']:g}"),
        (
            "Test rows",
            None if not row["test_rows"] else f"{count(row['test_rows'])} of {count(row['test_files'])} files",
        ),
        ("Rankings", ", ".join(subsets.get("rankings") or [])),
        ("Searches", ", ".join(subsets.get("searches") or [])),
        ("Bootstrap", count(probes["bootstrap"]) + " draws" if probes.get("bootstrap") else None),
        ("Numerics", facts.get("numerics", params.get("numerics"))),
        ("Seed", None if seed is None else str(seed)),
        ("Row file", f"leaderboard/{file} in the pack of {by}" if by else f"results/{row['benchmark']}/{file}"),
    ]
    if row["status"] is None:
        found.pop()
    return [(name, str(text)) for name, text in found if text]

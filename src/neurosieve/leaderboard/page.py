"""The page: rows, cards and a few facts of the benchmark to one self-contained html text.

Reads page.html.j2, page.css and page.js beside it; writes no files. Nothing of the page is fetched from anywhere: a
content security policy in the page forbids it and allows only our own style and script, by their hashes. All text is
escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from neurosieve.leaderboard import charts, measures
from neurosieve.leaderboard.charts import Plot, integer, nice_ticks
from neurosieve.leaderboard.measures import decimals as score
from neurosieve.leaderboard.measures import share as percent
from neurosieve.leaderboard.table import COLUMNS, CONTROL_NOTE, FIGURES, row_file

HERE = Path(__file__).parent
METRIC_NAMES = {
    "accuracy": "accuracy", "macro_f1": "macro-F1", "matthews": "Matthews", "r2": "R²", "spearman": "Spearman",
    "pearson": "Pearson", "rmse": "root mean squared error",
}  # fmt: skip
LOWEST = -1.0  # score at which a chart ends; R2 alone goes below 0, and without bound
COLOURS = 5  # in page.css; with more models they repeat, and the labels tell the lines apart
# The command that makes a benchmark of the repository, by its name; of another one only its owner knows the file.
# Not by the name of the file that was given: the same params under another name make the same bytes.
COMMANDS = {
    "default": "make benchmark",
    "published": "make benchmark PARAMS=presets/published.yaml",
    "real-data": "make benchmark PARAMS=presets/real-data.yaml",
    "twins": "make benchmark PARAMS=presets/twins.yaml",
    "concepts": "make benchmark PARAMS=presets/concepts.yaml",
    "training": "make benchmark PARAMS=presets/training.yaml",
}
OWN_COMMAND = "make benchmark PARAMS=<your params file>"
SHOWN = 10  # the chart of the bound begins at this part of it
CONCEPT_ROWS = 12  # neurons per model and task on the page; rows/*.json has all that were described
# Key of the table cell that sorts the column ("" for none), visible name, class.
HEADS = (
    ("model", "Model", "who"),
    ("status", "Status", "state"),
    ("n_minimal", "Neurons", "n"),
    ("", "log scale", "bar"),
    ("share", "Share", "n"),
    ("layers_used", "Layers", "layers"),
    ("subset_test", "Subset", "n"),
    ("random_test", "Random", "n"),
    ("bottom_test", "Bottom", "n"),
    ("oracle", "Model", "n"),
    ("reference", "Reference", "n"),
    ("untrained", "Untrained", "n"),
)
FEATURES = ("oracle", "layer-reference", "reference", "subset", "random", "bottom", "untrained", "surface", "majority")

Row = Mapping[str, Any]


def raw(value: Any) -> str:
    """Value of a cell for sorting."""
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else f"{value:.6g}"


def plainest(metric: str) -> str:
    """What the opponent "majority" is called."""
    return "mean" if metric == "r2" else "majority"


def slug(*names: str) -> str:
    """An id of letters, digits and hyphens; distinct for distinct names of one kind."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}" for c in name) for name in names)


def styles(rows: Sequence[Row]) -> dict[str, str]:
    """Classes of each model: a twin has the colour of its model and is dashed."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    twin_of = {row["model"]: row["control_of"] for row in rows}
    own = [m for m in models if twin_of[m] not in models]
    colour = {m: f"m{i % COLOURS}" for i, m in enumerate(own)}
    return {m: (colour[m] if m in colour else f"{colour[twin_of[m]]} twin") for m in models}


def _short(row: Row) -> str:
    name = "untrained twin" if row["control_of"] else row["model"]
    return name if len(name) <= 15 else name[:14] + "…"


def _y_ticks(values: Sequence[float | None]) -> list[float]:
    known = [max(v, LOWEST) for v in values if v is not None]
    return nice_ticks(min(known), max(known)) if known else [0.0, 0.5, 1.0]


def _curve_values(rows: Sequence[Row], names: Sequence[str]) -> list[float | None]:
    values: list[float | None] = []
    for row in rows:
        for name, curve in row["curves"].items():
            if name in names:
                values += [*curve["judge"], *curve.get("judge_low", []), *curve.get("judge_high", [])]
        values += row["judge"].values()
    return values


def _pairs(curve: Mapping[str, Any], key: str = "judge") -> list[tuple[float, float]]:
    return list(zip(curve["sizes"], curve[key], strict=True))


def _minimal_text(row: Row) -> str:
    if row["n_minimal"] is not None:
        text = f"{integer(row['n_minimal'])} of {integer(row['n_neurons'])} neurons"
        if row["n_minimal_low"] is not None:
            text += f", on another judge {integer(row['n_minimal_low'])}–{integer(row['n_minimal_high'])}"
        return text
    if row["estimate"]:
        return f"about {integer(row['estimate'])} of {integer(row['n_neurons'])} neurons, an estimate"
    return "no minimum claimed"


def _overview(task: str, rows: Sequence[Row], css: Mapping[str, str]) -> Markup:
    metric = METRIC_NAMES[rows[0]["metric"]]
    drawn = [row for row in rows if row["ranking"] in row["curves"]]
    described = "; ".join(f"{row['model']}: {_minimal_text(row)}" for row in rows)
    plot = Plot(
        slug("overview", task),
        f"{task}: {metric} on judge by number of neurons",
        described,
        x=(1, max((row["n_neurons"] for row in rows), default=10)),
        y=_y_ticks(
            [v for row in drawn for v in row["curves"][row["ranking"]]["judge"]]
            + [rows[0]["judge"].get(k) for k in ("majority", "surface")]
        ),
        log_x=True,
        y_name=f"{metric}, judge",
        x_name="neurons (log scale)",
    )
    for name in ("majority", "surface"):
        value = rows[0]["judge"].get(name)
        if value is not None:
            text = plainest(rows[0]["metric"]) if name == "majority" else name
            plot.level(value, text, name, f"{text}: {value:.3f}")
    for row in drawn:
        style = css[row["model"]]
        points = _pairs(row["curves"][row["ranking"]])
        plot.line(points, style, end=_short(row), full=row["model"])
        size = row["n_minimal"] or row["estimate"]
        at = dict(points).get(size)
        if at is not None:
            low, high = row["n_minimal_low"] or size, row["n_minimal_high"] or size
            hollow = "" if row["n_minimal"] else " hollow"
            plot.span(size, low, high, at, style + hollow, f"{row['model']}: {_minimal_text(row)}")
    return plot.svg()


def _panel(task: str, row: Row, css: str, ticks: list[float], names: Sequence[str]) -> Markup:
    metric = METRIC_NAMES[row["metric"]]
    colour = css.split()[0]
    plot = Plot(
        slug("panel", task, row["model"]),
        f"{task}, {row['model']}: contenders and controls",
        f"{metric} on judge by number of neurons; {_minimal_text(row)}",
        x=(1, row["n_neurons"]),
        y=ticks,
        log_x=True,
        y_name=f"{metric}, judge",
        x_name="neurons (log scale)",
    )
    judge = row["judge"]
    for name in ("majority", "surface", "untrained", "reference"):
        value = judge.get(name)
        if value is not None:
            text = plainest(row["metric"]) if name == "majority" else name
            plot.level(
                value, f"{text} {value:.3f}", f"{name} {colour if name == 'reference' else ''}", f"{text}: {value:.3f}"
            )
    if judge.get("reference") is not None:
        low = judge["reference"] - row["margin"]
        plot.area(max(low, ticks[0]), judge["reference"], colour, f"margin: {row['margin']:g} below the reference")
    size = row["n_minimal"] or row["estimate"]
    if size:
        text = f"{integer(size)} neurons" if row["n_minimal"] else f"about {integer(size)}"
        kind = "" if row["n_minimal"] else " estimate"
        plot.mark(size, row["n_minimal_low"], row["n_minimal_high"], text, colour + kind, _minimal_text(row))
    for name in (n for n in names if n in row["curves"]):
        curve = row["curves"][name]
        if "judge_low" in curve:
            plot.band(_pairs(curve, "judge_low"), _pairs(curve, "judge_high"), "random")
        headline = name == row["ranking"]
        kind = name if name in ("random", "bottom") else colour if headline else f"{colour} other"
        dots: Callable[[float, float], str] | None = None
        if headline:
            dots = lambda n, v: f"{integer(n)}: {v:.3f}"  # noqa: E731
        plot.line(_pairs(curve), kind, inner=name, full=name, dots=dots)
    return plot.svg()


def _bound_text(row: Row) -> str:
    """How far the minimal subset can be from the smallest, where the row has a bound; else empty."""
    if row["bound"] is None:
        return ""
    text = f"n_minimal {integer(row['n_minimal'])}"
    if not row["n_bound"]:
        return f"{text}; the bound at that train objective excludes no number of neurons"
    factor = math.ceil(round(10 * row["bound_factor"], 6)) / 10  # rounded up, for it is claimed
    return (
        f"{text}, at least {integer(row['n_bound'])} at that train objective: within a factor of {factor:.1f} of the "
        "smallest possible"
    )


def bound_chart(task: str, row: Row, css: str) -> Markup:
    """Train objective that was found and that is certified, from a tenth of the bound up: fewer neurons are far off."""
    bound, colour = row["bound"], css.split()[0]
    shown = [i for i, size in enumerate(bound["sizes"]) if SHOWN * size >= (row["n_bound"] or 1)]
    found = [(bound["sizes"][i], bound["found"][i]) for i in shown]
    certified = [(bound["sizes"][i], bound["certified"][i]) for i in shown]
    ticks = nice_ticks(0, max(value for _, value in found))
    size, reached, first = row["n_minimal"], bound["objective"], found[0][0]
    plot = Plot(
        slug("bound", task, row["model"]),
        f"{task}, {row['model']}: train objective found and certified",
        f"Train objective by number of neurons at l1 {bound['l1']:g}, l2 {bound['l2']:g}: {reached:.4g} with the "
        f"minimal subset; {_bound_text(row)}",
        x=(first, max(row["n_neurons"], first + 1)),
        y=ticks,
        log_x=True,
        y_name="train objective",
        x_name="neurons (log scale)",
        y_format=".2f" if ticks[1] - ticks[0] > 0.0099 else ".4g",
    )
    plot.level(reached, f"reached {reached:.3g}", "reached", f"train objective of the minimal subset: {reached:.4g}")
    plot.band(certified, found, colour)
    plot.line(found, colour, end="found", full=f"found by {row['ranking']}", dots=lambda n, v: f"{integer(n)}: {v:.4g}")
    plot.line(
        certified, f"{colour} other", end="certified", full="no set of as many neurons is below",
        dots=lambda n, v: f"{integer(n)}: at least {v:.4g}",
    )  # fmt: skip
    upper = (size, f"n_minimal {integer(size)}", colour, _minimal_text(row))
    if row["n_bound"]:
        full = f"no set of fewer than {integer(row['n_bound'])} neurons reaches {reached:.4g}"
        plot.marks((row["n_bound"], f"n_bound {integer(row['n_bound'])}", f"{colour} estimate", full), upper)
    else:
        plot.mark(size, None, None, *upper[1:])
    return plot.svg()


def _robustness(task: str, rows: Sequence[Row], css: Mapping[str, str]) -> list[dict[str, Any]]:
    """Of each supported row whose subset was asked: the table of answers, and how often halves of train chose which
    neurons, as a chart where there were halves."""
    out = []
    for row in rows:
        found = row["robustness"]
        if row["status"] == "supported" and found is not None and found["reason"] is None:
            svg = None if found["halves"]["reason"] else chosen_chart(task, row, css[row["model"]])
            out.append({"model": row["model"], "table": measures.robustness(row), "svg": svg})
    return out


def chosen_chart(task: str, row: Row, css: str) -> Markup:
    """Neurons by how many of the sets found on halves of train have them: those of the subset, and the others."""
    found = row["robustness"]
    sets, size = len(found["halves"]["rows"]), found["size"]
    inside, outside = [0] * (sets + 1), [0] * (sets + 1)
    for share in found["halves"]["frequency"]:
        inside[round(share * sets)] += 1
    for times in found["halves"]["chosen"]["times"]:
        outside[times] += 1
    outside = [0] + [every - own for every, own in zip(outside[1:], inside[1:], strict=True)]
    strips = [
        (f"in the subset ({integer(size)})", css.split()[0], inside, ""),
        (
            f"not in it, chosen at least once ({integer(sum(outside))})",
            "random",
            outside,
            "" if any(outside) else "none",
        ),
    ]
    described = [f"{name}: " + " ".join(map(str, counts)) for name, _, counts, _ in strips]
    return charts.bars(
        slug("chosen", task, row["model"]),
        f"{task}, {row['model']}: how often halves of train choose a neuron",
        f"Neurons by the number of sets, 0 to {sets}, that have them; " + "; ".join(described),
        strips,
        axis=f"of {sets} sets",
    )


def _layer_charts(task: str, rows: Sequence[Row], css: Mapping[str, str]) -> list[dict[str, Any]]:
    metric = METRIC_NAMES[rows[0]["metric"]]
    kinds = (
        ("single", "Each layer alone", "Probe on one layer."),
        ("prefix", "The first layers together", "Probe on layers 0 to i, all their neurons."),
    )
    drawn = [row for row in rows if row["layer_scores"]]
    if not drawn:
        return []
    split = drawn[0]["layer_scores"]["split"]
    ticks = _y_ticks([v for row in drawn for kind, _, _ in kinds for v in row["layer_scores"].get(kind, [])])
    last = max(len(row["layer_scores"]["single"]) for row in drawn) - 1
    out = []
    for kind, title, text in kinds:
        plot = Plot(
            slug(kind, task),
            f"{task}: {title.lower()}",
            "; ".join(f"{row['model']}: " + " ".join(score(v) for v in row["layer_scores"][kind]) for row in drawn),
            x=(0, max(last, 1)),
            y=ticks,
            y_name=f"{metric}, {split}",
            x_name="layer",
        )
        for row in drawn:
            points = [(float(i), v) for i, v in enumerate(row["layer_scores"][kind]) if v is not None]
            if points:
                style, name = css[row["model"]], row["model"]
                plot.line(points, style, end=_short(row), full=name, dots=lambda i, v: f"layer {i:.0f}: {v:.3f}")
        out.append(
            {"title": title, "text": f"{text} {split.capitalize()} split; untrained twins dashed.", "svg": plot.svg()}
        )
    return out


def _clusters(task: str, rows: Sequence[Row], css: Mapping[str, str]) -> Markup:
    drawn = [row for row in rows if row["clusters"]]
    plot = Plot(
        slug("clusters", task),
        f"{task}: clusters of correlated neurons",
        "; ".join(f"{row['model']}: " + " ".join(percent(c["share_left"]) for c in row["clusters"]) for row in drawn),
        x=(0, 1),
        x_ticks=[round(0.2 * i, 1) for i in range(6)],
        y=[0, 20, 40, 60, 80, 100],
        y_format=".0f",
        y_name="groups left, % of neurons",
        x_name="distance 1 − |r| at which the tree is cut",
    )
    for row in drawn:
        points = [(c["threshold"], 100 * c["share_left"]) for c in row["clusters"] if c["share_left"] is not None]
        if points:
            plot.line(
                points, css[row["model"]], end=_short(row), full=row["model"], dots=lambda t, v: f"{t:g}: {v:.1f} %"
            )
    return plot.svg()


def _bars(task: str, rows: Sequence[Row], css: Mapping[str, str]) -> Markup:
    strips = []
    described = []
    for row in rows:
        counts = row["chosen_layers"] or [0] * row["layers"]
        empty = "" if any(counts) else "no minimum claimed"
        about = "" if row["n_minimal"] else "estimate "
        name = row["model"] if empty else f"{row['model']} ({about}{integer(sum(counts))})"
        strips.append((name, css[row["model"]], counts, empty))
        described.append(f"{row['model']}: {empty or ' '.join(map(str, counts))}")
    return charts.bars(slug("bars", task), f"{task}: chosen neurons per layer", "; ".join(described), strips)


def _metric_table(rows: Sequence[Row]) -> tuple[list[str], list[dict[str, Any]]]:
    """Heads and lines of the table of all metrics on test; a column only where some row has a figure."""
    primary = rows[0]["metric"]
    packages = sorted({p for row in rows for s in row["test"].values() if s for p in s.get("packages", {})})
    heads: list[tuple[str, tuple[str, ...]]] = [(METRIC_NAMES[m], (m,)) for m in METRIC_NAMES]
    heads += [("seen types", ("seen", primary)), ("unseen types", ("unseen", primary))]
    heads += [(p, ("packages", p, primary)) for p in packages]

    def get(value: Any, keys: tuple[str, ...]) -> Any:
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    groups: list[dict[str, Any]] = []
    for row in rows:
        lines = []
        for name in FEATURES:
            scores = row["test"].get(name)
            if scores:
                kind = row.get(f"{name}_name")
                shown = plainest(primary) if name == "majority" else name
                lines.append((f"{shown}: {kind}" if kind else shown, [get(scores, keys) for _, keys in heads]))
        if lines:
            groups.append({"model": row["model"], "lines": lines})
    keep = [i for i in range(len(heads)) if any(v[i] is not None for g in groups for _, v in g["lines"])]
    for group in groups:
        group["lines"] = [(name, [values[i] for i in keep]) for name, values in group["lines"]]
    return [heads[i][0] for i in keep], groups


def _facts(row: Row) -> dict[str, str]:
    """Further figures of a row, by the head of their column."""
    main = row["minima"][row["ranking"]]

    def size(value: int | None) -> str:
        return "–" if value is None else integer(value)

    return {
        "status, unseen types": row["status_unseen"] or "–",
        "h (half-width)": score(row["dev_half_width"]),
        "largest failing": size(main["n_failing"]),
        "not ruled out": size(main["n_least"]),
        "kept of the gain, test": percent(row["share_kept_test"]),
        "constant neurons": integer(row["constant_neurons"]),
        "judge rows, effective": size(row["sample"]["effective_rows"]),
    }


def _comparisons(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Reference against each opponent, a line each: (difference, lower bound, p) on judge and on test."""
    groups = []
    for row in rows:
        judge, test = row["comparisons"]["judge"] or {}, row["comparisons"]["test"] or {}
        lines = []
        for name in judge:
            values: list[float | None] = []
            for entry in (judge[name], test.get(name, {})):
                p = entry.get("p") if entry.get("p_holm") is None else entry["p_holm"]
                values += [entry.get("difference"), entry.get("lower"), p]
            lines.append((plainest(row["metric"]) if name == "majority" else name, values))
        groups.append({"model": row["model"], "lines": lines})
    return groups


def _concepts(rows: Sequence[Row], css: Mapping[str, str]) -> list[dict[str, Any]]:
    out = []
    for row in rows:
        report = row["concepts"] or {"neurons": [], "chosen": 0}
        shown = [
            {
                **neuron,
                "chance": {"score": None, "auroc": None, "expected": None, "p_max": None, **(neuron["null"] or {})}
                | ({"score": neuron["null"]["spearman"]} if neuron["null"] and "spearman" in neuron["null"] else {}),
                "on_all": report["tested"].get(neuron["best_class"] or "target") == "all",
            }
            for neuron in report["neurons"][:CONCEPT_ROWS]
        ]
        text = (
            f"{len(shown)} of {integer(report['chosen'])} chosen neurons. "
            f"Beyond chance: {report['significant']} of the {report['described']} described."
            if shown
            else "No neurons were chosen."
        )
        out.append({"model": row["model"], "css": css[row["model"]], "rows": shown, "text": text})
    return out


def _headline(rows: Sequence[Row]) -> str:
    """The headline with what it is: "ranking lca", "search elimination"."""
    name = rows[0]["ranking"]
    return f"{rows[0]['curves'][name]['kind']} {name}"


def _task(
    task: str, rows: Sequence[Row], card: Mapping[str, Any], css: Mapping[str, str], names: Sequence[str]
) -> dict[str, Any]:
    ticks = _y_ticks(_curve_values(rows, names))
    heads, lines = _metric_table(rows)
    return {
        "name": task,
        "slug": slug("task", task),
        "description": card["description"],
        "metric_name": METRIC_NAMES[rows[0]["metric"]],
        "margin": f"{rows[0]['margin']:g}",
        "margin_reason": rows[0]["margin_reason"],
        "headline": _headline(rows),
        "overview": _overview(task, rows, css),
        "bars": _bars(task, rows, css),
        "layers": _layer_charts(task, rows, css),
        "panels": [
            {
                "model": row["model"],
                "svg": _panel(task, row, css[row["model"]], ticks, names),
                "text": f"{row['status']}; {_minimal_text(row)}.",
            }
            for row in rows
            if row["curves"]
        ],
        "bounds": [
            {"model": row["model"], "svg": bound_chart(task, row, css[row["model"]]), "text": f"{_bound_text(row)}."}
            for row in rows
            if row["status"] == "supported" and row["bound"] is not None
        ],
        "robustness": _robustness(task, rows, css),
        "maps": [
            {
                "model": row["model"],
                "svg": charts.heatmap(slug("cka", task, row["model"]), f"CKA, {row['model']}", row["cka"]),
            }
            for row in rows
            if row["cka"]
        ],
        "clusters": _clusters(task, rows, css),
        "concepts": _concepts(rows, css),
        "number": rows[0]["metric"] == "r2",
        "tokens": card["unit"] == "token",
        "permuted": "types" if card["unit"] == "token" else "functions",
        "naming": next((row["concepts"]["metric"] for row in rows if row["concepts"]), "correlation").replace("-", " "),
        "metric_heads": heads,
        "metric_rows": lines,
        "fact_heads": list(_facts(rows[0])),
        "fact_rows": [{"model": row["model"], "values": list(_facts(row).values())} for row in rows],
        "comparisons": _comparisons(rows),
        "measures": measures.task_tables(rows),
        "confidence": f"{100 * rows[0]['confidence']:g} %",
    }


def _board(rows: Sequence[Row], css: Mapping[str, str], most: int) -> list[dict[str, Any]]:
    """The rows task by task; what all rows of a task share stands in the heading of the group."""
    groups: dict[str, dict[str, Any]] = {}
    for row in rows:
        n = row["n_minimal"] or row["estimate"]
        surface = f"{score(row['surface'])} ({row['surface_name']})" if row["surface_name"] else score(row["surface"])
        text = (
            f"{METRIC_NAMES[row['metric']]}; {plainest(row['metric'])} {score(row['majority'])}; surface {surface}; "
            f"margin {row['margin']:g}"
        )
        group = groups.setdefault(
            row["task"], {"name": row["task"], "slug": slug("task", row["task"]), "text": text, "rows": []}
        )
        group["rows"].append(
            {
                **row,
                "css": css[row["model"]],
                "file": quote(row_file(row["model"], row["task"])),
                "supported": row["status"] == "supported",
                "shown_note": "; ".join(text for text in row["notes"] if text != CONTROL_NOTE),
                "shown_bound": _bound_text(row) if row["status"] == "supported" else "",
                "shown_n": n,
                "strip": charts.strip(
                    n,
                    row["n_minimal_low"],
                    row["n_minimal_high"],
                    row["n_neurons"],
                    most,
                    css[row["model"]].split()[0],
                    row["n_minimal"] is None,
                ),
            }
        )
    return list(groups.values())


def _card(name: str, card: Mapping[str, Any]) -> dict[str, Any]:
    test = card["splits"]["test"].get("labels") or {}
    total = max(sum(test.values()), 1)
    scored = {card["classes"][i] for i in card["scored_classes"]}
    facts = [
        ("Kind", f"{card['kind']}; one row is one {card['unit']}"),
        ("Primary metric", METRIC_NAMES[card["metric"]]),
    ]
    majority, baselines = card["majority"], card["baselines"]
    if majority is not None:
        facts.append(("Majority class", f"{majority['class']}, {percent(majority['share']['test'])} of the test rows"))
    target = card.get("target")
    if target is not None:
        spread = f"standard deviation {target['std']:.4g}, from {target['min']:.4g} to {target['max']:.4g}"
        facts.append(("Target", f"a number; of the train rows mean {target['mean']:.4g}, {spread}"))
    text = ", ".join(
        f"{name} {score(baselines['baselines'][name]['tune'][card['metric']])}" for name in baselines["order"]
    )
    facts.append(("Surface baselines", f"on tune: {text}; used: {baselines['surface']}"))
    licences = [f"{package} {licence or 'not stated'}" for package, licence in sorted(card["licences"].items())]
    facts.append(("Licences", "; ".join(licences)))
    if card["left_out"]:
        facts.append(("Left out", "; ".join(f"{k} {integer(v)}" for k, v in sorted(card["left_out"].items()))))
    if card["short"]:
        facts.append(("Fewer rows than asked for", "; ".join(f"{k} {integer(v)}" for k, v in card["short"].items())))
    return {
        "name": name,
        "description": card["description"],
        "splits": [
            {
                "name": split,
                "rows": s["rows"],
                "inputs": s["inputs"],
                "files": s["files"],
                "packages": ", ".join(f"{p} {integer(n)}" for p, n in sorted(s["packages"].items())),
            }
            for split, s in ((k, card["splits"][k]) for k in ("train", "tune", "judge", "test"))
        ],
        "labels": [
            {"name": c, "rows": test.get(c, 0), "share": test.get(c, 0) / total, "scored": c in scored}
            for c in card["classes"]
        ],
        "unscored": len(scored) < len(card["classes"]),
        "facts": facts,
    }


def _summary(rows: Sequence[Row]) -> str:
    """What was found, in a sentence or two, from the rows that may speak."""
    good = [row for row in rows if row["status"] == "supported"]
    sized = [row for row in good if row["n_minimal"] is not None]
    text = f"{len(good)} of {len(rows)} rows are supported."
    if len(sized) == 1:
        text += f" One has a minimal subset: {sized[0]['model']} on {sized[0]['task']}, {_minimal_text(sized[0])}."
    elif sized:
        low, high = (f(sized, key=lambda r: r["share"]) for f in (min, max))
        text += (
            f" In {len(sized)} of these a minimal subset could be claimed: from {integer(low['n_minimal'])} neurons, "
            f"{percent(low['share'])} of {low['model']} ({low['task']}), to {integer(high['n_minimal'])}, "
            f"{percent(high['share'])} of {high['model']} ({high['task']})."
        )
    failed = [f"{row['model']} on {row['task']}" for row in good if row["confirmed"] is False]
    if failed:
        text += f" Not confirmed on test: {', '.join(failed)}."
    return text


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def render(
    rows: Sequence[Row],
    cards: Mapping[str, Mapping[str, Any]],
    meta: Mapping[str, Any],
    of_models: Mapping[str, Mapping[str, Mapping[str, Any]]],
    published: Sequence[Row] = (),
    beside: measures.Table | None = None,
) -> str:
    """The page.

    Parameters
    ----------
    rows : as collect_row makes them, any order; shown task by task, models in the order given.
    cards : as collect_cards makes them, by task.
    meta : title, benchmark, version, protocol, numerics, seed, random_draws, models, tasks, curves (names of contenders
        and controls that are drawn); native: machines on which portable numerics did not hold.
    of_models : as collect_models makes it: transfer, effects and languages by model.
    published : rows of the protocol `published`, cells of the table alone.
    beside : the rows beside the published figures (published_figures.table), where there are any.
    """
    rows = sorted(rows, key=lambda r: (meta["tasks"].index(r["task"]), meta["models"].index(r["model"])))
    css = styles(rows)
    most = max(row["n_neurons"] for row in rows)
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    numerics = (
        "Numerics: portable. With the pinned libraries every x86-64 machine with AVX2 and FMA computes the same bits; "
        "other hardware is verified within a stated tolerance."
        if meta["numerics"] == "portable"
        else "Numerics: fast. Results on another machine agree within a stated tolerance, not bit by bit."
    )
    if meta.get("native"):
        numerics = (
            f"Numerics: portable was asked for and did not hold ({', '.join(meta['native'])}). Results on another "
            "machine agree within a stated tolerance, not bit by bit."
        )
    env = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    env.filters.update(score=score, percent=percent, integer=integer, raw=raw)
    notes = {row["model"]: row["model_note"] for row in rows}
    return env.get_template("page.html.j2").render(
        title=meta["title"],
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        css=Markup(style),  # noqa: S704  (our own file)
        js=Markup(script),  # noqa: S704  (our own file)
        meta=meta,
        command=COMMANDS.get(meta["benchmark"], OWN_COMMAND),
        summary=_summary(rows),
        heads=HEADS,
        columns={name: text for name, text in COLUMNS.items() if beside is not None or name not in FIGURES},
        board=_board(rows, css, most),
        statuses=list(dict.fromkeys(row["status"] for row in rows)),
        most=integer(most),
        models=[{"name": m, "css": css[m], "note": notes[m]} for m in meta["models"] if m in css],
        tasks=[_task(t, [r for r in rows if r["task"] == t], cards[t], css, meta["curves"]) for t in meta["tasks"]],
        cards=[_card(t, cards[t]) for t in meta["tasks"]],
        transfer=measures.transfer_tables(of_models.get("transfer", {})),
        effects=measures.dissociation_tables(of_models.get("effects", {})),
        published=measures.published_table(published),
        beside=beside,
        other_neurons=meta["other_neurons"],
        concept_rows=CONCEPT_ROWS,
        numerics=numerics + f" Seed {meta['seed']}.",
    )

"""All models on one task: their curves, how many neurons each needs, and what their layers and clusters look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neurosieve.site.charts import clusters, parts
from neurosieve.site.charts.parts import COLOURS, DASHED, SOLID, Chart, Row, Spec, exact

TRAINED, TWIN = "trained", "untrained twin"
Point = dict[str, Any]


def base(row: Row) -> str:
    """The model whose colour a row has: a twin has that of its model."""
    return str(row.get("control_of") or row["model"])


def drawn(rows: Sequence[Row]) -> list[Row]:
    """Rows that get a line: of the models with the best judge scores, and of their twins, in the order given."""
    own = [row for row in rows if not row.get("control_of")] or rows
    reference: dict[str, float] = {}
    for row in own:  # a row of the published protocol has no reference, and takes none from its model's other row
        found = (row.get("judge") or {}).get("reference") or 0.0
        reference[base(row)] = max(found, reference.get(base(row), found))
    first = list(reference)
    best = sorted(first, key=lambda model: (-reference[model], first.index(model)))[:COLOURS]
    return [row for row in rows if base(row) in best]


def _lines(
    rows: Sequence[Row],
    points_of: Callable[[Row], list[Point]],
    x: Spec,
    y: Spec,
    tooltip: Sequence[Spec],
    *below: Spec,
    height: float = parts.HEIGHT,
    dots: bool = True,
) -> tuple[Spec, list[Point]] | None:
    """A line for each row, in the colour of its model, dashed for a twin; and the points with their "model"."""
    shown = drawn(rows)
    points: list[Point] = []
    for row in shown:
        kind = TWIN if row.get("control_of") else TRAINED
        own = {"model": row["model"], "series": base(row), "kind": kind}
        points += [{**own, **point} for point in points_of(row)]
    if not points:
        return None
    models = list(dict.fromkeys(p["series"] for p in points))
    channels = parts.series(models)
    channels["strokeDash"] = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": [TRAINED, TWIN], "range": [SOLID, DASHED]},
        "legend": {"symbolType": "stroke"} if any(p["kind"] == TWIN for p in points) else None,
    }
    channels["detail"] = {"field": "model", "type": "nominal"}
    return parts.line_chart(points, x, y, channels, tooltip, *below, height=height, dots=dots), points


def _table(head: str, points: Sequence[Point], at: str, value: str, text: Callable[[Any], str]) -> list[list[str]]:
    """A line per place on the abscissa, a column per model."""
    names = list(dict.fromkeys(p["model"] for p in points))
    known = {(p["model"], p[at]): p[value] for p in points}
    places = sorted({p[at] for p in points})
    body = [[f"{place:,g}", *(text(known[n, place]) if (n, place) in known else "" for n in names)] for place in places]
    return [[head, *names], *body]


def _notes(rows: Sequence[Row]) -> str:
    """What else must be said of the lines: dashes of twins, and what is left out of a picture with many models."""
    models, shown = {base(row) for row in rows}, {base(row) for row in drawn(rows)}
    text = " Untrained twins are dashed." if any(row.get("control_of") for row in rows) else ""
    if models != shown:
        text += f" Of {len(models)} models the {len(shown)} with the best references are drawn."
    return text


def curves(task: str, rows: Sequence[Row]) -> Chart | None:
    """Score on judge by number of neurons, of every model's headline contender, with its minimal subset."""
    known = [row for row in rows if row.get("ranking") in (row.get("curves") or {})]
    if not known:
        return None
    metric = parts.metric_name(known[0])

    def points_of(row: Row) -> list[Point]:
        curve = row["curves"][row["ranking"]]
        found = sorted(zip(curve["sizes"], curve["judge"], strict=True))
        return [{"n": n, "score": exact(v), "what": parts.minimal_text(row)} for n, v in found]

    y = parts.score_axis(f"{metric} on judge", [p["score"] for row in known for p in points_of(row)])
    x = {"field": "n", **parts.sizes_axis(max(row["n_neurons"] for row in known))}
    tooltip = parts.tips(
        ("model", "model", ""), ("n", "neurons", ","), ("score", metric, ".3f"), ("what", "minimal subset", "")
    )
    found = _lines(known, points_of, x, {"field": "score", **y}, tooltip, dots=False)
    if found is None:
        return None
    spec, points = found
    ends = [
        {"series": base(row), "n": row["n_minimal"], "score": p["score"], "model": row["model"], "what": p["what"]}
        for row in drawn(known)
        for p in points_of(row)
        if row.get("n_minimal") == p["n"]
    ]
    if ends:
        place = {"x": spec["layer"][0]["encoding"]["x"], "y": spec["layer"][0]["encoding"]["y"]}
        colour = {"color": spec["layer"][0]["encoding"]["color"]}
        mark = {"type": "point", "filled": True, "size": 90}
        spec["layer"].insert(-1, {"data": parts.rows_of(ends), "mark": mark, "encoding": {**place, **colour}})
    text = f"{metric} on judge of each model's best set of each size; a dot is its minimal subset.{_notes(rows)}"
    table = _table("neurons", points, "n", "score", parts.score)
    return Chart(parts.slug("curves", task), "Score against number of neurons", text, spec, table)


def minima(task: str, rows: Sequence[Row], key: str = "model") -> Chart | None:
    """Neurons of the minimal subset with their interval, a line for each row that has one or an estimate.

    ``key`` says what a line is called by: "model" on a task, "task" on a model.
    """
    values: list[Point] = []
    for row in rows:
        found = parts.needed(row)
        if found is None or row.get("status") is None:  # a row of the published protocol is chosen on test
            continue
        values.append({"name": row[key], **found, "share": exact(found["value"] / row["n_neurons"])})
    if not values:
        return None
    x = parts.sizes_axis(max(row["n_neurons"] for row in rows))
    x["axis"]["grid"] = True
    tooltip = parts.tips(("name", key, ""), ("what", "minimal subset", ""), ("share", "share", ".1%"))
    spec = parts.ranges(values, x, tooltip)
    table = [[key, "minimal subset", "share"], *([v["name"], v["what"], parts.percent(v["share"])] for v in values)]
    text = (
        "Neurons of the minimal subset, with the range where another judge of the same size would put it (5-95 %). "
        "Hollow: an estimate, without a claim."
    )
    return Chart(parts.slug("minima", task), "Neurons needed", text, spec, table)


def layer_scores(task: str, rows: Sequence[Row]) -> list[Chart]:
    """What each layer alone, and the layers up to it, tell of the task: a line for each model."""
    known = [row for row in rows if row.get("layer_scores")]
    kinds = {"single": ("Each layer alone", "on one layer"), "prefix": ("The first layers together", "up to a layer")}
    out = []
    for kind, (title, what) in kinds.items():

        def points_of(row: Row, kind: str = kind) -> list[Point]:
            values = row["layer_scores"].get(kind) or []
            return [{"layer": i, "score": exact(v)} for i, v in enumerate(values) if v is not None]

        if not known or not any(points_of(row) for row in known):
            continue
        metric, split = parts.metric_name(known[0]), known[0]["layer_scores"]["split"]
        x: Spec = {"field": "layer", "type": "quantitative", "title": "layer"}
        x |= {"scale": {"nice": False, "zero": False}, "axis": {"tickMinStep": 1, "format": "d", "grid": False}}
        y = parts.score_axis(f"{metric} on {split}", [p["score"] for row in known for p in points_of(row)])
        tooltip = parts.tips(("model", "model", ""), ("layer", "layer", "d"), ("score", metric, ".3f"))
        found = _lines(known, points_of, x, {"field": "score", **y}, tooltip, height=220)
        if found is None:
            continue
        spec, points = found
        text = f"{metric} on {split} of a probe on all neurons {what}.{_notes(rows)}"
        table = _table("layer", points, "layer", "score", parts.score)
        out.append(Chart(parts.slug(kind, task), title, text, spec, table))
    return out


def groups(task: str, rows: Sequence[Row]) -> Chart | None:
    """Groups of correlated neurons left at each threshold, a line for each model."""
    known = [row for row in rows if clusters.points(row)]
    tooltip = parts.tips(("model", "model", ""), ("threshold", "distance", ".2f"), ("share", "left", ".1%"))
    found = _lines(known, clusters.points, clusters.X, clusters.Y, tooltip, height=220)
    if found is None:
        return None
    spec, points = found
    text = f"The fewer groups are left, the more neurons repeat others.{_notes(rows)}"
    table = _table("distance", points, "threshold", "share", parts.percent)
    return Chart(parts.slug("clusters", task), "Groups of correlated neurons", text, spec, table)


def chosen(task: str, rows: Sequence[Row], key: str = "model") -> Chart | None:
    """Share of the subset in each layer, a line of cells for each row with a subset; ``key`` as of minima."""
    known = [row for row in rows if any(row.get("chosen_layers") or [])]
    if not known:
        return None
    layers = max(len(row["chosen_layers"]) for row in known)
    cells = []
    for row in known:
        total = sum(row["chosen_layers"])
        for i, count in enumerate(row["chosen_layers"]):
            cell = {"line": row[key], "column": str(i), "value": exact(count / total), "count": count}
            cells.append({**cell, "label": parts.integer(count)})
    most = max(cell["value"] for cell in cells)
    spec = parts.matrix(
        cells,
        ([str(i) for i in range(layers)], [row[key] for row in known]),
        ("layer", ""),
        "share of the subset",
        parts.tips(("line", key, ""), ("column", "layer", ""), ("count", "neurons", ","), ("value", "share", ".1%")),
        (0.0, most),
        step=24,
        text=layers <= 16,
    )
    table = [[key, *map(str, range(layers))]]
    table += [
        [row[key], *map(str, row["chosen_layers"]), *[""] * (layers - len(row["chosen_layers"]))] for row in known
    ]
    text = "Neurons of each subset by layer, darker where more of the subset lies. Layer 0 is the embedding layer."
    return Chart(parts.slug("chosen", task), "Chosen neurons per layer", text, spec, table)


def costs(model: str, rows: Sequence[Row], values_of: Callable[[Row], list[Point]]) -> Chart | None:
    """What the subset of each task needs of the model, a cell for each quantity."""
    known: Mapping[str, list[Point]] = {row["task"]: found for row in rows if (found := values_of(row))}
    if not known:
        return None
    names = list(dict.fromkeys(v["name"] for found in known.values() for v in found))
    cells = [
        {"line": task, "column": v["name"], "value": v["value"], "label": v["label"], "count": v["count"]}
        for task, found in known.items()
        for v in found
    ]
    spec = parts.matrix(
        cells,
        (names, list(known)),
        ("", ""),
        "share of the whole model",
        parts.tips(
            ("line", "task", ""), ("column", "quantity", ""), ("count", "needed", ","), ("value", "share", ".1%")
        ),
        (0.0, 1.0),
        step=26,
    )
    by = {(c["line"], c["column"]): c["label"] for c in cells}
    table = [["task", *names], *([task, *(by.get((task, name), "") for name in names)] for task in known)]
    text = (
        "The model up to the highest layer of the subset, and the values that the classifier reads, as shares of the "
        "whole. Counted, not timed."
    )
    return Chart(parts.slug("cost", model), "What the subsets need of the model", text, spec, table)

"""Two rows over each other: their curves, and where their subsets lie; two models on the tasks that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, SOLID, Chart, Row, Spec, exact


def names(a: Row, b: Row) -> tuple[str, str]:
    """What the two are called: by the model, the task or the benchmark, whichever tells them apart."""
    apart = [key for key in ("model", "task", "benchmark") if a.get(key) != b.get(key)] or ["model"]
    first, second = (", ".join(str(row.get(key)) for key in apart) for row in (a, b))
    return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")


def curves(a: Row, b: Row) -> Chart | None:
    """Score on judge by number of neurons of both; none where a row has no curve, or their metrics differ."""
    pair = dict(zip(names(a, b), (a, b), strict=True))
    if any(row.get("ranking") not in (row.get("curves") or {}) for row in (a, b)) or a["metric"] != b["metric"]:
        return None
    points: list[dict[str, Any]] = []
    for name, row in pair.items():
        curve = row["curves"][row["ranking"]]
        points += [
            {"series": name, "n": n, "score": exact(v)}
            for n, v in sorted(zip(curve["sizes"], curve["judge"], strict=True))
        ]
    metric = parts.metric_name(a)
    channels = parts.series(list(pair), [SOLID, DASHED])
    marks = [
        {"series": name, "n": row["n_minimal"], "what": parts.minimal_text(row)}
        for name, row in pair.items()
        if row.get("n_minimal") is not None
    ]
    upright: Spec = {
        "data": parts.rows_of(marks),
        "mark": {"type": "rule"},
        "encoding": {
            "x": {"field": "n", "type": "quantitative"},
            **channels,
            "tooltip": parts.tips(("series", "row", ""), ("what", "minimal subset", "")),
        },
    }
    spec = parts.line_chart(
        points,
        {"field": "n", **parts.sizes_axis(max(a["n_neurons"], b["n_neurons"]))},
        {"field": "score", **parts.score_axis(f"{metric} on judge", [p["score"] for p in points])},
        channels,
        parts.tips(("series", "row", ""), ("n", "neurons", ","), ("score", metric, ".3f")),
        *([upright] if marks else []),
    )
    known = {(p["series"], p["n"]): p["score"] for p in points}
    table = [["neurons", *pair]]
    table += [
        [parts.integer(n), *(parts.score(known.get((name, n))) for name in pair)] for n in sorted({n for _, n in known})
    ]
    text = f"{metric} on judge of each row's best set of each size; an upright line is a minimal subset."
    return Chart("pair-curves", "Score against number of neurons", text, spec, table)


def layers(a: Row, b: Row) -> Chart | None:
    """Share of each subset by layer; none where one has no subset."""
    pair = dict(zip(names(a, b), (a, b), strict=True))
    if not all(any(row.get("chosen_layers") or []) for row in (a, b)):
        return None
    values = [
        {"series": name, "layer": i, "count": count, "share": exact(count / sum(row["chosen_layers"]))}
        for name, row in pair.items()
        for i, count in enumerate(row["chosen_layers"])
    ]
    colour = parts.series(list(pair))["color"]
    colour["legend"] = {"symbolType": "square"}
    encoding = {
        "x": {"field": "layer", "type": "ordinal", "title": "layer", "axis": {"labelAngle": 0, "ticks": False}},
        "xOffset": {"field": "series", "type": "nominal", "scale": {"domain": list(pair)}},
        "y": {"field": "share", "type": "quantitative", "title": "share of the subset", "axis": {"format": "%"}},
        "color": colour,
        "tooltip": parts.tips(
            ("series", "row", ""), ("layer", "layer", "d"), ("count", "neurons", ","), ("share", "share", ".1%")
        ),
    }
    spec = parts.spec({"mark": {"type": "bar"}, "encoding": encoding}, height=180, data=parts.rows_of(values))
    table = [["layer", *pair]]
    table += [
        [str(i), *(str(c[i]) if i < len(c) else "" for c in (row["chosen_layers"] for row in pair.values()))]
        for i in range(max(len(row["chosen_layers"]) for row in pair.values()))
    ]
    text = "Where the neurons of the two subsets lie, as shares of each; the figures are numbers of neurons."
    return Chart("pair-layers", "Chosen neurons per layer", text, spec, table)


def differences(found: Sequence[Mapping[str, Any]]) -> Chart:
    """Difference of two models, B less A, in the score of all neurons, a line for each task.

    found : of each task "task", "difference", "low" and "high" of it (None where the two were not tested together),
    "apart": whether the test tells them apart, and "what": the same as text.
    """
    tasks = [one["task"] for one in found]
    ends = [abs(one[key]) for one in found for key in ("difference", "low", "high") if one[key] is not None]
    most = min(max(0.01, *ends), -parts.LOWEST)
    x: Spec = {"field": "difference", "type": "quantitative", "title": "B − A, score of all neurons"}
    x |= {"scale": {"domain": [-most, most], "clamp": True}, "axis": {"grid": False, "format": "+.3~f", "tickCount": 5}}
    y: Spec = {"field": "task", "type": "nominal", "sort": None, "title": None, "scale": {"domain": tasks}}
    y["axis"] = {"grid": True, "ticks": False}
    place = {"x": x, "y": y}
    tooltip = parts.tips(("task", "task", ""), ("what", "B − A", ""))
    zero = {"data": parts.rows_of([{"zero": 0}]), "mark": {"type": "rule", "style": "level"}}
    line = {**zero, "encoding": {"x": {"field": "zero", "type": "quantitative"}}}
    spec = _by_task(found, place, "datum.apart", tooltip, 26 * len(tasks), line)
    text = (
        "Difference of the test scores of all neurons, in the metric of the task, with its two-sided interval (95 %) "
        "over files where both were scored on the same ones. Filled: told apart (p at most 0.05 after Holm); hollow: "
        "not, or not adjusted, as of two results."
    )
    table = [["task", "B − A", "interval"]]
    table += [[one["task"], f"{one['difference']:+.3f}", parts.interval(one["low"], one["high"])] for one in found]
    return Chart("models-differences", "Difference in score by task", text, spec, table)


def needed(names: tuple[str, str], found: Sequence[Mapping[str, Any]], most: int) -> Chart:
    """Neurons that two models need, two lines for each task.

    found : as of parts.needed, with "task" and "series" (one of names).
    most : neurons of the larger model.
    """
    tasks = list(dict.fromkeys(one["task"] for one in found))
    x = {**parts.sizes_axis(most), "field": "value"}
    x["axis"]["grid"] = True
    colour = parts.series(names)["color"]
    place: Spec = {
        "x": x,
        "y": {"field": "task", "type": "nominal", "sort": None, "title": None, "scale": {"domain": tasks},
              "axis": {"grid": True, "ticks": False, "tickBand": "extent"}},
        "yOffset": {"field": "series", "type": "nominal", "scale": {"domain": list(names)}},
        "color": colour,
    }  # fmt: skip
    tooltip = parts.tips(("series", "model", ""), ("task", "task", ""), ("what", "minimal subset", ""))
    spec = _by_task(found, place, "datum.filled", tooltip, 44 * len(tasks))
    text = (
        "Neurons of the minimal subset, with the range where another judge of the same size would put it (5-95 %). "
        "Hollow: an estimate, without a claim."
    )
    table = [["task", "model", "minimal subset"], *([one["task"], one["series"], one["what"]] for one in found)]
    return Chart("models-needed", "Neurons needed by task", text, spec, table)


def _by_task(
    found: Sequence[Mapping[str, Any]], place: Spec, filled: str, tooltip: Sequence[Spec], height: float, *below: Spec
) -> Spec:
    """A point each, filled where the expression holds and hollow elsewhere, over the line from "low" to "high"."""
    ends = {"x": place["x"] | {"field": "low"}, "x2": {"field": "high"}}
    line: Spec = {"transform": [{"filter": "isValid(datum.low)"}], "mark": {"type": "rule", "strokeWidth": 2}}
    points: list[Spec] = [
        {"transform": [{"filter": test}], "mark": {"type": "point", "filled": whole, "size": 70, "strokeWidth": 2},
         "encoding": place}
        for test, whole in ((filled, True), (f"!{filled}", False))
    ]  # fmt: skip
    hover = parts.hover({**place, "tooltip": list(tooltip)}, 240)
    intervals = {**line, "encoding": {**place, **ends}}
    return parts.spec(*below, intervals, *points, hover, height=height, data=parts.rows_of(found))

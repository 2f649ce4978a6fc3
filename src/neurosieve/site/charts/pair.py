"""Two rows over each other: their curves, and where their subsets lie."""

from __future__ import annotations

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

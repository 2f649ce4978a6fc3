"""Where the neurons of the subset are, and what each layer tells of the task alone and with those below it."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, SOLID, Chart, Row, Spec, exact

KINDS = {"single": "each layer alone", "prefix": "the layers up to it"}


def chosen(row: Row) -> Chart | None:
    """Neurons of the subset per layer, as bars; none without a subset."""
    counts = row.get("chosen_layers")
    if not counts or not any(counts):
        return None
    values = [{"layer": i, "count": count} for i, count in enumerate(counts)]
    x = {"field": "layer", "type": "ordinal", "title": "layer", "axis": {"labelAngle": 0, "ticks": False}}
    y = {"field": "count", "type": "quantitative", "title": "neurons", "axis": {"tickMinStep": 1, "tickCount": 4}}
    label = {"type": "text", "style": "note", "baseline": "bottom", "dy": -3}
    layers: list[Spec] = [
        {
            "mark": {"type": "bar"},
            "encoding": {"x": x, "y": y, "tooltip": parts.tips(("layer", "layer", "d"), ("count", "neurons", ","))},
        }
    ]
    if len(counts) <= 16:  # else the numbers run into one another
        layers.append(
            {
                "mark": label,
                "transform": [{"filter": "datum.count > 0"}],
                "encoding": {"x": x, "y": y, "text": {"field": "count", "type": "quantitative"}},
            }
        )
    table = [["layer", "neurons of the subset", "of the layer"]]
    width = row.get("width")
    table += [
        [str(i), parts.integer(n), parts.percent(n / width) if width else parts.NONE] for i, n in enumerate(counts)
    ]
    about = "" if row.get("n_minimal") else ", an estimate"
    zero = " Layer 0 is the embedding layer."
    text = f"The {parts.integer(sum(counts))} neurons of the subset of {row['ranking']}{about}, by layer.{zero}"
    spec = parts.spec(*layers, height=150, data=parts.rows_of(values))
    return Chart("layers", "Chosen neurons per layer", text, spec, table)


def scores(row: Row) -> Chart | None:
    """Judge score of each layer alone and of the first layers together, and whether that is enough."""
    found = row.get("layer_scores")
    if not found or not any(found.get(kind) for kind in KINDS):
        return None
    passing = _passing(row)
    points = [
        {"series": name, "layer": i, "score": exact(v), "passes": passing.get((kind, i))}
        for kind, name in KINDS.items()
        for i, v in enumerate(found.get(kind) or [])
        if v is not None
    ]
    metric, split = parts.metric_name(row), found["split"]
    reference = (row.get("judge") or {}).get("reference")
    below = [] if reference is None else parts.level(reference - row["margin"], "needed", low=True)
    known = [p["score"] for p in points] + ([] if reference is None else [reference - row["margin"]])
    spec = parts.line_chart(
        points,
        {
            "field": "layer",
            "type": "quantitative",
            "title": "layer",
            "scale": {"nice": False, "zero": False},
            "axis": {"tickMinStep": 1, "format": "d", "grid": False},
        },
        {"field": "score", **parts.score_axis(f"{metric} on {split}", known)},
        parts.series(list(KINDS.values()), [SOLID, DASHED]),
        parts.tips(
            ("series", "probe on", ""), ("layer", "layer", "d"), ("score", metric, ".3f"), ("passes", "suffices", "")
        ),
        *below,
        height=240,
    )
    table = [["layer", *(head for name in KINDS.values() for head in (name, "suffices"))]]
    count = max(len(found.get(kind) or []) for kind in KINDS)
    for i in range(count):
        line = [str(i)]
        for kind in KINDS:
            values = found.get(kind) or []
            line += [
                parts.score(values[i] if i < len(values) else None),
                passing.get((kind, i)) or parts.NONE,
            ]
        table.append(line)
    text = (
        f"{metric} on {split} of a probe on all neurons of one layer, and on all of the layers from 0 to it. Needed: "
        f"the reference less the margin of {row['margin']:g}."
    )
    return Chart("layer-scores", "What each layer tells", text, spec, table)


def _passing(row: Row) -> dict[tuple[str, int], str]:
    """Whether a layer alone, or the layers up to it, were shown to suffice: "yes" or "no" by kind and layer."""
    found = row.get("layer_selection") or {}
    out = {("single", entry["layer"]): entry["passes"] for entry in found.get("single") or []}
    out |= {("prefix", i): passes for i, passes in enumerate((found.get("bottom") or {}).get("passes") or [])}
    return {key: "yes" if passes else "no" for key, passes in out.items()}

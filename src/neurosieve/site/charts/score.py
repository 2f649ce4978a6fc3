"""Score on judge against the number of neurons: the headline contender beside what it needs and has to beat.

The same figures stand in curves/*.csv of the leaderboard, which `dvc plots` draws with the template that dvc.py makes
from this specification.
"""

from __future__ import annotations

import math
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, DOTTED, LONG, SOLID, Chart, Row, Spec, exact

# Names of the lines, in the order of their colours.
FOUND, CERTIFIED, NEEDED, RANDOM, BOTTOM = "found", "certified", "needed", "random", "bottom"
DASHES = {FOUND: SOLID, CERTIFIED: DASHED, NEEDED: LONG, RANDOM: SOLID, BOTTOM: DASHED}
LEFT = 0.35  # of the abscissa: right of it, the label of an upright line stands on its left


def best_baseline(row: Row) -> tuple[str, float] | None:
    """Name and judge score of the best of majority (or mean), surface and untrained, of those that are known."""
    known = [(name, row["judge"].get(name)) for name in ("majority", "surface", "untrained")]
    found = [(value, name) for name, value in known if value is not None]
    if not found:
        return None
    value, name = max(found)
    return (parts.plainest(row) if name == "majority" else name), value


def lines(row: Row) -> dict[str, list[dict[str, Any]]]:
    """The points of each line, by its name: {"series", "n", "score"} and for random also "low" and "high"."""
    found = row["curves"][row["ranking"]]
    reference = row["judge"].get("reference")
    out: dict[str, list[dict[str, Any]]] = {FOUND: _points(FOUND, found["sizes"], found["judge"])}
    if reference is not None:
        needed = reference - row["margin"]
        if "lower" in found:
            out[CERTIFIED] = _points(CERTIFIED, found["sizes"], [reference + v for v in found["lower"]])
        out[NEEDED] = _points(NEEDED, [1, row["n_neurons"]], [needed, needed])
    for name in (RANDOM, BOTTOM):
        curve = row["curves"].get(name)
        if curve is None:
            continue
        out[name] = _points(name, curve["sizes"], curve["judge"])
        if "judge_low" in curve:
            ends = dict(zip(curve["sizes"], zip(curve["judge_low"], curve["judge_high"], strict=True), strict=True))
            for point in out[name]:
                point["low"], point["high"] = map(exact, ends[point["n"]])
    base = best_baseline(row)
    if base is not None:
        name = f"best baseline: {base[0]}"
        out[name] = _points(name, [1, row["n_neurons"]], [base[1], base[1]])
    return out


def _points(name: str, sizes: Any, values: Any) -> list[dict[str, Any]]:
    return [{"series": name, "n": n, "score": exact(v)} for n, v in sorted(zip(sizes, values, strict=True))]


def encoding(names: list[str], x: Spec, y: Spec) -> Spec:
    """Channels of the lines: shared by the page's chart and the template of DVC."""
    return {"x": x, "y": y, **parts.series(names, [DASHES.get(name, DOTTED) for name in names])}


def minimum_marks(row: Row) -> tuple[list[Spec], list[Spec]]:
    """The shaded interval of n_minimal, and its upright line with a label, dashed where it is an estimate."""
    size = row.get("n_minimal") or row.get("estimate")
    if not size:
        return [], []
    claimed = parts.claims(row)
    low, high = row.get("n_minimal_low"), row.get("n_minimal_high")
    below: list[Spec] = []
    if claimed and low is not None:
        span = {"low": low, "high": row["n_neurons"] if high is None else high}
        below.append(
            {
                "data": parts.rows_of([span]),
                "mark": {"type": "rect", "style": "span"},
                "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
            }
        )
    text = f"{parts.integer(size)} neurons" if claimed else f"about {parts.integer(size)}, an estimate"
    left = math.log(size) > LEFT * math.log(max(row["n_neurons"], 2))
    upright = parts.upright(size, text, parts.minimal_text(row), left=left, dashed=not claimed)
    return below, upright


def chart(row: Row) -> Chart | None:
    """The picture; none for a row without a curve of its headline contender."""
    curves = row.get("curves") or {}
    if row.get("ranking") not in curves:
        return None
    drawn = lines(row)
    names = list(drawn)
    points = [point for line in drawn.values() for point in line]
    metric = parts.metric_name(row)
    shared = encoding(
        names,
        {"field": "n", **parts.sizes_axis(row["n_neurons"])},
        {
            "field": "score",
            **parts.score_axis(f"{metric} on judge", [v for p in points for v in (p["score"], p.get("low"))]),
        },
    )
    colour = {"color": shared["color"]}
    tooltip = parts.tips(("series", "line", ""), ("n", "neurons", ","), ("score", metric, ".3f"))
    layers, upright = minimum_marks(row)
    band = [p for p in points if "low" in p]
    if band:
        place = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
        area = {"x": {"field": "n", "type": "quantitative"}, **place, **colour}
        layers.append(
            {"data": parts.rows_of(band), "mark": {"type": "area", "style": "band", "clip": True}, "encoding": area}
        )
    layers += [
        {"data": parts.rows_of(points), "mark": {"type": "line", "clip": True}, "encoding": shared},
        {
            "data": parts.rows_of(drawn[FOUND]),
            "mark": {"type": "point", "filled": True},
            "encoding": {"x": shared["x"], "y": shared["y"], **colour},
        },
        {
            "data": parts.rows_of(points),
            **parts.hover({"x": shared["x"], "y": shared["y"], "tooltip": tooltip}),
        },
        *upright,
    ]
    text = (
        f"{row['ranking']}: {metric} on judge of the best set of each size, and what of it is certified (lower bound "
        "of the difference to the reference). A set passes where certified reaches needed, the reference less "
        f"{row['margin']:g}. {parts.minimal_text(row).capitalize()}."
    )
    return Chart("score", "Score against number of neurons", text, parts.spec(*layers), _table(drawn))


def _table(drawn: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A line per size at which anything was measured."""
    known = {name: {p["n"]: p for p in line} for name, line in drawn.items()}
    level = [name for name in known if name == NEEDED or name not in DASHES]  # the same at every size
    sizes = sorted({n for name, line in known.items() if name not in level for n in line})
    heads = ["neurons"]
    columns: list[list[str]] = [[parts.integer(n) for n in sizes]]
    for name, line in known.items():
        heads.append(name)
        if name in level:
            columns.append([parts.score(next(iter(line.values()))["score"])] * len(sizes))
            continue
        columns.append([parts.score(line[n]["score"]) if n in line else parts.NONE for n in sizes])
        if any("low" in point for point in line.values()):
            heads.append(f"{name}, draws")
            columns.append(
                [parts.interval(line[n].get("low"), line[n].get("high")) if n in line else parts.NONE for n in sizes]
            )
    return [heads, *map(list, zip(*columns, strict=True))]

"""What the pictures share: the chart as a value, scales and marks of Vega-Lite, figures as text.

Pure functions of row dicts; nothing is read or written. A specification holds its data inline and neither width nor
colour: assets/charts.js sets the width (of ``usermeta`` "widest" at most), and its two themes say what the names used
here look like. Colours are taken from the range ``category``, by the place of a name in the domain of its scale, from
``ramp`` and ``diverging``. Marks that have no scale name a style: ``span`` (a shaded interval), ``band`` (the same
around a line, in its colour), ``mark`` (the upright line of what is claimed), ``level`` (a level to compare with),
``note`` (text), ``halo`` (the background around it), ``faint`` and ``strong`` (text on a cell near to and far from the
background).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
METRIC_NAMES = {
    "accuracy": "accuracy", "macro_f1": "macro-F1", "matthews": "Matthews", "r2": "R²", "spearman": "Spearman",
    "pearson": "Pearson", "rmse": "root mean squared error",
}  # fmt: skip
LOWEST = -1.0  # score at which a picture ends; R2 alone goes below 0, and without bound
NONE = "–"
COLOURS = 8  # of the themes; a scale with more names repeats them
SOLID, DASHED, LONG, DOTTED = [1, 0], [6, 3], [10, 4], [2, 3]
HEIGHT = 300  # of a picture with curves, in pixels
WIDE_LABELS, WIDE_CELL = 180, 90  # of a matrix at most, in pixels: on a wide page it would be all cells

Row = Mapping[str, Any]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """One picture of a page, with its figures as a table.

    Attributes
    ----------
    key : unique within a page; letters, digits and hyphens.
    title : what is drawn.
    text : one or two sentences on how to read it.
    spec : Vega-Lite with its data inline; no width, no colours.
    table : lines of text, heads first: the same figures.
    """

    key: str
    title: str
    text: str
    spec: Spec
    table: Sequence[Sequence[str]]


def slug(*names: str) -> str:
    """An id of letters, digits, hyphens and underscores; distinct for distinct names of one kind."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}" for c in name) for name in names)


def metric_name(row: Row) -> str:
    return METRIC_NAMES.get(str(row["metric"]), str(row["metric"]))


def plainest(row: Row) -> str:
    """What the baseline "majority" is called."""
    return "mean" if row["metric"] == "r2" else "majority"


def exact(value: float | None) -> float | int | None:
    """A figure as it stands in a specification: six digits after the point; not a number is no figure."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else round(float(value), 6)


def score(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def integer(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def interval(low: float | None, high: float | None, text: Any = score) -> str:
    return "" if low is None or high is None else f"{text(low)} to {text(high)}"


def spec(*layers: Spec, height: float = HEIGHT, **more: Any) -> Spec:
    """A layered view, ``height`` in pixels."""
    return {"$schema": SCHEMA, "height": height, "layer": list(layers), **more}


def rows_of(values: Iterable[Mapping[str, Any]]) -> Spec:
    return {"values": [dict(value) for value in values]}


def sizes_axis(most: float, title: str = "neurons (log scale)", least: float = 1) -> Spec:
    """A logarithmic abscissa of numbers of neurons, from ``least`` to ``most``; ticks at 1, 3, 10, 30 and so on."""
    ticks = [t for k in range(int(math.log10(max(most, 1))) + 1) for t in (10**k, 3 * 10**k) if least <= t <= most]
    scale = {"type": "log", "domain": [max(least, 1), max(most, least + 1)], "nice": False}
    return {
        "type": "quantitative",
        "scale": scale,
        "title": title,
        "axis": {"values": ticks, "format": ",", "grid": False},
    }


def score_axis(title: str, values: Iterable[float | None]) -> Spec:
    """An ordinate that need not begin at 0, and ends below at LOWEST, where points beyond it are drawn."""
    known = [v for v in values if v is not None]
    scale: Spec = {"zero": False, "nice": True}
    if known and min(known) < LOWEST:
        scale = {"domain": [LOWEST, max(*known, 0)], "clamp": True, "nice": True}
    return {"type": "quantitative", "scale": scale, "title": title, "axis": {"tickCount": 6}}


def series(names: Sequence[str], dashes: Sequence[Sequence[int]] | None = None) -> Spec:
    """Encodings ``color`` and ``strokeDash`` of the field ``series``: a colour each by the order of the names."""
    legend = {"symbolType": "stroke"}
    out: Spec = {
        "color": {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": list(names), "range": "category"},
            "legend": legend,
        }
    }
    if dashes is not None:
        out["strokeDash"] = {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": list(names), "range": [list(dash) for dash in dashes]},
            "legend": legend,
        }
    return out


def tips(*fields: tuple[str, str, str]) -> list[Spec]:
    """The text box of a mark: (field, title, format) each; an empty format is text."""
    return [
        {"field": field, "title": title, **({"type": "quantitative", "format": form} if form else {"type": "nominal"})}
        for field, title, form in fields
    ]


def hover(encoding: Spec, size: int = 120) -> Spec:
    """Unseen points, larger than those that are drawn, which carry the text box of a line."""
    return {"mark": {"type": "point", "opacity": 0, "size": size, "filled": True}, "encoding": encoding}


def claims(row: Row) -> bool:
    """Whether the row claims a number of neurons; else its number is an estimate."""
    return row.get("status") == "supported" and row.get("n_minimal") is not None


def judged(low: float, high: float | None, to: str = " to ") -> str:
    """Where another judge would put a number of neurons; ``high`` None: no upper end is known."""
    return f"{integer(low)} or more" if high is None else f"{integer(low)}{to}{integer(high)}"


def needed(row: Row) -> dict[str, Any] | None:
    """How many neurons a row needs, as a point of a picture; None where there is not even an estimate.

    Returns
    -------
    "value", "low" and "high" (None of an estimate), "filled": whether the row claims it, and "what": the same as text.
    """
    size = row.get("n_minimal") or row.get("estimate")
    if not size:
        return None
    claimed = claims(row)
    low, high = (row.get("n_minimal_low"), row.get("n_minimal_high")) if claimed else (None, None)
    if low is not None and high is None:  # with no known upper end it may be any number
        high = row["n_neurons"]
    return {"value": size, "low": low, "high": high, "filled": claimed, "what": minimal_text(row)}


def minimal_text(row: Row) -> str:
    """How many neurons suffice, or that nothing is claimed."""
    if claims(row):
        text = f"{integer(row['n_minimal'])} of {integer(row['n_neurons'])} neurons"
        if (low := row.get("n_minimal_low")) is not None:
            text += f", on another judge {judged(low, row.get('n_minimal_high'))}"
        return text
    if size := row.get("n_minimal") or row.get("estimate"):
        return f"about {integer(size)} of {integer(row['n_neurons'])} neurons, an estimate"
    return "no minimum claimed"


def line_chart(
    points: Sequence[Mapping[str, Any]],
    x: Spec,
    y: Spec,
    channels: Spec,
    tooltip: Sequence[Spec],
    *below: Spec,
    dots: bool = True,
    height: float = HEIGHT,
) -> Spec:
    """Lines through ``points`` over the layers ``below``, with dots; fields and channels as the caller named them."""
    place = {"x": x, "y": y}
    own = {name: channel for name, channel in channels.items() if name != "strokeDash"}
    layers: list[Spec] = [*below, {"mark": {"type": "line", "clip": True}, "encoding": {**place, **channels}}]
    if dots:
        layers.append({"mark": {"type": "point", "filled": True, "size": 26}, "encoding": {**place, **own}})
    layers.append(hover({**place, "tooltip": list(tooltip)}))
    return spec(*layers, height=height, data=rows_of(points))


def level(value: float, text: str, low: bool = False) -> list[Spec]:
    """A horizontal line to compare with, and its name above it at the left end, or below it."""
    at = {"data": rows_of([{"level": exact(value), "label": text}])}
    y = {"field": "level", "type": "quantitative"}
    note = {"type": "text", "style": "note", "align": "left", "baseline": "top" if low else "bottom", "dx": 4}
    label = {"x": {"value": 0}, "y": y, "text": {"field": "label", "type": "nominal"}}
    return [
        {**at, "mark": {"type": "rule", "style": "level"}, "encoding": {"y": y}},
        {**at, "mark": {**note, "dy": 3 if low else -3}, "encoding": label},
    ]


def upright(n: float, label: str, text: str, *, left: bool, dashed: bool = False) -> list[Spec]:
    """A vertical line at ``n`` neurons, its label at the top on its left or right, over what is drawn there."""
    at = {"data": rows_of([{"n": n, "label": label, "what": text}])}
    x = {"x": {"field": "n", "type": "quantitative"}}
    rule: Spec = {"type": "rule", "style": "mark", **({"strokeDash": DASHED} if dashed else {})}
    side = {"type": "text", "align": "right" if left else "left", "dx": -5 if left else 5, "baseline": "top"}
    note = {**x, "y": {"value": 2}, "text": {"field": "label", "type": "nominal"}}
    return [
        {**at, "mark": rule, "encoding": {**x, "tooltip": tips(("what", "upright line", ""))}},
        *({**at, "mark": {**side, "style": style}, "encoding": note} for style in ("halo", "note")),
    ]


def ranges(
    values: Sequence[Mapping[str, Any]],
    x: Spec,
    tooltip: Sequence[Spec],
    channels: Spec | None = None,
    *below: Spec,
    step: int = 26,
) -> Spec:
    """A line of text each (field "name"), with a dot at "value" and, where there are "low" and "high", its interval.

    ``filled`` false makes the dot hollow: an estimate. ``channels`` may colour by another field.
    """
    y: Spec = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"grid": True, "ticks": False}}
    y["scale"] = {"domain": list(dict.fromkeys(value["name"] for value in values))}
    colour = channels or {}
    whisker = {"x": {**x, "type": "quantitative", "field": "low"}, "x2": {"field": "high"}, "y": y, **colour}
    dot = {"x": {**x, "field": "value"}, "y": y, **colour}
    known = [value for value in values if value.get("value") is not None]
    kinds = (
        ([v for v in known if v.get("low") is not None and v.get("high") is not None], {"type": "rule"}, whisker),
        ([v for v in known if v.get("filled", True)], {"type": "point", "filled": True, "size": 70}, dot),
        ([v for v in known if not v.get("filled", True)], {"type": "point", "filled": False, "size": 60}, dot),
    )
    # a layer without data would have a scale without extent
    layers: list[Spec] = [
        {"data": rows_of(own), "mark": {**mark, "strokeWidth": 2, "clip": True}, "encoding": encoding}
        for own, mark, encoding in kinds
        if own
    ]
    shown = {"data": rows_of(known), **hover({"x": dot["x"], "y": y, "tooltip": list(tooltip)}, 240)}
    return spec(*below, *layers, shown, height=step * len(y["scale"]["domain"]))


def matrix(
    cells: Sequence[Mapping[str, Any]],
    names: tuple[Sequence[str], Sequence[str]],
    titles: tuple[str, str],
    value: str,
    tooltip: Sequence[Spec],
    domain: tuple[float, float],
    *,
    diverging: bool = False,
    text: bool = True,
    step: int = 30,
    up: bool = False,
) -> Spec:
    """Cells with the fields "column", "line", "value" and, where ``text``, "label"; ``names`` of columns and lines.

    ``value`` names the colours' scale, which goes over ``domain`` and is symmetric about 0 where ``diverging``; ``up``
    puts the first line at the bottom. A cell without a value stays blank.
    """
    columns, lines = names
    x: Spec = {
        "field": "column",
        "type": "nominal",
        "sort": list(columns),
        "title": titles[0],
        "scale": {"domain": list(columns)},
    }
    y: Spec = {"field": "line", "type": "nominal", "title": titles[1], "scale": {"domain": list(lines)}}
    y["sort"] = list(lines)
    if up:
        y["scale"] = {"domain": list(lines)[::-1]}
        y["sort"] = list(lines)[::-1]
    x["axis"] = {"ticks": False, "domain": False, "labelOverlap": False}
    if max(map(len, columns), default=0) > 3:  # else numbers of layers, which may be skipped
        x["axis"]["labelAngle"] = -60
    else:
        x["axis"] |= {"labelAngle": 0, "labelOverlap": True}
    y["axis"] = {"ticks": False, "domain": False}
    colour: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": value,
        "scale": {
            "domain": list(domain),
            "range": "diverging" if diverging else "ramp",
            "clamp": True,
            "interpolate": "rgb",
        },
        "legend": {"title": value},
    }
    if diverging:
        colour["scale"]["domainMid"] = 0
        most = max(abs(domain[0]), abs(domain[1]))
        dark = f"abs(datum.value) > {0.6 * most:g}"
    else:
        dark = f"datum.value > {domain[0] + 0.6 * (domain[1] - domain[0]):g}"
    known = {"filter": "isValid(datum.value)"}
    layers: list[Spec] = [
        {
            "transform": [known],
            "mark": {"type": "rect"},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": list(tooltip)},
        }
    ]
    if text:
        for style, test in (("strong", dark), ("faint", f"!({dark})")):
            label = {"x": x, "y": y, "text": {"field": "label", "type": "nominal"}, "tooltip": list(tooltip)}
            layers.append(
                {
                    "transform": [known, {"filter": test}],
                    "mark": {"type": "text", "style": style},
                    "encoding": label,
                }
            )
    widest = WIDE_LABELS + WIDE_CELL * len(columns)
    return spec(*layers, height=step * len(lines), data=rows_of(cells), usermeta={"widest": widest})


def square(names: Sequence[str], values: Sequence[Sequence[float | None]]) -> list[dict[str, Any]]:
    """Cells of :func:`matrix` for one value of every two names, (N, N)."""
    return [
        {"line": names[i], "column": names[j], "value": exact(value), "label": score(value, 2)}
        for i, line in enumerate(values)
        for j, value in enumerate(line)
    ]


def measured(row: Row, key: str) -> Any:
    """What stands under a key of a row; None where it was not asked for, or there was nothing to measure."""
    found = row.get(key)
    return None if not found or found.get("reason") is not None else found

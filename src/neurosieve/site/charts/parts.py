"""What the pictures share: the chart as a value, scales and marks of Vega-Lite, figures as text.

Pure functions of row dicts; nothing is read or written. A specification holds its data inline and neither width nor
colour: assets/charts.js sets the width, and its two themes say what the names used here look like. Colours are taken
from the range ``category`` by the place of a name in the domain of its scale (SERIES), ``ramp`` and ``diverging``; marks
that have no scale name a style: ``span`` (a shaded interval), ``band`` (the same around a line, in its colour), ``mark``
(the upright line of what is claimed), ``level`` (a level to compare with), ``note`` (text), ``faint`` and ``strong``
(text on a cell near to and far from the background).
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
SOLID, DASHED, LONG, DOTTED = [1, 0], [6, 3], [10, 4], [2, 3]
HEIGHT = 300  # of a picture with curves, in pixels

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
    return METRIC_NAMES.get(row["metric"], row["metric"])


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


def spec(*layers: Spec, height: float = HEIGHT, description: str = "", **more: Any) -> Spec:
    """A layered view. Points of a line that have no figure leave a gap."""
    return {"$schema": SCHEMA, "description": description, "height": height, "layer": list(layers), **more}


def rows_of(values: Iterable[Mapping[str, Any]]) -> Spec:
    return {"values": [dict(value) for value in values]}


def sizes_axis(most: float, title: str = "neurons (log scale)", least: float = 1) -> Spec:
    """A logarithmic abscissa of numbers of neurons, from ``least`` to ``most``, with ticks at 1, 3, 10, 30 and so on."""
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


def minimal_text(row: Row) -> str:
    """How many neurons suffice, or that nothing is claimed."""
    if row.get("n_minimal") is not None:
        text = f"{integer(row['n_minimal'])} of {integer(row['n_neurons'])} neurons"
        low, high = row.get("n_minimal_low"), row.get("n_minimal_high")
        if low is not None:
            text += f", on another judge {integer(low)} to {'no upper end' if high is None else integer(high)}"
        return text
    if row.get("estimate"):
        return f"about {integer(row['estimate'])} of {integer(row['n_neurons'])} neurons, an estimate"
    return "no minimum claimed"

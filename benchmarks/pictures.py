"""Pictures of the documents: the site's specifications as svg files.

Needs vl-convert-python, which brings Vega with it (84 MB) and is in no lock: `pip install` PACKAGE. Reads and writes no
files. A picture names the sum of its specification, so that whether it shows the figures of results can be told without
drawing it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from typing import Any

PACKAGE = "vl-convert-python==1.9.0.post1"
WIDTH = 620  # pixels
INK, MUTED, GRID = "#1d2433", "#59647a", "#dfe3ea"
# the light theme of site/assets/charts.js, as far as these pictures need it
LOOK = {
    "background": "#ffffff",
    "padding": 12,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": MUTED, "tickColor": MUTED, "gridColor": GRID, "labelColor": MUTED, "titleColor": INK,
        "titleFontWeight": "normal",
    },
    "legend": {"orient": "top", "title": None, "labelColor": INK, "symbolStrokeWidth": 2.5, "symbolSize": 180},
    "range": {"category": ["#0072b2", "#d55e00", "#008b65", "#b4508c", "#b97a00", "#2f93c9", "#5f6b7d", "#7c6a0a"]},
    "line": {"strokeWidth": 2},
    "rule": {"color": MUTED, "strokeWidth": 1.5},
    "style": {
        "band": {"fillOpacity": 0.16},
        "mark": {"color": "#0072b2", "strokeWidth": 1.5},
        "level": {"color": MUTED, "strokeWidth": 1, "strokeDash": [2, 3]},
        "note": {"color": INK, "fontSize": 11},
    },
}  # fmt: skip


def named(spec: Mapping[str, Any]) -> str:
    """The line by which a picture names its specification."""
    text = json.dumps(spec, sort_keys=True, ensure_ascii=False)
    return f"<!-- specification sha256 {hashlib.sha256(text.encode()).hexdigest()} -->"


def svg(spec: Mapping[str, Any], title: str) -> str:
    """The picture as text; SystemExit where the package that draws is not there."""
    if importlib.util.find_spec("vl_convert") is None:
        raise SystemExit(f"no vl-convert-python here, which draws the pictures: pip install {PACKAGE}")
    import vl_convert

    whole = {**spec, "width": WIDTH, "title": {"text": title, "anchor": "start"}, "config": LOOK}
    return f"{vl_convert.vegalite_to_svg(whole)}\n{named(spec)}\n"

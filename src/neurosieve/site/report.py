"""The pictures of a benchmark in one file, for the report of Snakemake: it takes single files and no folders of pages.

Reads assets/charts.js, assets/charts.css and vendor/vega.min.js of this package; writes nothing. The same
specifications as in the pages of the site. Style and scripts stand in the file, allowed by their hashes; nothing is
fetched and nothing of the data is markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from neurosieve.site import charts
from neurosieve.site.charts import Chart, score
from neurosieve.site.charts.parts import Row, slug

HERE = Path(__file__).parent
STYLE = """
:root { color-scheme: light dark; }
body { max-width: 70rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1d2433;
  background: #fff; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.1rem 0.6rem; text-align: left; border-bottom: 1px solid #dfe3ea; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ef; background: #12161d; }
  th, td { border-color: #343c4a; }
}
"""


def as_json(spec: Any) -> str:
    """A specification as text that may stand in a script element: no character of it can end the element."""
    text = json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def figure(chart: Chart, key: str) -> str:
    """Markup of a chart under the id ``key``: its place, its specification, its figures as a table."""
    head, *body = chart.table
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    return (
        f'<figure class="chart" id="{escape(key)}" data-spec="#{escape(key)}-spec">'
        f"<figcaption>{escape(chart.title)}</figcaption><p>{escape(chart.text)}</p>"
        f'<div class="plot" role="img" aria-label="{escape(chart.title)}"></div>'
        f'<script type="application/json" id="{escape(key)}-spec">{as_json(chart.spec)}</script>'
        f"<details><summary>Figures</summary><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        "</details></figure>"
    )


def page(title: str, rows: Sequence[Row]) -> str:
    """One html text: how few neurons suffice, then the score chart of every row, in the order given."""
    body = [figure(chart, chart.key) for chart in charts.overview(rows)]
    for row in rows:
        chart = score.chart(row)
        if chart is not None:
            name = f"{row['model']} on {row['task']}"
            body.append(f"<h2>{escape(name)}</h2>{figure(chart, slug(row['model'], row['task']))}")
    style = STYLE + (HERE / "assets" / "charts.css").read_text(encoding="utf-8")
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in ("vendor/vega.min.js", "assets/charts.js")]
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {' '.join(map(_hash, scripts))}; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(body)
        + "\n"
        + "\n".join(f"<script>{script}</script>" for script in scripts)
        + "\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

"""Neurons of one programming language: where they are, and what ablating them does to every language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, exact

METHODS = {"lape": "LAPE", "pls": "PLS"}
VALUES = {"zero": "set to 0", "mean": "set to the mean"}


def charts(model: str, found: Mapping[str, Any] | None) -> list[Chart]:
    """For each method the neurons per layer and language, and the matrix of ablations.

    found : as languages.json has it for the model; empty where there was nothing to measure.
    """
    if not found or found.get("reason") is not None:
        return []
    out = []
    for method in METHODS:
        report = (found.get("trained") or {}).get(method)
        if not report or report.get("reason") is not None:
            continue
        out += _layers(model, method, report)
        ablation = report.get("ablation")
        if ablation and ablation.get("reason") is None:
            out += [
                chart for value in VALUES if (chart := _ablation(model, method, value, ablation[value])) is not None
            ]
    return out


def _layers(model: str, method: str, report: Mapping[str, Any]) -> list[Chart]:
    sets = {name: own["per_layer"] for name, own in (report.get("sets") or {}).items() if any(own["per_layer"])}
    if not sets:
        return []
    layers = max(map(len, sets.values()))
    cells = [
        {"line": name, "column": str(i), "value": exact(count), "label": parts.integer(count)}
        for name, counts in sets.items()
        for i, count in enumerate(counts)
    ]
    spec = parts.matrix(
        cells,
        ([str(i) for i in range(layers)], list(sets)),
        ("block", ""),
        "neurons",
        parts.tips(("line", "language", ""), ("column", "block", ""), ("value", "neurons", ",")),
        (0.0, float(max(cell["value"] or 0 for cell in cells))),
        step=26,
        text=layers <= 16,
    )
    table = [["language", *map(str, range(layers))]]
    table += [[name, *map(str, counts), *[""] * (layers - len(counts))] for name, counts in sets.items()]
    text = (
        f"Feed-forward neurons that {METHODS[method]} gives to each language, by block. The method takes some whatever "
        "the model is; what chance gives stands in languages.json."
    )
    key = parts.slug("languages", method, model)
    return [Chart(key, f"Neurons of a language ({METHODS[method]})", text, spec, table)]


def _ablation(model: str, method: str, value: str, found: Mapping[str, Any]) -> Chart | None:
    known = {name: own["by_language"] for name, own in found.items() if own}
    if not known:
        return None
    names = list(found)
    cells: list[dict[str, Any]] = []
    table = [["tokens of", *(f"{name} ablated" for name in known)]]
    for target in names:
        line = [target]
        for source, by in known.items():
            own = by[target]
            cells.append(
                {"line": target, "column": source, "value": exact(own["difference"])}
                | {"label": parts.score(own["difference"]), "low": exact(own["low"]), "high": exact(own["high"])}
            )
            interval = parts.interval(own["low"], own["high"])
            line.append(parts.score(own["difference"]) + (f" ({interval})" if interval else ""))
        table.append(line)
    most = max(*(abs(cell["value"] or 0.0) for cell in cells), 0.001)
    spec = parts.matrix(
        cells,
        (list(known), names),
        ("whose neurons are ablated", "tokens of"),
        "change beyond random neurons, nats",
        parts.tips(
            ("line", "tokens of", ""), ("column", "ablated", ""), ("value", "change, nats", "+.3f"),
            ("low", "from", "+.3f"), ("high", "to", "+.3f"),
        ),
        (-most, most),
        diverging=True,
    )  # fmt: skip
    text = (
        f"Change of the log-probability of tokens of the language in the line when the neurons of the language in the "
        f"column are {VALUES[value]}, beyond random neurons of the same layers."
    )
    title = f"Languages ablated, {VALUES[value]} ({METHODS[method]})"
    return Chart(parts.slug("ablated", method, value, model), title, text, spec, table)

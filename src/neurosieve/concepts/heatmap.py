"""Lines of real code with the values of single neurons as background: a page for a row of a token task.

Reads: prepare/tasks/<task>/judge (inputs.jsonl, rows.jsonl) and card; writes nothing: `describe_neurons` puts the rows
of :func:`heat_maps` into heatmaps.jsonl of its artifact and :func:`page` beside them as heatmaps.html. Both hold source
code and stay in build/; nothing of them is published in results/.

A value is a z-score: its distance from the neuron's mean on train in standard deviations, of each token that the task
labels on judge. A neuron is shown in the functions in which its |z| is largest, and in others drawn at random, for what
it does at its best says little of what it does elsewhere.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, iter_jsonl, printable, read_json, read_jsonl
from neurosieve.config import Params
from neurosieve.config.concepts import HeatMaps

HERE = Path(__file__).parent
LEVELS = (0.5, 1.0, 2.0, 3.0)  # of |z|, from which on a token has the first, second ... shade
TAB = "    "


def heat_maps(
    params: Params, paths: Paths, model: str, task: str, described: Sequence[Mapping[str, Any]], z: np.ndarray | None
) -> list[dict[str, Any]]:
    """Rows of heatmaps.jsonl, a function each, neuron by neuron; none where the setting is off or ``z`` is None.

    Parameters
    ----------
    described : "neurons" of concepts.json, best first. z : their z-scores (judge rows, neurons) of a token task.

    Returns
    -------
    Rows with neuron, name (model/layer/unit), concept, why ("strongest" or "random"), function, file, package (of a
    wheel with its version), licence (None where none is stated), text, and spans: [start, end, z] of each labelled
    token, in the order of the text.
    """
    settings = params.concepts.heat_maps
    if settings is None or z is None:
        return []
    folder = paths.task(task) / "judge"
    inputs = read_jsonl(folder / "inputs.jsonl")
    rows = list(iter_jsonl(folder / "rows.jsonl"))
    of_input = np.array([row["input"] for row in rows])
    fits = np.array([_fits(entry["text"], settings) for entry in inputs])
    licences = read_json(paths.task(task) / "card" / "card.json").get("licences") or {}
    versions = _versions(params, task)
    found: list[dict[str, Any]] = []
    for i, neuron in enumerate(described[: settings.neurons]):
        rng = np.random.default_rng(
            [params.seed, zlib.crc32(b"heat maps"), zlib.crc32(task.encode()), neuron["neuron"]]
        )
        for number, why in choose(z[:, i], of_input, fits, [entry["file"] for entry in inputs], settings, rng):
            entry = inputs[number]
            at = np.flatnonzero(of_input == number)
            spans = sorted([rows[r]["start"], rows[r]["end"], float(z[r, i])] for r in at.tolist())
            found.append(
                {
                    "neuron": neuron["neuron"],
                    "name": neuron["name"],
                    "concept": neuron["concept"],
                    "why": why,
                    "function": entry.get("name"),
                    "file": entry["file"],
                    "package": versions.get(entry["package"], entry["package"]),
                    "licence": licences.get(entry["package"]),
                    "text": entry["text"],
                    "spans": spans,
                }
            )
    return found


def _fits(text: str, settings: HeatMaps) -> bool:
    return len(text) <= settings.characters and text.count("\n") < settings.lines


def _versions(params: Params, task: str) -> dict[str, str]:
    """Package -> package with its version, of a corpus of wheels."""
    corpus = params.prepare.tasks[task].corpus
    wheels = params.prepare.corpora[corpus].wheels if corpus is not None else None
    return {wheel.name: f"{wheel.name} {wheel.version}" for wheel in wheels or ()}


def choose(
    z: np.ndarray,
    of_input: np.ndarray,
    fits: np.ndarray,
    files: Sequence[str],
    settings: HeatMaps,
    rng: np.random.Generator,
) -> Iterator[tuple[int, str]]:
    """Inputs in which a neuron is shown, and why: those of largest |z|, a file each, then random ones of the rest.

    z, of_input : (rows,), value and input of each labelled token. fits : (inputs,) bool. Ties go to the earlier input.
    """
    largest = np.full(len(files), -np.inf)
    np.maximum.at(largest, of_input, np.abs(z))
    usable = np.flatnonzero(fits & np.isfinite(largest))
    seen: set[str] = set()
    taken: list[int] = []
    for number in usable[np.argsort(-largest[usable], kind="stable")].tolist():
        if len(taken) < settings.strongest and files[number] not in seen:
            seen.add(files[number])
            taken.append(number)
    yield from ((number, "strongest") for number in taken)
    others = usable[~np.isin(usable, taken)]
    for number in rng.permutation(others)[: settings.random].tolist():
        yield number, "random"


def page(rows: Sequence[Mapping[str, Any]], model: str, task: str, description: str = "") -> str:
    """The rows as one page of HTML that needs neither script nor network; the same text for the same rows."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    neurons: dict[int, dict[str, Any]] = {}
    for row in rows:
        entry = neurons.setdefault(row["neuron"], {"name": row["name"], "concept": row["concept"], "functions": []})
        values = [value for _, _, value in row["spans"]]
        entry["functions"].append({**row, "pieces": list(pieces(row["text"], row["spans"])), "values": values})
    env = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,  # names of files too
    )
    return env.get_template("heatmap.html.j2").render(
        model=model, task=task, description=description, neurons=list(neurons.values()), levels=LEVELS
    )


def pieces(text: str, spans: Sequence[Sequence[Any]]) -> Iterator[tuple[str, str, str]]:
    """A text cut at its spans [start, end, z]: parts with their class and title; without a value both are empty.

    Tabs become four spaces; characters that no one sees or that turn the direction of a text, as `\\u202e`. A span that
    begins within another one is passed over.
    """
    at = 0
    for start, end, value in spans:
        if start < at:
            continue
        if start > at:
            yield _shown(text[at:start]), "", ""
        yield _shown(text[start:end]), shade(value), f"z = {value:+.2f}"
        at = end
    if at < len(text):
        yield _shown(text[at:]), "", ""


def _shown(text: str) -> str:
    return printable(text.replace("\t", TAB))


def shade(z: float) -> str:
    """Class of a value: a sign and a level, `p3` or `n1`; `z` below the first level."""
    level = sum(abs(z) >= bound for bound in LEVELS)
    return "z" if not level else f"{'p' if math.copysign(1, z) > 0 else 'n'}{level}"

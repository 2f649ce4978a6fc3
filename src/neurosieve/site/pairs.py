"""What the page compare.html needs to set two rows or models side by side. Pure functions; reads and writes no files.

Two rows of one task of one leaderboard are compared by what ranks.py found of the pair, rows of two leaderboards by
their replicates, where these are of the same draws (leaderboard/draws.py); other pairs have no such figures.
Two models are compared row by row on the tasks that both have. The pictures are those of charts.of_pair and
charts.of_models, made once with stand-ins; the script puts the chosen rows in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.leaderboard import draws
from neurosieve.leaderboard.measures import NONE, between, count, decimals, from_to, share
from neurosieve.site import charts, texts
from neurosieve.site.charts.parts import LOWEST, claims, minimal_text, needed
from neurosieve.site.compare import data_sums, leaves
from neurosieve.site.read import Results, SiteError

Row = Mapping[str, Any]
FIGURES = (
    ("oracle", "All neurons, test"),
    ("subset_test", "Subset, test"),
    ("n_minimal", "Neurons"),
    ("n_least", "Neurons not ruled out from"),
    ("share", "Share of the neurons"),
    ("n_bound", "At least, at that train objective"),
    ("random_test", "Random neurons, test"),
    ("reference", "Reference, test"),
    ("surface", "Text alone, test"),
    ("untrained", "Untrained twin, test"),
    ("majority", "Constant answer, test"),
)
CLAIMED = ("n_minimal", "n_least", "share", "n_bound")  # numbers only where the row claims them
WORDS = (
    ("status", "Status"), ("why", "Why it claims nothing"), ("evidence", "Evidence"), ("metric", "Metric"),
    ("ranking", "Headline contender"), ("layers_used", "Layers of the subset"), ("n_neurons", "Neurons of the model"),
    ("origin", "Handed in"),
)  # fmt: skip
KINDS = tuple(draws.FIGURES)
SUM = 12  # characters of a sha256 that are shown
SHARED = ("activations", "redundancy", "probes", "subsets")  # blocks of a params file that hold for every row
# The stand-ins, by what the script finds them: names of the series and of the metric, ends of axes, and the key of the
# figure in each set of data.
STANDING_IN: dict[str, Any] = {
    "metric": "METRIC",
    "n_neurons": 1000,
    "n_minimal": 10,
    "n_minimal_low": None,
    "n_minimal_high": None,
}
DIFFERENCE = {"task": "TASK", "difference": 0.5, "low": -1.0, "high": 1.0, "apart": True, "what": ""}
NEEDED = {"task": "TASK", "value": 10, "low": 1, "high": 100, "filled": True, "what": ""}


def of_task(
    one: Results,
    name: str,
    task: str,
    members: Sequence[tuple[str, Row]],
    others: Sequence[tuple[Results, Sequence[tuple[str, Row]]]] = (),
) -> dict[str, Any]:
    """Rows of a task by the slug of their page, and what is known of every two of them, and of one and a row of others.

    Parameters
    ----------
    name : how the results are called in the site. others : results of other runs or revisions, with rows of the task.

    Returns
    -------
    {"made": {name: text}: what the results were made by, None where a manifest does not tell,
    "rows": {slug: {"name", "of", "results", "protocol", "page", "figures": {key: [number, text]}, "words", "settings":
    {name: text}, "curve", "layers", "minimum", "needed"}}, "pairs": {"score", "subset", "n_minimal": as in
    comparisons.json, with the slugs of the rows as "a" and "b"; of rows of two leaderboards "p_holm" is None}}; "curve"
    is [[neurons, judge score]] of the headline, "layers" the subset per layer, "needed" as of charts.parts.

    Raises
    ------
    SiteError
        naming a file that holds no replicates.
    """
    params = one.manifest.get("params") or {}
    slugs = {row["model"]: slug for slug, row in members if row["status"] is not None}
    known = one.comparisons.get(task, {})
    across = _across(one, members, others)
    return {
        "made": _made(one, params, task),
        "rows": {
            slug: {**_row(params, slug, row), "results": name, "words": _words(one, row)} for slug, row in members
        },
        "pairs": {
            kind: [
                *(
                    {**pair, "a": slugs[pair["a"]], "b": slugs[pair["b"]]}
                    for pair in known.get(kind, ())
                    if pair["a"] in slugs and pair["b"] in slugs
                ),
                *across[kind],
            ]
            for kind in KINDS
        },
    }


def _across(
    one: Results, members: Sequence[tuple[str, Row]], others: Sequence[tuple[Results, Sequence[tuple[str, Row]]]]
) -> dict[str, list[dict[str, Any]]]:
    """By kind the pairs of a row of ``one`` and one of another leaderboard whose replicates are of the same draws."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    own = [(slug, row, _draws(one, row)) for slug, row in members if others and row["status"] is not None]
    for results, rows in others:
        for other_slug, other in rows:
            of_other = _draws(results, other) if own and other["status"] is not None else {}
            for slug, row, drawn in own:
                for kind, known in draws.differ(row, drawn, other, of_other).items():
                    pair = {"a": slug, "b": other_slug, **known}
                    if kind == "n_minimal":
                        pair["different"] = row[kind] < other["n_least"] or other[kind] < row["n_least"]
                    else:
                        pair["p_holm"] = None
                    found[kind].append(pair)
    return found


def _draws(one: Results, row: Row) -> dict[str, Any]:
    name = (row["model"], row["task"])
    try:
        return draws.from_csv(one.draws[name]) if name in one.draws else {}
    except ValueError as error:
        raise SiteError(f"{one.folder}: {draws.draws_file(*name)}: {error}") from None


def _row(params: Mapping[str, Any], slug: str, row: Row) -> dict[str, Any]:
    curve = row["curves"].get(row["ranking"])
    settings = {name: row[name] for name in ("benchmark", "version", "protocol", "training", "margin")}
    settings["model"] = (params.get("models") or {}).get(row["model"])
    return {
        "name": row["model"],
        "of": row["task"],
        "protocol": row["protocol"],
        "page": f"rows/{slug}.html",
        "metric": texts.metric_name(row["metric"] or ""),
        "n_neurons": row["n_neurons"],
        "figures": {key: _figure(row, key) for key, _ in FIGURES},
        "settings": _plain(settings),
        "curve": []
        if curve is None
        else [[n, round(v, 6)] for n, v in zip(curve["sizes"], curve["judge"], strict=True)],
        "layers": row["chosen_layers"] or [],
        "minimum": [row["n_minimal"] if claims(row) else None, minimal_text(row)],
        "needed": needed(row),
    }


def _figure(row: Row, key: str) -> list[Any]:
    """The number to take differences of, None where there is none or the row does not claim it; and its text."""
    value, claimed = row[key], claims(row)
    if key == "n_minimal":
        size = value if value is not None else row["estimate"]
        if not claimed:
            return [None, f"{count(size, about=True)}, no claim" if size else NONE]
        return [value, count(value) + from_to(row["n_minimal_low"], row["n_minimal_high"])]
    if key in CLAIMED:
        return [value, share(value) if key == "share" else count(value)] if claimed else [None, NONE]
    text = decimals(value)
    if key == "oracle" and row["oracle_low"] is not None:
        text += between(row["oracle_low"], row["oracle_high"])
    return [value, text]


def _words(one: Results, row: Row) -> dict[str, str | None]:
    words = {key: row[key] for key in ("evidence", "ranking", "layers_used")}
    words["status"], words["n_neurons"] = texts.status_word(row), count(row["n_neurons"])
    words["why"] = None if texts.supported(row) else texts.status_title(row)
    words["metric"] = row["metric"] and texts.metric_name(row["metric"])
    words["origin"] = texts.origin(one.by, one.reproduced) or None
    return words


def _made(one: Results, params: Mapping[str, Any], task: str) -> dict[str, str | None]:
    """By name what every row of a task was made by: settings, code, lock file and the sums of its data."""
    prepare = dict(params.get("prepare") or {})
    blocks: dict[str, Any] = {name: params.get(name) for name in SHARED}
    blocks["task"] = (prepare.pop("tasks", None) or {}).get(task)
    prepare.pop("corpora", None)  # of other tasks too: what this one was made of has its sums below
    blocks["prepare"] = prepare
    blocks |= {name: one.facts.get(name, params.get(name)) for name in ("numerics", "seed")}
    sums = data_sums(one.manifest, [task], by_part=True)
    found: dict[str, str | None] = {"params": None} if not params else {}
    found |= {name: total and total[:SUM] for name in ("code", "lock") for total in [one.manifest.get(name)]}
    found |= {f"sha256 of {name}": total[:SUM] for name, total in sums.items()} if sums else {"data": None}
    return {**_plain(blocks), **found}


def _plain(blocks: Mapping[str, Any]) -> dict[str, str | None]:
    """Leaves by dotted key as text, without what is missing."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in leaves(blocks)
        if value is not None and value != {}
    }


def pictures() -> dict[str, list[dict[str, Any]]]:
    """The pictures of two rows and of two models, A and B as stand-ins: {"key", "title", "text", "spec"} each."""
    curve = {"sizes": [1, 10], "judge": [0.1, 0.2]}
    a, b = (
        {**STANDING_IN, "model": name, "ranking": "r", "curves": {"r": curve}, "chosen_layers": [1]} for name in "AB"
    )
    sizes = [{**NEEDED, "series": name} for name in "AB"]
    found = {
        "rows": charts.of_pair(a, b),
        "models": charts.of_models(("A", "B"), [DIFFERENCE], sizes, STANDING_IN["n_neurons"]),
    }
    return {
        kind: [{"key": c.key, "title": c.title, "text": c.text, "spec": c.spec} for c in of]
        for kind, of in found.items()
    }


def labels() -> dict[str, Any]:
    """Names of the lines of the table and where pictures end, for the script."""
    return {"figures": [list(pair) for pair in FIGURES], "words": [list(pair) for pair in WORDS], "lowest": LOWEST}

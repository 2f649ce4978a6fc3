"""What the earlier phases found, brought into one form: a row per model and task, a card per task.

Reads: prepare/tasks/<task>/card, redundancy/, probes/ (baselines, models, status), subsets/ (search, scores),
concepts/; nothing else of this phase reads them, so a key that changes there changes here alone. Writes no files.

A row has the cells of the table (table.COLUMNS) and, for rows/*.json and the page:

| key | what |
|---|---|
| layers, width, model_note, control_of | of the model; control_of names the model whose untrained twin this is |
| margin, margin_reason, confidence | of the task |
| notes | the parts of the note |
| status_unseen | status on tokens of types unseen in train, null where there are none |
| judge | primary metric on judge: oracle, reference, majority, surface, untrained |
| dev, estimate | half-width and rows needed; size whose estimate is within the margin where no minimum is claimed |
| curves | by ranking and control, lists by size, as in curves.json; "random" is the mean over draws |
| minima | by ranking: n_minimal, its interval, estimate, reason, share kept, layers |
| neurons | by ranking: global indices of the frozen subset, best first |
| layer_scores | judge scores of each layer alone and of the first layers together |
| chosen_layers | neurons of the headline subset per layer |
| test | by feature set: metrics, interval, seen and unseen types, packages, difference to the reference |
| comparisons | judge, test, each _unseen: reference against majority, surface and untrained, p adjusted by Holm |
| share_kept_test, confirmed_status, confirmed_subset | whether test confirms |
| certified | what the subset spares for certain: highest layer needed, values kept per vector |
| redundancy, cka, clusters | as in redundancy.json |
| concepts | as in concepts.json, long token types shortened |
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from neurosieve.artifacts import Paths, read_json
from neurosieve.config import Params
from neurosieve.leaderboard.table import CONTROL_NOTE
from neurosieve.probes.baselines import CONTEXT_NGRAMS
from neurosieve.probes.intervals import FEW_FILES
from neurosieve.probes.status import FAILS, PARTS, SUPPORTED, adjust, status_of

TYPE_LENGTH = 24  # characters of a token type that are published: a name, never a piece of source code
FAILED = {status: opponent for opponent, status in FAILS.items()}
MINIMA = (
    "n_minimal", "n_minimal_low", "n_minimal_high", "replicates_without", "n_failing", "first_passing", "n_estimate",
    "size", "reason", "share_kept", "share_flag", "layers_used",
)  # fmt: skip


def input_folders(params: Params, paths: Paths) -> list[Any]:
    """Every artifact folder that :func:`collect_rows` and :func:`collect_cards` read."""
    cells = [(m, t) for m in params.run.models for t in params.run.tasks]
    return [
        *(paths.task(t) / "card" for t in params.run.tasks),
        *(paths.baselines(t) for t in params.run.tasks),
        paths.status(),
        *(
            folder(m, t)
            for folder in (paths.redundancy, paths.probes, paths.search, paths.scores, paths.concepts)
            for m, t in cells
        ),
    ]


def collect_rows(params: Params, paths: Paths) -> list[dict[str, Any]]:
    """The rows of the run, models in order, tasks in order within each; Holm on test goes over all of them."""
    rows = [collect_row(params, paths, model, task) for model in params.run.models for task in params.run.tasks]
    confirm(rows, params.probes.confidence, params.probes.bootstrap)
    for row in rows:
        row["notes"] = notes(row)
        row["note"] = "; ".join(row["notes"]) or None
    return rows


def collect_row(params: Params, paths: Paths, model: str, task: str) -> dict[str, Any]:
    """The row of a model on a task; ``confirmed`` and the notes need all rows and are set by :func:`collect_rows`."""
    probes = read_json(paths.probes(model, task) / "probes.json")
    curves = read_json(paths.search(model, task) / "curves.json")
    frozen = read_json(paths.search(model, task) / "frozen.json")
    scores = read_json(paths.scores(model, task) / "scores.json")
    status = read_json(paths.status() / "status.json")["rows"][f"{model}/{task}"]
    redundancy = read_json(paths.redundancy(model, task) / "redundancy.json")
    concepts = read_json(paths.concepts(model, task) / "concepts.json")

    metric, headline, best = curves["metric"], curves["headline"], curves["best_ranking"]
    found = {name: {key: curves["curves"][name][key] for key in MINIMA} for name in params.subsets.rankings}
    main = found[headline]
    test = {name: report for name, report in _named(scores, headline).items() if report is not None}
    neurons = {e["ranking"]: e["neurons"] for e in frozen["sets"].values() if e["kind"] == "subset"}
    width, layers = probes["width"], probes["layers"]
    n_neurons = layers * width

    def primary(name: str, key: str = metric) -> float | None:
        return test[name][key] if name in test else None

    return {
        "benchmark": params.benchmark,
        "version": params.version,
        "protocol": params.protocol,
        "model": model,
        "task": task,
        "status": status["status"],
        "metric": metric,
        "n_neurons": n_neurons,
        "oracle": primary("oracle"),
        "oracle_low": primary("oracle", "low"),
        "oracle_high": primary("oracle", "high"),
        "reference": primary("reference"),
        "majority": primary("majority"),
        "surface": primary("surface"),
        "surface_name": scores["surface"],
        "untrained": primary("untrained"),
        "ranking": headline,
        "n_minimal": main["n_minimal"],
        "n_minimal_low": main["n_minimal_low"],
        "n_minimal_high": main["n_minimal_high"],
        "n_failing": main["n_failing"],
        "share": None if main["n_minimal"] is None else main["n_minimal"] / n_neurons,
        "layers_used": None if main["layers_used"] is None else ranges(main["layers_used"]),
        "subset_test": primary("subset"),
        "random_test": primary("random"),
        "bottom_test": primary("bottom"),
        "confirmed": None,
        "dev_half_width": curves["dev"]["half_width"],
        "best_ranking": best,
        "best_n_minimal": found[best]["n_minimal"],
        "note": None,
        # beyond the table
        "layers": layers,
        "width": width,
        "constant_neurons": n_neurons - probes["kept"],
        "model_note": params.models[model].note,
        "control_of": params.models[model].untrained,
        "reference_name": set_name(probes["sets"][probes["reference"]]["layers"], layers),
        "margin": curves["margin"]["value"],
        "margin_reason": curves["margin"]["reason"],
        "confidence": curves["confidence"],
        "status_unseen": status["status_unseen"],
        "status_notes": [text for text in status["notes"] if not text.startswith(CONTROL_NOTE)],
        "sample": status["sample"],
        "sample_unseen": status["sample_unseen"],
        "comparisons": {
            f"{split}{part}": entry[f"comparisons{part}"]
            for split, entry in (("judge", status), ("test", scores))
            for part in PARTS
        },
        "judge": {
            "oracle": probes["sets"][probes["oracle"]]["judge"][metric],
            "reference": curves["reference"]["judge"],
            **{name: entry["judge"] for name, entry in curves["baselines"].items()},
        },
        "best_baseline": curves["baseline"],
        "dev": curves["dev"],
        "estimate": main["n_estimate"],
        "curves": {
            name: {k: v for k, v in curve.items() if k not in (*MINIMA, "predictions")}
            for name, curve in {**curves["curves"], "random": curves["random"]}.items()
        },
        "minima": found,
        "neurons": neurons,
        "oracle_probe": {k: v for k, v in probes["sets"][probes["oracle"]].items() if k != "tried"},
        "layer_scores": layer_scores(probes, metric),
        "chosen_layers": per_layer(neurons.get(headline), layers, width),
        "test": test,
        "test_rows": scores["rows"],
        "test_files": scores["files"],
        "share_kept_test": scores["share_kept"].get(headline),
        "confirmed_status": scores["confirmed_status"],
        "confirmed_subset": scores["confirmed_subset"],
        "certified": certified(neurons.get(headline), layers, width),
        "cka": redundancy["cka"]["unbiased"],
        "clusters": redundancy["thresholds"],
        "redundancy": {k: redundancy[k] for k in ("rows", "kept", "constant", "neighbours")},
        "concepts": {**concepts, "neurons": [_published(entry) for entry in concepts["neurons"]]},
    }


def collect_cards(params: Params, paths: Paths) -> dict[str, dict[str, Any]]:
    """card.json of each task, with baselines.json as ``baselines``."""
    return {
        task: {
            **read_json(paths.task(task) / "card" / "card.json"),
            "baselines": read_json(paths.baselines(task) / "baselines.json"),
        }
        for task in params.run.tasks
    }


def _named(scores: Mapping[str, Any], headline: str) -> dict[str, Any]:
    """Reports of test by the names of the table: oracle, subset, ...; those of the other ranking keep their keys."""
    plain = {"all": "oracle", f"subset-{headline}": "subset", f"bottom-{headline}": "bottom"}
    named = {plain.get(key, key): report for key, report in scores["sets"].items()}
    named["random"] = scores["random"].get(headline)
    named["untrained"] = scores["untrained"]
    named |= {f"baseline-{name}": report for name, report in scores["baselines"].items()}
    named["surface"] = scores["baselines"][scores["surface"]]
    named["majority"] = scores["baselines"]["majority"]
    return named


def confirm(rows: Sequence[dict[str, Any]], confidence: float, replicates: int) -> None:
    """Adjust the p-values of test by Holm over the rows, as status did on judge, and set ``confirmed``.

    True where the status holds on test after the adjustment and the minimal subset, where one is claimed, is within
    the margin there; null for rows that claim nothing.
    """
    for part in PARTS:
        family = {
            f"{row['model']}/{row['task']}": row["comparisons"][f"test{part}"]
            for row in rows
            if row["control_of"] is None and row["comparisons"][f"test{part}"] is not None
        }
        adjust(family, confidence, replicates)
    for row in rows:
        if row["status"] == SUPPORTED:
            row["confirmed_status"] = status_of(row["comparisons"]["test"], confidence) == SUPPORTED
            row["confirmed"] = row["confirmed_status"] and row["confirmed_subset"] is not False


def layer_scores(probes: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Judge scores by layer: alone, and together with all below it; None for a layer of constant neurons."""
    at = {tuple(entry["layers"]): entry["judge"][metric] for entry in probes["sets"].values()}
    count = range(probes["layers"])
    return {
        "split": "judge",
        "single": [at.get((i, i)) for i in count],
        "prefix": [at.get((0, i)) for i in count],
    }


def per_layer(neurons: Iterable[int] | None, layers: int, width: int) -> list[int] | None:
    """Number of the neurons in each layer."""
    if neurons is None:
        return None
    counts = [0] * layers
    for neuron in neurons:
        counts[neuron // width] += 1
    return counts


def certified(neurons: Sequence[int] | None, layers: int, width: int) -> dict[str, Any] | None:
    """What a subset spares whatever the machine: blocks above its highest layer, and values kept per vector."""
    if not neurons:
        return None
    highest = max(neurons) // width
    return {
        "highest_layer": highest,
        "blocks_needed": highest,  # layer i is the output of block i, layer 0 of the embedding
        "blocks": layers - 1,
        "values_per_vector": len(neurons),
        "values_of_all": layers * width,
    }


def ranges(layers: Sequence[int]) -> str:
    """[0, 2, 3, 4] -> "0,2-4"."""
    parts = []
    for _, group in groupby(enumerate(sorted(layers)), key=lambda pair: pair[1] - pair[0]):
        run = [layer for _, layer in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(parts)


def set_name(span: Sequence[int], layers: int) -> str:
    """Name of a feature set by its first and last layer."""
    first, last = span
    if (first, last) == (0, layers - 1):
        return "all layers"
    return f"layer {first}" if first == last else f"layers {first}-{last}"


def _published(entry: Mapping[str, Any]) -> dict[str, Any]:
    types = [{**t, "type": token(t["type"])} for t in entry["types"]]
    return {**entry, "types": types}


def token(text: str) -> str:
    """A token type as it is published: control characters written out, cut with an ellipsis when it is long."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= TYPE_LENGTH else text[: TYPE_LENGTH - 1] + "…"


def notes(row: Mapping[str, Any]) -> list[str]:
    """In plain words what must be known to read the row; those of a control row begin with CONTROL_NOTE."""
    parts = []
    main = row["minima"][row["ranking"]]
    if row["control_of"] is not None:
        parts.append(CONTROL_NOTE)
    opponent = FAILED.get(row["status"], "")
    against = (row["comparisons"]["judge"] or {}).get(opponent)
    if against is not None:
        names = {"majority": "the majority class", "surface": row["surface_name"], "untrained": "the untrained twin"}
        parts.append(
            f"not above {names[opponent]} on judge: difference {against['difference']:+.4f}, "
            f"lower bound {against['lower']:+.4f}"
        )
    if row["status_unseen"] is not None and row["status_unseen"] != row["status"]:
        parts.append(f"status on types unseen in train: {row['status_unseen']}")
    context = row["test"].get(f"baseline-{CONTEXT_NGRAMS}")
    if context is not None and row["control_of"] is None and context[row["metric"]] > row["reference"]:
        parts.append(f"{CONTEXT_NGRAMS}, trained for the task, score more on test: {context[row['metric']]:.4f}")
    estimate = "no estimate"
    if row["estimate"] is not None:
        estimate = f"estimate {row['estimate']:,} neuron{'' if row['estimate'] == 1 else 's'}"
    dev = row["dev"]
    if dev["too_small"]:
        scale = 10 ** max(len(str(dev["rows_needed"])) - 2, 0)  # two digits: it is a rule of thumb
        parts.append(
            f"dev too small: h = {dev['half_width']:.4f} > margin/2 = {row['margin'] / 2:g}; "
            f"about {math.ceil(dev['rows_needed'] / scale) * scale:,} judge rows needed; {estimate}"
        )
    elif row["n_minimal"] is None:
        parts.append(f"no minimum: {main['reason']}; {estimate}")
    if row["n_minimal"] is not None and main["share_flag"]:
        parts.append(
            f"keeps only {100 * main['share_kept']:.0f} % of what the reference has above {row['best_baseline']} "
            "on judge"
        )
    if main["replicates_without"]:
        parts.append(
            f"in {main['replicates_without']:,} bootstrap replicates no size passes, so the interval may end higher"
        )
    if row["confirmed"] is False:
        what = "status" if not row["confirmed_status"] else "minimal subset"
        parts.append(f"{what} not confirmed on test")
    if row["test_files"] < FEW_FILES:
        parts.append(f"test has {row['test_files']} files: below {FEW_FILES} the bounds are a little too narrow")
    parts += row["status_notes"]
    return parts

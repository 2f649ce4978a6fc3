"""What the earlier phases found, brought into one form: a row per model and task, a card per task.

Reads: prepare/tasks/<task>/card, redundancy/, probes/ (baselines, models, status), subsets/ (search, scores,
published), concepts/; nothing else of this phase reads them, so a key that changes there changes here alone. Writes no
files.

A row has the cells of the table (table.COLUMNS) and, for rows/*.json:

| key | what |
|---|---|
| layers, width, model_note, control_of | of the model; control_of names the model whose untrained twin this is |
| margin, margin_reason, confidence | of the task |
| notes | the parts of the note |
| status_unseen | status on tokens of types unseen in train, null where there are none |
| judge | primary metric on judge: oracle, reference, majority, surface, untrained |
| dev, estimate | half-width and rows needed; size whose estimate is within the margin where no minimum is claimed |
| curves | by contender (ranking or search) and control, lists by size, as in curves.json; "random": mean of draws |
| minima | by contender: n_minimal, its interval, estimate, reason, share kept, layers |
| mean_tune | by contender: mean score on tune over log sizes, by which best_ranking is chosen |
| bound | as in curves.json: what no set of neurons can do on train at the penalty of the minimal subset, or null |
| neurons | by contender: global indices of the frozen subset, best first |
| oracle_probe | the probe of all neurons, "tried": the penalties with their scores on tune |
| layer_scores | judge scores of each layer alone and of the first layers together |
| chosen_layers | neurons of the headline subset per layer |
| test | by feature set: metrics, interval, seen and unseen types, packages, difference to the reference |
| classes | of test, by predictor and class: rows, precision, recall, F1; null for numbers |
| comparisons | judge, test, each _unseen: layer reference against majority, surface, untrained ("twins": all); Holm |
| share_kept_test, confirmed_status, confirmed_subset | whether test confirms |
| draws | of judge and test: the sum of what the replicates in draws/ are drawn from, see draws.py |
| ranks | among the models of the task, by score, subset and n_minimal; 1 + the number shown to be better |
| layer_selection, beats_random, pipeline | as in curves.json: "layers", "beats_random", and what the pipeline kept |
| rankings_left_out | those that rank by classes only; absent but where a number is predicted |
| agreement, selectivity, description_length | as in agreement.json, scores.json and controls.json |
| weak_reference | as in curves.json: a set of the grid above the reference by over a margin on judge, or null |
| certified | what the subset spares for certain: see :func:`certified` |
| redundancy, cka, clusters | as in redundancy.json |
| robustness | as in robustness.json: what is asked of the minimal subset of a trained model; null where it is not |
| concepts | as in concepts.json, long token types shortened |
| ablation | as in ablation.json: what changing neurons does to the model's own predictions; null where not asked |
| attribution, faithfulness | as in the files of these names; null where the params file does not ask |
| effects | of the row's task, as in effects.json, or its reason; null where the params file does not ask |
| lenses | lens -> its lens.json |
| evidence, evidence_tests | how far from read to used, and the test of each tier: see evidence.py |
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, read_json, read_manifest
from neurosieve.config import Params
from neurosieve.leaderboard import ranks
from neurosieve.leaderboard.evidence import evidence
from neurosieve.leaderboard.table import COLUMNS, CONTROL_NOTE, not_above
from neurosieve.probes import solver
from neurosieve.probes.baselines import CONTEXT_NGRAMS
from neurosieve.probes.intervals import few
from neurosieve.probes.status import PARTS, SUPPORTED, adjust, status_of

TYPE_LENGTH = 24  # characters of a token type that are published: a name, never a piece of source code
MINIMA = (
    "n_minimal", "n_least", "n_minimal_low", "n_minimal_high", "replicates_without", "n_failing", "n_every",
    "n_estimate", "size", "reason", "share_kept", "share_flag", "layers_used",
)  # fmt: skip
LCA = "lca"  # the published method's ranking, whose minimum stays comparable whatever the headline is
LCA_CELLS = ("n_minimal", "n_minimal_low", "n_minimal_high")


def collect_rows(params: Params, paths: Paths) -> list[dict[str, Any]]:
    """The rows of the run, models in order, tasks in order within each; Holm on test goes over all of them."""
    return collect(params, paths).rows


@dataclass(frozen=True)
class Collected:
    """The rows; the comparisons of models on the same task, which their ranks come from; by model and task the
    replicates of a row's figures, which these come from (see ranks.py)."""

    rows: list[dict[str, Any]]
    comparisons: dict[str, dict[str, Any]]
    draws: dict[tuple[str, str], dict[str, np.ndarray]]


def collect(params: Params, paths: Paths) -> Collected:
    """Rows of the run as :func:`collect_rows` gives them, with what is known of every two of them.

    Raises
    ------
    ArtifactError
        where an artifact is missing or does not fit the others.
    """
    rows = [collect_row(params, paths, model, task) for model in params.run.models for task in params.run.tasks]
    confirm(rows, params.probes.confidence, params.probes.bootstrap)
    for row in rows:
        row |= evidence(row)
        row["notes"] = notes(row)
        row["note"] = "; ".join(row["notes"]) or None
    comparisons, draws = ranks.compare_rows(params, paths, rows)
    for row in rows:
        row["ranks"] = ranks.row_ranks(comparisons, row["model"], row["task"])
    return Collected(rows, comparisons, draws)


@dataclass(frozen=True)
class _Found:
    """What the earlier phases wrote of a model on a task, each as in the file of that name."""

    probes: dict[str, Any]
    agreement: dict[str, Any]
    controls: dict[str, Any]
    status: dict[str, Any]  # the row's part of status.json
    curves: dict[str, Any]
    frozen: dict[str, Any]
    scores: dict[str, Any]
    redundancy: dict[str, Any]
    concepts: dict[str, Any]
    ablation: dict[str, Any] | None
    robustness: dict[str, Any] | None
    attribution: dict[str, Any] | None
    faithfulness: dict[str, Any] | None
    effects: dict[str, Any] | None
    lenses: dict[str, dict[str, Any]]
    cost: dict[str, Any]  # of the manifest of the train activations


def _read(params: Params, paths: Paths, model: str, task: str) -> _Found:
    """All of it, from build/; None of what the params file does not ask for, or not of an untrained twin."""
    trained, concepts = model in params.trained_models, params.concepts

    def asked(block: Any, folder: Path, name: str) -> Any:
        return read_json(folder / name) if trained and block is not None else None

    return _Found(
        probes=read_json(paths.probes(model, task) / "probes.json"),
        agreement=read_json(paths.probes(model, task) / "agreement.json"),
        controls=read_json(paths.controls(model, task) / "controls.json"),
        status=read_json(paths.status() / "status.json")["rows"][f"{model}/{task}"],
        curves=read_json(paths.search(model, task) / "curves.json"),
        frozen=read_json(paths.search(model, task) / "frozen.json"),
        scores=read_json(paths.scores(model, task) / "scores.json"),
        redundancy=read_json(paths.redundancy(model, task) / "redundancy.json"),
        concepts=read_json(paths.concepts(model, task) / "concepts.json"),
        ablation=read_json(paths.ablation(model, task) / "ablation.json") if concepts.ablation is not None else None,
        robustness=asked(params.subsets.robustness, paths.robustness(model, task), "robustness.json"),
        attribution=asked(concepts.attribution, paths.attribution(model, task), "attribution.json"),
        faithfulness=asked(concepts.faithfulness, paths.faithfulness(model, task), "faithfulness.json"),
        effects=_effects_of(asked(concepts.effects, paths.effects(model), "effects.json"), task),
        lenses={lens: asked(True, paths.lens(lens, model, task), "lens.json") for lens in params.lenses if trained},
        cost=read_manifest(paths.activations(model, task, "train"))["facts"]["cost"],
    )


def collect_row(params: Params, paths: Paths, model: str, task: str) -> dict[str, Any]:
    """The row of a model on a task; ``confirmed`` and the notes need all rows and are set by :func:`collect_rows`."""
    found = _read(params, paths, model, task)
    headline = found.curves["headline"]
    walked = [name for name in params.subsets.contenders if name in found.curves["curves"]]  # of a twin headline alone
    minima = {name: {key: found.curves["curves"][name][key] for key in MINIMA} for name in walked}
    test = {name: report for name, report in _named(found.scores, headline).items() if report is not None}
    return {
        **_cells(params, model, task, found, minima, test),
        **_of_the_model(params, model, found),
        **_of_judge(found, minima),
        **_of_test(found, test),
        **_of_the_neurons(found),
    }


def _cells(
    params: Params, model: str, task: str, found: _Found, minima: Mapping[str, Any], test: Mapping[str, Any]
) -> dict[str, Any]:
    """The cells of the table (table.COLUMNS), and what goes along with one: names of the reference's opponents."""
    metric, headline, best = found.curves["metric"], found.curves["headline"], found.curves["best_ranking"]
    n_neurons = found.probes["layers"] * found.probes["width"]
    main, bound = minima[headline], found.curves["bound"] or {}
    twin = model if params.models[model].untrained is not None else found.status["twin"]

    def primary(name: str, key: str = metric) -> float | None:
        return test[name][key] if name in test else None

    return {
        "benchmark": params.benchmark,
        "version": params.version,
        "protocol": "strict",
        "model": model,
        "task": task,
        "training": params.training(model, task),
        "twin_training": None if twin is None else params.training(twin, task),
        "status": found.status["status"],
        "metric": metric,
        "n_neurons": n_neurons,
        "oracle": primary("oracle"),
        "oracle_low": primary("oracle", "low"),
        "oracle_high": primary("oracle", "high"),
        "oracle_spearman": test["oracle"].get("spearman") if "oracle" in test else None,
        "reference": primary("reference"),
        "majority": primary("majority"),
        "surface": primary("surface"),
        "surface_name": found.scores["surface"],
        "untrained": primary("untrained"),
        "ranking": headline,
        "n_minimal": main["n_minimal"],
        "n_least": main["n_least"],
        "n_minimal_low": main["n_minimal_low"],
        "n_minimal_high": main["n_minimal_high"],
        "n_failing": main["n_failing"],
        "n_bound": bound.get("n_bound"),
        "bound_factor": bound.get("factor"),
        "share": None if main["n_minimal"] is None else main["n_minimal"] / n_neurons,
        "layers_used": None if main["layers_used"] is None else ranges(main["layers_used"]),
        "subset_test": primary("subset"),
        "random_test": primary("random"),
        "bottom_test": primary("bottom"),
        "confirmed": None,
        "evidence": None,
        "dev_half_width": found.curves["dev"]["half_width"],
        "best_ranking": best,
        "best_n_minimal": minima[best]["n_minimal"],
        **{f"lca_{key}": minima[LCA][key] if LCA in minima else None for key in LCA_CELLS},
        "note": None,
    }


def _of_the_model(params: Params, model: str, found: _Found) -> dict[str, Any]:
    probes = found.probes
    layers, width = probes["layers"], probes["width"]
    return {
        "layers": layers,
        "width": width,
        "constant_neurons": sum(probes["constant_neurons"]),
        "model_note": _model_note(params, model),
        "control_of": params.models[model].untrained,
        "reference_name": reference_name(found.curves["reference"], probes["sets"], layers),
    }


def _of_judge(found: _Found, minima: Mapping[str, Any]) -> dict[str, Any]:
    """What was decided on judge: the status, the sizes, the contenders; and on train the bound."""
    probes, curves, status = found.probes, found.curves, found.status
    metric, oracle = curves["metric"], probes["sets"][probes["oracle"]]
    return {
        "margin": curves["margin"]["value"],
        "margin_reason": curves["margin"]["reason"],
        "confidence": curves["confidence"],
        "status_unseen": status["status_unseen"],
        "status_notes": [text for text in status["notes"] if not text.startswith(CONTROL_NOTE)],
        "sample": status["sample"],
        "sample_unseen": status["sample_unseen"],
        "comparisons": {
            f"{split}{part}": entry[f"comparisons{part}"]
            for split, entry in (("judge", status), ("test", found.scores))
            for part in PARTS
        },
        "judge": {
            "oracle": oracle["judge"][metric],
            "reference": curves["reference"]["judge"],
            **{name: entry["judge"] for name, entry in curves["baselines"].items()},
        },
        "best_baseline": curves["baseline"],
        "dev": curves["dev"],
        "estimate": minima[curves["headline"]]["n_estimate"],
        "curves": {
            name: {k: v for k, v in curve.items() if k not in (*MINIMA, "minima", "predictions")}
            for name, curve in {**curves["curves"], "random": curves["random"]}.items()
        },
        "minima": minima,
        "mean_tune": curves["mean_tune"],
        "bound": curves["bound"],
        "neurons": _subsets(found.frozen),
        **({"rankings_left_out": probes["not_applicable"]} if "not_applicable" in probes else {}),
        "oracle_probe": oracle,
        "layer_scores": layer_scores(probes, metric),
        "layer_selection": curves["layers"],
        "beats_random": curves["beats_random"],
        "pipeline": pipeline(curves),
        "agreement": found.agreement,
    }


def _of_test(found: _Found, test: Mapping[str, Any]) -> dict[str, Any]:
    """What test says of what judge decided, and how much of the probe's score is the probe's own memory."""
    scores, layers, width = found.scores, found.probes["layers"], found.probes["width"]
    headline = found.curves["headline"]
    return {
        "selectivity": scores["selectivity"],
        "description_length": found.controls["description_length"],
        "chosen_layers": per_layer(_subsets(found.frozen).get(headline), layers, width),
        "test": test,
        "classes": found.scores["classes"],
        "test_rows": scores["rows"],
        "draws": {"judge": found.curves["draws"], "test": scores["draws"]},
        "test_files": scores["files"],
        "resampled": scores["resampled"],
        "share_kept_test": scores["share_kept"].get(headline),
        "confirmed_status": scores["confirmed_status"],
        "confirmed_subset": scores["confirmed_subset"],
        "weak_reference": found.curves["weak_reference"],
    }


def _of_the_neurons(found: _Found) -> dict[str, Any]:
    """What the subset spares, how alike the neurons are, and what they encode."""
    curves, redundancy, concepts = found.curves, found.redundancy, found.concepts
    return {
        "certified": certified(
            _subsets(found.frozen).get(curves["headline"]),
            found.probes["layers"],
            found.probes["width"],
            found.cost,
            len(found.frozen["classes"]),
            curves["columns_per_neuron"],
        ),
        "cka": redundancy["cka"]["unbiased"],
        "clusters": redundancy["thresholds"],
        "redundancy": {k: redundancy[k] for k in ("rows", "kept", "constant", "neighbours")},
        "concepts": {**concepts, "neurons": [_published(entry) for entry in concepts["neurons"]]},
        "ablation": found.ablation,
        "robustness": found.robustness,
        "attribution": found.attribution,
        "faithfulness": found.faithfulness,
        "effects": found.effects,
        "lenses": found.lenses,
    }


def _effects_of(found: Mapping[str, Any] | None, task: str) -> dict[str, Any] | None:
    """What effects.json says of the row: its task's part, else why there is none."""
    if found is None:
        return None
    return {"reason": found["reason"]} if found["reason"] is not None else found["tasks"][task]


def _subsets(frozen: Mapping[str, Any]) -> dict[str, list[int]]:
    """Contender -> the neurons of its frozen subset, best first."""
    return {e["ranking"]: e["neurons"] for e in frozen["sets"].values() if e["kind"] == "subset"}


def _model_note(params: Params, model: str) -> str:
    """The note of the params file, and what a layer is where it is no hidden state of the only or first stack."""
    trained, parts = params.models[params.trained(model)], [params.models[model].note]
    if trained.part != "encoder":
        parts.append({"decoder": "of an encoder-decoder the decoder", "both": "encoder, then decoder"}[trained.part])
    if trained.neurons != "hidden":
        what = {"feed-forward": "feed-forward activations", "attention": "attention outputs"}[trained.neurons]
        parts.append(f"neurons are {what}, layer 0 is block 1")
    if trained.only_layers is not None:
        parts.append(f"of its neurons those of the layers {', '.join(map(str, trained.only_layers))} are measured")
    if params.models[model].embeddings == "kept":
        parts.append("its embeddings are the trained ones")
    return "; ".join(filter(None, parts))


def collect_models(params: Params, paths: Paths) -> dict[str, dict[str, dict[str, Any]]]:
    """What was asked of whole models: transfer, effects (but for its "tasks", which stand in rows), languages; each by
    model, empty where it is off."""
    models, trained, concepts = params.run.models, params.trained_models, params.concepts
    transfer = {m: read_json(paths.transfer(m) / "transfer.json") for m in models if params.subsets.transfer}
    effects = {m: read_json(paths.effects(m) / "effects.json") for m in trained if concepts.effects is not None}
    languages = {m: read_json(paths.languages(m) / "languages.json") for m in trained if concepts.languages is not None}
    for found in effects.values():
        found.pop("tasks", None)
    return {"transfer": transfer, "effects": effects, "languages": languages}


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
    """Reports of test by the names of the table: oracle, subset, ...; those of the other contenders keep theirs."""
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


def pipeline(curves: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the pipeline kept and where it ended (its sizes are among the curves); None where it is off."""
    curve = curves["curves"].get("pipeline")
    names = (*MINIMA, "layers", "threshold", "neurons_in", "tried")
    return None if curve is None else {name: curve[name] for name in names}


def per_layer(neurons: Iterable[int] | None, layers: int, width: int) -> list[int] | None:
    """Number of the neurons in each layer."""
    if neurons is None:
        return None
    counts = [0] * layers
    for neuron in neurons:
        counts[neuron // width] += 1
    return counts


def certified(
    neurons: Sequence[int] | None, layers: int, width: int, cost: Mapping[str, Any], classes: int, columns: int
) -> dict[str, Any] | None:
    """What a subset spares whatever the machine: blocks above its highest layer, and values kept per vector.

    ``cost`` is that of the activations' manifest, ``columns`` the number of those of a neuron.
    Beside the blocks: "parameters", "bytes" (as float32), "bytes_stored" (as in the model's files) and "flops" (per
    sub-word, in a context of "window" sub-words) up to the highest layer, each with <name>_of_all of the whole model
    and <name>_share. "classifier" is counted apart, per row: "values" it reads, "outputs" (one for two classes or a
    number) and "flops" of its product, with the same of a classifier on all neurons.
    """
    if not neurons:
        return None
    highest = max(neurons) // width
    outputs = solver.outputs(classes)
    values, of_all = len(neurons) * columns, layers * width * columns
    needed, whole = cost["layers"][highest], cost["layers"][-1]
    spared: dict[str, Any] = {}
    for name in ("parameters", "bytes", "bytes_stored", "flops"):
        spared |= {name: needed[name], f"{name}_of_all": whole[name], f"{name}_share": needed[name] / whole[name]}
    return {
        "window": cost["window"],
        **spared,
        "classifier": {
            "outputs": outputs,
            "values": values,
            "values_of_all": of_all,
            "flops": 2 * values * outputs,
            "flops_of_all": 2 * of_all * outputs,
        },
        "highest_layer": highest,
        # of hidden states layer i is the output of block i, layer 0 of the embedding; of other neurons, as counted
        "blocks_needed": needed.get("blocks", highest),
        "blocks": whole.get("blocks", layers - 1),
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


def reference_name(reference: Mapping[str, Any], sets: Mapping[str, Any], layers: int) -> str:
    """Name of a reference of curves.json; ``sets`` of probes.json."""
    if reference["curve"] is None:
        return set_name(sets[reference["set"]]["layers"], layers)
    return f"{reference['neurons']:,} neurons of {reference['curve']}"


def set_name(span: Sequence[int], layers: int) -> str:
    """Name of a feature set by its first and last layer."""
    first, last = span
    if (first, last) == (0, layers - 1):
        return "all layers"
    return f"layer {first}" if first == last else f"layers {first}-{last}"


def published_rows(params: Params, paths: Paths) -> list[dict[str, Any]]:
    """Table rows of the protocol `published`, in the order of the strict ones; none unless run.protocols names it.

    They have the cells of COLUMNS and nothing more. Scores are means over seeds, ``n_minimal`` is the median of the
    reported sizes; "low" and "high" are the smallest and largest over seeds, and no intervals.
    """
    if "published" not in params.run.protocols:
        return []
    return [
        _published_row(params, read_json(paths.published(model, task) / "published.json"))
        for model in params.run.models
        for task in params.run.tasks
    ]


def _published_row(params: Params, found: Mapping[str, Any]) -> dict[str, Any]:
    seeds = found["seeds"]
    if not seeds:
        keys = ("model", "task", "metric", "n_neurons")
        named = {"benchmark": params.benchmark, "version": params.version, "protocol": "published"}
        named["training"] = params.training(found["model"], found["task"])
        return {**dict.fromkeys(COLUMNS), **named, **{key: found[key] for key in keys}, "note": found["reason"]}
    reported = [seed["rows"][seed["reported"]] for seed in seeds]
    size = statistics.median_low(row["n"] for row in reported)
    (low, high), (score_low, score_high) = found["spread"]["n"], found["spread"]["score"]
    last = sorted({row["k"] for row in reported})
    notes = [
        "not judged: see the strict row",
        "thresholds, sizes and the reported row were chosen on test",
        f"{len(seeds)} seeds: scores are means, sizes the median, low and high the smallest and largest, no intervals",
        f"reported score {score_low:.4f} to {score_high:.4f}",
    ]
    if len(last) > 1:
        notes.append(f"last layer by seed: {ranges(last)}")
    if found["metric"] != found["primary_metric"]:
        notes.append(f"{found['metric']}, the published metric; the strict row has {found['primary_metric']}")
    if found["unit"] == "pair":
        notes.append("pairs by probes.pair_features, not through a dense layer as published")
    return {
        **dict.fromkeys(COLUMNS),
        "benchmark": params.benchmark,
        "version": params.version,
        "protocol": "published",
        "model": found["model"],
        "task": found["task"],
        "training": params.training(found["model"], found["task"]),
        "metric": found["metric"],
        "n_neurons": found["n_neurons"],
        "oracle": statistics.fmean(seed["oracle"]["score"] for seed in seeds),
        "oracle_low": found["spread"]["oracle"][0],
        "oracle_high": found["spread"]["oracle"][1],
        "majority": found["majority"],
        "ranking": "lca",
        "n_minimal": size,
        "n_minimal_low": low,
        "n_minimal_high": high,
        "share": size / found["n_neurons"],
        "layers_used": "0" if last[-1] == 0 else f"0-{last[-1]}",
        "subset_test": statistics.fmean(row["score"] for row in reported),
        "note": "; ".join(notes),
    }


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
    if row["training"] == "fine-tuned folder":
        parts.append("fine-tuned elsewhere: whether on rows of these splits is not known here")
    if row["training"] == "fine-tuned here" and row["twin_training"] == "untrained":
        parts.append("fine-tuned on train, its untrained twin not: give the twin a `finetune:` block to compare alike")
    if (why := not_above(row)) is not None:
        parts.append(why)
    if twins := ((row["comparisons"]["judge"] or {}).get("untrained") or {}).get("twins"):
        scores = [scores["judge"] for scores in twins.values()]
        parts.append(f"{len(twins)} untrained twins: {min(scores):.3f} to {max(scores):.3f} on judge")
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
    if row["n_minimal"] is not None and main["n_failing"] is not None and main["n_failing"] > row["n_minimal"]:
        parts.append(
            f"a larger number of neurons fails ({main['n_failing']:,}); from {main['n_every']:,} on all pass"
            if main["n_every"] is not None
            else f"a larger number of neurons fails ({main['n_failing']:,})"
        )
    if main["replicates_without"]:
        parts.append(
            f"in {main['replicates_without']:,} bootstrap replicates no size passes, so the interval may end higher"
        )
    if row["weak_reference"]:
        parts.append(
            f"the best on tune ({row['reference_name']}) is a weak reference: give more train or tune rows, or other "
            "penalties"
        )
    if row["status"] == SUPPORTED and row["selectivity"] is not None and row["selectivity"]["low"] <= 0:
        parts.append(
            f"selectivity is not above 0: {row['selectivity']['selectivity']:+.3f}, a probe of random labels per type "
            "does as well on types seen in train"
        )
    if row.get("rankings_left_out"):
        parts.append(
            f"rankings of classes, not made where a number is predicted: {', '.join(row['rankings_left_out'])}"
        )
    if row["confirmed"] is False:
        what = "status" if not row["confirmed_status"] else "minimal subset"
        parts.append(f"{what} not confirmed on test")
    parts += few("test", row["test_files"], row["resampled"])
    parts += row["status_notes"]
    return parts

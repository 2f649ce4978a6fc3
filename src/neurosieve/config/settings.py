"""What of a params file the result of each rule depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurosieve.config.params import Params

# Of a corpus or a task, what no result depends on: estimates, where files lie and what they are called.
_HINTS: dict[str, Any] = {"inputs": True, "folder": True, "files": {"__all__": {"source": True, "name": True}}}
# The same of a model.
_OF_MODEL: dict[str, Any] = {"note": True, "parameters": True, "path": True, "folders": True, "finetune": {"tasks"}}
# Of the block `concepts`, what `describe_neurons` does not depend on; and the block of each rule.
_OTHER_RULES = {"ablation", "attribution", "faithfulness", "effects", "lenses", "languages"}
_BLOCK_OF = {
    "attribute_neurons": "attribution",
    "measure_faithfulness": "faithfulness",
    "measure_effects": "effects",
}
# Of the lens `explain`, where a language model answers: the report has its name.
_SERVER = {"address", "key_variable", "timeout", "tries"}
# What says where something lies, and so may name this machine: what lies there is known by its sha256.
_PLACES: dict[str, Any] = {
    "data_root": True,
    "models": {"__all__": {"path", "folders"}},
    "prepare": {"corpora": {"__all__": {"folder"}}, "tasks": {"__all__": {"folder"}}},
    "leaderboard": {"published_figures": {"file"}},
    "concepts": {"lenses": {"explain": _SERVER}},
}


def rule_settings(
    params: Params,
    rule: str,
    *,
    corpus: str | None = None,
    model: str | None = None,
    task: str | None = None,
    lens: str | None = None,
) -> dict[str, Any]:
    """What of the file a rule's result depends on, as plain values: Snakemake reruns the rule when it changes.

    The dotted keys a phase reads are PHASE_KEYS; here they are narrowed to the wildcards at hand. Not where data and
    models lie: what lies there is known by its sum (flow.py), and manifests hold these settings as they are.
    """
    if rule == "extract_corpus":
        return {"corpus": params.prepare.corpora[str(corpus)].model_dump(mode="json", exclude=_HINTS)}
    if rule == "prepare_task":
        entry = params.prepare.tasks[str(task)]
        return {"seed": params.seed, "task": entry.model_dump(mode="json", exclude=_HINTS)}
    if rule == "dump_activations":
        return {
            "numerics": params.numerics,
            "activations": params.activations.model_dump(mode="json"),
            "models": _model_settings(params, str(model), task),
        }
    if rule == "finetune_model":
        return {
            "numerics": params.numerics,
            "models": _model_settings(params, str(model), task),
            "pooling": params.activations.pooling,
            "pair_features": params.probes.pair_features,
        }
    common = {"seed": params.seed, "numerics": params.numerics}
    if rule == "measure_redundancy":
        return {**common, "redundancy": params.redundancy.model_dump(mode="json")}
    if rule == "fit_baselines":
        return {**common, "probes": params.probes.model_dump(mode="json", exclude={"rankings", "agreement_sizes"})}
    if rule in ("fit_probes", "fit_controls"):
        return {**common, "probes": params.probes.model_dump(mode="json")}
    if rule == "decide_status":
        twins = {m: params.twins_of(m) for m in params.run.models}
        return {**common, "probes": params.probes.model_dump(mode="json"), "twins": twins, "tasks": params.run.tasks}
    if rule in ("search_subsets", "score_test", "check_robustness"):
        asked = {"robustness"} if rule != "check_robustness" else set()
        subsets = params.subsets.model_dump(mode="json", exclude={"margins", "transfer", *asked})
        margin = params.margin(str(task)).model_dump(mode="json")
        found = {**common, "probes": params.probes.model_dump(mode="json"), "subsets": subsets, "margin": margin}
        if rule == "search_subsets" and params.subsets.pipeline is not None:
            found["cluster_rows"] = params.redundancy.rows
        return found
    if rule == "transfer_subsets":
        return {
            **common,
            "probes": params.probes.model_dump(mode="json"),
            "tasks": params.run.tasks,
            "headline": params.subsets.headline,
            "random_draws": params.subsets.random_draws,
        }
    if rule == "reproduce_published":
        return {
            **common,
            "published": params.published.model_dump(mode="json"),
            "pair_features": params.probes.pair_features,
        }
    if rule == "describe_neurons":
        return {
            **common,
            "concepts": params.concepts.model_dump(mode="json", exclude=_OTHER_RULES),
            "headline": params.subsets.headline,
            "pair_features": params.probes.pair_features,
        }
    if rule == "ablate_neurons":
        ablation = params.concepts.ablation
        return {
            **common,
            "models": _model_settings(params, str(model), task),
            "neurons": params.concepts.neurons,
            "ablation": None if ablation is None else ablation.model_dump(mode="json"),
            "batch_tokens": params.activations.batch_tokens,
            "bootstrap": params.probes.bootstrap,
            "confidence": params.probes.confidence,
            "headline": params.subsets.headline,
        }
    if rule == "find_language_neurons":
        return {
            **common,
            "models": _model_settings(params, str(model), None),
            "languages": params.concepts.model_dump(mode="json")["languages"],
            "batch_tokens": params.activations.batch_tokens,
            "bootstrap": params.probes.bootstrap,
            "confidence": params.probes.confidence,
            "twins": {twin: params.models[twin].seed for twin in params.twins_of(str(model))},
            "test": {corpus: params.test_packages(corpus) for corpus in params.language_corpora},
        }
    if rule in _BLOCK_OF:
        block = getattr(params.concepts, _BLOCK_OF[rule])
        tasks = [str(task)] if task is not None else params.run.tasks
        listed = {"neurons": params.concepts.neurons} if rule == "attribute_neurons" else {}
        return {
            **common,
            **listed,
            "models": {t: _model_settings(params, str(model), t) for t in tasks},
            _BLOCK_OF[rule]: None if block is None else block.model_dump(mode="json"),
            "batch_tokens": params.activations.batch_tokens,
            "probes": params.probes.model_dump(mode="json"),
            "headline": params.subsets.headline,
            "twins": params.searched_twins_of(str(model)),
        }
    if rule == "apply_lens":
        lenses = params.concepts.lenses
        return {
            **common,
            "models": _model_settings(params, str(model), task),
            "lens": None if lenses is None else lenses.of(str(lens)).model_dump(mode="json", exclude=_SERVER),
            "neurons": params.concepts.neurons,
            "rows": [list(row) for row in params.lens_rows(str(lens), str(model), str(task))],
            "batch_tokens": params.activations.batch_tokens,
            "probes": params.probes.model_dump(mode="json"),
            "headline": params.subsets.headline,
            "margin": params.margin(str(task)).model_dump(mode="json"),
        }
    if rule == "build_leaderboard":
        return params.model_dump(mode="json", exclude=_PLACES)
    if rule == "build_site":
        return {"benchmark": params.benchmark}
    raise KeyError(rule)


def _model_settings(params: Params, model: str, task: str | None) -> list[dict[str, Any]]:
    """Entries of a model and, for an untrained twin, of the model it names, with what they say of this task."""
    found = []
    for name in dict.fromkeys((model, params.trained(model))):
        entry = params.models[name]
        shown = entry.model_dump(mode="json", exclude=_OF_MODEL)
        shown["folders"] = [key for key in entry.folders if key == task]  # that it has one, not where
        if name != model or not params.finetunes(model, str(task)):
            shown["finetune"] = None
        found.append(shown)
    return found

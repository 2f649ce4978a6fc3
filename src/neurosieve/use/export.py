"""`neurosieve export`: the frozen subset of a row as a file (its form: neurons.py).

Reads: subsets/search, probes/status and the manifest of the train activations, all in build/. Writes what it is told.
"""

from __future__ import annotations

from typing import Any

from neurosieve.artifacts import Paths, check_files, read_json, read_manifest, read_tensors
from neurosieve.config import Params
from neurosieve.leaderboard.collect import certified
from neurosieve.use.neurons import ENTRY, FORMAT, SCHEMA, NeuronsError, manifest_sha256, short


def export_neurons(
    params: Params, paths: Paths, *, model: str, task: str, ranking: str | None = None
) -> dict[str, Any]:
    """Content of a file of neurons: the subset that ``ranking``, a ranking or search, found (default: the headline).

    Raises
    ------
    NeuronsError
        for names that are not in the run, a search that is not in build/ or is out of date, and a row without a subset.
    ArtifactError
        where a file of the search or of the status is not what was written.
    """
    _check_there(params, paths, model, task)
    folder, activations = paths.search(model, task), paths.activations(model, task, "train")
    for read in (folder, paths.status()):
        check_files(read)
    frozen, curves = read_json(folder / "frozen.json"), read_json(folder / "curves.json")
    tensors, manifest = read_tensors(folder / "frozen.safetensors"), read_manifest(activations)
    status = read_json(paths.status() / "status.json")["rows"][f"{model}/{task}"]
    facts, ranking = manifest["facts"], ranking or frozen["headline"]
    key = f"subset-{ranking}"
    if key not in frozen["sets"]:
        there = sorted(e["ranking"] for e in frozen["sets"].values() if e["kind"] == "subset")
        why = f"no subset along {ranking!r} was frozen for {model} on {task}"
        if ranking in curves["curves"]:
            why += ": no size of it is within the margin of the reference"
        raise NeuronsError(f"{why}; rankings and searches with a subset: {', '.join(there) or 'none'}")
    entry, found = frozen["sets"][key], curves["curves"][ranking]
    width, columns = frozen["width"], curves["columns_per_neuron"]
    trained = params.models[params.trained(model)].model_dump(mode="json", exclude_defaults=True)
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "benchmark": params.benchmark,
        "version": params.version,
        "protocol": "strict",
        "numerics": params.numerics,
        "model": {
            "name": model,
            "untrained": params.models[model].untrained,
            "training": params.training(model, task),
            "sha256": facts["model_sha256"],
            "config_sha256": facts["config_sha256"],
            "tokenizer_sha256": facts.get("tokenizer_sha256"),
            "layers": frozen["layers"],
            "width": width,
            **{key: trained[key] for key in ENTRY if key in trained},
        },
        "task": {
            "name": task,
            "unit": frozen["unit"],
            "classes": frozen["classes"],
            "metric": curves["metric"],
            "pair_features": frozen["pair_features"] if frozen["unit"] == "pair" else None,
        },
        "activations": manifest["params"]["activations"],
        "status": status["status"],
        "status_unseen": status["status_unseen"],
        "ranking": ranking,
        "size": len(entry["neurons"]),
        "claimed": entry["claimed"],
        "reason": found["reason"],
        "n_least": found["n_least"],
        "n_minimal_low": found["n_minimal_low"],
        "n_minimal_high": found["n_minimal_high"],
        "margin": curves["margin"]["value"],
        "judge": entry["judge"],
        "reference_judge": curves["reference"]["judge"],
        "highest_layer": max(entry["neurons"]) // width,
        "certified": certified(
            entry["neurons"], frozen["layers"], width, facts["cost"], len(frozen["classes"]), columns
        ),
        "penalty": {"l1": entry["l1"], "l2": entry["l2"]},
        "intercept": short(tensors[f"{key}.intercept"]),
        "search_sha256": manifest_sha256(folder),
        "neurons": [
            {
                **_place(model, neuron, width),
                **{
                    name: short(tensors[f"{key}.{name}"][i * columns : (i + 1) * columns])
                    for name in ("mean", "scale", "weights")
                },
            }
            for i, neuron in enumerate(entry["neurons"])
        ],
    }


def _place(model: str, neuron: int, width: int) -> dict[str, Any]:
    layer, unit = divmod(neuron, width)
    return {"name": f"{model}/{layer}/{unit}", "layer": layer, "unit": unit}


def _check_there(params: Params, paths: Paths, model: str, task: str) -> None:
    """That the row runs here and its search lies in build/, made from the activations that lie there now."""
    for kind, name, known in (("model", model, params.run.models), ("task", task, params.run.tasks)):
        if name not in known:
            raise NeuronsError(f"{kind}: found {name!r}, which does not run here; write one of: {', '.join(known)}")
    folder, activations = paths.search(model, task), paths.activations(model, task, "train")
    for needed in (folder, activations, paths.status()):
        if not (needed / "manifest.json").is_file():
            raise NeuronsError(
                f"{needed}: not there; the weights of the neurons lie in build/ and not in results/: run the benchmark "
                "first (`make benchmark`, or `snakemake --configfile` with your params file)"
            )
    used = read_manifest(folder)["inputs"]
    name = activations.relative_to(paths.root).as_posix()
    if not any(key.endswith(name) and sha256 == manifest_sha256(activations) for key, sha256 in used.items()):
        raise NeuronsError(
            f"{folder}: its search was made from other activations than lie in {activations} now; "
            "run the benchmark again"
        )


def warnings(data: dict[str, Any]) -> list[str]:
    """What a user of the exported neurons must know, in words."""
    found = []
    training = data["model"]["training"]
    if training not in ("frozen", "untrained"):
        found.append(f"the neurons are those of the model {training} for {data['task']['name']}, and of no other")
    if not data["claimed"]:
        found.append(
            f"{data['size']} neurons are an estimate, not a minimal subset, and must not be called one: "
            f"{data['reason']}"
        )
    if data["status"] != "supported":
        found.append(
            f"the row's status is `{data['status']}`, so its neurons say nothing about redundancy "
            "(docs/read-the-leaderboard.md)"
        )
    return found

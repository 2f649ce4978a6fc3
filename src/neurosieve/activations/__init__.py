"""The `activations` phase: hidden states of every layer, a vector per token or per whole input.

Reads a task's splits (inputs.jsonl, rows.jsonl) and the model's folder; writes per split an artifact with
layer_00.npy ... layer_LL.npy, float32 (vectors, width), layer 0 being the embedding output. For token tasks vector i
belongs to row i of rows.jsonl, for sequence and pair tasks to input i of inputs.jsonl.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from neurosieve.activations.batches import ActivationsError, make_plan
from neurosieve.activations.cost import layer_costs
from neurosieve.activations.dump import write_layers
from neurosieve.activations.models import load_model
from neurosieve.artifacts import Paths, Writer
from neurosieve.config import SPLITS, Params
from neurosieve.prepare.wheels import DEFAULT_CACHE

__all__ = ["ActivationsError", "dump_activations"]


def dump_activations(params: Params, paths: Paths, *, model: str, task: str, cache: Path = DEFAULT_CACHE) -> None:
    """Write the four activation artifacts of a model and a task; the model is loaded once.

    Threads are taken from the environment variable NEUROSIEVE_THREADS (default 1); they change no batch.

    Raises
    ------
    ActivationsError
        a model, an input or a parameter that cannot be used; it names the file and line or the key.
    """
    torch.set_num_threads(threads())
    loaded = load_model(params, model, cache)
    settings = params.activations
    cost = layer_costs(loaded, settings.window)
    entry = params.models[model]
    names = [model] if entry.untrained is None else [model, entry.untrained]
    for split in SPLITS:
        source = paths.task(task) / split
        with Writer(
            paths.activations(model, task, split),
            "activations",
            {
                "model": model,
                "task": task,
                "split": split,
                "numerics": params.numerics,
                "activations": settings.model_dump(mode="json"),
                # Not the path: where a model lies changes nothing, its hash is among the facts
                "models": {n: params.models[n].model_dump(mode="json", exclude={"path", "note"}) for n in names},
            },
            inputs=[source],
        ) as writer:
            plan = make_plan(source, loaded.coding, **settings.model_dump())
            files = [writer.path(f"layer_{layer:02d}.npy") for layer in range(loaded.layers)]
            write_layers(loaded, plan, files, f"{model} {task} {split}")
            writer.facts |= {"layers": loaded.layers, "width": loaded.width, **plan.facts, **loaded.facts, "cost": cost}


def threads() -> int:
    """Threads for torch: NEUROSIEVE_THREADS, by default 1."""
    found = os.environ.get("NEUROSIEVE_THREADS", "1")
    if not found.isdigit() or int(found) < 1:
        raise ActivationsError(f"NEUROSIEVE_THREADS: found {found!r}; write a number of threads from 1")
    return int(found)

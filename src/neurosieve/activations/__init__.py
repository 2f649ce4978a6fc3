"""The `activations` phase: the neurons of every layer, a vector per token or per whole input.

Reads a task's splits (inputs.jsonl, rows.jsonl) and the model's folder, or the one that it has for the task; writes per
split an artifact with layer_00.npy ... layer_LL.npy, float32 (vectors, width), those of `only_layers` where a model
names them. Of hidden states layer 0 is the
embedding output; of feed-forward activations and attention outputs it is block 1's. For token tasks vector i belongs
to row i of rows.jsonl, for sequence and pair tasks to input i of inputs.jsonl.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import torch

from neurosieve.activations.batches import ActivationsError, Coding, DroppedTokens, Plan, make_plan
from neurosieve.activations.cost import layer_costs
from neurosieve.activations.finetune import train_model
from neurosieve.activations.models import load_model, task_folder
from neurosieve.activations.shards import Crew
from neurosieve.artifacts import Paths
from neurosieve.config import SPLITS, Params
from neurosieve.flow import writer
from neurosieve.sources.wheels import DEFAULT_CACHE

__all__ = ["ActivationsError", "dump_activations", "finetune_model"]


def dump_activations(params: Params, paths: Paths, *, model: str, task: str, cache: Path = DEFAULT_CACHE) -> None:
    """Write the four activation artifacts of a model and a task; the model is loaded once.

    Threads are taken from the environment variable NEUROSIEVE_THREADS (default 1); they change no batch. So does
    NEUROSIEVE_DUMP_SHARDS, a number of processes.

    Raises
    ------
    ActivationsError
        a model, an input or a parameter that cannot be used; it names the file and line or the key.
    """
    torch.set_num_threads(threads())
    loaded = load_model(params, model, cache, task_folder(params, paths, model, task))
    only = params.models[params.trained(model)].only_layers
    if only is not None and only[-1] >= loaded.layers:
        raise ActivationsError(
            f"models.{params.trained(model)}.only_layers: found {only[-1]}, and the model has layers 0 to "
            f"{loaded.layers - 1}"
        )
    cost = layer_costs(loaded, params.activations.window)
    plans = make_plans(params, paths, task, loaded.coding)  # what cannot be computed is said before anything is
    crew = Crew(params, paths, model, task, cache)
    for split, plan in plans.items():
        with writer(params, paths, "dump_activations", model=model, task=task, split=split) as out:
            every = range(loaded.layers)
            apart = out.path(".left_out")  # one place for all layers that are not measured
            files = [out.path(f"layer_{n:02d}.npy") if only is None or n in only else apart for n in every]
            crew.write_layers(loaded, plan, files, f"{model} {task} {split}")
            out.facts |= {"layers": loaded.layers, "width": loaded.width, **plan.facts, **loaded.facts, "cost": cost}
            out.facts["training"] = params.training(model, task)
            if only is not None:
                out.facts["only_layers"] = only
                apart.unlink(missing_ok=True)
    crew.close()


def make_plans(params: Params, paths: Paths, task: str, coding: Coding) -> dict[str, Plan]:
    """The plan of each split; tokens that the tokenizer drops are named for all splits at once."""
    plans: dict[str, Plan] = {}
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    for split in SPLITS:
        try:
            settings = params.activations.model_dump(exclude={"dtype"})
            plans[split] = make_plan(paths.task(task) / split, coding, **settings)
        except DroppedTokens as error:
            found += error.found
            first = error.first | first
    if found:
        raise DroppedTokens(found, first)
    return plans


def finetune_model(params: Params, paths: Paths, *, model: str, task: str, cache: Path = DEFAULT_CACHE) -> None:
    """Train a model on a task and write it as a folder; raises as :func:`dump_activations`.

    Threads are taken from NEUROSIEVE_THREADS under `numerics: fast` alone: another number changes bits of gradients.
    """
    torch.set_num_threads(threads() if params.numerics == "fast" else 1)
    train_model(params, paths, model=model, task=task, cache=cache)


def threads() -> int:
    """Threads for torch: NEUROSIEVE_THREADS, by default 1."""
    found = os.environ.get("NEUROSIEVE_THREADS", "1")
    if not found.isdigit() or int(found) < 1:
        raise ActivationsError(f"NEUROSIEVE_THREADS: found {found!r}; write a number of threads from 1")
    return int(found)

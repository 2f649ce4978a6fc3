"""The `activations` phase: the neurons of every layer, a vector per token or per whole input.

Reads a task's splits (inputs.jsonl, rows.jsonl) and the model's folder, or the one that it has for the task; writes per
split an artifact with layer_00.npy ... layer_LL.npy, float32 (vectors, width), those of `only_layers` where a model
names them. Of hidden states layer 0 is the embedding output; of feed-forward activations and attention outputs it is
block 1's. For token tasks vector i belongs to row i of rows.jsonl, for sequence and pair tasks to input i of
inputs.jsonl.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from neurosieve.activations.batches import ActivationsError, Coding, DroppedTokens, Plan, make_plan
from neurosieve.activations.cost import layer_costs
from neurosieve.activations.finetune import train_model
from neurosieve.activations.models import Loaded, load_model, task_folder
from neurosieve.activations.shards import Crew, Key
from neurosieve.artifacts import Paths
from neurosieve.config import SPLITS, Params
from neurosieve.flow import writer
from neurosieve.sources.wheels import DEFAULT_CACHE

__all__ = ["ActivationsError", "dump_activations", "finetune_model"]

MOST_FILES = 500  # open at once: half of what a process may by default


def dump_activations(
    params: Params,
    paths: Paths,
    *,
    model: str,
    task: str,
    cache: Path = DEFAULT_CACHE,
    others: Sequence[str] = (),
    ready: Paths | None = None,
) -> None:
    """Write the four activation artifacts of a model and a task; the model is loaded once.

    Those of ``others``, tasks for which the model has the same weights, are written below ``ready`` at the same time,
    where company changes no bits and they can be computed; what they share is run once.

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
    tasks = [task]
    for other in others if loaded.coding.free and ready is not None else ():
        try:
            plans |= make_plans(params, paths, other, loaded.coding)
            tasks.append(other)
        except ActivationsError:  # its own job will say it
            continue
    crew = Crew(params, paths, model, tasks, cache)
    for keys in together(plans, loaded):
        with ExitStack() as stack:
            outs = []
            for of, split in keys:
                to = paths if of == task else ready
                outs.append(
                    stack.enter_context(
                        writer(params, paths, "dump_activations", to, model=model, task=of, split=split)
                    )
                )
            every = range(loaded.layers)
            aparts = [out.path(".left_out") for out in outs]  # one place for all layers that are not measured
            files = [
                [out.path(f"layer_{n:02d}.npy") if only is None or n in only else apart for n in every]
                for out, apart in zip(outs, aparts, strict=True)
            ]
            crew.write_layers(loaded, plans, keys, files, params.activations.batch_tokens)
            for out, key, apart in zip(outs, keys, aparts, strict=True):
                facts = {"layers": loaded.layers, "width": loaded.width, **plans[key].facts, **loaded.facts}
                out.facts |= {**facts, "cost": cost, "training": params.training(model, key[0])}
                if only is not None:
                    out.facts["only_layers"] = only
                    apart.unlink(missing_ok=True)
    crew.close()


def together(plans: Mapping[Key, Plan], loaded: Loaded) -> list[list[Key]]:
    """Which plans run as one: all, where company changes no bit of a model's; else each alone.

    Those that make vectors in another way are apart, and no more than have files to be open at once.
    """
    if not loaded.coding.free:
        return [[key] for key in plans]
    room = max(1, MOST_FILES // loaded.layers)
    alike = [[key for key in plans if plans[key].how == how] for how in dict.fromkeys(p.how for p in plans.values())]
    return [keys[at : at + room] for keys in alike for at in range(0, len(keys), room)]


def make_plans(params: Params, paths: Paths, task: str, coding: Coding) -> dict[Key, Plan]:
    """The plan of each split of a task; tokens that the tokenizer drops are named for all splits at once."""
    plans: dict[Key, Plan] = {}
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    for split in SPLITS:
        try:
            settings = params.activations.model_dump(exclude={"dtype"})
            plans[task, split] = make_plan(paths.task(task) / split, coding, **settings)
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

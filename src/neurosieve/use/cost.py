"""`neurosieve cost`: time and memory of a row's neurons, measured beside what is certified.

Reads: the params file, models, prepare/tasks/<task>/test (texts), subsets/search (frozen.json, frozen.safetensors).
Writes timings/<benchmark>/cost.json, outside of every certified file: what it holds depends on the machine.

Measured is the real path: sub-words in, the values of the neurons out, with the model cut above the highest layer that
they need, against the whole model giving the values of all neurons, on the same texts in the same batches. The two
take turns, and which of them begins changes every time; a ratio is of neighbours, and the median with the lowest and
the highest is given. The classifier is timed apart. Memory is that of a process of its own for each, forked from one
that has imported the libraries: what the model adds once it is loaded and cut, and the highest that it adds while it
runs; null where /proc does not tell.
"""

from __future__ import annotations

import logging
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from neurosieve.activations import threads
from neurosieve.activations.batches import Plan, Rows, plan_inputs
from neurosieve.activations.cost import layer_costs
from neurosieve.activations.cut import CutError, cut
from neurosieve.activations.dump import extract
from neurosieve.activations.models import Loaded, load_model, task_folder
from neurosieve.artifacts import Paths, dump_json, read_json, read_jsonl, read_tensors, write_text
from neurosieve.config import Params
from neurosieve.leaderboard.collect import certified
from neurosieve.memory import give_back
from neurosieve.use.neurons import NeuronsError

log = logging.getLogger(__name__)

SPLIT = "test"  # its texts; no label and no score is read
OTHER_STEPS = 4  # of a row beside its repeats: load, warm up, memory of the whole and of the cut model

# What begins, and whether it is the first step of a row
Step = Callable[[str, bool], Any]


def measure_all(
    params: Params, paths: Paths, models: list[str] | None, tasks: list[str] | None, *, inputs: int, repeats: int
) -> None:
    """Measure the rows of these models and tasks (all by default), print them, write timings/<benchmark>/cost.json.

    Threads are taken from NEUROSIEVE_THREADS, as for a dump (default 1).
    """
    for kind, names, known in (("model", models, params.run.models), ("task", tasks, params.run.tasks)):
        for name in names or ():
            if name not in known:
                raise NeuronsError(
                    f"--{kind}: found {name!r}, which does not run here; write one of: {', '.join(known)}"
                )
    if inputs < 1 or repeats < 1:
        raise NeuronsError(f"--inputs, --repeats: found {inputs} and {repeats}; write numbers from 1")
    rows = [(m, t) for m in models or params.run.models for t in tasks or params.run.tasks]
    with tqdm(total=len(rows) * (repeats + OTHER_STEPS), unit="step") as progress:
        place = iter(range(0, progress.total, repeats + OTHER_STEPS))

        def step(text: str, first: bool) -> None:
            progress.update((next(place) if first else progress.n + 1) - progress.n)
            progress.set_description_str(text)

        report = measure_costs(params, paths, rows, inputs=inputs, repeats=repeats, threads=threads(), step=step)
        progress.update(progress.total - progress.n)
    target = Path("timings") / params.benchmark / "cost.json"
    write_text(target, dump_json(report))
    print(format_costs(report), end="")
    print(f"measurements: {target}")


def measure_costs(
    params: Params,
    paths: Paths,
    rows: Sequence[tuple[str, str]],
    *,
    inputs: int = 32,
    repeats: int = 5,
    threads: int = 1,
    step: Step = lambda text, first: None,
) -> dict[str, Any]:
    """{"benchmark", "version", "threads", "inputs", "repeats", "python", "torch", "rows": see :func:`measure_row`}.

    ``rows`` are (model, task); ``inputs`` texts of each task are run, drawn with the seed. ``step`` is called when
    something begins.
    """
    torch.set_num_threads(threads)
    found = [measure_row(params, paths, model, task, inputs, repeats, threads, step) for model, task in rows]
    return {
        "benchmark": params.benchmark,
        "version": params.version,
        "threads": threads,
        "inputs": inputs,
        "repeats": repeats,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "rows": found,
    }


def measure_row(
    params: Params, paths: Paths, model: str, task: str, inputs: int, repeats: int, threads: int, step: Step
) -> dict[str, Any]:
    """Of one row: {"model", "task", "ranking", "size", "claimed", "subwords", "cut": the model could be cut,
    "certified", "seconds": {"whole", "cut": per repeat}, "time_ratio": {"median", "low", "high"} of cut to whole,
    "classifier_seconds": {"whole", "cut": medians}, "memory": {"whole", "cut": {"resident", "peak": bytes}}}."""
    step(f"{model} on {task}: load the model twice, whole and cut", True)
    folder = paths.search(model, task)
    if not (folder / "frozen.json").is_file():
        raise NeuronsError(
            f"{folder}: no search of {model} on {task} there; run the benchmark first (`make benchmark`)"
        )
    frozen, tensors = read_json(folder / "frozen.json"), read_tensors(folder / "frozen.safetensors")
    key = f"subset-{frozen['headline']}"
    row: dict[str, Any] = {"model": model, "task": task, "ranking": frozen["headline"]}
    if key not in frozen["sets"]:
        return row | {"size": None, "certified": None}
    entry = frozen["sets"][key]
    neurons, everyone = np.array(entry["neurons"]), np.arange(frozen["layers"] * frozen["width"])
    highest = int(neurons.max()) // frozen["width"]
    columns = len(frozen["pair_features"]) if frozen["unit"] == "pair" else 1

    own = task_folder(params, paths, model, task)
    whole, part = load_model(params, model, folder=own), load_model(params, model, folder=own)
    can_cut = True
    try:
        part = cut(part, highest)
    except CutError as error:
        log.warning("%s; it is run whole", error)
        part, can_cut = load_model(params, model, folder=own), False
    plan = sample_plan(params, paths, task, whole, inputs)
    runs = {"whole": (whole, everyone), "cut": (part, neurons)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    size = f"{plan.facts['inputs']} texts of {plan.facts['window_subwords']} sub-words"
    for repeat in range(-1, repeats):  # the first turn only warms up
        step(f"{model} on {task}: {size}, {f'pair {repeat + 1} of {repeats}' if repeat >= 0 else 'to warm up'}", False)
        for name in (("whole", "cut"), ("cut", "whole"))[repeat % 2]:
            began = time.perf_counter()
            _run(*runs[name], plan)
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - began)
    classifier = {}
    for name, which in (("whole", "all"), ("cut", key)):
        # what is multiplied changes no time
        X = np.ones((plan.vectors, len(tensors[f"{which}.mean"])), np.float32)
        classifier[name] = statistics.median(_timed(_classify, X, tensors, which) for _ in range(21))
    ratios = sorted(b / a for a, b in zip(seconds["whole"], seconds["cut"], strict=True))
    cost = layer_costs(whole, params.activations.window)
    # what the processes that measure memory are forked from has imported this: most of their time, on small models
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__, type(whole.model).__module__])
    del whole, part, runs
    memory = {}
    for name, layer, chosen in (
        ("whole", frozen["layers"] - 1, everyone),
        ("cut", highest if can_cut else frozen["layers"] - 1, neurons),
    ):
        step(f"{model} on {task}: memory of the {name} model, in a process of its own", False)
        memory[name] = memory_of(params, paths, model, task, layer, chosen, inputs, threads)
    return row | {
        "size": len(neurons),
        "claimed": entry["claimed"],
        "subwords": int(plan.facts["window_subwords"]),
        "cut": can_cut,
        "certified": certified(
            entry["neurons"], frozen["layers"], frozen["width"], cost, len(frozen["classes"]), columns
        ),
        "seconds": seconds,
        "time_ratio": {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]},
        "classifier_seconds": classifier,
        "memory": memory,
    }


def sample_plan(params: Params, paths: Paths, task: str, loaded: Loaded, inputs: int) -> Plan:
    """The plan of some inputs of test, drawn with the seed, with all their tokens where the task is of tokens."""
    folder = paths.task(task) / SPLIT
    every = read_jsonl(folder / "inputs.jsonl")
    rows = read_jsonl(folder / "rows.jsonl")
    rng = np.random.default_rng([params.seed, len(every)])
    chosen = np.sort(rng.choice(len(every), min(inputs, len(every)), replace=False))
    place = {int(old): new for new, old in enumerate(chosen)}
    spans = None
    if "start" in rows[0]:
        kept = [(place[r["input"]], r["start"], r["end"]) for r in rows if r["input"] in place]
        if not kept:
            raise NeuronsError(f"{folder}: none of {len(chosen)} drawn inputs has a row; write a larger --inputs")
        spans = Rows(*np.array(kept, np.int64).T)
    texts = ({**every[old], "id": new} for new, old in enumerate(chosen))
    return plan_inputs(
        texts, spans, loaded.coding, lambda kind, i: f"{folder}/{kind}.jsonl",
        **params.activations.model_dump(exclude={"dtype"}),
    )  # fmt: skip


def _run(loaded: Loaded, neurons: np.ndarray, plan: Plan) -> None:
    extract(loaded, *np.divmod(neurons, loaded.width), plan)


def _classify(X: np.ndarray, tensors: dict[str, np.ndarray], key: str) -> np.ndarray:
    standard = (X - tensors[f"{key}.mean"]) * tensors[f"{key}.scale"]
    return standard @ tensors[f"{key}.weights"] + tensors[f"{key}.intercept"]


def _timed(run: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - began


def memory_of(*arguments: Any) -> dict[str, int] | None:
    """:func:`_memory` of these arguments, in a process of its own, forked from one that has imported this module."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(_memory, *arguments).result()
        except BrokenProcessPool:
            raise NeuronsError(
                "the process that measures memory was ended from outside, for lack of memory it seems; write a smaller "
                "--inputs, or free memory"
            ) from None


def _memory(
    params: Params, paths: Paths, model: str, task: str, layer: int, neurons: np.ndarray, inputs: int, threads: int
) -> dict[str, int] | None:
    """What the model adds to this process at rest, and at most while it runs, in bytes."""
    torch.set_num_threads(threads)
    give_back(map_large=True)
    own = task_folder(params, paths, model, task)
    load_model(params, model, folder=own)  # once for the code and the tables that come with a first model and stay
    give_back(map_large=True)
    before = _status("VmRSS")
    loaded = load_model(params, model, folder=own)
    if layer < loaded.layers - 1:
        loaded = cut(loaded, layer)
    plan = sample_plan(params, paths, task, loaded, inputs)
    give_back(map_large=True)
    resident = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets the high-water mark back to what is there now
    except OSError:
        return None
    _run(loaded, neurons, plan)
    peak = _status("VmHWM")
    if before is None or resident is None or peak is None:
        return None
    return {"resident": resident - before, "peak": peak - before}


def _status(key: str) -> int | None:
    """A size of /proc/self/status in bytes; None where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def format_costs(report: dict[str, Any]) -> str:
    """The certified and the measured figures as a table for a terminal."""

    def share(value: float) -> str:
        return f"{100 * value:.0f}%"

    heads = ("model", "task", "neurons", "layers", "flops", "parameters", "time", "memory", "peak", "classifier")
    lines = [heads]
    for row in report["rows"]:
        held = row["certified"]
        if held is None:
            lines.append((row["model"], row["task"], *("-" for _ in heads[2:])))
            continue
        ratio, memory, classifier = row["time_ratio"], row["memory"], row["classifier_seconds"]
        parts = ["-", "-"]
        if memory["whole"] and memory["cut"]:
            parts = [share(memory["cut"][key] / memory["whole"][key]) for key in ("resident", "peak")]
        lines.append(
            (
                row["model"],
                row["task"],
                f"{'' if row['claimed'] else '~'}{row['size']}",
                f"0-{held['highest_layer']} of 0-{held['blocks']}",
                share(held["flops_share"]),
                share(held["parameters_share"]),
                f"{share(ratio['median'])} [{share(ratio['low'])}-{share(ratio['high'])}]",
                *parts,
                share(classifier["cut"] / classifier["whole"]),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    body = [" ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    body.insert(1, " ".join("-" * w for w in widths))
    legend = (
        "Shares of the whole model; ~ estimate without claim. Certified: flops per sub-word and parameters up to the\n"
        f"highest layer needed. Measured with {report['threads']} thread{'s' if report['threads'] > 1 else ''}, one "
        f"thing at a time, on {report['inputs']} texts: time with the model cut\nthere, median [range] of "
        f"{report['repeats']} pairs; memory that the model adds at rest and at its peak; the classifier apart."
    )
    return "\n".join([*body, legend]) + "\n"

"""A dump in shards: processes that run whole batches of one plan and put each row at its place in the same files.

The plan is that of the whole split, so every batch is the one that a single process would run, and the bytes are the
same whatever the number. A text whose windows lie in several shards is summed here, in the order of the text.

How many is a fact of the machine, no choice of the benchmark: NEUROSIEVE_DUMP_SHARDS, one by default. Within a job of
SLURM that has as many tasks, they are its tasks, on whichever nodes; else processes on this machine. Writes what
:mod:`neurosieve.activations.dump` writes, and beside it, while it runs, `.shard_KK.npz`.

A shard is :func:`main`: it reads what to do from standard input, and says on standard output what is done.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np

from neurosieve.activations.batches import ActivationsError, Plan, join_plans
from neurosieve.activations.dump import Kept, Target, finish, place_in, run_plan, targets, write_layers
from neurosieve.activations.models import Loaded

VARIABLE = "NEUROSIEVE_DUMP_SHARDS"
Key = tuple[str, str]  # task and split
RANKS = ("SLURM_PROCID", "NEUROSIEVE_SHARD")  # which shard a process is


def titled(model: str, keys: Sequence[Key]) -> str:
    """What runs, in a few words: the model, its first task with its splits, how many tasks come along."""
    first, tasks = keys[0][0], {task for task, _ in keys}
    title = f"{model} {first} {' '.join(split for task, split in keys if task == first)}"
    return title if len(tasks) == 1 else f"{title} and {len(tasks) - 1} more tasks"


def shards() -> int:
    """How many processes share a dump: NEUROSIEVE_DUMP_SHARDS, by default 1."""
    found = os.environ.get(VARIABLE) or "1"
    if not found.isdigit() or int(found) < 1:
        raise ActivationsError(f"{VARIABLE}: found {found!r}; write a number of processes from 1")
    return int(found)


def cuts(plan: Plan, number: int) -> np.ndarray:
    """Batches at which shards begin and end, (number + 1,) int64: shares of about as many sub-words.

    A shard may be empty where there are fewer batches.
    """
    size = np.diff(plan.batch_bounds) * (plan.window_stop - plan.window_start)[plan.batch_bounds[:-1]]
    done = np.append(0, np.cumsum(size))
    return np.searchsorted(done, done[-1] * np.arange(number + 1) / number).astype(np.int64)


def apart(plan: Plan, bounds: np.ndarray) -> np.ndarray:
    """Which vectors have parts in several shards, (vectors,) bool."""
    window = np.repeat(np.arange(len(plan.window_start)), np.diff(plan.part_bounds))
    batch = np.searchsorted(plan.batch_bounds, window, side="right") - 1
    shard = np.searchsorted(bounds, batch, side="right")
    least, most = np.full(plan.vectors, len(bounds)), np.zeros(plan.vectors, np.int64)
    np.minimum.at(least, plan.part_vector, shard)
    np.maximum.at(most, plan.part_vector, shard)
    found: np.ndarray = most > least
    return found


class Crew:
    """The processes that share the dumps of a model and a task; where there is to be one, this process does it."""

    def __init__(self, params: Any, paths: Any, model: str, tasks: Sequence[str], cache: Path) -> None:
        self.number = shards()
        if self.number == 1:
            return
        given = base64.b64encode(pickle.dumps((params, paths, model, tasks, cache))).decode()
        command = [sys.executable, "-c", f"from {__name__} import main; main()"]
        ranks: list[dict[str, str]] = [{RANKS[1]: str(shard)} for shard in range(self.number)]
        if "SLURM_JOB_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) >= self.number:
            command = ["srun", f"--ntasks={self.number}", "--kill-on-bad-exit=1", "--unbuffered", *command]
            ranks = [{}]
        plain = {name: value for name, value in os.environ.items() if name not in RANKS}
        self.replies: Queue[dict[str, Any] | None] = Queue()
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**plain, **rank})
            for rank in ranks
        ]
        for process in self.processes:
            threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        self._say(given)

    def write_layers(
        self, loaded: Loaded, plans: Mapping[Key, Plan], keys: Sequence[Key], paths: list[list[Path]], batch_tokens: int
    ) -> None:
        """Compute the plans of ``keys`` as one; ``paths``: of each a file per layer, to be made.

        Raises as :func:`neurosieve.activations.dump.write_layers`; ActivationsError too where a shard is lost.
        """
        parts = [plans[key] for key in keys]
        plan, names = join_plans(parts, loaded.coding, batch_tokens), [f"{loaded.name} {t} {s}" for t, s in keys]
        title = titled(loaded.name, keys)
        if self.number == 1:
            write_layers(loaded, plan, parts, paths, title, names)
            return
        with ExitStack() as stack:
            opened = targets(stack, parts, paths, loaded.width)
            files = [[str(path.absolute()) for path in own] for own in paths]
            self._say(json.dumps({"keys": list(keys), "files": files}))
            left = set(range(self.number))
            while left:
                reply = self.replies.get()
                if reply is None:
                    self.close()
                    lost = ", ".join(str(shard + 1) for shard in sorted(left))
                    ends = sorted({str(process.returncode) for process in self.processes} - {"0"})
                    raise ActivationsError(
                        f"{title}: shard {lost} of {self.number} was lost (exit status {', '.join(ends) or '0'}); "
                        "nothing is written: run the same command again, with a smaller "
                        f"{VARIABLE} where memory was short"
                    )
                if "error" in reply:
                    self.close()
                    raise ActivationsError(f"shard {reply['shard'] + 1} of {self.number}: {reply['error']}")
                left.discard(reply["shard"])
            self._gather(plan, opened, [_beside(paths[0], shard) for shard in range(self.number)])

    def _gather(self, plan: Plan, opened: Sequence[Target], parts: list[Path]) -> None:
        """Put the vectors that several shards have parts of together, in the order of the text."""
        found: dict[int, dict[int, np.ndarray]] = {}
        for path in parts:
            with np.load(path) as kept:
                columns = (kept["vectors"].tolist(), kept["places"].tolist(), kept["values"])
                for vector, place, value in zip(*columns, strict=True):
                    found.setdefault(vector, {})[place] = value
            path.unlink()
        for vector, values in found.items():
            whole = values[0]
            for place in range(1, len(values)):
                whole = np.maximum(whole, values[place]) if plan.how == "max" else whole + values[place]
            row = finish(whole, plan.vector_length[vector : vector + 1].astype(np.float64), plan.how)
            for target in opened:
                target.write(np.array([vector]), [row[layer : layer + 1] for layer in range(len(row))])

    def close(self) -> None:
        """End the processes; they end themselves with this one."""
        if self.number == 1:
            return
        for process in self.processes:
            if process.stdin is not None and not process.stdin.closed:
                with suppress(BrokenPipeError):  # what a lost one was not told is still in the buffer
                    process.stdin.close()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _say(self, line: str) -> None:
        for process in self.processes:
            assert process.stdin is not None
            try:
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
            except BrokenPipeError:  # lost: its end of output says so
                pass

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.replies.put(json.loads(line))
        self.replies.put(None)


def _beside(paths: list[Path], shard: int) -> Path:
    return paths[0].with_name(f".shard_{shard:02d}.npz")


def main() -> None:
    """A shard: for each line of standard input its batches of that split; a line of json when they are done."""
    shard = next(int(os.environ[name]) for name in RANKS if name in os.environ)
    replies, sys.stdout = sys.stdout, sys.stderr  # nothing else may speak there

    def reply(**said: Any) -> None:
        replies.write(json.dumps({"shard": shard, **said}) + "\n")
        replies.flush()

    import torch

    from neurosieve import activations, numerics
    from neurosieve.activations.models import load_model, task_folder

    try:
        params, paths, model, tasks, cache = pickle.loads(base64.b64decode(sys.stdin.readline()))  # noqa: S301
        numerics.check(params.numerics)
        torch.set_num_threads(activations.threads())
        loaded = load_model(params, model, cache, task_folder(params, paths, model, tasks[0]))
        plans: dict[Key, Plan] = {}
        for task in tasks:
            plans |= activations.make_plans(params, paths, task, loaded.coding)
        number = shards()
        for line in sys.stdin:
            asked = json.loads(line)
            keys = [(task, split) for task, split in asked["keys"]]
            parts, files = [plans[key] for key in keys], [[Path(name) for name in own] for own in asked["files"]]
            plan = join_plans(parts, loaded.coding, params.activations.batch_tokens)
            bounds = cuts(plan, number)
            first, stop = int(bounds[shard]), int(bounds[shard + 1])
            kept, spread = Kept(), apart(plan, bounds)
            where = place_in(parts, [f"{model} {task} {split}" for task, split in keys])
            with ExitStack() as stack:
                opened = targets(stack, parts, files, loaded.width, make=False)
                title = "" if shard else f"{titled(model, keys)}, shard 1 of {number}"
                for rows, layers in run_plan(loaded, plan, title, first, stop, spread, kept, where):
                    for target in opened:
                        target.write(rows, layers)
            values = np.array(kept.values) if kept.values else np.empty((0, loaded.layers, loaded.width))
            vectors, places = np.array(kept.vectors, np.int64), np.array(kept.places, np.int64)
            np.savez(_beside(files[0], shard), vectors=vectors, places=places, values=values)
            reply(done=asked["keys"])
    except Exception as error:
        if not isinstance(error, ActivationsError):
            import traceback

            traceback.print_exc()
        reply(error=" ".join(str(error).split()) or type(error).__name__)


if __name__ == "__main__":
    main()

"""One model x one token task at the size of the publication, from activations to its row of the leaderboard, 2 cores.

The sizes are those of its Java tokens: 12,000 rows to train, 1,620 to choose on, 2,040 to test, 13 layers of 768. Time
and memory do not depend on what the weights know: the model is of RoBERTa-base's shape with random weights and the
tokenizer of neurosieve-base; the task is token-roles of params.yaml, and all else stands as there. A run of Snakemake
in a folder of its own, all of its jobs. Preparing the task, which reads packages and no model, is in no time; the dump
has a row of its own.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speed import sized
from speed.common import ROOT, Failed, Options, Row, environment, fresh

NAME = "published-size"
ROWS = {"train": 12_000, "tune": 405, "judge": 1215, "test": 2040}  # chosen on: 1,620 in all
SMALL = {"train": 1000, "tune": 200, "judge": 400, "test": 400}
CORES = 2
SECONDS, GB = 600, 6


def make(folder: str, setting: str, rows: dict[str, int], layers: int, width: int) -> dict[str, Any]:
    """The folder of a run: the model, its tokenizer, the params file, the wheels that are here already."""
    import yaml

    place = Path(folder)
    tasks = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["prepare"]["tasks"]
    task = next((name for name, entry in tasks.items() if entry["kind"] == "token-roles"), None)
    if task is None:
        raise LookupError("params.yaml has no task of the kind token-roles, which this measures")
    sized.save_model(place / "model", layers, width)
    params = sized.settings(NAME, setting, task, tasks[task] | {"rows": rows}, layers, width)
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    if (ROOT / ".cache").exists():
        (place / ".cache").symlink_to((ROOT / ".cache").resolve())
    return {"task": task, "neurons": layers * width}


def snakemake(place: Path, *options: str) -> subprocess.Popen[bytes]:
    """A run in ``place``; what it says is added to log.txt there."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "workflow" / "Snakefile"), "-d", str(place)]
    command += ["--configfile", str(place / "params.yaml"), "--cores", str(CORES), *options]
    with (place / "log.txt").open("ab") as log:
        # no pins here: each job sets its own, from the params file
        env = {k: v for k, v in environment("fast", 1).items() if not k.endswith(("_NUM_THREADS", "_MAX_THREADS"))}
        return subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=place)


def finish(process: subprocess.Popen[bytes], place: Path) -> None:
    if code := process.wait():
        last = (place / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
        raise Failed("\n".join([f"the run ended with {code}; it wrote last:", *last]))


def most_memory(process: subprocess.Popen[bytes], every: float = 0.5) -> list[float]:
    """GB of the run's processes together, each page once, the most so far: [GB], which a thread keeps up to date."""
    import psutil

    most = [0.0]

    def together() -> float:
        total = 0
        try:
            found = psutil.Process(process.pid)
            family = [found, *found.children(recursive=True)]
        except psutil.Error:
            return 0.0
        for member in family:
            try:
                total += member.memory_full_info().pss
            except (psutil.Error, OSError):  # it ended meanwhile
                continue
        return total / 1e9

    def watch() -> None:
        while process.poll() is None:
            most[0] = max(most[0], together())
            time.sleep(every)

    threading.Thread(target=watch, daemon=True).start()
    return most


def by_rule(timings: Path) -> dict[str, float]:
    """CPU seconds of each rule, by Snakemake's benchmark files, the dearest first."""
    seconds: dict[str, float] = defaultdict(float)
    for file in timings.rglob("*.tsv"):
        with file.open(encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines, delimiter="\t"):
                seconds[file.relative_to(timings).parts[0]] += float(line["cpu_time"])
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def _told(seconds: dict[str, float], first: int = 6) -> str:
    return ", ".join(f"{rule} {value:.0f}" for rule, value in list(seconds.items())[:first])


def measure(place: Path, numerics: str, rows: dict[str, int], layers: int, width: int) -> dict[str, Any]:
    """Wall seconds ("dump" that of the dump), the most memory in GB and CPU seconds by rule, of all jobs after it."""
    place.mkdir()
    made = fresh(make, "fast", folder=place, setting=numerics, rows=rows, layers=layers, width=width).value
    finish(snakemake(place, "--until", "prepare_task"), place)
    began = time.perf_counter()
    finish(snakemake(place, "--until", "dump_activations"), place)
    dump = time.perf_counter() - began
    before = by_rule(place / "timings" / NAME)
    began = time.perf_counter()
    process = snakemake(place)
    most = most_memory(process)
    finish(process, place)
    wall = time.perf_counter() - began
    rules = {rule: s for rule, s in by_rule(place / "timings" / NAME).items() if rule not in before}
    return made | {"dump": dump, "wall": wall, "gb": most[0], "rules": rules}


def rows(options: Options) -> Iterator[Row]:
    sizes, layers, width = options.size((ROWS, 13, 768), (SMALL, 4, 128))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    partly = options.partly or ("" if cores >= CORES else f"{cores} core")
    for numerics in options.numerics:
        found = measure(options.work / numerics, numerics, sizes, layers, width)
        size = f"{_count(sizes.values())} tokens x {found['neurons']:,} neurons"
        work = f"{size}, activations to row"
        note = f"CPU s by rule: {_told(found['rules'])}; of {sum(found['rules'].values()):.0f}"
        facts: dict[str, Any] = {"numerics": numerics, "threads": CORES, "partly": partly}
        yield Row(work, found["wall"], SECONDS, "s", "limit", reach=1, note=note, **facts)
        yield Row(f"{size}: the dump before it, a job of one thread", found["dump"], None, "s", "", **facts)
        yield Row(f"{work}: memory of all jobs at once", found["gb"], GB, "GB", "limit", reach=1, **facts)


def _count(sizes: Sequence[int] | Any) -> str:
    return f"{sum(sizes):,}"

"""What a job costs before its work, and what a whole run waits for: imports, forks, commands, critical path.

CPU seconds of whole processes, the least of several, for what disturbs one only adds. The last rows are of the run of
params.yaml in this checkout, where it is finished (dag.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from speed import dag
from speed.common import ROOT, Options, Row, environment

MODELS, OTHERS = ("dump-activations", "ablate-neurons"), (
    "extract-corpus", "prepare-task", "measure-redundancy", "fit-baselines", "fit-probes", "fit-controls",
    "decide-status", "search-subsets", "check-robustness", "transfer-subsets", "score-test", "describe-neurons",
    "build-leaderboard",
)  # fmt: skip
MINUTES = 8  # of computing, of the ten that `make benchmark` may take from nothing on two cores
LOAD = "import sys; from neurosieve import cli, forks; forks.load(sys.argv[1])"
SMALL = ("extract-corpus", "--params", "tests/data/tiny.yaml", "--corpus", "tiny")  # nine short files
SPENT = re.compile(r"^spent ([\d.]+) s of CPU", re.M)


def run(words: Sequence[str], env: Mapping[str, str]) -> tuple[float, str]:
    """CPU seconds of a Python process and its children, and what it printed.

    Raises
    ------
    subprocess.CalledProcessError
        where it fails.
    """
    before = os.times()
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, done.stdout


def least(words: Sequence[str], env: Mapping[str, str], repeat: int) -> float:
    return min(run(words, env)[0] for _ in range(repeat))


def rows(options: Options) -> Iterator[Row]:
    repeat = options.size(5, 2)
    env = environment("portable", 1) | {"NEUROSIEVE_FORKS": "off"}
    limit: dict[str, Any] = {"unit": "CPU s", "peer": "limit", "partly": options.partly}
    cli = ("-m", "neurosieve.cli")
    yield Row("neurosieve --help", least((*cli, "--help"), env, repeat), 0.3, reach=1, **limit)
    dry = (*cli, "run", "--params", "presets/published.yaml", "-n", "--quiet", "all")
    yield Row("dry run of presets/published.yaml", least(dry, env, options.size(3, 1)), 5.0, reach=1, **limit)
    for command in options.size((*OTHERS, *MODELS), ("fit-probes",)):
        seconds, most = least(("-c", LOAD, command), env, repeat), 2.0 if command in MODELS else 0.5
        yield Row(f"imports of {command} as a process of its own", seconds, most, reach=1, **limit)
    yield from forked(options, env, repeat)
    yield from whole_run(options)


def forked(options: Options, env: Mapping[str, str], repeat: int) -> Iterator[Row]:
    """A small job as a process of its own, pins set, and forked."""
    from neurosieve import forks

    words = ("-m", "neurosieve.cli", *SMALL, "--build", str(options.work))
    alone = least(words, env, repeat)
    facts: dict[str, Any] = {"unit": "CPU s", "peer": "as a process of its own", "reach": 2, "partly": options.partly}
    # this process becomes one that starts jobs, as a run does; each part of `make bench` has its own
    os.environ.clear()
    os.environ.update(env, **dict.fromkeys(forks.THREADS, "1"))
    del os.environ[forks.VARIABLE]
    os.chdir(ROOT)
    process = forks.start(env["PYTHONPATH"])
    if process is None:
        yield Row("a small job, forked", None, alone, note="forks are Linux's", **facts)
        return
    found = []
    for _ in range(repeat + 1):  # the first one waits for the imports
        seconds, said = run(words, os.environ)
        found.append(seconds + float(SPENT.findall(said)[-1]))
    process.stdin.close()
    process.wait()
    note = "who asks for it, the fork, params, the chain, and nine short files of work"
    yield Row("a small job, forked", min(found[1:]), alone, note=note, **facts)


def whole_run(options: Options) -> Iterator[Row]:
    """Of the run in this checkout: how near it is to what no order of its jobs could be below."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    facts: dict[str, Any] = {"unit": "s", "peer": "no order of the jobs is below", "reach": 0.9, "threads": cores}
    work = "the run of params.yaml, first job to last"
    try:
        jobs = dag.read(ROOT / "params.yaml", ROOT)
    except FileNotFoundError:
        yield Row(work, None, None, note="no finished run in this checkout: `make benchmark`", **facts)
        return
    path = dag.critical_path(jobs)
    length, total, whole = sum(j.seconds for j in path), sum(j.seconds for j in jobs.values()), dag.span(jobs)
    note = (
        f"{len(jobs)} jobs; critical path {length:.0f} s; {max(0.0, 1 - total / (cores * whole)):.1%} of {cores} cores "
        f"idle; {' > '.join(job.rule for job in path)}"
    )
    yield Row(work, whole, max(length, total / cores), note=note, **facts)
    yield Row(work, whole, MINUTES * 60, **facts | {"peer": "limit", "reach": 1})

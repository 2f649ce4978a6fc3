"""Where a finished run spent its time: core-seconds by rule, the critical path, idle cores, what another order gives.

    python benchmarks/speed/dag.py                     the run of params.yaml in this folder, on 2 cores
    python benchmarks/speed/dag.py --params FILE --cores N

Reads Snakemake's benchmark files below timings/<benchmark>/ (seconds of each job; written when it ends), the last lines
of logs/<benchmark>/ (CPU seconds) and workflow/rules/ (priorities). What waits for what is asked of neurosieve.chain.
Writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Name = tuple[str, ...]  # rule and wildcards


@dataclass(frozen=True)
class Job:
    """A job of a run: its seconds, its CPU seconds, when it ended, and the jobs that it waits for.

    A process that started by itself has its imports among both.
    """

    name: Name
    seconds: float
    cpu: float | None
    end: float
    needs: frozenset[Name]

    @property
    def rule(self) -> str:
        return self.name[0]


def read(params_file: str | Path, root: Path) -> dict[Name, Job]:
    """The jobs of the run of a params file in the folder ``root``.

    Raises
    ------
    FileNotFoundError
        naming a job that has no benchmark file: the run is not finished, or its files were removed.
    """
    from neurosieve import chain
    from neurosieve.artifacts import Paths
    from neurosieve.config import load_params

    params = load_params(params_file)
    paths = Paths(params.benchmark, root / "build")
    made = {}
    needs: dict[Name, set[Name]] = defaultdict(set)
    for artifact in chain.artifacts(params, paths):
        name = (artifact.rule, *(word for key, word in artifact.wildcards.items() if key != "split"))
        made[artifact.folder] = name
        needs[name] |= {made[folder] for folder in artifact.inputs} - {name}
    found = {}
    for name, before in needs.items():
        timing = root.joinpath("timings", params.benchmark, *name).with_suffix(".tsv")
        timing = timing.with_name(f"{name[-1]}.tsv")
        if not timing.is_file():
            raise FileNotFoundError(f"{timing}: no such file; finish the run first (`neurosieve run`)")
        with timing.open(encoding="utf-8", newline="") as lines:
            seconds = float(next(csv.DictReader(lines, delimiter="\t"))["s"])
        log = root.joinpath("logs", params.benchmark, *name[:-1], f"{name[-1]}.log")
        said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        spent = re.findall(r"^spent ([\d.]+) s of CPU", said, re.M)
        cpu = float(spent[-1]) if spent else None
        found[name] = Job(name, seconds, cpu, timing.stat().st_mtime, frozenset(before))
    return found


def critical_path(jobs: Mapping[Name, Job]) -> list[Job]:
    """The chain of jobs, each waiting for the one before it, that takes longest; first job first."""
    longest: dict[Name, tuple[float, list[Job]]] = {}
    for job in in_order(jobs):
        before = max((longest[name] for name in job.needs), key=lambda found: found[0], default=(0.0, []))
        longest[job.name] = (before[0] + job.seconds, [*before[1], job])
    return max(longest.values(), key=lambda found: found[0], default=(0.0, []))[1]


def in_order(jobs: Mapping[Name, Job]) -> Iterator[Job]:
    """Each job after those that it waits for."""
    done: set[Name] = set()

    def visit(name: Name) -> Iterator[Job]:
        if name in done:
            return
        done.add(name)
        for before in sorted(jobs[name].needs):
            yield from visit(before)
        yield jobs[name]

    for name in jobs:
        yield from visit(name)


def tails(jobs: Mapping[Name, Job]) -> dict[Name, float]:
    """Seconds from the start of each job to the end of the longest chain that begins with it."""
    found = {name: job.seconds for name, job in jobs.items()}
    for job in reversed(list(in_order(jobs))):
        for name in job.needs:
            found[name] = max(found[name], jobs[name].seconds + found[job.name])
    return found


def makespan(jobs: Mapping[Name, Job], cores: int, priority: Callable[[Job], float]) -> float:
    """Seconds of a run in which a free core always takes the ready job of the highest priority, the first of equals."""
    waiting = {name: set(job.needs) for name, job in jobs.items()}
    after: dict[Name, list[Name]] = defaultdict(list)
    for name, needs in waiting.items():
        for before in needs:
            after[before].append(name)
    place = {name: i for i, name in enumerate(jobs)}
    ready = [(-priority(jobs[name]), place[name], name) for name, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    running: list[tuple[float, int, Name]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cores:
            _, number, name = heapq.heappop(ready)
            heapq.heappush(running, (now + jobs[name].seconds, number, name))
        now, _, ended = heapq.heappop(running)
        for name in after[ended]:
            waiting[name].discard(ended)
            if not waiting[name]:
                heapq.heappush(ready, (-priority(jobs[name]), place[name], name))
    return now


def priorities(rules: Path = Path("workflow/rules")) -> dict[str, int]:
    """Priority of each rule that has one."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(rules.glob("*.smk")))
    return {
        rule: int(number)
        for rule, number in re.findall(r"^rule (\w+):\n(?:(?!^rule ).*\n)*?    priority: (\d+)$", text, re.M)
    }


def span(jobs: Mapping[Name, Job]) -> float:
    """Seconds from the start of the first job to the end of the last."""
    return max(job.end for job in jobs.values()) - min(job.end - job.seconds for job in jobs.values())


def report(jobs: Mapping[Name, Job], cores: int, given: Mapping[str, int]) -> str:
    """Tables for a terminal."""
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs.values():
        by_rule[job.rule].append(job)
    total = sum(job.seconds for job in jobs.values())
    lines = [f"{'rule':<20}{'jobs':>6}{'seconds':>10}{'share':>7}{'CPU s':>9}{'longest':>9}"]
    for rule, group in sorted(by_rule.items(), key=lambda item: -sum(job.seconds for job in item[1])):
        seconds = sum(job.seconds for job in group)
        spent = [job.cpu for job in group if job.cpu is not None]
        cpu = f"{sum(spent):.1f}" if len(spent) == len(group) else "-"
        most = max(job.seconds for job in group)
        lines.append(f"{rule:<20}{len(group):>6}{seconds:>10.1f}{seconds / total:>7.0%}{cpu:>9}{most:>9.1f}")
    path, whole = critical_path(jobs), span(jobs)
    length = sum(job.seconds for job in path)
    tail = tails(jobs)
    bound = max(length, total / cores)
    lines += [
        f"{'all':<20}{len(jobs):>6}{total:>10.1f}",
        f"the run: {whole:.1f} s, {max(0.0, 1 - total / (cores * whole)):.1%} of {cores} cores idle",
        f"no order is below {bound:.1f} s; critical path {length:.1f} s: {' > '.join(' '.join(j.name) for j in path)}",
        f"without waits: {makespan(jobs, cores, lambda job: given.get(job.rule, 0)):.1f} s by the rules' priorities, "
        f"{makespan(jobs, cores, lambda job: tail[job.name]):.1f} s longest chain first, "
        f"{makespan(jobs, cores, lambda job: 0):.1f} s without priorities",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--cores", type=int, default=2, help="that the run had (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        jobs = read(args.params, Path())
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    print(report(jobs, args.cores, priorities()))


if __name__ == "__main__":
    main()

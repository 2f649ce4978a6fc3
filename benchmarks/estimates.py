"""What the jobs of a run took beside what `neurosieve plan` says of them, and the factors that make both agree.

    NEUROSIEVE_FORKS=off make benchmark
    python benchmarks/estimates.py [--params params.yaml] [--timings timings]

Of a job that is a fork Snakemake sees the process that asks for it, which takes nothing: such files are left out.

Reads the benchmark files that Snakemake writes for every job below timings/<benchmark>/. Prints, for each rule, seconds
and megabytes measured over planned (mean, and from least to most), and at the end the table FITTED for
src/neurosieve/estimates.py. Seconds are fitted by sums over the jobs of a rule, so that long ones count for more;
megabytes by the job that took most of its plan, for a job without memory is worse than one that has too much. Rules
whose jobs are mostly start are left at 1. Times are of a processor, user and system: take them on a machine with
nothing else to do, in the numerics of the params file. Writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from neurosieve import estimates
from neurosieve.config import ConfigError, load_params

LEAST_SECONDS, LEAST_MEMORY = 0.02, 0.3  # factors below these would say that a rule costs nothing
NO_JOB = 30.0  # megabytes of a process that has not even read the params file


def measured(folder: Path, job: estimates.Job) -> tuple[float, float] | None:
    """Processor seconds and megabytes of a job; None where it has no file, or Snakemake has not measured it."""
    place = folder / job.rule
    for part in (job.model, job.task, job.corpus):
        place = place / part if part is not None else place
    try:
        with place.with_name(f"{place.name}.tsv").open(encoding="utf-8") as lines:
            row = next(csv.DictReader(lines, delimiter="\t"))
        seconds, megabytes = float(row["cpu_time"]), float(row["max_rss"]) * 2**20 / 1e6
        return (seconds, megabytes) if megabytes > NO_JOB else None
    except (OSError, StopIteration, KeyError, ValueError):
        return None


def of_seconds(pairs: list[tuple[float, float]], start: float) -> float:
    """Sum of what was measured after the start over the sum of what was planned; pairs of planned and measured."""
    planned, taken = (sum(max(0.0, pair[i] - start) for pair in pairs) for i in (0, 1))
    return max(LEAST_SECONDS, taken / planned) if planned > start * len(pairs) and taken > 0 else 1.0


def of_memory(pairs: list[tuple[float, float]], base: float) -> float:
    """The most that a job took of its plan, both above the imports, of jobs that are not mostly imports."""
    ratios = [(taken - base) / (planned - base) for planned, taken in pairs if planned > 1.5 * base]
    return max(LEAST_MEMORY, *ratios) if ratios else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--timings", type=Path, default=Path("timings"))
    args = parser.parse_args()
    try:
        params = load_params(args.params)
    except ConfigError as error:
        sys.exit(str(error))
    folder = args.timings / params.benchmark
    found: dict[str, list[tuple[estimates.Need, estimates.Need, tuple[float, float]]]] = defaultdict(list)
    for job in estimates.jobs(params):
        taken = measured(folder, job)
        if taken is not None:
            found[job.rule].append((estimates.need(params, job), estimates.counted(params, job), taken))
    if not found:
        sys.exit(
            f"{folder}: no benchmark file of a job of {args.params} that was a process of its own; run it with "
            "NEUROSIEVE_FORKS=off, or name others by --timings"
        )
    heads = f"{'seconds':>9}{'from':>7}{'to':>6}{'MB':>9}{'from':>7}{'to':>6}"
    print(f"{'rule':22}{'jobs':>5}  measured over planned: {heads}")
    table = []
    for rule, jobs in found.items():
        cells = ""
        for i, name in enumerate(("seconds", "mem_mb")):
            ratios = [max(took[i], 0.01) / getattr(planned, name) for planned, _, took in jobs]
            cells += f"{statistics.geometric_mean(ratios):9.2f}{min(ratios):7.2f}{max(ratios):6.2f}"
        print(f"{rule:22}{len(jobs):>5}{'':24}{cells}")
        start, base = estimates.overhead(rule)
        seconds = of_seconds([(n.seconds, took[0]) for _, n, took in jobs], start)
        memory = of_memory([(n.mem_mb, took[1]) for _, n, took in jobs], base)
        table.append(f'    "{rule}": ({seconds:.2f}, {memory:.2f}),')
    print("\nFITTED: dict[str, tuple[float, float]] = {", *table, "}", sep="\n")


if __name__ == "__main__":
    main()

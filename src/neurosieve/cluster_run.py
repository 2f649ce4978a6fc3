"""A run on a cluster: why a job failed, which failures are tried again, and what is said while the scheduler is lost.

Works on Snakemake's own objects, which no interface of it gives; its version is pinned, and tests/system sees it work.
"""

from __future__ import annotations

import asyncio
import functools
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from neurosieve import cluster
from neurosieve.cluster import why
from neurosieve.memory import says_so
from neurosieve.run import failure, name_of

SHORT = ("OUT_OF_MEMORY", "TIMEOUT", "DEADLINE")  # states of a job that more of what it asked for may help
# What SLURM writes into the log of a job that it ends, whatever state it gives it.
ENDED = re.compile(r"DUE TO TIME LIMIT|oom[-_ ]kill|[Ee]xceeded (job|step) memory limit|exceeded memory limit")
EARLY = 12  # looks at short distance
LOST = (
    "SLURM's scheduler does not answer (`scontrol ping`). Jobs that run go on, and this run waits for it; jobs that "
    "were to be sent meanwhile fail: run the same command again then"
)
BACK = "SLURM's scheduler answers again"


def follow(workflow: Any) -> Failures:
    """Before the first job of a run is sent: see to its failures, and to a lost scheduler. Nothing on one machine."""
    if workflow.local_exec:
        return Failures()
    executor = workflow.scheduler._executor
    slurm = type(executor).__module__ == cluster.PLUGIN
    failures = Failures(told=slurm)
    succeeded, failed = executor.report_job_success, executor.report_job_error
    watch = _Watch(executor.check_active_jobs)

    def report_job_success(job_info: Any) -> None:
        watch.over[id(job_info)] = job_info
        succeeded(job_info)

    def report_job_error(job_info: Any, msg: str | None = None, **more: Any) -> None:
        watch.over[id(job_info)] = job_info
        failures.add(job_info.job, msg or "", more.get("aux_logs") or ())
        failed(job_info, msg=msg, **more)

    executor.report_job_success, executor.report_job_error = report_job_success, report_job_error
    if slurm:
        executor.check_active_jobs = watch.look
        executor.sleep = functools.partial(_pause, executor, executor.sleep)
    return failures


class _Watch:
    """A look at the states of jobs that loses none: where SLURM does not answer, the plugin forgets all of them."""

    def __init__(self, look: Callable[[list[Any]], AsyncIterator[Any]]) -> None:
        self.plugins, self.lost = look, False
        self.over: dict[int, Any] = {}  # what has been reported, by id()

    async def look(self, active: list[Any]) -> AsyncIterator[Any]:
        """Those of ``active`` that are not over yet; says once that the scheduler is lost, and once that it is back."""
        left = {id(job_info): job_info for job_info in active}
        if active:
            # without scontrol there is nothing to ask, and nobody to wait for
            here = shutil.which("scontrol") is not None
            answers = not here or "UP" in (await asyncio.to_thread(cluster.ask, "scontrol", "ping") or "")
            if answers == self.lost:
                print(BACK if answers else LOST, file=sys.stderr, flush=True)
            self.lost = not answers
        if not self.lost:
            async for job_info in self.plugins(active):
                left.pop(id(job_info), None)
                yield job_info
        for number, job_info in left.items():
            if number in self.over:
                self.over.pop(number)
            else:
                yield job_info


async def _pause(executor: Any, other: Callable[[], Awaitable[None]]) -> None:
    """Between two looks at the states of jobs. The plugin takes ten seconds more at each look at which none had ended,
    up to three minutes: a job of seconds then costs twenty, and squeue may have forgotten one that ended meanwhile."""
    wanted = executor.next_seconds_between_status_checks
    if wanted is None:
        await other()
    else:
        await asyncio.sleep(cluster.LOOK if wanted <= cluster.LOOK + 10 * EARLY else cluster.LOOK_LATER)


class Failures:
    """Why jobs of the cluster failed. One that was short of memory or time keeps its tries; any other has none left.

    Where the scheduler's reason is not ``told``, as by executors other than that of SLURM, all keep theirs.
    """

    def __init__(self, told: bool = True) -> None:
        self.told = told
        self.lines: dict[int, list[str]] = {}  # by id() of Snakemake's job
        self.start = time.time()

    def add(self, job: Any, message: str, logs: Iterable[Any]) -> None:
        """Before Snakemake decides whether the job is tried again; ``message`` and ``logs`` are the plugin's."""
        singles = list(job) if job.is_group() else [job]
        # of jobs that share one, those that are done have their outputs; those after the first failure did not start
        failed = [one for one in singles if not all(Path(path).exists() for path in one.output)]
        began = [one for one in failed if any(self._new(log) for log in one.log)]
        said = [failure(log) for one in began for log in one.log]
        reason = why(message)
        ended = [found[0] for log in logs if log and (found := ENDED.search(_text(log)))]
        self.lines[id(job)] = [_line(one, reason or "; ".join(ended)) for one in began or failed]
        if job.is_group():  # Snakemake would name all of them
            print("\n".join(f"FAILED{line}" for line in self.lines[id(job)]), file=sys.stderr, flush=True)
        short = reason.startswith(SHORT) or bool(ended) or any(map(says_so, said))
        if self.told and not short and job.restart_times > job.attempt - 1:
            job.attempt = job.restart_times + 1

    def _new(self, log: Any) -> bool:
        """Whether a log is of this run."""
        return Path(log).is_file() and Path(log).stat().st_mtime >= self.start


def _line(job: Any, reason: str) -> str:
    said = [failure(log) for log in job.log if Path(log).is_file()]
    return f"  {name_of(job)}: {'; '.join(filter(None, [*said, reason])) or 'no log'}"


def _text(log: Any) -> str:
    try:
        return Path(log).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

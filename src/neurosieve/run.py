"""Runs a benchmark through Snakemake, and says in few words how the run goes: a line a job, and the errors last.

Reads the logs of failed jobs and Snakemake's locks below .snakemake/; writes nothing.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tqdm import tqdm

from neurosieve import cluster, config, disk, forks, numerics

if TYPE_CHECKING:
    from neurosieve.artifacts import Paths
    from neurosieve.chain import Fault
    from neurosieve.config import Params

SNAKEFILE = Path("workflow/Snakefile")
# Options of Snakemake that would make another workflow, folder or params file of it: how they begin (it takes
# abbreviations), their short form, and why not.
REFUSED = (
    ("--conf", "-C", "a benchmark is one params file: write it to a file of its own and name that with --params"),
    ("--sn", "-s", "it runs workflow/Snakefile of the checkout in which it is started; `snakemake` takes it"),
    ("--dir", "-d", "it runs in the root of the checkout: change to that folder first; `snakemake` takes it"),
    ("--build", "", "artifacts of a run lie in build/<benchmark>/; another benchmark name keeps two runs apart"),
)
# What Snakemake says at every run and no reader needs; all of it stands in its log, below .snakemake/log/.
CHATTER = (
    "Assuming unrestricted", "Complete log", "Conda environments: ignored", "Elapsed time", "Execute ",
    "Exiting because a job execution failed",
    "Provided ", "Removing output files of failed job", "RuleException:\nCalledProcessError in file",
    "Rules claiming more threads", "Select jobs to execute", "Using shell",
    "WorkflowError:\nAt least one job did not complete successfully", "host: ",
)  # fmt: skip

INTERRUPT = "KeyboardInterrupt"  # the last word of a job that Ctrl-C ended
TRACEBACK = "Traceback (most recent call last):\n"


class RunError(RuntimeError):
    """A run that cannot start, with what to do instead."""


def run(params_file: str, options: Sequence[str]) -> NoReturn:
    """Run Snakemake in this folder for one params file, in the place of this process.

    So Ctrl-C and SIGTERM reach Snakemake alone, which ends its jobs and removes its lock, however long that takes.

    ``options`` are options and targets of Snakemake. Raises RunError for those that would not do what they say, outside
    a checkout, and where a killed run left its lock.
    """
    if not SNAKEFILE.is_file():
        raise RunError(f"no {SNAKEFILE} in {Path.cwd()}; run it in the root of a checkout of NeuroSieve")
    for option in options:
        for start, short, why in REFUSED:
            if option.startswith(start) or (short and option.startswith(short)):
                raise RunError(f"`neurosieve run` does not take {option}: {why}")
    if not any(option in ("-n", "--dry-run", "--dryrun", "--unlock") for option in options):
        check_queue(locked=_locked())
        check_lock(params_file)
    # last, for it takes every word that follows
    command = [sys.executable, "-m", "snakemake", *options, "--configfile", params_file]
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  (this Python)


def check_lock(params_file: str, folder: Path = Path(".snakemake/locks")) -> None:
    """Raise RunError where a lock lies in ``folder``, with the processes that go with it, if any are alive."""
    if not _locked(folder):
        return
    unlock = shlex.join(["neurosieve", "run", "--params", params_file, "--unlock"])
    if runs := processes_here():
        jobs = jobs_here()
        if set(runs) <= set(jobs):
            raise RunError(f"{left_jobs(jobs)}; then `{unlock}`")
        numbers = " ".join(map(str, runs))
        raise RunError(f"a run is still going on in this folder (processes {numbers}): wait until it ends")
    raise RunError(
        "an earlier run was killed and left its lock in .snakemake/locks/, and none of its processes is alive on this "
        f"machine: `{unlock}` removes it; then run the "
        "same command again, finished jobs are kept"
    )


def _locked(folder: Path = Path(".snakemake/locks")) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def check_cache() -> None:
    """Raise RunError where DVC's cache has braces in its path: DVC takes it for a template, after all the work."""
    if not set("{}") & set(str(Path.cwd())):  # the cache lies below, if no other place was named
        return
    asked = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], text=True, capture_output=True)
    place = Path.cwd() / asked.stdout.strip()
    if set("{}") & set(str(place)):
        raise RunError(
            f"DVC fails where the path of its cache has braces ({place}): name another with `dvc cache dir --local "
            "FOLDER`, or rename the folder; `neurosieve run` needs no DVC"
        )


def check_queue(locked: bool = False) -> None:
    """Raise RunError where jobs of a run in this folder lie in SLURM's queue: two runs would write one file."""
    queued = cluster.queued_here(locked)
    if queued:
        numbers = " ".join(queued)
        told = ", ".join(f"{number} {state}" for number, state in queued.items())
        raise RunError(
            f"jobs that were sent from this folder are in SLURM's queue ({told}): a run is still going on, or one was "
            f"killed and left them; wait until they end, or end them with `scancel {numbers}`. Then run the same "
            "command again"
        )


def check_jobs(benchmark: str) -> None:
    """Raise RunError where jobs of the benchmark are at work in this folder; those of another one write other files."""
    jobs = {number: words for number, words in _here() if _is_job(words) and _benchmark(words) in (benchmark, None)}
    if not jobs:
        return
    runs = {number for number, words in _here() if not _is_job(words)}
    if left := [number for number in jobs if not runs & _parents(number)]:
        raise RunError(left_jobs(left))
    numbers = " ".join(map(str, jobs))
    raise RunError(f"a run of {benchmark} is still going on in this folder (its jobs {numbers}): wait until it ends")


def left_jobs(numbers: Sequence[int]) -> str:
    """What to say of jobs at work whose run is gone: two of them would write one artifact."""
    said = " ".join(map(str, numbers))
    return f"jobs of a killed run are still at work in this folder (processes {said}): wait for them, or `kill {said}`"


def jobs_here() -> list[int]:
    """Process ids of jobs, of whichever run, in this folder."""
    return [number for number, words in _here() if _is_job(words)]


def _is_job(words: Sequence[bytes]) -> bool:
    from neurosieve.cli import COMMANDS

    return any(name.encode() in words for name in COMMANDS)


def _benchmark(words: Sequence[bytes]) -> str | None:
    """The benchmark of a job; None where its params file cannot be read any more."""
    file = words[words.index(b"--params") + 1] if b"--params" in words[:-1] else b"params.yaml"
    try:
        return config.load_params(os.fsdecode(file)).benchmark
    except config.ConfigError:
        return None


def _parents(number: int) -> set[int]:
    """The process that started this one, the one that started that, and so on."""
    found: set[int] = set()
    while number > 1:
        try:
            number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            break
        found.add(number)
    return found


def processes_here() -> list[int]:
    """Process ids of other Snakemake runs, and of jobs, in this folder."""
    return [number for number, _ in _here()]


def _here() -> list[tuple[int, list[bytes]]]:
    """Processes of this package and of Snakemake in this folder with their words; none where there is no /proc."""
    found = []
    here, mine = Path.cwd(), {os.getpid(), os.getppid()}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            inside = (entry / "cwd").readlink() == here
        except OSError:  # ended meanwhile, or somebody else's
            continue
        ours = b"neurosieve.cli" in words or any(Path(os.fsdecode(word)).name == "snakemake" for word in words[:3])
        if inside and ours and int(entry.name) not in mine:
            found.append((int(entry.name), words))
    return sorted(found)


class JobLines(logging.Handler):
    """Instead of Snakemake's own output: one line when a job starts, one when it fails, and what is no chatter.

    A line of a job is the time, how many jobs of how many are done, and the rule's message. On a terminal a bar stays
    below the lines.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self.stream = stream
        self.done, self.total = 0, 0
        self.bar: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self._text(record)
            if self._has_bar():
                self.bar.n, self.bar.total = self.done, self.total
                self.bar.write(text, file=self.stream) if text else None
                self.bar.refresh()
            elif text:
                self.stream.write(f"{text}\n")
                self.stream.flush()
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Leave the terminal with the lines alone."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        super().close()

    def _has_bar(self) -> bool:
        """Whether a bar is drawn now: from the first job to the last, on a terminal."""
        if self.bar is None and 0 < self.total != self.done and self.stream.isatty():
            self.bar = tqdm(file=self.stream, total=self.total, unit=" jobs", leave=False, dynamic_ncols=True)
        elif self.bar is not None and self.done == self.total:
            self.bar.close()
            self.bar = None
        return self.bar is not None

    def _text(self, record: logging.LogRecord) -> str:
        data = record.__dict__
        event = _event(record)
        if event == "JOB_INFO":
            return f"{self._head()} {data['rule_msg']}" if data["rule_msg"] else ""
        if event == "PROGRESS":
            self.done = data["done"]  # its total counts jobs that `--until` leaves out
            return f"{self._head()} done" if self.done == self.total else ""
        if event == "RUN_INFO":
            self.total = (data.get("stats") or {}).get("total", self.total)
            return f"{self.total} jobs to run" if self.total else ""
        if event == "JOB_ERROR":
            if data.get("indent"):  # one of several in a job of a cluster, which names those that failed
                return ""
            reason = cluster.why(data.get("rule_msg") or "")
            logs = [log for log in data["log"] if not reason or Path(log).is_file()]
            told = "; ".join(filter(None, [*map(failure, logs), reason])) or "no log"
            if told.startswith(INTERRUPT):
                return f"{self._head()} stopped {data['rule_name']}"
            return f"{self._head()} FAILED {data['rule_name']}: {told}"
        if event == "GROUP_ERROR" or (event is not None and record.levelno < logging.ERROR):
            return ""
        message = record.getMessage() if record.msg else ""
        if disk.full(message):
            return f"{message}\nerror: {disk.no_space(Path.cwd())}"
        return "" if message.startswith(CHATTER) else message

    def _head(self) -> str:
        return f"[{time.strftime('%H:%M:%S')}] {self.done}/{self.total}"


class Outputs:
    """The manifests that the jobs of a run are about to replace. Snakemake deletes them when a job starts.

    A job writes its folder whole or not at all, so where it failed the old folder is still there, and only its manifest
    is gone: `bring_back` returns it, so that what is made can still be read.
    """

    def __init__(self, jobs: Iterable[Any]) -> None:
        manifests = [Path(path) for job in jobs for path in job.output]
        # the number of the folder tells the old one from one that the job replaced before it failed
        self.found = {p: (p.parent.stat().st_ino, p.read_bytes()) for p in manifests if p.is_file()}

    def bring_back(self, workflow: Any) -> None:
        """After the run: with the earliest of times and without Snakemake's record, so that the job is tried again."""
        for job in workflow.scheduler.failed:
            workflow.persistence.cleanup(job)
            for path in map(Path, job.output):
                folder, data = self.found.get(path, (None, b""))
                if path.parent.is_dir() and path.parent.stat().st_ino == folder and not path.exists():
                    part = path.with_name(f".{path.name}.part")
                    part.write_bytes(data)
                    os.utime(part, (1, 1))
                    part.replace(path)


def use_job_lines(workflow: Any) -> None:
    """Put JobLines in the place of Snakemake's default output, unless its user asked for an output of his own.

    A dry run keeps Snakemake's, which gives the reasons; so does a job that a cluster runs.
    """
    asked = workflow.output_settings
    if asked.dryrun or asked.verbose or asked.printshellcmds or asked.debug_dag or asked.quiet:
        return
    logger = workflow.logger_manager.logger
    # Its own log may lie on a full disk; the run says so itself, and not by a traceback for each line that is lost.
    logging.raiseExceptions = False
    for handler in list(logger.handlers):
        if handler.name == "DefaultStreamHandler" and workflow.is_main_process:
            logger.removeHandler(handler)
            logger.addHandler(JobLines(handler.stream))


class Stale:
    """The artifacts of this folder that are not of this run, whatever their times say; they are made again.

    Snakemake goes by times and by its own records, which do not come along with `dvc pull`, `dvc exp run` or a copy. So
    what the manifests and the sums of the sources tell (chain.py) is added to what it is forced to run.
    """

    def __init__(self, workflow: Any, params: Params, paths: Paths) -> None:
        self.faults: list[Fault] = []
        if not workflow.is_main_process:
            return
        prepare = workflow._prepare_dag

        def prepare_with_stale(*args: Any, **options: Any) -> None:
            from neurosieve import chain

            prepare(*args, **options)
            self.faults = chain.stale(params, paths)
            why = {f"{fault.folder}/{chain.MANIFEST}": fault.difference for fault in self.faults}
            workflow.dag.forcefiles.update(why)
            workflow.dag._reason = _reasons({**getattr(workflow.dag._reason, "why", {}), **why})

        workflow._prepare_dag = prepare_with_stale

    def lines(self, jobs: Iterable[Any]) -> list[str]:
        """What of it the jobs of a run make again, and why: a line for each rule and reason."""
        from neurosieve import chain

        rules = {str(path): job.rule.name for job in jobs for path in job.output}
        made = {f.folder: rules.get(f"{f.folder}/{chain.MANIFEST}") for f in self.faults}
        again = [fault for fault in self.faults if made[fault.folder] is not None]
        return [f"made again: {line}" for line in chain.grouped(again, lambda fault: str(made[fault.folder]))]


def _reasons(why: Mapping[str, str]) -> dict[Any, Any]:
    """Snakemake's reasons by job; of a stale one with ``why``, by its outputs, where it would say that it is forced."""
    from snakemake.jobs import Reason

    class Told(Reason):
        __slots__ = ("told",)

        def __str__(self) -> str:
            said = str(super().__str__())
            return f"{said}: {self.told}" if self.forced and self.told else said

    class Reasons(dict[Any, Any]):
        def __init__(self) -> None:
            super().__init__()
            self.why = why  # for another module of the same workflow

        def __missing__(self, job: Any) -> Any:
            found = self[job] = Told()
            found.told = next((why[str(path)] for path in job.output if str(path) in why), "")
            return found

    return Reasons()


def start(workflow: Any, params: Params, stale: Stale, jobs: Sequence[Any]) -> None:
    """What is looked at before the first of a benchmark's ``jobs``: other runs, this machine, data.

    A plan (`snakemake -n`) needs no data; a run does, all of it, before anything starts: the data of the jobs to come
    are read here, for Snakemake deletes what a job made before it runs again. A cluster's jobs find devices elsewhere.
    Says what is made again, and why; ends the process with what stops the run.
    """
    from neurosieve import check
    from neurosieve.artifacts import Paths

    here = workflow.local_exec
    try:
        if not here:
            check_queue()
        check_jobs(params.benchmark)
    except RunError as error:
        sys.exit(f"the run cannot start\n{error}")
    for note in check.notices(params, workflow.cores if here else None, here=here):
        print(f"note: {note}", file=sys.stderr)
    for line in stale.lines(jobs):
        print(line, file=sys.stderr)
    below = f"{Paths(params.benchmark).root}/prepare/"  # a module's rules may have other names
    prepared = [job for job in jobs if any(str(path).startswith(below) for path in job.output)]
    faults = check.start_faults(params, here=here) or check.input_faults(
        params,
        [job.wildcards.corpus for job in prepared if "corpus" in job.wildcards.keys()],  # noqa: SIM118
        [job.wildcards.task for job in prepared if "task" in job.wildcards.keys()],  # noqa: SIM118
    )
    if faults:
        sys.exit("the run cannot start\n" + "\n".join(faults))


def start_module(workflow: Any, params: Params, paths: Paths, stale: Stale) -> None:
    """Have :func:`start` called for a module: Snakemake calls `onstart` of the main Snakefile alone."""
    prepare = workflow._prepare_dag

    def prepare_with_start(*args: Any, **options: Any) -> None:
        prepare(*args, **options)
        others = workflow._onstart  # all files are read by now

        def onstart(log: Any) -> None:
            below = f"{paths.root}/"
            jobs = list(workflow.dag.needrun_jobs())
            start(workflow, params, stale, [j for j in jobs if any(str(path).startswith(below) for path in j.output)])
            others(log)

        workflow._onstart = onstart

    workflow._prepare_dag = prepare_with_start


def spare_timers(workflow: Any) -> None:
    """Take Snakemake's default limit of job starts, 100 a second, away; one that a user gives stays.

    Snakemake 9 keeps it with a timer per pass of its scheduler, and every timer makes a pass more: a chain more for
    each job that ends, half a core after a hundred jobs (its issue 2967). Jobs start slower than that anyway.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def start_forks(workflow: Any, pinned: str, source: str) -> Any:
    """What jobs on this machine are forked from, to keep until the end of the run; None where they start by themselves.

    The pins stand in the environment of the jobs then, so that none has to start again for them. Not on a cluster,
    whose machines may need others, nor in environments that Snakemake makes. ``source``: PYTHONPATH of the jobs.
    """
    if not workflow.local_exec or workflow.remote_exec or workflow.deployment_settings.deployment_method:
        return None
    numerics.set_pins(pinned)
    return forks.start(source)


def _event(record: logging.LogRecord) -> str | None:
    """Name of Snakemake's event, where a record is one."""
    return getattr(record.__dict__.get("event"), "name", None)


def failure(log: Path | str) -> str:
    """What a failed job said last, in one line, and where its log lies."""
    return f"{' '.join(said(log).split())} (log: {log})"


def said(log: Path | str, whole: bool = False) -> str:
    """The last error in the log of a failed job, a bug's with its traceback where it is to be ``whole``."""
    try:
        text = Path(log).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        text = ""
    if not text:
        folder = Path(log).parent
        return f"it said nothing: {disk.no_space(folder) if disk.is_full(folder) else 'was it killed?'}"
    # an error of this package, or the last line of a traceback that begins a line; either may go on below
    starts = [
        found.start() for found in re.finditer(r"^(error\b|[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b)", text, re.M)
    ]
    if not starts:
        last = re.split(r"[\r\n]", text)[-1]
        return f"it told no error: was it killed? It said last: {last}"
    trace = text.rfind(TRACEBACK, 0, starts[-1])
    between = text[trace : starts[-1]] if whole and trace >= 0 else ""
    # what stands between a traceback's head and its error is indented; else it belongs to something before
    ours = between and all(line[:1] in " \t" for line in between.splitlines()[1:])
    return f"{between if ours else ''}{text[starts[-1] :]}"


def name_of(job: Any) -> str:
    """Rule and wildcards of a job of Snakemake; of several that share one of a cluster what Snakemake calls them."""
    if not hasattr(job, "rule"):
        return str(job.name)
    return " ".join([job.rule.name, *map(str, job.wildcards)])


def last_words(jobs: Iterable[Any], of_cluster: Mapping[int, list[str]] | None = None) -> str:
    """The end of a run that failed: of each failed job of Snakemake the rule and wildcards, the error, the log.

    The job that failed first stands last, and its error in full where that is more than the line. None failed where
    the user stopped it. ``of_cluster`` has the lines of jobs that a cluster ran, by their id().
    """
    failed = sorted(jobs, key=_failed_at, reverse=True)
    if not failed:
        return "Stopped. What is made is kept: run the same command again to go on."
    known = of_cluster or {}
    told = [
        line
        for job in failed
        for line in known.get(id(job)) or [f"  {name_of(job)}: {'; '.join(map(failure, job.log)) or 'no log'}"]
    ]
    counted = f"{len(told)} {'job' if len(told) == 1 else 'jobs'} failed"
    lines = [f"{counted}. What is made is kept: mend the cause and run the same command again.", *told]
    whole = [text for text in (said(log, whole=True) for log in failed[-1].log) if "\n" in text]
    return "\n".join([*lines, *(["The first error in full:"] if whole else ()), *whole])


def _failed_at(job: Any) -> tuple[float, str]:
    """When a failed job wrote its log for the last time, and its name."""
    times = [Path(log).stat().st_mtime for log in job.log if Path(log).exists()]
    return max(times, default=0.0), name_of(job)

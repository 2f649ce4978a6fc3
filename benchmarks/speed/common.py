"""What the parts of `make bench` share: a table row, timing beside a floor, processes of their own, growth.

A part is a file of this folder with a function ``rows(options)``, a generator of :class:`Row`. It measures in functions
of its own module that :func:`fresh` runs in another process, with the pins of a setting of `numerics:` and a number of
threads, for both are read when the libraries load. Arguments and results of such a function are JSON.

    python -m speed.common MODULE FUNCTION FILE    what `fresh` starts: FILE has the arguments, then the result
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurosieve import numerics as pinned

SCRIPTS = Path(__file__).parents[1]
# whose package, models and params.yaml are measured; another one's by `bench.py --before FOLDER`
ROOT = Path(os.environ.get("NEUROSIEVE_BENCH_BEFORE") or SCRIPTS.parent)
# what a ratio says is how many times better ours is: whether less of a unit is better, or more
LESS = ("CPU s", "s", "MB", "GB", "sub-words", "passes", "jobs", "error", "objective", "exponent", "share")
MORE = ("tokens/CPU s", "GFLOP/s", "equal", "score")
STILL = 0.10  # a floor that moves more while a row is measured says that something else was at work
RESET_PEAK = "5"  # man 5 proc, /proc/pid/clear_refs


@dataclass(frozen=True)
class Row:
    """A line of the table: one kind of work, ours against a floor, a peer or a limit.

    Parameters
    ----------
    work : what was done, with its size; with ``peer``, ``unit`` and ``numerics`` the name of the row within its part.
    ours, against : in ``unit``; None where not measured.
    unit : one of LESS or MORE. CPU s are those of all threads and processes that the work had; s are wall time.
    peer : what ``against`` is: "bare forward", "NeuroX", "limit".
    reach : the ratio that is wanted, in times better than ``against``; None where none is.
    numerics : "portable" or "fast", "" where it says nothing, as for memory.
    moved : by how much of itself the floor moved while the row was measured (:func:`interleaved`).
    partly : why the figures are not of the whole work, "" where they are; such a row is never met.

    Raises
    ------
    ValueError
        naming the field, what was given and what may be.
    """

    work: str
    ours: float | None
    against: float | None
    unit: str
    peer: str = ""
    reach: float | None = None
    numerics: str = ""
    threads: int = 1
    moved: float | None = None
    partly: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.work:
            raise ValueError("work: a row says what was done")
        if self.unit not in LESS + MORE:
            raise ValueError(f"unit: {self.unit!r} is none of {', '.join(LESS + MORE)}; add it where it belongs")
        if self.numerics not in ("", "portable", "fast"):
            raise ValueError(f"numerics: {self.numerics!r} is neither portable nor fast")
        if self.reach is not None and not self.reach > 0:
            raise ValueError(f"reach: {self.reach!r}; write how many times better than `against` ours shall be")
        for name in ("ours", "against"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: {value!r} of {self.work}; write a number from 0 on, None where not measured")

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than ``against``; None where one of them was not measured."""
        if self.ours is None or self.against is None:
            return None
        over, under = (self.ours, self.against) if self.unit in MORE else (self.against, self.ours)
        return over / under if under else math.inf if over else 1.0

    @property
    def met(self) -> str:
        """ "yes" or "no"; "not measured", "partly" where that cannot be said, "" where nothing is to be reached."""
        if self.reach is None:
            return ""
        if self.ratio is None:
            return "not measured"
        return "partly" if self.partly else "yes" if self.ratio >= self.reach else "no"


@dataclass(frozen=True)
class Options:
    """What a part is told.

    neurox, neurox_python : where NeuroX lies (None: nowhere), and the Python that has what it needs.
    quick : small sizes, a look at whether the part runs; its rows are `partly` and are not kept.
    numerics : the settings in which what depends on them is measured.
    work : a folder for files, emptied afterwards.
    """

    neurox: Path | None = None
    neurox_python: Path = Path(sys.executable)
    quick: bool = False
    numerics: tuple[str, ...] = ("portable", "fast")
    work: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))

    def size(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full

    @property
    def partly(self) -> str:
        return "small sizes" if self.quick else ""


@dataclass(frozen=True)
class Timed:
    """Medians of ours and of the floor in seconds; by what share of itself the floor moved."""

    ours: float
    floor: float
    moved: float

    @property
    def facts(self) -> dict[str, float]:
        """For a row: Row(..., **timed.facts)."""
        return {"ours": self.ours, "against": self.floor, "moved": self.moved}


def in_turn(ours: Callable[[], float], floor: Callable[[], float], repeat: int = 5, tries: int = 3) -> Timed:
    """Medians of what ``ours`` and ``floor`` say that they took, in turn: floor first and last, ``repeat`` times ours.

    The floor moved by the range of its medians before, between and after (thirds of its runs), over its median. Where
    that is more than STILL all is measured again, up to ``tries`` times in all; the try that moved least is returned.
    """
    best: Timed | None = None
    for _ in range(tries):
        floors, own = [floor()], []
        for _ in range(repeat):
            own.append(ours())
            floors.append(floor())
        cuts = [round(len(floors) * i / 3) for i in range(4)]
        thirds = [statistics.median(floors[a:b]) for a, b in itertools.pairwise(cuts) if b > a]
        middle = statistics.median(floors)
        moved = (max(thirds) - min(thirds)) / middle if middle else 0.0
        timed = Timed(statistics.median(own), middle, moved)
        if best is None or moved < best.moved:
            best = timed
        if moved <= STILL:
            break
    assert best is not None
    return best


def interleaved(
    ours: Callable[[], object],
    floor: Callable[[], object],
    repeat: int = 5,
    tries: int = 3,
    clock: Callable[[], float] = time.process_time,
) -> Timed:
    """The same of two functions that are timed here.

    clock : in seconds: of this process, all threads; a machine with nothing else to do may take time.perf_counter.
    """

    def seconds(work: Callable[[], object]) -> float:
        start = clock()
        work()
        return clock() - start

    return in_turn(lambda: seconds(ours), lambda: seconds(floor), repeat, tries)


@dataclass
class Peak:
    """MB of memory: at the start, the most that there was, and their difference."""

    start: float = 0.0
    most: float = 0.0

    @property
    def above(self) -> float:
        return self.most - self.start


@contextlib.contextmanager
def peak() -> Iterator[Peak]:
    """The most memory of this process while the block runs, by Linux's own count, which is reset at the start.

    Where it cannot be reset the most since the process began stands in: never less than what is asked.
    """
    found = Peak()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="ascii")
    found.start = _status_mb("VmRSS")
    try:
        yield found
    finally:
        found.most = max(found.start, _status_mb("VmHWM"))


def _status_mb(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # no Linux: only the most is known
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def cpu_seconds() -> float:
    """Processor seconds of this process, all threads, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


@dataclass(frozen=True)
class Fresh:
    """What a function in a process of its own gave and took.

    value : its result. cpu, wall : seconds of the call, cpu with its children. start : processor seconds before it,
    which is the interpreter and the module's imports. peak : MB above what the process had before the call.
    most : MB, all of it.
    """

    value: Any
    cpu: float
    wall: float
    start: float
    peak: float
    most: float


def environment(numerics: str, threads: int) -> dict[str, str]:
    """This environment, with the pins of ``numerics`` and no others, and ``threads`` for each library with a count."""
    env = {name: value for name, value in os.environ.items() if name not in pinned.PORTABLE}
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    env |= dict.fromkeys(counts, str(threads)) | pinned.pins(numerics or "fast")
    paths = [str(SCRIPTS), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return env | {"PYTHONPATH": os.pathsep.join(paths)}


class Failed(RuntimeError):
    """A process of its own ended without a result."""


def fresh(
    function: Callable[..., Any],
    numerics: str = "portable",
    threads: int = 1,
    python: Path | str | None = None,
    timeout: float | None = None,
    **arguments: Any,
) -> Fresh:
    """Call ``function(**arguments)`` in a process of its own that has the pins and the threads.

    function : of the top of a module that can be imported. arguments, result : JSON; paths become strings, and none is
    named as a parameter of this function.

    Raises
    ------
    Failed
        with the last lines that the process wrote.
    """
    return beside([(function, arguments)], numerics, threads, python, timeout)[0]


def beside(
    calls: Sequence[tuple[Callable[..., Any], Mapping[str, Any]]],
    numerics: str = "portable",
    threads: int = 1,
    python: Path | str | None = None,
    timeout: float | None = None,
) -> list[Fresh]:
    """Several functions, each in a process of its own, at once: the calls begin when all have imported their module.

    Raises as :func:`fresh`.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        started: list[tuple[str, Path, Path, subprocess.Popen[str]]] = []
        try:
            for i, (function, arguments) in enumerate(calls):
                file, log = Path(folder, f"{i}.json"), Path(folder, f"{i}.log")
                file.write_text(json.dumps(dict(arguments), default=str), encoding="utf-8")
                module = function.__module__
                if module == "__main__":  # a part that is run as a script
                    module = f"speed.{Path(sys.modules['__main__'].__file__ or '').stem}"
                name = f"{module}.{function.__qualname__}"
                told = ", ".join(f"{k}={v}" for k, v in arguments.items())
                print(f"  {name}({told}) in {numerics}, threads {threads}", file=sys.stderr, flush=True)
                command = [
                    str(python or sys.executable),
                    "-m",
                    "speed.common",
                    module,
                    function.__qualname__,
                    str(file),
                ]
                with log.open("w", encoding="utf-8") as out:
                    process = subprocess.Popen(
                        command, env=environment(numerics, threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=out, text=True,
                    )  # fmt: skip
                started.append((name, file, log, process))
            for *_, process in started:
                assert process.stdout is not None
                process.stdout.readline()  # it is ready, or it has ended, which is seen below
            for *_, process in started:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write("go\n")
                    process.stdin.flush()
            found = []
            for name, file, log, process in started:
                try:
                    code = process.wait(timeout)
                except subprocess.TimeoutExpired:
                    raise Failed(f"{name} was not done within {timeout:g} s") from None
                if code:
                    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
                    raise Failed("\n".join([f"{name} ended with {code}; it wrote last:", *last]))
                found.append(Fresh(**json.loads(file.read_text(encoding="utf-8"))))
            return found
        finally:
            for *_, process in started:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        with contextlib.suppress(BrokenPipeError):
                            pipe.close()


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of the least-squares line through log cost over log size: 1 where the cost grows as the size does.

    Raises
    ------
    ValueError
        fewer than two sizes, or a size or cost that is not above 0.
    """
    if len(set(sizes)) < 2 or min(*sizes, *costs) <= 0:
        raise ValueError(f"two sizes at least, all above 0, and costs above 0: {list(sizes)}, {list(costs)}")
    return statistics.linear_regression([math.log(s) for s in sizes], [math.log(c) for c in costs]).slope


def growth(work: str, sizes: Sequence[float], costs: Sequence[float], own: float, unit: str, **facts: Any) -> Row:
    """A row that holds the fitted exponent of ``costs`` (in ``unit``) over ``sizes`` against the method's ``own``.

    Met where it is at most a twentieth of itself above: fits of measured times scatter.
    """
    told = ", ".join(f"{s:g}: {c:.3g}" for s, c in zip(sizes, costs, strict=True))
    facts = {"peer": "the method's own", "reach": 0.95, "note": f"{unit} by size: {told}"} | facts
    return Row(work, max(0.0, exponent(sizes, costs)), own, "exponent", **facts)


def alone_and_beside(
    function: Callable[..., Any],
    numerics: str = "portable",
    jobs: int = 2,
    repeat: int = 3,
    tries: int = 2,
    **arguments: Any,
) -> Timed:
    """Wall seconds of the slowest of ``jobs`` equal calls at once (ours) and of one alone (floor), by :func:`in_turn`.

    A call has one thread. Where the function's result holds `wall`, its
    seconds are that: what it says its work took, without what it had to make first.
    """

    def wall(found: Fresh) -> float:
        own = found.value.get("wall") if isinstance(found.value, dict) else None
        return found.wall if own is None else float(own)

    return in_turn(
        lambda: max(wall(found) for found in beside([(function, arguments)] * jobs, numerics)),
        lambda: wall(fresh(function, numerics, **arguments)),
        repeat,
        tries,
    )


def _main() -> None:
    module, function, file = sys.argv[1:4]
    ours = os.dup(1)
    os.dup2(2, 1)  # libraries may print what they like
    call = getattr(importlib.import_module(module), function)
    arguments = json.loads(Path(file).read_text(encoding="utf-8"))
    os.write(ours, b"ready\n")
    sys.stdin.readline()
    before, began = cpu_seconds(), time.perf_counter()
    with peak() as memory:
        value = call(**arguments)
    wall, cpu = time.perf_counter() - began, cpu_seconds() - before
    found = Fresh(value, cpu, wall, before, memory.above, memory.most)
    Path(file).write_text(json.dumps(found.__dict__), encoding="utf-8")


if __name__ == "__main__":
    _main()

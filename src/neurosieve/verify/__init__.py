"""`neurosieve verify`: runs a benchmark again in a clean tree and says, artifact by artifact, whether it is the same.

Reads the checkout at HEAD, build/<benchmark>/ at hand, else results/<benchmark>/, dvc.lock and DVC's cache. Writes in a
folder of its own below build/, which it removes, and the report it is asked for; never what it compares with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neurosieve import config
from neurosieve.artifacts import Paths, write_text
from neurosieve.compare import Compared, artifacts_below, compare_artifact, compare_builds
from neurosieve.config import Params
from neurosieve.verify import committed, report, tree
from neurosieve.verify.tree import VerifyError

__all__ = ["FAILED", "VerifyError", "run_again", "with_folder"]

FAILED = 3  # exit status where nothing could be compared; 0, 1 and 2 are the verdicts


@dataclass(frozen=True)
class Options:
    """What the command line asks: see `neurosieve verify --help`."""

    params_file: str
    build: str = "build"
    part: str | None = None
    report: Path | None = None
    keep: bool = False
    dirty: bool = False
    cores: str = "all"


def run_again(params: Params, options: Options) -> int:
    """Run the benchmark or a part of it again in a clean tree and compare; the exit status of the verdict.

    Raises VerifyError where it cannot: uncommitted changes, an unknown part, no earlier artifacts for a part, nothing
    to compare with, a run that fails (its tree is kept for its logs).
    """
    root = Path.cwd()
    hand = Paths(params.benchmark, options.build).root
    names = artifacts_of(Path(options.params_file))
    chosen = part_of(params, names, options.part)
    at_hand = bool(artifacts_below(hand))
    if not at_hand:
        committed.require(params, root, options.part)
    borrowed = [] if chosen is None else before(names, chosen)
    if missing := [name for name in borrowed if not (hand / name / "manifest.json").is_file()]:
        raise VerifyError(
            f"{options.part}: needs {missing[0]} and {len(missing) - 1} more artifacts of earlier phases, which are not "
            f"in {hand}: fetch them (`neurosieve pull`), make them (`neurosieve run`), or verify the whole benchmark"
        )
    _check_borrowed(params, options, borrowed)
    place = tree.new_place(root, params)
    done = False
    try:
        params_file = tree.fill(root, place, Path(options.params_file), params, dirty=options.dirty)
        fresh = place / "build" / params.benchmark
        tree.lend_artifacts(hand, fresh, borrowed)
        _snakemake(place, params_file, [] if chosen is None else [(fresh / n) for n in chosen], options.cores)
        print("comparing", file=sys.stderr)
        if at_hand:
            against, found = "build", compare_builds(hand, fresh, chosen)
        else:
            against, found = "committed", committed.compare(params, root, place)
        done = True
    finally:
        if done and not options.keep:
            tree.remove(root, place)
        else:
            print(f"kept: {place}", file=sys.stderr)
    return _finish(params, options, against, found)


def with_folder(params: Params, options: Options, folder: Path) -> int:
    """Compare what is at hand with another folder, without running anything: a build or the results of elsewhere.

    ``folder`` is the "before": build/<benchmark> or the folder that holds it, or results/<benchmark>.
    """
    hand = Paths(params.benchmark, options.build).root
    there = folder / params.benchmark if (folder / params.benchmark).is_dir() else folder
    if not there.is_dir():
        raise VerifyError(f"{folder}: no such folder; name a build folder or the results of another run")
    results = Path("results") / params.benchmark
    if (there / "leaderboard.csv").is_file():  # published results
        now = hand / "leaderboard" if (hand / "leaderboard" / "leaderboard.csv").is_file() else results
        if not (now / "leaderboard.csv").is_file():
            raise VerifyError(f"no leaderboard in {hand} and none in {results} to compare with {folder}")
        return _finish(params, options, "folder", [compare_artifact("leaderboard", there, now, {})])
    names = sorted({*artifacts_below(there), *artifacts_below(hand)})
    if not artifacts_below(there):
        raise VerifyError(f"{folder}: no artifacts of benchmark {params.benchmark} and no leaderboard.csv in it")
    if not artifacts_below(hand):
        raise VerifyError(f"{hand}: no artifacts to compare; run the benchmark (`neurosieve run`), or name --build")
    return _finish(
        params, options, "folder", compare_builds(there, hand, part_of(params, names, options.part), progress=_progress)
    )


def _progress(artifact: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{artifact[: shutil.get_terminal_size().columns - 1]}\033[K", end="", file=sys.stderr)


def _finish(params: Params, options: Options, against: str, found: list[Compared]) -> int:
    if options.report is not None:
        write_text(options.report, report.as_json(params, options.part, against, found))
    print(report.as_text(params, options.part, against, found), end="")
    return report.status(found)


def artifacts_of(params_file: Path) -> list[str]:
    """Artifacts of a params file, relative to build/<benchmark>, in the order of the phases: Snakemake's own plan."""
    raise NotImplementedError


def part_of(params: Params, names: Iterable[str], part: str | None) -> list[str] | None:
    """The artifacts of a part: a phase, a row model:task, or an artifact's folder; None for all.

    Artifacts of one job (the splits of a dump or of a task, and its card) come together.
    """
    if part is None:
        return None
    names = list(names)
    model, colon, task = part.partition(":")
    folder = part.rstrip("/")
    for prefix in (f"build/{params.benchmark}/", f"{params.benchmark}/"):
        folder = folder.removeprefix(prefix)
    if part in config.PHASES:
        chosen = [name for name in names if name.split("/")[0] == part]
    elif colon:
        chosen = [name for name in names if f"/{model}/{task}/" in f"/{name}/"]
    else:
        chosen = [name for name in names if f"{name}/".startswith(f"{folder}/")]
    if not chosen:
        rows = ", ".join(f"{m}:{t}" for m in params.probed[:2] for t in params.run.tasks[:2])
        raise VerifyError(
            f"{part}: no such part of benchmark {params.benchmark}; name a phase ({', '.join(config.PHASES)}), a row "
            f"({rows}, ...) or an artifact's folder (such as {names[-1] if names else 'leaderboard'})"
        )
    jobs = {_job(name) for name in chosen}
    return [name for name in names if _job(name) in jobs]


def _job(artifact: str) -> str:
    """Artifacts with the same are written by one job."""
    splits = artifact.startswith(("activations/", "prepare/tasks/")) and not artifact.endswith("/finetuned")
    return artifact.rpartition("/")[0] if splits else artifact


def before(names: list[str], chosen: list[str]) -> list[str]:
    """What a part is computed from and what else is not run again: all other artifacts up to its last phase."""
    last = max(config.PHASES.index(name.split("/")[0]) for name in chosen)
    return [n for n in names if n not in set(chosen) and config.PHASES.index(n.split("/")[0]) <= last]


def _check_borrowed(params: Params, options: Options, names: list[str]) -> None:
    """Refuse artifacts of earlier phases that are not what this checkout would make."""


def _snakemake(place: Path, params_file: str, targets: list[Path], cores: str) -> None:
    """Run the workflow of a tree there; its lines go to stderr, for stdout is the table."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SNAKEMAKE_", "DVC_"))}
    env |= {"PYTHONPATH": str(place / "src"), "NEUROSIEVE_PUBLISH": "later"}
    for key in ("NEUROSIEVE_DATA", "HF_HOME", "HF_HUB_CACHE"):
        if env.get(key):
            env[key] = str(Path(env[key]).absolute())
    wanted = [(path / "manifest.json").relative_to(place).as_posix() for path in targets]
    command = [sys.executable, "-m", "snakemake", "--cores", cores, *wanted, "--configfile", params_file]
    print(f"running {len(wanted) or 'all'} artifacts again in {place}", file=sys.stderr)
    done = subprocess.run(command, cwd=place, env=env, stdout=sys.stderr)
    if done.returncode:
        raise VerifyError(f"the run in the clean tree failed, its error stands above; its logs are in {place}/logs")

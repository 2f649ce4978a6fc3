"""`neurosieve verify`: runs a benchmark again in a clean tree and says, artifact by artifact, whether it is the same.

Reads the checkout at HEAD, build/<benchmark>/ at hand, else results/<benchmark>/, dvc.lock and DVC's cache. Writes in a
folder of its own below build/, which it removes, and the report it is asked for; never what it compares with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurosieve import chain, config
from neurosieve.artifacts import Paths, write_text
from neurosieve.chain import Artifact
from neurosieve.config import Params
from neurosieve.run import SNAKEFILE
from neurosieve.verify import committed, report, tree
from neurosieve.verify.differences import Compared, artifacts_below, compare_artifact, compare_builds
from neurosieve.verify.tree import VerifyError

__all__ = ["Options", "VerifyError", "run_again", "with_folder"]


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
    if not SNAKEFILE.is_file():
        raise VerifyError(f"no {SNAKEFILE} in {root}; run it in the root of a checkout of NeuroSieve")
    paths = Paths(params.benchmark, options.build)
    chosen = part_of(params, paths, options.part)
    at_hand = bool(artifacts_below(paths.root))
    if not at_hand:
        committed.require(params, root, options.part)
    borrowed = [] if chosen is None else _borrowed(params, paths, chosen, str(options.part))
    names = [_name(artifact, paths) for artifact in chosen or chain.artifacts(params, paths)]
    place = tree.new_place(root, params)
    fresh = place / "build" / params.benchmark
    ran = done = False
    try:
        params_file = tree.fill(root, place, Path(options.params_file), params, dirty=options.dirty)
        tree.lend_artifacts(paths.root, fresh, borrowed)
        ran = True
        _snakemake(place, params_file, [fresh / name for name in names] if chosen else [], options.cores)
        print("comparing", file=sys.stderr)
        if at_hand:
            against, found = "build", compare_builds(paths.root, fresh, names, _progress)
        else:
            against, found = "committed", committed.compare(params, root, place)
        done = True
    finally:
        if ran and (options.keep or not done):
            print(f"kept: {place}", file=sys.stderr)
        else:
            tree.remove(root, place)
    return _finish(params, options, against, found)


def with_folder(params: Params, options: Options, folder: Path) -> int:
    """Compare what is at hand with another folder, without running anything: a build or the results of elsewhere.

    ``folder`` is the "before": build/<benchmark> or the folder that holds it, or results/<benchmark>.
    """
    paths = Paths(params.benchmark, options.build)
    hand = paths.root
    there = folder / params.benchmark if (folder / params.benchmark).is_dir() else folder
    if not there.is_dir():
        raise VerifyError(f"{folder}: no such folder; name a build folder or the results of another run")
    results = Path("results") / params.benchmark
    if (there / "leaderboard.csv").is_file():  # published results
        now = hand / "leaderboard" if (hand / "leaderboard" / "leaderboard.csv").is_file() else results
        if not (now / "leaderboard.csv").is_file():
            raise VerifyError(f"no leaderboard in {hand} and none in {results} to compare with {folder}")
        return _finish(params, options, "folder", [compare_artifact("leaderboard", there, now, {})])
    if not artifacts_below(there):
        raise VerifyError(f"{folder}: no artifacts of benchmark {params.benchmark} and no leaderboard.csv in it")
    if not artifacts_below(hand):
        raise VerifyError(f"{hand}: no artifacts to compare; run the benchmark (`neurosieve run`), or name --build")
    chosen = part_of(params, paths, options.part)
    names = None if chosen is None else [_name(artifact, paths) for artifact in chosen]
    return _finish(params, options, "folder", compare_builds(there, paths.root, names, _progress))


def _progress(artifact: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{artifact[: shutil.get_terminal_size().columns - 1]}\033[K", end="\r", file=sys.stderr)


def _finish(params: Params, options: Options, against: str, found: list[Compared]) -> int:
    print(report.as_text(params, options.part, against, found), end="", flush=True)
    if options.report is not None:  # last: hours of work are told, also where it cannot be written
        try:
            write_text(options.report, report.as_json(params, options.part, against, found))
        except OSError as error:
            raise VerifyError(f"{options.report}: the report cannot be written: {error.strerror}") from None
    return report.status(found)


def part_of(params: Params, paths: Paths, part: str | None) -> list[Artifact] | None:
    """The artifacts of a part: a phase, a row model:task, or an artifact's folder; None for all.

    What one job writes (the splits of a dump; those of a task, and its card) comes together.
    """
    if part is None:
        return None
    every = chain.artifacts(params, paths)
    model, colon, task = part.partition(":")
    folder = part.rstrip("/")
    for prefix in (f"build/{params.benchmark}/", f"{params.benchmark}/"):
        folder = folder.removeprefix(prefix)
    if part in config.PHASES:
        chosen = [a for a in every if a.phase == part]
    elif colon:
        chosen = [a for a in every if (a.wildcards.get("model"), a.wildcards.get("task")) == (model, task)]
    else:
        chosen = [a for a in every if f"{_name(a, paths)}/".startswith(f"{folder}/")]
    if not chosen:
        rows = ", ".join(f"{m}:{t}" for m in params.probed[:2] for t in params.run.tasks[:1])
        raise VerifyError(
            f"{part}: no such part of benchmark {params.benchmark}; name a phase ({', '.join(config.PHASES)}), a row "
            f"({rows}, ...) or an artifact's folder (such as {_name(every[-1], paths)})"
        )
    jobs = {_job(artifact) for artifact in chosen}
    return [artifact for artifact in every if _job(artifact) in jobs]


def _job(artifact: Artifact) -> tuple[str, ...]:
    """Artifacts with the same are written by one job."""
    return (artifact.rule, *(name for key, name in sorted(artifact.wildcards.items()) if key != "split"))


def _name(artifact: Artifact, paths: Paths) -> str:
    return artifact.folder.relative_to(paths.root).as_posix()


def _borrowed(params: Params, paths: Paths, chosen: Sequence[Artifact], part: str) -> list[str]:
    """Names of what a part is computed from and does not contain; refused where it is not what this run would make."""
    wanted = {artifact.folder for artifact in chosen}
    links = chain.Chain(params, paths)
    jobs = {_job(artifact) for artifact in links.below(wanted)}  # whole, for Snakemake makes a job's outputs together
    earlier = [a for a in links.artifacts if _job(a) in jobs and a.folder not in wanted]
    print(f"checking {len(earlier)} artifacts that {part} is computed from", file=sys.stderr)
    if faults := links.faults(earlier, contents=True):
        more = f" (and {len(faults) - 1} more artifacts)" if faults[1:] else ""
        raise VerifyError(
            f"{part} cannot be run from the artifacts at hand: {faults[0].kind}: {faults[0]}{more}; make them again "
            "(`neurosieve run`), fetch them (`neurosieve pull`), or verify without a part"
        )
    return [_name(artifact, paths) for artifact in earlier]


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

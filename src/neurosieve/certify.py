"""`neurosieve certify`: after a run of Snakemake, the dvc.lock that `dvc repro` would have written, or why not.

Reads everything below build/<benchmark>/, results/<benchmark>/ and the sources. Writes dvc.lock and DVC's cache,
through DVC itself, for params.yaml alone: DVC has no option for another file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from neurosieve import chain
from neurosieve.artifacts import Paths, read_manifest
from neurosieve.config import PHASES, Params
from neurosieve.run import check_cache
from neurosieve.verify import committed

DEFAULT = Path("params.yaml")  # the file that dvc.yaml names
LOCK, STAGES = Path("dvc.lock"), Path("dvc.yaml")


class CertifyError(RuntimeError):
    """A benchmark that cannot be certified, with everything that is wrong with it."""


def certify(params: Params, paths: Paths, params_file: str | Path, results: Path = Path("results")) -> str:
    """Check all artifacts with their content, and results; then write dvc.lock. Returns what to tell the user.

    Raises
    ------
    CertifyError
        stale, damaged or foreign artifacts, results that are not those of the leaderboard, all of them named by group;
        artifacts with the bits of a machine on which `numerics: portable` does not hold; or what DVC said where it
        failed.
    """
    default = _is_default(Path(params_file))
    if default and not (paths.root.exists() and paths.root.samefile(Paths(params.benchmark).root)):
        raise CertifyError(
            f"{LOCK} is that of {Paths(params.benchmark).root}, and {paths.root} is another folder: leave --build out"
        )
    looked = chain.Chain(params, paths)
    with tqdm(desc="checking", total=_size(looked), unit="B", unit_scale=True, mininterval=1, disable=None) as progress:
        looked.seen = progress.update
        faults = [*looked.faults(contents=True), *strays(looked), *result_faults(params, paths, results)]
    if faults:
        rules = {artifact.folder: artifact.rule for artifact in looked.artifacts}
        lines = [f"  {line}" for line in chain.grouped(faults, lambda fault: rules.get(fault.folder, ""))]
        raise CertifyError("\n".join(["not certified:", *lines, _remedy(faults)]))
    if native := _native(looked):
        raise CertifyError(f"not certified: {native}")
    checked = f"{len(looked.artifacts)} artifacts are those of {params_file}, and results/{params.benchmark}/ is theirs"
    if not default:
        manifest = results / params.benchmark / chain.MANIFEST
        return f"{checked}; their certificate is {manifest}, for dvc.lock is that of {DEFAULT} alone"
    before = LOCK.read_bytes() if LOCK.is_file() else None
    try:
        _commit(looked)
    except BaseException:  # DVC writes it stage by stage: a half of it is no certificate
        LOCK.unlink(missing_ok=True) if before is None else LOCK.write_bytes(before)
        raise
    said = "is as it was" if LOCK.read_bytes() == before else "written" if before is None else "written anew"
    return f"{checked}; {LOCK} {said}"


def strays(looked: chain.Chain) -> Iterator[chain.Fault]:
    """Files in the folders of the phases that no artifact of this run has: dvc.lock would hold them."""
    folders = {artifact.folder for artifact in looked.artifacts}
    for phase in PHASES:
        for path in sorted((looked.paths.root / phase).rglob("*")):
            if path.is_file() and not chain.of_the_system(path) and folders.isdisjoint(path.parents):
                yield chain.Fault("content", path, "of no artifact of this run; delete it")


def result_faults(params: Params, paths: Paths, results: Path) -> Iterator[chain.Fault]:
    """Files of results/<benchmark>/ that are not those of the leaderboard."""
    built, copy = paths.leaderboard(), results / params.benchmark
    names = {p.relative_to(folder) for folder in (built, copy) for p in folder.rglob("*") if p.is_file()}
    for name in sorted(names):
        one, other = built / name, copy / name
        if not other.is_file():
            yield chain.Fault("missing", other, f"not there; {built} has it: `neurosieve publish` copies it")
        elif not one.is_file():
            yield chain.Fault("content", other, f"{built} has none; `neurosieve publish` takes it out")
        elif one.read_bytes() != other.read_bytes():
            yield chain.Fault("content", other, f"not as in {built}; `neurosieve publish` copies it")


def _native(looked: chain.Chain) -> str:
    """What is said of artifacts that were made without the pins, or of those; empty where there are none."""
    found = {a.folder: read_manifest(a.folder)["facts"].get("numerics", []) for a in looked.artifacts}
    made = [folder for folder, marks in found.items() if marks]
    if not made:
        return ""
    machines = ", ".join(sorted({mark for marks in found.values() for mark in marks}))
    return (
        f"{len(made)} artifacts, the first {made[0]}, have the bits of other hardware ({machines}), and a certificate "
        "is of bits that every machine gives: run it on Linux on x86-64 with AVX2 and FMA; here `neurosieve show` "
        "compares results with the committed ones within tolerance"
    )


def _remedy(faults: list[chain.Fault]) -> str:
    if any(fault.kind == "content" for fault in faults):
        return "delete the folders that are damaged, and run `neurosieve run`: it makes again what is not of this run"
    return "run `neurosieve run`: it makes again what is not of this run"


def _is_default(params_file: Path) -> bool:
    return params_file.exists() and DEFAULT.exists() and params_file.samefile(DEFAULT)


def _size(looked: chain.Chain) -> int:
    """Bytes of all artifacts, for the progress bar."""
    return sum(p.stat().st_size for a in looked.artifacts for p in a.folder.rglob("*") if p.is_file())


def _drop_damaged(looked: chain.Chain) -> None:
    """Take out of DVC's cache what is no longer what its name says, of the files that are about to be in it.

    DVC believes that a read-only file of its cache is what its name says. It would leave it there, and with linked
    caches put it in the place of the file that was checked.
    """
    cache = committed.cache_folder(Path.cwd())
    if cache is None:
        return
    for artifact in looked.artifacts:
        for path in sorted(p for p in artifact.folder.rglob("*") if p.is_file()):
            wanted = committed.md5_of(path)
            stored = committed.cached(cache, wanted)
            if stored.is_file() and not stored.samefile(path) and committed.md5_of(stored) != wanted:
                stored.unlink()


def _commit(looked: chain.Chain) -> None:
    if not STAGES.is_file():
        raise CertifyError(f"no {STAGES} in {Path.cwd()}; run it in the root of a checkout of NeuroSieve")
    check_cache()
    _drop_damaged(looked)
    command = [sys.executable, "-m", "dvc", "commit", "--force", "--quiet"]
    done = subprocess.run(command, text=True, stderr=subprocess.PIPE)
    if done.returncode:
        raise CertifyError(f"`dvc commit` failed: {' '.join(done.stderr.split())}")

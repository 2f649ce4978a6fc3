"""What is committed, as something to compare with: results/<benchmark>/, dvc.lock, and what DVC's cache has of it.

Reads dvc.lock, results/ of a clean tree and DVC's cache; writes links to the cache below the tree's folder.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from neurosieve import config
from neurosieve.artifacts import read_manifest
from neurosieve.config import Params
from neurosieve.verify.differences import (
    DIFFERENT,
    IDENTICAL,
    NOT_COMPARED,
    Compared,
    artifacts_below,
    compare_artifact,
    compare_builds,
)
from neurosieve.verify.tree import VerifyError

PULL = "`neurosieve pull` brings the artifacts, to say where and by how much"
PARAMS_FILE = "params.yaml"  # the one that dvc.yaml, and so dvc.lock, is about


def require(params: Params, root: Path, part: str | None) -> None:
    """Raise VerifyError where neither results nor dvc.lock have anything of this benchmark, or a part is asked for."""
    if part is not None:
        raise VerifyError(
            f"build/{params.benchmark} has no artifacts, so there is nothing to run {part} from: fetch them "
            "(`neurosieve pull`), make them (`neurosieve run`), or verify the whole benchmark"
        )
    if not (root / "results" / params.benchmark / "manifest.json").is_file() and not outs(root, params):
        raise VerifyError(
            f"nothing to compare with: no artifacts in build/{params.benchmark}, no results/{params.benchmark} and "
            "nothing of it in dvc.lock; name a folder of another run with --against, or run it (`neurosieve run`)"
        )


def stages(root: Path) -> dict[str, Any]:
    """Stages of dvc.lock by name; none where there is no such file."""
    path = root / "dvc.lock"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
    except (yaml.YAMLError, KeyError, TypeError):
        raise VerifyError(f"{path}: not a lock file of DVC; `git checkout dvc.lock` brings the committed one") from None
    return dict(found)


def outs(root: Path, params: Params) -> dict[str, Mapping[str, Any]]:
    """phase -> entry of its folder build/<benchmark>/<phase> in dvc.lock."""
    found = {}
    for phase, stage in stages(root).items():
        for out in stage.get("outs", []):
            if out["path"] == f"build/{params.benchmark}/{phase}":
                found[phase] = out
    return found


def folder_md5(folder: Path) -> str:
    """The hash that DVC gives a folder: md5 of the sorted list of its files with theirs."""
    entries = [
        {"md5": md5_of(path), "relpath": path.relative_to(folder).as_posix()}
        for path in _files(folder)
        if path.suffix != ".pyc"
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def compare(params: Params, root: Path, place: Path) -> list[Compared]:
    """Compare a run in ``place`` with what is committed there.

    By phase: an equal hash of the whole folder says that all of its artifacts are identical. Where it is another, the
    artifacts are compared with DVC's cache, if they are in it; if not, the phase differs as a whole, and the cause is
    looked for among the stage's deps and params. Where that leaves other hardware, nothing is said of the phase but
    that it was not compared. The leaderboard is compared with results/ in any case.
    """
    fresh, linked = place / "build" / params.benchmark, place.parent / "cache"
    published = place / "results" / params.benchmark
    locked = outs(place, params)
    if not locked:  # another benchmark than that of params.yaml: its leaderboard names the sums of all the others
        return [compare_artifact("leaderboard", published, fresh / "leaderboard", {})]
    cache = cache_folder(root)
    found: list[Compared] = []
    by_artifact: list[str] = []
    for phase in config.PHASES:
        names = [name for name in artifacts_below(fresh) if name.split("/")[0] == phase]
        if phase in locked and folder_md5(fresh / phase) == locked[phase]["md5"]:
            found += [Compared(name, IDENTICAL) for name in names]
        elif phase in locked and cache is not None and _from_cache(cache, locked[phase]["md5"], linked / phase):
            by_artifact += sorted({*names, *(n for n in artifacts_below(linked) if n.split("/")[0] == phase)})
        elif phase == "leaderboard":
            (linked / phase).parent.mkdir(exist_ok=True)
            (linked / phase).symlink_to(published)
            by_artifact.append(phase)
        else:
            marks = sorted(
                {mark for name in names for mark in read_manifest(fresh / name)["facts"].get("numerics", [])}
            )
            kind, why = _cause(stages(place).get(phase, {}), place, bool(marks))
            if marks and kind == "numerics":
                why = f"other hardware ({', '.join(marks)}), other bytes; {PULL}"
            found.append(Compared(phase, NOT_COMPARED if marks and kind == "numerics" else DIFFERENT, kind, why))
    found += compare_builds(linked, fresh, by_artifact)
    locked_leaderboard = linked / "leaderboard" if "leaderboard" in by_artifact else fresh / "leaderboard"
    if "leaderboard" in locked and published.is_dir() and not locked_leaderboard.is_symlink():
        told = compare_artifact("leaderboard", published, locked_leaderboard, {})
        if told.verdict != IDENTICAL:
            why = f"results/{params.benchmark} is not the leaderboard of dvc.lock: {told.why}"
            other = Compared("leaderboard", DIFFERENT, "content", why, told.differences)
            found = [other if one.artifact == "leaderboard" else one for one in found]
    return sorted(found, key=lambda one: config.PHASES.index(one.artifact.split("/")[0]))


def _cause(stage: Mapping[str, Any], place: Path, other_hardware: bool = False) -> tuple[str, str]:
    """Which kind of difference explains that a stage's output is another, from its entry in dvc.lock.

    On other hardware the artifacts that it reads are others too, which is no cause of its own.
    """
    for dep in stage.get("deps", []):
        path = place / dep["path"]
        if other_hardware and dep["path"].split("/")[0] == "build":
            continue
        found = folder_md5(path) if path.is_dir() else md5_of(path) if path.is_file() else "nothing"
        if found != dep["md5"]:
            first = dep["path"].split("/")[0]
            kind = {"src": "code", "workflow": "code", "requirements.lock": "lock", "build": "input"}.get(
                first, "source"
            )
            return kind, f"{dep['path']} is not what dvc.lock says"
    written = yaml.safe_load((place / PARAMS_FILE).read_text(encoding="utf-8"))
    for key, value in stage.get("params", {}).get(PARAMS_FILE, {}).items():
        now: Any = written
        for part in key.split("."):
            now = now.get(part) if isinstance(now, dict) else None
        if now != value:
            return "params", f"`{key}:` is not what dvc.lock says"
    return "numerics", (
        f"the hash of its folder is not that of dvc.lock, with the same code, params and inputs; {PULL}"
    )


def _from_cache(cache: Path, md5: str, folder: Path) -> bool:
    """Links to the cached files of a folder, as the folder; False where one of them is not in the cache."""
    listed = cached(cache, md5)
    if not listed.is_file():
        return False
    links = {entry["relpath"]: cached(cache, entry["md5"]) for entry in json.loads(listed.read_text())}
    if not all(path.is_file() for path in links.values()):
        return False
    for name, path in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path.absolute())
    return True


def cached(cache: Path, md5: str) -> Path:
    """Where DVC's cache has a file of that sum."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def cache_folder(root: Path) -> Path | None:
    """DVC's cache of a checkout; None where DVC says of none."""
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], cwd=root, capture_output=True, text=True)
    lines = done.stdout.split("\n")
    return (root / lines[0]) if not done.returncode and lines[0] else None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def md5_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

"""Copies the leaderboard to results/<benchmark>/ and says whether it equals what is committed there.

Reads: build/<benchmark>/leaderboard/, results/<benchmark>/ (as in git's HEAD where it is committed).
Writes: results/<benchmark>/, only where its content differs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurosieve import numerics
from neurosieve.artifacts import ArtifactError, Paths, check_files, read_json, read_manifest, sha256_file
from neurosieve.config import Params
from neurosieve.flow import inputs_of, sources_of
from neurosieve.leaderboard.table import changed_cells, format_table, row_file

CELLS_SHOWN = 30  # differing cells that are listed one by one
FILES_SHOWN = 8  # differing files that are named
# neurosieve.verify.differences.compare_results; the command line hands it in, for no leaderboard depends on it
Judge = Callable[[Path, Path], list[Any]]


@dataclass(frozen=True)
class Report:
    """What differs between the build and the results it is compared with.

    ``against`` is "committed" (git's HEAD), "folder" (there, but not committed) or "nothing"; ``files`` maps each
    file that differs to changed, new or gone; ``cells`` holds dicts with row, column, committed and now; ``settings``
    are the keys of the params file that the earlier results had other values of: then other figures are no wonder.
    ``machines`` are those of either on which `numerics: portable` did not hold, ``places`` then how each file differs,
    as neurosieve.verify.differences says it.
    """

    against: str
    files: dict[str, str] = field(default_factory=dict)
    cells: list[dict[str, str]] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return self.against != "nothing" and not self.files

    def sentence(self, where: Path) -> str:
        """The report in words: a line per differing cell, of many the first, and their number alone after a change."""
        if self.against == "nothing":
            return f"no earlier results in {where} to compare with"
        those = "the committed ones" if self.against == "committed" else f"those in {where} (not committed)"
        if not self.files:
            return f"results equal {those}"
        if self.machines and self.files.keys() == {"manifest.json"} and not self.settings:
            return f"results equal {those} but for the manifest, on other hardware ({', '.join(self.machines)})"
        if self.places and not self.settings:
            return self._beside_others(those)
        lines = [f"results differ from {those} in {len(self.files)} files: "]
        named = [f"{name} ({what})" for name, what in self.files.items()]
        more = len(named) - FILES_SHOWN
        lines[0] += ", ".join(named[:FILES_SHOWN]) + (f", and {more} more" if more > 0 else "")
        before = "committed" if self.against == "committed" else "before"
        if self.settings:
            keys = ", ".join(f"`{key}:`" for key in self.settings)
            lines.append(f"  {before} with another {keys}: {len(self.cells)} cells of leaderboard.csv differ")
            return "\n".join(lines)
        lines += [
            f"  {c['row']}, {c['column']}: {before} {_cut(c['committed'])}, now {_cut(c['now'])}"
            for c in self.cells[:CELLS_SHOWN]
        ]
        if len(self.cells) > CELLS_SHOWN:
            lines.append(f"  and {len(self.cells) - CELLS_SHOWN} more cells of leaderboard.csv")
        if not self.cells:
            lines.append("  no cell of leaderboard.csv differs")
        return "\n".join(lines)

    def _beside_others(self, those: str) -> str:
        """The sentence for a machine whose bits may be others: what is beyond tolerance, else what differs most."""
        machines = ", ".join(self.machines)
        beyond = [place for place in self.places if not place.within]
        floats = [place for place in self.places if place.relative is not None]
        most = max(floats, key=lambda place: place.relative or 0.0, default=None)
        told = "" if most is None else f"; the largest, in {most.file}: {most.text()}"
        if not beyond:
            where = f"on other hardware ({machines})"
            return f"results agree with {those} within tolerance, {where}: {len(self.places)} files differ{told}"
        lines = [f"results differ from {those} beyond tolerance, on other hardware ({machines}):"]
        lines += [f"  {place.file}: {place.text()}" for place in beyond[:CELLS_SHOWN]]
        if len(beyond) > CELLS_SHOWN:
            lines.append(f"  and {len(beyond) - CELLS_SHOWN} more files")
        return "\n".join(lines)


def check_made(params: Params, paths: Paths) -> None:
    """Raise ArtifactError where the built leaderboard is not of these params, or of artifacts that changed since."""
    built = paths.leaderboard()
    manifest = read_manifest(built)
    wanted, found = params.settings("build_leaderboard"), manifest["params"]
    keys = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    why = f"it was made with another {', '.join(f'`{key}:`' for key in keys)}" if keys else ""
    if not why:
        sums = set(manifest["inputs"].values())
        # what is gone meanwhile, for example to make room, tells nothing
        there = [path / "manifest.json" for path in inputs_of(params, paths, "build_leaderboard")]
        newer = [path for path in there if path.is_file() and sha256_file(path) not in sums]
        why = f"{newer[0].parent} was made anew since, and {len(newer) - 1} more" if newer else ""
        for source in sources_of(params, "build_leaderboard"):
            if not why and source.there and source.sha256() != manifest["sources"].get(source.label):
                why = f"{source.path} was changed since"
    if why:
        raise ArtifactError(
            f"{built} is not the leaderboard of this params file: {why}; nothing is published or shown: run the whole "
            "benchmark first (`neurosieve run`)"
        )


def compare(params: Params, paths: Paths, results: Path = Path("results"), judge: Judge | None = None) -> Report:
    """Compare the built leaderboard with results/<benchmark>/; writes nothing.

    ``judge`` is asked where one of the two was made on a machine on which `numerics: portable` did not hold.
    """
    built = paths.leaderboard()
    check_made(params, paths)
    check_files(built)
    now = _read_folder(built)
    target = results / params.benchmark
    against, before = "committed", _read_head(target)
    if not before:
        against, before = "folder", _read_folder(target)
    if not before:
        return Report("nothing")
    files = {}
    for name in sorted(now.keys() | before.keys()):
        if name not in before:
            files[name] = "new"
        elif name not in now:
            files[name] = "gone"
        elif now[name] != before[name]:
            files[name] = "changed"
    table = "leaderboard.csv"
    cells = []
    if files.get(table) == "changed":
        cells = changed_cells(before[table].decode(), now[table].decode())
    manifests = [json.loads(folder.get("manifest.json", b"{}")) for folder in (now, before)]
    made, earlier = (manifest.get("params", {}) for manifest in manifests)
    settings = sorted(key for key in made.keys() | earlier.keys() if made.get(key) != earlier.get(key))
    machines = numerics.marks({}, manifests)
    places = [] if judge is None or not machines or not files else _places(before, built, judge)
    return Report(against, files, cells, settings, machines, places)


def _places(before: dict[str, bytes], built: Path, judge: Judge) -> list[Any]:
    """How each file of the built leaderboard differs from those of ``before``, which lie in git or in a folder."""
    with tempfile.TemporaryDirectory() as name:
        for path, content in before.items():
            target = Path(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return judge(Path(name), built)


def publish(params: Params, paths: Paths, results: Path = Path("results"), judge: Judge | None = None) -> Report:
    """Copy the built leaderboard to results/<benchmark>/, whole or not at all; the report is of the state before.

    One at a time: another that publishes there meanwhile is waited for.
    """
    built, target = paths.leaderboard(), results / params.benchmark
    with _alone(target.parent):
        report = compare(params, paths, results, judge)
        if _read_folder(built) != _read_folder(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            part, old = target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.old")
            for leftover in (part, old):
                shutil.rmtree(leftover, ignore_errors=True)
            shutil.copytree(built, part)
            if target.exists():
                target.replace(old)
            part.replace(target)
            shutil.rmtree(old, ignore_errors=True)
    return report


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else publishes to the folder meanwhile; nothing is written for it. Some network disks know no locks."""
    if not folder.is_dir():
        folder = folder.absolute().parent
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def show(params: Params, paths: Paths, results: Path = Path("results"), report: Report | None = None) -> None:
    """Print the table, where the site lies, and whether the results equal the committed ones.

    ``report`` is what :func:`publish` returned where it ran before, else the comparison is made here.
    """
    built = paths.leaderboard()
    report = report or compare(params, paths, results)
    names = [row_file(model, task) for task in params.run.tasks for model in params.run.models]
    print(format_table([read_json(built / name) for name in names], read_json(built / "comparisons.json")))
    site = paths.site() / "index.html"
    print(f"site: {site}" if site.is_file() else "site: not made yet; `neurosieve run` makes it")
    print(report.sentence(results / params.benchmark))


def _cut(cell: str) -> str:
    """A cell in a message: a note may be paragraphs long."""
    return f"{cell[:57]}..." if len(cell) > 60 else cell or "(empty)"


def _read_folder(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _read_head(folder: Path) -> dict[str, bytes]:
    """Files of ``folder`` as committed in git's HEAD; none without git, a repository, a commit or the folder in it."""
    place = folder.absolute().parent
    while not place.is_dir():
        place = place.parent
    prefix = folder.absolute().relative_to(place).as_posix()

    def git(*words: str) -> bytes:
        return subprocess.run(["git", "-C", str(place), *words], capture_output=True, check=True).stdout

    try:
        names = git("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", f"{prefix}/").decode().split("\0")
        return {name.removeprefix(f"{prefix}/"): git("show", f"HEAD:./{name}") for name in names if name}
    except (OSError, subprocess.CalledProcessError):
        return {}

"""`neurosieve collect`: packs of results that others made, checked and laid beside our own, see pack.py.

Reads packs, the committed results/<benchmark>/manifest.json and, to say that a submission was reproduced, a leaderboard
that was made here. Writes submissions/<benchmark>/<by>/: pack.json, params.yaml, leaderboard/ and, where it was
reproduced, reproduced.json, which says of which pack, by which manifest and how well.

Nothing in a pack proves that anybody computed it. So its rows are claimed until the benchmark was run here from its
params file, and the leaderboard of that run is what the pack has.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosieve.artifacts import ArtifactError, check_files, dump_json, read_json, sha256_file, write_text
from neurosieve.site import pack
from neurosieve.site.compare import committed_manifest, differing

REPRODUCED, SCHEMA = "reproduced.json", 1
CLAIMED = "claimed"
# Verdicts of neurosieve.verify.differences that count as the same results.
SAME = ("identical", "equal within tolerance")
# neurosieve.verify.differences.compare_artifact of two leaderboards; the command line hands it in, for no site depends
# on it. What it gives has a verdict, a kind and a why.
Judge = Callable[[Path, Path], Any]
# Blocks of params that must be those of the committed results: they decide what a score or a number of neurons means.
DECISIVE = ("seed", "activations", "probes", "subsets")
HINTS = {"inputs", "note", "parameters"}  # of an entry, what no result depends on
AGAIN = "ask for a pack that `neurosieve submit` wrote"


@dataclass(frozen=True)
class Collected:
    """A pack that lies in ``folder``.

    ``told`` is "collected", or "unchanged" where it was there already; ``status`` is that of :func:`read_submissions`.
    """

    folder: Path
    told: str
    status: str


def collect(
    packs: Sequence[Path],
    into: Path = Path("submissions"),
    results: Path = Path("results"),
    *,
    ours: Path | None = None,
    judge: Judge | None = None,
) -> list[Collected]:
    """Check packs and lay their files into ``into``/<benchmark>/<by>/; all packs are checked before the first is.

    Parameters
    ----------
    results : holds the committed results, by benchmark, that a pack must fit.
    ours : a leaderboard that was made here from a pack's params file; where it is the pack's, the submission is
        reproduced. ``judge`` compares the two and is needed with it.

    Raises
    ------
    ArtifactError
        for a pack that is not as pack.py says; where version or decisive settings are not those of the committed
        results; where another pack of that name is there; where no pages can be made of its rows; where ``ours`` is not
        what the pack has. Nothing of any pack is written then.
    """
    read: dict[Path, tuple[Path, dict[str, bytes]]] = {}
    for path in packs:
        files = _read_pack(path)
        with _advice(AGAIN):
            facts = pack.check(files, str(path))
        _check_fits(path, facts, results / facts["benchmark"])
        target = into / facts["benchmark"] / facts["by"]
        alike = {p: (p, _files(p)) for p in _folders(target.parent) if _same_name(p, target)}
        alike |= {p: held for p, held in read.items() if _same_name(p, target)}
        for place, (holder, there) in alike.items():
            if (place, there) != (target, files):
                raise ArtifactError(
                    f"{path}: {holder} holds another pack by {facts['by']}; to replace it, leave one of them out or "
                    "delete its folder; for results beside it, ask for them by another name (--by)"
                )
        read.setdefault(target, (path, files))
    found = []
    with contextlib.ExitStack() as stack:
        staged = {}
        for target, (path, files) in read.items():
            part = stack.enter_context(_staged(target, files))
            _check_shown(path, part, results / target.parent.name)
            if ours is not None and judge is not None:
                write_text(part / REPRODUCED, _reproduced(path, part, ours, judge))
            elif (target / REPRODUCED).is_file():
                shutil.copyfile(target / REPRODUCED, part / REPRODUCED)
            staged[target] = part
        for target, part in staged.items():
            told = "unchanged" if target.exists() else "collected"
            if target.exists():  # the same files, and perhaps that they were reproduced now
                with contextlib.suppress(FileNotFoundError):
                    (part / REPRODUCED).replace(target / REPRODUCED)
            else:
                part.replace(target)
            found.append(Collected(target, told, str(_origin(target)["status"])))
    return found


def read_submissions(folder: Path = Path("submissions")) -> list[tuple[Path, dict[str, Any]]]:
    """Submissions that were collected, sorted by benchmark and name, each checked again.

    Returns
    -------
    list
        The leaderboard folder of each, and its origin: "by", "benchmark", "version", "package" (version of this
        package that wrote it), "pack" (sha256 of pack.json), "status": CLAIMED or "reproduced", "reproduced": the same
        as a truth, and "verdict": how well, one of SAME, or None.

    Raises
    ------
    ArtifactError
        for a folder that is not what was collected.
    """
    found = []
    for benchmark in _folders(folder):
        for target in _folders(benchmark):
            with _advice("delete that folder and collect the pack again"):
                facts = pack.check(_files(target), str(target))
                if (facts["benchmark"], facts["by"]) != (benchmark.name, target.name):
                    raise ArtifactError(f"{target}: the pack of {facts['by']} for {facts['benchmark']}")
            found.append((target / pack.INSIDE.rstrip("/"), _origin(target)))
    return found


def _origin(target: Path) -> dict[str, Any]:
    facts, own = read_json(target / pack.PACK), sha256_file(target / pack.PACK)
    said = read_json(target / REPRODUCED) if (target / REPRODUCED).is_file() else {}
    fits = isinstance(said, dict) and said.get("pack") == own and said.get("verdict") in SAME
    return {
        **{key: facts[key] for key in ("by", "benchmark", "version", "package")},
        "pack": own,
        "reproduced": fits,
        "status": "reproduced" if fits else CLAIMED,
        "verdict": said["verdict"] if fits else None,
    }


def _check_shown(path: Path, part: Path, committed: Path) -> None:
    """Raise ArtifactError where no pages can be made of a pack, unpacked to ``part``, beside the results that are
    ``committed``: it would spoil all others."""
    from neurosieve.site.pages import render
    from neurosieve.site.read import SiteError, read_results

    beside = []
    with contextlib.suppress(SiteError):  # ours may be of an earlier release
        beside = [read_results(committed)]
    try:
        render([*beside, read_results(part / pack.INSIDE)])
    # rows say many things, each in its own form; what is of another form stumbles anywhere
    except Exception as error:
        raise ArtifactError(f"{path}: no pages can be made of its rows ({error!r}); {AGAIN}") from None


def _other_bits(*folders: Path) -> bool:
    """Whether one of them was made where bits may be others: other hardware, or `numerics: fast`."""
    made = [read_json(folder / "manifest.json") for folder in folders]
    return any(one["facts"].get("numerics") or one["params"].get("numerics") == "fast" for one in made)


def _reproduced(path: Path, part: Path, ours: Path, judge: Judge) -> str:
    """reproduced.json of a pack that is unpacked to ``part``."""
    if not (ours / pack.TABLE).is_file():
        raise ArtifactError(
            f"{ours}: no {pack.TABLE} in it; run the benchmark from the pack's {pack.PARAMS} first (`neurosieve run`)"
        )
    check_files(ours)
    found = judge(part / pack.INSIDE, ours)
    # a tolerance is for other hardware; where the bits are those of any machine, other figures are other results
    close = found.verdict in SAME and found.verdict != SAME[0]
    if found.verdict not in SAME or (close and not _other_bits(ours, part / pack.INSIDE)):
        raise ArtifactError(
            f"{path}: not reproduced by {ours}: {found.kind}: {found.why} (before: the pack; now: ours)"
        )
    said = {"schema": SCHEMA, "pack": sha256_file(part / pack.PACK), "verdict": found.verdict}
    return dump_json(said | {"manifest": sha256_file(ours / pack.MANIFEST)})


def _read_pack(path: Path) -> dict[str, bytes]:
    if path.exists() and not path.is_file():
        raise ArtifactError(f"{path}: not a file; name a file of `neurosieve submit`")
    try:
        if path.stat().st_size > pack.MAX_BYTES:
            raise ArtifactError(f"{path}: {path.stat().st_size:,} bytes; a pack has at most {pack.MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}; name a file of `neurosieve submit`") from None
    with _advice(AGAIN):
        return pack.from_zip(content, str(path))


def _check_fits(path: Path, facts: Mapping[str, Any], results: Path) -> None:
    """Raise ArtifactError where a pack's rows could not stand beside the committed ones of its benchmark."""
    manifest = committed_manifest(results)
    if not manifest:
        raise ArtifactError(
            f"{path}: results of benchmark {facts['benchmark']!r}, of which there are none in {results} to stand beside"
        )
    ours, theirs = manifest["params"], facts["manifest"]["params"]
    if facts["version"] != ours["version"]:
        raise ArtifactError(
            f"{path}: version {facts['version']} of benchmark {facts['benchmark']!r}, and {results} is version "
            f"{ours['version']}; rows of different versions are never put together: run that version"
        )
    both = {key: set(ours["run"][key]) & set(theirs["run"][key]) for key in ("models", "tasks")}
    try:
        other = differing(*(_decisive(params, both["models"], both["tasks"]) for params in (ours, theirs)))
    except (AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: params that this release does not read, in its manifest or in {results} ({error!r})"
        ) from None
    if other:
        shown = ", ".join(f"{entry['key']} ({entry['a']!r} here, {entry['b']!r} there)" for entry in other[:3])
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise ArtifactError(
            f"{path}: made with other settings than {results}: {shown}{more}; results stand beside each other only "
            "where these are equal; a model or task that is another one needs a name of its own"
        )


def _decisive(params: Mapping[str, Any], models: set[str], tasks: set[str]) -> dict[str, Any]:
    """What of a manifest's params must be equal: the decisive blocks, and entries of models and tasks of both runs."""
    found = {key: params[key] for key in DECISIVE}
    margins = params["subsets"]["margins"]
    found["subsets"] = params["subsets"] | {
        "margins": {task: margins.get(task, margins["default"])["value"] for task in sorted(tasks)}
    }
    found["models"] = {name: _plain(params["models"][name]) for name in sorted(models)}
    found["tasks"] = {name: _plain(params["prepare"]["tasks"][name]) for name in sorted(tasks)}
    corpora = {entry.get("corpus") for entry in found["tasks"].values()} & params["prepare"]["corpora"].keys()
    found["corpora"] = {name: _plain(params["prepare"]["corpora"][name]) for name in sorted(corpora)}
    return found


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without hints; of its files the sums alone."""
    files = entry.get("files")
    sums = {role: file["sha256"] for role, file in files.items()} if files else files
    return {key: value for key, value in entry.items() if key not in HINTS} | {"files": sums}


def _files(target: Path) -> dict[str, bytes]:
    """Files of a collected pack by name, none where it is not there."""
    found = {}
    for path in sorted(target.rglob("*")) if target.is_dir() else ():
        name = path.relative_to(target).as_posix()
        if path.is_symlink():
            raise ArtifactError(f"{path}: a link, which no submission has; delete {target} and collect the pack again")
        if path.is_file() and name != REPRODUCED:
            found[name] = path.read_bytes()
    return found


def _same_name(a: Path, b: Path) -> bool:
    """Whether two folders are one where upper and lower case are the same."""
    return a.as_posix().casefold() == b.as_posix().casefold()


def _folders(folder: Path) -> list[Path]:
    # names that begin with a dot are what a killed `collect` left behind
    return sorted(p for p in folder.glob("*") if p.is_dir() and not p.name.startswith("."))


@contextlib.contextmanager
def _staged(target: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder beside the target with these files; gone afterwards, where it was not moved."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, content in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(content)
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _advice(what: str) -> Iterator[None]:
    """Errors of pack.py, with what to do."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{error}; {what}") from None

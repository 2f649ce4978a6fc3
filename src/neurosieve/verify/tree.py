"""A clean tree to run a benchmark in: the committed files, and links to what git does not have.

Reads the checkout; writes below build/.verify-*/ and, for git's list of worktrees, .git/worktrees.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from neurosieve.config import Params

CODE = ("src", "workflow", "requirements.lock")  # what every run reads of the checkout
# Without git, what is copied: the code, and what lies beside it.
WITHOUT_GIT = (*CODE, "dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore", "pyproject.toml", "results")


class VerifyError(RuntimeError):
    """A check that cannot be made, with what to do instead."""


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    if done.returncode:
        raise VerifyError(f"git {shlex.join(words[:2])} failed: {done.stderr.strip()}")
    return done.stdout


def has_git(root: Path) -> bool:
    """Whether ``root`` is the root of a git checkout with a commit."""
    try:
        return Path(_git(root, "rev-parse", "--show-toplevel").strip()).samefile(root) and bool(
            _git(root, "rev-parse", "HEAD")
        )
    except (VerifyError, OSError):
        return False


def places(params: Params) -> Iterator[str]:
    """Files and folders that a params file names, as they are written there."""
    for model in params.models.values():
        yield from filter(None, [model.path, *model.folders.values()])
    for corpus in params.prepare.corpora.values():
        yield from filter(None, [corpus.folder])
    for task in params.prepare.tasks.values():
        yield from filter(None, [task.folder])
    if params.leaderboard.published_figures is not None:
        yield params.leaderboard.published_figures.file
    yield params.data_root


def new_place(root: Path, params: Params) -> Path:
    """An empty folder for a tree, deep enough that each `../` of the params file stays below build/."""
    up = max((PurePosixPath(os.path.normpath(name)).parts.count("..") for name in places(params)), default=0)
    try:
        (root / "build").mkdir(exist_ok=True)
        top = Path(tempfile.mkdtemp(prefix=".verify-", dir=root / "build"))
    except OSError as error:
        raise VerifyError(f"cannot write to {root / 'build'}: {error.strerror}; it is run again there") from None
    place = top.joinpath(*["up"] * up, "tree")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def fill(root: Path, place: Path, params_file: Path, params: Params, *, dirty: bool) -> str:
    """Put the committed files into ``place``, and links to data and models that are not in git.

    Returns the name of the params file there. Raises VerifyError where the checkout has uncommitted changes to what a
    run reads, unless ``dirty``: then they are taken along.
    """
    git = has_git(root)
    changed = uncommitted(root, params_file, params) if git else {}
    if changed and not dirty:
        shown = ", ".join(f"{name} ({what})" for name, what in list(changed.items())[:5])
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise VerifyError(f"uncommitted changes: {shown}{more}; commit or stash them, or take them along with --dirty")
    if git:
        _git(root, "worktree", "prune")
        _git(root, "worktree", "add", "--quiet", "--detach", str(place), "HEAD")
    else:
        place.mkdir()
        for name in WITHOUT_GIT:
            _copy(root / name, place / name)
    for name in changed:
        if (root / name).exists():
            _copy(root / name, place / name)
        else:
            (place / name).unlink(missing_ok=True)
    for name in sorted({".cache", *places(params)}):
        source = Path(os.path.normpath(root / name))
        if not Path(name).is_absolute() and not root.is_relative_to(source):
            _lend(source, Path(os.path.normpath(place / name)))
    params_file = params_file.absolute()
    if not params_file.is_relative_to(root):
        return str(params_file)
    inside = place / params_file.relative_to(root)
    if not inside.exists():
        _copy(params_file, inside)
    return inside.relative_to(place).as_posix()


def uncommitted(root: Path, params_file: Path, params: Params) -> dict[str, str]:
    """Files that a run reads and that are not as in HEAD, with what is the matter.

    Untracked files count where they are code; untracked data and an untracked params file are taken as they are.
    """
    named = [Path(os.path.normpath(root / name)) for name in (str(params_file), *places(params))]
    inside = [path.relative_to(root).as_posix() for path in named if path.is_relative_to(root)]
    words = ("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", *CODE, *inside)
    found = {}
    for entry in filter(None, _git(root, "--literal-pathspecs", *words).split("\0")):
        state, name = entry[:2], entry[3:]
        if state == "??":
            if name.split("/")[0] in CODE:
                found[name] = "not in git"
        else:
            found[name] = "deleted" if "D" in state else "changed"
    return found


def lend_artifacts(source: Path, target: Path, names: Sequence[str]) -> None:
    """Make artifacts of ``source`` look finished in ``target``: copied manifests, links to the files beside them."""
    for name in names:
        folder = target / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted((source / name).rglob("*")):
            inside = folder / path.relative_to(source / name)
            if path.is_dir():
                inside.mkdir(exist_ok=True)
            elif path.name == "manifest.json" and path.parent == source / name:
                shutil.copyfile(path, inside)  # its own times: later than the tree's code
            else:
                inside.symlink_to(path.absolute())
    manifests = [target / name / "manifest.json" for name in names]
    if manifests:  # equal times: none is older than what it was made from
        latest = max(path.stat().st_mtime_ns for path in manifests)
        for path in manifests:
            os.utime(path, ns=(latest, latest))


def remove(root: Path, place: Path) -> None:
    """Remove a tree and what lies around it."""
    top = next(path for path in place.parents if path.parent == root / "build")
    shutil.rmtree(top, ignore_errors=True)
    if has_git(root):
        _git(root, "worktree", "prune")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"), dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, target)


def _lend(source: Path, target: Path) -> None:
    """Link what ``target`` lacks of ``source``; a folder that is there is filled up."""
    if not source.exists():
        return
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())
    elif source.is_dir() and target.is_dir() and not target.is_symlink():
        for child in source.iterdir():
            _lend(child, target / child.name)

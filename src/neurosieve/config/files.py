"""What of a params file lies on this machine, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurosieve.config.params import Params

# Says where data and model folders lie, before `data_root` of the params file: a fact of the machine.
DATA_VARIABLE = "NEUROSIEVE_DATA"
LFS, ANNEX = b"version https://git-lfs.github.com/spec/v1", b"/annex/objects/"  # how a pointer to a file begins


def files_below(folder: Path, *patterns: str) -> list[str]:
    return sorted({p.as_posix() for pattern in patterns for p in folder.glob(pattern) if p.is_file()})


def code_below(folder: Path) -> list[Path]:
    """Python files of a model's own folder, at any depth, sorted; none of hidden folders."""
    found = (p for p in folder.rglob("*.py") if p.is_file() or p.is_symlink())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def pointer(path: Path) -> str | None:
    """Why a file is there in name only (git-lfs, git-annex, a broken link), and what to do; None where it is not so."""
    where = f"in {path.parent}" if path.parent.name else "there"
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        annexed = f"; run `git annex get {path.name}` {where}" if ".git/annex/" in target.as_posix() else ""
        return f"{path} is a link to {target}, which is not there{annexed}"
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        head = handle.read(len(LFS))
    if head == LFS:
        return f"{path} is a git-lfs pointer, not the file; run `git lfs pull` {where}"
    if head.startswith(ANNEX):
        return f"{path} is a git-annex pointer, not the file; run `git annex get {path.name}` {where}"
    return None


def absent(path: Path) -> str | None:
    """The same, and for an empty file."""
    if path.is_file() and path.stat().st_size == 0:
        return f"{path} is empty (0 bytes); get it again"
    return pointer(path)


def files_there(files: dict[str, Path]) -> list[str]:
    return sorted(path.as_posix() for path in files.values() if path.is_file())


def missing_files(params: Params) -> list[str]:
    """What the run's tasks and models need and this machine has not, with where to get it; a line each."""
    missing: list[str] = []
    for key, folder, files in params.data_of_run():
        if folder is not None and files is None and not params.resolve(folder).is_dir():
            missing.append(f"{key}: no folder {params.places(folder)}")
        for role, path in params.data_files(folder or "", files or {}).items():
            if (why := absent(path)) is not None:
                missing.append(f"{key}: {why}")
            elif not path.is_file():
                source = (files or {})[role].source
                missing.append(f"{key}: no file {path}" + (f"; get it from {source}" if source else ""))
    for name in dict.fromkeys(params.trained(model) for model in params.run.models):
        model_entry = params.models[name]
        for folder in filter(None, (model_entry.path, *model_entry.folders.values())):
            if not params.resolve(folder).is_dir():
                missing.append(f"models.{name}: no folder {params.places(folder)}")
    missing += [
        f"leaderboard.published_figures.file: no file {p}" for p in params.figure_files() if not Path(p).is_file()
    ]
    return list(dict.fromkeys(missing))

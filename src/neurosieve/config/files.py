"""What of a params file lies on this machine, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurosieve.config.params import Params

# Says where data and model folders lie, before `data_root` of the params file: a fact of the machine.
DATA_VARIABLE = "NEUROSIEVE_DATA"


def files_below(folder: Path, *patterns: str) -> list[str]:
    return sorted({p.as_posix() for pattern in patterns for p in folder.glob(pattern) if p.is_file()})


def files_there(files: dict[str, Path]) -> list[str]:
    return sorted(path.as_posix() for path in files.values() if path.is_file())


def missing_files(params: Params) -> list[str]:
    """What the run's tasks and models need and this machine has not, with where to get it; a line each."""
    missing: list[str] = []
    for name in params.run.tasks:
        task = params.prepare.tasks[name]
        sources = [(f"prepare.tasks.{name}", task.folder, task.files)]
        for corpus in params.task_corpora(name):
            entry = params.prepare.corpora[corpus]
            sources.append((f"prepare.corpora.{corpus}", entry.folder, entry.files))
        for key, folder, files in sources:
            if folder is not None and files is None and not params.resolve(folder).is_dir():
                missing.append(f"{key}: no folder {params.resolve(folder)}")
            for role, path in params.data_files(folder or "", files or {}).items():
                if not path.is_file():
                    source = (files or {})[role].source
                    missing.append(f"{key}: no file {path}" + (f"; get it from {source}" if source else ""))
    for name in dict.fromkeys(params.trained(model) for model in params.run.models):
        model_entry = params.models[name]
        for folder in filter(None, (model_entry.path, *model_entry.folders.values())):
            if not params.resolve(folder).is_dir():
                missing.append(f"models.{name}: no folder {params.resolve(folder)}")
    missing += [
        f"leaderboard.published_figures.file: no file {p}" for p in params.figure_files() if not Path(p).is_file()
    ]
    return list(dict.fromkeys(missing))

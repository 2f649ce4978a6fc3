"""The source files of a corpus that is a folder: one list for its sum, for the workflow's inputs and for the reader.

First-level folders are packages. Links are followed. Left out, and counted by reason:

hidden            names that begin with a dot: `.git`, `.venv`, `.ipynb_checkpoints`, `._core.py` of macOS
environment       a folder with `pyvenv.cfg` or `conda-meta`, whatever its name
installed         `site-packages`, `dist-packages`, `node_modules`, `__pycache__`, `__pypackages__`, `*.egg-info`,
                  `*.dist-info`, `*.egg`
build_output      `build`, `dist` and `target` with a mark of it: see :func:`_is_output`
same_file         a second path to a file or a whole folder, by a link; the path without a link stays, else the first
                  by name
link_loop         a link to a folder that holds it
dangling_link     a link to nothing
name_not_utf8     a name that is not UTF-8
outside_packages  files that lie in no first-level folder
"""

from __future__ import annotations

import fnmatch
import heapq
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neurosieve.config.base import ConfigError
from neurosieve.config.names import LANGUAGES

REASONS = (
    "outside_packages", "hidden", "environment", "installed", "build_output", "same_file", "link_loop", "dangling_link",
    "name_not_utf8",
)  # fmt: skip
_INSTALLED = (
    "site-packages", "dist-packages", "node_modules", "__pycache__", "__pypackages__", "*.egg-info", "*.dist-info",
    "*.egg",
)  # fmt: skip
# Beside one of these, `build`, `dist` and `target` are what the tool writes.
_PROJECT = (
    "setup.py", "setup.cfg", "pyproject.toml", "pom.xml", "build.gradle", "build.gradle.kts", "Cargo.toml",
    "package.json", "CMakeLists.txt", "meson.build",
)  # fmt: skip
_OUTPUT = {
    "build": ("lib", "lib.*", "bdist.*", "temp.*", "generated", "classes", "CMakeFiles"),
    "dist": (),
    "target": ("classes", "generated-sources", "test-classes", "maven-*", "debug", "release"),
}


@dataclass
class SourceTree:
    """Name below the root (posix) -> path of each file, in the order of names; and what is left out.

    `left_out` counts files by reason (of :data:`REASONS`), `first` has the first name of each.
    """

    files: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str, name: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        self.first[reason] = min(name, self.first.get(reason, name))


def source_tree(root: Path | str, language: str) -> SourceTree:
    """Source files of a language below a folder's first-level folders; empty where there is no folder."""
    root, ends = Path(root), LANGUAGES[language]
    tree = SourceTree()
    linked = False
    for name, path, reason, through_link in _walk(root, ends):
        if reason is None and "/" not in name:
            reason = "outside_packages"
        if reason is None:
            tree.files[name] = path
            linked = linked or through_link
        else:
            tree.leave_out(reason, name)
    if linked:
        _drop_same(root, tree)
    tree.files = dict(sorted(tree.files.items()))
    return tree


def data_files(root: Path | str) -> SourceTree:
    """All files of a folder of data, but for hidden ones; links are followed."""
    tree = SourceTree()
    for name, path, reason, _ in _walk(Path(root), None):
        if reason is None:
            tree.files[name] = path
        else:
            tree.leave_out(reason, name)
    tree.files = dict(sorted(tree.files.items()))
    return tree


def _walk(root: Path, ends: Collection[str] | None) -> Iterator[tuple[str, Path, str | None, bool]]:
    """Name, path, reason to leave it out, and whether a link leads to it, of each file; of folders that loop, too.

    ``ends``: of the names of source files, others are not given out; None for data, of which every file counts and
    hidden names alone are left out. A folder is entered through one link at most, else links among folders would give
    it as many paths as there are ways through them.
    """
    if not root.is_dir():
        return
    stack: list[tuple[str, Path, str | None, bool, frozenset[str]]] = [
        ("", root, None, False, frozenset((os.path.realpath(root),)))
    ]
    linked: list[tuple[str, Path, str | None, bool, frozenset[str]]] = []  # a heap by name: links come after the rest
    entered: set[tuple[str, bool]] = set()  # real folders, apart for what is read and what is left out
    while stack or linked:
        prefix, folder, above, through_link, around = stack.pop() if stack else heapq.heappop(linked)
        real = os.path.realpath(folder)
        if through_link and (real, above is None) in entered:
            yield prefix.removesuffix("/"), folder, above or "same_file", True
            continue
        entered.add((real, above is None))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise ConfigError(f"{folder}: not readable ({error.strerror}); let your user read it") from None
        names = {entry.name for entry in entries}
        for entry in entries:
            name, path = prefix + entry.name, folder / entry.name
            link = entry.is_symlink()
            wanted = ends is None or entry.name.endswith(tuple(ends))
            is_folder = path.is_dir()  # unlike entry.is_dir(), False for a link to itself
            reason = above or ("hidden" if entry.name.startswith(".") else None)
            if not _is_utf8(entry.name):
                if wanted or is_folder:
                    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
                    yield shown, path, reason or "name_not_utf8", link
            elif is_folder:
                real = os.path.realpath(path)
                if link and real in around:
                    yield name, path, reason or "link_loop", True
                    continue
                if reason is None and ends is not None:
                    reason = _folder_reason(path, names, ends)
                found = (f"{name}/", path, reason, through_link or link, around | {real})
                if link:
                    heapq.heappush(linked, found)
                else:
                    stack.append(found)
            elif link and not path.exists():
                if wanted or "." not in entry.name:  # a link to a folder has no end, as a rule
                    yield name, path, reason or "dangling_link", True
            elif wanted and entry.is_file():
                yield name, path, reason, through_link or link


def _folder_reason(folder: Path, beside: Collection[str], ends: Collection[str]) -> str | None:
    """Why a folder is left out as a whole; None for one that is read. ``beside``: the names that lie beside it."""
    if (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir():
        return "environment"
    if any(fnmatch.fnmatchcase(folder.name, pattern) for pattern in _INSTALLED):
        return "installed"
    return "build_output" if folder.name in _OUTPUT and _is_output(folder, beside, ends) else None


def _is_output(folder: Path, beside: Collection[str], ends: Collection[str]) -> bool:
    """Whether `build`, `dist` or `target` holds what a tool has written, not a package that is called so.

    It never does with an `__init__.py`, nor `build` and `target` with source files of their own. Else it does beside a
    project's file (`setup.py`, `pom.xml`), with the tools' own folders in it (`build/lib`, `target/classes`), and
    `dist` does in a corpus of Python.
    """
    names = {entry.name for entry in os.scandir(folder)}
    python = LANGUAGES["python"] == tuple(ends)
    if "__init__.py" in names:
        return False
    if python and folder.name == "dist":
        return True
    if any(name.endswith(tuple(ends)) for name in names):
        return False
    marks = [mark for mark in _OUTPUT[folder.name] if python or mark != "lib"]  # C has folders `build/lib` of its own
    marked = any(fnmatch.fnmatchcase(name, mark) for name in names for mark in marks)
    return marked or not set(_PROJECT).isdisjoint(beside)


def _drop_same(root: Path, tree: SourceTree) -> None:
    """Keep one path of each file, where links give several: the one without a link, else the first by name."""
    base = os.path.realpath(root)
    by_file: dict[str, str] = {}
    for name in sorted(tree.files, key=lambda name: (os.path.realpath(tree.files[name]) != f"{base}/{name}", name)):
        if by_file.setdefault(os.path.realpath(tree.files[name]), name) != name:
            del tree.files[name]
            tree.leave_out("same_file", name)


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

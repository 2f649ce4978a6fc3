"""Functions of a corpus: pinned wheels, a folder whose first-level folders are packages, or tables of functions.

Reads the wheels (cache `.cache/wheels`), the folder or the tables. Writes prepare/corpora/<corpus>/functions.jsonl: one
function a line with package, file, qualname, start_line, source, docstring, docstring_span and key, a hash that copies
share though they were renamed or reformatted. Tasks read it back as records.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from neurosieve.artifacts import ArtifactError, Paths, iter_jsonl
from neurosieve.config import LANGUAGES, Columns, Corpus, Params
from neurosieve.config.source_tree import REASONS, source_tree
from neurosieve.flow import tree_sha256, writer
from neurosieve.prepare.languages import load_language
from neurosieve.prepare.python_source import Function, exact_key
from neurosieve.prepare.records import PrepareError, Record, check_files, digest
from neurosieve.prepare.splits import unknown_packages
from neurosieve.prepare.table import read_table
from neurosieve.sources.wheels import DEFAULT_CACHE, ReadCounts, SourceFile, fetch_wheels, source_files, source_text

log = logging.getLogger(__name__)

# Test suites are long runs of near-equal asserts; they would make most of sympy and networkx.
_TEST_FOLDERS = frozenset(("test", "tests", "testing"))
_NAMES = {"python": "Python", "java": "Java", "c": "C"}
_COLUMNS = ("text", "package", "file", "name")
_ONE_PACKAGE = "all"  # of tables without a column `package`


def extract_corpus(params: Params, paths: Paths, *, corpus: str, cache: Path = DEFAULT_CACHE) -> None:
    """Write the functions of a corpus of params.yaml, in the order of packages, paths and lines; of tables, of rows.

    Left out, and counted: what :mod:`neurosieve.config.source_tree` leaves out of a folder, files that are not UTF-8,
    files of test suites, functions with a syntax error or a NUL character and what looks like a function and is none to
    the grammar (`parse_errors`), methods without a body, rows of a table that are no function or several.

    Raises
    ------
    WheelError : a wheel that cannot be fetched or is not the one pinned.
    PrepareError : a corpus without a function; a folder or a table whose sha256 is not the pinned one; a faulty table.
    """
    entry, where = params.prepare.corpora[corpus], f"prepare.corpora.{corpus}"
    folder = params.resolve(entry.folder) if entry.folder is not None else None
    tables = params.data_files(entry.folder, entry.files) if entry.folder is not None and entry.files else {}
    if tables:
        check_files(where, tables, entry.files or {})
    elif folder is not None:
        _check_folder(where, folder, entry)
    reader = _Reader(entry, cache, folder, tables, where)
    with writer(params, paths, "extract_corpus", corpus=corpus) as out:
        rows = tqdm(reader.rows(), desc=f"corpus {corpus}", unit=" functions", mininterval=5)
        if not out.jsonl("functions.jsonl", rows):
            raise PrepareError(_no_function(where, entry, reader.counts))
        out.facts = reader.facts()
    for reason, place in sorted(reader.first.items()):
        log.warning("corpus %s: left out, %s: %d, the first: %s", corpus, reason, reader.counts[reason], place)
    log.info("corpus %s: %s", corpus, {k: v for k, v in out.facts.items() if isinstance(v, int)})


def corpus_faults(params: Params, corpus: str) -> list[str]:
    """What :func:`extract_corpus`, or a task of the run for the packages it names, would refuse of a corpus on disk.

    Sums are compared and tables read whole; functions are not parsed. Wheels are pinned, and nothing is told of them.
    """
    entry, where = params.prepare.corpora[corpus], f"prepare.corpora.{corpus}"
    if entry.folder is None:
        return []
    folder, faults = params.resolve(entry.folder), []
    tables = params.data_files(entry.folder, entry.files or {})
    packages: set[str] = set()
    try:
        if tables:
            check_files(where, tables, entry.files or {})
        else:
            _check_folder(where, folder, entry)
    except (PrepareError, ArtifactError) as error:
        faults += str(error).splitlines()
    try:
        if tables:
            packages = {row.get("package", _ONE_PACKAGE) for _, _, row in _read_tables(tables, entry, where)}
        else:
            paths = [PurePosixPath(name) for name in source_tree(folder, entry.language).files]
            packages = {path.parts[0] for path in paths if not _is_test(path)}
            if paths and not packages:
                faults.append(_no_function(where, entry, Counter(test_files=len(paths))))
    except PrepareError as error:
        faults += str(error).splitlines()
    if not packages:
        return faults
    for name in params.run.tasks:
        if params.prepare.tasks[name].corpus == corpus:
            faults += unknown_packages(f"prepare.tasks.{name}", params.prepare.tasks[name], packages)
    return faults


def folder_sha256(folder: Path | str, language: str) -> str:
    """sha256 of a folder of source files, what `sha256:` of a corpus pins: of their paths below it and their bytes.

    The files are those of :func:`neurosieve.config.source_tree.source_tree`. Raises PrepareError where there is none.
    """
    tree = source_tree(folder, language)
    if not tree.files:
        told = "".join(
            f"; left out, {reason}: {n}, the first {tree.first[reason]}" for reason, n in tree.left_out.items()
        )
        raise PrepareError(
            f"{folder}: no {' or '.join(LANGUAGES[language])} file in a sub-folder{told}; name the folder that has a "
            "sub-folder per package"
        )
    return tree_sha256(tree)


def _check_folder(where: str, folder: Path, entry: Corpus) -> None:
    """Raise PrepareError unless the folder is there and has the pinned sum."""
    if not folder.is_dir():
        raise PrepareError(
            f"{where}: {folder}: no such folder; put it there, or mend `folder:` (it is looked for as written, then "
            "below data_root)"
        )
    try:
        found = folder_sha256(folder, entry.language)
    except PrepareError as error:
        raise PrepareError(f"{where}: {error}") from None
    if entry.sha256 is None:
        raise PrepareError(f"{where}: {folder}: the sum of its source files is not pinned; write `sha256: {found}`")
    if found != entry.sha256:
        raise PrepareError(
            f"{where}: {folder}: found sha256 {found} of its source files, expected {entry.sha256}: a file has "
            "changed, was added or is gone; bring the pinned ones back, or write the new sha256 and raise `version:`"
        )


def _no_function(where: str, entry: Corpus, found: Counter[str]) -> str:
    name, ends = _NAMES[entry.language], " or ".join(LANGUAGES[entry.language])
    what = f"folder {entry.folder!r}" if entry.folder is not None else "these wheels"
    told = "; ".join(f"{reason}: {n}" for reason, n in sorted(found.items()) if n)
    if entry.files is not None:
        return f"{where}: no {name} function in the tables of {what} (found {told}); is `language:` right?"
    return (
        f"{where}: no {name} function in {what} (found {told or 'no file'}); name wheels with .py files, or a folder "
        f"with one sub-folder per package and {ends} files below (test folders are not read)"
    )


def _is_test(path: PurePosixPath) -> bool:
    return not _TEST_FOLDERS.isdisjoint(path.parts[:-1])


class _Reader:
    """Reads a corpus once, from end to end, and counts what it meets."""

    def __init__(self, entry: Corpus, cache: Path, folder: Path | None, tables: Mapping[str, Path], where: str) -> None:
        self.entry, self.cache, self.folder, self.tables, self.where = entry, cache, folder, tables, where
        self.language = load_language(entry.language)
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.packages: dict[str, Counter[str]] = {}
        self.not_utf8: list[str] = []
        self.exact: set[str] = set()
        self.folded: set[str] = set()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of functions.jsonl."""
        if self.tables:
            yield from self._table_rows()
            return
        for file in self._wheel_files() if self.entry.wheels is not None else self._folder_files():
            if _is_test(PurePosixPath(file.path)):
                self._leave_out("test_files", file.path)
                continue
            self.counts["files"] += 1
            self.packages.setdefault(file.package, Counter())
            for function in self.language.functions(file.text):
                line = function.start_line
                yield from self._row(function, file.package, file.path, function.qualname, line, f"{file.path}:{line}")

    def _leave_out(self, reason: str, where: str) -> None:
        self.counts[reason] += 1
        self.first.setdefault(reason, where)

    def _row(
        self, function: Function, package: str, file: str, name: str, line: int, where: str
    ) -> Iterator[dict[str, Any]]:
        """The function's row, or none where it cannot be used."""
        if function.has_error or "\0" in function.source:
            self._leave_out("parse_errors", where)
            return
        if not function.has_body:
            self._leave_out("without_body", where)
            return
        key, same = digest(self.language.folded(function.source)), exact_key(function.source)
        counts = self.packages.setdefault(package, Counter())
        counts["functions"] += 1
        counts["with_docstring"] += function.docstring is not None
        counts["exact_copies"] += same in self.exact
        counts["folded_copies"] += key in self.folded
        self.exact.add(same)
        self.folded.add(key)
        yield {
            "package": package,
            "file": file,
            "qualname": name,
            "start_line": line,
            "source": function.source,
            "docstring": function.docstring,
            "docstring_span": function.docstring_span,
            "key": key,
        }

    def facts(self) -> dict[str, Any]:
        """Counts for the manifest; copies are functions of which an earlier one has the same exact or folded text.

        `first_left_out` has the first of each reason for which some are left out: a file, of a function "file:line".
        """
        names = ("functions", "with_docstring", "exact_copies", "folded_copies")
        totals = sum(self.packages.values(), Counter())
        counted = ["files", "test_files", "parse_errors"]
        counted += ["without_body"] if self.entry.language == "java" else []
        counted += ["rows", "not_one_function"] if self.tables else []
        return {
            **{name: totals[name] for name in names},
            **{name: self.counts[name] for name in counted},
            "left_out_files": {reason: self.counts[reason] for reason in REASONS if self.counts[reason]},
            "first_left_out": self.first,
            "not_utf8": len(self.not_utf8),
            "not_utf8_files": self.not_utf8,
            "folder_sha256": self.entry.sha256,
            "packages": {p: {name: counts[name] for name in names} for p, counts in sorted(self.packages.items())},
        }

    def _wheel_files(self) -> Iterator[SourceFile]:
        """Files of the wheels, `package` being the wheel's name as params.yaml writes it."""
        wheels = list(self.entry.wheels or ())
        found = fetch_wheels(wheels, self.cache)
        for wheel in sorted(wheels, key=lambda w: w.name):
            read = ReadCounts()
            for file in source_files(found[wheel.name], read):
                yield SourceFile(wheel.name, file.path, file.text)
            self.not_utf8 += read.not_utf8_paths

    def _folder_files(self) -> Iterator[SourceFile]:
        assert self.folder is not None
        tree = source_tree(self.folder, self.entry.language)
        self.counts.update(tree.left_out)
        self.first.update(tree.first)
        for name, path in tree.files.items():
            try:
                text = source_text(path.read_bytes())
            except UnicodeDecodeError:
                self.not_utf8.append(name)
                continue
            yield SourceFile(name.partition("/")[0], name, text)

    def _table_rows(self) -> Iterator[dict[str, Any]]:
        """Rows of tables, each a whole function that is kept as it is written.

        Without a column `package` all are of the package `all`, without a column `file` a row is a file of its own; a
        function without a name in the table is called as the code calls it.
        """
        files: set[str] = set()
        for role, place, row in _read_tables(self.tables, self.entry, self.where):
            self.counts["rows"] += 1
            number = place.rpartition(":")[2].removeprefix("row ")
            package = row.get("package", _ONE_PACKAGE)
            file = f"{package}/{row.get('file', f'{role}-{number:0>6}')}"
            function = self.language.one_function(row["text"])
            if function is None:
                self._leave_out("not_one_function", Path(place).name)
                continue
            name = row.get("name", function.qualname)
            for found in self._row(function, package, file, name, int(number), Path(place).name):
                files.add(file)
                yield found
        self.counts["files"] = len(files)


def _read_tables(tables: Mapping[str, Path], entry: Corpus, where: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Role, place and values of each row of a corpus's tables."""
    columns = entry.columns or Columns.model_validate({})
    other = [key for key, name in columns.model_dump().items() if name is not None and key not in _COLUMNS]
    if other:
        raise PrepareError(f"{where}.columns.{other[0]}: functions of a corpus have none; write {', '.join(_COLUMNS)}")
    for role in sorted(tables):
        for place, row in read_table(tables[role], columns):
            yield role, place, row


def read_corpus(folder: Path) -> list[Record]:
    """Records of a corpus artifact, in its order."""
    return [
        Record(
            package=row["package"],
            file=row["file"],
            name=row["qualname"],
            text=row["source"],
            key=row["key"],
            docstring=row["docstring"],
            docstring_span=tuple(row["docstring_span"]) if row["docstring_span"] else None,
            exact=digest(row["source"]),
        )
        for row in iter_jsonl(folder / "functions.jsonl")
    ]

"""Functions of a corpus: pinned wheels, or a folder whose first-level folders are packages.

Reads the wheels (cache `.cache/wheels`) or the folder. Writes prepare/corpora/<corpus>/functions.jsonl: one function a
line with package, file, qualname, start_line, source, docstring, docstring_span and key, a hash that copies share
though they were renamed or reformatted. Tasks read it back as records.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from neurosieve.artifacts import Paths, Writer, iter_jsonl
from neurosieve.config import Corpus, Params
from neurosieve.prepare.python_source import exact_key, folded_key, functions
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.wheels import DEFAULT_CACHE, ReadCounts, SourceFile, fetch_wheels, source_files

log = logging.getLogger(__name__)

# Test suites are long runs of near-equal asserts; they would make most of sympy and networkx.
_TEST_FOLDERS = frozenset(("test", "tests", "testing"))


def extract_corpus(params: Params, paths: Paths, *, corpus: str, cache: Path = DEFAULT_CACHE) -> None:
    """Write the functions of a corpus of params.yaml, in the order of packages, paths and lines.

    Left out, and counted: files that are not UTF-8, files of test suites, files of a folder corpus that lie in no
    package, functions with a syntax error or a NUL character.

    Raises
    ------
    WheelError : a wheel that cannot be fetched or is not the one pinned.
    PrepareError : a corpus without a function.
    """
    entry = params.prepare.corpora[corpus]
    reader = _Reader(entry, cache)
    # a folder's name says nothing about its content: facts.folder_sha256 does
    settings = {"corpus": corpus, "source": entry.model_dump(mode="json", exclude={"folder"})}
    with Writer(paths.corpus(corpus), "prepare", settings) as out:
        rows = tqdm(reader.rows(), desc=f"corpus {corpus}", unit=" functions", mininterval=5)
        if not out.jsonl("functions.jsonl", rows):
            where = f"folder {entry.folder!r}" if entry.folder is not None else "these wheels"
            raise PrepareError(
                f"prepare.corpora.{corpus}: no Python function in {where}; name wheels with .py files, or a folder "
                "with one sub-folder per package and .py files below (test folders are not read)"
            )
        out.facts = reader.facts()
    log.info("corpus %s: %s", corpus, {k: v for k, v in out.facts.items() if isinstance(v, int)})


class _Reader:
    """Reads a corpus once, from end to end, and counts what it meets."""

    def __init__(self, entry: Corpus, cache: Path) -> None:
        self.entry, self.cache = entry, cache
        self.counts: Counter[str] = Counter()
        self.packages: dict[str, Counter[str]] = {}
        self.not_utf8: list[str] = []
        self.digest = hashlib.sha256()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of functions.jsonl."""
        exact: set[str] = set()
        folded: set[str] = set()
        for file in self._wheel_files() if self.entry.wheels is not None else self._folder_files():
            if not _TEST_FOLDERS.isdisjoint(PurePosixPath(file.path).parts[:-1]):
                self.counts["test_files"] += 1
                continue
            self.counts["files"] += 1
            package = self.packages.setdefault(file.package, Counter())
            for function in functions(file.text):
                if function.has_error or "\0" in function.source:
                    self.counts["parse_errors"] += 1
                    continue
                key, same = folded_key(function.source), exact_key(function.source)
                package["functions"] += 1
                package["with_docstring"] += function.docstring is not None
                package["exact_copies"] += same in exact
                package["folded_copies"] += key in folded
                exact.add(same)
                folded.add(key)
                yield {
                    "package": file.package,
                    "file": file.path,
                    "qualname": function.qualname,
                    "start_line": function.start_line,
                    "source": function.source,
                    "docstring": function.docstring,
                    "docstring_span": function.docstring_span,
                    "key": key,
                }

    def facts(self) -> dict[str, Any]:
        """Counts for the manifest; copies are functions of which an earlier one has the same exact or folded text."""
        names = ("functions", "with_docstring", "exact_copies", "folded_copies")
        totals = sum(self.packages.values(), Counter())
        return {
            **{name: totals[name] for name in names},
            **{name: self.counts[name] for name in ("files", "test_files", "outside_packages", "parse_errors")},
            "not_utf8": len(self.not_utf8),
            "not_utf8_files": self.not_utf8,
            "folder_sha256": self.digest.hexdigest() if self.entry.folder is not None else None,
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
        assert self.entry.folder is not None
        root = Path(self.entry.folder)
        for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
            name = path.relative_to(root)
            if len(name.parts) < 2:
                self.counts["outside_packages"] += 1
                continue
            data = path.read_bytes()
            self.digest.update(f"{name.as_posix()} {hashlib.sha256(data).hexdigest()}\n".encode())
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                self.not_utf8.append(name.as_posix())
                continue
            yield SourceFile(name.parts[0], name.as_posix(), text.replace("\r\n", "\n").replace("\r", "\n"))


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
        )
        for row in iter_jsonl(folder / "functions.jsonl")
    ]

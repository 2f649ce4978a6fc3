"""The only reader and writer of what lies on disk between the phases.

An artifact is a folder that appears whole or not at all, with a manifest.json that holds no time, host or absolute
path: phase, rule and wildcards, their settings, the sha256 of the code, of the lock file, of every input's manifest, of
what was read from outside the build folder, and of every file in the folder.
Layout: ``build/<benchmark>/<phase>/...`` (see :class:`Paths`); every phase reads only earlier phases' folders.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from neurosieve import numerics
from neurosieve.config.files import pointer

SCHEMA = 2
PACKAGE = Path(__file__).parent
# What mends an artifact that is not whole: a run makes what is not there.
AGAIN = "delete the artifact's folder, if it is there, and run again (`neurosieve run`)"

# What a spreadsheet takes for the beginning of a formula, the full-width forms included (OWASP, "CSV injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.ASCII | re.IGNORECASE)

# What each phase runs: its own module plus the modules it calls. Snakemake's `code=` inputs and DVC's deps are these
# same lists; a test follows the imports and compares. cli.py only parses arguments: no result depends on it.
COMMON = ("artifacts.py", "config", "flow.py", "numerics.py")
# fmt: off
CODE: dict[str, tuple[str, ...]] = {
    "prepare": (*COMMON, "sources", "prepare"),
    "activations": (*COMMON, "memory.py", "sources", "activations"),
    "redundancy": (*COMMON, "constant.py", "redundancy"),
    "probes": (*COMMON, "constant.py", "probes"),
    "subsets": (*COMMON, "constant.py", "probes", "redundancy", "subsets"),
    "concepts": (
        *COMMON, "constant.py", "memory.py", "sources", "prepare", "activations", "redundancy", "probes",
        "subsets", "concepts",
    ),
    "leaderboard": (*COMMON, "constant.py", "probes", "leaderboard"),
    "site": (*COMMON, "constant.py", "probes", "leaderboard", "site"),
}
# fmt: on


class ArtifactError(RuntimeError):
    """A folder on disk that is missing, incomplete or not what its manifest says."""


class Paths:
    """Where the artifacts of one benchmark lie."""

    def __init__(self, benchmark: str, build: Path | str = "build") -> None:
        self.root = Path(build) / benchmark

    def corpus(self, corpus: str) -> Path:
        return self.root / "prepare" / "corpora" / corpus

    def task(self, task: str) -> Path:
        """Sub-folders train, tune, judge, test, each with inputs.jsonl and rows.jsonl."""
        return self.root / "prepare" / "tasks" / task

    def activations(self, model: str, task: str, split: str) -> Path:
        """One float32 layer_NN.npy per layer, shape (vectors, width)."""
        return self.root / "activations" / model / task / split

    def finetuned(self, model: str, task: str) -> Path:
        """The model after training on the task: a folder as `save_pretrained` writes it, and report.json."""
        return self.root / "activations" / model / task / "finetuned"

    def redundancy(self, model: str, task: str) -> Path:
        return self.root / "redundancy" / model / task

    def baselines(self, task: str) -> Path:
        return self.root / "probes" / "baselines" / task

    def probes(self, model: str, task: str) -> Path:
        return self.root / "probes" / "models" / model / task

    def controls(self, model: str, task: str) -> Path:
        return self.root / "probes" / "controls" / model / task

    def status(self) -> Path:
        return self.root / "probes" / "status"

    def search(self, model: str, task: str) -> Path:
        return self.root / "subsets" / "search" / model / task

    def scores(self, model: str, task: str) -> Path:
        return self.root / "subsets" / "scores" / model / task

    def published(self, model: str, task: str) -> Path:
        return self.root / "subsets" / "published" / model / task

    def robustness(self, model: str, task: str) -> Path:
        return self.root / "subsets" / "robustness" / model / task

    def transfer(self, model: str) -> Path:
        return self.root / "subsets" / "transfer" / model

    def concepts(self, model: str, task: str) -> Path:
        return self.root / "concepts" / "neurons" / model / task

    def ablation(self, model: str, task: str) -> Path:
        return self.root / "concepts" / "ablation" / model / task

    def attribution(self, model: str, task: str) -> Path:
        return self.root / "concepts" / "attribution" / model / task

    def faithfulness(self, model: str, task: str) -> Path:
        return self.root / "concepts" / "faithfulness" / model / task

    def effects(self, model: str) -> Path:
        return self.root / "concepts" / "effects" / model

    def lens(self, lens: str, model: str, task: str) -> Path:
        return self.root / "concepts" / "lenses" / lens / model / task

    def languages(self, model: str) -> Path:
        return self.root / "concepts" / "languages" / model

    def leaderboard(self) -> Path:
        return self.root / "leaderboard"

    def site(self) -> Path:
        return self.root / "site"


def sha256_file(path: Path) -> str:
    """sha256 of a file's content; ArtifactError where only its name is there (a git-lfs pointer, a broken link)."""
    if (why := pointer(path)) is not None:
        raise ArtifactError(why)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def code_files(phase: str) -> list[Path]:
    """Source files of a phase, sorted, as paths below the package."""
    files: list[Path] = []
    for entry in CODE[phase]:
        path = PACKAGE / entry
        files += (
            [path]
            if path.is_file()
            else [p for p in path.rglob("*") if p.is_file() and p.suffix in (".py", ".j2", ".css", ".js")]
        )
    return sorted(files)


@functools.cache
def code_sha256(phase: str) -> str:
    """One hash over names and contents of a phase's source files."""
    digest = hashlib.sha256()
    for path in code_files(phase):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


@functools.cache
def lock_sha256() -> str | None:
    """sha256 of the lock file of the checkout that this package lies in; None where there is none."""
    path = PACKAGE.parents[1] / "requirements.lock"
    return sha256_file(path) if path.is_file() else None


def _check_json(value: Any, where: str = "") -> Any:
    """Plain json values; numpy scalars become Python's, and a NaN is refused: a missing figure is null."""
    if isinstance(value, Mapping):
        return {str(k): _check_json(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _check_json(value.tolist(), where)
    if isinstance(value, (list, tuple)):
        return [_check_json(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where or 'value'} is {value}; write None where a figure is missing")
    return value


def dump_json(value: Any) -> str:
    """Deterministic json: sorted keys, short floats as repr gives them, a newline at the end."""
    return json.dumps(_check_json(value), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def csv_cell(text: str) -> str:
    """A text as a cell that no spreadsheet runs: with a `'` before it where it would be taken for a formula.

    Numbers, signed ones too, stay as they are.
    """
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def csv_lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a csv, quoted where needed, with a line feed at the end; every cell as :func:`csv_cell` has it."""
    for row in rows:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(csv_cell(text) for text in row)
        yield out.getvalue()


def printable(text: str) -> str:
    """A text for a terminal: characters that would steer it (escapes, say) as `\\x1b`; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Writer:
    """Context manager that builds an artifact folder beside its place and moves it there when all is written.

    Parameters
    ----------
    folder : where the artifact is to lie; an older one there is replaced.
    phase : one of config.PHASES; its code is hashed into the manifest.
    params : what of params.yaml made this; json values only.
    inputs : artifact folders that were read: their manifests are hashed.
    rule, wildcards : what made it of what; sources : sha256 of what was read from outside the build folder, by label.
    build : folder of the benchmark, at which the names of inputs begin.

    The phases take theirs from :func:`neurosieve.flow.writer`, which knows all of this.
    """

    def __init__(
        self,
        folder: Path,
        phase: str,
        params: Mapping[str, Any],
        inputs: Iterable[Path] = (),
        *,
        rule: str | None = None,
        wildcards: Mapping[str, str] | None = None,
        sources: Mapping[str, str | None] | None = None,
        build: Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.part = self.folder.with_name(f".{self.folder.name}.part")
        self.phase, self.params, self.inputs = phase, params, list(inputs)
        self.rule, self.wildcards, self.sources = rule, dict(wildcards or {}), dict(sources or {})
        self.build = self.folder.parent if build is None else Path(build)
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        shutil.rmtree(self.part, ignore_errors=True)
        self.part.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            shutil.rmtree(self.part, ignore_errors=True)
            return
        try:
            manifest = {
                "schema": SCHEMA,
                "phase": self.phase,
                "rule": self.rule,
                "wildcards": self.wildcards,
                "params": self.params,
                "code": code_sha256(self.phase),
                "lock": lock_sha256(),
                "inputs": {artifact_name(p, self.build): _input_sha256(p) for p in self.inputs},
                "sources": self.sources,
                "facts": self._facts(),
                "files": {
                    p.relative_to(self.part).as_posix(): sha256_file(p)
                    for p in sorted(self.part.rglob("*"))
                    if p.is_file()
                },
            }
            (self.part / "manifest.json").write_text(dump_json(manifest), encoding="utf-8")
            shutil.rmtree(self.folder, ignore_errors=True)
            self.part.replace(self.folder)
        finally:
            shutil.rmtree(self.part, ignore_errors=True)

    def marks(self) -> list[str]:
        """Machines on which `numerics: portable` did not hold, of this artifact and of all before it."""
        return numerics.marks(self.params, map(read_manifest, self.inputs))

    def _facts(self) -> dict[str, Any]:
        marks = self.marks()
        return {**self.facts, "numerics": marks} if marks else self.facts

    def path(self, name: str) -> Path:
        """Path of a file to be written inside the folder."""
        target = self.part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def text(self, name: str, text: str) -> None:
        self.path(name).write_text(text, encoding="utf-8", newline="\n")

    def json(self, name: str, value: Any) -> None:
        self.text(name, dump_json(value))

    def jsonl(self, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """One json object a line; returns their number."""
        count = 0
        with self.path(name).open("w", encoding="utf-8", newline="\n") as handle:
            for row in rows:
                count += 1
                handle.write(json.dumps(_check_json(row), sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n")
        return count

    def npy(self, name: str, array: np.ndarray) -> None:
        np.save(self.path(name), np.ascontiguousarray(array), allow_pickle=False)

    def tensors(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """safetensors without metadata: with two or more keys of it the bytes are not deterministic."""
        save_file({k: np.ascontiguousarray(v) for k, v in sorted(arrays.items())}, self.path(name))


def artifact_name(folder: Path, build: Path) -> str:
    """An artifact's folder as manifests name it: from build/<benchmark>, and never from the root of this machine."""
    folder, build = Path(folder).absolute(), Path(build).absolute()
    return folder.relative_to(build).as_posix() if folder.is_relative_to(build) else folder.name


def _input_sha256(path: Path) -> str:
    target = Path(path) / "manifest.json"
    if not target.is_file():
        raise ArtifactError(f"{path}: no manifest.json; {AGAIN}")
    return sha256_file(target)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Manifest of an artifact folder; a clear error where the folder is missing or half there."""
    path = Path(folder) / "manifest.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no manifest.json; {AGAIN}")
    return read_json(path)


def check_files(folder: Path) -> None:
    """Raise ArtifactError naming each file of the folder that is missing, changed or extra."""
    folder = Path(folder)
    wanted = read_manifest(folder)["files"]
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"manifest.json"}
    faults = [f"{name}: missing" for name in sorted(set(wanted) - found)]
    faults += [f"{name}: not in the manifest" for name in sorted(found - set(wanted))]
    faults += [f"{name}: changed" for name in sorted(found & set(wanted)) if sha256_file(folder / name) != wanted[name]]
    if faults:
        raise ArtifactError(f"{folder}: " + "; ".join(faults) + "; delete the folder and run again")


def read_json(path: Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; {AGAIN}") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid json ({error}); delete the folder and run again") from None


def iter_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a jsonl file; a broken line is an error that names it."""
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; {AGAIN}")
    # newline="\n": a lone carriage return inside a line is data, not a line end
    with path.open(encoding="utf-8", newline="\n") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ArtifactError(f"{path}:{number}: not valid json ({error}); found {line[:60]!r}") from None
            if not isinstance(row, dict):
                raise ArtifactError(f"{path}:{number}: found {type(row).__name__}, expected a json object")
            yield row


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return list(iter_jsonl(path))


def read_npy(path: Path, mmap: bool = False) -> np.ndarray:
    """Array of a .npy file, memory-mapped read-only where asked; pickled objects are refused."""
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file; {AGAIN}")
    try:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except ValueError as error:
        raise ArtifactError(f"{path}: not a readable array ({error}); delete its folder and run again") from None


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file; {AGAIN}")
    return load_file(path)

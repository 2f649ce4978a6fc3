"""The form of a pack: the results of one run in one zip, and what is asked of such a file before anything else is done.

A pack holds pack.json (schema, benchmark, version, package, by, and the sha256 of every other file), params.yaml, the
params file of the run, and below leaderboard/ the leaderboard folder as it was published. Its bytes follow from these
files alone: nothing in it is compressed, and order, times and permissions are fixed. So a file of other bytes is
refused as a whole, which leaves no room for links, hidden, doubled or escaping names, or for contents that are larger
than the file.

Functions of bytes; no file is read or written here. Errors say what is the matter, and callers what to do.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from neurosieve import artifacts
from neurosieve.artifacts import ArtifactError, csv_cell, dump_json
from neurosieve.config.base import NAME, SHA256
from neurosieve.leaderboard.draws import FIGURES, draws_file, from_csv
from neurosieve.leaderboard.table import COLUMNS, cell, row_file
from neurosieve.leaderboard.tracked import CURVE, curve_file, metrics_file

SCHEMA = 2
PACK, PARAMS, INSIDE = "pack.json", "params.yaml", "leaderboard/"
TABLE, MANIFEST = "leaderboard.csv", "manifest.json"
NEEDED = (TABLE, MANIFEST, "comparisons.json")
OPTIONAL = ("benchmark.json", "effects.json", "languages.json", "transfer.json")
OF_RUN = ("comparisons.json", *OPTIONAL)
KEYS = {"schema": int, "benchmark": str, "version": int, "package": str, "by": str, "files": dict}
OF_ROWS = ("benchmark", "version", "protocol", "model", "task")
# Of the columns: texts and truths; all others are numbers.
TEXTS = (
    "benchmark", "protocol", "model", "task", "training", "status", "metric", "surface_name", "ranking", "layers_used",
    "evidence", "best_ranking", "note", "published_model", "published_metric",
)  # fmt: skip
TRUTHS = ("confirmed",)
STRICT = "strict"  # the protocol whose rows have files
TIME, PERMISSIONS, UNIX = (1980, 1, 1, 0, 0, 0), stat.S_IFREG | 0o644, 3
# Of some fifty models on twenty tasks: far more than any benchmark so far, and less than the memory of a laptop.
MAX_BYTES, MAX_FILES, MAX_PARAMS, MAX_DEPTH, MAX_NAME = 2**28, 10_000, 2**20, 32, 40


def to_zip(files: Mapping[str, bytes]) -> bytes:
    """The zip of files by name; equal files give equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system, entry.external_attr = UNIX, PERMISSIONS << 16
            archive.writestr(entry, files[name])
    return out.getvalue()


def from_zip(data: bytes, where: str) -> dict[str, bytes]:
    """Files of a pack by name; ``where`` names it in errors.

    Raises
    ------
    ArtifactError
        where the bytes are not those that :func:`to_zip` gives for the files in them.
    """
    if len(data) > MAX_BYTES:
        raise ArtifactError(f"{where}: {len(data):,} bytes; a pack has at most {MAX_BYTES:,}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES:
                raise ArtifactError(f"{where}: {len(entries):,} files; a pack has at most {MAX_FILES:,}")
            names = {entry.filename for entry in entries}
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if len(names) < len(entries) or not stored or sum(entry.file_size for entry in entries) > len(data):
                raise ArtifactError(f"{where}: compressed or doubled files in it, which no pack has")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except ArtifactError:
        raise
    # of damaged bytes the reader raises whatever it stumbles over
    except Exception as error:
        raise ArtifactError(f"{where}: not a readable zip ({error})") from None
    _check_names(files, where)
    if to_zip(files) != data:
        raise ArtifactError(f"{where}: its bytes are not those that `neurosieve submit` writes for its files")
    return files


def describe(files: Mapping[str, bytes], benchmark: str, version: int, package: str, by: str) -> bytes:
    """pack.json of the other files of a pack."""
    sums = {name: sha256(content) for name, content in files.items()}
    facts = {"schema": SCHEMA, "benchmark": benchmark, "version": version, "package": package, "by": by, "files": sums}
    return dump_json(facts).encode()


def check(files: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """Check the files of a pack, each by itself and with the others; returns pack.json with "manifest" beside it.

    Raises
    ------
    ArtifactError
        naming the file and what is the matter: a file that is missing, unknown, too large or another than its sum; a
        name with other characters than names have; json that is too deep, has a key twice or a number that is none;
        a row that contradicts the table, the manifest or the pack.
    """
    _check_names(files, where)
    for name in (PACK, PARAMS, *(f"{INSIDE}{name}" for name in NEEDED)):
        if name not in files:
            _refuse(where, name, "not in it")
    pack = parse(files[PACK], f"{where}: {PACK}")
    _check_pack(pack, where)
    sums = {name: sha256(content) for name, content in files.items() if name != PACK}
    _check_sums(pack["files"], sums, f"{where}: {PACK}")
    if len(files[PARAMS]) > MAX_PARAMS:
        _refuse(where, PARAMS, f"{len(files[PARAMS]):,} bytes; a params file has at most {MAX_PARAMS:,}")
    text(files[PARAMS], f"{where}: {PARAMS}")
    inside = {name.removeprefix(INSIDE): content for name, content in files.items() if name.startswith(INSIDE)}
    manifest = parse(inside[MANIFEST], f"{where}: {INSIDE}{MANIFEST}")
    _check_manifest(manifest, pack, f"{where}: {INSIDE}{MANIFEST}")
    own = {name: sha256(content) for name, content in inside.items() if name != MANIFEST}
    _check_sums(manifest["files"], own, f"{where}: {INSIDE}{MANIFEST}")
    _check_rows(inside, manifest, pack, f"{where}: {INSIDE}")
    return pack | {"manifest": manifest}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{where}: not UTF-8 at byte {error.start}") from None


def parse(content: bytes, where: str) -> dict[str, Any]:
    """A json object, strictly: no key twice, no number that is none, brackets at most MAX_DEPTH deep."""

    def refuse(found: str) -> NoReturn:
        raise ValueError(f"found {found}, where a missing figure is null")

    def finite(found: str) -> float:
        return number if math.isfinite(number := float(found)) else refuse(found)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            raise ValueError("the same key twice in an object")
        return value

    try:
        said = text(content, where)
        found = json.loads(said, parse_constant=refuse, parse_float=finite, object_pairs_hook=once)
        if "\\ud" in said.lower():  # perhaps half a character, which no file can hold
            dump_json(found).encode()
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ArtifactError(f"{where}: not valid json ({why})") from None
    level: list[Any] = [found]
    for _ in range(MAX_DEPTH):
        level = [value for item in level for value in _members(item)]
    if level:
        raise ArtifactError(f"{where}: nested more than {MAX_DEPTH} deep")
    if not isinstance(found, dict):
        raise ArtifactError(f"{where}: found {type(found).__name__}, expected an object")
    return found


def _members(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refuse(where: str, name: str, why: str) -> NoReturn:
    raise ArtifactError(f"{where}: {name}: {why}")


def is_name(value: Any) -> bool:
    """Whether it is a name as params files have them: a folder may be called so, and no page takes it for markup."""
    return isinstance(value, str) and len(value) <= 80 and re.fullmatch(NAME, value, re.ASCII) is not None


def _check_names(names: Mapping[str, bytes], where: str) -> None:
    known = {PACK, PARAMS, *(f"{INSIDE}{name}" for name in (*NEEDED, *OPTIONAL))}
    for name in sorted(names.keys() - known):
        folder, _, file = name.removeprefix(INSIDE).partition("/")
        end = {"rows": ".json", "metrics": ".json", "curves": ".csv", "draws": ".csv"}.get(folder)
        stem = file.removesuffix(end or "")
        if not name.startswith(INSIDE) or end is None or stem == file or not re.fullmatch(NAME, stem, re.ASCII):
            _refuse(where, repr(name), "no file that results have")


def _check_pack(pack: Mapping[str, Any], where: str) -> None:
    if pack.get("schema") != SCHEMA:
        _refuse(where, PACK, f"schema {pack.get('schema')!r}; this package reads packs of schema {SCHEMA} alone")
    for key, kind in KEYS.items():
        if type(pack.get(key)) is not kind:
            _refuse(where, PACK, f"{key}: found {pack.get(key)!r}, expected {kind.__name__}")
    if unknown := sorted(pack.keys() - KEYS.keys()):
        _refuse(where, PACK, f"unknown keys {', '.join(map(repr, unknown))}")
    for key in ("benchmark", "by", "package"):
        if not is_name(pack[key]) or (key == "by" and len(pack[key]) > MAX_NAME):
            _refuse(where, PACK, f"{key}: found {pack[key]!r}, no name: letters, digits, '.', '_' and '-' alone")


def _check_sums(said: Mapping[str, Any], found: Mapping[str, str], where: str) -> None:
    for name in sorted(said.keys() | found.keys()):
        if name not in found:
            raise ArtifactError(f"{where}: {name} is not in the pack")
        if name not in said:
            raise ArtifactError(f"{where}: does not list {name}")
        if said[name] != found[name]:
            raise ArtifactError(f"{where}: {name} has another sha256: it was changed since")


def _check_manifest(manifest: Mapping[str, Any], pack: Mapping[str, Any], where: str) -> None:
    def refuse(why: str) -> NoReturn:
        raise ArtifactError(f"{where}: {why}")

    if manifest.get("schema") != artifacts.SCHEMA or manifest.get("rule") != "build_leaderboard":
        refuse(f"not of a leaderboard that this release reads (schema {artifacts.SCHEMA})")
    for key in ("params", "inputs", "sources", "files", "facts", "wildcards"):
        if not isinstance(manifest.get(key), dict):
            refuse(f"{key}: found {type(manifest.get(key)).__name__}, expected an object")
    sums = [manifest.get("code"), *manifest["inputs"].values(), *manifest["sources"].values()]
    sums += [] if manifest.get("lock") is None else [manifest["lock"]]  # None: made outside a checkout
    if not manifest["inputs"] or not all(isinstance(one, str) and re.fullmatch(SHA256, one) for one in sums):
        refuse("code, lock, inputs or sources without a sha256")
    params = manifest["params"]
    for key in ("benchmark", "version"):
        if params.get(key) != pack[key]:
            refuse(f"{key} {params.get(key)!r}, but {PACK} has {pack[key]!r}")
    for key, entries in (("models", params.get("models")), ("tasks", (params.get("prepare") or {}).get("tasks"))):
        listed = (params.get("run") or {}).get(key)
        if not isinstance(listed, list) or not listed or not isinstance(entries, dict):
            refuse(f"params: no {key} in it")
        if odd := next((name for name in (*listed, *entries) if not is_name(name)), None):
            refuse(f"params: {key}: found {odd!r}, no name: letters, digits, '.', '_' and '-' alone")
        if len(set(listed)) < len(listed) or not set(listed) <= entries.keys():
            refuse(f"params: run.{key} has names twice, or names without an entry")


def _check_rows(inside: Mapping[str, bytes], manifest: Mapping[str, Any], pack: Mapping[str, Any], where: str) -> None:
    """Every model on every task has a row, its metrics, curve and replicates, and the table says what the rows say."""
    run = manifest["params"]["run"]
    cells = [(model, task) for model in run["models"] for task in run["tasks"]]
    wanted = {f(model, task) for model, task in cells for f in (row_file, metrics_file, curve_file, draws_file)}
    there = {name for name in inside if "/" in name}
    if missing := sorted(wanted - there):
        raise ArtifactError(f"{where}{missing[0]}: not in it, and {len(missing) - 1} more")
    if unknown := sorted(there - wanted):
        raise ArtifactError(f"{where}{unknown[0]}: of no model and task of the run")
    rows = {}
    for name in sorted(name for name in inside if name.endswith(".json")):
        found = parse(inside[name], f"{where}{name}")
        if name.startswith("rows/"):
            rows[name] = found
        elif name in OF_RUN:
            _check_of_run(name, found, pack, run, where)
    for model, task in cells:
        row, name = rows[row_file(model, task)], row_file(model, task)
        said = {"benchmark": pack["benchmark"], "version": pack["version"], "protocol": STRICT}
        for key, value in (said | {"model": model, "task": task}).items():
            if row.get(key) != value or type(row.get(key)) is not type(value):
                raise ArtifactError(f"{where}{name}: {key}: found {row.get(key)!r}, expected {value!r}")
        for key in COLUMNS:
            if not _fits(key, row.get(key)):
                raise ArtifactError(f"{where}{name}: {key}: found {row[key]!r}")
        for number, line in enumerate(_lines(inside[curve_file(model, task)], f"{where}{curve_file(model, task)}")):
            if len(line) != len(CURVE) or (tuple(line) != CURVE if number == 0 else not all(map(_is_number, line))):
                raise ArtifactError(f"{where}{curve_file(model, task)}:{number + 1}: found {line}")
        _check_draws(row, inside[draws_file(model, task)], manifest, f"{where}{draws_file(model, task)}")
    _check_table(inside[TABLE], rows, pack, run, f"{where}{TABLE}")


def _check_draws(row: Mapping[str, Any], content: bytes, manifest: Mapping[str, Any], where: str) -> None:
    """A replicate per draw of each figure that the row has, and what is asked of the row where it is compared."""
    try:
        found = from_csv(text(content, where))
    except ValueError as error:
        raise ArtifactError(f"{where}: {error}") from None
    drawn, confidence, probes = row.get("draws"), row.get("confidence"), manifest["params"].get("probes")
    if not isinstance(probes, dict):
        raise ArtifactError(f"{where}: no `probes:` in the params of {MANIFEST}")
    sums = drawn if isinstance(drawn, dict) else {}
    told = sums.keys() == {split for split, _ in FIGURES.values()}
    if not told or not all(isinstance(total, str) and re.fullmatch(SHA256, total) for total in sums.values()):
        raise ArtifactError(f"{where}: the row's draws: found {drawn!r}, expected a sha256 for judge and one for test")
    if not isinstance(confidence, float) or confidence != probes.get("confidence"):
        raise ArtifactError(
            f"{where}: the row's confidence: found {confidence!r}, probes.confidence is {probes.get('confidence')!r}"
        )
    if (row.get("n_minimal") is None) != (row.get("n_least") is None):
        raise ArtifactError(f"{where}: n_minimal {row.get('n_minimal')!r} with n_least {row.get('n_least')!r}")
    wanted = probes.get("bootstrap")
    for name, (_, key) in FIGURES.items():
        if (name in found) != (row.get(key) is not None):
            raise ArtifactError(f"{where}: {name}: the row has {key} {row.get(key)!r}, which does not fit")
        if name in found and len(found[name]) != wanted:
            raise ArtifactError(f"{where}: {len(found[name])} draws; probes.bootstrap is {wanted!r}")


def _check_of_run(
    name: str, found: Mapping[str, Any], pack: Mapping[str, Any], run: Mapping[str, Any], where: str
) -> None:
    """What stands beside the rows is of their benchmark, models and tasks."""
    facts: Any = found.get("facts") if name == "benchmark.json" else {}
    listed: Any = found.get("tasks") if name == "benchmark.json" else found
    published: Any = found.get("published", []) if name == "benchmark.json" else []
    of = run["tasks"] if name in ("benchmark.json", "comparisons.json") else run["models"]
    fits = isinstance(facts, dict) and isinstance(listed, dict) and isinstance(published, list)
    fits = fits and all(facts.get(key, pack[key]) == pack[key] for key in ("benchmark", "version"))
    fits = fits and all(
        isinstance(row, dict) and all(row.get(k) in run[f"{k}s"] for k in ("model", "task")) for row in published
    )
    if not fits or not listed.keys() <= set(of):
        raise ArtifactError(f"{where}{name}: of another benchmark, or of models and tasks that the run does not have")


def _check_table(
    content: bytes, rows: Mapping[str, Mapping[str, Any]], pack: Mapping[str, Any], run: Mapping[str, Any], where: str
) -> None:
    head, *lines = list(_lines(content, where)) or [[]]
    if len(set(head)) < len(head) or not set(OF_ROWS) <= set(head) <= COLUMNS.keys():
        raise ArtifactError(f"{where}:1: columns that this release does not write")
    seen = set()
    for number, line in enumerate(lines, start=2):
        if len(line) != len(head):
            raise ArtifactError(f"{where}:{number}: {len(line)} cells in {len(head)} columns")
        found = dict(zip(head, line, strict=True))
        key = tuple(found[name] for name in ("protocol", "model", "task"))
        known = found["model"] in run["models"] and found["task"] in run["tasks"] and is_name(found["protocol"])
        own = (found["benchmark"], found["version"]) == (pack["benchmark"], str(pack["version"]))
        if not known or not own or key in seen:
            raise ArtifactError(f"{where}:{number}: a row of another benchmark, model or task, or twice")
        seen.add(key)
        row = rows[row_file(found["model"], found["task"])]
        for name, shown in found.items():
            if shown.lstrip("+-").casefold() in ("nan", "inf", "infinity"):
                raise ArtifactError(f"{where}:{number}: {name}: found {shown!r}, where a missing cell is empty")
            if found["protocol"] == STRICT and csv_cell(_shown(row.get(name))) != shown:
                told = row_file(found["model"], found["task"])
                raise ArtifactError(f"{where}:{number}: {name}: found {shown!r}, {told} has {row.get(name)!r}")
    lacking = [row for row in rows.values() if (STRICT, row["model"], row["task"]) not in seen]
    if lacking:
        raise ArtifactError(f"{where}: no row of {lacking[0]['model']} on {lacking[0]['task']}")


def _shown(value: Any) -> str:
    return cell(value) if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _lines(content: bytes, where: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text(content, where), newline=""), strict=True)
    except csv.Error as error:
        raise ArtifactError(f"{where}: not a csv ({error})") from None


def _fits(column: str, value: Any) -> bool:
    """Whether a row's value is of its column's type; a missing one is."""
    if value is None or column in TRUTHS:
        return value is None or isinstance(value, bool)
    if column in TEXTS:
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_number(shown: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", shown, re.ASCII) is not None

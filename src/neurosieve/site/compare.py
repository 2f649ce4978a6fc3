"""What differs between two rows, models, results folders or git revisions: what made them first, then their figures.

Reads leaderboard folders (results/<benchmark> or build/<benchmark>/leaderboard), on disk or in a git revision: rows/,
draws/, manifest.json, comparisons.json. Writes nothing.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from neurosieve.artifacts import ArtifactError, printable
from neurosieve.config import PHASES

TABLE, MANIFEST, PAIRS, DRAWS = "leaderboard.csv", "manifest.json", "comparisons.json", "draws/"
ROW, MODEL, FOLDER = "row", "model", "folder"
# What of a row is told beside its figures where it differs; the status also where both claim nothing.
TOLD = ("training", "status", "evidence", "confirmed", "ranking", "metric", "n_neurons", "layers_used", "note")
PARTS = ("card", "test")  # of a task, those whose manifests a leaderboard's manifest names
ENDS = ("", "_low", "_high")
SUPPORTED = "supported"  # as in probes/status.py, which would load numpy and scipy
SHOWN, WIDTH = 20, 60  # settings that the text lists, characters of a value in it
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes
    ----------
    label : as it was given. kind : ROW, MODEL or FOLDER.
    place : the folder that it is of, the same for two sides of the same results.
    rows : by model and task.
    manifest, comparisons : of the folder, empty where it has none. draws : texts of its files of replicates, by name.
    """

    label: str
    kind: str
    place: str
    rows: Mapping[tuple[str, str], Row]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    comparisons: Mapping[str, Any] = field(default_factory=dict)
    draws: Mapping[str, str] = field(default_factory=dict)


def read_side(given: str, default: Callable[[], Path]) -> Side:
    """What a user means: a results folder, a row's file, a row ``model__task`` or a model of the default results, each
    also as ``REVISION:...``; or a git revision alone, for the default results in it.

    Parameters
    ----------
    default : gives the folder of the default results; asked only where it is needed.

    Raises
    ------
    ArtifactError
        where it is none of these, or what it names cannot be read.
    """
    disk = _Disk()
    if disk.kind(given) is not None:
        return _at_path(given, given, disk)
    before, colon, after = given.partition(":")
    if colon and (commit := commit_of(before)) is not None:
        spot = _Revision(before, commit)
        if spot.kind(after) is not None:
            return _at_path(given, after, spot)
        return _named(given, after, default(), spot)
    results = default()
    if disk.kind(results.as_posix()) is not None and (side := _among(given, given, results, disk)) is not None:
        return side
    if (commit := commit_of(given)) is not None:
        return _at_path(given, results.as_posix(), _Revision(given, commit))
    return _named(given, given, results, disk)


def committed_manifest(results: Path) -> dict[str, Any]:
    """manifest.json of a results folder as it is in git's HEAD, else as it lies there; empty where there is none."""
    name = (results / MANIFEST).as_posix()
    spots: list[_Spot] = [_Disk()]
    if (commit := commit_of("HEAD")) is not None:
        spots.insert(0, _Revision("HEAD", commit))
    for spot in spots:
        if spot.kind(name) == "file":
            return _parse(spot.read(name), f"{spot.label}{name}")
    return {}


def differences(a: Side, b: Side) -> dict[str, Any]:
    """Everything that differs, as plain values.

    Returns
    -------
    dict
        "a", "b" : label, kind, benchmark, version, and "only": rows that the other lacks, as "model__task".
        "settings" : see :func:`settings`.
        "rows" : a dict per pair of rows: "a" and "b" (model, task), "figures" (see :func:`figures`) and "columns"
        (name, a, b of those of TOLD that differ, and the status of rows that claim nothing).
        "same_benchmark" : whether name and version are equal; where they are not, figures are of different benchmarks.

    Raises
    ------
    ArtifactError
        where the two have no row in common.
    """
    matched = list(_matched(a, b))
    if not matched:
        raise ArtifactError(f"{a.label} and {b.label} have no row in common: {_what(a)}; {_what(b)}")
    rows = []
    for one, other in matched:
        pairs = a.comparisons.get(one["task"]) if a.place == b.place and one["task"] == other["task"] else None
        rows.append(
            {
                "a": _name(one),
                "b": _name(other),
                "figures": figures(one, other, pairs, _by_draws(a, one, b, other) if pairs is None else None),
                "columns": [
                    {"name": name, "a": one.get(name), "b": other.get(name)}
                    for name in TOLD
                    if one.get(name) != other.get(name) or (name == "status" and one.get(name) != SUPPORTED)
                ],
            }
        )
    kinds = [(one.get("benchmark"), one.get("version")) for one in (*a.rows.values(), *b.rows.values())]
    return {
        "a": _shown(a, [one for one, _ in matched]),
        "b": _shown(b, [other for _, other in matched]),
        "settings": settings(a, b, matched),
        "rows": rows,
        "same_benchmark": all(kind == kinds[0] for kind in kinds),
    }


def settings(a: Side, b: Side, matched: Sequence[tuple[Row, Row]]) -> dict[str, Any]:
    """What differs in what made the rows, by the manifests of their folders.

    Of two folders all params are compared; else those of all rows, and those of the models and tasks at hand.

    Returns
    -------
    dict
        "params" : list of key (dotted), a, b and "only" ("a" or "b" where the other has no such key).
        "code", "lock" : {"a", "b"}, sha256, or None where they are equal.
        "data" : list of name, a, b: sha256 of the manifests of tasks' cards and test rows, and of other sources. The
        manifests hold the code, lock and settings of their phase too.
        "unknown" : which of "params", "code", "lock" and "data" a manifest does not tell.
    """
    whole = a.kind == b.kind == FOLDER
    sides = [(a, [one for one, _ in matched]), (b, [other for _, other in matched])]
    params = [_params(side, rows, whole) for side, rows in sides]
    unknown = [] if all(side.manifest.get("params") for side, _ in sides) else ["params"]
    found: dict[str, Any] = {"params": [] if unknown else differing(*params)}
    for key in ("code", "lock"):
        values = [side.manifest.get(key) for side, _ in sides]
        found[key] = None if values[0] == values[1] else {"a": values[0], "b": values[1]}
        if None in values:
            found[key] = None
            unknown.append(key)
    names = {f"prepare/tasks/{row['task']}" for _, rows in sides for row in rows}
    of_one_task = len(matched) == 1 and len(names) == 2  # two tasks: part by part
    sums = [data_sums(side.manifest, [row["task"] for row in rows], of_one_task) for side, rows in sides]
    if not (sums[0] and sums[1]):
        unknown.append("data")
    found["data"] = [
        {"name": name, "a": sums[0][name], "b": sums[1][name]}
        for name in sorted(sums[0].keys() & sums[1].keys())
        if sums[0][name] != sums[1][name]
    ]
    return found | {"unknown": unknown}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Leaves of two nested mappings that differ, by dotted key, sorted: key, a, b, and "only" ("a", "b" or None)."""
    before, now = dict(leaves(a)), dict(leaves(b))
    found = []
    for key in sorted(before.keys() | now.keys()):
        only = "b" if key not in before else "a" if key not in now else None
        if only or before[key] != now[key] or isinstance(before[key], bool) != isinstance(now[key], bool):
            found.append({"key": key, "a": before.get(key), "b": now.get(key), "only": only})
    return found


def figures(
    a: Row, b: Row, pairs: Mapping[str, Any] | None = None, drawn: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Score, subset's score and fewest neurons of two rows.

    Parameters
    ----------
    pairs : comparisons.json of the rows' task, where both are of one leaderboard; None elsewhere.
    drawn : what the replicates of two leaderboards say of a - b, as leaderboard/draws.py's ``differ`` gives it.

    Returns
    -------
    list
        A dict per figure: "figure" ("score", "subset", "n_minimal"), "a", "a_low", "a_high" and the same of b (5-95 %
        of scores; n_least and n_minimal for neurons), "difference" (b - a; None where one is missing or metrics
        differ), "paired", and where it is: "low", "high" of the difference (of neurons None where that end is beyond
        every size), for scores "p" and whether it is "adjusted" (by Holm, over the pairs of models of the task). Of
        "n_minimal" of one task "different" says whether the intervals are apart. Missing figures are None.
    """
    pairs, drawn = pairs or {}, drawn or {}
    found = [
        _score("score", *((row.get("oracle"), row.get("oracle_low"), row.get("oracle_high")) for row in (a, b))),
        _score("subset", _subset(a), _subset(b)),
        _minima(a, b),
    ]
    for entry, key in zip(found, ("oracle", "subset_test", "n_minimal"), strict=True):
        one, other, name = a.get(key), b.get(key), entry["figure"]
        if one is None or other is None or (key != "n_minimal" and a.get("metric") != b.get("metric")):
            continue
        entry["difference"] = other - one
        entry |= _paired(pairs.get(name, ()), a.get("model"), b.get("model"), drawn.get(name))
    return found


def _score(name: str, a: Sequence[Any], b: Sequence[Any]) -> dict[str, Any]:
    """A figure of two rows: value, low and high of each."""
    sides = {f"{key}{end}": v for key, side in (("a", a), ("b", b)) for end, v in zip(ENDS, side, strict=True)}
    unknown = dict.fromkeys(("difference", "low", "high", "p", "adjusted", "different"))
    return {"figure": name, **sides, **unknown, "paired": False}


def _subset(row: Row) -> tuple[Any, Any, Any]:
    own = (row.get("test") or {}).get("subset") or {}
    return row.get("subset_test"), own.get("low"), own.get("high")


def _minima(a: Row, b: Row) -> dict[str, Any]:
    """The fewest neurons of two rows; n_least to n_minimal is the interval of each."""
    sides = [(n, row.get("n_least"), n) if (n := row.get("n_minimal")) is not None else (None,) * 3 for row in (a, b)]
    entry = _score("n_minimal", *sides)
    (one, low, _), (other, other_low, _) = sides
    if a.get("task") == b.get("task") and low is not None and other_low is not None:
        entry["different"] = one < other_low or other < low
    return entry


def _by_draws(a: Side, one: Row, b: Side, other: Row) -> dict[str, Any]:
    """What the replicates of a row of each say of their difference; empty where a side has none.

    Raises
    ------
    ArtifactError
        naming a file that holds no replicates.
    """
    from neurosieve.leaderboard import draws  # with scipy, which takes longer than all the rest

    read = []
    for side, row in ((a, one), (b, other)):
        name = draws.draws_file(*_name(row).values())
        if name not in side.draws:
            return {}
        try:
            read += [row, draws.from_csv(side.draws[name])]
        except ValueError as error:
            raise ArtifactError(f"{side.label}: {name}: {error}") from None
    return draws.differ(*read)


def as_text(found: Mapping[str, Any]) -> str:
    """What :func:`differences` found, for a terminal: settings first, then the rows that differ."""
    lines = []
    for key in ("a", "b"):
        side = found[key]
        lines.append(f"{key.upper()}: {side['label']} ({side['benchmark']}, version {side['version']})")
    if not found["same_benchmark"]:
        lines.append("these are different benchmarks or versions: what differs between them is not of the models alone")
    lines += ["", *_settings_text(found["settings"]), ""]
    equal = 0
    for row in found["rows"]:
        lines_of_row = list(_row_text(row))
        equal += not lines_of_row
        lines += lines_of_row
    if equal:
        lines.append(f"{equal} of {len(found['rows'])} rows are equal in all of these figures")
    if equal < len(found["rows"]):
        lines.append("[] of one side: 5-95 %, by bootstrap over files; of n_minimal: n_least to n_minimal")
        lines.append(
            "[] of B - A: paired over the same files, two-sided at probes.confidence (95 %); of test for scores, of "
            "judge for n_minimal, where the difference would lie on another judge; unpaired: no such interval is known"
        )
    for key, other in (("a", "b"), ("b", "a")):
        if only := found[key]["only"]:
            more = f", and {len(only) - SHOWN} more" if len(only) > SHOWN else ""
            lines.append(f"not in {other.upper()}: {', '.join(only[:SHOWN])}{more}")
    return printable("\n".join(lines)) + "\n"


class _Disk:
    label = ""

    def kind(self, path: str) -> str | None:
        """ "file", "folder", or None where there is none."""
        there = Path(path)
        return "folder" if there.is_dir() else "file" if there.is_file() else None

    def place(self, path: str) -> str:
        return Path(path).resolve().as_posix()

    def files(self, folder: str) -> dict[str, bytes]:
        """Content of the files of a results folder that are read here."""
        found = (p for p in sorted(Path(folder).rglob("*")) if p.is_file())
        named = ((p.relative_to(folder).as_posix(), p) for p in found)
        return {name: path.read_bytes() for name, path in named if _is_read(name)}

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()


class _Revision:
    """Files of a git revision, by paths from the current folder."""

    def __init__(self, label: str, commit: str) -> None:
        self.label, self._commit = f"{label}:", commit

    def _object(self, path: str) -> str | None:
        if path.startswith("/"):
            return None
        return _git_text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{self._commit}:./{path}")

    def kind(self, path: str) -> str | None:
        found = self._object(path) if path else None
        return (
            None if found is None else {"tree": "folder", "blob": "file"}.get(_git_text("cat-file", "-t", found) or "")
        )

    def place(self, path: str) -> str:
        return str(self._object(path))  # the sum of its content: equal folders are the same results

    def files(self, folder: str) -> dict[str, bytes]:
        listed = _git("ls-tree", "-r", "-z", str(self._object(folder))) or b""
        entries = [line.partition(b"\t") for line in listed.split(b"\0") if line]
        wanted = [(name.decode(), words.split()[2]) for words, _, name in entries if _is_read(name.decode())]
        out = _git("cat-file", "--batch", given=b"".join(found + b"\n" for _, found in wanted)) or b""
        files, at = {}, 0
        for name, _ in wanted:  # "<object> blob <size>", the content, a line feed
            end = out.index(b"\n", at)
            size = int(out[at:end].split()[2])
            files[name] = out[end + 1 : end + 1 + size]
            at = end + size + 2
        return files

    def read(self, path: str) -> bytes:
        return _git("cat-file", "blob", str(self._object(path))) or b""


_Spot = _Disk | _Revision


def _is_read(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    of_row = (folder == "rows" and file.endswith(".json")) or (name.startswith(DRAWS) and file.endswith(".csv"))
    return name in (TABLE, MANIFEST, PAIRS) or (of_row and file[0] != ".")


def _git(*words: str, given: bytes | None = None) -> bytes | None:
    """What git prints; None where it fails or is not there."""
    try:
        return subprocess.run(["git", *words], input=given, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def _git_text(*words: str) -> str | None:
    found = _git(*words)
    return None if found is None else found.decode().strip()


def commit_of(revision: str) -> str | None:
    """The commit of a git revision; None where git knows none of this name here."""
    if not revision:
        return None
    return _git_text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def _at_path(given: str, path: str, spot: _Spot) -> Side:
    """The side of a folder or of a row's file that is there."""
    if spot.kind(path) == "file":
        row = _parse(spot.read(path), f"{spot.label}{path}")
        key = _key(row, f"{spot.label}{path}")
        inside = PurePosixPath(path).parent
        around = (inside.parent if inside.name == "rows" else inside).as_posix()
        files = spot.files(around) if inside.name == "rows" else {}
        return Side(given, ROW, spot.place(around), {key: row}, **_beside(files, f"{spot.label}{around}"))
    for folder in (path, f"{path.rstrip('/')}/leaderboard"):
        if spot.kind(f"{folder}/{TABLE}") == "file":
            return _folder(given, folder, spot)
    raise ArtifactError(
        f"{given}: no {TABLE} in it; name the results of one benchmark, such as results/default, or a row's file"
    )


def _folder(given: str, folder: str, spot: _Spot) -> Side:
    files, where = spot.files(folder), f"{spot.label}{folder}"
    rows = {}
    for name in sorted(name for name in files if name.startswith("rows/")):
        row = _parse(files[name], f"{where}/{name}")
        rows[_key(row, f"{where}/{name}")] = row
    return Side(given, FOLDER, spot.place(folder), rows, **_beside(files, where))


def _among(given: str, name: str, folder: Path, spot: _Spot) -> Side | None:
    """The row or model of that name in a results folder; None where it has neither, or is no such folder."""
    if spot.kind(f"{folder.as_posix()}/{TABLE}") != "file":
        return None
    whole = _folder(given, folder.as_posix(), spot)
    for kind, rows in (
        (ROW, {key: row for key, row in whole.rows.items() if "__".join(key) == name}),
        (MODEL, {key: row for key, row in whole.rows.items() if key[0] == name}),
    ):
        if rows:
            return replace(whole, kind=kind, rows=rows)
    return None


def _named(given: str, name: str, folder: Path, spot: _Spot) -> Side:
    if (side := _among(given, name, folder, spot)) is not None:
        return side
    raise ArtifactError(
        f"{given}: neither a results folder, a row's file, a row or model of {spot.label}{folder} nor a git revision; "
        "write a row as model__task, a folder as results/default, what was committed as REVISION:results/default, and "
        "name other results with --results"
    )


def _beside(files: Mapping[str, bytes], where: str) -> dict[str, Any]:
    found = {name: _parse(files[name], f"{where}/{name}") for name in (MANIFEST, PAIRS) if name in files}
    draws = {name: text.decode(errors="replace") for name, text in files.items() if name.startswith(DRAWS)}
    return {"manifest": found.get(MANIFEST, {}), "comparisons": found.get(PAIRS, {}), "draws": draws}


def _parse(content: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{where}:{getattr(error, 'lineno', 1)}: not valid json ({error})") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{where}:1: found {type(found).__name__}, expected an object")
    return found


def _key(row: Row, where: str) -> tuple[str, str]:
    model, task = row.get("model"), row.get("task")
    if not (isinstance(model, str) and isinstance(task, str)):
        raise ArtifactError(f"{where}:1: not a row: no texts `model` and `task` in it; name a file of rows/")
    return model, task


def _matched(a: Side, b: Side) -> Iterator[tuple[Row, Row]]:
    """Rows that are compared with each other, sorted by task and model."""
    if a.kind == b.kind == ROW:
        yield from zip(a.rows.values(), b.rows.values(), strict=True)
        return
    whole = FOLDER in (a.kind, b.kind)
    here = {key if whole else key[1]: row for key, row in a.rows.items()}
    there = {key if whole else key[1]: row for key, row in b.rows.items()}
    for key in sorted(here.keys() & there.keys(), key=lambda key: (here[key]["task"], here[key]["model"])):
        yield here[key], there[key]


def _what(side: Side) -> str:
    names = ["__".join(key) for key in side.rows]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{side.label} has {', '.join(names[:3]) or 'none'}{more}"


def _name(row: Row) -> dict[str, str]:
    return {"model": row["model"], "task": row["task"]}


def _shown(side: Side, matched: Sequence[Row]) -> dict[str, Any]:
    first, seen = matched[0], {(row["model"], row["task"]) for row in matched}
    return {
        "label": side.label,
        "kind": side.kind,
        "benchmark": first.get("benchmark"),
        "version": first.get("version"),
        "only": sorted("__".join(key) for key in side.rows.keys() - seen),
    }


def _params(side: Side, rows: Sequence[Row], whole: bool) -> dict[str, Any]:
    """What of a manifest's params is compared: all of them, or what the rows at hand depend on."""
    params = dict(side.manifest.get("params") or {})
    if whole:
        return params
    models, prepare = params.pop("models", {}), dict(params.pop("prepare", {}))
    tasks = prepare.pop("tasks", {})
    prepare.pop("corpora", None)
    params.pop("run", None)
    of_models, of_tasks = {row["model"] for row in rows}, {row["task"] for row in rows}
    if len(of_models) == 1:
        params["model"] = models.get(*of_models)
    if len(of_tasks) == 1:
        params |= {"task": tasks.get(*of_tasks), "margin": rows[0].get("margin")}
    return params | {"prepare": prepare}


def data_sums(manifest: Mapping[str, Any], tasks: Sequence[str], by_part: bool) -> dict[str, str]:
    """name -> sha256 of what the rows' tasks were made of; ``by_part``: names without the task."""
    inputs = manifest.get("inputs") or {}
    # names of inputs began with the benchmark in results before version 7 of the default one
    inputs = {path if path.split("/")[0] in PHASES else path.partition("/")[2]: total for path, total in inputs.items()}
    found = dict(manifest.get("sources") or {})
    for task in tasks:
        for part in PARTS:
            if (total := inputs.get(f"prepare/tasks/{task}/{part}")) is not None:
                found[part if by_part else f"prepare/tasks/{task}/{part}"] = total
    return found


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested values by dotted key; a list counts as one unless there are mappings in it."""
    if isinstance(value, Mapping) and value:
        for name in value:
            yield from leaves(value[name], f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from leaves(item, f"{key}[{i}]")
    else:
        yield key, value


def _paired(
    pairs: Sequence[Mapping[str, Any]], a: Any, b: Any, drawn: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What comparisons.json, or else the replicates, say of b - a; theirs are first - second."""
    for pair in pairs:
        if {pair["a"], pair["b"]} == {a, b} and "low" in pair:  # numbers of neurons of earlier releases have none
            ends = (pair["low"], pair["high"]) if pair["a"] == b else _turned(pair)
            found = {"difference": pair["difference"] if pair["a"] == b else 0 - pair["difference"]}
            p = {"p": pair["p_holm"], "adjusted": True} if "p_holm" in pair else {}
            return {**found, "low": ends[0], "high": ends[1], **p, "paired": True}
    if drawn is None:
        return {}
    low, high = _turned(drawn)
    p = {"p": drawn["p"], "adjusted": False} if "p" in drawn else {}
    return {"low": low, "high": high, **p, "paired": True}


def _turned(ends: Mapping[str, Any]) -> tuple[Any, Any]:
    # 0 less it: no -0.0
    return tuple(None if (end := ends[name]) is None else 0 - end for name in ("high", "low"))  # type: ignore[return-value]


def _settings_text(found: Mapping[str, Any]) -> Iterator[str]:
    yield "what differs in what made them, A -> B:"
    told = 0
    for entry in found["params"][:SHOWN]:
        a, b = (
            "(not there)" if entry["only"] == other else _cut(entry[key]) for key, other in (("a", "b"), ("b", "a"))
        )
        yield f"  params  {entry['key']}: {a} -> {b}"
        told += 1
    if len(found["params"]) > SHOWN:
        yield f"  params  and {len(found['params']) - SHOWN} more keys (--json has all)"
    for key in ("code", "lock"):
        if found[key] is not None:
            yield f"  {key:<7} {found[key]['a'][:12]} -> {found[key]['b'][:12]}"
            told += 1
    if len(found["data"]) > SHOWN:
        yield f"  data    of {len(found['data'])} tasks' cards and test rows, the first:"
    for entry in found["data"][:SHOWN]:
        yield f"  data    {entry['name']}: {str(entry['a'])[:12]} -> {str(entry['b'])[:12]}"
        told += 1
    if found["unknown"]:
        yield f"  not known of both: {', '.join(found['unknown'])}"
    elif not told:
        yield "  nothing"


def _row_text(row: Mapping[str, Any]) -> Iterator[str]:
    """Lines of a pair of rows; none where all that is shown is equal."""
    if not row["columns"] and all(f[f"a{end}"] == f[f"b{end}"] for f in row["figures"] for end in ENDS):
        return
    a, b = ("__".join((row[key]["model"], row[key]["task"])) for key in ("a", "b"))
    yield a if a == b else f"{a} -> {b}"
    for entry in row["figures"]:
        if entry["a"] is None and entry["b"] is None:
            continue
        sides = [_interval(entry[key], entry[f"{key}_low"], entry[f"{key}_high"]) for key in ("a", "b")]
        line = f"  {entry['figure']:<10} {sides[0]:<26} {sides[1]:<26}"
        if entry["difference"] is not None:
            line += f" B - A {_difference(entry)}"
            if entry["p"] is not None:
                line += f", p {entry['p']:.3g}{'' if entry['adjusted'] else ' (not adjusted)'}"
            line += ", paired" if entry["paired"] else " unpaired"
            if entry["different"] is not None:
                line += ", intervals apart" if entry["different"] else ", intervals overlap"
        yield line.rstrip()
    for entry in row["columns"]:
        yield f"  {entry['name']:<10} {_cut(entry['a'])} -> {_cut(entry['b'])}"
    yield ""


def _interval(value: Any, low: Any, high: Any) -> str:
    if value is None:
        return "none"
    form = "d" if isinstance(value, int) else ".4f"
    return f"{value:{form}}" + ("" if low is None or high is None else f" [{low:{form}}, {high:{form}}]")


def _difference(entry: Mapping[str, Any]) -> str:
    form = "+d" if isinstance(entry["difference"], int) else "+.4f"
    ends = [
        beyond if entry[end] is None else f"{entry[end]:{form}}" for end, beyond in (("low", "-inf"), ("high", "+inf"))
    ]
    return f"{entry['difference']:{form}}" + (f" [{', '.join(ends)}]" if entry["paired"] else "")


def _cut(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return f"{text[: WIDTH - 3]}..." if len(text) > WIDTH else text or '""'

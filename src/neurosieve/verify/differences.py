"""Compares two runs of a benchmark: artifact by artifact, file by file, down to the first number that differs.

Reads two folders and writes nothing. Equal bytes are what `numerics: portable` promises on one kind of machine; between
kinds of hardware floats may differ within the tolerances below, and nothing else may.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from neurosieve import config
from neurosieve.artifacts import sha256_file
from neurosieve.leaderboard.draws import FIGURES

# The tolerances, for other hardware (ARM, no AVX2, a GPU) or `numerics: fast`.
# Of an array, relative to its largest absolute value (an element near zero has no relative error worth the name): a sum
# of some hundred float32 terms in another order moves by 1e-6 of that, and a dozen layers add up.
ARRAY = 1e-4
# Of fitted weights, relative to the largest of the tensor: the solver stops at a relative gap of the objective, not of
# the weights, so that two fits of slightly different activations end further apart than these.
WEIGHTS = 1e-2
# Of a figure in json, csv or text, absolute: a row near a decision falls on the other side of it, which moves the score
# of a thousand rows by 0.001; p values and ends of intervals move with it.
SCORE = 5e-3
# Of a figure, relative, where it is no share: bits, bytes a second, objectives.
FIGURE = 1e-3
# Keys of json that say how a solver got there; no result depends on them, so any two values are within tolerance.
EFFORT = ("iterations", "gap")
# Of the replicates of a minimum, the share that may differ: one prediction of a row near a decision moves where some of
# them lie between two tested sizes, and no figure of the leaderboard is of one replicate.
REPLICATES = 0.1

# What the integers of a file are: they choose, and another choice is not nearly the same one.
CHOICES = (
    (r"predictions_\w+\.npy", "predicted classes"),
    (r"ranking_.*\.npy", "order of the neurons"),
    (r"clusters\.npy", "cluster of each neuron"),
    (r"representatives_\d+\.npy", "neurons that stand for a cluster"),
    (r"kept\.npy", "neurons that are not constant"),
    (r"frozen\.json", "chosen neurons"),
    (r"curves\.json", "sizes and sets of the search"),
    (r"minima_\w+\.npy", "minimum in each replicate"),
)
# Made of other files of its folder: figures in it are judged there.
DERIVED = (".html",)

IDENTICAL, WITHIN, DIFFERENT = "identical", "equal within tolerance", "different"
VERDICTS = (IDENTICAL, WITHIN, DIFFERENT)  # in the order of the exit status
# What has other bytes where those may differ, and lies nowhere to be compared: it decides nothing.
NOT_COMPARED = "not compared"
# What a difference comes from, in the order in which it is looked for.
KINDS = ("content", "code", "lock", "params", "source", "input", "numerics")
_OF_MANIFEST = {"code": "code", "lock": "lock", "params": "params", "sources": "source"}
_FIGURE = re.compile(r"[-+]?\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)", re.IGNORECASE)
_SHOWN = 60  # characters of a value in a message
_BLOCK = 2**18  # elements of an array that are looked at together: memory


@dataclass(frozen=True)
class Difference:
    """How a file of two folders differs: the first place that is out of tolerance, else the place that differs most.

    ``within``: all of the file's differences are. ``absolute`` and ``relative`` are the largest of the file's floats
    (relative as its tolerance is: to the largest value of an array, to the figure itself), None where no float differs;
    ``count`` how many places differ; ``meaning`` what they are, where they are no floats.
    """

    file: str
    place: str
    before: str
    now: str
    within: bool
    absolute: float | None = None
    relative: float | None = None
    count: int = 1
    meaning: str = ""

    def text(self) -> str:
        """In one line, without the file."""
        where = f"{self.place}: " if self.place else ""
        size = (
            "" if self.absolute is None else f" (largest difference {self.absolute:.2g}, relative {self.relative:.2g})"
        )
        more = f"; {self.count} places" if self.count > 1 else ""
        meaning = f" [{self.meaning}]" if self.meaning else ""
        return f"{where}{self.before} before, {self.now} now{size}{more}{meaning}"


@dataclass(frozen=True)
class Compared:
    """An artifact folder of two runs. ``kind`` (of KINDS) and ``why`` name the first cause; "" if identical."""

    artifact: str
    verdict: str
    kind: str = ""
    why: str = ""
    differences: list[Difference] = field(default_factory=list)


class _Places:
    """Collects the differences of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.first: tuple[str, str, str, str] | None = None  # out of tolerance
        self.most: tuple[float, str, str, str] | None = None
        self.absolute: float | None = None
        self.relative: float | None = None
        self.count = 0

    def other(self, place: str, before: Any, now: Any, meaning: str = "", count: int = 1) -> None:
        """A difference that no tolerance covers."""
        self.count += count
        if self.first is None:
            self.first = (place, _short(before), _short(now), meaning)

    def number(self, place: str, before: float, now: float, scale: float, within: bool, count: int = 1) -> None:
        """A difference of floats; ``scale`` is what the relative one is relative to."""
        absolute = abs(now - before)
        relative = absolute / scale if scale else math.inf
        self.count += count
        self.absolute = max(absolute, self.absolute or 0.0)
        self.relative = max(relative, self.relative or 0.0)
        if not within and self.first is None:
            self.first = (place, f"{before:.9g}", f"{now:.9g}", "")
        if self.most is None or relative > self.most[0]:
            self.most = (relative, place, f"{before:.9g}", f"{now:.9g}")

    def effort(self, place: str, before: Any, now: Any) -> None:
        self.count += 1
        if self.most is None:
            self.most = (-1.0, place, _short(before), _short(now))

    def found(self) -> Difference:
        if self.first is not None:
            place, before, now, meaning = self.first
        elif self.most is not None:
            (_, place, before, now), meaning = self.most, ""
        else:  # the order of keys, a header
            return Difference(self.file, "", "its bytes", "other bytes for the same values", False)
        return Difference(
            self.file, place, before, now, self.first is None, self.absolute, self.relative, self.count, meaning
        )


def compare_file(before: Path, now: Path, name: str) -> Difference | None:
    """How two files named ``name`` differ by kind of file; None where their bytes are equal.

    A file that cannot be read as what its name says differs as a whole.
    """
    if before.stat().st_size == now.stat().st_size and sha256_file(before) == sha256_file(now):
        return None
    places = _Places(name)
    compare = _BY_SUFFIX.get(Path(name).suffix, _bytes)
    try:
        compare(before, now, places)
    except Exception as error:  # of damaged bytes the readers raise whatever they stumble over
        said = str(error)
        names = {str(p) for file in (before, now) for p in (file, file.absolute(), file.resolve())}
        for path in sorted(names, key=len, reverse=True):
            said = said.replace(path, name)  # a report has no folder of this machine
        places.other("", "readable", f"not readable ({said})" if _readable(before, name) else "not compared")
    return places.found()


def compare_results(before: Path, now: Path) -> list[Difference]:
    """How two folders differ, such as results/<benchmark>/ and a leaderboard built elsewhere; no manifest.json.

    A Difference for each file whose bytes differ, in the order of names; none where all are equal. What is made of the
    other files (the page) is within tolerance where one of them differs and all of them are.
    """
    names, found = sorted({*_names(before), *_names(now)}), []
    for name in names:
        if not (before / name).is_file() or not (now / name).is_file():
            here = (now / name).is_file()
            found.append(Difference(name, "", "no file" if here else "a file", "a file" if here else "no file", False))
        elif (difference := compare_file(before / name, now / name, name)) is not None:
            found.append(difference)
    others = [d for d in found if not d.file.endswith(DERIVED)]
    derived_too = bool(others) and all(d.within for d in others)
    return [replace(d, within=True) if derived_too and _both(d, before, now) else d for d in found]


def _both(difference: Difference, before: Path, now: Path) -> bool:
    return all((folder / difference.file).is_file() for folder in (before, now))


def artifacts_below(folder: Path) -> list[str]:
    """Folders with a manifest.json below ``folder``, relative to it: in the order of the phases, then of names.

    Links are followed, for large artifacts may lie on another disk; hidden folders are not.
    """
    found = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if "manifest.json" in files and Path(place) != folder:
            found.add(Path(place).relative_to(folder).as_posix())
    return sorted(found, key=_in_order)


def _in_order(artifact: str) -> tuple[int, str]:
    """By phase, then by name."""
    phase = artifact.split("/")[0]
    return config.PHASES.index(phase) if phase in config.PHASES else len(config.PHASES), artifact


def compare_builds(
    before: Path, now: Path, only: Iterable[str] | None = None, progress: Callable[[str], None] | None = None
) -> list[Compared]:
    """Compare the artifacts of two folders build/<benchmark>, or of ``only`` these (relative to the folders).

    In the order of the phases, so that the first that differs is the first cause. ``progress`` is called with the name
    of each artifact before it is read. What is gone from one of the folders, for example to make room, is judged by the
    sum of its manifest, which those that were made from it have.
    """
    there = {*artifacts_below(before), *artifacts_below(now)}
    names = sorted(there if only is None else set(only), key=_in_order)
    told = [_told_of(build) if any(not (build / n / "manifest.json").is_file() for n in names) else {} for build in
            (before, now)]  # fmt: skip
    done: dict[str, Compared] = {}
    for name in _inputs_first(names, now, before):
        if progress is not None:
            progress(name)
        sums = [of_build.get(name) for of_build in told]
        done[name] = compare_artifact(name, before / name, now / name, done, sums)
    return [done[name] for name in done]


def _told_of(build: Path) -> dict[str, str]:
    """Sums of the manifests of artifacts, as those say that were made from them."""
    found = {}
    for name in artifacts_below(build):
        inputs = (_manifest(build / name) or {}).get("inputs", {})
        found.update({_artifact_of(path): str(total) for path, total in inputs.items()})
    return found


def _lost(name: str, when: str, told: str | None, there: Path, manifest: Mapping[str, Any] | None) -> Compared:
    """What to say of an artifact that is gone ``when``, and of whose manifest others have the sum ``told``."""
    if manifest is None:
        return Compared(name, DIFFERENT, "content", "not there at all")
    if told is None:
        return Compared(name, DIFFERENT, "content", f"not made {when}")
    if (fault := _tampered(there, manifest)) is not None:
        return Compared(name, DIFFERENT, "content", fault)
    if told == sha256_file(there / "manifest.json"):
        return Compared(name, IDENTICAL)
    why = f"gone {when}, and the manifests of what was made from it have another sum of it"
    if _other_bits(manifest):
        return Compared(name, NOT_COMPARED, "numerics", f"{why}; its bytes may be others on this hardware")
    return Compared(name, DIFFERENT, "content", why)


def _other_bits(*manifests: Mapping[str, Any]) -> bool:
    """Whether one of them was made where bits may be others: other hardware, `numerics: fast`."""
    fast = any(manifest.get("params", {}).get("numerics") == "fast" for manifest in manifests)
    return fast or any(manifest.get("facts", {}).get("numerics") for manifest in manifests)


def compare_artifact(
    name: str,
    before: Path,
    now: Path,
    earlier: Mapping[str, Compared],
    told: Sequence[str | None] = (None, None),
) -> Compared:
    """Compare one artifact folder of two runs; ``earlier`` are those of its inputs that were compared.

    An input that was not is taken for different, but where bits may be others: then the files decide. ``told`` are the
    sums of its manifest of before and of now, as those have it that were made from it.
    """
    manifests = [_manifest(folder) for folder in (before, now)]
    if manifests[0] is None:
        return _lost(name, "before", told[0], now, manifests[1])
    if manifests[1] is None:
        return _lost(name, "now", told[1], before, manifests[0])
    old, new = manifests[0], manifests[1]
    differences = compare_results(before, now)
    for folder, manifest, when in ((before, old, "before"), (now, new, "now")):
        if (fault := _tampered(folder, manifest)) is not None:
            return Compared(name, DIFFERENT, "content", f"{when}: {fault}", differences)
    for key, kind in _OF_MANIFEST.items():
        if old.get(key) != new.get(key):
            place, a, b = _first(old.get(key), new.get(key))
            shown = f"{place.lstrip('.')}:" if place else "sha256"
            why = f"{shown} {_short(a)} before, {_short(b)} now; {_files(differences)}"
            return Compared(name, DIFFERENT, kind, why, differences)
    marks = [manifest.get("facts", {}).get("numerics", []) for manifest in (old, new)]
    changed = _changed_inputs(old, new)
    # another fact of equal files and inputs is a manifest that was changed, see below
    if (differences or changed or marks[0] != marks[1]) and (fact := _facts(old, new, changed)) is not None:
        if not fact.within and all(d.within for d in differences):
            kind = "source" if "sha256" in fact.place else "numerics"
            return Compared(name, DIFFERENT, kind, _files([fact]), [*differences, fact])
        differences = [*differences, fact]
    verdict = DIFFERENT if any(not d.within for d in differences) else WITHIN if differences else IDENTICAL
    unknown = NOT_COMPARED if _other_bits(old, new) else DIFFERENT
    judged = [(path, earlier[key].verdict if (key := _artifact_of(path)) in earlier else unknown) for path in changed]
    worse = [path for path, found in judged if found == DIFFERENT]
    if worse:
        return Compared(name, DIFFERENT, "input", f"input {worse[0]} differs; {_files(differences)}", differences)
    if changed and all(found == IDENTICAL for _, found in judged):
        why = f"manifest.json has another sum of {changed[0]}, which is identical"
        return Compared(name, DIFFERENT, "content", why, differences)
    if changed and verdict == IDENTICAL:
        return Compared(name, WITHIN, "input", f"input {changed[0]} is {judged[0][1]}; its files are equal")
    of_each = [", ".join(map(str, found)) or "portable" for found in marks]
    hardware = f"hardware ({of_each[0]} before, {of_each[1]} now)" if marks[0] != marks[1] else ""
    if verdict == IDENTICAL and hardware:
        return Compared(name, WITHIN, "numerics", f"made on other {hardware}; its files are equal")
    if verdict == IDENTICAL and old != new:
        place, a, b = _first(old, new)
        return Compared(name, DIFFERENT, "content", f"manifest.json{place}: {_short(a)} before, {_short(b)} now")
    if verdict == IDENTICAL:
        return Compared(name, verdict)
    why = _files(differences)
    return Compared(name, verdict, "numerics", f"other {hardware}; {why}" if hardware else why, differences)


def _facts(old: Mapping[str, Any], new: Mapping[str, Any], changed: Sequence[str]) -> Difference | None:
    """How the facts of two manifests differ, as a file of json would.

    The sum of weights that were drawn or trained on the machine follows its bits, as files of weights do elsewhere.
    """
    facts = [dict(manifest.get("facts", {})) for manifest in (old, new)]
    made = new.get("rule") == "finetune_model" or any(path.endswith("/finetuned") for path in changed)
    made = made or any("differing_tensors" in one for one in facts)
    for one in facts:
        for key in ("numerics", *(["model_sha256"] if made and _other_bits(old, new) else [])):
            one.pop(key, None)
    if facts[0] == facts[1]:
        return None
    places = _Places("manifest.json")
    _value(facts[0], facts[1], places, "facts", "facts")
    return places.found()


def _files(differences: list[Difference]) -> str:
    """The file that decides: the first out of tolerance, else the one that differs most."""
    if not differences:
        return "its files are equal"
    told = next((d for d in differences if not d.within), max(differences, key=lambda d: d.relative or 0.0))
    return f"{told.file}: {told.text()}"


def worst(found: Iterable[Compared]) -> str:
    """The verdict of all of them together that were compared."""
    return max((one.verdict for one in found if one.verdict in VERDICTS), key=VERDICTS.index, default=IDENTICAL)


def _inputs_first(names: list[str], *builds: Path) -> list[str]:
    """Names in their order, but each after those of its inputs that are among them (within a phase, by manifests)."""
    wanted = set(names)
    done: dict[str, None] = {}  # keeps the order
    for root in names:
        todo = [root]
        while todo:
            name = todo[-1]
            manifest = next((m for build in builds if (m := _manifest(build / name)) is not None), {})
            ahead = [key for path in manifest.get("inputs", {}) if (key := _artifact_of(path)) in wanted - done.keys()]
            ahead = [key for key in ahead if key not in todo]  # a tampered manifest may go in circles
            if ahead:
                todo.append(ahead[0])
            else:
                done[todo.pop()] = None
    return list(done)


def _artifact_of(path: str) -> str:
    """An input of a manifest as the name of the artifact below the benchmark's folder; older ones begin with it."""
    return path if path.split("/")[0] in config.PHASES else path.partition("/")[2]


def _changed_inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Inputs whose sums differ, in the order of the phases; the name of the benchmark does not count."""
    a, b = ({_artifact_of(path): (path, total) for path, total in m.get("inputs", {}).items()} for m in (old, new))
    changed = [key for key in a.keys() | b.keys() if a.get(key, ("", ""))[1] != b.get(key, ("", ""))[1]]
    return [(b.get(key) or a[key])[0] for key in sorted(changed, key=_in_order)]


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _tampered(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """The first file of a folder that is not what its own manifest says."""
    wanted = manifest.get("files", {})
    found = set(_names(folder))
    for name in sorted(wanted.keys() | found):
        if name not in found:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is not in manifest.json"
        if sha256_file(folder / name) != wanted[name]:
            return f"{name} is not what its manifest.json says: changed after it was made"
    return None


def _names(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if name != "manifest.json"]


def _first(before: Any, now: Any, place: str = "") -> tuple[str, Any, Any]:
    """The first place, in sorted order, where two json values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key) or (key in before) != (key in now):
                return _first(before.get(key), now.get(key), f"{place}.{key}")
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (a, b) in enumerate(zip(before, now, strict=True)):
            if a != b:
                return _first(a, b, f"{place}[{i}]")
    return place, before, now


def _short(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:12]
    text = value if isinstance(value, str) else "nothing" if value is None else json.dumps(value, default=str)
    text = " ".join(text.split()) or "(empty)"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _readable(path: Path, name: str) -> bool:
    try:
        _BY_SUFFIX.get(Path(name).suffix, _bytes)(path, path, _Places(name))
    except Exception:
        return False
    return True


def _meaning(name: str) -> str:
    base = name.rpartition("/")[2]
    return next((meaning for pattern, meaning in CHOICES if re.fullmatch(pattern, base)), "")


def _array(a: np.ndarray, b: np.ndarray, places: _Places, prefix: str, tolerance: float) -> None:
    if a.shape != b.shape or a.dtype != b.dtype:
        places.other(prefix, f"{a.dtype} of shape {a.shape}", f"{b.dtype} of shape {b.shape}")
        return
    old, new = (np.ascontiguousarray(array).reshape(-1) for array in (a, b))  # no copy of what lies so on disk

    def place(at: int) -> str:
        return f"{prefix}{[int(i) for i in np.unravel_index(at, a.shape)]}"

    if not np.issubdtype(a.dtype, np.floating):
        first, total = _unequal(old, new)
        if first is not None:
            what = _meaning(places.file) or "counts or choices"
            places.other(place(first), str(old[first]), str(new[first]), f"{what}: {total} of {a.size} differ", total)
        return
    scale = 0.0
    for start in range(0, old.size, _BLOCK):
        block = np.abs(old[start : start + _BLOCK].astype(np.float64))
        scale = max(scale, float(block[np.isfinite(block)].max(initial=0.0)))
    odd: int | None = None
    out: int | None = None
    odds, gaps, largest = 0, 0, (0.0, 0)
    for start in range(0, old.size, _BLOCK):
        before, now = (array[start : start + _BLOCK].astype(np.float64) for array in (old, new))
        alike = (before == now) | (np.isnan(before) & np.isnan(now))
        lost = ~alike & ~(np.isfinite(before) & np.isfinite(now))
        if lost.any():
            odd = start + int(lost.argmax()) if odd is None else odd
            odds += int(lost.sum())
        with np.errstate(invalid="ignore"):
            gap = np.where(alike | lost, 0.0, np.abs(now - before))
        gaps += int(np.count_nonzero(gap))
        if out is None and (beyond := gap > tolerance * scale).any():
            out = start + int(beyond.argmax())
        if gap.max(initial=0.0) > largest[0]:
            largest = (float(gap.max()), start + int(gap.argmax()))
    if odd is not None:
        places.other(place(odd), str(old[odd]), str(new[odd]), "no number", odds)
    if not gaps:
        bits = f"u{a.dtype.itemsize}"
        first, total = _unequal(old.view(bits), new.view(bits))
        if odd is None and first is not None:  # -0.0 for 0.0, another NaN
            places.number(place(first), float(old[first]), float(new[first]), 1.0, True, total)
        return
    if out is not None:
        places.number(place(out), float(old[out]), float(new[out]), scale, False, gaps)
        gaps = 0
    at = largest[1]
    places.number(place(at), float(old[at]), float(new[at]), scale, out is None, gaps)


def _unequal(old: np.ndarray, new: np.ndarray) -> tuple[int | None, int]:
    """The first place where two flat arrays differ, and how many there are."""
    first, total = None, 0
    for start in range(0, old.size, _BLOCK):
        unequal = np.asarray(old[start : start + _BLOCK] != new[start : start + _BLOCK])
        if first is None and unequal.any():
            first = start + int(unequal.argmax())
        total += int(unequal.sum())
    return first, total


def _npy(before: Path, now: Path, places: _Places) -> None:
    a, b = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (before, now))
    _array(a, b, places, "", ARRAY)


def _safetensors(before: Path, now: Path, places: _Places) -> None:
    with safe_open(before, "numpy") as a, safe_open(now, "numpy") as b:
        keys = [set(file.keys()) for file in (a, b)]
        for key in sorted(keys[0] | keys[1]):
            if key not in keys[0] or key not in keys[1]:
                places.other(key, "a tensor" if key in keys[0] else "none", "a tensor" if key in keys[1] else "none")
            else:
                _array(a.get_tensor(key), b.get_tensor(key), places, key, WEIGHTS)


def _value(before: Any, now: Any, places: _Places, place: str, key: str) -> None:
    """Two json values; ``key`` is the last name on the way to them."""
    if key in EFFORT and before != now:
        places.effort(place, before, now)
    elif isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            inner = f"{place}.{name}" if place else name
            if name not in before or name not in now:
                places.other(inner, before.get(name, "no key"), now.get(name, "no key"), _meaning(places.file))
            else:
                _value(before[name], now[name], places, inner, name)
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            places.other(place, f"{len(before)} entries", f"{len(now)} entries", _meaning(places.file))
            return
        for i, (a, b) in enumerate(zip(before, now, strict=True)):
            _value(a, b, places, f"{place}[{i}]", key)
    elif _is_number(before) and _is_number(now) and (isinstance(before, float) or isinstance(now, float)):
        if before != now:
            places.number(place, before, now, max(abs(before), abs(now)), _close(before, now))
    elif isinstance(before, str) and isinstance(now, str):
        _text(before, now, places, place)
    elif before != now or type(before) is not type(now):
        places.other(place, before, now, _meaning(places.file) or "a count or a choice")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _close(before: float, now: float) -> bool:
    return abs(now - before) <= max(SCORE, FIGURE * abs(before))


def _text(before: str, now: str, places: _Places, place: str) -> None:
    """Two texts: equal but for the figures with a decimal point in them, which may differ as figures do."""
    if before == now:
        return
    a, b = _FIGURE.findall(before), _FIGURE.findall(now)
    if _FIGURE.split(before) != _FIGURE.split(now) or len(a) != len(b):
        places.other(place, before, now)
        return
    for x, y in zip(map(float, a), map(float, b), strict=True):
        if x != y:
            places.number(place, x, y, max(abs(x), abs(y)), _close(x, y))


def _json(before: Path, now: Path, places: _Places) -> None:
    a, b = (json.loads(path.read_text(encoding="utf-8")) for path in (before, now))
    _value(a, b, places, "", "")


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as handle:
        yield from handle


def _jsonl(before: Path, now: Path, places: _Places) -> None:
    a, b = list(_lines(before)), list(_lines(now))
    if len(a) != len(b):
        places.other("", f"{len(a)} lines", f"{len(b)} lines")
    for number, (x, y) in enumerate(zip(a, b, strict=False), start=1):
        if x != y:
            _value(json.loads(x), json.loads(y), places, f"line {number}", "")


def _csv(before: Path, now: Path, places: _Places) -> None:
    """Cells by row and column; a row is named by its model and task where it has them."""
    tables = [list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")))) for path in (before, now)]
    (head, *old), (other, *new) = (table or [[]] for table in tables)
    if head != other:
        places.other("columns", ", ".join(head), ", ".join(other))
        return
    if len(old) != len(new):
        places.other("rows", len(old), len(new))
        return
    if head == list(FIGURES):
        _replicates(old, new, places)
        return
    for number, (a, b) in enumerate(zip(old, new, strict=True), start=1):
        named = dict(zip(head, a, strict=False))
        row = f"{named['model']}/{named['task']}" if {"model", "task"} <= named.keys() else f"row {number}"
        for i in range(max(len(a), len(b))):
            x, y = (cells[i] if i < len(cells) else "" for cells in (a, b))
            column = head[i] if i < len(head) else f"column {i + 1}"
            _text(x, y, places, f"{row}, {column}")


def _replicates(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]], places: _Places) -> None:
    """Scores of each draw as other figures; minima by how many differ."""
    minima = []
    for number, (a, b) in enumerate(zip(old, new, strict=True), start=1):
        for name, x, y in zip(FIGURES, a, b, strict=True):
            place = f"draw {number}, {name}"
            if name != "n_minimal" or not (x and y):
                _text(x, y, places, place)
            elif x != y:
                minima.append((place, x, y))
    within = len(minima) <= REPLICATES * len(old)
    for place, x, y in minima:
        if within:
            places.effort(place, x, y)
        else:
            places.other(place, x, y, f"minimum in each replicate, {len(minima)} of {len(old)}")


def _bytes(before: Path, now: Path, places: _Places) -> None:
    """Text by its first line, else the first byte."""
    a, b = before.read_bytes(), now.read_bytes()
    try:
        old, new = a.decode().splitlines(), b.decode().splitlines()
    except UnicodeDecodeError:
        length = min(len(a), len(b))
        unequal = np.frombuffer(a[:length], np.uint8) != np.frombuffer(b[:length], np.uint8)
        first = int(unequal.argmax()) if unequal.any() else length
        places.other(f"byte {first}", f"{len(a)} bytes", f"{len(b)} bytes")
        return
    for number, (x, y) in enumerate(zip(old, new, strict=False), start=1):
        if x != y:
            places.other(f"line {number}", x, y)
            return
    places.other("", f"{len(old)} lines", f"{len(new)} lines")


_BY_SUFFIX: dict[str, Callable[[Path, Path, _Places], None]] = {
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _csv,
}

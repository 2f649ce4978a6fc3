"""Which record goes to which split: train, dev and test, then dev cut by file into tune and judge; and copies in two.

Splits are given by the data, by packages, or drawn with the seed (`shares`). Pairs whose sides are of two files (two
functions) are parted by these: see :func:`part_pairs`. Reads and writes no files (METHOD 3.1).
"""

from __future__ import annotations

import heapq
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neurosieve.config import Packages, Shares, Task
from neurosieve.numerics import add
from neurosieve.prepare.records import PARTS, PrepareError, Record, digest

__all__ = [
    "PARTS",
    "LeftOut",
    "assign",
    "by_package",
    "by_shares",
    "copies",
    "rng",
    "split_records",
    "unknown_packages",
]


#: Cuts of pairs that are tried; the one that leaves most of the rarest class is taken.
CUTS = 10
BY_COMPONENT, BY_FUNCTION = "connected components", "functions"


def rng(seed: int, *names: str) -> np.random.Generator:
    """Generator of a seed and names, the same on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode("utf-8")) for name in names)])


@dataclass
class LeftOut:
    """Why records are not used: how many by reason, and the first of each ("file:line", where records know theirs).

    ``parted``: what was kept whole where pairs were parted, by the parts ("tune, judge"): see :func:`part_pairs`.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    parted: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, record: Record) -> None:
        self.counts[reason] += 1
        if record.where:
            self.first.setdefault(reason, record.where.rpartition("/")[2])


def split_records(records: list[Record], task: Task, seed: int, where: str) -> tuple[dict[str, list[Record]], LeftOut]:
    """Records of train, dev and test as the task says, and what is in none of them.

    Raises PrepareError, naming the task `where`, where data and task both give the splits, or neither, for an unknown
    package, and for shares that would leave a split empty.
    """
    given = next((record for record in records if record.split is not None), None)
    name = "packages" if task.packages is not None else "shares" if task.shares is not None else None
    if name is not None and given is not None:
        raise PrepareError(
            f"{where}: found `{name}:`, but the data give the splits ({given.where or given.file} is in "
            f"{given.split}); take `{name}:` out, or give the data as one file without splits (role `all`)"
        )
    if name is None and given is None:
        raise PrepareError(
            f"{where}: the data give no splits; add `packages:` with train, dev and test, or `shares:`, for example "
            "shares: {train: 0.8, dev: 0.1, test: 0.1}"
        )
    if task.shares is not None and task.shares.group == "file" and _shared(records):
        return _share_pairs(records, task.shares, seed, where)
    if task.shares is not None:
        return by_shares(records, task.shares, seed, where), LeftOut()
    parts = by_package(records, task.packages, where)
    left_out = LeftOut()
    used = {id(record) for members in parts.values() for record in members}
    for record in records:
        if id(record) not in used:
            left_out.add("of a package in no split" if task.packages is not None else "in no split", record)
    return parts, left_out


def by_package(records: Iterable[Record], packages: Packages | None, where: str) -> dict[str, list[Record]]:
    """Records of train, dev and test, by package; by the records' own `split` where `packages` is None.

    Raises PrepareError, naming the task `where`, for a package without a record.
    """
    parts: dict[str, list[Record]] = {part: [] for part in PARTS}
    at = {name: part for part in PARTS for name in getattr(packages, part)} if packages is not None else {}
    found: set[str] = set()
    for record in records:
        found.add(record.package)
        part = at.get(record.package) if packages is not None else record.split
        if part is not None:
            parts[part].append(record)
    if unknown := _unknown(f"{where}.packages", at, found):
        raise PrepareError(unknown)
    return parts


def unknown_packages(where: str, task: Task, found: Iterable[str]) -> list[str]:
    """What is wrong with the packages that a task names, where the data have those of ``found``."""
    packages = [name for part in PARTS for name in getattr(task.packages, part)] if task.packages is not None else []
    held_out = task.shares.held_out if task.shares is not None else []
    told = (_unknown(f"{where}.packages", packages, found), _unknown(f"{where}.shares.held_out", held_out, found))
    return [fault for fault in told if fault is not None]


def _unknown(key: str, named: Iterable[str], found: Iterable[str]) -> str | None:
    missing = sorted(set(named) - set(found))
    if not missing:
        return None
    return f"{key}: found {', '.join(missing)}, of which the data have nothing; write some of: {_some(found)}"


def by_shares(records: list[Record], shares: Shares, seed: int, where: str) -> dict[str, list[Record]]:
    """Records of train, dev and test, drawn by group with the seed; no group (file, or package) is ever parted.

    Files are shared within every package, each part getting at least one where a package has as many as there are
    parts; packages with fewer files share them as if they were one. With `held_out`, files of these packages are shared
    between dev and test in the ratio of their shares, and all others are train. A group's place depends on the seed and
    on the names of the groups alone. Raises PrepareError, naming the task `where`, where a part would be empty.
    """
    groups: dict[str, set[str]] = defaultdict(set)  # package -> its files; "" -> all packages, where these are drawn
    for record in records:
        if shares.group == "package":
            groups[""].add(record.package)
        else:
            groups[record.package].add(record.file)
    if unknown := _unknown(f"{where}.shares.held_out", shares.held_out, groups):
        raise PrepareError(unknown)
    place: dict[tuple[str, str], str] = {}
    drawn = [package for package in groups if not shares.held_out or package in shares.held_out]
    parts = PARTS[1:] if shares.held_out else PARTS
    place.update({(p, file): "train" for p in groups if p not in drawn for file in groups[p]})
    few: list[tuple[str, str]] = []
    for package in sorted(drawn):
        members = [(package, group) for group in groups[package]]
        if len(members) < len(parts):
            few += members
        else:
            place.update(_cut(members, parts, shares, seed))
    place.update(_cut(few, parts, shares, seed))
    found: dict[str, list[Record]] = {part: [] for part in PARTS}
    for record in records:
        key = ("", record.package) if shares.group == "package" else (record.package, record.file)
        found[place[key]].append(record)
    empty = [part for part in PARTS if not found[part]]
    if empty:
        what = "packages" if shares.group == "package" else f"files in {len(groups)} packages"
        number = sum(map(len, groups.values()))
        raise PrepareError(
            f"{where}.shares: no {shares.group} is left for {' and '.join(empty)} (found {number} {what}, and none is "
            "ever parted); take more data, another `group:` or other `held_out:` packages"
        )
    return found


def _shared(records: Iterable[Record]) -> bool:
    """Whether some function stands in two pairs."""
    stands = Counter(file for record in records if record.right_file for file in {record.file, record.right_file})
    return any(number > 1 for number in stands.values())


def _share_pairs(
    records: list[Record], shares: Shares, seed: int, where: str
) -> tuple[dict[str, list[Record]], LeftOut]:
    """What :func:`by_shares` is for pairs that share functions: these are parted, over all packages at once."""
    if unknown := _unknown(f"{where}.shares.held_out", shares.held_out, {record.package for record in records}):
        raise PrepareError(unknown)
    drawn = [record for record in records if not shares.held_out or record.package in shares.held_out]
    parts = PARTS[1:] if shares.held_out else PARTS
    found, left_out = part_pairs(drawn, {part: getattr(shares, part) for part in parts}, [seed, "shares"])
    if shares.held_out:
        held = {file for record in drawn for file in _files(record)}
        found["train"] = []
        for record in records:
            if record.package in shares.held_out:
                continue
            if held.isdisjoint(_files(record)):
                found["train"].append(record)
            else:
                left_out.add("a side in held-out packages too", record)
    empty = [part for part in PARTS if not found[part]]
    if empty:
        raise PrepareError(
            f"{where}.shares: no pair is left for {' and '.join(empty)} (of {len(drawn)} pairs, and a function stands "
            "in one split only); take more pairs, or larger shares for it"
        )
    return {part: found[part] for part in PARTS}, left_out


def part_pairs(
    pairs: list[Record], shares: Mapping[str, float], seed: Sequence[int | str]
) -> tuple[dict[str, list[Record]], LeftOut]:
    """Pairs of each part, no function (file of a side) in two parts, and the pairs that lie across, counted.

    ``shares`` of the functions by part, in any unit. Connected components of the graph of pairs are kept whole where
    the largest has no more functions than the largest share: large ones are placed first, equal ones at random, each
    into the part that lacks most. Else functions are parted, and pairs across are left out: every part but the largest
    grows from a random function, always by the one with most of its pairs inside, so that few pairs lie across. Of
    CUTS such cuts, all seeded, that one is taken which leaves most pairs of the rarest class, by share. A place depends
    on the seed, the files' names and the pairs, not on the order of the pairs.
    """
    near: dict[str, Counter[str]] = defaultdict(Counter)
    for record in pairs:
        sides = _files(record)
        near[sides[0]][sides[-1]] += 1
        near[sides[-1]][sides[0]] += 1
    near = {file: near[file] for file in sorted(near)}
    components = _components(near)
    total = add(shares.values())
    room = {part: share / total * len(near) for part, share in shares.items()}
    whole = len(components) >= len(room) and max(map(len, components)) <= max(room.values())
    best: tuple[float, dict[str, str], dict[str, list[Record]]] | None = None
    classes = {record.label for record in pairs}
    for number in range(CUTS if pairs else 1):
        chance = rng(int(seed[0]), *map(str, seed[1:]), f"cut-{number}")
        place = _place_whole(components, room, chance) if whole else _place_grown(near, room, chance)
        parts: dict[str, list[Record]] = {part: [] for part in room}
        for record in pairs:
            first, *other = {place[file] for file in _files(record)}
            if not other:
                parts[first].append(record)
        counts = {part: Counter(record.label for record in members) for part, members in parts.items()}
        score = min(counts[part][label] / room[part] for part in room for label in classes) if pairs else 0.0
        if best is None or score > best[0]:
            best = score, place, parts
    assert best is not None
    left_out = LeftOut(parted={", ".join(shares): BY_COMPONENT if whole else BY_FUNCTION})
    place, parts = best[1:]
    for record in pairs:
        at = {place[file] for file in _files(record)}
        if len(at) > 1:
            one, two = sorted(at, key=list(shares).index)
            left_out.add(f"one side in {one}, the other in {two}", record)
    return parts, left_out


def _components(near: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Connected components, each sorted, in the order of their first members."""
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in near:
        if start in seen:
            continue
        seen.add(start)
        members = [start]
        for file in members:
            new = [other for other in near[file] if other not in seen]
            seen.update(new)
            members += new
        found.append(sorted(members))
    return found


def _place_whole(
    components: Sequence[list[str]], room: Mapping[str, float], chance: np.random.Generator
) -> dict[str, str]:
    """Part of every function, components kept whole."""
    left = dict(room)
    empty = dict.fromkeys(room)
    place: dict[str, str] = {}
    order = sorted(zip(components, chance.random(len(components)), strict=True), key=lambda c: (-len(c[0]), c[1]))
    for number, (members, _) in enumerate(order):
        last = len(order) - number <= len(empty)  # one for each part that has none
        part = max(empty if last else left, key=left.__getitem__)
        empty.pop(part, None)
        left[part] -= len(members)
        place.update(dict.fromkeys(members, part))
    return place


def _place_grown(
    near: Mapping[str, Mapping[str, int]], room: Mapping[str, float], chance: np.random.Generator
) -> dict[str, str]:
    """Part of every function, all parts but the largest grown along pairs, the smallest first."""
    tie = dict(zip(near, chance.random(len(near)), strict=True))
    *grown, rest = sorted(room, key=room.__getitem__)
    place: dict[str, str] = {}
    for part in grown:
        free = [file for file in near if file not in place]
        pairs_of = {file: sum(n for other, n in near[file].items() if other not in place) for file in free}
        inside = dict.fromkeys(free, 0)
        heap = [(0.0, tie[file], file) for file in free]
        heapq.heapify(heap)
        number = min(max(1, int(room[part] + 0.5)), len(free) - 1)
        while number > 0:
            share, _, file = heapq.heappop(heap)
            if file in place or share != -inside[file] / max(1, pairs_of[file]):
                continue
            place[file] = part
            number -= 1
            for other, n in near[file].items():
                if other not in place:
                    inside[other] += n
                    heapq.heappush(heap, (-inside[other] / pairs_of[other], tie[other], other))
    return {file: place.get(file, rest) for file in near}


def _cut(members: list[tuple[str, str]], parts: Sequence[str], shares: Shares, seed: int) -> dict[tuple[str, str], str]:
    """Part of each (package, group): random ones, as many as its share says, at least one where there are enough."""
    order = sorted(members, key=lambda member: (rng(seed, "shares", *member).random(), member))
    sizes = [getattr(shares, part) for part in parts]
    ends = [int(len(order) * add(sizes[: i + 1]) / add(sizes) + 0.5) for i in range(len(parts))]
    if len(order) >= len(parts):
        for i in range(len(parts) - 1):  # at least one each: not before the parts above, not after those below
            ends[i] = min(max(ends[i], (ends[i - 1] if i else 0) + 1), len(order) - (len(parts) - 1 - i))
    place: dict[tuple[str, str], str] = {}
    for i, part in enumerate(parts):
        place.update(dict.fromkeys(order[ends[i - 1] if i else 0 : ends[i]], part))
    return place


def copies(parts: dict[str, list[Record]]) -> dict[str, dict[str, int]]:
    """Records of a later part with a text (either side of a pair) that an earlier part has, by kind and pair of parts.

    {"exact": {"train-dev": n, "train-test": n, "dev-test": n}, "folded": {...}}: the same text, or the same `key`
    (white space folded; functions of a corpus also renamed), of which the exact ones are some.
    """
    found: dict[str, dict[str, int]] = {}
    for kind, keys_of in (("exact", _exact), ("folded", _keys)):
        have = {part: {key for record in parts[part] for key in keys_of(record)} for part in PARTS}
        found[kind] = {
            f"{earlier}-{later}": sum(any(key in have[earlier] for key in keys_of(r)) for r in parts[later])
            for i, earlier in enumerate(PARTS)
            for later in PARTS[i + 1 :]
        }
    return found


def _keys(record: Record) -> tuple[str, ...]:
    return (record.key,) if record.right is None else (record.key, record.right_key)


def _exact(record: Record) -> tuple[str, ...]:
    exact = record.exact or digest(record.text)  # functions of a corpus have none
    return (exact,) if record.right is None else (exact, record.right_exact)


def assign(
    parts: dict[str, list[Record]],
    why_not: Callable[[Record], str | None],
    per_file: int,
    tune_share: float,
    seed: int,
    *,
    drop: bool = True,
) -> tuple[dict[str, list[Record]], LeftOut]:
    """Records of train, tune, judge and test that can be used, and why the others cannot, counted.

    Left out in this order: with `drop`, a record with a copy (equal key, either side of a pair) of any record of an
    earlier part, in the order train, dev, test; what `why_not` gives a reason for; a copy of an earlier record of the
    same part (a pair: of both sides); what is in a file with fewer than `per_file` records left. Then `tune_share` of
    the dev files go to tune, within every package, at least one and not all where a package has two or more; packages
    of one file are cut together. A file's place depends on the seed and its name alone. Pairs whose sides are of two
    files are cut by :func:`part_pairs` instead, `tune_share` of the functions going to tune.
    """
    left_out = LeftOut()
    kept: dict[str, list[Record]] = {}
    earlier: dict[str, str] = {}
    for part in PARTS:
        own: set[tuple[str, ...]] = set()
        usable: list[Record] = []
        for record in parts[part]:
            keys = _keys(record)
            copied = next((earlier[key] for key in keys if key in earlier), None) if drop else None
            same = tuple(sorted(keys))
            if copied is not None:
                reason: str | None = f"copy of one in {copied}"
            else:
                reason = why_not(record)
                if reason is None and same in own:
                    reason = "copy of one in the same split"
            if reason is None:
                own.add(same)
                usable.append(record)
            else:
                left_out.add(reason, record)
        files = Counter(record.file for record in usable)
        kept[part] = [record for record in usable if files[record.file] >= per_file]
        for record in usable:
            if files[record.file] < per_file:
                left_out.add(f"fewer than {per_file} usable ones in the file", record)
        for record in parts[part]:
            for key in _keys(record):
                earlier.setdefault(key, part)
    if any(record.right_file for record in kept["dev"]):
        dev, across = part_pairs(kept["dev"], {"tune": tune_share, "judge": 1 - tune_share}, [seed, "tune"])
        left_out.counts += across.counts
        left_out.first |= across.first
        left_out.parted = across.parted
    else:
        tune = _tune_files(kept["dev"], tune_share, seed)
        dev = {"tune": [], "judge": []}
        for record in kept["dev"]:
            dev["tune" if record.file in tune else "judge"].append(record)
    return {"train": kept["train"], **dev, "test": kept["test"]}, left_out


def _files(record: Record) -> tuple[str, ...]:
    return (record.file, record.right_file) if record.right_file else (record.file,)


def _tune_files(dev: list[Record], share: float, seed: int) -> set[str]:
    packages: dict[str, set[str]] = defaultdict(set)
    for record in dev:
        packages[record.package].add(record.file)
    single = {name for files in packages.values() if len(files) == 1 for name in files}
    tune: set[str] = set()
    for files in (*(files for files in packages.values() if len(files) > 1), single):
        order = sorted(files, key=lambda file: (rng(seed, "tune", file).random(), file))
        count = max(1, min(len(order) - 1, int(share * len(order) + 0.5))) if len(order) > 1 else 0
        tune.update(order[:count])
    return tune


def _some(names: Iterable[str]) -> str:
    """Names for a message: the first fifty of them."""
    told = sorted(names)
    return ", ".join(told[:50]) + (f" and {len(told) - 50} more" if len(told) > 50 else "")

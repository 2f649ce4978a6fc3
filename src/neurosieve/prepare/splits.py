"""Which record goes to which split: packages make train, dev and test; dev is cut by file into tune and judge.

Reads and writes no files (METHOD 3.1).
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from neurosieve.config import Packages
from neurosieve.prepare.records import PrepareError, Record

PARTS = ("train", "dev", "test")


def rng(seed: int, *names: str) -> np.random.Generator:
    """Generator of a seed and names, the same on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode("utf-8")) for name in names)])


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
    missing = sorted(set(at) - found)
    if missing:
        raise PrepareError(
            f"{where}.packages: found {', '.join(missing)}, of which the data have nothing; "
            f"write some of: {', '.join(sorted(found))}"
        )
    return parts


def assign(
    parts: dict[str, list[Record]], why_not: Callable[[Record], str | None], per_file: int, tune_share: float, seed: int
) -> tuple[dict[str, list[Record]], Counter[str]]:
    """Records of train, tune, judge and test that can be used, and why the others cannot, counted.

    Left out in this order: a copy (equal key) of any record of an earlier part, in the order train, dev, test; what
    `why_not` gives a reason for; a copy of an earlier record of the same part; what is in a file with fewer than
    `per_file` records left. Then `tune_share` of the dev files go to tune, within every package, at least one and not
    all where a package has two or more; a file's place depends on the seed and its name alone.
    """
    left_out: Counter[str] = Counter()
    kept: dict[str, list[Record]] = {}
    earlier: dict[str, str] = {}
    for part in PARTS:
        own: set[str] = set()
        usable: list[Record] = []
        for record in parts[part]:
            if record.key in earlier:
                reason: str | None = f"copy of one in {earlier[record.key]}"
            else:
                reason = why_not(record)
                if reason is None and record.key in own:
                    reason = "copy of one in the same split"
            if reason is None:
                own.add(record.key)
                usable.append(record)
            else:
                left_out[reason] += 1
        files = Counter(record.file for record in usable)
        kept[part] = [record for record in usable if files[record.file] >= per_file]
        if len(kept[part]) < len(usable):
            left_out[f"fewer than {per_file} usable ones in the file"] += len(usable) - len(kept[part])
        for record in parts[part]:
            earlier.setdefault(record.key, part)
    tune = _tune_files(kept["dev"], tune_share, seed)
    return {
        "train": kept["train"],
        "tune": [record for record in kept["dev"] if record.file in tune],
        "judge": [record for record in kept["dev"] if record.file not in tune],
        "test": kept["test"],
    }, left_out


def _tune_files(dev: list[Record], share: float, seed: int) -> set[str]:
    packages: dict[str, set[str]] = defaultdict(set)
    for record in dev:
        packages[record.package].add(record.file)
    tune: set[str] = set()
    for files in packages.values():
        order = sorted(files, key=lambda file: (rng(seed, "tune", file).random(), file))
        count = max(1, min(len(order) - 1, int(share * len(order) + 0.5))) if len(order) > 1 else 0
        tune.update(order[:count])
    return tune

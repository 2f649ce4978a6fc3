"""poj-104: do two programs solve the same problem? POJ-104 as CodeXGLUE has it: programs, of which pairs are made.

Reads jsonl, one object a line with "label" (the problem, which is the package) and "code", and "index" where it is
known; a program is a file. Roles: `all`, split by problem with `shares: {..., group: package}` or `packages:`; or
`train`, `dev` and `test`, no problem in two of them. Within a split every program that is used stands left and right,
once each with one of its own problem (SAME) and with one of another (DIFFERENT), or so many times each: no side alone
can tell the label.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.config import Task
from neurosieve.prepare.records import (
    Record,
    class_fault,
    class_name,
    make_record,
    missing_key,
    package_fault,
    read_records,
    text_fault,
)
from neurosieve.prepare.sampling import Sample, Want, too_long

UNIT = "pair"
SOURCE = "folder"
ROLES = {"all": False, "train": False, "dev": False, "test": False}
CLASSES = ("DIFFERENT", "SAME")
DESCRIPTION = "Whether two programs solve the same problem or two problems of the same split."
PER_FILE = 1
RESAMPLED = ("package", "problems")  # new data would bring new problems, not new programs for these
#: A problem with fewer programs has no ring of different pairs.
RING = 3
TOO_FEW = f"too few for pairs, which take {4 * RING} rows or more and {RING} programs each of two problems or more"

_EXAMPLE = '{"label": "12", "code": "int main() { ... }", "index": "0"}'


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the programs; the label of one is its problem.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead.
    """
    seen: dict[str, tuple[str, str]] = {}

    def make(row: dict[str, Any], part: str | None, number: int, where: str) -> Record | str:
        if (fault := _fault(row)) is not None:
            return fault
        problem = class_name(row["label"])
        if (fault := package_fault(problem, part, where, seen)) is not None:
            return fault
        name = f"{problem}/line-{number}"
        return make_record(row["code"], package=problem, file=name, name=name, where=where, label=problem, split=part)

    return read_records(files, _EXAMPLE, make)


def _fault(row: dict[str, Any]) -> str | None:
    fault = missing_key(row, ("label", "code"), _EXAMPLE)
    return fault or class_fault("label", row["label"]) or text_fault("code", row["code"])


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    """Pairs in rounds: in round r a program is paired with the r-th after it in the ring of its problem (SAME), and
    with the one a random number of places on in the row of all problems (DIFFERENT). No pair twice, in either order.
    """
    sample = Sample()
    problems = _problems(records, want, sample)
    ids: dict[str, int] = {}
    apart: set[frozenset[str]] = set()
    room, turn = want.rows // 2, 1
    while room > 0:
        taken = _take([members for members in problems if len(members) > 2 * turn], 2 * turn + 1, room)
        row = [record for members in taken for record in members]
        partners = _partners(taken, want, apart) if taken else None
        if partners is None:
            break
        same = [members[(i + turn) % len(members)] for members in taken for i in range(len(members))]
        for left, *pair in zip(row, partners, same, strict=True):
            for label, right in enumerate(pair):
                for record in (left, right):
                    if record.file not in ids:
                        ids[record.file] = sample.add_input(record, record.text)
                sample.rows.append({"input": ids[left.file], "input2": ids[right.file], "label": label})
        room, turn = room - len(row), turn + 1
    unused = sum(map(len, problems)) - len(ids)
    sample.left_out["not needed" if sample.rows else TOO_FEW] += unused
    return sample


def _problems(records: list[Record], want: Want, sample: Sample) -> list[list[Record]]:
    """Programs by problem, problems and programs in random order; those with enough programs."""
    of: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of[record.package].append(record)
    names = sorted(of)
    problems = []
    for i in want.rng.permutation(len(names)):
        members = of[names[i]]
        if len(members) < RING:
            sample.left_out[f"of a problem with fewer than {RING} programs"] += len(members)
        else:
            problems.append([members[j] for j in want.rng.permutation(len(members))])
    return problems


def _take(problems: list[list[Record]], least: int, room: int) -> list[list[Record]]:
    """The first programs of problems: `least` of each, then one more each in turn; none has as many as all others."""
    take = [0] * len(problems)
    for turn in range(least, max(map(len, problems), default=0) + 1):
        for i, members in enumerate(problems):
            more = least if turn == least else 1
            if turn <= len(members) and room >= more:
                take[i] += more
                room -= more
    if take:
        most = max(range(len(take)), key=take.__getitem__)
        several = sum(count > 0 for count in take) > 2  # of two problems the same number is taken
        take[most] = min(take[most], sum(take) - take[most] - several)
        if take[most] < least:
            return []
    return [members[:count] for members, count in zip(problems, take, strict=True) if count]


def _partners(taken: list[list[Record]], want: Want, apart: set[frozenset[str]]) -> list[Record] | None:
    """For each program, problem after problem, one of another problem; no pair of `apart`, to which the new ones go."""
    row = [record for members in taken for record in members]
    most = max(map(len, taken))
    # problems are blocks of at most `most`, so that `most` places or more on, round the end, lies another problem
    steps = range(most) if len(taken) == 2 else range(most, len(row) - most + 1)
    for step in want.rng.permutation(np.array(steps, np.int64)):
        if len(taken) == 2:  # of the same size; half round the row would give every pair twice
            left, right = taken
            partners = [right[(i + step) % most] for i in range(most)] + [
                left[(i + 1 - step) % most] for i in range(most)
            ]
        else:
            partners = [row[(i + step) % len(row)] for i in range(len(row))]
        pairs = {frozenset((a.file, b.file)) for a, b in zip(row, partners, strict=True)}
        if len(pairs) == len(row) and not pairs & apart:
            apart |= pairs
            return partners
    return None

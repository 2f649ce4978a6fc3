"""tagged-lines: a user's own tokens with a tag each, a line of them an input (the files that NeuroX and ConceptX read).

Reads two parallel files per split, roles <split>.in and <split>.label: line i of one holds the tokens of a line of
code, line i of the other their tags, both separated by spaces alone, for a string literal may hold a tab. The splits
are given. There are no files to resample: a line is the unit ("file"), and its split stands for its package; lines of
one unknown file may so lie in two splits (see the card).
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import PARTS, PrepareError, Record, make_record, raise_faults, read_lines
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "folder"
KEYS = ("misaligned", "balanced", "cap_per_type", "max_rows_per_input", "leave_out")
ROLES = {f"{part}.{side}": True for part in PARTS for side in ("in", "label")}
CLASSES = None
DESCRIPTION = (
    "Which tag of the user's data a token of a line has; a line counts as a file, for the files are not known."
)
PER_FILE = 1
MISALIGNED = "tokens and tags differ in number"


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the six files, a line each, with its `tags`; misaligned ones have no tags.

    Raises
    ------
    PrepareError : files of different length; and, unless the task says `misaligned: skip`, lines with another number of
        tokens than of tags. Names the file and the line.
    """
    records: list[Record] = []
    faults: list[str] = []
    for part in PARTS:
        tokens_file, tags_file = files[f"{part}.in"], files[f"{part}.label"]
        for number, (left, right) in enumerate(zip_longest(read_lines(tokens_file), read_lines(tags_file)), start=1):
            if left is None or right is None:
                short, long = (tokens_file, tags_file) if left is None else (tags_file, tokens_file)
                raise PrepareError(f"{short}: ends before line {number}, which {long} has; give both as many lines")
            tokens, labels = _words(left[1]), _words(right[1])
            aligned = len(tokens) == len(labels)
            if not aligned and task.misaligned == "error":
                faults.append(
                    f"{tokens_file}:{number}: found {len(tokens)} tokens and {len(labels)} tags in {tags_file.name}; "
                    "mend the line in both files, or write `misaligned: skip` to leave such lines out"
                )
            name = f"line-{number:06d}"
            records.append(
                make_record(
                    " ".join(tokens),
                    package=part,
                    file=f"{part}/{name}",
                    name=name,
                    where=f"{tokens_file.name}:{number}",
                    split=part,
                    tags=tuple(labels) if aligned else None,
                )
            )
    raise_faults(files["train.in"].parent, faults, "misaligned lines")
    if task.classes is not None:
        known = {tag for record in records for tag in record.tags or ()}
        unknown = [name for name in task.classes if name not in known]
        if unknown:
            raise PrepareError(
                f"`classes` has {unknown[0]!r}, which no token has; write some of: {', '.join(sorted(known))}"
            )
    return records


def _words(line: str) -> list[str]:
    return [word for word in line.split(" ") if word]


def why_not(record: Record, task: Task) -> str | None:
    if record.tags is None:
        return MISALIGNED
    if not record.tags:
        return "no tokens"
    if "\0" in record.text:
        return "a NUL character"
    if task.classes is not None and not set(record.tags) & set(task.classes):
        return "no token of the classes"
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    """Tokens of random lines, whole lines as inputs."""
    tags = {record.text: record.tags or () for record in records}  # copies were left out: a text stands for its line
    index = {name: label for label, name in enumerate(want.classes)}

    def tokens_of(text: str) -> list[Token]:
        tokens, start = [], 0
        for word, tag in zip(text.split(" "), tags[text], strict=True):
            if tag in index:
                tokens.append(Token(start, start + len(word), word, index[tag]))
            start += len(word) + 1
        return tokens

    return token_sample(records, want, tokens_of)

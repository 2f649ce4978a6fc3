"""tagged-lines: a user's own tokens with a tag each, a line of them an input (the files that NeuroX and ConceptX read).

Reads <folder>/<stem>.in and <stem>.label, plain or .gz, where {split} in the task's `stem` is train, dev (or valid) and
test: line i of one file holds the tokens of a line of code, line i of the other their tags, both separated by spaces
alone, for a string literal may hold a tab. The splits are given. There are no files to resample: a line is the unit
("file"), and its split stands for its package; lines of one unknown file may so lie in two splits (see the card).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from neurosieve.config import ENDS, TAGGED, Task
from neurosieve.prepare.python_source import exact_key
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long
from neurosieve.prepare.splits import PARTS

UNIT = "token"
SOURCE = "folder"
DATA = ""  # the folder itself: the names of its files are the task's `stem`
CLASSES = None
DESCRIPTION = (
    "Which tag of the user's data a token of a line has; a line counts as a file, for the files are not known."
)
PER_FILE = 1
#: Faulty lines that are told at once.
MAX_FAULTS = 20
MISALIGNED = "tokens and tags differ in number"


def read(path: Path, task: Task) -> list[Record]:
    """Records of the six files of the folder ``path``, a line each, with its `tags`; misaligned ones have no tags.

    Raises
    ------
    PrepareError : a missing file, files of different length, no line at all; and, unless the task says `misaligned:
        skip`, lines with another number of tokens than of tags. Names the file and the line.
    """
    if task.packages is not None:
        raise PrepareError(f"{path}: the task has `packages:`, but these files give the splits; take it out")
    if "{split}" not in task.stem:
        raise PrepareError(f"{path}: `stem` is {task.stem!r}; write the files' name without .in, {{split}} for train")
    records: list[Record] = []
    faults: list[str] = []
    for part in PARTS:
        names = [name for name in TAGGED if name == part or (name, part) == ("valid", "dev")]
        tokens_file, tags_file = (_find(path, [task.stem.replace("{split}", n) + end for n in names]) for end in ENDS)
        for number, (text, tags) in enumerate(zip_longest(_lines(tokens_file), _lines(tags_file)), start=1):
            if text is None or tags is None:
                short, long = (tokens_file, tags_file) if text is None else (tags_file, tokens_file)
                raise PrepareError(f"{short}: ends before line {number}, which {long} has; give both as many lines")
            tokens, labels = _words(text), _words(tags)
            aligned = len(tokens) == len(labels)
            if not aligned and task.misaligned == "error":
                faults.append(
                    f"{tokens_file}:{number}: found {len(tokens)} tokens and {len(labels)} tags in {tags_file.name}; "
                    "mend the line in both files, or write `misaligned: skip` to leave such lines out"
                )
            text = " ".join(tokens)
            name = f"line-{number:06d}"
            records.append(
                Record(
                    package=part,
                    file=f"{part}/{name}",
                    name=name,
                    text=text,
                    key=exact_key(text),
                    split=part,
                    tags=tuple(labels) if aligned else None,
                )
            )
    if len(faults) > MAX_FAULTS:
        faults[MAX_FAULTS:] = [f"{path}: {len(faults) - MAX_FAULTS} more misaligned lines"]
    if faults:
        raise PrepareError("\n".join(faults))
    if task.classes is not None:
        known = {tag for record in records for tag in record.tags or ()}
        unknown = [name for name in task.classes if name not in known]
        if unknown:
            raise PrepareError(
                f"{path}: `classes` has {unknown[0]!r}, which no token has; write some of: {', '.join(sorted(known))}"
            )
    return records


def _words(line: str) -> list[str]:
    return [word for word in line.split(" ") if word]


def _find(folder: Path, names: list[str]) -> Path:
    """The one file of these names, or of these with .gz, that the folder has."""
    found = [folder / f"{name}{zipped}" for name in names for zipped in ("", ".gz")]
    there = [file for file in found if file.is_file()]
    if len(there) != 1:
        what = f"found {' and '.join(f.name for f in there)}; keep one" if there else "no such file"
        raise PrepareError(f"{folder}/{' or '.join(names)}: {what} (plain or .gz; `stem` gives the name)")
    return there[0]


def _lines(path: Path) -> Iterator[str]:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise PrepareError(f"{path}: not readable ({error}); fetch the file again") from None
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), start=1):
        try:
            yield line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise PrepareError(
                f"{path}:{number}: not UTF-8 at byte {error.start} of the line; save it as UTF-8"
            ) from None


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

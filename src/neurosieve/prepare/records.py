"""Records, what one input (or pair of inputs) is made of; and the reading of users' files, line by line.

Reads the files that a task's entry names, and refuses one whose sha256 is not the pinned one. Writes nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from neurosieve.artifacts import sha256_file
from neurosieve.config import DataFile
from neurosieve.config.files import pointer

#: Splits that data can give; dev is cut into tune and judge.
PARTS = ("train", "dev", "test")
#: What stands for the package where none is known: of all rows, and of the codes of a code base.
NO_PACKAGE = ("all", "code-base")
#: Faults of a file that are told at once.
MAX_FAULTS = 20
# What some tokenizers take for one of their special tokens where a text has it. <s> and <sep> are tags of HTML too.
_SPECIAL = re.compile(
    r"</?s>|<(?:mask|pad|unk|cls|sep|bos|eos|extra_id_\d+)>|\[(?:MASK|CLS|SEP|PAD|UNK)\]|<\|[a-z_]{1,30}\|>"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class PrepareError(RuntimeError):
    """Data that no task can be made of; the message says where, what was found and what to write instead."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one row, or the rows of one input, are made of: a function of a corpus, or a line of a user's data.

    `key` is equal for copies, `right_key` likewise for the right text of a pair; copies of functions of a corpus may be
    renamed, those of a user's texts may differ in white space. `exact` is equal only for texts that are equal.
    `label`, `target` (a number instead of a class) and `split` ("train", "dev", "test") are the data's own, where it
    has them; `tags` likewise, one for each space-separated token of the text. `where` is "file:line", for messages.
    `right_file` is the file of the right text of a pair where it is not that of the left one (""): it is told with the
    input, while the pair itself counts to the left one's file.
    """

    package: str
    file: str
    name: str
    text: str
    key: str
    docstring: str | None = None
    docstring_span: tuple[int, int] | None = None
    label: str | None = None
    split: str | None = None
    tags: tuple[str, ...] | None = None
    exact: str = ""
    target: float | None = None
    right: str | None = None
    right_key: str = ""
    right_exact: str = ""
    right_name: str = ""
    right_file: str = ""
    where: str = ""


def make_record(
    text: str,
    *,
    package: str,
    file: str,
    name: str,
    where: str,
    label: str | None = None,
    target: float | None = None,
    split: str | None = None,
    tags: tuple[str, ...] | None = None,
    right: str | None = None,
    right_name: str = "",
    right_file: str = "",
) -> Record:
    """A record of a user's data, with its keys."""
    return Record(
        package=package, file=file, name=name, text=text, key=spaces_key(text), exact=digest(text), label=label,
        target=target, split=split, tags=tags, right=right, right_name=right_name, right_file=right_file, where=where,
        right_key="" if right is None else spaces_key(right), right_exact="" if right is None else digest(right),
    )  # fmt: skip


def digest(text: str) -> str:
    """Key of a text as it is (hex, 32 characters)."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def spaces_key(text: str) -> str:
    """Key of a text in which every run of white space is one space (hex, 32 characters)."""
    return digest(" ".join(text.split()))


def seen_as(name: str) -> str:
    """A label or another name as a reader sees it: white space, Unicode form and invisible characters folded."""
    if not name.isascii():
        name = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    return " ".join(name.split())


def spelling(name: str) -> str | Decimal:
    """A name without what often says nothing: case, width, and the way a number is written (`1`, `1.0`, `01`)."""
    name = unicodedata.normalize("NFKC", name)
    return Decimal(name) if number_of(name) is not None else name.casefold()  # exact: names may be long numbers


def number_of(value: Any) -> float | None:
    """The finite number that a value is, or a text says in digits with a decimal point; None where it is none."""
    if isinstance(value, str):
        value = value.strip(" \t")
        if not _NUMBER.fullmatch(value):  # float() takes `1_000`, `nan` and digits of every script
            return None
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def check_files(key: str, paths: Mapping[str, Path], files: Mapping[str, DataFile]) -> None:
    """Refuse missing files and files whose sha256 is not the pinned one; all at once.

    ``key`` is the entry's place in the params file, such as ``prepare.tasks.clones``.
    """
    faults: list[str] = []
    for role, file in files.items():
        path, at = paths[role], f"{key}.files.{role}"
        if not path.is_file():
            where = f"get it from {file.source}" if file.source else "put it there, or mend `folder:` or `name:`"
            faults.append(
                f"{at}: {path}: no such file; {where} (folders are looked for as written, then below data_root)"
            )
        elif (found := sha256_file(path)) != file.sha256:
            if file.sha256 is None:
                faults.append(f"{at}: {path}: its sha256 is not pinned; write `sha256: {found}`")
            else:
                faults.append(
                    f"{at}: {path}: found sha256 {found}, expected {file.sha256}: the file has changed; fetch the "
                    "pinned one again, or write the new sha256 and raise `version:`"
                )
    if faults:
        raise PrepareError("\n".join(faults))


def split_files(files: Mapping[str, Path]) -> list[tuple[str | None, Path]]:
    """(split, path) of each file: (None, path) of role `all`, or one each of the roles train, dev and test.

    Raises PrepareError where there are both, or some of the three only.
    """
    found = [role for role in (*PARTS, "all") if role in files]
    if found == ["all"]:
        return [(None, files["all"])]
    if found == list(PARTS):
        return [(role, files[role]) for role in PARTS]
    raise PrepareError(
        f"`files:` has the roles {', '.join(found) or '(none of these)'}; write `all` (one file, which `packages:` or "
        "`shares:` split), or all of train, dev and test"
    )


def read_bytes(path: Path) -> bytes:
    """Content of a file, of a .gz what is packed in it; PrepareError where it is not there, or not whole."""
    if (why := pointer(path)) is not None:
        raise PrepareError(why)
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise PrepareError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise PrepareError(f"{path}: a folder; name a file in it") from None
    except (OSError, EOFError, zlib.error) as error:
        raise PrepareError(f"{path}: not readable ({error}); fetch the file again") from None


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, plain or .gz; PrepareError as :func:`read_lines` has it."""
    return "\n".join(line for _, line in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line of a UTF-8 file, plain or .gz, without its end (\\n or \\r\\n) and mark.

    Raises
    ------
    PrepareError : naming the file, and the line where it is one: not readable (cut off), not UTF-8.
    """
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")  # a byte order mark: else a part of the first token
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), start=1):
        try:
            yield number, line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise PrepareError(
                f"{path}:{number}: not UTF-8 at byte {error.start} of the line; save it as UTF-8"
            ) from None


def read_objects(path: Path, example: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line number and object of each line of a .jsonl file; for a bad line what is wrong with it, as a text.

    ``example`` is a good line, for the messages.
    """
    for number, line in read_lines(path):
        if not line.strip():
            yield number, "found an empty line; take it out"
            continue
        try:
            row = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as error:
            yield number, f"not valid json ({error}); found {line[:60]!r}; write a line like {example}"
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, f"found {type(row).__name__}; write an object like {example}"


def read_records(
    files: Mapping[str, Path],
    example: str,
    make: Callable[[dict[str, Any], str | None, int, str], Record | str],
) -> list[Record]:
    """Records of .jsonl files, one a line.

    ``make`` gets the object of a line, the split of its file (None of role `all`), the line's number and where it is,
    as `<file>:<number>`; it gives the record, or what is wrong with the line. ``example`` is a good line.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead.
    """
    records: list[Record] = []
    faults: list[str] = []
    for part, path in split_files(files):
        number = 0
        for number, row in read_objects(path, example):
            found = row if isinstance(row, str) else make(row, part, number, f"{path.name}:{number}")
            if isinstance(found, str):
                faults.append(f"{path}:{number}: {found}")
            else:
                records.append(found)
        if number == 0:
            faults.append(f"{path}: no lines; write one object a line, like {example}")
    raise_faults(next(iter(files.values())), faults)
    return records


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A json object, for `object_pairs_hook`; ValueError where a key stands twice, of which one would be lost."""
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in an object")
    return row


def missing_key(row: Mapping[str, Any], keys: Iterable[str], example: str) -> str | None:
    """What is wrong with an object that lacks one of the keys, and what to write; None for a good one."""
    for key in keys:
        if key not in row:
            return f"no key {key!r} (found {', '.join(map(str, row)) or 'none'}); write it, as in {example}"
    return None


def package_fault(package: str, split: str | None, at: str, seen: dict[str, tuple[str, str]]) -> str | None:
    """What is wrong where a package that `seen` has in one split ("file:line") stands in another one here."""
    other, line = seen.setdefault(package, (split or "", at))
    if (split or "") == other:
        return None
    return (
        f"package {package!r} is in {split} here and in {other} in {line}; keep a package in one split, "
        "for texts of one package are not independent"
    )


def class_name(value: Any) -> str:
    """Name of a class that data give as a text or a whole number; "" for anything else, true and false too."""
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""


def class_fault(key: str, value: Any) -> str | None:
    """What is wrong with a class, and what to write; None for a good one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return None
    if not isinstance(value, str):
        return f"{key!r} is {json.dumps(value)[:40]}; write a whole number or a string"
    return text_fault(key, value)


def text_notices(text: str) -> list[str]:
    """What a user should know of a text that is kept as it is, in a few words each."""
    found = [f"literal {token} in the text" for token in dict.fromkeys(_SPECIAL.findall(text))]
    returns = text.count("\r")
    if returns and not returns == text.count("\r\n") == text.count("\n"):
        found.append("mixed line ends, kept as written")
    return found


def text_fault(key: str, value: Any) -> str | None:
    """What is wrong with a text of a user's data, and what to write; None for a good one."""
    if not isinstance(value, str):
        return f"{key!r} is {json.dumps(value)[:40]}; write a string, in double quotes"
    if not any(not c.isspace() and unicodedata.category(c) != "Cf" for c in value):
        what = "has invisible characters alone" if value.strip() else "is empty"
        return f"{key!r} {what}; write some text or leave the line out"
    if "\0" in value:
        return f"{key!r} has a NUL character (\\u0000); take it out"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return f"{key!r} has half a surrogate pair (\\ud800 to \\udfff); write the whole character"
    return None


def raise_faults(path: Path, faults: Iterable[str], what: str = "faulty lines") -> None:
    """Raise PrepareError with the first faults and the number of the others; nothing where there is none."""
    told = list(faults)
    if len(told) > MAX_FAULTS:
        told[MAX_FAULTS:] = [f"{path}: {len(told) - MAX_FAULTS} more {what}"]
    if told:
        raise PrepareError("\n".join(told))

"""Data with named columns: .jsonl, .csv (both also .gz), .parquet, and the .arrow files of a saved dataset.

Reads such files, for the kinds `table` and `table-pairs` and for corpora given as tables of functions; and datasets of
the Hugging Face hub through the `datasets` library, which keeps what it has read in `.cache/datasets`. Writes nothing
else. A row's place is "file:line", of .parquet and .arrow files "file:row N", both from 1.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosieve.config import Columns, HubDataset, Task
from neurosieve.prepare.records import (
    PARTS,
    PrepareError,
    Record,
    make_record,
    number_of,
    raise_faults,
    read_bytes,
    read_objects,
    split_files,
    text_fault,
)
from neurosieve.sources.wheels import DEFAULT_CACHE

if TYPE_CHECKING:
    import pyarrow as pa

#: Where the `datasets` library keeps what it has read of a dataset of the hub; its files lie in the hub's own cache.
TABLES = Path(".cache/datasets")
#: What a column `split` may say, and the part that it means.
SPLIT_NAMES = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "test": "test"}
# The csv module's own limit is 131,072 characters; a longer function is left out later, and counted, as any long one.
_CELL_LIMIT = 2**31 - 1
_BATCH = 1000

# place and raw values by column of each row; a text instead of the values says what is wrong with the row
_Rows = Iterator[tuple[str, dict[str, Any] | str]]


def read_table(path: Path, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place ("file:line") and values of each row, by the fields of ``columns`` that name a column.

    `target` is a finite float, every other value a text that is not blank: whole numbers and true or false become text
    where they are no input, and numbers of a named class (ClassLabel of the `datasets` library) its name. `split` is
    train, dev or test.

    Raises
    ------
    PrepareError : at once for a file that cannot be read or lacks a column; after the last row for all faulty rows,
        with file, line, what was found and what to write instead.
    """
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if plain.suffix == ".jsonl":
        rows = _jsonl(path, columns)
    elif plain.suffix == ".csv":
        rows = _csv(path, columns)
    elif path.suffix in (".parquet", ".arrow"):
        rows = _arrow(path, columns)
    else:
        raise PrepareError(
            f"{path}: a table is .jsonl or .csv (both also .gz), .parquet or .arrow; save it as one of them"
        )
    return _checked(str(path), rows, columns)


def column_names(path: Path) -> list[str]:
    """Names of the columns of a .csv (also .gz), .parquet or .arrow file; none where it cannot be read as one."""
    if path.suffix in (".parquet", ".arrow"):
        import pyarrow as pa
        import pyarrow.parquet

        try:
            if path.suffix == ".parquet":
                return list(pyarrow.parquet.read_schema(path).names)
            with pa.memory_map(str(path)) as source:
                return list(pa.ipc.open_stream(source).schema.names)
        except (pa.ArrowException, OSError):
            return []
    csv.field_size_limit(_CELL_LIMIT)
    try:
        return next(csv.reader(_lines(path)), [])
    except csv.Error:
        return []


def _checked(source: str, rows: _Rows, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows whose values are good; when all are read, PrepareError with the others, or where there was no row at all."""
    faults: list[str] = []
    empty = True
    for where, row in rows:
        empty = False
        values, fault = _values(row, columns) if isinstance(row, dict) else ({}, row)
        if fault is None:
            yield where, values
        else:
            faults.append(f"{where}: {fault}")
    if empty:
        raise PrepareError(f"{source}: no rows; write one at least")
    raise_faults(Path(source), faults, "faulty rows")


def _named(columns: Columns) -> dict[str, str]:
    """Field -> column, of the fields that name one."""
    return {field: name for field, name in columns.model_dump().items() if name is not None}


def _find_columns(where: str, columns: Columns, there: Iterable[str]) -> None:
    """Raise PrepareError for the columns that ``there`` lacks, with those there are and the nearest of them."""
    there = list(there)
    sign = next((sign for sign in (";", "\t", "|") if len(there) == 1 and sign in there[0]), None)
    if sign is not None:
        raise PrepareError(
            f"{where}: found one column {there[0][:60]!r}, with {sign!r} between the cells; save the table with commas"
        )
    faults = []
    for field, column in _named(columns).items():
        if there.count(column) > 1:
            faults.append(f"{where}: found two columns {column!r}; give each a name of its own")
        elif column not in there:
            near = difflib.get_close_matches(column, there, n=1, cutoff=0.5)
            write = (
                f"write `columns: {{{field}: {_yaml(near[0])}}}`?"
                if near
                else f"write one of them as `columns.{field}`"
            )
            faults.append(f"{where}: no column {column!r}; the columns are {', '.join(there) or 'none'}; {write}")
    if faults:
        raise PrepareError("\n".join(faults))


def _yaml(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w.-]*", name) else json.dumps(name, ensure_ascii=False)


# --- files -----------------------------------------------------------------------------------------------------------


def _jsonl(path: Path, columns: Columns) -> _Rows:
    names = _named(columns)
    example = json.dumps({column: 0.5 if field == "target" else "..." for field, column in names.items()})
    found = False
    for number, row in read_objects(path, example):
        where = f"{path}:{number}"
        if isinstance(row, dict):
            if not found:
                _find_columns(where, columns, row)
                found = True
            missing = [column for column in names.values() if column not in row]
            if missing:
                row = f"no key {missing[0]!r}; write it, as in {example}, or leave the line out"
        yield where, row


def _csv(path: Path, columns: Columns) -> _Rows:
    csv.field_size_limit(_CELL_LIMIT)
    reader = csv.reader(_lines(path), strict=True)
    header: list[str] | None = None
    while True:
        where = f"{path}:{reader.line_num + 1}"  # of the row's first line: a quoted cell may go on over several
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = str(error).partition(" - ")[0]
            what = "a quote that opens in this row is never closed" if "end of data" in what else what
            raise PrepareError(
                f"{where}: not valid csv ({what}); put cells with commas, quotes or line ends in double quotes, and "
                "double the quotes inside"
            ) from None
        if header is None:
            twice = sorted({name for name in cells if cells.count(name) > 1})
            if twice:
                raise PrepareError(f"{where}: found two columns {twice[0]!r}; give each a name of its own")
            _find_columns(where, columns, cells)
            header = cells
        elif not cells:
            yield where, "found an empty line; take it out"
        elif len(cells) != len(header):
            yield (
                where,
                f"found {len(cells)} cells, the header has {len(header)}; put cells with commas in double quotes",
            )
        else:
            yield where, dict(zip(header, cells, strict=True))


def _lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends as they are: inside quotes they are part of the cell."""
    for number, line in enumerate(io.BytesIO(read_bytes(path).removeprefix(b"\xef\xbb\xbf")), start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PrepareError(
                f"{path}:{number}: not UTF-8 at byte {error.start} of the line; save it as UTF-8"
            ) from None


def _arrow(path: Path, columns: Columns) -> _Rows:
    """Rows of a .parquet file, or of the Arrow stream that `save_to_disk` of the `datasets` library writes."""
    import pyarrow as pa
    import pyarrow.parquet

    what = "parquet file" if path.suffix == ".parquet" else "Arrow stream (as `save_to_disk` writes it)"
    names = list(dict.fromkeys(_named(columns).values()))
    try:
        if path.suffix == ".parquet":
            file = pyarrow.parquet.ParquetFile(path)
            _find_columns(str(path), columns, file.schema_arrow.names)
            yield from _arrow_rows(str(path), file.schema_arrow, file.iter_batches(_BATCH, columns=names), names)
        else:
            with pa.memory_map(str(path)) as source:
                stream = pa.ipc.open_stream(source)
                _find_columns(str(path), columns, stream.schema.names)
                yield from _arrow_rows(str(path), stream.schema, (batch.select(names) for batch in stream), names)
    except FileNotFoundError:
        raise PrepareError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError) as error:
        raise PrepareError(
            f"{path}: not a readable {what} ({str(error).splitlines()[0]}); fetch or write it again"
        ) from None


def _arrow_rows(
    source: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table], names: list[str]
) -> _Rows:
    classes = _class_names(schema, names)
    number = 0
    for batch in batches:
        for cells in zip(*(_cells(batch.column(name)) for name in names), strict=True):
            number += 1
            row = dict(zip(names, cells, strict=True))
            fault = None
            for name, known in classes.items():
                if row[name] is not None and 0 <= row[name] < len(known):
                    row[name] = known[row[name]]
                elif row[name] is not None:
                    fault = f"{name!r} is {row[name]}, of the classes 0 to {len(known) - 1}; leave out rows without one"
            yield f"{source}:row {number}", fault or row


def _cells(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Values of a column; of a text that is not UTF-8 the error."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_cell(scalar) for scalar in column]


def _cell(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error


def _class_names(schema: pa.Schema, columns: list[str]) -> dict[str, list[str]]:
    """Names of the classes of columns that are numbers of a ClassLabel, as the `datasets` library notes them."""
    import pyarrow as pa

    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: features[name] for name in columns if name in features}
        known = {name: list(of["names"]) for name, of in found.items() if of.get("_type") == "ClassLabel"}
    except (AttributeError, KeyError, TypeError, ValueError):  # a note that another tool wrote
        return {}
    return {name: names for name, names in known.items() if pa.types.is_integer(schema.field(name).type)}


# --- values ----------------------------------------------------------------------------------------------------------


def _values(row: dict[str, Any], columns: Columns) -> tuple[dict[str, Any], str | None]:
    """Values by field; and what is wrong with the first bad one, and what to write."""
    values: dict[str, Any] = {}
    for field, column in _named(columns).items():
        value = row[column]
        if isinstance(value, UnicodeDecodeError):
            return values, f"{column!r} is not UTF-8 at byte {value.start}; write it as UTF-8"
        if value is None:
            return values, f"{column!r} is null; write a value, or leave the row out"
        if field == "target":
            number = number_of(value)
            if number is None:
                return values, (
                    f"{column!r} is {_shown(value)}; write a finite number in digits, with a decimal point (1000, 1.5, "
                    "1e3), or leave the row out"
                )
            values[field] = number
            continue
        if field not in ("text", "right") and isinstance(value, bool | int):
            value = str(value).lower()
        if not isinstance(value, str):
            kind = "a text" if field in ("text", "right") else "a text or a whole number"
            return values, f"{column!r} is {_shown(value)}; write {kind}"
        fault = text_fault(column, value)
        if fault is None and field == "split" and value not in SPLIT_NAMES:
            fault = f"{column!r} is {_shown(value)}; write one of {', '.join(SPLIT_NAMES)}"
        if fault is not None:
            return values, fault
        values[field] = SPLIT_NAMES[value] if field == "split" else value
    return values, None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."


# --- records ---------------------------------------------------------------------------------------------------------


def table_records(files: Mapping[str, Path], task: Task, *, pair: bool) -> list[Record]:
    """Records of the table of each role: train, dev and test, or all.

    Raises PrepareError for keys of the task's entry that do not fit each other, and as :func:`read_table` does.
    """
    parts = split_files(files)
    columns = _columns(task, pair, given=len(parts) > 1)
    return _sides([record for part, path in parts for record in _records(read_table(path, columns), part)], columns)


def dataset_records(
    dataset: HubDataset, task: Task, *, pair: bool, tables: Path = TABLES, cache: Path = DEFAULT_CACHE
) -> list[Record]:
    """Records of a dataset of the hub, at its commit; raises as :func:`table_records`, and for what the hub says."""
    roles = set(dataset.splits)
    if roles not in ({"all"}, set(PARTS)):
        raise PrepareError(
            f"dataset.splits has {', '.join(dataset.splits)}; write `all` (which `packages:`, `shares:` or a column "
            "`split` splits), or all of train, dev and test"
        )
    columns = _columns(task, pair, given=len(roles) > 1)
    records: list[Record] = []
    for role, split in dataset.splits.items():
        rows = _checked(f"{dataset.id} {split}", _hub_rows(dataset, split, columns, tables, cache), columns)
        records += _records(rows, None if role == "all" else role)
    return _sides(records, columns)


def _columns(task: Task, pair: bool, given: bool) -> Columns:
    """Columns of a task's entry; PrepareError where they do not fit its kind, its metric or the way it is split."""
    columns = task.columns or Columns.model_validate({})
    number = task.metric == "r2"
    drawn = "packages" if task.packages is not None else "shares" if task.shares is not None else None
    faults = []
    if pair and columns.right is None:
        faults.append("columns: a pair needs the column of its right side; add `right:`, or write `kind: table`")
    if not pair and columns.right is not None:
        faults.append("columns.right: found a right side, which only pairs have; write `kind: table-pairs`")
    if number and columns.target is None:
        faults.append("columns: metric r2 predicts a number; add its column as `target:`, or write `metric: accuracy`")
    if number and columns.label is not None:
        faults.append("columns.label: metric r2 predicts a number, not a class; take `label:` out, or mend `metric:`")
    if not number and columns.target is not None:
        faults.append(f"columns.target: metric {task.metric} needs a class; write `label:` instead, or `metric: r2`")
    elif not number and columns.label is None:
        faults.append("columns: no column has the class; add `label:`, or `target:` with `metric: r2` for a number")
    if columns.split is not None and (given or drawn):
        other = "one file per split" if given else f"`{drawn}:`"
        faults.append(f"columns.split: found it beside {other}; keep the one that says the splits")
    if faults:
        raise PrepareError("\n".join(faults))
    return columns


def _records(rows: Iterable[tuple[str, dict[str, Any]]], part: str | None) -> Iterator[Record]:
    """Records of rows, of the split ``part`` or the one that each row names.

    Without a column `package` a row's split stands for it; without a column `file` a row is a file of its own.
    """
    for where, row in rows:
        where = Path(where).name
        name = f"row-{where.rpartition(':')[2].removeprefix('row '):0>6}"
        split = row.get("split", part)
        package = row.get("package", split or "all")
        own = name if part in (None, package) else f"{part}-{name}"  # two tables may have a package and a row number
        yield make_record(
            row["text"],
            package=package,
            file=f"{package}/{row.get('file', own)}",
            name=row.get("name", name),
            where=where,
            label=row.get("label"),
            target=row.get("target"),
            split=split,
            right=row.get("right"),
        )


def _sides(records: list[Record], columns: Columns) -> list[Record]:
    """The records; where pairs of a split share texts and no column has files, each text is one."""
    texts = [(record.split, key) for record in records for key in {record.key, record.right_key}]
    if columns.right is None or columns.file is not None or len(set(texts)) == len(texts):
        return records
    name: dict[tuple[str | None, str], str] = {}
    for record in records:
        name.setdefault((record.split, record.key), record.file)
        name.setdefault((record.split, record.right_key), f"{record.file}-{columns.right}")
    return [
        replace(record, file=name[record.split, record.key], right_file=name[record.split, record.right_key])
        for record in records
    ]


# --- the hub ---------------------------------------------------------------------------------------------------------


def _hub_rows(dataset: HubDataset, split: str, columns: Columns, tables: Path, cache: Path) -> _Rows:
    import datasets  # imports pandas and more: 2.5 s that no other task should wait

    from neurosieve.sources.datasets import load_split
    from neurosieve.sources.hub import HubError

    source = f"{dataset.id} {split}"
    datasets.disable_progress_bars()
    try:
        data = load_split(dataset, split, tables, "dataset", cache)
    except HubError as error:
        raise PrepareError(str(error)) from None
    except Exception as error:  # the library passes on the errors of all that it is built on
        raise PrepareError(
            f"dataset: {source} is not readable ({_cause(error)}); read it as `folder:` and `files:`"
        ) from error
    _find_columns(source, columns, data.column_names)
    names = list(dict.fromkeys(_named(columns).values()))
    batches = data.select_columns(names).with_format("arrow").iter(_BATCH)
    return _arrow_rows(source, data.features.arrow_schema, batches, names)


def _cause(error: BaseException) -> str:
    """First line of what is behind an error that only says that there was one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

"""Values of a file's neurons for new texts, from the model run no further than the highest layer that is needed.

Reads a file of neurons, a model's folder and, with the readers of `prepare`, texts; writes what it is told. Sub-words,
windows, batches and pooling are those of the activations phase, with the settings of the file: the texts of a split
give the bits of the benchmark.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.activations.batches import Plan, Rows, Where, plan_inputs
from neurosieve.activations.cut import CutError, cut
from neurosieve.activations.dump import extract
from neurosieve.activations.models import WEIGHTS, Loaded, load_folder, load_model, task_folder
from neurosieve.artifacts import Paths, csv_lines, printable, write_text
from neurosieve.config import Columns, Model, Params, load_params
from neurosieve.prepare.records import raise_faults, read_bytes, read_objects, text_fault, unique_keys
from neurosieve.prepare.table import column_names, read_table
from neurosieve.sources.wheels import source_text
from neurosieve.use.neurons import ENTRY, Neurons, NeuronsError

log = logging.getLogger(__name__)

SPAN, PAIR = ("start", "end"), ("text2",)
KEYS = ("text", *SPAN, *PAIR)
EXAMPLE = '{"text": "x = 1"}'
# Rows in a form that is not read: taken for one text, they would give one value without a word.
UNREAD = (".tsv", ".ndjson", ".jsonlines", ".xlsx", ".xls", ".ods", ".feather", ".pkl", ".npy", ".npz", ".in", ".label")


@dataclass(frozen=True)
class Texts:
    """What values are wanted of. ``texts`` are distinct; ``rows`` are spans of them (None: whole texts).

    left, right: (rows,) indices of the texts, of the pair's two texts where there are pairs (else right is None).
    ``where`` names an input or a row in messages.
    """

    texts: list[str]
    rows: Rows | None
    left: np.ndarray
    right: np.ndarray | None
    where: Where


def from_rows(rows: Sequence[dict[str, Any]], places: Sequence[str]) -> Texts:
    """Rows {"text"}, {"text", "start", "end"} or {"text", "text2"}, all alike; ``places`` name them in messages."""
    if not rows:
        raise NeuronsError("no texts; give at least one")
    keys = frozenset(rows[0])
    index: dict[str, int] = {}
    first: list[int] = []  # row in which a text was met

    def at(text: str, row: int) -> int:
        if text not in index:
            index[text] = len(first)
            first.append(row)
        return index[text]

    left, right, spans = [], [], []
    for i, row in enumerate(rows):
        if not {"text"} <= keys <= {*KEYS} or set(row) != keys or len(keys & {*SPAN}) == 1:
            raise NeuronsError(
                f"{places[i]}: found the keys {', '.join(sorted(row)) or 'none'}; every row needs text, or text, start "
                "and end, or text and text2, all rows alike"
            )
        for key, value in row.items():
            if key in SPAN and (not isinstance(value, int) or isinstance(value, bool)):
                raise NeuronsError(f"{places[i]}: {key}: found {str(value)[:40]!r}; write an integer")
            if key not in SPAN and (fault := text_fault(key, value)) is not None:
                raise NeuronsError(f"{places[i]}: {fault}")
        if SPAN[0] in keys and not 0 <= row["start"] < row["end"] <= len(row["text"]):
            raise NeuronsError(
                f"{places[i]}: found characters {row['start']} to {row['end']} of a text of {len(row['text'])}; "
                "write 0 <= start < end <= its length: characters, not bytes, counted from 0 in the text as it is read"
            )
        left.append(at(row["text"], i))
        if PAIR[0] in keys:
            right.append(at(row[PAIR[0]], i))
        if SPAN[0] in keys:
            spans.append([row[key] for key in SPAN])
    if spans and right:
        raise NeuronsError(f"{places[0]}: found start, end and text2; a pair is of whole texts")
    begin, end = np.array(spans, np.int64).T if spans else (None, None)
    texts = list(index)
    return Texts(
        texts=texts,
        rows=None if begin is None or end is None else Rows(np.array(left, np.int64), begin, end),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64) if right else None,
        where=lambda kind, i: places[first[i] if kind == "inputs" else i],
    )


class _TextColumns(Columns):
    """Columns of a table of rows for which values are wanted; `right` is text2."""

    start: str | None = None
    end: str | None = None


def read_texts(path: Path, columns: Mapping[str, str] | None = None) -> Texts:
    """Texts of a table (.jsonl, .csv, .json: a list of objects, .parquet, .arrow; see :func:`from_rows`), or of a file.

    Read as `prepare` reads them, .gz too: without a byte order mark, and a whole file, which is one text, with its line
    ends as ``\\n`` as those of a corpus. ``columns``: names of the table's columns where they are not text, start, end
    and text2. Other columns are left aside, with a word.

    Raises
    ------
    NeuronsError, PrepareError : naming the file and the line (of .json, .parquet and .arrow the row).
    """
    named = {key: key for key in KEYS} | dict(columns or {})
    for key in named:
        if key not in KEYS:
            raise NeuronsError(f"--column: found {key!r}; write one of {', '.join(KEYS)} before the `=`")
    for key, column in named.items():
        if (first := next(k for k, c in named.items() if c == column)) != key:
            raise NeuronsError(f"--column: {first} and {key} are both {column!r}; name another column for one of them")
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix in UNREAD:
        raise NeuronsError(
            f"{path}: rows are read from .jsonl, .csv, .json, .parquet or .arrow; save it as one of them"
        )
    if suffix in (".jsonl", ".json"):
        rows = list(_json_lines(path) if suffix == ".jsonl" else _json_list(path))
        found: Iterable[str] = dict.fromkeys(key for _, row in rows for key in row)
        rows = [(at, {key: row[name] for key, name in named.items() if name in row}) for at, row in rows]
    elif suffix in (".csv", ".parquet", ".arrow"):
        found = column_names(path)
        if not found:  # the reader says why
            list(read_table(path, Columns.model_validate({"text": named["text"]})))
        rows = list(_table(path, {key: name for key, name in named.items() if name in found}))
    else:
        if columns:
            raise NeuronsError(f"{path}: a file that is no table is one text, and has no column {columns!r}")
        return from_rows([{"text": _file(path)}], [str(path)])
    for key in dict.fromkeys(("text", *(columns or ()))):
        if named[key] not in found:
            raise NeuronsError(
                f"{path}: no column {named[key]!r}; its columns are {', '.join(found) or 'none'}; write the one of the "
                f"{key} as --column {key}=NAME"
            )
    other = [name for name in found if name not in named.values()]
    if other:
        log.warning("%s: left aside: %s", path, printable(", ".join(other)))
    return from_rows([row for _, row in rows], [at for at, _ in rows])


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    faults = []
    count = 0
    for count, row in read_objects(path, EXAMPLE):
        if isinstance(row, dict):
            yield f"{path}:{count}", row
        else:
            faults.append(f"{path}:{count}: {row}")
    if not count:
        raise NeuronsError(f"{path}: no rows; write one object a line, such as {EXAMPLE}")
    raise_faults(path, faults)


def _json_list(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        data = json.loads(_file(path), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise NeuronsError(f"{path}: not valid json ({error}); a file of an object a line is a .jsonl") from None
    if not isinstance(data, list) or not data:
        raise NeuronsError(f"{path}: found {type(data).__name__}; write a list of objects such as [{EXAMPLE}]")
    for number, row in enumerate(data, start=1):
        if not isinstance(row, dict):
            raise NeuronsError(f"{path}:row {number}: found {type(row).__name__}; write an object like {EXAMPLE}")
        yield f"{path}:row {number}", row


def _table(path: Path, names: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a table with the columns text, start, end and text2 as far as it has them."""
    if "text" not in names:
        return
    fields = {"right" if key == "text2" else key: name for key, name in names.items()}
    for place, row in read_table(path, _TextColumns.model_validate(fields)):
        values = {"text2" if key == "right" else key: value for key, value in row.items()}
        for key in SPAN:  # a cell of a csv is a text
            if key in values and values[key].removeprefix("-").isdecimal():
                values[key] = int(values[key])
        yield place, values


def _file(path: Path) -> str:
    data = read_bytes(path)
    try:
        return source_text(data)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise NeuronsError(f"{path}:{line}: not UTF-8 (byte {error.start} of the file); save it as UTF-8") from None


@dataclass(frozen=True)
class Extractor:
    """Neurons and their model, cut above the highest layer that they need. Made by :meth:`load`."""

    neurons: Neurons
    loaded: Loaded

    @classmethod
    def load(
        cls,
        neurons: Neurons,
        model: Path | str | None = None,
        params: Path | str | Params = "params.yaml",
        build: Path | str = "build",
    ) -> Extractor:
        """Load the model: a folder, or a name under ``models:`` of the params file; by default the name in the file.

        ``params`` is read for a name only, ``build`` only where that model was fine-tuned by the benchmark.

        Raises
        ------
        NeuronsError
            where no such model is there, or its weights are not those of the file's model.
        """
        loaded = _load(neurons, model, params, build)
        check_model(neurons, loaded)
        try:
            return cls(neurons, cut(loaded, neurons.highest_layer))
        except CutError as error:
            log.warning("%s; it is run whole: the same values at the whole model's cost", error)
            return cls(neurons, _load(neurons, model, params, build))

    def plan(self, texts: Texts) -> Plan:
        settings = {k: v for k, v in self.neurons.data["activations"].items() if k != "dtype"}
        inputs = ({"id": i, "text": text} for i, text in enumerate(texts.texts))
        return plan_inputs(inputs, texts.rows, self.loaded.coding, texts.where, **settings)

    def values(self, texts: Texts) -> np.ndarray:
        """Values float32 (rows, neurons) as the model has them; of pairs (rows, neurons * features), neuron by neuron.

        A span's value is made of its sub-words (activations.subword), a whole text's of all (activations.pooling).
        The last bits depend on the batch, and so on the other texts of the call.
        """
        found = extract(self.loaded, self.neurons.layers, self.neurons.units, self.plan(texts))
        if texts.rows is not None:
            return found
        if texts.right is None:
            return found[texts.left]
        if not self.neurons.pair_features:
            raise NeuronsError(
                f"{texts.where('rows', 0)}: found text2; the rows of {self.neurons.data['task']['name']}, to which the "
                "neurons belong, are no pairs: leave text2 out"
            )
        return self.neurons.pair(found[texts.left], found[texts.right])

    def check_unit(self, texts: Texts) -> None:
        """Raise NeuronsError where the rows are not of the kind that the probe was trained on."""
        found = "pair" if texts.right is not None else "token" if texts.rows is not None else "sequence"
        unit = self.neurons.unit
        if found != unit:
            keys = {"pair": "text and text2", "token": "text, start and end", "sequence": "text"}
            raise NeuronsError(
                f"{texts.where('rows', 0)}: the classifier of {self.neurons.data['task']['name']} takes rows with "
                f"{keys[unit]}; found {keys[found]}"
            )


def _load(neurons: Neurons, model: Path | str | None, params: Path | str | Params, build: Path | str) -> Loaded:
    stated = neurons.data["activations"]
    numerics, dtype = neurons.data["numerics"], stated.get("dtype", "float32")
    wanted, task = neurons.data["model"], neurons.data["task"]["name"]
    entry = {key: value for key in ENTRY if (value := wanted.get(key)) is not None}
    if model is not None and Path(model).is_dir():
        if not any((Path(model) / file).is_file() for file in WEIGHTS[entry.get("weights", "safetensors")]):
            entry.pop("weights", None)  # a folder of its own for the task, as one trained here; its hash is compared
        room = {key: stated[key] for key in ("window", "batch_tokens") if key in stated}
        return load_folder(Path(model), wanted["name"], numerics, dtype, **room, **entry)
    held = params if isinstance(params, Params) else load_params(str(params))
    name = str(wanted["name"] if model is None else model)
    file = "the params" if isinstance(params, Params) else str(params)
    if name not in held.models:
        where = (
            f"neither a folder nor a model of {file}"
            if model is not None
            else f"the model of the neurons in benchmark {neurons.data['benchmark']!r}; {file} is {held.benchmark!r}"
        )
        raise NeuronsError(
            f"model: found {name!r}, {where}; its models are: {', '.join(held.models)}: write --params with the file "
            "of the neurons' benchmark, or --model-path with the folder of their model"
        )
    trained = held.models[held.trained(name)]
    for key in ("part", "neurons"):  # other vectors of the same weights
        found, expected = getattr(trained, key), entry.get(key, Model.model_fields[key].default)
        if found != expected:
            raise NeuronsError(
                f"{file}: models.{name}.{key}: found {found!r}; the neurons are of a model with {expected!r}: write "
                "the name of that one as --model-path"
            )
    folder = task_folder(held, Paths(held.benchmark, build), name, task)
    if folder is not None and not folder.is_dir():
        raise NeuronsError(
            f"{folder}: no such folder; the neurons are those of {name} as it was trained for {task} "
            f"({wanted['training']}): run the benchmark, or write that model's folder as --model-path"
        )
    activations = held.activations.model_copy(update={"dtype": dtype})
    used = held.model_copy(update={"numerics": numerics, "activations": activations})
    return load_model(used, name, folder=folder)


def check_model(neurons: Neurons, loaded: Loaded) -> None:
    """Raise NeuronsError where the weights are not those of the file; warn of another configuration or tokenizer."""
    wanted, task = neurons.data["model"], neurons.data["task"]["name"]
    if loaded.facts["model_sha256"] != wanted["sha256"]:
        here = f"build/{neurons.data['benchmark']}/activations/{wanted['name']}/{task}/finetuned"
        what = {
            "frozen": "",
            "untrained": f"; it is the untrained twin of {wanted['untrained']}: write the twin's name as --model-path",
            "fine-tuned folder": f"; others trained it for {task}: write that folder, its `folders:` name it",
        }.get(wanted["training"], f"; the benchmark trained it for {task}: write {here} as --model-path")
        raise NeuronsError(
            f"{loaded.folder}: found weights with the sha256 {loaded.facts['model_sha256']}; the neurons belong to "
            f"{wanted['name']} with {wanted['sha256']}, and mean nothing in another model{what}"
        )
    if (loaded.layers, loaded.width) != (wanted["layers"], wanted["width"]):
        raise NeuronsError(
            f"{loaded.folder}: found {loaded.layers} layers of {loaded.width} neurons, the file of the neurons has "
            f"{wanted['layers']} of {wanted['width']}; write the name or the folder of their own model"
        )
    for key in ("config_sha256", "tokenizer_sha256"):
        if wanted.get(key) not in (None, loaded.facts[key]):
            part = key.removesuffix("_sha256")
            log.warning("%s: its %s differs from that of the benchmark's model; values may differ", loaded.folder, part)


def write_values(
    neurons: Path | str,
    source: Path,
    output: Path | None,
    *,
    model: Path | str | None = None,
    predict: bool = False,
    columns: Mapping[str, str] | None = None,
    params: Path | str = "params.yaml",
    build: Path | str = "build",
) -> None:
    """Values of the rows of ``source``, or with ``predict`` their classes or numbers, into a file or the terminal.

    A csv has the shortest decimals of the float32, and no cell that a spreadsheet runs. What is printed is the same,
    with characters that would steer a terminal, line ends within a cell too, as escapes: a row is a line.
    """
    kinds = (".csv",) if predict else (".npy", ".csv")
    if output is not None and output.suffix not in kinds:
        raise NeuronsError(f"--output: found {str(output)!r}; write a name that ends in {' or '.join(kinds)}")
    held = Neurons.read(neurons)
    texts = read_texts(source, columns)
    extractor = Extractor.load(held, model, params, build)
    if predict or texts.right is not None:
        extractor.check_unit(texts)
    elif texts.rows is None and held.unit == "token":
        log.warning("the neurons were chosen for tokens; without start and end a value is pooled over the whole text")
    values = extractor.values(texts)
    if output is not None and output.suffix == ".npy":
        write_file(output, values)
        return
    if predict:
        found = held.predict(values)
        cells = [held.classes[i] for i in found] if held.classes else [str(value) for value in found]
        rows: Iterable[Sequence[str]] = [["class" if held.classes else "target"], *([cell] for cell in cells)]
    else:
        names = held.column_names if texts.right is not None else held.names
        rows = [names, *([str(value) for value in row] for row in values)]
    if output is None:
        sys.stdout.writelines(csv_lines([printable(cell).replace("\n", "\\n") for cell in row] for row in rows))
    else:
        write_file(output, "".join(csv_lines(rows)))


def write_file(path: Path, content: str | np.ndarray) -> None:
    """Write a text, or an array as .npy, whole or not at all; NeuronsError where the place cannot be written to."""
    try:
        if isinstance(content, str):
            write_text(path, content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as handle:
                np.save(handle, content, allow_pickle=False)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise NeuronsError(f"{path}: cannot be written ({error.strerror}); write another --output") from None

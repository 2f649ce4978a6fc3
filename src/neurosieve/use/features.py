"""Values of a file's neurons for new texts, from the model run no further than the highest layer that is needed.

Reads a file of neurons, a model's folder and texts; writes nothing. Sub-words, windows, batches and pooling are those
of the activations phase, with the settings of the file: the texts of a split give the bits of the benchmark.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.activations.batches import Plan, Rows, Where, plan_inputs
from neurosieve.activations.cut import CutError, cut
from neurosieve.activations.dump import run_plan
from neurosieve.activations.models import WEIGHTS, Loaded, load_folder, load_model, task_folder
from neurosieve.artifacts import Paths, write_text
from neurosieve.config import Params, load_params
from neurosieve.use.neurons import ENTRY, Neurons, NeuronsError

log = logging.getLogger(__name__)

SPAN, PAIR = ("start", "end"), ("text2",)


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
        if not {"text"} <= keys <= {"text", *SPAN, *PAIR} or set(row) != keys or len(keys & {*SPAN}) == 1:
            raise NeuronsError(
                f"{places[i]}: found the keys {', '.join(sorted(row))}; every row needs text, or text, start and end, "
                "or text and text2, all rows alike"
            )
        for key, value in row.items():
            if not isinstance(value, int if key in SPAN else str) or isinstance(value, bool):
                kind = "an integer" if key in SPAN else "a string"
                raise NeuronsError(f"{places[i]}: {key}: found {str(value)[:40]!r}; write {kind}")
        for text in (row[key] for key in ("text", *PAIR) if key in keys):
            if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise NeuronsError(f"{places[i]}: the text holds half a surrogate pair; leave it out")
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


def read_texts(path: Path) -> Texts:
    """Texts of a .jsonl file (a row a line, see :func:`from_rows`), or a whole file of code or text as one text."""
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NeuronsError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise NeuronsError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    if path.suffix != ".jsonl":
        return from_rows([{"text": content}], [str(path)])
    rows, places = [], []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise NeuronsError(f"{path}:{number}: not valid json ({error}); found {line[:60]!r}") from None
        if not isinstance(row, dict):
            raise NeuronsError(f"{path}:{number}: found {type(row).__name__}; write an object with the key text")
        rows.append(row)
        places.append(f"{path}:{number}")
    if not rows:
        raise NeuronsError(f'{path}: no rows; write one object a line, such as {{"text": "x = 1"}}')
    return from_rows(rows, places)


@dataclass(frozen=True)
class Extractor:
    """Neurons and their model, cut above the highest layer that they need. Made by :meth:`load`."""

    neurons: Neurons
    loaded: Loaded

    @classmethod
    def load(cls, neurons: Neurons, model: Path | str, params: Path | str | Params = "params.yaml") -> Extractor:
        """Load the model: a folder, or a name under ``models:`` of the params file, which is read for a name only.

        Raises
        ------
        NeuronsError
            where the weights are not those of the file's model.
        """
        loaded = _load(neurons, model, params)
        check_model(neurons, loaded)
        try:
            return cls(neurons, cut(loaded, neurons.highest_layer))
        except CutError as error:
            log.warning("%s; it is run whole: the same values at the whole model's cost", error)
            return cls(neurons, _load(neurons, model, params))

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


def extract(loaded: Loaded, layers: np.ndarray, units: np.ndarray, plan: Plan) -> np.ndarray:
    """Values float32 (vectors, neurons) of every vector of a plan, of the neurons in these layers and units."""
    places = [(layer, np.flatnonzero(layers == layer)) for layer in np.unique(layers)]
    out = np.empty((plan.vectors, len(layers)), np.float32)
    for vectors, values in run_plan(loaded, plan, ""):
        for layer, at in places:
            out[vectors[:, None], at] = values[layer][:, units[at]]
    return out


def _load(neurons: Neurons, model: Path | str, params: Path | str | Params) -> Loaded:
    stated = neurons.data["activations"]
    numerics, dtype = neurons.data["numerics"], stated.get("dtype", "float32")
    entry = {key: value for key in ENTRY if (value := neurons.data["model"].get(key)) is not None}
    if Path(model).is_dir():
        if not any((Path(model) / file).is_file() for file in WEIGHTS[entry.get("weights", "safetensors")]):
            entry.pop("weights", None)  # a folder of its own for the task, as one trained here; its hash is compared
        room = {key: stated[key] for key in ("window", "batch_tokens") if key in stated}
        return load_folder(Path(model), neurons.data["model"]["name"], numerics, dtype, **room, **entry)
    held = params if isinstance(params, Params) else load_params(str(params))
    if str(model) not in held.models:
        raise NeuronsError(
            f"model: found {str(model)!r}, neither a folder nor a model of the params file; its models are: "
            f"{', '.join(held.models)}"
        )
    activations = held.activations.model_copy(update={"dtype": dtype})
    used = held.model_copy(update={"numerics": numerics, "activations": activations})
    folder = task_folder(held, Paths(held.benchmark), str(model), neurons.data["task"]["name"])
    return load_model(used, str(model), folder=folder)


def check_model(neurons: Neurons, loaded: Loaded) -> None:
    """Raise NeuronsError where the weights are not those of the file; warn of another configuration or tokenizer."""
    wanted = neurons.data["model"]
    if loaded.facts["model_sha256"] != wanted["sha256"]:
        twin = f"; give the name of the untrained twin of {wanted['untrained']}" if wanted["untrained"] else ""
        raise NeuronsError(
            f"{loaded.folder}: found weights with the sha256 {loaded.facts['model_sha256']}; the neurons belong to "
            f"{wanted['name']} with {wanted['sha256']}, and mean nothing in another model{twin}"
        )
    for key in ("config_sha256", "tokenizer_sha256"):
        if wanted.get(key) not in (None, loaded.facts[key]):
            what = key.removesuffix("_sha256")
            log.warning("%s: its %s differs from that of the benchmark's model; values may differ", loaded.folder, what)


def to_csv(names: Sequence[str], values: np.ndarray) -> Iterator[str]:
    """Lines of a csv: the names, then a line per row with the shortest decimals of the float32."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(names)
    yield out.getvalue()
    for row in values:
        yield ",".join(str(value) for value in row) + "\n"


def write_values(
    neurons: Path | str,
    model: Path | str,
    source: Path,
    output: Path | None,
    *,
    predict: bool = False,
    params: Path | str = "params.yaml",
) -> None:
    """Values of the rows of ``source``, or with ``predict`` their classes or numbers, into a file or the terminal."""
    if output is not None and output.suffix not in (".npy", ".csv"):
        raise NeuronsError(f"--output: found {str(output)!r}; write a name that ends in .npy or .csv")
    held = Neurons.read(neurons)
    texts = read_texts(source)
    extractor = Extractor.load(held, model, params)
    if predict or texts.right is not None:
        extractor.check_unit(texts)
    elif texts.rows is None and held.unit == "token":
        log.warning("the neurons were chosen for tokens; without start and end a value is pooled over the whole text")
    values = extractor.values(texts)
    names = held.column_names if texts.right is not None else held.names
    if predict:
        found = held.predict(values)
        cells = ("class", *(held.classes[i] for i in found)) if held.classes else ("target", *map(str, found))
        lines: Iterator[str] = (f"{line}\n" for line in cells)
    elif output is not None and output.suffix == ".npy":
        np.save(output, values, allow_pickle=False)
        return
    else:
        lines = to_csv(names, values)
    if output is None:
        sys.stdout.writelines(lines)
    else:
        write_text(output, "".join(lines))

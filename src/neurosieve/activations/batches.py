"""From the inputs of a split to the plan of its forward passes: sub-words, windows, batches, and who needs what.

Reads inputs.jsonl and rows.jsonl of a task's split; writes nothing; no torch.

Sub-words. A text is tokenised once, as written and without special tokens. A token of the task is tied to the
sub-words that its characters overlap: all from the first to the last of them. The first and the last are such that hold
a letter of it: a lone mark of white space, which some tokenizers put before a word, is none of the token, and where one
sub-word is taken (first, last) white space within the token is none either. All tokens under no sub-word are named in
one error (DroppedTokens).

Windows (METHOD 3.1). A text of more than ``capacity`` sub-words is cut into windows of exactly ``capacity``, each
begun half a window after the one before; the last is moved back to end with the text. A token (for sequences: a
sub-word) takes its vector from the window in which its nearer edge is farthest from the window's edges, on a tie from
the earlier. A token longer than any window could hold is taken sub-word by sub-word, and counted.

Plan. The windows that anything is taken from, longest first, then by input and place; consecutive ones of one length
make a batch as long as length * number <= batch_tokens, so nothing is padded. It depends on the inputs, the parameters
and the model only, so a batch, and with it the last bits of its result, is the same whatever runs it. All windows of a
long text are equally long and therefore neighbours: at most one text is unfinished between two batches.

Several plans may be run as one (join_plans): a window that several need, or one of them twice, is then run once. The
last bits of a plan stay what they are only for a model whose rows do not depend on their company (Coding.free).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from neurosieve.artifacts import iter_jsonl

log = logging.getLogger(__name__)

ENOUGH = 1024  # sub-words of a batch: with more, products of weights take as long
CHUNK = 256  # texts tokenised at a time
MOST_UNKNOWN = 0.5  # with more of a split's sub-words unknown, its vectors tell hardly more than lengths
MARKS = "▁ĠĊĉč"  # what stands for white space in the pieces of tokenizers: of SentencePiece, and of byte-level ones

# ("inputs" or "rows", index) -> where it stands, for messages
Where = Callable[[str, int], str]


class ActivationsError(RuntimeError):
    """Inputs, a model or a parameter with which no activations can be computed; the message says which and why."""


class DroppedTokens(ActivationsError):
    """Tokens of which a model's tokenizer makes nothing. found: how often each text; first: where it stands."""

    def __init__(self, found: Counter[str], first: dict[str, str]) -> None:
        self.found, self.first = found, first
        shown = [f"{text!r} ({n} row{'s' * (n > 1)}, the first: {first[text]})" for text, n in found.most_common(10)]
        more = f", and {len(found) - 10} more" if len(found) > 10 else ""
        named = ", ".join(json.dumps(text) for text in sorted(found))
        super().__init__(
            f"no sub-word covers {', '.join(shown)}{more}. The model's tokenizer drops such "
            f"text: write `leave_out: [{named}]` for the task under prepare.tasks, and they make no rows for any "
            "model; or use another model"
        )


@dataclass(frozen=True)
class Coding:
    """How a model wants its input.

    tokenizer: set to read special tokens spelled in a text as ordinary text. prefix, suffix: special tokens around
    every window. pad: id that fills a batch (masked). maximum: positions the model has, or None.
    marks: ids of sub-words that are marks of white space alone. unknown: id that stands for whatever the vocabulary
    lacks, or None. padded: values do not depend on padding beside a text, which nothing here adds but fine-tuning does.
    free: a window has the same bits whichever windows are in its batch.
    """

    tokenizer: Tokenizer
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    maximum: int | None
    marks: frozenset[int] = frozenset()
    unknown: int | None = None
    padded: bool = True
    free: bool = False


@dataclass(frozen=True)
class Rows:
    """rows.jsonl of a token task, in the file's order; arrays (rows,) int64. None of them for sequences and pairs."""

    input: np.ndarray
    start: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What is run and where it goes. A part is a stretch of a window that (a share of) one vector is made of.

    ids (sub-words,) int32: all texts, one after another. window_input, window_start, window_stop (windows,) int64:
    in running order; start and stop index ids. batch_bounds (batches + 1,): windows of each batch, equally long.
    part_bounds (windows + 1,): parts of each window. part_vector, part_place, part_start, part_stop (parts,): the
    vector's index, which of its parts it is in the order of the text, and the stretch, counted from the window's
    start. vector_parts, vector_length (vectors,): parts and sub-words of a vector.
    how: first, last, mean or max, how the sub-words of a vector become one.
    """

    ids: np.ndarray
    window_input: np.ndarray
    window_start: np.ndarray
    window_stop: np.ndarray
    batch_bounds: np.ndarray
    part_bounds: np.ndarray
    part_vector: np.ndarray
    part_place: np.ndarray
    part_start: np.ndarray
    part_stop: np.ndarray
    vector_parts: np.ndarray
    vector_length: np.ndarray
    how: str
    facts: dict[str, Any]

    @property
    def vectors(self) -> int:
        return len(self.vector_parts)

    @property
    def batches(self) -> int:
        return len(self.batch_bounds) - 1


def window_starts(length: int, capacity: int) -> np.ndarray:
    """First sub-words of the windows of a text of ``length`` sub-words, (windows,) int64."""
    if length <= capacity:
        return np.zeros(1, np.int64)
    return np.append(np.arange(0, length - capacity, max(1, capacity // 2), dtype=np.int64), length - capacity)


def choose_window(starts: np.ndarray, capacity: int, first: Any, stop: Any) -> np.ndarray:
    """Index of the window in which the nearer edge of the stretch [first, stop) is farthest from the window's edges.

    Windows are equally long, so that is the window whose middle is nearest to the middle of the stretch: it changes
    half-way between two neighbouring middles, and a tie stays with the earlier.
    """
    half_way = starts[:-1] + starts[1:] + capacity - 1  # twice its place, to stay with integers
    return np.searchsorted(half_way, np.asarray(first) + np.asarray(stop) - 1, side="left")


def read_rows(folder: Path) -> Rows | None:
    """Token rows of a split, or None for a task whose vectors belong to whole inputs."""
    columns: dict[str, list[int]] = {"input": [], "start": [], "end": []}
    token = None
    for number, row in enumerate(iter_jsonl(folder / "rows.jsonl"), start=1):
        here = "start" in row
        if token is None:
            token = here
        wanted = ("input", "start", "end") if here else ("input",)
        if here != token or any(type(row.get(key)) is not int for key in wanted):
            raise ActivationsError(
                f"{folder}/rows.jsonl:{number}: found {str(row)[:80]}; every row needs the integers "
                f"{', '.join(('input', 'start', 'end') if token else ('input',))}, all rows alike"
            )
        if token:
            for key in wanted:
                columns[key].append(row[key])
    if token is None:
        raise ActivationsError(f"{folder}/rows.jsonl: no rows; lower the number of packages per split or add sources")
    return Rows(*(np.array(columns[key], np.int64) for key in ("input", "start", "end"))) if token else None


def _inputs(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "inputs.jsonl"
    for number, row in enumerate(iter_jsonl(path)):
        text = row.get("text")
        if row.get("id") != number or not isinstance(text, str):
            raise ActivationsError(
                f"{path}:{number + 1}: found {str(row)[:80]}; expected an input with id {number} and a text"
            )
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise ActivationsError(f"{path}:{number + 1}: the text holds half a surrogate pair; leave such inputs out")
        yield row


def _chunks(inputs: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in inputs:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def white_marks(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of a vocabulary's pieces that are nothing but marks of white space."""
    return frozenset(i for piece, i in tokenizer.get_vocab().items() if piece and not piece.strip(MARKS).strip())


def _spans(
    where: Where, row: dict[str, Any], encoding: Any, rows: Rows, which: np.ndarray, coding: Coding, how: str,
    dropped: list[tuple[str, str]],
) -> np.ndarray:  # fmt: skip
    """First sub-word and the one after the last of each token of an input, (tokens, 2); ``dropped`` gets the others."""
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    first, last = offsets[:, 0], offsets[:, 1]
    something = last > first  # a sub-word of trimmed white space covers no characters
    text = row["text"]
    spans = np.zeros((len(which), 2), np.int64)
    for i, r in enumerate(which):
        start, end = int(rows.start[r]), int(rows.end[r])
        if not 0 <= start < end <= len(text):
            raise ActivationsError(
                f"{where('rows', r)}: found characters {start} to {end}; input {row['id']} has {len(text)}"
            )
        hit = np.flatnonzero(something & (first < end) & (last > start))
        if len(hit) and not text[start:end].isspace():
            # a mark put before a word is tied to the word's first letter
            held = [text[max(start, first[k]) : min(end, last[k])] for k in hit]
            of_token = [
                not (how != "mean" and part.isspace())
                and (encoding.ids[k] not in coding.marks or part.isspace() or not set(MARKS).isdisjoint(part))
                for k, part in zip(hit, held, strict=True)
            ]
            hit = hit[of_token]
        if not len(hit):
            place = f"{where('rows', r)}, {row.get('file', 'no file')}, {row.get('name', 'no name')}"
            dropped.append((text[start:end], place))
            continue
        spans[i] = hit[0], hit[-1] + 1
    return spans


def make_plan(folder: Path, coding: Coding, *, subword: str, pooling: str, window: int, batch_tokens: int) -> Plan:
    """The plan of the split in ``folder``; the other arguments are the params of the same names."""
    return plan_inputs(
        _inputs(folder), read_rows(folder), coding, lambda kind, index: f"{folder}/{kind}.jsonl:{index + 1}",
        subword=subword, pooling=pooling, window=window, batch_tokens=batch_tokens,
    )  # fmt: skip


def plan_inputs(
    inputs: Iterable[dict[str, Any]],
    rows: Rows | None,
    coding: Coding,
    where: Where,
    *,
    subword: str,
    pooling: str,
    window: int,
    batch_tokens: int,
) -> Plan:
    """The plan of inputs (id, text, and for messages file and name) and rows that are in memory.

    Memory: 4 bytes per sub-word, 24 per part (a token; for sequences a window) and some 40 per window.
    """
    specials = len(coding.prefix) + len(coding.suffix)
    how = pooling if rows is None else subword
    cut = _cut(inputs, rows, coding, where, how, _capacity(coding, window))
    windows, parts = _running_order(cut)
    lengths = windows[:, 2] - windows[:, 1] + specials
    bounds = _batch_bounds(lengths, batch_tokens, coding.free)
    vectors = len(rows.input) if rows is not None else cut.inputs
    return Plan(
        ids=cut.ids,
        window_input=windows[:, 0],
        window_start=windows[:, 1],
        window_stop=windows[:, 2],
        batch_bounds=bounds,
        part_bounds=np.searchsorted(parts[:, 0], np.arange(len(windows) + 1)),
        part_vector=parts[:, 1],
        part_place=_places(parts[:, 1]),
        part_start=parts[:, 2],
        part_stop=parts[:, 3],
        vector_parts=np.bincount(parts[:, 1], minlength=vectors),
        vector_length=np.bincount(parts[:, 1], parts[:, 3] - parts[:, 2], vectors).astype(np.int64),
        how=how,
        facts={
            "inputs": cut.inputs,
            "vectors": vectors,
            "subwords": len(cut.ids),
            "windowed_inputs": cut.windowed_inputs,
            "windows": len(windows),
            "window_subwords": int(lengths.sum()),
            "split_tokens": cut.split_tokens,
            "special_ids_in_text": cut.special_ids,
            **({"unknown_subwords": cut.unknown} if cut.unknown else {}),
            "plan_sha256": _digest(cut.ids, windows, parts, np.array(coding.prefix), np.array(coding.suffix)),
        },
    )


def _capacity(coding: Coding, window: int) -> int:
    """Sub-words of a text that a window holds beside the special tokens."""
    specials = len(coding.prefix) + len(coding.suffix)
    longest = min(window, coding.maximum or window)
    if longest - specials < 2:
        raise ActivationsError(
            f"activations.window: a window of {longest} leaves {longest - specials} sub-words beside {specials} "
            f"special tokens; use a model with more positions, or write at least {specials + 2}"
        )
    return longest - specials


@dataclass(frozen=True)
class _Cut:
    """All inputs cut into windows, in their own order.

    ids (sub-words,) int32: all texts, one after another. windows (windows, 3): input, start, stop; these index ids.
    parts (parts, 4): window, vector, start, stop; these count from the window's start. The others are for the facts.
    """

    ids: np.ndarray
    windows: np.ndarray
    parts: np.ndarray
    inputs: int
    windowed_inputs: int
    split_tokens: int
    special_ids: int
    unknown: int


def _cut(
    inputs: Iterable[dict[str, Any]], rows: Rows | None, coding: Coding, where: Where, how: str, capacity: int
) -> _Cut:
    """Every input's sub-words, windows and parts of vectors; errors for what a row needs and its input lacks."""
    # Rows of an input stand together for the loop below; the sort is stable, so vectors keep the file's order.
    order = np.argsort(rows.input, kind="stable") if rows else np.zeros(0, np.int64)
    sorted_input = rows.input[order] if rows else order
    special_ids = np.array(sorted({*coding.prefix, *coding.suffix}), np.int32)

    ids: list[np.ndarray] = []
    windows: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    dropped: list[tuple[str, str]] = []  # tokens without a sub-word, and where they stand
    unknown, strange, first_strange = 0, 0, ""  # unknown sub-words, inputs that have any, and where the first stands
    total = count = n_windows = n_windowed = n_split = n_special = 0
    for chunk in _chunks(inputs):
        encodings = coding.tokenizer.encode_batch([row["text"] for row in chunk], add_special_tokens=False)
        for row, encoding in zip(chunk, encodings, strict=True):
            found = np.array(encoding.ids, np.int32)
            length = len(found)
            if length == 0:
                raise ActivationsError(
                    f"{where('inputs', count)}: no sub-words in the text {row['text'][:40]!r} "
                    f"({row.get('file', 'no file')}, {row.get('name', 'no name')}); leave empty inputs out"
                )
            starts = window_starts(length, capacity)
            stops = np.minimum(starts + capacity, length)
            if rows is None:
                vectors = np.array([count])
                spans = np.array([[0, length]])
            else:
                lo, hi = np.searchsorted(sorted_input, [count, count + 1])
                vectors = order[lo:hi]
                spans = _spans(where, row, encoding, rows, vectors, coding, how, dropped)
            part, split = _parts(starts, capacity, vectors, spans, how, rows is None)
            part[:, 0] += n_windows
            ids.append(found)
            windows.append(np.stack([np.full(len(starts), count), starts + total, stops + total], axis=1))
            parts.append(part)
            n_windowed += len(starts) > 1
            n_special += int(np.isin(found, special_ids).sum())
            if coding.unknown is not None and (lacking := int((found == coding.unknown).sum())):
                unknown, strange = unknown + lacking, strange + 1
                first_strange = first_strange or where("inputs", count)
            n_split += split
            total += length
            n_windows += len(starts)
            count += 1
    if rows is not None and (rows.input.min() < 0 or rows.input.max() >= count):
        bad = int(np.flatnonzero((rows.input < 0) | (rows.input >= count))[0])
        raise ActivationsError(
            f"{where('rows', bad)}: found input {rows.input[bad]}; inputs.jsonl has 0 to {count - 1}"
        )
    if count == 0:
        raise ActivationsError(f"{where('inputs', 0)}: no inputs")
    if dropped:
        raise DroppedTokens(Counter(text for text, _ in dropped), dict(reversed(dropped)))
    if unknown:
        _tell_unknown(unknown, total, strange, first_strange)
    return _Cut(
        np.concatenate(ids), np.concatenate(windows), np.concatenate(parts),
        inputs=count, windowed_inputs=n_windowed, split_tokens=n_split, special_ids=n_special,
        unknown=unknown,
    )  # fmt: skip


def _tell_unknown(number: int, total: int, inputs: int, first: str) -> None:
    """A warning that the tokenizer does not know a part of the texts; an error where that is most of them."""
    found = (
        f"{first}: {number} of {total} sub-words of this split, in {inputs} input{'s' * (inputs > 1)} of "
        "which this is the first, are the tokenizer's sign for what it does not know"
    )
    if number > MOST_UNKNOWN * total:
        raise ActivationsError(f"{found}; give the model its own tokenizer, or use a model that reads such text")
    log.warning("%s: their vectors do not depend on what stands there", found)


def _running_order(cut: _Cut) -> tuple[np.ndarray, np.ndarray]:
    """Windows and parts as they run: windows that anything is taken from, longest first, then by input and place."""
    used = np.zeros(len(cut.windows), bool)
    used[cut.parts[:, 0]] = True
    start, length = cut.windows[:, 1], cut.windows[:, 2] - cut.windows[:, 1]
    running = np.lexsort((start, -length))
    running = running[used[running]]
    place = np.full(len(cut.windows), -1)
    place[running] = np.arange(len(running))
    window = place[cut.parts[:, 0]]
    order = np.lexsort((cut.parts[:, 2], cut.parts[:, 1], window))
    parts = cut.parts[order]
    parts[:, 0] = window[order]
    return cut.windows[running], parts


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<i8").tobytes())
    return digest.hexdigest()


def _parts(
    starts: np.ndarray, capacity: int, vectors: np.ndarray, spans: np.ndarray, how: str, whole: bool
) -> tuple[np.ndarray, int]:
    """Parts (window, vector, start, stop), start and stop within the window, and the number of split tokens.

    ``whole``: the one span is the text itself, whose sub-words choose their windows one by one.
    """
    first, stop = spans[:, 0], spans[:, 1]
    window = choose_window(starts, capacity, first, stop)
    held = (first >= starts[window]) & (stop <= starts[window] + capacity)
    # Which sub-words are needed: the window was chosen by the whole token, its edges being the token's edges.
    lo = stop - 1 if how == "last" else first
    hi = first + 1 if how == "first" else stop
    out = [np.stack([window, vectors, lo - starts[window], hi - starts[window]], axis=1)[held]]
    for i in np.flatnonzero(~held):
        own = choose_window(starts, capacity, np.arange(lo[i], hi[i]), np.arange(lo[i], hi[i]) + 1)
        cuts = np.flatnonzero(np.diff(own, prepend=-1))
        for a, b in zip(cuts, np.append(cuts[1:], len(own)), strict=True):
            w = own[a]
            out.append(np.array([[w, vectors[i], lo[i] + a - starts[w], lo[i] + b - starts[w]]]))
    return np.concatenate(out).astype(np.int64), 0 if whole else int((~held).sum())


def _places(vector: np.ndarray) -> np.ndarray:
    """How many of the parts before each are of the same vector, (parts,) int64."""
    order = np.argsort(vector, kind="stable")
    begins = np.append(True, np.diff(vector[order]) != 0)
    begin = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - begin
    return places


def _batch_bounds(lengths: np.ndarray, batch_tokens: int, free: bool = False) -> np.ndarray:
    """Windows of each batch, (batches + 1,), of one length each, for lengths that never grow.

    Of ENOUGH sub-words at most where windows are ``free`` of their company: more are no faster, and take memory.
    """
    if lengths[0] > batch_tokens:
        raise ActivationsError(
            f"activations.batch_tokens: found {batch_tokens}, less than one window of {lengths[0]} sub-words; "
            f"write at least {lengths[0]}, or a smaller activations.window"
        )
    if free:
        batch_tokens = max(int(lengths[0]), min(batch_tokens, ENOUGH))
    bounds = [0]
    while bounds[-1] < len(lengths):
        length = lengths[bounds[-1]]
        alike = int(np.searchsorted(-lengths, -length, side="right"))
        # a lone sub-word is the one length at which company was seen to change bits
        bounds.append(min(alike, bounds[-1] + (int(batch_tokens // length) if length > 1 else 1)))
    return np.array(bounds, np.int64)


def join_plans(plans: Sequence[Plan], coding: Coding, batch_tokens: int) -> Plan:
    """One plan for the windows of several, each distinct one once; vectors are those of the plans one after another.

    The plans must agree in ``how``. Windows run longest first, then in the order in which the plans have them.
    """
    specials = len(coding.prefix) + len(coding.suffix)
    number: dict[bytes, int] = {}  # of each distinct window, by its ids
    ids: list[np.ndarray] = []
    lengths: list[int] = []
    parts: list[np.ndarray] = []
    vectors = 0
    for plan in plans:
        windows = np.empty(len(plan.window_start), np.int64)
        for i, (start, stop) in enumerate(zip(plan.window_start.tolist(), plan.window_stop.tolist(), strict=True)):
            own = plan.ids[start:stop]
            key = hashlib.blake2b(own.tobytes(), digest_size=16).digest()
            windows[i] = number.setdefault(key, len(number))
            if windows[i] == len(lengths):
                ids.append(own)
                lengths.append(len(own))
        window = np.repeat(windows, np.diff(plan.part_bounds))
        columns = (plan.part_vector + vectors, plan.part_place, plan.part_start, plan.part_stop)
        parts.append(np.stack([window, *columns], axis=1))
        vectors += plan.vectors
    length = np.array(lengths, np.int64)
    running = np.argsort(-length, kind="stable")
    place = np.empty(len(running), np.int64)
    place[running] = np.arange(len(running))
    part = np.concatenate(parts)
    part[:, 0] = place[part[:, 0]]
    part = part[np.lexsort((part[:, 2], part[:, 1], part[:, 0]))]
    stop = np.cumsum(length)
    return Plan(
        ids=np.concatenate(ids),
        window_input=running,
        window_start=(stop - length)[running],
        window_stop=stop[running],
        batch_bounds=_batch_bounds(length[running] + specials, batch_tokens, coding.free),
        part_bounds=np.searchsorted(part[:, 0], np.arange(len(running) + 1)),
        part_vector=part[:, 1],
        part_place=part[:, 2],
        part_start=part[:, 3],
        part_stop=part[:, 4],
        vector_parts=np.concatenate([plan.vector_parts for plan in plans]),
        vector_length=np.concatenate([plan.vector_length for plan in plans]),
        how=plans[0].how,
        facts={},
    )

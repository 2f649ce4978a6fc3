"""Activations read back from disk, as the matrix that a probe takes: layers of a dump, and the file NeuroX writes.

The same numbers lie in both: a file a layer as the dump writes it, and NeuroX's HDF5 file by its own writer. Both are
in the page cache, so that no disk is measured. The floor is a copy of a matrix of that size.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speed import neurox_peer
from speed.common import Options, Row, fresh, interleaved, peak

LAYERS, WORDS_A_LINE = 13, 10


def write(folder: str, tokens: int, width: int) -> dict[str, Any]:
    """(tokens, LAYERS * width) float32 as x.npy, and as the artifacts of a dump of one task below build/."""
    import numpy as np

    from neurosieve.artifacts import Paths

    place = Path(folder)
    X = np.random.default_rng(0).standard_normal((tokens, LAYERS * width), np.float32)
    np.save(place / "x.npy", X)
    paths = Paths("speed", place / "build")
    dump, card = paths.activations("model", "task", "train"), paths.task("task") / "card"
    for made in (dump, card, paths.task("task") / "train"):
        made.mkdir(parents=True)
    for layer in range(LAYERS):
        np.save(dump / f"layer_{layer:02d}.npy", X[:, layer * width : (layer + 1) * width])
    (card / "card.json").write_text('{"unit": "token", "classes": ["a", "b"]}\n', encoding="utf-8")
    (card.parent / "train" / "inputs.jsonl").write_text('{"file": "f"}\n', encoding="utf-8")
    (card.parent / "train" / "rows.jsonl").write_text('{"input": 0, "label": 0}\n' * tokens, encoding="utf-8")
    return {"mb": X.nbytes / 2**20}


def read(folder: str, width: int) -> dict[str, Any]:
    """Features.load beside a copy of what it gives; MB above the start. The numbers are those that were written."""
    import numpy as np

    from neurosieve.artifacts import Paths
    from neurosieve.probes.features import Features

    place = Path(folder)
    features = Features(Paths("speed", place / "build"), "model", "task", "token", ["a", "b"], (), LAYERS, width)
    features.rows("train")  # of the task, not of the dump
    with peak() as memory:
        X = features.load("train")
    equal = float(np.array_equal(X, np.load(place / "x.npy", mmap_mode="r")))
    timed = interleaved(lambda: features.load("train"), X.copy)
    return {**timed.facts, "above": memory.above, "equal": equal}


def same(of_neurox: str, folder: str) -> bool:
    import numpy as np

    return bool(np.array_equal(np.load(of_neurox, mmap_mode="r"), np.load(Path(folder, "x.npy"), mmap_mode="r")))


def rows(options: Options) -> Iterator[Row]:
    tokens, width = options.size((20_000, 768), (2000, 32))
    place = options.work
    mb = fresh(write, "fast", folder=place, tokens=tokens, width=width).value["mb"]
    found = fresh(read, "fast", folder=place, width=width).value
    work = f"activations read back, {mb:.0f} MB"
    facts = {"numerics": "fast", "partly": options.partly}
    own = found["ours"]
    yield Row(work, own, found["against"], "CPU s", "a copy in memory", moved=found["moved"], **facts)
    stored = neurox_peer.run(
        options, "store", X=place / "x.npy", layers=LAYERS, words=WORDS_A_LINE, output=place / "a.hdf5"
    )
    theirs: dict[str, Any] = {}
    equal = None
    if stored:
        loaded = neurox_peer.run(options, "load", file=place / "a.hdf5", output=place / "theirs.npy")
        assert loaded is not None
        theirs = loaded.value
        equal = float(fresh(same, "fast", of_neurox=place / "theirs.npy", folder=place).value) * found["equal"]
    note = neurox_peer.note(options)
    yield Row(work, own, theirs.get("seconds"), "CPU s", "NeuroX", reach=1, note=note, **facts)
    yield Row(f"{work}: memory", found["above"], theirs.get("above"), "MB", "NeuroX", reach=1, note=note, **facts)
    yield Row(f"{work}: same numbers", equal, 1, "equal", "NeuroX", reach=1, note=note, **facts)

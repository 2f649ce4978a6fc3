"""A dump at RoBERTa-base's size: beside bare forward passes of the same windows, and beside NeuroX.

The model has random weights and the tokenizer of neurosieve-base. Corpora: 500 short lines, 50 long ones, and 15 texts
as long as functions are, all of words between single spaces, which is what NeuroX reads, so that both make the same
vectors: the mean of a word's sub-words in each of 13 layers. The floor is the stock model of transformers over the
windows of the plan, those of one length together and nothing padded, in the same numerics: no vectors are taken there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speed import neurox_peer, sized
from speed.common import Options, Row, fresh, interleaved, peak

LAYERS, WIDTH, WINDOW, BATCH = 13, 768, 512, 2048
MOST_MB, PADDING, EQUAL = 200, 1.05, 1e-5
# lines, words in a line; times better than NeuroX in float32 and in bfloat16, None where it is no row
CORPORA = {"short lines": (500, (5, 11), (2.6, 4.9)), "long lines": (50, (60, 66), (1.15, 2.2)),
           "whole functions": (15, (60, 300), None)}  # fmt: skip
GROWING = (100, 400, 1600)  # short lines, for memory
# Turns, and tries: the floor of portable, without AVX2, takes three times as long, and so does bfloat16 on a processor
# that has no instructions for it, whose floor is no row.
AFFORDED = {"fast": (5, 2), "portable": (3, 1), "bfloat16": (1, 1)}


def make_corpus(folder: str, lines: int, words: list[int]) -> dict[str, int]:
    """corpus.in, a line for each text, and the same as inputs.jsonl and rows.jsonl of a split; returns `words`."""
    place, rng = Path(folder), random.Random(2)
    place.mkdir(parents=True)
    kinds = [tag for line in sized.LINES for tag in line.split()]
    texts = [[rng.choice(sized.WORDS[rng.choice(kinds)]) for _ in range(rng.randint(*words))] for _ in range(lines)]
    rows = []
    for number, text in enumerate(texts):
        at = 0
        for word in text:
            rows.append({"input": number, "start": at, "end": at + len(word)})
            at += len(word) + 1
    inputs = [{"id": number, "text": " ".join(text)} for number, text in enumerate(texts)]
    (place / "corpus.in").write_text("".join(f"{' '.join(text)}\n" for text in texts), encoding="utf-8")
    for name, found in (("inputs", inputs), ("rows", rows)):
        (place / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in found), encoding="utf-8")
    return {"words": len(rows)}


def make_model(folder: str, layers: int, width: int) -> None:
    sized.save_model(Path(folder), layers, width)


def dump(
    model: str, corpus: str, output: str, setting: str, dtype: str = "float32", repeat: int = 5, tries: int = 2
) -> dict[str, Any]:
    """The dump of a corpus beside its floor (``repeat`` 0: without one).

    Returns seconds (`ours`, `against`, `moved`), MB (`mb` above the loaded model, `most` in all), `subwords`, and
    `computed`, which counts padding too. The vectors stay in output, a file a layer.
    """
    import inspect

    import numpy as np
    import torch
    from transformers import AutoModel

    from neurosieve.activations import dump as dumping
    from neurosieve.activations.batches import make_plan
    from neurosieve.activations.models import load_folder

    torch.set_num_threads(1)
    loaded = load_folder(Path(model), "sized", setting, dtype, WINDOW, BATCH)
    plan = make_plan(Path(corpus), loaded.coding, subword="mean", pooling="mean", window=WINDOW, batch_tokens=BATCH)
    place = Path(output)
    place.mkdir(parents=True)
    files = [place / f"layer_{layer:02d}.npy" for layer in range(loaded.layers)]
    # up to version 5 a plan was run alone
    together = "parts" in inspect.signature(dumping.write_layers).parameters
    parts: tuple[Any, ...] = ([plan], [files]) if together else (files,)

    def ours() -> None:
        for file in files:
            file.unlink(missing_ok=True)
        dumping.write_layers(loaded, plan, *parts, "dump")

    with peak() as memory:
        ours()
    lengths = plan.window_stop - plan.window_start + len(loaded.coding.prefix) + len(loaded.coding.suffix)
    computed = sum(
        int(lengths[a:b].max() * (b - a)) for a, b in zip(plan.batch_bounds, plan.batch_bounds[1:], strict=False)
    )
    found = {"mb": memory.above, "most": memory.most, "subwords": int(lengths.sum()), "computed": computed}
    if not repeat:
        return found
    bare = AutoModel.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
    batches: list[torch.Tensor] = []
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        for at in range(0, len(alike), max(1, BATCH // length)):
            windows = alike[at : at + max(1, BATCH // length)]
            ids = [
                [*loaded.coding.prefix, *plan.ids[plan.window_start[w] : plan.window_stop[w]], *loaded.coding.suffix]
                for w in windows
            ]
            batches.append(torch.tensor(np.array(ids, np.int64)))

    def floor() -> None:
        with torch.inference_mode():
            for ids in batches:
                bare(ids)

    return found | interleaved(ours, floor, repeat, tries).facts


def difference(dumped: str, theirs: str) -> dict[str, float]:
    """Largest difference of any value, and the root mean square of all values, of a dump and an array of NeuroX."""
    import numpy as np

    layers = [np.load(file, mmap_mode="r") for file in sorted(Path(dumped).glob("layer_*.npy"))]
    if Path(theirs).is_dir():
        other = [np.load(file, mmap_mode="r") for file in sorted(Path(theirs).glob("layer_*.npy"))]
    else:
        whole = np.load(theirs, mmap_mode="r")
        other = list(whole.reshape(len(whole), len(layers), -1).swapaxes(0, 1))
    largest = max(float(np.abs(a - b).max()) for a, b in zip(layers, other, strict=True))
    square = sum(float(np.square(layer).mean()) for layer in layers) / len(layers)
    return {"largest": largest, "size": square**0.5}


def shared(model: str, corpora: list[str], output: str) -> dict[str, float]:
    """Dumps of several corpora as one, and of each alone: windows that ran and that differ, files of the same bytes."""
    import torch

    from neurosieve.activations.batches import join_plans, make_plan
    from neurosieve.activations.dump import write_layers
    from neurosieve.activations.models import load_folder

    torch.set_num_threads(1)
    loaded = load_folder(Path(model), "sized", "portable", "float32", WINDOW, BATCH)
    settings: dict[str, Any] = {"subword": "mean", "pooling": "mean", "window": WINDOW, "batch_tokens": BATCH}
    plans = [make_plan(Path(corpus), loaded.coding, **settings) for corpus in corpora]
    files = [[Path(output, f"{n}-{layer}.npy") for layer in range(loaded.layers)] for n in range(2 * len(plans))]
    Path(output).mkdir(parents=True)
    together = join_plans(plans, loaded.coding, BATCH) if loaded.coding.free else None
    if together is not None:
        write_layers(loaded, together, plans, files[: len(plans)], "together")
    same = 0
    for number, plan in enumerate(plans):
        write_layers(loaded, plan, [plan], [files[len(plans) + number]], "alone")
        pairs = zip(files[number], files[len(plans) + number], strict=True)
        same += sum(a.exists() and a.read_bytes() == b.read_bytes() for a, b in pairs)
    windows = [
        plan.ids[a:b].tobytes() for plan in plans for a, b in zip(plan.window_start, plan.window_stop, strict=True)
    ]
    ran = len(windows) if together is None else len(together.window_start)
    return {"ran": ran, "distinct": len(set(windows)), "all": len(windows), "same": same / (len(plans) * loaded.layers)}


def rows(options: Options) -> Iterator[Row]:
    layers, width, shrink = options.size((LAYERS, WIDTH, 1), (3, 64, 10))
    model, note = options.work / "model", neurox_peer.note(options)
    fresh(make_model, "fast", folder=model, layers=layers, width=width)
    partly: dict[str, Any] = {"partly": options.partly}
    for kind, (lines, words, reach) in CORPORA.items():
        corpus = options.work / kind.replace(" ", "-")
        count = fresh(make_corpus, "fast", folder=corpus, lines=lines // shrink, words=words).value["words"]
        work = f"dump, base size, {lines // shrink} {kind}"
        theirs = None
        if reach is not None:
            theirs = neurox_peer.run(
                options, "extract", model=model, corpus=corpus / "corpus.in", output=corpus / "a.hdf5"
            )
            if theirs:
                neurox_peer.run(options, "load", file=corpus / "a.hdf5", output=corpus / "theirs.npy")
        pace = theirs and count / theirs.value["seconds"]
        for numerics in options.numerics:
            output = corpus / numerics
            given = {"model": model, "corpus": corpus, "setting": numerics}
            repeat, tries = AFFORDED[numerics]
            found = fresh(dump, numerics, output=output, repeat=repeat, tries=tries, **given).value
            facts: dict[str, Any] = {"numerics": numerics, **partly}
            yield Row(
                work, found["ours"], found["against"], "CPU s", "bare forward", 0.95, moved=found["moved"], **facts
            )
            if numerics == options.numerics[0]:
                yield Row(
                    f"{work}: padding",
                    found["computed"],
                    found["subwords"],
                    "sub-words",
                    "unpadded",
                    1 / PADDING,
                    **partly,
                )
            if reach is None:
                continue
            yield Row(work, count / found["ours"], pace, "tokens/CPU s", "NeuroX", reach[0], note=note, **facts)
            apart = theirs and fresh(difference, "fast", dumped=output, theirs=corpus / "theirs.npy").value
            yield Row(
                f"{work}: largest difference", apart and apart["largest"], EQUAL, "error", "allowed to NeuroX's", 1,
                note=note, **facts,
            )  # fmt: skip
        if reach is not None and "fast" in options.numerics:
            output, given["setting"] = corpus / "bfloat16", "fast"
            repeat, tries = AFFORDED["bfloat16"]
            found = fresh(dump, "fast", output=output, dtype="bfloat16", repeat=repeat, tries=tries, **given).value
            apart = fresh(difference, "fast", dumped=corpus / "fast", theirs=output).value
            error = f"differs from float32 by up to {apart['largest']:.2g}, where values are about {apart['size']:.2g}"
            yield Row(
                f"{work}, bfloat16", count / found["ours"], pace, "tokens/CPU s", "NeuroX", reach[1], "fast",
                note="; ".join(filter(None, [error, note])), **partly,
            )  # fmt: skip
    if "portable" in options.numerics:
        first, second = (options.work / name for name in ("first-task", "second-task"))
        lines, words, _ = CORPORA["short lines"]
        for place, count in (
            (first, lines // 5 // shrink),
            (second, lines // 4 // shrink),
        ):  # the first is in the second
            fresh(make_corpus, "fast", folder=place, lines=count, words=words)
        got = fresh(shared, "portable", model=model, corpora=[str(first), str(second)], output=options.work / "shared")
        found, facts = got.value, {"numerics": "portable", **partly}
        work = "two tasks that share texts, windows run"
        told = f"{found['all']} windows of both tasks"
        yield Row(work, found["ran"], found["distinct"], "passes", "that differ", 1, note=told, **facts)
        yield Row(f"{work}: files as of each alone", found["same"], 1.0, "equal", "bytes", 1, **facts)
    for lines in (count // shrink for count in GROWING):
        corpus = options.work / f"{lines}-lines"
        fresh(make_corpus, "fast", folder=corpus, lines=lines, words=CORPORA["short lines"][1])
        found = fresh(
            dump, "portable", model=model, corpus=corpus, output=corpus / "dump", setting="portable", repeat=0
        )
        work = f"dump, base size, {lines:,} short lines: memory"
        facts = {"numerics": "portable", **partly}
        yield Row(f"{work} above the loaded model", found.value["mb"], MOST_MB, "MB", "limit", 1, **facts)
        theirs = neurox_peer.run(options, "extract", model=model, corpus=corpus / "corpus.in", output=corpus / "a.hdf5")
        yield Row(
            f"{work} in all",
            found.value["most"],
            theirs and theirs.value["most"],
            "MB",
            "NeuroX",
            1,
            note=note,
            **facts,
        )

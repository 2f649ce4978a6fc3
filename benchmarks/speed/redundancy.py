"""Redundancy at published size: clusters of 9,984 neurons, and CKA of 13 layers, from files, beside their floors.

Clusters: the floor is half of a matrix product of all tokens (each pair of neurons once, at the speed of the whole
product of a piece of them) and one average linkage by scipy; of both halves of the rows beside all of them, three
linkages. CKA: half of the Gram matrices of each batch in float64, at the speed of the whole product. Both products are
numpy's, by the same threads and pins. NeuroX clusters the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speed import neurox_peer
from speed.common import Options, Row, fresh, growth, interleaved, peak

LAYERS, WIDTH = 13, 768
TOKENS = (20_000, 50_000, 100_000)
SHARES = (1, 2, 4, 8)  # parts of the width, for growth with neurons
THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
AT = 0.5  # the threshold at which partitions are compared
PIECE = 4096  # tokens of the product that is the floor
BATCH = 5000  # tokens of a batch of CKA, as published
LIMIT = 1200  # MB above what the imports take


def make(folder: str, tokens: int, width: int) -> None:
    """Layers of that many tokens: mixtures of heavy-tailed sources with noise of many strengths."""
    import numpy as np

    place = Path(folder)
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    count = max(10, width // 3)
    files = [
        np.lib.format.open_memmap(place / f"{layer:02d}.npy", "w+", np.float32, (tokens, width))
        for layer in range(LAYERS)
    ]
    mixing = [rng.standard_normal((count, width), np.float32) * (rng.random((count, width)) < 0.05) for _ in files]
    noise = [rng.random(width, np.float32) for _ in files]
    for start in range(0, tokens, 2000):
        some = min(2000, tokens - start)
        sources = rng.standard_t(4, (some, count)).astype(np.float32)
        for file, mix, strength in zip(files, mixing, noise, strict=True):
            file[start : start + some] = sources @ mix + strength * rng.standard_normal((some, width), np.float32)


def joined(folder: str, tokens: int, output: str) -> None:
    """The first tokens of all layers as one matrix (tokens, neurons)."""
    import numpy as np

    files = [np.load(path, mmap_mode="r")[:tokens] for path in sorted(Path(folder).glob("*.npy"))]
    np.save(output, np.concatenate(files, axis=1))


def _half_product(tokens: int, neurons: int) -> tuple[Any, float]:
    """A product of a piece of the tokens and neurons, and by how many times its time half of all of them takes."""
    import numpy as np

    rows, columns = min(PIECE, tokens), min(1024, neurons)
    z = np.random.default_rng(1).standard_normal((rows, neurons), np.float32)
    return lambda: z.T @ z[:, :columns], tokens / rows * neurons / columns / 2


def clusters(
    folder: str, tokens: int, repeat: int, width: int, halves: bool = False, labels: str = ""
) -> dict[str, Any]:
    """All neurons clustered at all thresholds, from files: seconds of ours and of the floor, MB above the imports."""
    import statistics
    import time

    import numpy as np
    from scipy.cluster.hierarchy import linkage

    from neurosieve.redundancy import Sample, cluster_halves, cluster_neurons

    files: Any = sorted(Path(folder).glob("*.npy"))
    first = np.load(files[0], mmap_mode="r")
    whole = first.shape == (tokens, width)
    if not whole:  # a part of each file, mapped
        files = [np.load(path, mmap_mode="r")[:tokens, :width] for path in files]
    second = np.arange(tokens) // 500 % 2 == 1
    parts = [np.flatnonzero(~second), np.flatnonzero(second)]

    def ours() -> Any:
        if halves:
            return cluster_halves(Sample.of(files, parts), THRESHOLDS)[0]
        return cluster_neurons(Sample.of(files), THRESHOLDS)

    with peak() as memory:
        found = ours()
    if labels:
        np.save(labels, found.labels[THRESHOLDS.index(AT)])
    piece, times = _half_product(tokens, LAYERS * width)
    timed = interleaved(ours, piece, repeat)
    distances = 1 - np.abs(np.random.default_rng(2).uniform(-1, 1, LAYERS * width * (LAYERS * width - 1) // 2))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        linkage(distances, "average")
        seconds.append(time.process_time() - start)
    floor = timed.floor * times + (3 if halves else 1) * statistics.median(seconds)
    return {"ours": timed.ours, "against": floor, "moved": timed.moved, "mb": memory.above if whole else None}


def cka(folder: str, tokens: int, batch: int) -> dict[str, Any]:
    """CKA of all layers, all tokens once: seconds of ours and of half of the Gram matrices in float64; MB above."""
    import numpy as np

    from neurosieve.redundancy import Sample
    from neurosieve.redundancy.cka import layer_cka

    sample = Sample.of(sorted(Path(folder).glob("*.npy")), [np.arange(tokens)])
    width = sample.constant.shape[1]
    x = np.random.default_rng(1).standard_normal((min(batch, 1024), width))
    all_rows = np.random.default_rng(2).standard_normal((batch, width))
    times = batch / len(x) / 2 * LAYERS * (tokens // batch)

    def ours() -> Any:
        rng = np.random.default_rng(0)
        return layer_cka(sample.varying(), batch, tokens // batch, rng, sample.largest())

    with peak() as memory:
        ours()
    timed = interleaved(ours, lambda: x @ all_rows.T, 1)
    return {"ours": timed.ours, "against": timed.floor * times, "moved": timed.moved, "mb": memory.above}


def same_clusters(ours: str, theirs: str) -> float:
    """Share of the neurons that are in a cluster of the same neurons."""
    import numpy as np

    a, b = np.load(ours), np.load(theirs)
    _, pair, size = np.unique(np.stack([a, b]), axis=1, return_inverse=True, return_counts=True)
    together = size[pair.ravel()]
    return float(np.mean((together == np.bincount(a)[a]) & (together == np.unique(b, return_counts=True)[1][
        np.unique(b, return_inverse=True)[1]])))  # fmt: skip


def rows(options: Options) -> Iterator[Row]:
    width, sizes = options.size((WIDTH, TOKENS), (48, (1000, 2000)))
    folder, most = options.work / "layers", sizes[-1]
    fresh(make, "fast", folder=folder, tokens=most, width=width)
    neurons = LAYERS * width
    for numerics in options.numerics:
        facts: dict[str, Any] = {"numerics": numerics, "partly": options.partly}
        costs = []
        for tokens in sizes:
            got = fresh(
                clusters,
                numerics,
                folder=folder,
                tokens=tokens,
                repeat=1,
                width=width,
                labels=options.work / "ours.npy",
            ).value
            costs.append(got["ours"])
            yield Row(
                f"clusters, {neurons:,} neurons x {tokens:,} tokens", got["ours"], got["against"], "CPU s",
                "half product and linkage", 0.85 if tokens == most else None, moved=got["moved"], **facts,
            )  # fmt: skip
            if tokens == sizes[0] and numerics == "fast":
                yield from _beside_neurox(options, folder, tokens, neurons, got["ours"])
        yield growth(
            f"clusters, {neurons:,} neurons, tokens x1 to x{most // sizes[0]}", sizes, costs, 1, "CPU s", **facts
        )
        yield Row(
            f"clusters, {neurons:,} neurons x {most:,} tokens, memory above imports", got["mb"], LIMIT, "MB", "limit",
            1, **facts,
        )  # fmt: skip
        got = fresh(clusters, numerics, folder=folder, tokens=most, repeat=1, width=width, halves=True).value
        yield Row(
            f"clusters of all rows and of both halves, {neurons:,} neurons x {most:,} tokens", got["ours"],
            got["against"], "CPU s", "half product and three linkages", 0.85, moved=got["moved"], **facts,
        )  # fmt: skip
        yield Row("the same, memory above imports", got["mb"], LIMIT, "MB", "limit", 1, **facts)
        some = [width // share for share in reversed(SHARES)]
        costs = [
            fresh(clusters, numerics, folder=folder, tokens=min(8000, most), repeat=1, width=each).value["ours"]
            for each in some
        ]
        yield growth(
            f"clusters, {min(8000, most):,} tokens, neurons x1 to x{SHARES[-1]}", [LAYERS * each for each in some],
            costs, 2, "CPU s", **facts,
        )  # fmt: skip
        batch = min(BATCH, sizes[0] // 2)
        by_tokens = [fresh(cka, numerics, folder=folder, tokens=tokens, batch=batch).value for tokens in sizes]
        yield Row(
            f"CKA, {LAYERS} layers of {width} x {most:,} tokens, batches of {batch:,}", by_tokens[-1]["ours"],
            by_tokens[-1]["against"], "CPU s", "half of the Gram matrices, float64", 0.5, moved=by_tokens[-1]["moved"],
            **facts,
        )  # fmt: skip
        yield Row("the same, memory above imports", by_tokens[-1]["mb"], LIMIT, "MB", "limit", 1, **facts)
        yield growth(
            f"CKA, {LAYERS} layers, tokens x1 to x{most // sizes[0]}", sizes, [each["ours"] for each in by_tokens], 1,
            "CPU s", **facts,
        )  # fmt: skip


def _beside_neurox(options: Options, folder: Path, tokens: int, neurons: int, ours: float) -> Iterator[Row]:
    matrix, theirs = options.work / "x.npy", options.work / "theirs.npy"
    fresh(joined, "fast", folder=folder, tokens=tokens, output=matrix)
    got = neurox_peer.run(options, "clusters", X=matrix, threshold=AT, output=theirs)
    work = f"clusters, {neurons:,} neurons x {tokens:,} tokens"
    facts: dict[str, Any] = {
        "peer": "NeuroX", "numerics": "fast", "partly": options.partly, "note": neurox_peer.note(options),
    }  # fmt: skip
    yield Row(work, ours, None if got is None else got.value["seconds"], "CPU s", **facts)
    equal = None
    if got is not None:
        equal = fresh(same_clusters, "fast", ours=options.work / "ours.npy", theirs=theirs).value
    yield Row(f"{work}, the same clusters", equal, 1.0, "equal", reach=1, **facts)
    matrix.unlink()

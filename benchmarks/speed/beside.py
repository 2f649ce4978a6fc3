"""Two rows of a benchmark at once on two cores: what one job loses to another that computes beside it.

Each process computes all jobs of a made-up row, dump to search, on one thread. Alone, two at once, alone again. A bare
matrix product says what the machine itself takes from two, by its caches, its memory and its clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from speed import sized
from speed.common import Options, Row, alone_and_beside, fresh


def product(size: int, times: int) -> dict[str, float]:
    """Wall seconds of products of two float32 squares."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((size, size), np.float32)
    a @ a
    start = time.perf_counter()
    for _ in range(times):
        a @ a
    return {"wall": time.perf_counter() - start}


def rows(options: Options) -> Iterator[Row]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    partly = options.partly or ("" if cores > 1 else "one core")
    tokens, layers, width = options.size((4000, 7, 256), (400, 2, 64))
    for numerics in options.numerics:
        warm, place = (options.work / f"{name}-{numerics}" for name in ("warm", "row"))
        facts: dict[str, Any] = {"numerics": numerics, "partly": partly, "unit": "s", "peer": "alone"}
        bare = alone_and_beside(product, numerics, size=options.size(3000, 300), times=5)
        lost = bare.floor / bare.ours
        yield Row("a bare float32 product, two at once", **bare.facts, **facts)
        fresh(sized.make, "fast", folder=warm, setting=numerics, tokens=400, layers=2, width=64)
        fresh(sized.make, "fast", folder=place, setting=numerics, tokens=tokens, layers=layers, width=width)
        repeat, tries = options.size((3, 2), (1, 1))
        timed = alone_and_beside(sized.jobs, numerics, repeat=repeat, tries=tries, folder=place, warm=warm)
        note = f"the bare product keeps {lost:.2f} of its speed"
        work = f"all jobs of a row, {tokens:,} tokens x {layers * width:,} neurons, two at once"
        yield Row(work, **timed.facts, **facts, reach=0.95, note=note)

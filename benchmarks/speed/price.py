"""What `numerics: portable` costs: the bare work that all else is made of, under the pins and without them.

The two settings cannot share a process, so that processes of either take turns, fast first and last; medians. Of whole
phases the price is that of their rows, which their own parts measure in both settings.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from speed.common import Options, Row, fresh

TURNS, QUICK_TURNS = 3, 1


def products(size: int, repeat: int = 5) -> dict[str, float]:
    """Median CPU seconds of a product of two float32 squares, by numpy and by torch, and of one in float64."""
    import numpy as np
    import torch

    a, b = (np.random.default_rng(i).standard_normal((size, size), np.float32) for i in (0, 1))
    wide, of_torch = a.astype(np.float64), (torch.from_numpy(a), torch.from_numpy(b))
    return {
        "float32 product, numpy": _median(lambda: a @ b, repeat),
        "float64 product, numpy": _median(lambda: wide @ wide, repeat),
        "float32 product, torch": _median(lambda: of_torch[0] @ of_torch[1], repeat),
    }


def forward(subwords: int, layers: int, width: int, repeat: int = 5) -> dict[str, float]:
    """Median CPU seconds of a forward pass of RoBERTa's shape over one text; weights are random."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=1000, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=514, type_vocab_size=1,
    )  # fmt: skip
    model = RobertaModel(config, add_pooling_layer=False).eval()
    ids = torch.randint(3, 1000, (1, subwords))
    with torch.inference_mode():
        model(ids)
        return {f"forward of {layers} layers of {width}, {subwords} sub-words": _median(lambda: model(ids), repeat)}


def _median(work: Any, repeat: int) -> float:
    import time

    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def rows(options: Options) -> Iterator[Row]:
    if len(options.numerics) < 2:
        raise ValueError("a price needs both: run it with `--numerics portable fast`, which is the default")
    sizes = options.size((2000, 256, 12, 768), (300, 32, 2, 128))
    for function, given in (
        (products, {"size": sizes[0]}),
        (forward, {"subwords": sizes[1], "layers": sizes[2], "width": sizes[3]}),
    ):
        found: dict[str, list[dict[str, float]]] = {"portable": [], "fast": []}
        for turn in range(2 * options.size(TURNS, QUICK_TURNS) + 1):
            numerics = ("fast", "portable")[turn % 2]
            found[numerics].append(fresh(function, numerics, **given).value)
        for work in found["fast"][0]:
            portable, fast = ([each[work] for each in found[n]] for n in ("portable", "fast"))
            middle = statistics.median(fast)
            moved = (max(fast) - min(fast)) / middle
            yield Row(
                work, statistics.median(portable), middle, "CPU s", "fast", numerics="portable", moved=moved,
                partly=options.partly,
            )  # fmt: skip

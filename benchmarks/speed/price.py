"""What `numerics: portable` costs: the bare work that all else is made of, under the pins and without them.

The two settings cannot share a process, so that processes of either take turns, fast first and last; medians. Of whole
phases the price is that of their rows, which their own parts measure in both settings.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from speed.common import Options, Row, fresh, in_turn


def product(size: int, dtype: str, of: str) -> float:
    """Median CPU seconds of five products of two squares, ``of`` numpy or torch."""
    import numpy as np

    a, b = (np.random.default_rng(i).standard_normal((size, size)).astype(dtype) for i in (0, 1))
    if of == "torch":
        import torch

        of_torch = torch.from_numpy(a), torch.from_numpy(b)
        return _median(lambda: of_torch[0] @ of_torch[1])
    return _median(lambda: a @ b)


def forward(subwords: int, layers: int, width: int) -> float:
    """Median CPU seconds of five forward passes of RoBERTa's shape over one text; weights are random."""
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
        return _median(lambda: model(ids))


def _median(work: Callable[[], object], repeat: int = 5) -> float:
    work()
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def rows(options: Options) -> Iterator[Row]:
    if len(options.numerics) < 2:
        raise ValueError("a price needs both: run it with `--numerics portable fast`, which is the default")
    size = options.size(2000, 300)
    subwords, layers, width = options.size((256, 12, 768), (32, 2, 128))
    bare: dict[str, tuple[Callable[..., float], dict[str, Any]]] = {
        f"{dtype} product of {size} x {size}, {of}": (product, {"size": size, "dtype": dtype, "of": of})
        for dtype, of in (("float32", "numpy"), ("float64", "numpy"), ("float32", "torch"))
    }
    shape = {"subwords": subwords, "layers": layers, "width": width}
    bare[f"forward of {layers} layers of {width}, {subwords} sub-words"] = forward, shape
    for work, (function, given) in bare.items():
        portable, fast = (partial(_seconds, function, numerics, given) for numerics in ("portable", "fast"))
        timed = in_turn(portable, fast, *options.size((3, 2), (1, 1)))
        yield Row(work, unit="CPU s", peer="fast", numerics="portable", partly=options.partly, **timed.facts)


def _seconds(function: Callable[..., float], numerics: str, given: dict[str, Any]) -> float:
    return float(fresh(function, numerics, **given).value)

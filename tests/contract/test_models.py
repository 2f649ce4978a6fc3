"""Every kind of model with every way of making vectors, against a slow reference that shares no code with the phase.

The reference runs one window at a time through plain transformers, finds windows by trying all of them, and pools
with loops. A new architecture is covered by adding it to tests/tiny_models.py.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel

from neurosieve.activations import dump_activations
from neurosieve.artifacts import Paths, Writer, check_files, read_manifest
from neurosieve.config import SPLITS, Activations, Model

POSITIONS, TWIN_SEED = 40, 5
KINDS = (*tiny_models.ARCHITECTURES, "modernbert-untrained", "gpt2-untrained")
TEXTS = [
    "def add(first, second):\n    return first + second\n",
    "x = '<s> </s> <mask> [MASK] <|endoftext|>'",
    "name = 'Grüße aus Köln: 一'  # über\n",
    "for index, name in enumerate(names):\n    if name not in seen:\n        seen.append(name)\n" * 3,
    "y=1",
    'raise ValueError("' + "the value is not in the list of names " * 6 + '")\n',
]


def tokens_of(text: str) -> list[tuple[int, int]]:
    """Words and single other characters; the quoted string of the last text as one very long token."""
    if text.startswith("raise"):
        return [(0, 5), (6, 16), (17, len(text) - 2), (len(text) - 2, len(text) - 1)]
    found, start = [], None
    for place, character in enumerate(text + " "):
        if character.isalnum():
            start = place if start is None else start
            continue
        if start is not None:
            found.append((start, place))
            start = None
        if not character.isspace():
            found.append((place, place + 1))
    return found


SPLIT_TEXTS = {"train": TEXTS, "tune": TEXTS[2:4], "judge": TEXTS[4:], "test": TEXTS[::2]}


def write_tasks(paths: Paths) -> None:
    """A token task whose rows do not come in the inputs' order, and a sequence task."""
    for split, texts in SPLIT_TEXTS.items():
        rows = [{"input": i, "start": a, "end": b, "label": 0} for i, t in enumerate(texts) for a, b in tokens_of(t)]
        rows = rows[::-2] + rows[::2]
        for task, those in (("tokens", rows), ("sequences", [{"input": i, "label": 0} for i in range(len(texts))])):
            with Writer(paths.task(task) / split, "prepare", {}) as writer:
                inputs = [{"id": i, "text": t, "file": f"{i}.py", "name": f"f{i}"} for i, t in enumerate(texts)]
                writer.jsonl("inputs.jsonl", inputs)
                writer.jsonl("rows.jsonl", those)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    root = tmp_path_factory.mktemp("models")
    entries = {}
    for kind in KINDS:
        if kind.endswith("-untrained"):
            entries[kind] = Model(untrained=kind.removesuffix("-untrained"), seed=TWIN_SEED)
        else:
            folder = tiny_models.save(root / kind, kind, positions=POSITIONS)
            entries[kind] = Model(path=str(folder), layers=3, width=16)
    return entries


class Reference:
    def __init__(self, folder: Path, architecture: str, untrained: bool) -> None:
        if untrained:
            torch.manual_seed(TWIN_SEED)
            self.model = AutoModel.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager")
        else:
            self.model = AutoModel.from_pretrained(folder, attn_implementation="eager")
        self.model.eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.encode_special_tokens = True
        specials, before, after = tiny_models.SPECIALS[architecture]
        self.before = [specials.index(before)] if before else []
        self.after = [specials.index(after)] if after else []
        self.states = functools.cache(self._states)

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def _states(self, ids: tuple[int, ...]) -> np.ndarray:
        """(layers, sub-words, width) of one window, special tokens taken off."""
        with torch.no_grad():
            out = self.model(torch.tensor([[*self.before, *ids, *self.after]]), output_hidden_states=True)
        states = np.stack([state[0].numpy() for state in out.hidden_states])
        return states[:, len(self.before) : len(self.before) + len(ids)]

    def windows(self, length: int, window: int) -> list[tuple[int, int]]:
        size = min(window, POSITIONS) - len(self.before) - len(self.after)
        found, begin = [], 0
        while begin + size < length:
            found.append((begin, begin + size))
            begin += size // 2
        return [*found, (max(0, length - size), length)]

    def vector(self, ids: list[int], span: tuple[int, int], window: int, how: str, one_by_one: bool) -> np.ndarray:
        windows = self.windows(len(ids), window)

        def best(lo: int, hi: int) -> tuple[int, int]:
            return max(windows, key=lambda w: (min(lo - w[0], w[1] - hi), -w[0]))

        lo, hi = span
        whole = best(lo, hi)
        parts = []
        for place in range(lo, hi):
            a, b = best(place, place + 1) if one_by_one or lo < whole[0] or hi > whole[1] else whole
            parts.append(self.states(tuple(ids[a:b]))[:, place - a])
        stack = np.stack(parts, axis=1)
        return {"first": stack[:, 0], "last": stack[:, -1], "mean": stack.mean(1), "max": stack.max(1)}[how]


@pytest.fixture(scope="module")
def references(models: dict[str, Model]) -> dict[str, Reference]:
    made = {}
    for kind in KINDS:
        architecture = kind.removesuffix("-untrained")
        made[kind] = Reference(Path(str(models[architecture].path)), architecture, kind != architecture)
    return made


@pytest.mark.parametrize("window", [24, 512])
@pytest.mark.parametrize(
    ("task", "how"), [("tokens", h) for h in ("first", "last", "mean")] + [("sequences", h) for h in
    ("mean", "first", "last", "max")]
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_every_model_and_option(kind, task, how, window, models, references, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    paths = Paths("contract", tmp_path)
    write_tasks(paths)
    options = {"subword": how, "pooling": "mean"} if task == "tokens" else {"subword": "last", "pooling": how}
    settings = Activations(window=window, batch_tokens=96, **options)
    params = SimpleNamespace(models=models, activations=settings, numerics="portable")
    dump_activations(params, paths, model=kind, task=task)
    reference = references[kind]
    for split in SPLITS:
        folder = paths.activations(kind, task, split)
        check_files(folder)
        found = np.stack([np.load(folder / f"layer_{layer:02d}.npy") for layer in range(3)])
        wanted = []
        windowed = 0
        texts = SPLIT_TEXTS[split]
        if task == "tokens":
            rows = [(i, a, b) for i, t in enumerate(texts) for a, b in tokens_of(t)]
            for i, a, b in rows[::-2] + rows[::2]:
                ids, offsets = reference.encode(texts[i])
                hit = [k for k, (c, d) in enumerate(offsets) if c < b and d > a and d > c]
                wanted.append(reference.vector(ids, (hit[0], hit[-1] + 1), window, how, False))
        else:
            for text in texts:
                ids, _ = reference.encode(text)
                wanted.append(reference.vector(ids, (0, len(ids)), window, how, True))
        for text in texts:
            windowed += len(reference.windows(len(reference.encode(text)[0]), window)) > 1
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.stack(wanted, axis=1), atol=2e-5, rtol=1e-4)
        facts = read_manifest(folder)["facts"]
        assert (facts["layers"], facts["width"], facts["vectors"]) == (3, 16, len(wanted))
        assert facts["windowed_inputs"] == windowed
        assert facts["subwords"] == sum(len(reference.encode(text)[0]) for text in texts)
    assert read_manifest(paths.activations(kind, task, "train"))["facts"]["windowed_inputs"] > 0

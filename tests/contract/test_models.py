"""Every kind of model with every way of making vectors, against a slow reference that shares no code with the phase.

The reference runs one window at a time through plain transformers, finds windows by trying all of them, and pools
with loops. For neurons inside of the blocks it hooks modules that are named here. A new architecture is covered by
adding it to tests/tiny_models.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer

from neurosieve.activations import dump_activations
from neurosieve.artifacts import Paths, Writer, check_files, read_manifest
from neurosieve.config import SPLITS, Activations, Model, load_params

POSITIONS, TWIN_SEED = 40, 5


def names(prefix: str, inner: str, forward: str, attention: str) -> dict[str, str]:
    return {"feed-forward": f"{prefix}.{{}}.{inner}{forward}", "attention": f"{prefix}.{{}}.{attention}"}


# Modules whose input (feed-forward) or output (attention) is taken: of the encoder or only stack, then of the decoder.
SITES = {
    "bert": [names("encoder.layer", "output.", "dense", "attention.output.dense")],
    "gpt2": [names("h", "mlp.", "c_proj", "attn.c_proj")],
    "codegen": [names("h", "mlp.", "fc_out", "attn.out_proj")],
    "mistral": [names("layers", "mlp.", "down_proj", "self_attn.o_proj")],
    "t5": [
        names("encoder.block", "layer.1.DenseReluDense.", "wo", "layer.0.SelfAttention.o"),
        names("decoder.block", "layer.2.DenseReluDense.", "wo", "layer.0.SelfAttention.o"),
    ],
    "bart": [names(f"{part}.layers", "", "fc2", "self_attn.out_proj") for part in ("encoder", "decoder")],
}


@dataclass(frozen=True)
class Kind:
    architecture: str
    part: str = "encoder"
    neurons: str = "hidden"
    untrained: bool = False

    def __str__(self) -> str:
        return "-".join([self.architecture, self.part, self.neurons, *(["untrained"] if self.untrained else [])])

    @property
    def layers(self) -> int:
        blocks = {"encoder": (2,), "decoder": (3,), "both": (2, 3)}[self.part]
        return sum(n + (self.neurons == "hidden") for n in blocks)

    @property
    def width(self) -> int:
        return 24 if self.neurons == "feed-forward" else 16


INSIDE = ("feed-forward", "attention")
KINDS = [
    *(Kind(name) for name in tiny_models.ARCHITECTURES),
    *(Kind(name, part) for name in tiny_models.BOTH for part in ("decoder", "both")),
    *(Kind(name, untrained=True) for name in ("modernbert", "gpt2")),
    Kind("t5", "both", untrained=True),
    *(Kind(name, neurons=site) for name in ("bert", "gpt2", "codegen", "mistral") for site in INSIDE),
    Kind("t5", "encoder", "attention"),
    Kind("t5", "both", "feed-forward"),
    Kind("t5", "decoder", "attention"),
    Kind("bart", "decoder", "feed-forward"),
    Kind("bart", "both", "attention"),
    Kind("t5", "both", "feed-forward", untrained=True),
]
BASE = load_params("params.yaml")
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
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.save(root / name, name, positions=POSITIONS) for name in tiny_models.ARCHITECTURES}


class Reference:
    def __init__(self, folder: Path, kind: Kind) -> None:
        self.kind = kind
        if kind.untrained:
            torch.manual_seed(TWIN_SEED)
            self.model = AutoModel.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager")
        else:
            self.model = AutoModel.from_pretrained(folder, attn_implementation="eager")
        self.model.eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        if kind.architecture == "qwen2":  # transformers replaces parts of it
            self.tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        self.tokenizer.encode_special_tokens = True
        specials, before, after = tiny_models.SPECIALS[kind.architecture]
        self.before = [specials.index(before)] if before else []
        self.after = [specials.index(after)] if after else []
        # BART begins with </s>, T5 with the padding; PLBART's configuration says nothing
        start = {"bart": "</s>", "plbart": "</s>", "t5": "<pad>", "codet5": "<pad>"}.get(kind.architecture)
        self.start = specials.index(start) if start else None
        self.states = functools.cache(self._states)
        self.caught: dict[str, np.ndarray] = {}
        if kind.neurons != "hidden":
            self._hook()

    def _hook(self) -> None:
        def before(module: Any, args: Any, name: str = "") -> None:
            self.caught[name] = args[0][0].numpy()

        def after(module: Any, args: Any, output: Any, name: str = "") -> None:
            self.caught[name] = output[0].numpy()

        for own, blocks in zip(SITES[self.kind.architecture], (2, 3), strict=False):
            for i in range(blocks):
                name = own[self.kind.neurons].format(i)
                module = self.model.get_submodule(name)
                if self.kind.neurons == "feed-forward":
                    module.register_forward_pre_hook(functools.partial(before, name=name))
                else:
                    module.register_forward_hook(functools.partial(after, name=name))

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def _states(self, ids: tuple[int, ...]) -> np.ndarray:
        """(layers, sub-words, width) of one window, special tokens taken off."""
        fed = {}
        if self.start is not None:
            fed["decoder_input_ids"] = torch.tensor([[self.start, *self.before, *ids]])
        with torch.no_grad():
            out = self.model(torch.tensor([[*self.before, *ids, *self.after]]), output_hidden_states=True, **fed)
        one = self.start is None
        stacks = [out.hidden_states] if one else [out.encoder_hidden_states, out.decoder_hidden_states]
        found = [[state[0].numpy() for state in states] for states in stacks]
        if self.kind.neurons != "hidden":
            found = [
                [self.caught[own[self.kind.neurons].format(i)] for i in range(blocks)]
                for own, blocks in zip(SITES[self.kind.architecture], (2, 3), strict=False)
            ]
        skipped = [len(self.before), 1 + len(self.before)]
        cut = [[s[skip : skip + len(ids)] for s in states] for states, skip in zip(found, skipped, strict=False)]
        kept = {"encoder": cut[:1], "decoder": cut[1:], "both": cut}[self.kind.part]
        return np.stack([state for states in kept for state in states])

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
def references(folders: dict[str, Path]) -> Callable[[Kind], Reference]:
    return functools.cache(lambda kind: Reference(folders[kind.architecture], kind))


# every way of making vectors, with and without long inputs being cut by the parameter; the model's positions cut, too
OPTIONS = [
    ("tokens", "first", 512), ("tokens", "last", 24), ("tokens", "mean", 24), ("sequences", "mean", 512),
    ("sequences", "first", 24), ("sequences", "last", 512), ("sequences", "max", 24),
]  # fmt: skip


# all of them for some, for the others one with tokens and in turn one with whole texts
CASES = [
    (kind, option)
    for i, kind in enumerate(KINDS)
    for j, option in enumerate(OPTIONS)
    if i < 4 or j in (i % 3, 3 + i % 4)
]


@pytest.mark.parametrize(
    ("kind", "option"), CASES, ids=lambda value: "-".join(map(str, value)) if type(value) is tuple else str(value)
)
def test_every_model_and_option(kind, option, folders, references, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    task, how, window = option
    paths = Paths("contract", tmp_path)
    write_tasks(paths)
    options = {"subword": how, "pooling": "mean"} if task == "tokens" else {"subword": "last", "pooling": how}
    settings = Activations(window=window, batch_tokens=96, **options)
    more = {"neurons": kind.neurons, "part": kind.part}
    sizes = {"layers": kind.layers, "width": kind.width}
    models = {"m": Model(path=str(folders[kind.architecture]), **more, **sizes)}
    if kind.untrained:
        models["u"] = Model(untrained="m", seed=TWIN_SEED, **sizes)
    name = "u" if kind.untrained else "m"
    params = BASE.model_copy(update={"models": models, "activations": settings, "numerics": "portable"})
    dump_activations(params, paths, model=name, task=task)
    reference = references(kind)
    for split in SPLITS:
        folder = paths.activations(name, task, split)
        check_files(folder)
        found = np.stack([np.load(folder / f"layer_{layer:02d}.npy") for layer in range(kind.layers)])
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
        # T5 does not scale its scores down, so that a random one is less smooth than others
        atol = 1e-4 if kind.architecture in ("t5", "codet5") else 2e-5
        np.testing.assert_allclose(found, np.stack(wanted, axis=1), atol=atol, rtol=1e-4)
        facts = read_manifest(folder)["facts"]
        assert (facts["layers"], facts["width"], facts["vectors"]) == (kind.layers, kind.width, len(wanted))
        assert facts["windowed_inputs"] == windowed
        assert facts["subwords"] == sum(len(reference.encode(text)[0]) for text in texts)
    assert read_manifest(paths.activations(name, task, "train"))["facts"]["windowed_inputs"] > 0

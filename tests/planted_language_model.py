"""A causal language model whose weights are set by hand: which neurons carry a class, and which it uses, is known.

A GPT-2 of two blocks over 24 letters. A letter has a class (2), an attribute (4) and a variant (3), and a text is a
chain: the next letter keeps the class with probability STAY, has the next attribute with probability STAY (else another
one, all alike), and any variant. The head gives these probabilities, from the units of the table and no others:

| units (WIDTH) | values | layer 0 | layers 1, 2 |
|---|---|---|---|
| 0, 1 | +class, -class | used: block 1 reads them | carry the class, no path to the logits |
| 2 to 5 | +class, -class, twice | carry the class, no path | carry the class, no path |
| 6 to 9 | the attribute, one-hot | used, carry nothing of the class | used, carry nothing of the class |
| 14, 15 | +class, -class from block 1 on | constant | used: the head reads them |
| others | noise, in pairs of both signs | neither | neither |

Class is +1 or -1, a fifth more or less by variant; noise and attribute differ a little by variant, alike in both
classes. Attention gives out zeros. The feed-forward layer of block 1 moves units 0 and 1 to 14 and 15 (ReLU:
FORWARD_USED are read on, FORWARD_CARRIERS are not). The epsilon of the layer norms is so large that they only centre,
the units of a letter sum to zero, and so do the weights of whatever reads them: no unit reaches another but as the
table says.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from neurosieve.artifacts import Paths, Writer
from neurosieve.config import SPLITS, Params

LAYERS, WIDTH, INNER, POSITIONS = 3, 24, 12, 64
CLASSES, ATTRIBUTES, VARIANTS, STAY = 2, 4, 3, 0.95
LETTERS = string.ascii_lowercase[: CLASSES * ATTRIBUTES * VARIANTS]
EPSILON = 1e12
MODEL, TASK = "planted", "token-roles"

ENTER, UNUSED, ATTRIBUTE, MOVED = [0, 1], [2, 3, 4, 5], [6, 7, 8, 9], [14, 15]
NOISE = [10, 11, 12, 13, *range(16, WIDTH)]
FORWARD_USED, FORWARD_CARRIERS, FORWARD_NOISE = [0, 1], [2, 3], [4, 5, 6, 7]  # units of block 1's feed-forward layer


def _at(layer: int, units: list[int]) -> np.ndarray:
    return layer * WIDTH + np.array(units)


# Global indices, by layer: carry the class and are used; carry it without use; are used and carry nothing of it.
USED_CARRIERS = {0: _at(0, ENTER), 1: _at(1, MOVED), 2: _at(2, MOVED)}
UNUSED_CARRIERS = {0: _at(0, UNUSED), 1: _at(1, ENTER + UNUSED), 2: _at(2, ENTER + UNUSED)}
USED_OTHERS = {layer: _at(layer, ATTRIBUTE) for layer in range(LAYERS)}
NEITHER = {layer: _at(layer, NOISE) for layer in range(LAYERS)}


def parts(letter: int) -> tuple[int, int, int]:
    """Class, attribute and variant of a letter, by its place in LETTERS."""
    return letter // (ATTRIBUTES * VARIANTS), letter // VARIANTS % ATTRIBUTES, letter % VARIANTS


def embedding() -> np.ndarray:
    """(letters, WIDTH): what enters block 1."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(ATTRIBUTES, VARIANTS, len(NOISE) // 2))
    shades = 0.1 * rng.normal(size=(ATTRIBUTES, VARIANTS, ATTRIBUTES))
    found = np.zeros((len(LETTERS), WIDTH))
    for letter in range(len(LETTERS)):
        group, attribute, variant = parts(letter)
        value = (2 * group - 1) * (1 + 0.2 * (variant - 1))
        found[letter, [0, 2, 4]], found[letter, [1, 3, 5]] = value, -value
        one_hot = np.eye(ATTRIBUTES)[attribute] + shades[attribute, variant]
        found[letter, ATTRIBUTE] = one_hot - one_hot.mean()
        found[letter, NOISE[::2]] = noise[attribute, variant]  # the same in both classes
        found[letter, NOISE[1::2]] = -noise[attribute, variant]
    return found


def head() -> np.ndarray:
    """(letters, WIDTH): weights on units 6 to 9, 14 and 15 alone; those of 14 and 15, and of 6 to 9, sum to zero."""
    found = np.zeros((len(LETTERS), WIDTH))
    odds = np.log(STAY / (1 - STAY)) / 2
    table = np.full((ATTRIBUTES, ATTRIBUTES), np.log((1 - STAY) / (ATTRIBUTES - 1)))  # of the next, given this one
    table[np.arange(ATTRIBUTES), (np.arange(ATTRIBUTES) + 1) % ATTRIBUTES] = np.log(STAY)
    for letter in range(len(LETTERS)):
        group, attribute, _ = parts(letter)
        found[letter, MOVED] = (2 * group - 1) * odds / 2 * np.array([1, -1])
        found[letter, ATTRIBUTE] = table[:, attribute] - table[:, attribute].mean()
    return found


def save(folder: Path) -> Path:
    """The model's folder: config.json, model.safetensors, tokenizer.json, tokenizer_config.json."""
    config = GPT2Config(
        vocab_size=len(LETTERS) + 1, n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS - 1, n_head=2, n_inner=INNER,
        activation_function="relu", layer_norm_epsilon=EPSILON, tie_word_embeddings=False,
        bos_token_id=len(LETTERS), eos_token_id=len(LETTERS),
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight"))
            parameter.fill_(EPSILON**0.5 if norm else 0.0)
        body = model.transformer
        body.wte.weight[: len(LETTERS)] = torch.from_numpy(embedding())
        inner, outer = body.h[0].mlp.c_fc.weight, body.h[0].mlp.c_proj.weight  # (WIDTH, INNER), (INNER, WIDTH)
        for first, units in ((0, ENTER), (2, UNUSED[:2]), (4, NOISE[:2]), (6, NOISE[2:4])):
            for sign, unit in zip((0.5, -0.5), units, strict=True):
                inner[unit, first], inner[unit, first + 1] = sign, -sign
        outer[FORWARD_USED[0], MOVED[0]] = outer[FORWARD_USED[1], MOVED[1]] = 1
        outer[FORWARD_USED[0], MOVED[1]] = outer[FORWARD_USED[1], MOVED[0]] = -1
        model.lm_head.weight[: len(LETTERS)] = torch.from_numpy(head())
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def tokenizer() -> PreTrainedTokenizerFast:
    """A token is a letter."""
    end = "<|endoftext|>"
    vocabulary = {letter: i for i, letter in enumerate([*LETTERS, end])}
    base = Tokenizer(models.WordLevel(vocabulary, unk_token=end))
    base.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]"), "isolated")
    base.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=base, model_max_length=POSITIONS, bos_token=end, eos_token=end, unk_token=end
    )


def texts(number: int, length: int, seed: int) -> list[str]:
    """Texts of ``length`` letters from the chain."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        group, attribute = int(rng.integers(CLASSES)), int(rng.integers(ATTRIBUTES))
        letters = []
        for _ in range(length):
            letters.append(LETTERS[(group * ATTRIBUTES + attribute) * VARIANTS + int(rng.integers(VARIANTS))])
            group = group if rng.random() < STAY else 1 - group
            step = 1 if rng.random() < STAY else int(rng.choice([0, 2, 3]))
            attribute = (attribute + step) % ATTRIBUTES
        found.append("".join(letters))
    return found


def build(
    root: Path, chosen: list[int] | np.ndarray, *, files: int = 16, length: int = 40, **concepts: Any
) -> tuple[Params, Paths]:
    """The model, a token task (the class of every letter) and the activations of MODEL on it, as the phases write them.

    Texts are of the chain, one a file, others in every split. ``chosen``: global indices, the headline's subset.
    ``concepts``: keys put into the block `concepts` of tests/data/tiny.yaml. Nothing of the phase `probes` is written.
    """
    from neurosieve.activations import dump_activations

    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text().replace("1e-4", "0.0001"))
    raw["models"] = {MODEL: {"path": str(save(root / "model"))}, "twin": {"untrained": MODEL, "seed": 1}}
    raw["run"] |= {"models": [MODEL, "twin"], "tasks": [TASK]}
    raw["concepts"] |= concepts
    params, paths = Params.model_validate(raw), Paths("tiny", root / "build")
    names = ["A", "B"]
    for seed, split in enumerate(SPLITS):
        found = texts(files, length, seed)
        with Writer(paths.task(TASK) / split, "prepare", {}) as out:
            entries = [{"id": i, "text": t, "file": f"{split}{i}.py"} for i, t in enumerate(found)]
            out.jsonl("inputs.jsonl", entries)
            rows = [
                {"input": i, "start": at, "end": at + 1, "label": parts(LETTERS.index(c))[0], "type": c, "seen": True}
                for i, text in enumerate(found)
                for at, c in enumerate(text)
            ]
            out.jsonl("rows.jsonl", rows)
    with Writer(paths.task(TASK) / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": "token", "classes": names, "scored_classes": [0, 1]})
    dump_activations(params, paths, model=MODEL, task=TASK)
    write_search(paths, chosen)
    return params, paths


def write_search(paths: Paths, chosen: list[int] | np.ndarray) -> None:
    """The headline's subset of MODEL; none where ``chosen`` is empty."""
    neurons = [int(n) for n in chosen]
    sets = {"subset-lca": {"neurons": neurons, "claimed": True}} if neurons else {}
    with Writer(paths.search(MODEL, TASK), "subsets", {}) as out:
        out.json("frozen.json", {"headline": "lca", "sets": sets})

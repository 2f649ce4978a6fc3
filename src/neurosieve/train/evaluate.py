"""Held-out loss of a finished model and of two counting baselines.

Reads the run folder of a model and the token streams; writes `evaluation.json`. The model is read back from
its float16 file, so the figures are those of what is stored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from neurosieve.artifacts import sha256_file
from neurosieve.train.files import read_json, write_json
from neurosieve.train.loop import LanguageModel, load_model, logits_at, questions
from neurosieve.train.params import ModelParams, TrainError, load_params
from neurosieve.train.tokenizer import load_tokens

#: Absolute discount of the bigram counts; what it takes off goes to the unigram (Ney et al. 1994).
DISCOUNT = 0.75
#: Blocks in one forward pass.
BATCH = 32
DIGITS = 4


def model_scores(
    model: LanguageModel, params: ModelParams, blocks: torch.Tensor, vocabulary: int, seed: int
) -> dict[str, float]:
    """Mean loss (nats) and accuracy over the tokens of `blocks` (blocks, block) that are to be predicted.

    A masked model is shown each of them as [MASK]; a causal one is asked for every token but a block's first.
    """
    loss, right, count = 0.0, 0, 0
    with torch.inference_mode():
        for step, start in enumerate(range(0, len(blocks), BATCH)):
            inputs, places, target = questions(params, blocks[start : start + BATCH], vocabulary, seed, step, 1.0)
            logits = logits_at(model, inputs, places)
            loss += float(functional.cross_entropy(logits.double(), target, reduction="sum"))
            right += int((logits.argmax(-1) == target).sum())
            count += len(target)
    return {"loss": round(loss / count, DIGITS), "accuracy": round(right / count, DIGITS)}


def baseline_scores(
    train: np.ndarray, blocks: np.ndarray, params: ModelParams, vocabulary: int, seed: int
) -> dict[str, dict[str, float]]:
    """The same for counts of the training stream, on the same tokens.

    `unigram` has one added to every count. `bigram` predicts from the token before, which it is always
    shown, even where the model sees [MASK] there: discounted counts, the rest from the unigram.
    """
    ones = np.bincount(train, minlength=vocabulary).astype(np.float64)
    unigram = (ones + 1) / (ones + 1).sum()
    pairs = np.bincount(train[:-1].astype(np.int64) * vocabulary + train[1:], minlength=vocabulary**2).reshape(
        vocabulary, vocabulary
    )
    before = pairs.sum(1)
    followers = (pairs > 0).sum(1)
    likely = np.where(before > 0, pairs.argmax(1), unigram.argmax())
    targets, contexts = [], []
    for step, start in enumerate(range(0, len(blocks), BATCH)):
        ids = blocks[start : start + BATCH].astype(np.int64)
        places = questions(params, torch.from_numpy(ids), vocabulary, seed, step, 1.0)[1].numpy()
        # where a causal model answers, the next token is asked for
        chosen = places if params.objective == "masked" else np.roll(places, 1, axis=1)
        previous = np.concatenate([np.zeros_like(ids[:, :1]), ids[:, :-1]], axis=1)
        if start:  # the token before a block is the last of the block before it
            previous[0, 0] = blocks[start - 1, -1]
        previous[1:, 0] = ids[:-1, -1]
        targets.append(ids[chosen])
        contexts.append(previous[chosen])
    target, context = np.concatenate(targets), np.concatenate(contexts)
    total = np.maximum(before[context], 1)
    share_left = np.where(before[context] > 0, DISCOUNT * followers[context] / total, 1.0)
    bigram = np.maximum(pairs[context, target] - DISCOUNT, 0) / total + share_left * unigram[target]
    return {
        "unigram": {
            "loss": round(float(-np.log(unigram[target]).mean()), DIGITS),
            "accuracy": round(float((target == unigram.argmax()).mean()), DIGITS),
        },
        "bigram": {
            "loss": round(float(-np.log(bigram).mean()), DIGITS),
            "accuracy": round(float((target == likely[context]).mean()), DIGITS),
        },
    }


def run(params_path: Path, name: str, tokens: Path, run_folder: Path, threads: int = 1) -> None:
    """Score the finished model in `run_folder`, its checkpoints and the baselines; write `evaluation.json`."""
    whole_params = load_params(params_path)
    params = whole_params.model(name)
    vocabulary, seed = whole_params.tokenizer.size, whole_params.seed
    if not (run_folder / "run.json").exists():
        raise TrainError(f"{run_folder} has no run.json: the training of {name} is not finished; go on with `fit`")
    torch.set_num_threads(threads)
    streams = load_tokens(tokens)
    count = len(streams["heldout"]) // params.block
    if not count:
        raise TrainError(f"{tokens}: the held-out stream is shorter than one block of {params.block} tokens")
    blocks = streams["heldout"][: count * params.block].reshape(count, params.block)
    ids = torch.from_numpy(blocks.astype(np.int64))

    def scores(folder: Path) -> dict[str, float]:
        return model_scores(load_model(folder, params.objective), params, ids, vocabulary, seed)

    weights = run_folder / "model" / "model.safetensors"
    write_json(
        run_folder / "evaluation.json",
        {
            "model": name,
            "weights_sha256": sha256_file(weights),
            "tokens_sha256": read_json(run_folder / "run.json")["tokens_sha256"],
            "heldout_tokens": int(blocks.size),
            "scores": {
                "model": scores(weights.parent),
                **baseline_scores(streams["train"], blocks, params, vocabulary, seed),
            },
            "checkpoints": {
                f"step-{step:06d}": scores(run_folder / "checkpoints" / f"step-{step:06d}")
                for step in params.checkpoints
            },
        },
    )

"""The byte-level BPE tokenizer and the packed token streams.

Reads `train.jsonl` and `heldout.jsonl`; writes `tokenizer.json`, `tokenizer_config.json` and
`tokens.safetensors` (tensors `train` and `heldout`, uint16: every function as [CLS] tokens [SEP], one after
another).

Byte level, no lower case, no prefix space: every character of the input lies in exactly the tokens that its
offsets say. A line break with the indentation after it is one pre-token, so indentation costs one token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from neurosieve.train import data
from neurosieve.train.files import whole, write_json
from neurosieve.train.params import Vocabulary, load_params

#: Spellings that no program contains by chance; the order gives the ids.
PAD, CLS, SEP, MASK, UNK = SPECIALS = ("<|pad|>", "<|cls|>", "<|sep|>", "<|mask|>", "<|unk|>")
PAD_ID, CLS_ID, SEP_ID, MASK_ID, UNK_ID = range(5)
TOKENS_FILE = "tokens.safetensors"

#: Line break with indentation | identifier | digits | punctuation | other space. One space may lead a word.
_PATTERN = r"[ \t]*\n\s*| ?[\p{L}_][\p{L}\p{N}_]*| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}_]+|\s+"


def _untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.Sequence(
        [
            # Offsets cover a token's leading space too: what the token stands for, not a trimmed part of it
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{CLS} $A {SEP}",
                pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
                special_tokens=[(CLS, CLS_ID), (SEP, SEP_ID)],
            ),
        ]
    )
    return tokenizer


def learn(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn the merges. Ids 0 to 4 are the special tokens, then the 256 bytes, then the merges."""
    tokenizer = _untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIALS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` that makes AutoTokenizer load it."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / "tokenizer.json") as temporary:
        temporary.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": PAD,
            "cls_token": CLS,
            "sep_token": SEP,
            "mask_token": MASK,
            "unk_token": UNK,
            "model_max_length": max_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            # A program that spells a special token out is read as the characters it has
            "split_special_tokens": True,
        },
    )


def encode(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """One stream of ids, uint16: every text between [CLS] and [SEP]."""
    tokenizer.encode_special_tokens = True  # the same reading as split_special_tokens above
    parts: list[np.ndarray] = []
    for start in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + 4096]):
            parts.append(np.asarray(encoding.ids, dtype=np.uint16))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint16)


def _sample(texts: list[str], chars: int) -> Iterator[str]:
    for text in texts:
        if chars <= 0:
            return
        chars -= len(text)
        yield text


def run(params_path: Path, corpus: Path, output: Path) -> None:
    """Learn the tokenizer on the first training functions and encode both splits into `output`."""
    vocabulary: Vocabulary = load_params(params_path).tokenizer
    train = data.sources(corpus / "train.jsonl")
    tokenizer = learn(_sample(train, vocabulary.sample_chars), vocabulary.size)
    save(tokenizer, output, vocabulary.max_length)
    streams = {
        "train": encode(tokenizer, train),
        "heldout": encode(tokenizer, data.sources(corpus / "heldout.jsonl")),
    }
    with whole(output / TOKENS_FILE) as temporary:
        save_file(streams, temporary)


def load_tokens(folder: Path) -> dict[str, np.ndarray]:
    """The streams that `run` wrote."""
    return load_file(folder / TOKENS_FILE)

"""Tiny models with random weights, saved as folders: `python tests/tiny_models.py FOLDER [ARCHITECTURE]`.

Width 16, 2 blocks (of encoder-decoders: 2 and 3), 2 heads, feed-forward layers of 24 units. Every weight is random,
biases and norms too, so that nothing is left at an initial value. The tokenizer is a byte-level BPE (WordPiece for bert
and its kin) trained on a few lines of Python, with the special tokens and the post-processor that models of the kind
have. Models without positions of their own (t5) are limited by their tokenizer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedTokenizerFast,
)

VOCABULARY = 320
TEXT = [
    "def add(first, second):\n    return first + second\n",
    "class Node:\n    def __init__(self, value):\n        self.value = value\n",
    "for index, name in enumerate(names):\n    if name not in seen:\n        seen.append(name)\n",
    'raise ValueError("the value is not in the list of names")\n',
]
SIZES = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}

BERT = (["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"], "[CLS]", "[SEP]")
ROBERTA = (["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s>", "</s>")
GPT2 = (["<|endoftext|>"], None, None)
LLAMA = (["<unk>", "<s>", "</s>"], "<s>", None)
T5 = (["<pad>", "</s>", "<unk>"], None, "</s>")
# architecture -> special tokens (ids 0, 1, ...), then what stands before and after a text
SPECIALS = {
    "modernbert": BERT,
    "bert": BERT,
    "roberta": ROBERTA,
    "distilbert": BERT,
    "electra": BERT,
    "deberta-v2": BERT,
    "modernbert-decoder": BERT,
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": GPT2,
    "qwen3": GPT2,
    "starcoder2": GPT2,
    "gpt_neox": GPT2,
    "codegen": GPT2,
    "t5": T5,
    "codet5": ROBERTA,  # T5 with RoBERTa's tokenizer
    "bart": ROBERTA,
    "plbart": (["<s>", "<pad>", "</s>", "<unk>", "<mask>"], None, "</s>"),
}
ARCHITECTURES = tuple(SPECIALS)
ENCODERS = ("modernbert", "bert", "roberta", "distilbert", "electra", "deberta-v2")
BOTH = ("t5", "codet5", "bart", "plbart")
DECODERS = tuple(name for name in ARCHITECTURES if name not in (*ENCODERS, *BOTH))
WORDPIECE = ("bert", "distilbert", "electra")


def save(
    folder: Path | str,
    architecture: str = "modernbert",
    *,
    seed: int = 0,
    positions: int = 64,
    dtype: torch.dtype = torch.float32,
    head: bool = False,
) -> Path:
    """Save a tiny model (config.json, model.safetensors, tokenizer.json, ...) into ``folder`` and return it.

    ``head``: with its language-modelling head.
    """
    folder = Path(folder)
    torch.manual_seed(seed)
    auto = AutoModel
    if head:
        auto = AutoModelForMaskedLM if architecture in ENCODERS else AutoModelForCausalLM
        auto = AutoModelForSeq2SeqLM if architecture in BOTH else auto
    # AutoModel makes poolers, which no test here needs
    model = auto.from_config(configuration(architecture, positions))
    if not head and hasattr(model, "pooler"):
        model.pooler = None
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(0.3 * torch.randn(parameter.shape) + norm)
    model.to(dtype).save_pretrained(folder)
    tokenizer(architecture, positions).save_pretrained(folder)
    return folder


def save_other(folder: Path, name: str, like: str = "gpt2", **changes: Any) -> Path:
    """Save a model of any architecture, with the tokenizer of one named above.

    ``changes``: of the configuration; None takes a key out, which some architectures refuse.
    """
    sizes = {**SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": 64}
    torch.manual_seed(0)
    stated = {**sizes, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, **changes}
    config = AutoConfig.for_model(name, **{key: value for key, value in stated.items() if value is not None})
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape) + (parameter.ndim == 1))
    model.save_pretrained(folder)
    tokenizer(like, 64).save_pretrained(folder)
    return folder


def tokenizer(architecture: str, positions: int) -> PreTrainedTokenizerFast:
    specials, before, after = SPECIALS.get(architecture, GPT2)
    options = {"special_tokens": specials, "vocab_size": VOCABULARY, "show_progress": False}
    # bert, roberta and modernbert trim offsets to the visible characters, the others do not
    if architecture in WORDPIECE:
        base = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
        base.normalizer = normalizers.BertNormalizer(lowercase=True)
        base.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        base.decoder = decoders.WordPiece()
        alphabet = [chr(c) for c in range(33, 127)]
        base.train_from_iterator(TEXT, trainers.WordPieceTrainer(initial_alphabet=alphabet, **options))
    else:
        base = Tokenizer(models.BPE())
        base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        base.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        base.train_from_iterator(TEXT, trainers.BpeTrainer(initial_alphabet=alphabet, **options))
    pairs = [(token, specials.index(token)) for token in (before, after) if token is not None]
    around = processors.TemplateProcessing(
        single=" ".join(filter(None, [before, "$A", after])),
        pair=" ".join(filter(None, [before, "$A", after, "$B:1", after and f"{after}:1"])),
        special_tokens=pairs,
    )
    trim = processors.ByteLevel(trim_offsets=architecture in ("roberta", "modernbert", "modernbert-decoder", "codet5"))
    base.post_processor = around if architecture in WORDPIECE else processors.Sequence([trim, around])
    roles = {
        "[PAD]": ("pad",), "[CLS]": ("cls",), "[SEP]": ("sep",), "[MASK]": ("mask",), "[UNK]": ("unk",),
        "<pad>": ("pad",), "<s>": ("bos", "cls"), "</s>": ("eos", "sep"), "<mask>": ("mask",), "<unk>": ("unk",),
        "<|endoftext|>": ("bos", "eos", "unk"),
    }  # fmt: skip
    named = {role: token for token in specials for role in roles[token]}
    if "<s>" in specials and "<pad>" not in specials:
        named = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=base, model_max_length=positions, **{f"{key}_token": value for key, value in named.items()}
    )


def configuration(architecture: str, positions: int = 64) -> Any:
    """The configuration of a model that fits its tokenizer; sizes under the names that each kind has for them."""
    specials = SPECIALS.get(architecture, GPT2)[0]
    kind = {"codet5": "t5"}.get(architecture, architecture)
    found: dict[str, Any] = {**SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": positions}
    ids = {
        "pad": ("[PAD]", "<pad>"),
        "bos": ("[CLS]", "<s>", "<|endoftext|>"),
        "eos": ("[SEP]", "</s>", "<|endoftext|>"),
    }
    for role, names in ids.items():
        token = next((name for name in names if name in specials), None)
        found[f"{role}_token_id"] = None if token is None else specials.index(token)
    if architecture in ("modernbert", "modernbert-decoder"):
        found |= {"local_attention": 16, "global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2}
    elif architecture == "roberta":  # counts its positions from 2
        found |= {"type_vocab_size": 1, "max_position_embeddings": positions + 2}
    elif architecture == "distilbert":
        found |= {"n_layers": 2, "dim": 16, "n_heads": 2, "hidden_dim": 24}
    elif architecture == "electra":
        found |= {"embedding_size": 8}
    elif architecture == "deberta-v2":
        found |= {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
        }
    elif architecture == "gpt2":
        found |= {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": positions, "n_inner": 24}
    elif architecture == "codegen":
        found |= {"n_layer": 2, "n_embd": 16, "n_head": 4, "n_positions": positions, "n_inner": 24, "rotary_dim": 4}
    elif architecture in ("llama", "qwen2", "qwen3", "starcoder2"):  # one key-value head for both query heads
        found |= {"num_key_value_heads": 1}
        if architecture.startswith("qwen"):
            found |= {"head_dim": 12}  # heads that are wider together than the model
    elif architecture == "mistral":
        found |= {"num_key_value_heads": 2, "sliding_window": 16}
    elif kind == "t5":
        gated = {"feed_forward_proj": "gated-gelu"} if architecture == "t5" else {}
        found |= {
            "d_model": 16,
            "d_kv": 6,
            "d_ff": 24,
            "num_layers": 2,
            "num_decoder_layers": 3,
            "num_heads": 2,
            **gated,
        }
        found |= {"decoder_start_token_id": found["pad_token_id"]}
        found.pop("max_position_embeddings")
    elif kind in ("bart", "plbart"):
        found |= {"d_model": 16, "encoder_layers": 2, "decoder_layers": 3}
        found |= {
            f"{part}_{key}": n
            for part in ("encoder", "decoder")
            for key, n in (("attention_heads", 2), ("ffn_dim", 24))
        }
        if kind == "bart":
            found |= {"decoder_start_token_id": 2}
    for key in ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"):
        if any(name in found for name in ("n_layer", "n_layers", "d_model")):
            found.pop(key)
    return AutoConfig.for_model(kind, **found)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(f"usage: python tests/tiny_models.py FOLDER [{'|'.join(ARCHITECTURES)}]")
    save(*sys.argv[1:])

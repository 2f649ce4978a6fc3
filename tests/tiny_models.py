"""Tiny models with random weights, saved as folders: `python tests/tiny_models.py FOLDER [ARCHITECTURE]`.

Width 16, 2 blocks, 2 heads. Every weight is random, biases and norms too, so that nothing is left at an initial value.
The tokenizer is a byte-level BPE (WordPiece for bert) trained on a few lines of Python, with the special tokens and
the post-processor that models of the kind have.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

VOCABULARY = 320
TEXT = [
    "def add(first, second):\n    return first + second\n",
    "class Node:\n    def __init__(self, value):\n        self.value = value\n",
    "for index, name in enumerate(names):\n    if name not in seen:\n        seen.append(name)\n",
    'raise ValueError("the value is not in the list of names")\n',
]
SIZES = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}

# architecture -> special tokens (ids 0, 1, ...), then what stands before and after a text
SPECIALS = {
    "modernbert": (["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"], "[CLS]", "[SEP]"),
    "bert": (["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"], "[CLS]", "[SEP]"),
    "roberta": (["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s>", "</s>"),
    "gpt2": (["<|endoftext|>"], None, None),
    "llama": (["<unk>", "<s>", "</s>"], "<s>", None),
    "mistral": (["<unk>", "<s>", "</s>"], "<s>", None),
}
ARCHITECTURES = tuple(SPECIALS)
ENCODERS, DECODERS = ("modernbert", "bert", "roberta"), ("gpt2", "llama", "mistral")


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
    model = _model(architecture, positions)
    if head:
        auto = AutoModelForMaskedLM if architecture in ENCODERS else AutoModelForCausalLM
        model = auto.from_config(model.config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(0.3 * torch.randn(parameter.shape) + norm)
    model.to(dtype).save_pretrained(folder)
    tokenizer(architecture, positions).save_pretrained(folder)
    return folder


def tokenizer(architecture: str, positions: int) -> PreTrainedTokenizerFast:
    specials, before, after = SPECIALS[architecture]
    options = {"special_tokens": specials, "vocab_size": VOCABULARY, "show_progress": False}
    # bert, roberta and modernbert trim offsets to the visible characters, the others do not
    if architecture == "bert":
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
    trim = processors.ByteLevel(trim_offsets=architecture in ("roberta", "modernbert"))
    base.post_processor = around if architecture == "bert" else processors.Sequence([trim, around])
    named = {
        "modernbert": {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "unk": "[UNK]"},
        "bert": {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "unk": "[UNK]"},
        "roberta": {"pad": "<pad>", "bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "mask": "<mask>"},
        "gpt2": {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
    }.get(architecture, {"bos": "<s>", "eos": "</s>", "unk": "<unk>"})
    return PreTrainedTokenizerFast(
        tokenizer_object=base, model_max_length=positions, **{f"{key}_token": value for key, value in named.items()}
    )


def _model(architecture: str, positions: int) -> torch.nn.Module:
    sizes = {**SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": positions}
    if architecture == "modernbert":
        ids = {"pad_token_id": 0, "cls_token_id": 1, "bos_token_id": 1, "sep_token_id": 2, "eos_token_id": 2}
        return ModernBertModel(ModernBertConfig(local_attention=16, global_attn_every_n_layers=2, **ids, **sizes))
    if architecture == "bert":
        return BertModel(BertConfig(pad_token_id=0, **sizes), add_pooling_layer=False)
    if architecture == "roberta":  # counts its positions from 2
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
        sizes["max_position_embeddings"] = positions + 2
        return RobertaModel(RobertaConfig(type_vocab_size=1, **ids, **sizes), add_pooling_layer=False)
    if architecture == "gpt2":
        gpt2 = {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": positions, "vocab_size": VOCABULARY}
        return GPT2Model(GPT2Config(bos_token_id=0, eos_token_id=0, **gpt2))
    if architecture == "llama":  # one key-value head for both query heads
        return LlamaModel(LlamaConfig(num_key_value_heads=1, bos_token_id=1, eos_token_id=2, **sizes))
    if architecture == "mistral":
        return MistralModel(
            MistralConfig(num_key_value_heads=2, sliding_window=16, bos_token_id=1, eos_token_id=2, **sizes)
        )
    raise SystemExit(f"found {architecture!r}; write one of: {', '.join(ARCHITECTURES)}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(f"usage: python tests/tiny_models.py FOLDER [{'|'.join(ARCHITECTURES)}]")
    save(*sys.argv[1:])

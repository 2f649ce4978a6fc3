"""What a model's folder consists of, told from names, indexes and headers: no weight is read and nothing is run.

Reads config.json, the indexes and the headers of safetensors files. Imports nothing heavy, for a plan reads it too.
"""

from __future__ import annotations

import functools
import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from neurosieve.config import Params
from neurosieve.config.files import absent, code_below, pointer

CONFIG, TOKENIZER, ADAPTER = "config.json", "tokenizer.json", "adapter_config.json"
# Kind of weights -> the one file of them, and the index of several.
WEIGHTS = {
    "safetensors": ("model.safetensors", "model.safetensors.index.json"),
    "bin": ("pytorch_model.bin", "pytorch_model.bin.index.json"),
}
ENDS = {"safetensors": ".safetensors", "bin": ".bin"}
# Files that the library makes a fast tokenizer of; without any it would make an empty one and say nothing.
VOCABULARIES = (
    ("vocab.json", "merges.txt"), ("vocab.txt",), ("spiece.model",), ("tokenizer.model",), ("sentencepiece.bpe.model",),
    ("spm.model",),
)  # fmt: skip
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}  # of an element
PLAIN = ("F64", "F32", "F16", "BF16")  # types of a weight that is the number itself
LONGEST = 100_000_000  # bytes of a header, as the format has it
ELSEWHERE = "--"  # between the repository and the class, in a name of code that lies in another repository


class FolderError(RuntimeError):
    """A model's folder that cannot be used; the message names the file, what was found and what to do."""


def read_object(path: Path) -> dict[str, Any]:
    """The object of a json file; FolderError where it is none."""
    if (why := absent(path)) is not None:
        raise FolderError(why)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path.parent}: cannot read {path.name}: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict):
        raise FolderError(f"{path.parent}: {path.name} is no json object; get all files of the model")
    return found


def indexed(path: Path, kind: str) -> tuple[str, ...]:
    """Files of weights that an index names, sorted: the names are its own, all beside it and of its kind."""
    stated = read_object(path)
    weight_map = stated.get("weight_map")
    if "metadata" not in stated:  # transformers fails at it
        raise FolderError(f'{path.parent}: {path.name} has no metadata; write `"metadata": {{}}` beside its weight_map')
    if not isinstance(weight_map, dict):
        raise FolderError(f"{path.parent}: {path.name} has no weight_map; get all files of the model")
    names = sorted({str(value) for value in weight_map.values()})
    if not names:
        raise FolderError(f"{path.parent}: {path.name} names no file; get all files of the model")
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(ENDS[kind]):
            raise FolderError(
                f"{path.parent}: {path.name} names {name!r}; its files lie beside it and end in {ENDS[kind]}: save the "
                "model anew with save_pretrained(folder)"
            )
    return tuple(names)


def weight_files(folder: Path, kind: str) -> tuple[Path, ...]:
    """The one file of weights, or those that its index names, sorted by name; none where neither is there."""
    whole, index = WEIGHTS[kind]
    if (folder / whole).exists() or (folder / whole).is_symlink():
        return (folder / whole,)
    return tuple(folder / name for name in indexed(folder / index, kind)) if (folder / index).is_file() else ()


def tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of the tensors of a safetensors file by name, from its header; FolderError where it is none."""
    if (why := absent(path)) is not None:
        raise FolderError(why)
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > LONGEST:
                raise ValueError("its header has no such length")
            stated = json.loads(handle.read(length))
        entries = {name: entry for name, entry in stated.items() if name != "__metadata__"}
        wanted = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        if (size := path.stat().st_size) != wanted:
            raise ValueError(f"{size} bytes, its header tells of {wanted}")
        return {name: (str(entry["dtype"]), tuple(int(n) for n in entry["shape"])) for name, entry in entries.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FolderError(f"{path}: not a safetensors file ({str(error)[:100]}); get it again") from None


def elements(folder: Path, kind: str) -> int | None:
    """Numbers in the weights of a folder: whatever their type, only of the files that are loaded; None without any.

    Of pickled weights it is their bytes over those of the type that config.json states. FolderError as the others.
    """
    files = [path for path in weight_files(folder, kind) if path.is_file()]
    if not files:
        return None
    if kind == "safetensors":
        return sum(_elements(path.as_posix(), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    stated = read_object(folder / CONFIG)
    size = BYTES.get(str(stated.get("dtype") or stated.get("torch_dtype")), 4)
    return sum(_stored(path) for path in files) // size


@functools.cache
def _elements(path: str, changed: int, size: int) -> int:
    return sum(math.prod(shape) for _, shape in tensors(Path(path)).values())


def _stored(path: Path) -> int:
    """Bytes of the tensors of a file that torch.save wrote, without unpickling it; its size where it is no such zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist() if "/data/" in member.filename)
    except (OSError, zipfile.BadZipFile):
        return path.stat().st_size


# Names that configurations have for their sizes, the first that is there counts.
_BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
_DECODER_BLOCKS = ("num_decoder_layers", "decoder_layers", "num_layers", "num_hidden_layers", "encoder_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim", "hidden_dim")
_INNER = ("intermediate_size", "n_inner", "d_ff", "encoder_ffn_dim", "ffn_dim", "hidden_dim")
_TEXT = ("text_config", "text_encoder", "generator", "decoder")  # of a model of texts and more, what reads the text


def neurons_of(stated: dict[str, Any], neurons: str, part: str) -> tuple[int, int] | None:
    """Layers and width of a configuration, for the keys `neurons:` and `part:` of an entry; None where it is silent."""
    stated = next((stated[key] for key in _TEXT if isinstance(stated.get(key), dict)), stated)

    def first(names: tuple[str, ...]) -> int | None:
        return next((value for name in names if isinstance(value := stated.get(name), int) and value > 0), None)

    blocks, width = first(_BLOCKS), first(_WIDTH)
    if blocks is None or width is None:
        return None
    if stated.get("is_encoder_decoder") and part != "encoder":
        decoder = first(_DECODER_BLOCKS) or blocks
        stacks = [decoder] if part == "decoder" else [blocks, decoder]
    else:
        stacks = [blocks]
    if neurons == "feed-forward":
        return sum(stacks), first(_INNER) or 4 * width
    return sum(stacks) + (len(stacks) if neurons == "hidden" else 0), width


def quantised(folder: Path, kind: str) -> str | None:
    """How the weights of a folder are quantised, None where they are plain numbers."""
    stated = read_object(folder / CONFIG).get("quantization_config")
    if stated:
        return str(stated.get("quant_method", "quantization_config")) if isinstance(stated, dict) else str(stated)
    for path in weight_files(folder, kind) if kind == "safetensors" else ():
        if path.is_file():
            for name, (dtype, shape) in tensors(path).items():
                if dtype not in PLAIN and len(shape) > 1 and name.endswith("weight"):
                    return f"{name} is {dtype}"
    return None


def code_elsewhere(folder: Path) -> list[tuple[str, str]]:
    """File and name of each piece of Python code of another repository that a folder names: (config.json, a/b--c.D)."""
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.name in {TOKENIZER, *(index for _, index in WEIGHTS.values())} or not path.is_file():
            continue
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # said where the file is used
            continue
        found += [(path.name, name) for name in dict.fromkeys(code_of(stated)) if ELSEWHERE in name]
    return found


def code_of(stated: Any, inside: bool = False) -> Iterator[str]:
    """All names below every `auto_map`: of the configuration, of its parts, of tokenizers (lists: slow and fast)."""
    if isinstance(stated, dict):
        for key, value in stated.items():
            yield from code_of(value, inside or key == "auto_map")
    elif isinstance(stated, list):
        for value in stated:
            yield from code_of(value, inside)
    elif inside and isinstance(stated, str):
        yield stated


def refuse_code_elsewhere(folder: Path) -> None:
    """FolderError where the folder names code of another repository: nothing would pin it, no run would see an edit."""
    for file, name in code_elsewhere(folder):
        repository, own = name.split(ELSEWHERE, 1)
        raise FolderError(
            f"{folder}: {file} names Python code of another repository ({name}), which no commit pins. Copy "
            f"{own.partition('.')[0]}.py of {repository}, and the files that it imports, into a folder with the model, "
            f"write {own} in its {file}, and name the folder as `path:`"
        )


def faults(params: Params) -> list[str]:
    """What the folders of the run's models lack or cannot be used for, a line each; of folders that are there."""
    found: list[str] = []
    for name in dict.fromkeys(params.trained(model) for model in params.run.models):
        entry = params.models[name]
        for given in dict.fromkeys(filter(None, (entry.path, *entry.folders.values()))):
            folder = params.resolve(given)
            if folder.is_dir():
                try:
                    check(folder, name, entry.weights, entry.trust_remote_code)
                except FolderError as error:
                    found.append(f"models.{name}: {error}")
    return list(dict.fromkeys(found))


def check(folder: Path, name: str, kind: str, trust: bool) -> tuple[Path, ...]:
    """Files of weights of a folder; FolderError where configuration or weights are missing, damaged or quantised."""
    whole, index = WEIGHTS[kind]
    wanted = f"a model is a folder with {CONFIG}, {whole}, {TOKENIZER}"
    if not folder.is_dir():
        raise FolderError(f"{folder}: no such folder; {wanted}")
    if (folder / ADAPTER).is_file():
        raise FolderError(
            f"{folder}: {ADAPTER} makes it an adapter, which changes a model that lies elsewhere or beside it; merge "
            "both where they are (peft: merge_and_unload) and save the model with save_pretrained(folder)"
        )
    if not (folder / CONFIG).exists():
        inner = ", ".join(sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}")))
        raise FolderError(f"{folder}: no {CONFIG}; {wanted}" + (f": such as those in {inner}" if inner else ""))
    named = [CONFIG, TOKENIZER, whole, index, *dict.fromkeys(name for names in VOCABULARIES for name in names)]
    _refuse_names(pointer(path) for path in code_below(folder))  # code may be empty
    _refuse_names(absent(folder / file) for file in named)
    files = weight_files(folder, kind)
    lost = [path.name for path in files if not path.exists() and not path.is_symlink()]
    if lost:
        raise FolderError(f"{folder}: no {', '.join(lost)}, which {index} names; get all files of the model")
    _refuse_names(absent(path) for path in files)
    if not files:
        raise FolderError(f"{folder}: no {whole}, {_other_weights(folder, name, kind)}")
    how = quantised(folder, kind)
    if how is not None:
        raise FolderError(
            f"{folder}: its weights are quantised ({how}), and activations are computed from plain ones; give the "
            "model as it was before, in float32, bfloat16 or float16"
        )
    if kind == "safetensors":
        refuse_unclear(folder, kind, {path.name: list(tensors(path)) for path in files})
    if trust:
        refuse_code_elsewhere(folder)
    if not (folder / TOKENIZER).is_file() and not any(all((folder / f).is_file() for f in v) for v in VOCABULARIES):
        half = next((f for f in ("vocab.json", "merges.txt") if (folder / f).is_file()), None)
        only = (
            f"only {half} of the two files vocab.json and merges.txt; get the other, or" if half else "no vocabulary;"
        )
        raise FolderError(
            f"{folder}: no {TOKENIZER}, {only} convert the tokenizer where it is whole with "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder), or build one with the tokenizers library: "
            "character offsets need a fast tokenizer"
        )
    return files


def refuse_unclear(folder: Path, kind: str, held: dict[str, list[str]]) -> None:
    """FolderError where several files hold a tensor, or none holds one that the index names; ``held``: by file."""
    owner: dict[str, str] = {}
    for file, names in held.items():
        for name in names:
            if (first := owner.setdefault(name, file)) != file:
                raise FolderError(
                    f"{folder}: both {first} and {file} hold {name}, so it is not clear which counts; get all files of "
                    "the model again"
                )
    index = folder / WEIGHTS[kind][1]
    if WEIGHTS[kind][0] not in held and index.is_file():
        lost = sorted(name for name in read_object(index)["weight_map"] if name not in owner)
        if lost:
            raise FolderError(
                f"{folder}: {index.name} names {len(lost)} tensors that none of its files holds, such as {lost[0]}; "
                "get all files of the model again"
            )


def _refuse_names(found: Iterable[str | None]) -> None:
    """FolderError of the first file that is there in name only, with the number of the others."""
    why = [text for text in found if text is not None]
    if why:
        raise FolderError(why[0] + (f" (and {len(why) - 1} more files)" if why[1:] else ""))


def _other_weights(folder: Path, name: str, kind: str) -> str:
    """What lies there instead of the weights that are looked for, and what to write."""
    if kind == "bin":
        there = any((folder / file).is_file() for file in WEIGHTS["safetensors"])
        return f"but {WEIGHTS['safetensors'][0]}; take models.{name}.weights out" if there else "no weights"
    if any((folder / file).is_file() for file in WEIGHTS["bin"]):
        return (
            f"only {WEIGHTS['bin'][0]}, a pickle, of which tensors alone can be loaded and nothing is run: write "
            f"`weights: bin` for models.{name}, or save it as safetensors where you trust it"
        )
    loose = sorted(p.name for p in folder.glob("*.safetensors"))
    if loose:
        return (
            f"only {', '.join(loose[:4])} without the index {WEIGHTS['safetensors'][1]} that says what is where; get "
            "all files of the model"
        )
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(pattern))
    why = f"only {', '.join(pickles)}, a pickle, which can run code when it is read" if pickles else "no weights"
    return f"{why}; load the model once where you trust it and call save_pretrained(folder)"

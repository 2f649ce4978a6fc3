"""Half precision and other devices against float32 on the cpu; where a device is missing its tests are skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from neurosieve.activations import ActivationsError, dump_activations
from neurosieve.activations import dump as module
from neurosieve.activations.devices import find_device
from neurosieve.activations.models import load_folder
from neurosieve.artifacts import Paths, Writer, read_manifest
from neurosieve.config import SPLITS, Activations, Model, load_params

TEXTS = ["def add(first, second):\n    return first + second\n", "x = 1", "names.append(name)\n" * 20, "y == x[0]"]
# What rounding may change, as a share of the root mean square of a layer.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.15, "float16": 0.02}
DTYPES = tuple(TOLERANCE)
KINDS = [
    ("bert", "encoder", "hidden"), ("modernbert", "encoder", "feed-forward"), ("gpt2", "encoder", "hidden"),
    ("llama", "encoder", "attention"), ("deberta-v2", "encoder", "hidden"), ("codegen", "encoder", "feed-forward"),
    ("t5", "both", "hidden"), ("bart", "both", "hidden"), ("bart", "decoder", "feed-forward"),
]  # fmt: skip
AVAILABLE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
DEVICES = [
    pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"torch {torch.__version__} sees no {name} here"))
    for name, there in AVAILABLE.items()
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights a third of those of tiny_models: they are to be as smooth as trained ones are."""
    root, found = tmp_path_factory.mktemp("models"), {}
    for name in dict.fromkeys(name for name, _, _ in KINDS):
        found[name] = tiny_models.save(root / name, name)
        file = found[name] / "model.safetensors"
        state = {key: value / 3 if value.ndim > 1 else value for key, value in load_file(file).items()}
        save_file(state, file, metadata={"format": "pt"})
    return found


def write_task(paths: Paths, unit: str) -> None:
    for split in SPLITS:
        with Writer(paths.task(unit) / split, "prepare", {}) as writer:
            writer.jsonl("inputs.jsonl", [{"id": i, "text": t, "file": f"{i}.py"} for i, t in enumerate(TEXTS)])
            rows = [{"input": i, "start": 0, "end": min(4, len(t)), "label": 0} for i, t in enumerate(TEXTS)]
            writer.jsonl(
                "rows.jsonl", rows if unit == "token" else [{"input": i, "label": 0} for i in range(len(TEXTS))]
            )


def dump(folder: Path, build: Path, dtype: str, unit: str, how: str, part: str, neurons: str) -> np.ndarray:
    """(layers, vectors, width) of the train split, and a check of what the manifest says."""
    paths = Paths("b", build)
    write_task(paths, unit)
    options = {"subword": how, "pooling": "mean"} if unit == "token" else {"subword": "mean", "pooling": how}
    settings = Activations(window=24, batch_tokens=64, dtype=dtype, **options)  # type: ignore[arg-type]
    models = {"m": Model(path=str(folder), part=part, neurons=neurons)}  # type: ignore[arg-type]
    update = {"models": models, "activations": settings, "numerics": "fast"}
    dump_activations(load_params("params.yaml").model_copy(update=update), paths, model="m", task=unit)
    out = paths.activations("m", unit, "train")
    facts = read_manifest(out)["facts"]
    assert (facts["dtype"], facts["device"]) == (dtype, find_device("fast").type)
    found = np.stack([np.load(out / f"layer_{layer:02d}.npy") for layer in range(facts["layers"])])
    assert found.dtype == np.float32
    return found


def compare(found: np.ndarray, wanted: np.ndarray, dtype: str) -> None:
    scale = np.sqrt((wanted**2).mean(axis=(1, 2), keepdims=True))
    error = np.abs(found - wanted) / scale
    assert np.sqrt((error**2).mean()) < TOLERANCE[dtype] / 3 and error.max() < 3 * TOLERANCE[dtype]
    if dtype != "float32":
        assert error.max() > 1e-5  # it was computed in half precision


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("name", "part", "neurons"), KINDS)
def test_half_precision_on_the_cpu(
    name: str, part: str, neurons: str, dtype: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    for unit, how in (("token", "mean"), ("sequence", "max")):
        both = [dump(folders[name], tmp_path / d, d, unit, how, part, neurons) for d in (dtype, "float32")]
        compare(both[0], both[1], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "part", "neurons"), KINDS)
@pytest.mark.parametrize("device", DEVICES)
def test_other_devices(
    device: str,
    name: str,
    part: str,
    neurons: str,
    dtype: str,
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for unit, how in (("token", "mean"), ("token", "first"), ("sequence", "mean"), ("sequence", "max")):
        monkeypatch.delenv("NEUROSIEVE_DEVICE", raising=False)
        wanted = dump(folders[name], tmp_path / "cpu", "float32", unit, how, part, neurons)
        monkeypatch.setenv("NEUROSIEVE_DEVICE", device)
        found = dump(folders[name], tmp_path / device, dtype, unit, how, part, neurons)
        compare(found, wanted, dtype)


@pytest.mark.parametrize("device", DEVICES)
def test_auto_takes_the_device_that_is_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROSIEVE_DEVICE", "auto")
    assert find_device("fast").type == ("cuda" if AVAILABLE["cuda"] else device)


@pytest.mark.parametrize(
    ("unit", "how"), [("token", "first"), ("token", "mean"), ("sequence", "last"), ("sequence", "max")]
)
def test_the_way_over_a_device_gives_the_same_bits(
    unit: str, how: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows gathered before they are copied, as on a device, here of states that are no float32 of the cpu."""
    wanted = dump(folders["gpt2"], tmp_path / "a", "float32", unit, how, "encoder", "hidden")
    plain = module.layer_states
    monkeypatch.setattr(module, "layer_states", lambda *given: tuple(state.double() for state in plain(*given)))
    found = dump(folders["gpt2"], tmp_path / "b", "float32", unit, how, "encoder", "hidden")
    assert found.tobytes() == wanted.tobytes()


def test_values_too_large_for_half_precision(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for file in folders["gpt2"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    state["h.0.mlp.c_proj.bias"][:] = 1e5
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    arguments = ("token", "mean", "encoder", "hidden")
    with pytest.raises(
        ActivationsError, match=r"not finite; too large for float16: write `dtype: bfloat16` or `dtype: fl"
    ):
        dump(folder, tmp_path / "a", "float16", *arguments)
    assert np.isfinite(dump(folder, tmp_path / "b", "bfloat16", *arguments)).all()


@pytest.mark.parametrize("found", ["gpu", "cuda:", "cuda:x", "cpu:1", "mps:0", "CUDA"])
def test_names_that_are_no_device(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROSIEVE_DEVICE", found)
    with pytest.raises(
        ActivationsError, match=r"NEUROSIEVE_DEVICE: found .*; write cpu \(the default\), cuda, cuda:1, mps"
    ):
        find_device("fast")


def test_devices_that_are_missing_or_not_portable(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROSIEVE_DEVICE", raising=False)
    assert find_device("portable") == find_device("fast") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps", "cuda:0"):
        monkeypatch.setenv("NEUROSIEVE_DEVICE", name)
        with pytest.raises(ActivationsError, match="other bits than `numerics: portable` promises; unset it"):
            load_folder(folders["bert"], "m", "portable")
    monkeypatch.setenv("NEUROSIEVE_DEVICE", "cuda:1")
    with pytest.raises(ActivationsError, match=r"found 'cuda:1'; torch .* sees 1 CUDA devices here"):
        find_device("fast")
    monkeypatch.setenv("NEUROSIEVE_DEVICE", "mps")
    with pytest.raises(ActivationsError, match=r"found 'mps', which torch .* lacks here"):
        find_device("fast")
    monkeypatch.setenv("NEUROSIEVE_DEVICE", "auto")
    assert (find_device("fast").type, find_device("portable").type) == ("cuda", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("fast").type == "cpu"


def test_half_precision_is_not_portable(folders: dict[str, Path]) -> None:
    with pytest.raises(ActivationsError, match=r"activations.dtype: found bfloat16; portable numerics need float32"):
        load_folder(folders["bert"], "m", "portable", "bfloat16")

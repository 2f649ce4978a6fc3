"""Costs of layers against counts by hand, against autograd (which parameters?) and torch's own counter of flops.

And models cut above a layer: bits, and what runs.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AlbertConfig, AlbertModel, AutoModel, LlamaConfig, LlamaModel

from neurosieve.activations import cost
from neurosieve.activations.batches import plan_inputs
from neurosieve.activations.cut import CutError, cut
from neurosieve.activations.dump import run_plan
from neurosieve.activations.models import Loaded, hidden_states, load_folder
from neurosieve.leaderboard.collect import certified

ARCHITECTURES = tiny_models.ARCHITECTURES
# heads times head width, where it is not the model's width
HEADS = {"qwen2": 24, "qwen3": 24, "t5": 12, "codet5": 12}
TEXTS = ["def add(first, second):\n    return first + second\n", "x = 1", "names.append(name)\n" * 20, "y == x[0]"]
V, H, F, P, T = tiny_models.VOCABULARY, 16, 24, 64, 40  # the sizes of tests/tiny_models.py (F: inner); T: context


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.save(root / name, name) for name in ARCHITECTURES}


def load(folder: Path, numerics: str = "portable") -> Loaded:
    return load_folder(folder, "m", numerics)


def by_hand() -> dict[str, tuple[list[int], int]]:
    """Architecture -> parameters up to layers 0, 1, 2, and multiply-adds of the linear products of one block."""
    norm = 2 * H
    bert = 4 * (H * H + H) + norm + (H * F + F) + (F * H + H) + norm
    gpt2 = norm + (H * 3 * H + 3 * H) + (H * H + H) + norm + (H * F + F) + (F * H + H)
    modern = H * 3 * H + H * H + H + H * 2 * F + F * H  # no biases; the first block has no norm before attention
    bert0, gpt20, modern0 = V * H + P * H + 2 * H + norm, V * H + P * H, V * H + H
    return {
        "bert": ([bert0, bert0 + bert, bert0 + 2 * bert], 4 * H * H + 2 * H * F),
        "gpt2": ([gpt20, gpt20 + gpt2, gpt20 + 2 * gpt2 + norm], 4 * H * H + 2 * H * F),  # the last norm with layer 2
        "modernbert": ([modern0, modern0 + modern, modern0 + 2 * modern + H + H], 4 * H * H + 3 * H * F),
    }


def plain(folder: Path, **options: Any) -> Any:
    """The model without a pooler, of an encoder-decoder the encoder."""
    model = AutoModel.from_pretrained(folder, **options)
    if hasattr(model, "pooler"):
        model.pooler = None
    return model.get_encoder() if model.config.is_encoder_decoder else model


@pytest.mark.parametrize("numerics", ["portable", "fast"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "modernbert"])
def test_counts_by_hand(name: str, numerics: str, folders: dict[str, Path]) -> None:
    parameters, products = by_hand()[name]
    found = cost.layer_costs(load(folders[name], numerics), T)
    assert found["window"] == T and found["matrices_not_counted"] == 0
    assert [entry["layer"] for entry in found["layers"]] == [0, 1, 2]
    assert [entry["parameters"] for entry in found["layers"]] == parameters
    assert [entry["bytes"] for entry in found["layers"]] == [4 * n for n in parameters]
    assert [entry["bytes_stored"] for entry in found["layers"]] == [4 * n for n in parameters]
    assert [entry["flops"] for entry in found["layers"]] == [i * (2 * products + 4 * T * H) for i in range(3)]


def test_the_context_is_no_longer_than_the_model(folders: dict[str, Path]) -> None:
    assert cost.layer_costs(load(folders["bert"]), 10**6)["window"] == P


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_those_that_get_a_gradient(name: str, folders: dict[str, Path]) -> None:
    model = plain(folders[name])
    ids = torch.tensor([[5, 6, 7, 8]])
    wanted = []
    for layer in range(3):
        model.zero_grad(set_to_none=True)
        model(input_ids=ids, output_hidden_states=True).hidden_states[layer].sum().backward()
        wanted.append(sum(p.numel() for p in model.parameters() if p.grad is not None))
    found = cost.layer_costs(load(folders[name]), T)["layers"]
    assert [entry["parameters"] for entry in found] == wanted


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_flops_against_the_counter_of_torch(name: str, folders: dict[str, Path]) -> None:
    model = plain(folders[name], attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(T)[None] + 5)
    counted = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    linear = sum(count for op, count in counted.items() if op in ("aten.mm", "aten.addmm"))
    last = cost.layer_costs(load(folders[name]), T)["layers"][-1]
    found = T * (last["flops"] - 2 * 4 * T * HEADS.get(name, H))
    if (
        name == "deberta-v2"
    ):  # its products of 16 relative positions, shared by the T sub-words: rounded up to whole ones
        assert 0 <= found - linear < 2 * 2 * T
        return
    assert linear == found
    if name in ("bert", "roberta", "gpt2"):  # the others have the angles of rotary positions among these products
        assert sum(counted.values()) == T * last["flops"]


def test_matrices_of_unknown_modules_are_told_and_shared_ones_counted_once() -> None:
    class Toy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.raw = torch.nn.Parameter(torch.zeros(3, 4))
            self.first, self.second = torch.nn.Linear(5, 5, bias=False), torch.nn.Linear(5, 5, bias=False)
            self.second.weight = self.first.weight

    toy = Toy()
    trace: Any = SimpleNamespace(began={toy: 1, toy.first: 9, toy.second: 4})  # the second is called first
    assert cost._parameters(toy, trace) == ({"raw": (1, 12), "second.weight": (4, 25)}, 12)


def test_a_layer_is_there_only_when_its_values_are() -> None:
    """The second state was made in place in a tensor that was seen before; the third was seen by no module."""
    first, second, third = torch.ones(1, 2, 3), torch.full((1, 2, 3), 5.0), torch.zeros(1, 2, 3)
    seen = [(1, first, first.clone()), (2, second, torch.zeros(1, 2, 3)), (4, second, second.clone())]
    assert cost._ends([first, second, third], seen, 7) == [1, 4, 7]
    assert cost._ends([first, third, second], seen, 7) == [1, 4, 4]


def test_heads_wider_together_than_the_model(tmp_path: Path, folders: dict[str, Path]) -> None:
    sizes = {**tiny_models.SIZES, "vocab_size": V, "max_position_embeddings": P}
    LlamaModel(LlamaConfig(head_dim=20, bos_token_id=1, eos_token_id=2, **sizes)).save_pretrained(tmp_path)
    tiny_models.tokenizer("llama", P).save_pretrained(tmp_path)
    layers = cost.layer_costs(load(tmp_path), T)["layers"]
    assert layers[1]["flops"] - layers[0]["flops"] == 2 * (4 * H * 40 + 3 * H * F) + 4 * T * 40


def save_albert(folder: Path) -> Path:
    """One block that runs twice: parameters once, products twice."""
    torch.manual_seed(0)
    sizes = {**tiny_models.SIZES, "vocab_size": V, "max_position_embeddings": P, "embedding_size": 8}
    AlbertModel(AlbertConfig(pad_token_id=0, **sizes), add_pooling_layer=False).save_pretrained(folder)
    tiny_models.tokenizer("bert", P).save_pretrained(folder)
    return folder


def test_a_block_that_runs_twice(tmp_path: Path) -> None:
    layers = cost.layer_costs(load(save_albert(tmp_path)), T)["layers"]
    block = 4 * (H * H + H) + 2 * H + (H * F + F) + (F * H + H) + 2 * H
    embedding = 8 * (V + P + 2) + 2 * 8 + 8 * H + H
    assert [entry["parameters"] for entry in layers] == [embedding, embedding + block, embedding + block]
    products = 2 * (4 * H * H + 2 * H * F) + 4 * T * H
    assert [entry["flops"] for entry in layers] == [2 * 8 * H + i * products for i in range(3)]


def test_bytes_as_stored(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Half precision but for the norms, under names with a prefix as files of models with a head have them."""
    tiny_models.save(tmp_path, "gpt2")
    tensors = load_file(tmp_path / "model.safetensors")
    halves = {f"transformer.{k}": v if ".ln_" in k or k.startswith("ln_") else v.half() for k, v in tensors.items()}
    save_file(halves, tmp_path / "model.safetensors", metadata={"format": "pt"})
    layers = cost.layer_costs(load(tmp_path), T)["layers"]
    norms = [0, 4 * H, 10 * H]
    assert [e["bytes_stored"] for e in layers] == [
        2 * e["parameters"] + 2 * n for e, n in zip(layers, norms, strict=True)
    ]
    assert [e["bytes"] for e in layers] == [4 * e["parameters"] for e in layers]


@pytest.mark.parametrize("part", ["decoder", "both"])
@pytest.mark.parametrize("neurons", ["hidden", "feed-forward", "attention"])
@pytest.mark.parametrize("name", ["bart", "t5"])
def test_costs_of_an_encoder_decoder(name: str, part: str, neurons: str, folders: dict[str, Path]) -> None:
    """Parameters against autograd, flops by hand."""
    loaded = load_folder(folders[name], "m", "plain", part=part, neurons=neurons)
    found = cost.layer_costs(loaded, T)
    ids = torch.tensor([[5, 6, 7, 8]])
    wanted, theirs_of = [], {"hidden": 4, "feed-forward": 3, "attention": 3}
    for layer in range(loaded.layers):
        loaded.model.requires_grad_(True).zero_grad(set_to_none=True)
        with torch.inference_mode(False):
            states = [state for stack in raw_with_gradient(loaded, ids) for state in stack]
            states[layer].sum().backward()
        # the whole encoder runs before the decoder begins, whatever of it is needed
        before = (
            {id(p) for p in loaded.model.encoder.parameters()} if layer >= loaded.layers - theirs_of[neurons] else ()
        )
        wanted.append(sum(p.numel() for p in loaded.model.parameters() if p.grad is not None or id(p) in before))
    assert [entry["parameters"] for entry in found["layers"]] == wanted
    A = HEADS.get(name, H)
    attention, forward = 2 * 4 * H * A + 4 * T * A, 2 * (3 if name == "t5" else 2) * H * F
    encoder, decoder, last = attention + forward, 2 * attention + forward, 2 * F * H
    inside = {"hidden": 0, "feed-forward": -last, "attention": -forward}[neurons]
    first = 0 if neurons == "hidden" else 1
    own = [i * encoder + (inside if i else 0) for i in range(first, 3)] if part == "both" else []
    # what is taken in a decoder's block lies before its cross-attention where that is the block's own attention
    crossed = attention if neurons == "attention" else 0
    theirs = [2 * encoder + i * decoder + ((inside - crossed) if i else 0) for i in range(first, 4)]
    # keys and values of the cross-attention are products of the encoder's output, made once per block
    assert [entry["flops"] for entry in found["layers"]] == own + theirs
    blocks = list(range(first, 3)) if part == "both" else []
    assert [entry["blocks"] for entry in found["layers"]] == blocks + [2 + i for i in range(first, 4)]


def raw_with_gradient(loaded: Loaded, ids: torch.Tensor) -> Any:
    more = loaded.part.feed(ids, None)  # type: ignore[union-attr]
    if loaded.sites is None:
        out = loaded.model(ids, **more, output_hidden_states=True)
        return [out.encoder_hidden_states, out.decoder_hidden_states][loaded.part.kind == "decoder" :]  # type: ignore[union-attr]
    with loaded.sites.caught() as found:
        loaded.model(ids, **more)
    return [found]


@pytest.mark.parametrize("neurons", ["feed-forward", "attention"])
@pytest.mark.parametrize("name", ["bert", "gpt_neox", "llama"])
def test_costs_of_neurons_inside_of_blocks(name: str, neurons: str, folders: dict[str, Path]) -> None:
    inside = cost.layer_costs(load_folder(folders[name], "m", "portable", neurons=neurons), T)["layers"]
    hidden = cost.layer_costs(load(folders[name]), T)["layers"]
    down, forward = 2 * F * H, 2 * (3 if name == "llama" else 2) * H * F
    assert [e["blocks"] for e in inside] == [1, 2]
    less = down if neurons == "feed-forward" else forward
    assert [e["flops"] for e in inside] == [e["flops"] - less for e in hidden[1:]]
    assert all(a["parameters"] < b["parameters"] for a, b in zip(inside, hidden[1:], strict=True))
    found = certified([0], 2, F, {"window": T, "layers": inside}, 3, 1)
    assert found is not None and (found["blocks_needed"], found["blocks"]) == (1, 2)


def test_neurons_that_a_cut_model_lacks_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(CutError, match="neurons inside of its blocks are taken from the whole model only"):
        cut(load_folder(folders["bert"], "m", "portable", neurons="attention"), 0)
    with pytest.raises(CutError, match="a decoder that sees an encoder are taken from the whole"):
        cut(load_folder(folders["bart"], "m", "portable", part="both"), 0)


def vectors(loaded: Loaded, window: int = 24) -> np.ndarray:
    """(layers, texts, width) of TEXTS, the third in many windows."""
    inputs = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    plan = plan_inputs(
        inputs, None, loaded.coding, lambda kind, i: f"{kind} {i}",
        subword="mean", pooling="mean", window=window, batch_tokens=64,
    )  # fmt: skip
    out = np.full((loaded.layers, len(TEXTS), loaded.width), np.nan, np.float32)
    for at, layers in run_plan(loaded, plan, "t"):
        for layer, values in enumerate(layers):
            out[layer, at] = values
    return out


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_cut_is_the_full_run_bit_for_bit_and_runs_no_later_block(
    name: str, layer: int, folders: dict[str, Path]
) -> None:
    whole = vectors(load(folders[name]))
    loaded = load(folders[name])
    blocks = next(m for m in loaded.model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 2)
    ran: list[int] = []
    handles = [b.register_forward_hook(lambda m, a, o, i=i: ran.append(i)) for i, b in enumerate(blocks)]
    vectors(loaded)
    assert set(ran) == {0, 1}  # the hooks see what runs
    if (name, layer) == ("deberta-v2", 0):
        with pytest.raises(CutError, match="its code needs the blocks above layer 0"):
            cut(loaded, layer)
        return
    kept = cut(loaded, layer)
    ran.clear()
    found = vectors(kept)
    assert set(ran) == set(range(layer))
    assert kept.layers == layer + 1
    assert found.tobytes() == whole[: layer + 1].tobytes()
    assert not np.array_equal(whole[1], whole[2])
    counted = cost.layer_costs(load(folders[name]), T)["layers"][layer]["parameters"]
    assert sum(p.numel() for p in kept.model.parameters()) == counted  # nothing else is left in memory
    for handle in handles:
        handle.remove()


def test_cut_refuses_a_layer_that_is_not_there_and_a_model_without_a_list_of_blocks(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match="found 3; model m has layers 0 to 2"):
        cut(load(folders["bert"]), 3)
    with pytest.raises(CutError, match="no list of 2 blocks"):
        cut(load(save_albert(tmp_path)), 1)


def test_cut_refuses_blocks_that_the_others_change(folders: dict[str, Path]) -> None:
    loaded = load(folders["bert"])
    inner = loaded.model.encoder.forward
    loaded.model.encoder.forward = lambda x, *a, **k: inner(x * len(loaded.model.encoder.layer), *a, **k)
    assert len(hidden_states(loaded.model, torch.tensor([[1, 2]]), None)) == 3
    with pytest.raises(CutError, match="change"):
        cut(loaded, 1)


def test_certified_figures_of_a_subset() -> None:
    """Neurons in layers 0 and 1 of three, of width 4; two columns each (pairs), two classes, so one output."""
    names = ("parameters", "bytes", "bytes_stored", "flops")
    layers = [{"layer": i, **dict.fromkeys(names, amount)} for i, amount in enumerate((10, 25, 50))]
    found = certified([7, 0], 3, 4, {"window": 512, "layers": layers}, 2, 2)
    assert found is not None
    assert (found["highest_layer"], found["blocks_needed"], found["blocks"]) == (1, 1, 2)
    assert (found["values_per_vector"], found["values_of_all"], found["window"]) == (2, 12, 512)
    for name in names:
        assert (found[name], found[f"{name}_of_all"], found[f"{name}_share"]) == (25, 50, 0.5)
    assert found["classifier"] == {"outputs": 1, "values": 4, "values_of_all": 24, "flops": 8, "flops_of_all": 48}
    three = certified([11], 3, 4, {"window": 512, "layers": layers}, 3, 1)
    assert three is not None and three["flops_share"] == 1 and three["classifier"]["flops"] == 2 * 1 * 3
    assert certified([], 3, 4, {"window": 512, "layers": layers}, 3, 1) is None

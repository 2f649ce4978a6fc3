"""Neurons inside of blocks: each architecture's block computed by hand from its modules, and blocks that are refused.

With A the attention outputs and F the feed-forward activations as they are taken, the test computes F from A and the
block's input, and the block's output from both: a wrong A or F breaks one of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from torch import nn
from torch.nn.functional import gelu, relu, silu
from transformers import AutoModel

from neurosieve.activations import ActivationsError
from neurosieve.activations.models import Loaded, layer_states, load_folder, raw_states
from neurosieve.activations.sites import SiteError, find_sites
from neurosieve.config import Model, load_params
from neurosieve.leaderboard.collect import _model_note

IDS = torch.arange(8, 24)[None]
By = tuple[torch.Tensor, torch.Tensor]  # feed-forward activations, the block's output


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.save(root / name, name) for name in tiny_models.ARCHITECTURES}


def gelu_new(x: torch.Tensor) -> torch.Tensor:
    return gelu(x, approximate="tanh")


def gated(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    x = h + a
    n = block.post_attention_layernorm(x)
    f = silu(block.mlp.gate_proj(n)) * block.mlp.up_proj(n)
    return f, x + block.mlp.down_proj(f)


def gpt2(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    x = h + a
    f = gelu_new(block.mlp.c_fc(block.ln_2(x)))
    return f, x + block.mlp.c_proj(f)


def starcoder2(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    x = h + a
    f = gelu_new(block.mlp.c_fc(block.post_attention_layernorm(x)))
    return f, x + block.mlp.c_proj(f)


def gpt_neox(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    f = gelu(block.mlp.dense_h_to_4h(block.post_attention_layernorm(h)))  # beside the attention, not after it
    return f, h + a + block.mlp.dense_4h_to_h(f)


def codegen(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    f = gelu_new(block.mlp.fc_in(block.ln_1(h)))
    return f, h + a + block.mlp.fc_out(f)


def modernbert(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    x = h + a
    values, gate = block.mlp.Wi(block.mlp_norm(x)).chunk(2, dim=-1)
    f = gelu(values) * gate
    return f, x + block.mlp.Wo(f)


def bert(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    x = block.attention.output.LayerNorm(a + h)
    f = gelu(block.intermediate.dense(x))
    return f, block.output.LayerNorm(block.output.dense(f) + x)


def distilbert(block: Any, h: torch.Tensor, a: torch.Tensor) -> By:
    x = block.sa_layer_norm(a + h)
    f = gelu(block.ffn.lin1(x))
    return f, block.output_layer_norm(block.ffn.lin2(f) + x)


def t5(block: Any, h: torch.Tensor, a: torch.Tensor, seen: torch.Tensor | None = None) -> By:
    x = h + a
    if seen is not None:
        x = x + block.layer[1].EncDecAttention(block.layer[1].layer_norm(x), key_value_states=seen)[0]
    n, dense = block.layer[-1].layer_norm(x), block.layer[-1].DenseReluDense
    f = relu(dense.wi(n)) if hasattr(dense, "wi") else gelu_new(dense.wi_0(n)) * dense.wi_1(n)
    return f, x + dense.wo(f)


def bart(block: Any, h: torch.Tensor, a: torch.Tensor, seen: torch.Tensor | None = None) -> By:
    x = block.self_attn_layer_norm(h + a)
    if seen is not None:
        x = block.encoder_attn_layer_norm(x + block.encoder_attn(x, key_value_states=seen)[0])
    f = gelu(block.fc1(x))
    return f, block.final_layer_norm(x + block.fc2(f))


# how a block computes, where the blocks are, and the norm after the last of them
BY_HAND: dict[str, tuple[Callable[..., By], str, str | None]] = {
    **{name: (modernbert, "layers", "final_norm") for name in ("modernbert", "modernbert-decoder")},
    **{name: (bert, "encoder.layer", None) for name in ("bert", "roberta", "electra", "deberta-v2")},
    "distilbert": (distilbert, "transformer.layer", None),
    "gpt2": (gpt2, "h", "ln_f"),
    "codegen": (codegen, "h", "ln_f"),
    **{name: (gated, "layers", "norm") for name in ("llama", "mistral", "qwen2", "qwen3")},
    "starcoder2": (starcoder2, "layers", "norm"),
    "gpt_neox": (gpt_neox, "layers", "final_layer_norm"),
    **{name: (t5, "block", "final_layer_norm") for name in ("t5", "codet5")},
    **{name: (bart, "layers", None) for name in ("bart", "plbart")},
}


def check(name: str, stack: Any, hidden: Any, attention: Any, forward: Any, *seen: torch.Tensor) -> None:
    compute, path, norm = BY_HAND[name]
    blocks = stack.get_submodule(path)
    assert len(attention) == len(forward) == len(blocks) == len(hidden) - 1 > 1
    for i, block in enumerate(blocks):
        found, out = compute(block, hidden[i], attention[i], *seen)
        if norm is not None and i == len(blocks) - 1:
            out = stack.get_submodule(norm)(out)
        torch.testing.assert_close(forward[i], found, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(hidden[i + 1], out, atol=1e-4, rtol=1e-4)


def states(folder: Path, neurons: str, part: str = "encoder") -> list[Any]:
    return raw_states(load_folder(folder, "m", "portable", neurons=neurons, part=part), IDS, None)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in tiny_models.ARCHITECTURES if name not in tiny_models.BOTH])
def test_neurons_inside_of_blocks_by_hand(name: str, folders: dict[str, Path]) -> None:
    plain = AutoModel.from_pretrained(folders[name]).eval()
    hidden = plain(IDS, output_hidden_states=True).hidden_states
    (attention,), (forward,) = (states(folders[name], site) for site in ("attention", "feed-forward"))
    assert {x.shape[-1] for x in forward} == {24} and {x.shape[-1] for x in attention} == {16}
    check(name, plain, hidden, attention, forward)


@torch.no_grad()
@pytest.mark.parametrize("name", tiny_models.BOTH)
def test_neurons_inside_of_encoder_decoders_by_hand(name: str, folders: dict[str, Path]) -> None:
    plain = AutoModel.from_pretrained(folders[name]).eval()
    loaded = load_folder(folders[name], "m", "portable", part="both")
    assert loaded.part is not None
    out = plain(IDS, **loaded.part.feed(IDS, None), output_hidden_states=True)
    sites = [states(folders[name], site, "both") for site in ("attention", "feed-forward")]
    check(name, plain.encoder, out.encoder_hidden_states, *(stacks[0] for stacks in sites))
    seen = out.encoder_last_hidden_state
    check(name, plain.decoder, out.decoder_hidden_states, *(stacks[1] for stacks in sites), seen)
    for site, both in zip(("attention", "feed-forward"), sites, strict=True):
        for part, stack in (("encoder", both[0]), ("decoder", both[1])):
            (alone,) = states(folders[name], site, part)
            assert all(torch.equal(a, b) for a, b in zip(alone, stack, strict=True))


def test_states_of_a_decoder_stand_at_the_sub_word_that_was_fed(folders: dict[str, Path]) -> None:
    for name in tiny_models.BOTH:
        loaded = load_folder(folders[name], "m", "fast", part="decoder")
        prefix, suffix = loaded.coding.prefix, loaded.coding.suffix
        text = list(range(20, 30))
        ids = torch.tensor([[*prefix, *text, *suffix]])
        found = layer_states(loaded, ids, None)
        fed = torch.tensor([[loaded.facts["decoder_start"], *prefix, *text]])
        with torch.no_grad():
            wanted = loaded.model(ids, decoder_input_ids=fed, output_hidden_states=True).decoder_hidden_states
        for a, b in zip(found, wanted, strict=True):
            assert a.shape[:2] == ids.shape
            torch.testing.assert_close(a[:, : len(prefix) + len(text)], b[:, 1:], atol=1e-4, rtol=1e-4)
        # layer 0 is the embedding of the very sub-word: for T5, which adds no positions, exactly
        if name in ("t5", "codet5"):
            embedded = loaded.model.shared(torch.tensor([text]))
            assert torch.equal(found[0][:, len(prefix) : len(prefix) + len(text)], embedded)


# --- architectures that nothing here names


OTHERS = {
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "falcon": {"parallel_attn": True, "ffn_hidden_size": 24},
    "gemma2": {"head_dim": 8, "num_key_value_heads": 1},
    "phi": {},
    "bloom": {"n_layer": 2},
    "albert": {"embedding_size": 8},
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_architecture_that_nothing_names(name: str, tmp_path: Path) -> None:
    """The last product's weight takes F to what is added; without attention and it the block adds nothing."""
    folder = tiny_models.save_other(tmp_path, name, **OTHERS[name])
    forward, attention = (load_folder(folder, "m", "fast", neurons=site) for site in ("feed-forward", "attention"))
    hidden = layer_states(load_folder(folder, "m", "fast"), IDS, None)
    assert (forward.layers, attention.layers, len(hidden)) == (2, 2, 3) and attention.width == 16
    assert forward.sites is not None and attention.sites is not None
    for loaded in (forward, attention):
        for product in loaded.sites.products:
            product.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    for product in forward.sites.attention:
        product.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    (bare,) = raw_states(load_bare(forward), IDS, None)
    if name != "albert":  # it ends its blocks with a norm
        assert torch.equal(bare[1], bare[0])
    assert not torch.equal(hidden[1], hidden[0])


def load_bare(loaded: Loaded) -> Loaded:
    """The same model, hooks and all, of which hidden states are taken."""
    return replace(loaded, sites=None)


def test_experts_are_refused(tmp_path: Path) -> None:
    more = {"num_local_experts": 2, "num_key_value_heads": 1, "head_dim": 8}
    folder = tiny_models.save_other(tmp_path, "mixtral", **more)
    with pytest.raises(
        ActivationsError, match=r"models.m.neurons: found 'feed-forward', but .* block 0 \(Mixtral.*hidden"
    ):
        load_folder(folder, "m", "fast", neurons="feed-forward")
    assert load_folder(folder, "m", "fast", neurons="attention").layers == 2
    assert load_folder(folder, "m", "fast").layers == 3


def test_feed_forward_layers_of_several_widths_are_refused(tmp_path: Path) -> None:
    sizes = {f"{part}_{key}": 2 for part in ("encoder", "decoder") for key in ("layers", "attention_heads")}
    sizes |= {"d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 32, "decoder_start_token_id": 0}
    folder = tiny_models.save_other(tmp_path, "bart", **sizes)
    with pytest.raises(ActivationsError, match=r"found layers of the widths \[24, 32\]; one width"):
        load_folder(folder, "m", "fast", neurons="feed-forward", part="both")
    assert load_folder(folder, "m", "fast", neurons="feed-forward", part="decoder").width == 32


# --- blocks made up for the rule


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.k, self.v, self.o, self.q = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        k, v, q = self.k(x), self.v(x), self.q(x)  # the query last: it stays at its position
        return self.o(torch.softmax(q @ k.mT, dim=-1) @ v)


class Block(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.attention, self.second = kind, Attention(), Attention()
        self.up, self.down, self.route = nn.Linear(8, 12), nn.Linear(12, 8), nn.Linear(8, 1)
        self.more_up, self.more_down = nn.Linear(8, 12), nn.Linear(12, 8)

    def feed(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "forward first":
            forward = self.feed(x)
            return x + self.attention(x) + forward
        if self.kind == "no forward":
            return x + self.attention(x)
        if self.kind == "no attention":
            return x + self.feed(x)
        if self.kind == "raw keys":
            mixed = torch.softmax(self.attention.q(x) @ x.mT, dim=-1) @ self.attention.v(x)
            y = x + self.attention.o(mixed)
            return y + self.feed(y)
        if self.kind == "routed":
            y = x + self.attention(x)
            return y + torch.sigmoid(self.route(y)) * self.feed(y)
        if self.kind == "two forwards":
            return x + self.attention(x) + self.feed(x) + self.more_down(torch.relu(self.more_up(x)))
        if self.kind == "two attentions":
            return x + self.attention(x) + self.second(x) + self.feed(x)
        if self.kind == "chunks":
            y = x + self.attention(x)
            return y + torch.cat([self.feed(part) for part in y.split(2, dim=1)], dim=1)
        y = x + self.attention(x)
        return y + self.feed(y)


class Toy(nn.Module):
    def __init__(self, *kinds: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(kind) for kind in kinds)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1]))
        return [*states[:-1], states[-1] / 2]  # something comes after the last block


def sites_of(neurons: str, *kinds: str) -> list[str]:
    torch.manual_seed(0)
    toy, x = Toy(*kinds), torch.randn(1, 6, 8)
    names = {module: name for name, module in toy.named_modules()}
    return [names[module] for module in find_sites(toy, lambda: [toy(x)], neurons).products]


def test_blocks_of_several_kinds() -> None:
    kinds = ("plain", "forward first", "plain")
    assert sites_of("feed-forward", *kinds) == ["blocks.0.down", "blocks.1.down", "blocks.2.down"]
    assert sites_of("attention", *kinds) == ["blocks.0.attention.o", "blocks.1.attention.o", "blocks.2.attention.o"]
    assert sites_of("attention", "no forward") == ["blocks.0.attention.o"]
    assert sites_of("attention", "raw keys") == ["blocks.0.attention.o"]
    assert sites_of("feed-forward", "no attention") == ["blocks.0.down"]
    assert sites_of("attention", "routed", "two forwards") == ["blocks.0.attention.o", "blocks.1.attention.o"]
    assert sites_of("feed-forward", "two attentions") == ["blocks.0.down"]


@pytest.mark.parametrize(
    ("neurons", "kind", "said"),
    [
        ("feed-forward", "no forward", r"block 1 \(Block\): one product that ends a feed-forward layer .* found none; "
         r".*in order: attention.k, attention.v, attention.q, attention.o$"),
        ("attention", "no attention", "one product that ends an attention is needed, found none"),
        ("feed-forward", "routed", "route decides from the block's input"),
        ("feed-forward", "two forwards", "found down, more_down"),
        ("attention", "two attentions", "found attention.o, second.o"),
        ("feed-forward", "chunks", "found none; .* up, down, up, down, up, down"),
    ],
)  # fmt: skip
def test_blocks_that_are_ambiguous_are_refused(neurons: str, kind: str, said: str) -> None:
    with pytest.raises(SiteError, match=said):
        sites_of(neurons, "plain", kind)


def test_a_model_without_a_list_of_blocks_is_refused() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = Block("plain"), Block("plain")

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            y = self.one(x)
            return [x, y, self.two(y)]

    flat, x = Flat(), torch.randn(1, 6, 8)
    with pytest.raises(SiteError, match="no module of a list of blocks turns hidden state 0 into hidden state 1"):
        find_sites(flat, lambda: [flat(x)], "attention")


def test_the_page_says_what_a_layer_is() -> None:
    models = {
        "a": Model(path="a", note="a note"),
        "b": Model(path="b", note="a note", part="both", neurons="feed-forward"),
        "u": Model(untrained="b", note="twin"),
    }
    params = load_params("params.yaml").model_copy(update={"models": models})
    inside = "encoder, then decoder; neurons are feed-forward activations, layer 0 is block 1"
    assert [_model_note(params, m) for m in "abu"] == ["a note", f"a note; {inside}", f"twin; {inside}"]

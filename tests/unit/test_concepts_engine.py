"""Neurons of every site set to means or to values of other tokens: against hooks written by hand, and by counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

from neurosieve.activations.batches import Rows
from neurosieve.activations.models import Loaded, NoHeadError, load_language_model
from neurosieve.concepts import heads, language
from neurosieve.concepts.language import PADDING, SPECIAL, TEXT, Batch, Change, Donors

WIDTH, UNITS = 16, 24
TEXTS = [
    "def add(first, second):\n    return first + second\n",
    "x = first\nadd(x)\n",
    "return second + first\n",
    "for first in second:\n    add(first)\n",
]
TOKENS = ["first", "second", "add", "return"]
# the modules, by their names in the library: what enters the last product of the MLP, what the attention adds
MODULES = {
    "gpt2": ("transformer.h.{}.mlp.c_proj", "transformer.h.{}.attn.c_proj"),
    "bert": ("bert.encoder.layer.{}.output.dense", "bert.encoder.layer.{}.attention.output.dense"),
    "modernbert": ("model.layers.{}.mlp.Wo", "model.layers.{}.attn.Wo"),
    "llama": ("model.layers.{}.mlp.down_proj", "model.layers.{}.self_attn.o_proj"),
}


@pytest.fixture(scope="module")
def loaded_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Loaded, int | None]]:
    root = tmp_path_factory.mktemp("models")
    return {
        name: load_language_model(tiny_models.save(root / name, name, head=True), name, "portable") for name in MODULES
    }


def rows_of(texts: list[str]) -> tuple[Rows, np.ndarray]:
    """Every occurrence of the tokens in the texts, and which token it is."""
    found = []
    for i, text in enumerate(texts):
        for label, token in enumerate(TOKENS):
            found += [(i, at, at + len(token), label) for at in range(len(text)) if text.startswith(token, at)]
    found.sort()
    table = np.array(found, np.int64).T.copy()
    return Rows(*table[:3]), table[3]


def draw(loaded: Loaded, mask: int | None, **changes: int) -> tuple[language.Sample, np.ndarray, np.ndarray]:
    """A sample, and the labels and files of its rows: every text is a file."""
    rows, labels = rows_of(TEXTS)
    settings = {"tokens": 400, "per_window": 2, "window": 24, "batch_tokens": 60} | changes
    inputs = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    found = language.draw_sample(
        inputs, rows, rows.input, loaded.coding, mask, "{}:{}".format, np.random.default_rng(1), **settings
    )
    return found, labels, rows.input


@torch.inference_mode()
def by_hand(loaded: Loaded, sample: language.Sample, place: str, entering: bool, set_to: Any) -> np.ndarray:
    """Log-probabilities of the right sub-words with a module's input or output replaced by a hook of torch's own."""
    found: list[float] = []
    module = loaded.model.get_submodule(place)
    for batch in sample.batches:
        if entering:
            hook = module.register_forward_pre_hook(lambda m, a, b=batch: (set_to(a[0], b), *a[1:]))
        else:
            hook = module.register_forward_hook(lambda m, a, out, b=batch: set_to(out, b))
        logits = loaded.model(input_ids=batch.ids, attention_mask=batch.attention).logits
        hook.remove()
        log_p = torch.log_softmax(logits[batch.window, batch.position].double(), -1)
        found += log_p[np.arange(len(batch.target)), batch.target].tolist()
    return np.array(found)


@pytest.mark.parametrize("kind", ["feed-forward", "attention"])
@pytest.mark.parametrize("name", list(MODULES))
def test_a_site_is_what_the_library_calls_it_and_a_change_reaches_it_alone(
    loaded_models: dict[str, tuple[Loaded, int | None]], name: str, kind: str
) -> None:
    loaded, mask = loaded_models[name]
    sample, _, _ = draw(loaded, mask)
    site = language.find_site(loaded, kind)
    width = UNITS if kind == "feed-forward" else WIDTH
    assert (site.layers, site.width) == (2, width)
    plain = language.predict(loaded, sample.batches).true
    units, mean = np.array([2, 9]), np.array([0.5, -1.5], np.float32)
    for layer in range(2):
        place = MODULES[name][kind == "attention"].format(layer)
        for amount in (0.0, 0.5, 2.0):
            change = Change(layer * width + units, mean, amount, site)
            found = language.predict(loaded, sample.batches, change).true

            def set_to(state: torch.Tensor, batch: Batch, amount: float = amount) -> torch.Tensor:
                out = state.clone()
                for unit, value in zip(units, mean, strict=True):
                    out[..., unit] = value + amount * (state[..., unit] - value)
                return out

            wanted = by_hand(loaded, sample, place, kind == "feed-forward", set_to)
            np.testing.assert_allclose(found, wanted, atol=2e-5)
            assert np.abs(found - plain).max() > 1e-3

        def at_some(state: torch.Tensor, batch: Batch) -> torch.Tensor:
            out = state.clone()
            for window, position in zip(batch.window, batch.position, strict=True):
                out[window, position, 2], out[window, position, 9] = 0.5, -1.5
            return out

        change = Change(layer * width + units, mean, 0.0, site, predicted=True)
        found = language.predict(loaded, sample.batches, change).true
        wanted = by_hand(loaded, sample, place, kind == "feed-forward", at_some)
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    every = np.arange(2 * width)
    kept = language.predict(loaded, sample.batches, Change(every, np.zeros(len(every), np.float32), 1.0, site)).true
    none = language.predict(loaded, sample.batches, Change(every[:0], np.zeros(0, np.float32), 0.0, site)).true
    assert (kept == plain).all() and (none == plain).all()


@pytest.mark.parametrize("name", list(MODULES))
def test_collected_states_are_those_that_the_library_gives(
    loaded_models: dict[str, tuple[Loaded, int | None]], name: str
) -> None:
    loaded, mask = loaded_models[name]
    sample, _, _ = draw(loaded, mask)
    found = language.collect(loaded, sample.batches, language.find_site(loaded, "hidden"), layers=[0, 1])
    assert found[2] is None
    with torch.inference_mode():
        for layer in range(2):
            wanted = [
                loaded.model(input_ids=b.ids, attention_mask=b.attention, output_hidden_states=True).hidden_states[
                    layer
                ]
                for b in sample.batches
            ]
            states: Any = found[layer]
            np.testing.assert_allclose(states.numpy(), torch.cat([w.reshape(-1, WIDTH) for w in wanted]), atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("gpt2", "hidden"), ("modernbert", "hidden"), ("llama", "feed-forward")])
def test_resampling_puts_the_donors_values_where_the_index_says(
    loaded_models: dict[str, tuple[Loaded, int | None]], name: str, kind: str
) -> None:
    loaded, mask = loaded_models[name]
    sample, labels, files = draw(loaded, mask)
    site = language.find_site(loaded, kind)
    states = language.collect(loaded, sample.batches, site)
    donors = language.draw_donors(sample.batches, labels, files, states, mask, np.random.default_rng(3))
    units = np.array([0, 5, 7])
    found = language.predict(loaded, sample.batches, Change(site.width + units, None, 0.0, site, donors)).true
    number = {id(batch): i for i, batch in enumerate(sample.batches)}

    def set_to(state: torch.Tensor, batch: Batch) -> torch.Tensor:
        out, index = state.clone(), donors.index[number[id(batch)]]
        for window, position in np.ndindex(*index.shape):
            if index[window, position] >= 0:
                for unit in units:
                    out[window, position, unit] = states[1][index[window, position], unit]  # type: ignore[index]
        return out

    layer_1 = {"gpt2": "transformer.h.0", "modernbert": "model.layers.0", "llama": MODULES["llama"][0].format(1)}[name]
    block = loaded.model.get_submodule(layer_1)
    tuples = kind == "hidden" and isinstance(next(_outputs(loaded, block, sample.batches[0])), tuple)
    set_block = (lambda out, b: (set_to(out[0], b), *out[1:])) if tuples else set_to
    np.testing.assert_allclose(found, by_hand(loaded, sample, layer_1, kind != "hidden", set_block), atol=2e-5)
    assert np.abs(found - language.predict(loaded, sample.batches).true).max() > 1e-4
    # every position its own donor: nothing changes, whichever neurons
    sizes = [batch.ids.numel() for batch in sample.batches]
    own = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    same = Donors(states, [o.reshape(b.ids.shape) for o, b in zip(own, sample.batches, strict=True)], {})
    every = np.arange(site.layers * site.width)
    unchanged = language.predict(loaded, sample.batches, Change(every, None, 0.0, site, same)).true
    np.testing.assert_allclose(unchanged, language.predict(loaded, sample.batches).true, atol=1e-5)


def _outputs(loaded: Loaded, module: Any, batch: Batch) -> Any:
    seen: list[Any] = []
    hook = module.register_forward_hook(lambda m, a, out: seen.append(out))
    with torch.inference_mode():
        loaded.model(input_ids=batch.ids, attention_mask=batch.attention)
    hook.remove()
    return iter(seen)


@pytest.mark.parametrize("name", ["gpt2", "modernbert"])
def test_batches_say_which_token_stands_where(loaded_models: dict[str, tuple[Loaded, int | None]], name: str) -> None:
    loaded, mask = loaded_models[name]
    sample, _, _ = draw(loaded, mask)
    rows, _ = rows_of(TEXTS)
    prefix = len(loaded.coding.prefix)
    for batch in sample.batches:
        assert batch.row is not None
        assert ((batch.row == PADDING) == (batch.attention.numpy() == 0)).all()
        for window in range(len(batch.ids)):
            text = TEXTS[rows.input[batch.row[window].max()]]
            coded = loaded.coding.tokenizer.encode(text, add_special_tokens=False)
            assert len(coded.ids) <= 22  # whole texts: the window is the text
            for at, (start, end) in enumerate(coded.offsets):
                hit = (rows.input == rows.input[batch.row[window].max()]) & (start < rows.end) & (end > rows.start)
                assert batch.row[window, prefix + at] == (np.flatnonzero(hit)[0] if hit.any() else TEXT)
            own = batch.attention[window].numpy() == 1
            assert (batch.row[window, own] == SPECIAL).sum() == prefix + len(loaded.coding.suffix)
    # the predicted tokens are among them, one place on in a causal model
    at = np.concatenate([b.row[b.window, b.position + (mask is None)] for b in sample.batches])  # type: ignore[index]
    assert (at == sample.rows).all()


def made_batches(rows: list[list[list[int]]]) -> list[Batch]:
    """Batches of which only the rows matter; special tokens have the id 1."""
    made = []
    for table in rows:
        row = np.array(table, np.int64)
        ids = torch.from_numpy(np.where(row == SPECIAL, 1, 50))
        made.append(Batch(ids, torch.ones_like(ids), *np.zeros((3, 1), np.int64), row))
    return made


def test_donors_are_of_the_same_class_and_of_another_file() -> None:
    # rows 0-5 with classes A A B B A C; files 0 0 0 1 1 1; one window of each file, and one more of file 1
    labels, files = np.array([0, 0, 1, 1, 0, 2]), np.array([0, 0, 0, 1, 1, 1])
    batches = made_batches([[[SPECIAL, 0, 0, 1, TEXT, 2], [SPECIAL, 3, 4, TEXT, PADDING, PADDING]], [[SPECIAL, 5, 4]]])
    flat = np.array([SPECIAL, 0, 0, 1, TEXT, 2, SPECIAL, 3, 4, TEXT, PADDING, PADDING, SPECIAL, 5, 4])
    file = np.repeat([0, 1, 1], [6, 6, 3])
    seen: dict[int, set[int]] = {}
    for seed in range(200):
        donors = language.draw_donors(batches, labels, files, [], None, np.random.default_rng(seed))
        index = np.concatenate([part.ravel() for part in donors.index])
        assert [part.shape for part in donors.index] == [(2, 6), (1, 3)]
        for place, taken in enumerate(index.tolist()):
            seen.setdefault(place, set()).add(taken)
        assert donors.facts == {"positions": 13, "labelled": 8, "other_kind": 1}
        again = language.draw_donors(batches, labels, files, [], None, np.random.default_rng(seed))
        assert all((a == b).all() for a, b in zip(donors.index, again.index, strict=True))
    kind = np.where(flat >= 0, labels[np.maximum(flat, 0)], flat)
    for place in range(15):
        wanted = set(np.flatnonzero((kind == kind[place]) & (file != file[place])).tolist())
        if flat[place] == PADDING:
            wanted = {-1}
        elif flat[place] == 5:  # no other token of class C: any position of the other file
            wanted = set(range(6))
        assert seen[place] == wanted, place
    with pytest.raises(NoHeadError, match="of one file"):
        language.draw_donors(batches, labels, np.zeros(6, np.int64), [], None, np.random.default_rng(0))


def test_of_pairs_with_a_file_in_common_neither_side_is_given_values_of_its_own_file() -> None:
    # rows 0, 1: pairs of the inputs (0, 1) and (0, 2), each of a file of its own; left sides, then right ones
    batches = made_batches([[[0, 0], [1, 1], [0, 0], [1, 1]]])
    rows, left, right = np.array([0, 1]), np.array([0, 0]), np.array([1, 2])
    of_lines = heads.line_files([replace(batches[0], target=rows)], rows, left, right, np.array([7, 8, 9]))
    assert [own.tolist() for own in of_lines] == [[7, 7, 8, 9]]
    taken: dict[bool, set[int]] = {True: set(), False: set()}
    for seed in range(40):
        for own in (True, False):
            found = language.draw_donors(
                batches, np.zeros(2, np.int64), rows, [], None, np.random.default_rng(seed), True,
                of_lines if own else None,
            )  # fmt: skip
            taken[own] |= set((found.index[0][:2] // 2).ravel().tolist())  # lines given to the two of file 7
    assert taken == {True: {2, 3}, False: {0, 1, 2, 3}}


def test_a_masked_position_is_given_masked_values() -> None:
    labels, files = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 1])
    batches = made_batches([[[0, 1, TEXT], [2, 3, 4]]])
    batches[0].ids[0, 0] = batches[0].ids[1, 1] = batches[0].ids[1, 2] = 9
    for seed in range(20):
        donors = language.draw_donors(batches, labels, files, [], 9, np.random.default_rng(seed))
        index = donors.index[0].ravel().tolist()
        assert [index[i] for i in (0, 1, 3, 4)] == [4, 3, 1, 0]  # one candidate each
        assert index[5] == 0  # no other token of its class: a masked one
        assert donors.facts["other_kind"] == 2  # and the text outside tokens

"""A neuron in the space of the model's own token embeddings.

Question: which sub-words lie in the direction of a neuron, and does that agree with the types that it reacts to?

Null: which type has which sub-words, permuted over types with about as many rows (the same whole part of log2); beside
it as many random neurons of the same layers.

Source: nostalgebraist, "interpreting GPT: the logit lens" (2020), and Dar, Geva, Gupta, Berant, "Analyzing Transformers
in Embedding Space" (ACL 2023): directions of hidden states read in the space of the vocabulary.

The direction of a neuron is the unit vector of its component. Its score for a sub-word is that component of the
sub-word's embedding. "input": the input embeddings, which every model has; "output": of a model whose last state goes
straight into the head, the rows of its unembedding after the scale (and the centring) of the final norm, which the
last layer has behind it. A type has the mean score of its sub-words, as written with and without a blank before it.
What a neuron reacts to: its mean z per type on judge, of types with ``min_count`` rows. Agreement is
Spearman's correlation of the two over types. In layer 0 a neuron is, but for the normalisation, that component of the
embedding: agreement there says that the lens works, not what the model learned; an untrained twin has it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosieve.concepts.lenses import Headline, LensInput, LensReport, Nothing
from neurosieve.probes.metrics import column_ranks

if TYPE_CHECKING:
    from neurosieve.activations.models import Loaded

UNITS = ("token",)
NUMBERS = True
NEEDS_MODEL = True

MIN_TYPES = 20


def look(data: LensInput) -> LensReport:
    """found: {"types", "spaces": {"input" or "output": {"agreement", "permuted": {mean, p}, "random": {mean, low, high,
    p}, "overlap", "overlap_permuted", "layers": [{layer, neurons, agreement, random}]}}, "neurons": [{name, neuron,
    layer, unit, "input": {agreement, overlap, highest, lowest}, "output" likewise, "types": highest mean z}]}.

    highest, lowest : sub-words, as texts, with the largest and the smallest score. p as of a headline.
    """
    if data.params.models[data.model].neurons != "hidden":
        raise Nothing("only hidden states lie in the space of the embeddings")
    neurons, settings = data.described, data.settings
    kept, names, counts = frequent_types(data)
    sets = np.concatenate([neurons[None], data.random_sets(neurons, settings.draws)])
    every = np.unique(sets)
    reaction = mean_by_type(data.matrix("judge", every), kept, len(names))  # (types, neurons of every)
    loaded, spaces = open_spaces(data)
    ids = sub_words(loaded, names)
    strata = np.frexp(counts)[1]
    rng = data.rng("types")
    orders = [permuted_within(strata, rng) for _ in range(settings.permutations)]
    place = {int(n): i for i, n in enumerate(every)}
    own = np.array([place[int(n)] for n in neurons])
    found: dict[str, Any] = {"types": len(names), "spaces": {}}
    listed: dict[str, list[dict[str, Any]]] = {}
    headline = None
    for space, matrix in spaces.items():
        words = matrix.scores(every, data.width, data.features.layers)  # (vocabulary, neurons of every)
        text = np.stack([np.mean([words[part].mean(axis=0) for part in parts], axis=0) for parts in ids])
        a, b = standard(column_ranks(reaction)), standard(column_ranks(text))
        agreement = (a * b).sum(axis=0)  # (neurons of every,)
        permuted = np.array([(a[:, own] * b[order][:, own]).sum(axis=0).mean() for order in orders])
        random = np.array([agreement[[place[int(n)] for n in draw]].mean() for draw in sets[1:]])
        overlap = overlaps(reaction[:, own], text[:, own], settings.top)
        chance = [overlaps(reaction[:, own], text[order][:, own], settings.top).mean() for order in orders]
        line = Headline(
            f"mean Spearman correlation over types, {space} embeddings", float(agreement[own].mean()), permuted
        )
        against = Headline("the same", line.value, random).plain()
        found["spaces"][space] = {
            "agreement": line.value,
            "permuted": {"mean": float(permuted.mean()), "p": line.plain()["p"]},
            "random": against["null"] | {"p": against["p"]},
            "overlap": float(overlap.mean()),
            "overlap_permuted": float(np.mean(chance)),
            "layers": by_layer(neurons, sets[1:], agreement, place, data.width),
        }
        ranked = np.argsort(-words[:, own], axis=0, kind="stable")
        listed[space] = [
            {
                "agreement": float(agreement[i]),
                "overlap": float(overlap[rank]),
                "highest": shown(loaded, ranked[:, rank], settings.tokens),
                "lowest": shown(loaded, ranked[::-1, rank], settings.tokens),
            }
            for rank, i in enumerate(own)
        ]
        headline = headline or line
    assert headline is not None
    order = np.argsort(-reaction[:, own], axis=0, kind="stable")[: settings.tokens]
    found["neurons"] = [
        {
            "name": f"{data.model}/{n // data.width}/{n % data.width}",
            "neuron": n,
            "layer": n // data.width,
            "unit": n % data.width,
            **{space: entries[rank] for space, entries in listed.items()},
            "types": [names[t] for t in order[:, rank]],
        }
        for rank, n in enumerate(neurons.tolist())
    ]
    return LensReport(headline, found)


def frequent_types(data: LensInput) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Of judge: each row's code among the types with ``min_count`` rows, -1 for the others; their names; their
    numbers of rows. Nothing where they are few."""
    codes, names = data.types("judge")
    counts = np.bincount(codes)
    at = np.flatnonzero(counts >= data.settings.min_count)
    if len(at) < MIN_TYPES:
        raise Nothing(f"{len(at)} types with {data.settings.min_count} judge rows; {MIN_TYPES} are needed")
    new = np.full(len(names), -1)
    new[at] = np.arange(len(at))
    return new[codes], [names[i] for i in at], counts[at]


def mean_by_type(values: np.ndarray, codes: np.ndarray, types: int) -> np.ndarray:
    """Mean of each column per type, float64 (types, columns); rows of code -1 are left out."""
    kept = codes >= 0
    codes, values = codes[kept], values[kept]
    sums = np.stack([np.bincount(codes, values[:, j], minlength=types) for j in range(values.shape[1])], axis=1)
    return np.asarray(sums / np.bincount(codes, minlength=types)[:, None])


@dataclass(frozen=True)
class Space:
    """Embeddings (vocabulary, width) and, for layers below the last, the final norm: its scale (width,), and whether it
    takes out the mean."""

    matrix: np.ndarray
    scale: np.ndarray | None = None
    centred: bool = False

    def scores(self, neurons: np.ndarray, width: int, layers: int) -> np.ndarray:
        """Score of each sub-word for each neuron, float64 (vocabulary, neurons)."""
        units = neurons % width
        found = self.matrix[:, units].astype(np.float64)
        if self.scale is not None:
            below = neurons // width < layers - 1
            found[:, below] *= self.scale[units[below]]
            if self.centred:  # of the unit vector the norm takes out 1 / width from every component
                found[:, below] -= (self.matrix.astype(np.float64) @ self.scale / width)[:, None]
        return found


def open_spaces(data: LensInput) -> tuple[Loaded, dict[str, Space]]:
    """The model, and its spaces: "input", and "output" where its last state goes straight into the head."""
    import torch

    from neurosieve.activations.models import hidden_states, short_ids

    try:
        loaded, _ = data.language_model()
    except Nothing:
        loaded = data.loaded()
    model = loaded.model
    spaces = {"input": Space(model.get_input_embeddings().weight.detach().float().cpu().numpy())}
    if spaces["input"].matrix.shape[1] != data.width:
        raise Nothing(
            f"embeddings have {spaces['input'].matrix.shape[1]} components, hidden states {data.width}: another space"
        )
    head = model.get_output_embeddings()
    if head is None or not isinstance(getattr(head, "weight", None), torch.Tensor):
        return loaded, spaces
    ids = short_ids(loaded.coding).to(loaded.device)
    with torch.inference_mode():
        last = hidden_states(model, ids, None)[-1]
        straight = head(last).shape == (logits := model(input_ids=ids).logits).shape and torch.allclose(
            head(last), logits, rtol=1e-3, atol=1e-3
        )
    if straight:
        scale, centred = final_norm(model, ids, last)
        spaces["output"] = Space(head.weight.detach().float().cpu().numpy(), scale, centred)
    return loaded, spaces


def final_norm(model: Any, ids: Any, last: Any) -> tuple[np.ndarray | None, bool]:
    """Scale (width,) of the norm behind the last block, None where there is none, and whether it takes out the mean (a
    root mean square norm does not).

    It is the norm that gives ``last``, the last hidden state of ``ids``. Both are measured on it and not read from its
    weight, which some norms count from 1 on (Gemma): of x with mean 0 and mean square 1 it makes x scale + bias, and
    of ones alone the bias if it takes out the mean.
    """
    import torch

    given: list[Any] = []
    watched = [m for m in model.base_model.modules() if "norm" in type(m).__name__.lower()]
    hooks = [m.register_forward_hook(lambda part, _, out: given.append((part, out))) for m in watched]
    try:
        with torch.inference_mode():
            model(input_ids=ids)
    finally:
        for hook in hooks:
            hook.remove()
    same = (m for m, out in reversed(given) if out.shape == last.shape and torch.allclose(out, last))
    norm = next(same, None)
    if norm is None:
        return None, False
    ones = torch.ones(1, 1, last.shape[-1], dtype=last.dtype, device=last.device)
    x = ones.clone()
    x[..., 1::2] = -1
    if last.shape[-1] % 2:
        x[..., -3:] = torch.tensor([1.0, 1.0, -2.0])
    with torch.inference_mode():
        up, down, flat, bias = (norm(part).double()[0, 0].cpu().numpy() for part in (x, -x, ones, 0 * ones))
    along = x.double()[0, 0].cpu().numpy()
    scale = (up - down) / 2 * np.sqrt(np.square(along).mean()) / along
    return scale, bool(np.abs(flat - bias).max() < 0.5 * np.abs(scale).max())


def sub_words(loaded: Loaded, types: list[str]) -> list[list[list[int]]]:
    """Ids of the sub-words of each type, as written with and without a blank before it."""
    encode = loaded.coding.tokenizer.encode
    found = []
    for name in types:
        ways = [encode(text, add_special_tokens=False).ids for text in (name, f" {name}")]
        found.append([ids for ids in ways if ids] or [[0]])
    return found


def permuted_within(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order (n,) that exchanges places of the same stratum alone."""
    order = np.empty(len(strata), np.int64)
    order[np.argsort(strata, kind="stable")] = np.lexsort((rng.random(len(strata)), strata))
    return order


def standard(values: np.ndarray) -> np.ndarray:
    """Columns centred and of length 1; zero where they do not vary."""
    centred = values - values.mean(axis=0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))


def overlaps(a: np.ndarray, b: np.ndarray, top: int) -> np.ndarray:
    """Share (columns,) of the ``top`` rows of each column of a that are among those of b; ties by the row."""
    top = min(top, len(a))
    member = np.zeros((2, *a.shape), bool)
    for i, values in enumerate((a, b)):
        np.put_along_axis(member[i], np.argsort(-values, axis=0, kind="stable")[:top], True, axis=0)
    return np.asarray(member.all(axis=0).sum(axis=0) / top)


def by_layer(
    neurons: np.ndarray, draws: np.ndarray, agreement: np.ndarray, place: dict[int, int], width: int
) -> list[dict[str, Any]]:
    found = []
    for layer in np.unique(neurons // width).tolist():
        own = [place[int(n)] for n in neurons if n // width == layer]
        others = [place[int(n)] for n in draws.ravel() if n // width == layer]
        found.append(
            {
                "layer": layer,
                "neurons": len(own),
                "agreement": float(agreement[own].mean()),
                "random": float(agreement[others].mean()),
            }
        )
    return found


def shown(loaded: Loaded, ids: np.ndarray, count: int) -> list[str]:
    """Texts of the first sub-words that have one, special ones left out."""
    found: list[str] = []
    size = loaded.coding.tokenizer.get_vocab_size()
    for i in ids.tolist():
        if len(found) == count:
            break
        text = loaded.coding.tokenizer.decode([i], skip_special_tokens=True) if i < size else ""
        if text.strip() and "\N{REPLACEMENT CHARACTER}" not in text:
            found.append(text)
    return found

"""Which feed-forward neurons belong to one programming language? Two published methods, beside what chance gives.

Reads: prepare/corpora/<corpus> of each language, and the model's folder, head included.
Writes: concepts/languages/<model>: languages.json.

The methods choose the top share (1 %) of all feed-forward neurons, their steps as published:

- **LAPE** (Tang et al. 2024, arXiv 2402.16438; on programming languages Kargaran et al. 2025, arXiv 2506.01074): p =
  share of a language's sub-words on which a neuron's activation is above 0; p normalised over languages, its entropy;
  neurons with no p above the 95th percentile of all p are dismissed, those of lowest entropy chosen, and each given to
  all languages whose p is above that percentile. In a gated block the activation is what the non-linearity gives,
  before it is multiplied with the other half.
- **PLS** (Yin, Gu and Shen 2025, arXiv 2512.19980): mean over a language's functions of |activation| * |gradient of the
  function's cross-entropy|; candidates above a threshold, of these such whose highest score is 1.5 times the second or
  more, of these the top share by the highest score. Our reading, where we know the publication's steps from summaries
  only: the products are summed over sub-words (the loss is their mean); the threshold, whose value we do not know, is
  the median of the highest scores, which those of the top share are far above; the activation is what enters the
  product that ends the feed-forward layer. Masked models: the loss of 15 % of a function's sub-words, masked together.

Both take some neurons whatever the model is: a top share has no null. Beside them therefore:

- halves: files are cut in two, neurons chosen on each, overlap against the hypergeometric expectation;
- the languages permuted over files: how many are then chosen, how low entropies come, how far the halves then agree;
- separation: on the files not used to choose, are functions told apart by the shares of active sub-words of the chosen
  neurons (nearest centroid of the other half)? Against random neurons of the same layers;
- ablation: the change of the log-probability of tokens of every language, set to 0 (as published) and to the mean:
  a matrix language x language, against random neurons of the same layers;
- an untrained twin: the model's own class, initialised afresh, through the same steps but the last.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import hypergeom
from tqdm import tqdm

from neurosieve.artifacts import ArtifactError, Paths
from neurosieve.concepts.ablation import compare
from neurosieve.config import Params
from neurosieve.config.concepts import Languages
from neurosieve.flow import writer
from neurosieve.numerics import add
from neurosieve.probes.intervals import MIN_FILES, FileBootstrap, lower, upper
from neurosieve.sources.wheels import DEFAULT_CACHE

if TYPE_CHECKING:
    from neurosieve.activations.batches import Coding
    from neurosieve.activations.models import Loaded
    from neurosieve.activations.sites import Sites

BAR = 0.95  # of all activation probabilities (LAPE)
RATIO = 1.5  # of the highest score to the second (PLS)
MASKED = 0.15  # of a function's sub-words, for the loss of a masked model
CHOOSE, CHECK = 0, 1  # halves of the files
WORD = re.compile(r"\w+|[^\w\s]")  # tokens that are predicted, alike in every language


@dataclass(frozen=True)
class Function:
    """A function of a source: its language and file (codes), half of the files, and text."""

    language: int
    file: int
    half: int
    text: str


@dataclass(frozen=True)
class Tally:
    """Of every function, in order: sub-words (functions,) int64, how many of them each neuron is active on (functions,
    neurons) int64, |activation x gradient| summed over them (functions, neurons) float64, None without a head.

    mean (neurons,): what enters the product that ends the layer, over all sub-words of the choosing half, each language
    alike. constant (neurons,) bool: the same value on all of these.
    """

    subwords: np.ndarray
    active: np.ndarray
    score: np.ndarray | None
    mean: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class Selection:
    """Chosen neurons, best first (k,); member (languages, k) bool: of which languages; value (k,): entropy or score."""

    neurons: np.ndarray
    member: np.ndarray
    value: np.ndarray

    def of(self, language: int) -> np.ndarray:
        """Its neurons, ascending."""
        return np.sort(self.neurons[self.member[language]])


class Unfit(Exception):
    """Why nothing can be said of a model; the text goes into the artifact."""


def find_language_neurons(params: Params, paths: Paths, *, model: str, cache: Any = DEFAULT_CACHE) -> None:
    """Choose neurons by both methods for ``params.concepts.languages`` and measure what there is to say of them.

    Raises
    ------
    ArtifactError
        a source without functions, or with too few files; a package that is a test package of a task of the run.
    """
    report: dict[str, Any] = {"model": model, "reason": None}
    facts: dict[str, Any] = {}
    settings = params.concepts.languages
    if settings is None:
        report["reason"] = "concepts.languages is null: off"
    elif params.models[model].untrained is not None:
        report["reason"] = "an untrained twin: it stands beside the model that it is a twin of"
    else:
        try:
            found, facts = _measure(params, paths, model, settings, cache)
            report |= found
        except Unfit as why:
            report["reason"] = str(why)
    with writer(params, paths, "find_language_neurons", model=model) as out:
        out.json("languages.json", report)
        out.facts = facts


def _measure(
    params: Params, paths: Paths, model: str, settings: Languages, cache: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    import torch

    from neurosieve.activations import threads

    # MKL shares the sums of a small product between threads, which changes the last bits of gradients
    torch.set_num_threads(1 if params.numerics == "portable" else threads())
    names = list(settings.sources)
    functions = read_functions(params, paths, settings)
    loaded, mask, no_head = _load(params, model, cache)
    twin = next(iter(params.twins_of(model)), None)
    seed = params.models[twin].seed if twin is not None else 1
    read = encode(loaded.coding, functions, settings)
    report: dict[str, Any] = {"languages": names, "sources": _describe_sources(functions, read, settings)}
    kind = None if no_head else "causal" if mask is None else "masked"
    report |= {"kind": kind, "no_head": no_head}
    for key, network in (("trained", loaded), ("untrained", fresh(loaded, seed))):
        watched = watch(network)
        tally = run(network, watched, read, mask, no_head is None, params.seed, f"{model} ({key})")
        if key == "trained":
            layers = len(watched.sites.products)
            report |= {"layers": layers, "width": tally.active.shape[1] // layers, "activation": watched.counted}
        found: dict[str, Any] = {}
        for method in ("lape", "pls"):
            if method == "pls" and tally.score is None:
                found[method] = {"reason": f"no gradient of its loss: {no_head}"}
                continue
            chosen, found[method] = describe(method, tally, [f for f, _ in read], layers, settings, params)
            if key == "trained":
                found[method]["ablation"] = None
                if no_head is None:
                    found[method]["ablation"] = _ablate(
                        params, settings, network, mask, tally, functions, chosen, method
                    )
        report[key] = found
    report["untrained_seed"] = seed
    return report, {"functions": len(read), "subwords": int(sum(len(ids) for _, ids in read))}


# --- code ------------------------------------------------------------------------------------------------------------


def read_functions(params: Params, paths: Paths, settings: Languages) -> list[Function]:
    """Functions of all sources, each language's files cut into halves with the seed, files in a random order.

    Copies (equal keys) come once. Test packages of tasks of the run are left out. Texts are :func:`tidy`.
    """
    from neurosieve.prepare.corpus import read_corpus

    found: list[Function] = []
    files = 0
    for language, (name, source) in enumerate(settings.sources.items()):
        where = f"concepts.languages.sources.{name}"
        tested = set(params.test_packages(source.corpus))
        if source.packages is not None and (bad := sorted(tested.intersection(source.packages))):
            raise ArtifactError(f"{where}.packages: found {bad[0]!r}, a test package of a task of the run; take it out")
        records = read_corpus(paths.corpus(source.corpus))
        there = {record.package for record in records}
        if unknown := sorted(set(source.packages or ()) - there):
            raise ArtifactError(
                f"{where}.packages: found {unknown[0]!r}; the packages of {source.corpus!r} are "
                f"{', '.join(sorted(there))}"
            )
        wanted = set(source.packages) if source.packages is not None else there - tested
        once = {record.key: record for record in reversed(records) if record.package in wanted}
        by_file: dict[str, list[str]] = {}
        for record in reversed(once.values()):
            by_file.setdefault(record.file, []).append(tidy(record.text))
        if len(by_file) < 2 * MIN_FILES:
            raise ArtifactError(f"{where}: {len(by_file)} files with functions; give {2 * MIN_FILES} at the least")
        rng = np.random.default_rng([params.seed, zlib.crc32(b"languages"), zlib.crc32(name.encode())])
        order = rng.permutation(len(by_file))
        paths_of = sorted(by_file)
        for turn, at in enumerate(order.tolist()):
            texts = by_file[paths_of[at]]
            for i in rng.permutation(len(texts)).tolist():
                found.append(Function(language, files + turn, turn % 2, texts[i]))
        files += len(by_file)
    return found


def tidy(text: str) -> str:
    """A text without blank lines, trailing blanks and common indentation.

    Else data sets are told apart by how they were stored: Devign has every line end twice, BigCloneBench the
    indentation of the class around a method.
    """
    return textwrap.dedent("\n".join(line.rstrip() for line in text.split("\n") if line.strip()))


def take_turns(functions: Sequence[Function], enough: int, length: Callable[[Function], int]) -> list[int]:
    """Indices of the functions to read, ascending: of each language and half, one of each file in turn, until their
    lengths add up to ``enough``. Those of a length below 2 are passed over."""
    turn: list[int] = []
    seen: dict[int, int] = {}
    for function in functions:
        turn.append(seen.get(function.file, 0))
        seen[function.file] = turn[-1] + 1
    taken: list[int] = []
    sums: dict[tuple[int, int], int] = {}
    for i in sorted(range(len(functions)), key=lambda i: (turn[i], i)):
        part = (functions[i].language, functions[i].half)
        if sums.get(part, 0) < enough and (found := length(functions[i])) > 1:
            sums[part] = sums.get(part, 0) + found
            taken.append(i)
    return sorted(taken)


def encode(coding: Coding, functions: Sequence[Function], settings: Languages) -> list[tuple[Function, np.ndarray]]:
    """The functions that are read, with the ids of their first ``settings.window`` sub-words, int64."""
    room = min(settings.window, (coding.maximum or settings.window) - len(coding.prefix) - len(coding.suffix))
    ids: dict[Function, np.ndarray] = {}

    def length(function: Function) -> int:
        found = coding.tokenizer.encode(function.text, add_special_tokens=False).ids[:room]
        ids[function] = np.array(found, np.int64)
        return len(found)

    return [(functions[i], ids[functions[i]]) for i in take_turns(functions, settings.subwords, length)]


def _describe_sources(
    functions: list[Function], read: list[tuple[Function, np.ndarray]], settings: Languages
) -> dict[str, Any]:
    found = {}
    for language, (name, source) in enumerate(settings.sources.items()):
        parts = [(language, half) for half in (CHOOSE, CHECK)]
        found[name] = {
            "corpus": source.corpus,
            "packages": source.packages,
            "files": [len({f.file for f in functions if (f.language, f.half) == part}) for part in parts],
            "files_read": [len({f.file for f, _ in read if (f.language, f.half) == part}) for part in parts],
            "functions": [sum((f.language, f.half) == part for f, _ in read) for part in parts],
            "subwords": [sum(len(ids) for f, ids in read if (f.language, f.half) == part) for part in parts],
        }
    return found


# --- the model -------------------------------------------------------------------------------------------------------


def _load(params: Params, model: str, cache: Any) -> tuple[Loaded, int | None, str | None]:
    """The model, the id of its mask, and why it has no head, where it has none."""
    from neurosieve.activations.models import PLAIN, NoHeadError, load_language_model, load_model, model_folder
    from neurosieve.concepts.language import check_head

    entry, block = params.models[model], params.concepts.languages
    assert block is not None
    try:
        loaded, mask = load_language_model(
            model_folder(params, model, cache)[0],
            model,
            PLAIN,  # packed weights have no gradients
            entry.weights,
            entry.trust_remote_code,
            block.window,
            params.activations.batch_tokens,
        )
        check_head(loaded)
        return loaded, mask, None
    except NoHeadError as why:
        own = entry.model_copy(update=dict.fromkeys(("only_layers", "layers", "width")) | {"neurons": "hidden"})
        room = params.activations.model_copy(update={"window": block.window, "dtype": "float32"})
        fast = {"numerics": PLAIN, "activations": room, "models": {**params.models, model: own}}
        loaded = load_model(params.model_copy(update=fast), model, cache)
        if "part" in loaded.facts:
            raise Unfit("an encoder-decoder: its two stacks are not looked at so far") from None
        return loaded, None, str(why)


def fresh(loaded: Loaded, seed: int) -> Loaded:
    """The model's own class with its configuration, initialised afresh; not the network of the twin's activations,
    whose class may have no head."""
    import torch

    torch.manual_seed(seed)
    model = type(loaded.model)(loaded.model.config).eval().requires_grad_(False).to(loaded.device)
    return dataclasses.replace(loaded, model=model, sites=None)


@dataclass(frozen=True)
class Watched:
    """Where activations are taken. nonlinear: modules of the non-linearities of gated blocks, None where the sites'
    own values are counted."""

    sites: Sites
    nonlinear: list[Any] | None

    @property
    def counted(self) -> str:
        return "product" if self.nonlinear is None else "non-linearity"


def watch(loaded: Loaded) -> Watched:
    """The feed-forward layers of a model and, where they are gated, their non-linearities; Unfit without such layers.

    A gate shows on a short text: a module without parameters gives as many values as enter the last product of the
    layer, and others. Where a block has several such modules, the first is taken. One that passes on what it was given,
    as dropout does here, is none: where layer and feed-forward layer are equally wide it would be taken for a gate.
    """
    import torch

    from neurosieve.activations.models import TEXT, hidden_states
    from neurosieve.activations.sites import SiteError, find_sites

    coding, model = loaded.coding, loaded.model
    ids = torch.tensor([[*coding.prefix, *coding.tokenizer.encode(TEXT, add_special_tokens=False).ids]])
    ids = ids.to(loaded.device)
    try:
        sites = find_sites(model, lambda: [hidden_states(model, ids, None)], "feed-forward")
    except SiteError as why:
        raise Unfit(f"its feed-forward neurons cannot be told: {why}") from None
    heard: list[tuple[Any, Any]] = []
    gates: list[Any] = []
    hooks = []

    def listen(module: Any, args: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor):
            return
        if not any(isinstance(given, torch.Tensor) and torch.equal(given, output) for given in args):
            heard.append((module, output.clone()))

    def decide(module: Any, args: tuple[Any, ...]) -> None:
        alike = [(m, out) for m, out in heard if out.numel() == args[0].numel() and out.shape[-1] == args[0].shape[-1]]
        others = [m for m, out in alike if not torch.equal(out.reshape(args[0].shape), args[0])]
        gates.append(others[0] if others else None)
        heard.clear()

    for module in model.modules():
        if not list(module.children()) and not list(module.parameters()):
            hooks.append(module.register_forward_hook(listen))
    hooks += [product.register_forward_pre_hook(decide) for product in dict.fromkeys(sites.products)]
    try:
        hidden_states(model, ids, None)
    finally:
        for hook in hooks:
            hook.remove()
    return Watched(sites, gates if all(gate is not None for gate in gates) else None)


def run(
    loaded: Loaded,
    watched: Watched,
    read: list[tuple[Function, np.ndarray]],
    mask: int | None,
    head: bool,
    seed: int,
    title: str,
) -> Tally:
    """Run the model over functions, given with their ids, one at a time; ``head``: with gradients of its loss."""
    import torch

    from neurosieve.activations.models import hidden_states

    coding = loaded.coding
    active: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    sums: dict[int, np.ndarray] = {}
    counts: dict[int, int] = {}
    least: Any = np.inf
    most: Any = -np.inf
    inside = slice(len(coding.prefix), -len(coding.suffix) or None)
    for function, ids in tqdm(read, desc=f"languages {title}", unit=" functions", mininterval=5):
        text = torch.from_numpy(np.array([*coding.prefix, *ids, *coding.suffix]))[None].to(loaded.device)
        with watched.sites.caught() as found, _heard(watched) as signs, torch.inference_mode():
            hidden_states(loaded.model, text, None)
        values = _join(found, inside)
        active.append(((values if watched.nonlinear is None else _join(signs, inside)) > 0).sum(axis=0))
        if head:
            # a seed of its own: what is masked of a function does not depend on what else is read
            rng = np.random.default_rng([seed, zlib.crc32(function.text.encode())])
            scores.append(_gradient_score(loaded, watched, text[0], mask, inside, rng))
        if function.half == CHOOSE:
            language = function.language
            sums[language] = sums.get(language, 0.0) + values.sum(axis=0, dtype=np.float64)
            counts[language] = counts.get(language, 0) + len(values)
            least, most = np.minimum(least, values.min(axis=0)), np.maximum(most, values.max(axis=0))
    mean = np.stack([sums[language] / counts[language] for language in sorted(sums)]).mean(axis=0)
    lengths = np.array([len(ids) for _, ids in read], np.int64)
    return Tally(lengths, np.stack(active).astype(np.int64), np.stack(scores) if head else None, mean, least == most)


@contextmanager
def _heard(watched: Watched) -> Iterator[list[Any]]:
    """What the non-linearities give in a forward pass within the context, in their order."""
    found: list[Any] = []
    modules = dict.fromkeys(watched.nonlinear or ())
    hooks = [module.register_forward_hook(lambda module, args, output: found.append(output)) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _join(states: list[Any], inside: slice) -> np.ndarray:
    """Values (sub-words, neurons) of one text, without its special tokens."""
    import torch

    flat = [state.reshape(-1, state.shape[-1]).float() for state in states]
    return np.asarray(torch.cat(flat, dim=1)[inside].cpu().numpy())


def _gradient_score(
    loaded: Loaded, watched: Watched, ids: Any, mask: int | None, inside: slice, rng: np.random.Generator
) -> np.ndarray:
    """|activation x gradient of the text's mean cross-entropy| summed over sub-words, float64 (neurons,)."""
    import torch

    places = np.arange(len(ids))[inside]
    fed = ids.clone()
    if mask is None:
        wanted = torch.from_numpy(places[places > 0])
        read = wanted - 1  # what a causal model gives at one place predicts the next
    else:
        chosen = np.sort(rng.choice(places, max(1, round(MASKED * len(places))), replace=False))
        read = wanted = torch.from_numpy(chosen)
        fed[wanted] = mask
    added: list[Any] = []
    values: list[Any] = []

    def before(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        added.append(torch.zeros_like(args[0], requires_grad=True))
        values.append(args[0].detach())
        return (args[0] + added[-1], *args[1:])

    hooks = [product.register_forward_pre_hook(before) for product in dict.fromkeys(watched.sites.products)]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            fed = fed.clone()[None]
            logits = loaded.model(input_ids=fed, attention_mask=torch.ones_like(fed)).logits[0]
            loss = torch.nn.functional.cross_entropy(logits[read], ids.clone()[wanted])
            gradients = torch.autograd.grad(loss, added)
    finally:
        for hook in hooks:
            hook.remove()
    products = [(value * gradient).abs() for value, gradient in zip(values, gradients, strict=True)]
    return np.asarray(_join(products, inside).sum(axis=0, dtype=np.float64))


# --- the methods -----------------------------------------------------------------------------------------------------


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy (nats) over languages of normalised activation probabilities (..., languages, neurons), (..., neurons).

    Infinite for a neuron that is active in no language.
    """
    total = probability.sum(axis=-2, keepdims=True)
    share = probability / np.where(total > 0, total, 1)
    terms = share * np.log(np.where(share > 0, share, 1))
    return np.asarray(np.where(total[..., 0, :] > 0, -terms.sum(axis=-2), np.inf))


def above_bar(probability: np.ndarray) -> np.ndarray:
    """(languages, neurons) bool: above the 95th percentile of all probabilities, the value of that rank."""
    flat = np.sort(probability.ravel())
    return np.asarray(probability > flat[max(1, round(BAR * len(flat))) - 1])


def lape(probability: np.ndarray, share: float) -> Selection:
    """The top ``share`` of neurons by LAPE of activation probabilities (languages, neurons); ties: the lower index."""
    high = above_bar(probability)
    value = np.where(high.any(axis=0), entropy(probability), np.inf)
    order = np.argsort(value, kind="stable")[: round(share * len(value))]
    order = order[np.isfinite(value[order])]
    return Selection(order, high[:, order], value[order])


def pls(score: np.ndarray, share: float) -> Selection:
    """The top ``share`` of neurons by PLS scores (languages, neurons); fewer where fewer pass the two filters."""
    ascending = np.sort(score, axis=0)
    highest, second = ascending[-1], ascending[-2]
    passing = (highest > np.median(highest)) & (highest >= RATIO * second)
    value = np.where(passing, highest, -np.inf)
    order = np.argsort(-value, kind="stable")[: round(share * len(value))]
    order = order[np.isfinite(value[order])]
    own = score[:, order].argmax(axis=0)
    return Selection(order, np.arange(len(score))[:, None] == own, value[order])


def probabilities(tally: Tally, language: np.ndarray, at: np.ndarray, languages: int) -> np.ndarray:
    """Share of sub-words of functions ``at`` on which neurons are active, by ``language`` of each function."""
    member = (np.arange(languages)[:, None] == language[None, at]).astype(np.float64)
    total = member @ tally.subwords[at]
    return np.asarray((member @ tally.active[at]) / np.where(total > 0, total, 1)[:, None])


def choose(method: str, tally: Tally, language: np.ndarray, at: np.ndarray, languages: int, share: float) -> Selection:
    """The selection of a method from the functions ``at`` (indices)."""
    if method == "lape":
        return lape(probabilities(tally, language, at, languages), share)
    assert tally.score is not None
    return pls(np.stack([tally.score[at[language[at] == i]].mean(axis=0) for i in range(languages)]), share)


# --- what is said of them --------------------------------------------------------------------------------------------


def describe(
    method: str, tally: Tally, functions: list[Function], layers: int, settings: Languages, params: Params
) -> tuple[Selection, dict[str, Any]]:
    """The selection of a method on the choosing half, and what the other half says of it."""
    names = list(settings.sources)
    language = np.array([f.language for f in functions])
    files = np.array([f.file for f in functions])
    half = np.array([f.half for f in functions])
    first, second = (np.flatnonzero(half == part) for part in (CHOOSE, CHECK))
    width = tally.active.shape[1] // layers
    chosen, again = (choose(method, tally, language, at, len(names), settings.share) for at in (first, second))
    random = draw_alike(
        chosen.neurons, chosen.neurons, tally.constant, width, settings.random_draws, _seed(params, method)
    )
    report: dict[str, Any] = {
        "chosen": len(chosen.neurons),
        "per_layer": np.bincount(chosen.neurons // width, minlength=layers).tolist(),
        "of_several": int((chosen.member.sum(axis=0) > 1).sum()),
        "value": {"first": _or_none(chosen.value[:1]), "last": _or_none(chosen.value[-1:])},
        "sets": {
            name: {
                "neurons": chosen.of(i).tolist(),
                "per_layer": np.bincount(chosen.of(i) // width, minlength=layers).tolist(),
                "stability": overlap(chosen.of(i), again.of(i), layers * width),
            }
            for i, name in enumerate(names)
        },
        "stability": overlap(chosen.neurons, again.neurons, layers * width),
        "separation": separation(tally, language, files, first, second, chosen.neurons, random, params),
    }
    report["null"] = permuted(method, tally, language, files, (first, second), (chosen, again), settings, params)
    return chosen, report


def _seed(params: Params, *names: str) -> list[int]:
    return [params.seed, zlib.crc32(b"languages"), *(zlib.crc32(name.encode()) for name in names)]


def _or_none(values: np.ndarray) -> float | None:
    return float(values[0]) if len(values) else None


def draw_alike(
    neurons: np.ndarray, without: np.ndarray, constant: np.ndarray, width: int, draws: int, seed: list[int]
) -> np.ndarray | None:
    """Random neurons, in every layer as many as ``neurons`` has there, none of ``without``, none constant.

    (draws, n) ascending within a draw; None where a layer has too few others. Draws may overlap.
    """
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for layer in np.unique(neurons // width).tolist():
        index = layer * width + np.arange(width)
        others = index[~constant[index] & ~np.isin(index, without)]
        count = int((neurons // width == layer).sum())
        if len(others) < count:
            return None
        parts.append(np.stack([np.sort(rng.choice(others, count, replace=False)) for _ in range(draws)]))
    return np.concatenate(parts, axis=1) if parts else None


def overlap(one: np.ndarray, other: np.ndarray, neurons: int) -> dict[str, Any]:
    """Neurons that two sets share, beside what random sets of these sizes share on average, and the p of so many."""
    shared = len(np.intersect1d(one, other))
    return {
        "sizes": [len(one), len(other)],
        "shared": shared,
        "expected": len(one) * len(other) / neurons,
        "p": float(hypergeom.sf(shared - 1, neurons, len(one), len(other))),
    }


def separation(
    tally: Tally,
    language: np.ndarray,
    files: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    chosen: np.ndarray,
    random: np.ndarray | None,
    params: Params,
) -> dict[str, Any] | None:
    """How well functions ``second`` are told apart by the neurons' shares of active sub-words.

    The language of the nearest of the centroids of ``first``, neurons standardised there; accuracy, the mean over
    languages. low, high: one-sided bounds over files of the accuracy over all functions less that of the mean random
    draw. None without neurons.
    """
    if not len(chosen) or random is None:
        return None
    share = tally.active / tally.subwords[:, None]
    kinds = np.unique(language)

    def right(neurons: np.ndarray) -> np.ndarray:
        x, y = share[first][:, neurons], share[second][:, neurons]
        std = x.std(axis=0)
        x, y = (v[:, std > 0] / std[std > 0] for v in (x, y))
        centres = np.stack([x[language[first] == k].mean(axis=0) for k in kinds])
        distance = ((y[:, None, :] - centres[None]) ** 2).sum(axis=-1)
        return np.asarray(kinds[distance.argmin(axis=1)] == language[second])

    def balanced(hits: np.ndarray) -> float:
        return add(float(hits[language[second] == k].mean()) for k in kinds) / len(kinds)

    own, others = right(chosen), [right(draw) for draw in random]
    by_draw = [balanced(hits) for hits in others]
    paired = own - np.mean(others, axis=0)
    replicates = _replicates(paired, files[second], params, "separation")
    return {
        "chosen": balanced(own),
        "random": {"mean": float(np.mean(by_draw)), "low": min(by_draw), "high": max(by_draw)},
        "chance": 1 / len(kinds),
        "functions": len(second),
        "difference": float(paired.mean()),
        "low": _bound(lower, replicates, params),
        "high": _bound(upper, replicates, params),
    }


def _replicates(values: np.ndarray, files: np.ndarray, params: Params, *names: str) -> np.ndarray | None:
    """The mean of values (rows,) over draws of files, (draws,); None of too few files."""
    codes = np.unique(files, return_inverse=True)[1]
    if codes.max(initial=-1) + 1 < MIN_FILES:
        return None
    weights = FileBootstrap(codes, params.probes.bootstrap, _seed(params, *names)).weights.astype(np.float64)
    return np.asarray((weights @ np.bincount(codes, values)) / (weights @ np.bincount(codes)))


def _bound(which: Callable[..., np.ndarray], replicates: np.ndarray | None, params: Params) -> float | None:
    return None if replicates is None else float(which(replicates, params.probes.confidence))


def permuted(
    method: str,
    tally: Tally,
    language: np.ndarray,
    files: np.ndarray,
    halves: tuple[np.ndarray, np.ndarray],
    own: tuple[Selection, Selection],
    settings: Languages,
    params: Params,
) -> dict[str, Any]:
    """The same method with the languages permuted over the files of each half: what it finds where there is nothing.

    chosen : how many neurons it then chooses, on average and at most. shared : neurons that both halves choose, on
    average, and the p of as many as found: the hypergeometric expectation is too low, for both halves dismiss nearly
    the same neurons whatever the languages are. Of LAPE, entropy : mean over the chosen ones, expected : the same of
    the permutations; below : how many of the chosen lie below ``level``, under which no neuron's entropy comes in 95 %
    of the permutations.
    """
    rng = np.random.default_rng(_seed(params, "permuted", method))
    found: list[list[Selection]] = []
    for _ in range(settings.permutations):
        moved = language.copy()
        for at in halves:
            _, first, place = np.unique(files[at], return_index=True, return_inverse=True)
            moved[at] = rng.permutation(language[at][first])[place]
        found.append([choose(method, tally, moved, at, len(settings.sources), settings.share) for at in halves])
    shared = np.array([len(np.intersect1d(one.neurons, other.neurons)) for one, other in found])
    same = len(np.intersect1d(own[0].neurons, own[1].neurons))
    counts = [len(one.neurons) for one, _ in found]
    report: dict[str, Any] = {
        "permutations": settings.permutations,
        "chosen": {"mean": float(np.mean(counts)), "high": max(counts)},
        "shared": {"mean": float(shared.mean()), "p": float((1 + (shared >= same).sum()) / (1 + len(shared)))},
    }
    lowest = sorted(float(one.value[0]) for one, _ in found if len(one.value))
    if method == "lape" and lowest and len(own[0].value):
        level = lowest[max(1, int(0.05 * (len(lowest) + 1))) - 1]
        report |= {
            "entropy": float(own[0].value.mean()),
            "expected": float(np.mean([one.value.mean() for one, _ in found if len(one.value)])),
            "level": level,
            "below": int((own[0].value < level).sum()),
        }
    return report


# --- ablation --------------------------------------------------------------------------------------------------------


def _ablate(
    params: Params,
    settings: Languages,
    loaded: Loaded,
    mask: int | None,
    tally: Tally,
    functions: list[Function],
    chosen: Selection,
    method: str,
) -> dict[str, Any]:
    """The matrix language whose neurons are ablated x language whose tokens are predicted, for both values."""
    from neurosieve.activations.models import NoHeadError
    from neurosieve.concepts.language import Change, find_site, predict

    try:
        site = find_site(loaded, "feed-forward")
    except NoHeadError as why:
        return {"reason": str(why)}
    names = list(settings.sources)
    samples = {name: _sample(params, settings, loaded, mask, functions, i) for i, name in enumerate(names)}
    before = {name: predict(loaded, batches) for name, (batches, _) in samples.items()}
    reference = {"zero": np.zeros(len(tally.mean), np.float32), "mean": tally.mean.astype(np.float32)}
    report: dict[str, Any] = {
        "tokens": {name: len(before[name].true) for name in names},
        "files": {name: len(np.unique(files)) for name, (_, files) in samples.items()},
        "log_probability": {name: float(before[name].true.mean()) for name in names},
        "zero": {},
        "mean": {},
    }
    for i, name in enumerate(names):
        own = chosen.of(i)
        random = draw_alike(
            own, chosen.neurons, tally.constant, site.width, settings.ablation_draws, _seed(params, method, name)
        )
        for value in reference:
            if random is None:
                report[value][name] = None  # no neurons, or too few others
                continue
            changes = [
                {other: predict(loaded, samples[other][0], change).true - before[other].true for other in names}
                for change in (Change(which, reference[value][which], 0.0, site) for which in (own, *random))
            ]
            report[value][name] = matrix_row(
                name, changes[0], changes[1:], {other: samples[other][1] for other in names}, params
            )
    return report


def _sample(
    params: Params, settings: Languages, loaded: Loaded, mask: int | None, functions: list[Function], language: int
) -> tuple[list[Any], np.ndarray]:
    """Batches with tokens of a language's files of the checking half, and the file of each token."""
    from neurosieve.activations.batches import Rows
    from neurosieve.concepts.language import draw_sample

    own = [f for f in functions if (f.language, f.half) == (language, CHECK)]
    # of a file as many functions as may be drawn: all would be tokenised
    kept = [own[i] for i in take_turns(own, 2 * settings.tokens, lambda function: 2)]
    spans = [(i, *match.span()) for i, function in enumerate(kept) for match in WORD.finditer(function.text)]
    rows = Rows(*np.array(spans, np.int64).reshape(-1, 3).T.copy())
    files = np.array([function.file for function in kept])[rows.input]
    name = list(settings.sources)[language]
    found = draw_sample(
        [{"id": i, "text": function.text} for i, function in enumerate(kept)],
        rows,
        files,
        loaded.coding,
        mask,
        lambda kind, index: f"concepts.languages.sources.{name}: {kind} {index + 1}",
        np.random.default_rng(_seed(params, "tokens", name)),
        tokens=settings.tokens,
        per_window=settings.per_window,
        window=settings.predict_window,
        batch_tokens=params.activations.batch_tokens,
    )
    return found.batches, files[found.rows]


def matrix_row(
    own: str,
    chosen: dict[str, np.ndarray],
    random: list[dict[str, np.ndarray]],
    files: dict[str, np.ndarray],
    params: Params,
) -> dict[str, Any]:
    """What ablating the neurons of language ``own`` does to tokens of every language; changes in nats by language.

    chosen : language -> (tokens,) change of the log-probability; random : the same of each draw; files : of the tokens.
    By language what :func:`neurosieve.concepts.ablation.compare` gives. specificity : change of own tokens less the
    mean over the other languages, below 0 where own tokens suffer more; of the chosen, the draws, and the difference of
    the two with bounds over files, which are drawn for each language by itself. specific : the upper bound is below 0,
    and the chosen are more specific than every draw.
    """
    by_language: dict[str, Any] = {}
    replicates: dict[str, np.ndarray | None] = {}
    for name, change in chosen.items():
        codes = np.unique(files[name], return_inverse=True)[1]
        others = np.stack([draw[name] for draw in random])
        enough = codes.max(initial=-1) + 1 >= MIN_FILES
        seed = _seed(params, "ablation", name)
        bootstrap = FileBootstrap(codes, params.probes.bootstrap, seed) if enough else None
        found = compare(change, others, np.zeros(len(change)), [], codes, bootstrap, params.probes.confidence)
        by_language[name] = {key: value for key, value in found.items() if key != "by_class"}
        replicates[name] = _replicates(change - others.mean(axis=0), files[name], params, "ablation", name)

    def specificity(by: Mapping[str, Any]) -> Any:
        rest = [by[name] for name in by if name != own]
        return by[own] - sum(rest[1:], rest[0]) / len(rest)

    means = [specificity({name: np.float64(c.mean()) for name, c in draw.items()}) for draw in (chosen, *random)]
    known = {name: found for name, found in replicates.items() if found is not None}
    drawn = specificity(known) if len(known) == len(chosen) else None
    high = _bound(upper, drawn, params)
    return {
        "by_language": by_language,
        "specificity": {
            "chosen": float(means[0]),
            "random": {"mean": float(np.mean(means[1:])), "low": float(min(means[1:])), "high": float(max(means[1:]))},
            "difference": float(means[0] - np.mean(means[1:])),
            "low": _bound(lower, drawn, params),
            "high": high,
            "specific": high is not None and bool(high < 0 and means[0] < min(means[1:])),
        },
    }

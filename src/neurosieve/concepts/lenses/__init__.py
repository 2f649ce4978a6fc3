"""Lenses on the chosen neurons: one file, one question; a file dropped in is registered, the contract tests run on it.

A file ``<name>.py`` (``_`` for ``-``) defines ``look(data: LensInput) -> LensReport``; it reads what ``data`` gives and
writes nothing. Its docstring has paragraphs that begin with ``Question:``, ``Null:`` and ``Source:``; they go into the
report. Lines that are read as text (config/lenses/__init__.py):

    UNITS = ("token", "sequence", "pair")   # kinds of rows that it looks at
    NUMBERS = True                          # also where a number is predicted; else left out
    NEEDS_MODEL = True                      # reads the model's folder; else left out
    OTHERS = "tasks"                        # or "models", "twins": other rows that it opens by ``data.other``

Files whose name begins with ``_`` are helpers. Settings: a class ``Settings(Block)`` in config/lenses/<name>.py, all of
whose keys have defaults; a lens without that file takes none.

Every lens keeps to this: it chooses on train (and tune) and reports on judge; its headline is one statistic, the larger
the more there is of what it asks for, beside its values under the null, which are drawn and at least 19; where there is
nothing to measure it raises :class:`Nothing`, whose text is the ``reason``; the same input gives the same bytes; a
report has plain figures, neurons by their global index and single token types, never a line of code.

Reads: subsets/search/<model>/<task> (frozen.json), activations/<model>/<task>/{train,tune,judge}, prepare/tasks/<task>;
the model's folder and other rows where a lens says so.
Writes: concepts/lenses/<lens>/<model>/<task>: lens.json; contexts.jsonl where a lens gives contexts, which stay in
build/ and are never published.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, read_json, read_jsonl, read_manifest, read_npy
from neurosieve.concepts import chosen_neurons
from neurosieve.concepts.ablation import NoAblation, draw_neurons
from neurosieve.concepts.null import permuted_labels
from neurosieve.config import Params, module_named
from neurosieve.config.base import Block
from neurosieve.config.lenses import lens_facts, lens_settings
from neurosieve.config.names import lens_names
from neurosieve.constant import column_moments, constant_neurons
from neurosieve.flow import writer
from neurosieve.probes.features import Features, layout
from neurosieve.sources.wheels import DEFAULT_CACHE

if TYPE_CHECKING:
    from neurosieve.activations.models import Loaded

MIN_DRAWS = 19  # with which a headline above all of them has p = 0.05


class Nothing(Exception):
    """Why a lens has nothing to measure for a row; the text goes into the artifact."""


@dataclass(frozen=True)
class Headline:
    """The one statistic of a lens: its value, larger for more, beside its values (draws,) under the null."""

    statistic: str
    value: float
    null: np.ndarray

    def plain(self) -> dict[str, Any]:
        """p: share of null values, and the value itself, that are at least as large (one-sided)."""
        null = np.asarray(self.null, np.float64)
        if len(null) < MIN_DRAWS:
            raise ValueError(f"{self.statistic}: found {len(null)} values under the null, expected {MIN_DRAWS} or more")
        # values that differ by rounding alone are ties
        at_least = int((null >= self.value - 1e-12 * max(1.0, abs(self.value))).sum())
        return {
            "statistic": self.statistic,
            "value": float(self.value),
            "null": {
                "draws": len(null),
                "mean": float(null.mean()),
                "low": float(null.min()),
                "high": float(null.max()),
            },
            "p": (1 + at_least) / (1 + len(null)),
        }


@dataclass(frozen=True)
class LensReport:
    """What a lens saw.

    headline : see :class:`Headline`; found : plain values for lens.json; contexts : lines of contexts.jsonl, which may
    hold source code; reproducible : False where the result depends on something outside this benchmark.
    """

    headline: Headline
    found: dict[str, Any]
    contexts: list[dict[str, Any]] = field(default_factory=list)
    reproducible: bool = True


@dataclass(frozen=True)
class LensInput:
    """What a lens may look at: one row of a model and a task. Nothing is read before it is asked for; never test.

    chosen : global indices of the headline subset, best first, none of them constant; settings : of the lens;
    card : of the task; load : gives the model with its head instead of reading its folder, for tests.
    """

    lens: str
    params: Params
    paths: Paths
    features: Features
    settings: Any
    card: dict[str, Any]
    subset: str | None
    claimed: bool | None
    chosen: np.ndarray
    cache: Any = DEFAULT_CACHE
    load: Callable[[], tuple[Loaded, int | None]] | None = None
    _moments: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        return self.features.model

    @property
    def task(self) -> str:
        return self.features.task

    @property
    def unit(self) -> str:
        return self.features.unit

    @property
    def classes(self) -> list[str]:
        """None where a number is predicted."""
        return self.features.classes

    @property
    def scored(self) -> list[int]:
        """Classes with rows enough that a score means something."""
        return [] if self.features.number else list(self.card["scored_classes"])

    @property
    def width(self) -> int:
        return self.features.width

    @property
    def described(self) -> np.ndarray:
        """The first ``concepts.neurons`` of the chosen ones, those that the other rules of the phase look at."""
        return self.chosen[: self.params.concepts.neurons]

    @functools.cached_property
    def usable(self) -> np.ndarray:
        """Global indices, ascending, of all measured neurons that are not constant on train."""
        folder = self.paths.activations(self.model, self.task, "train")
        kept = []
        for layer in self.features.measured:
            constant = constant_neurons(read_npy(folder / f"layer_{layer:02d}.npy", mmap=True))
            kept.append(layer * self.width + np.flatnonzero(~constant))
        return np.concatenate(kept)

    def rng(self, *names: str) -> np.random.Generator:
        """A generator of this lens, model and task, and of the names (one for each thing that is drawn)."""
        told = (self.lens, self.model, self.task, *names)
        return np.random.default_rng([self.params.seed, *(zlib.crc32(name.encode()) for name in told)])

    def random_sets(self, neurons: np.ndarray, draws: int) -> np.ndarray:
        """(draws, len(neurons)) random neurons: in every layer as many as ``neurons``, none of these, none constant,
        each draw ascending; what chosen neurons are compared with. None of the other chosen ones either, where a layer
        has enough others. Nothing where it has too few beside ``neurons``."""
        told = ("random", self.lens, self.model, self.task)
        seed = [self.params.seed, *(zlib.crc32(name.encode()) for name in told)]
        try:
            return draw_neurons(self.features, np.sort(neurons), seed, draws, self.chosen).random
        except NoAblation as why:
            raise Nothing(str(why)) from None

    def matrix(self, split: str, neurons: np.ndarray) -> np.ndarray:
        """float32 (rows, len(neurons) * columns), neuron-major, standardised by the moments of train.

        A column that does not vary on train is zero. ``split``: train, tune or judge.
        """
        if split not in ("train", "tune", "judge"):
            raise ValueError(f"found the split {split!r}; lenses read train, tune and judge")
        neurons = np.asarray(neurons)
        X = self.features.load(split, neurons)
        c = self.features.columns_per_neuron
        missing = [i for i, neuron in enumerate(neurons.tolist()) if neuron not in self._moments]
        if missing:
            train = X[:, self.features.columns(np.array(missing))] if split == "train" else None
            train = self.features.load("train", neurons[missing]) if train is None else train
            mean, std, equal = column_moments(train)
            moments = np.stack([mean, np.where(equal | (std == 0), np.inf, std)], axis=1).reshape(len(missing), c, 2)
            self._moments.update(zip(neurons[missing].tolist(), moments, strict=True))
        if not len(neurons):
            return X
        mean, std = np.concatenate([self._moments[n] for n in neurons.tolist()]).T
        X -= mean.astype(np.float32)
        X *= (1.0 / std).astype(np.float32)
        if not np.isfinite(X).all():
            bad = int(neurons[np.argmin(np.isfinite(X).all(axis=0)) // c])
            folder = self.paths.activations(self.model, self.task, split)
            raise ArtifactError(f"{folder}: found values that are not finite in neuron {bad}; run `activations` again")
        return X

    def labels(self, split: str) -> np.ndarray:
        """(rows,) int64 classes, or float64 numbers."""
        return self.features.labels(split)

    def files(self, split: str) -> np.ndarray:
        """(rows,) int64 file codes, for the bootstrap over files."""
        return self.features.files(split)

    def seen(self, split: str) -> np.ndarray | None:
        """(rows,) bool for tokens: the type occurs in train; None for sequences and pairs."""
        return self.features.seen(split)

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Lines of rows.jsonl: for tokens input, start, end, type, seen."""
        return read_jsonl(self.paths.task(self.task) / split / "rows.jsonl")

    def texts(self, split: str) -> list[str]:
        """Texts of the inputs; a row's is ``texts[row["input"]]``."""
        return [entry["text"] for entry in read_jsonl(self.paths.task(self.task) / split / "inputs.jsonl")]

    def types(self, split: str) -> tuple[np.ndarray, list[str]]:
        """Of tokens: code of each row's type (rows,), and the types, sorted."""
        names, codes = np.unique([row["type"] for row in self.rows(split)], return_inverse=True)
        return codes, names.tolist()

    def units(self, split: str) -> np.ndarray:
        """(rows,) codes from 0 of what labels are permuted over: types of tokens, (first) inputs of the others."""
        if self.unit == "token":
            return self.types(split)[0]
        return np.unique(self.features.rows(split).inputs, return_inverse=True)[1]

    def permuted(self, split: str, draws: int) -> np.ndarray:
        """Labels permuted over units (draws, rows), see concepts/null.py; seen and unseen types apart."""
        seen = self.seen(split)
        groups = None if seen is None else seen.astype(np.int64)
        rng = self.rng("permuted", split)
        return permuted_labels(self.labels(split), self.units(split), draws, rng, groups)[1:]

    def loaded(self) -> Loaded:
        """The model as its activations were taken from it, without a head; an untrained twin too.

        ArtifactError where its weights are not those whose activations were taken.
        """
        if self.load is not None:
            return self.load()[0]
        from neurosieve.activations.models import load_model

        found = load_model(self.params, self.model, self.cache, self._task_folder())
        self._check_weights(found)
        return found

    def language_model(self) -> tuple[Loaded, int | None]:
        """The model with its language-modelling head, and the id of its mask (None for a causal one).

        Nothing for an untrained twin, and where there is no usable head. ArtifactError as of :meth:`loaded`.
        """
        if self.load is not None:
            return self.load()
        from neurosieve.activations.models import NoHeadError, load_language_model, model_folder

        entry, settings = self.params.models[self.model], self.params.activations
        if entry.untrained is not None:
            raise Nothing("an untrained twin: its head is random")
        own = self._task_folder()
        weights = "safetensors" if own is not None and (own / "model.safetensors").is_file() else entry.weights
        try:
            found, mask = load_language_model(
                own or model_folder(self.params, self.model, self.cache)[0],
                self.model,
                self.params.numerics,
                weights,
                entry.trust_remote_code,
                settings.window,
                settings.batch_tokens,
            )
        except NoHeadError as why:
            raise Nothing(f"no usable language-modelling head: {why}") from None
        self._check_weights(found)
        return found, mask

    def _task_folder(self) -> Path | None:
        """Where the model's weights for the task lie, if it has any; sets torch's threads, as whoever loads must."""
        import torch

        from neurosieve.activations import threads
        from neurosieve.activations.models import task_folder

        torch.set_num_threads(threads())
        return task_folder(self.params, self.paths, self.model, self.task)

    def _check_weights(self, found: Loaded) -> None:
        source = self.paths.activations(self.model, self.task, "train")
        if read_manifest(source)["facts"]["model_sha256"] != found.facts["model_sha256"]:
            raise ArtifactError(f"{source}: made from other weights than {found.folder} has; run `activations` again")

    def other(self, *, model: str | None = None, task: str | None = None) -> LensInput:
        """Another row, for lenses with ``OTHERS``."""
        if lens_facts(self.lens).others is None:
            raise ValueError(f"lens {self.lens}: opens another row; write OTHERS into its file")
        found = open_row(self.params, self.paths, self.lens, model or self.model, task or self.task, self.cache)
        return replace(found, settings=self.settings)


def open_row(params: Params, paths: Paths, lens: str, model: str, task: str, cache: Any = DEFAULT_CACHE) -> LensInput:
    """The view of one row, with the settings of ``concepts.lenses.<lens>``, its defaults where the lens is off."""
    on = getattr(params.concepts, "lenses", None)
    settings: Block = on.of(lens) if on is not None and lens in on.names() else lens_settings(lens)()
    key, claimed, chosen = chosen_neurons(paths, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    return LensInput(
        lens, params, paths, layout(paths, params, model, task), settings, card, key, claimed, chosen, cache
    )


def load(name: str) -> Callable[[LensInput], LensReport]:
    """The function of a registered lens; ValueError for a name without a file."""
    look: Callable[[LensInput], LensReport] = module_named(__name__, "lens", name, lens_names()).look
    return look


def said(name: str) -> dict[str, str]:
    """``question``, ``null`` and ``source`` of a lens, from the paragraphs of its docstring."""
    text = inspect.getdoc(module_named(__name__, "lens", name, lens_names())) or ""
    found = {}
    for key in ("question", "null", "source"):
        paragraph = re.search(rf"^{key.capitalize()}:\s*(.+?)(?:\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
        if paragraph is None:
            raise ValueError(f"lens {name}: its docstring has no paragraph that begins with `{key.capitalize()}:`")
        found[key] = " ".join(paragraph[1].split())
    return found


def examine(data: LensInput) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The content of lens.json, and of contexts.jsonl.

    lens, question, null, source, model, task, unit, subset, claimed, chosen (how many); reason: None, or why nothing
    was measured, and headline and found are None then; headline: {statistic, value, null: {draws, mean, low, high},
    p}; found: what the lens says; reproducible.
    """
    facts, report, reason = lens_facts(data.lens), None, None
    try:
        if data.unit not in facts.units:
            raise Nothing(f"a task of {data.unit}s: this lens looks at {', '.join(facts.units)} tasks")
        if data.features.number and not facts.numbers:
            raise Nothing("a number is predicted: this lens looks at classes")
        if not len(data.chosen):
            raise Nothing("no neurons were chosen")
        report = load(data.lens)(data)
    except Nothing as why:
        reason = str(why)
    plain = {
        "lens": data.lens,
        **said(data.lens),
        "model": data.model,
        "task": data.task,
        "unit": data.unit,
        "subset": data.subset,
        "claimed": data.claimed,
        "chosen": len(data.chosen),
        "headline": None if report is None else report.headline.plain(),
        "found": None if report is None else report.found,
        "reproducible": report is None or report.reproducible,
        "reason": reason,
    }
    if (bad := _not_plain(plain)) is not None:
        raise ValueError(f"lens {data.lens}: found {bad}; a report has plain and finite values")
    return plain, [] if report is None else report.contexts


def _not_plain(value: Any, where: str = "") -> str | None:
    """Where in nested plain values something is that JSON has not."""
    if isinstance(value, dict):
        parts = [(f"{where}.{key}", part) for key, part in value.items()]
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            return f"the key {odd!r} at {where or 'the top'}"
    elif isinstance(value, list | tuple):
        parts = [(f"{where}[{i}]", part) for i, part in enumerate(value)]
    elif value is None or type(value) in (str, bool, int) or (type(value) is float and math.isfinite(value)):
        return None
    else:
        return f"{value!r} at {where}"
    return next((bad for key, part in parts if (bad := _not_plain(part, key)) is not None), None)


def apply_lens(params: Params, paths: Paths, *, lens: str, model: str, task: str, cache: Any = DEFAULT_CACHE) -> None:
    """Look through ``lens`` at the headline subset of a row, see :func:`examine`."""
    report, contexts = examine(open_row(params, paths, lens, model, task, cache))
    with writer(params, paths, "apply_lens", lens=lens, model=model, task=task) as out:
        out.json("lens.json", report)
        if contexts:
            out.jsonl("contexts.jsonl", contexts)
        out.facts = {"chosen": report["chosen"], "measured": report["reason"] is None}

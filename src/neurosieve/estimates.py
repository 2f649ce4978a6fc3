"""What the jobs of a benchmark need, before anything is run: disk, memory, time; and which files are missing.

Functions of the params file and, for local models without `layers:`, `width:` and `parameters:`, of config.json and the
headers of their weights; nothing else is read, nothing written, nothing fetched. Snakemake prints and uses
them (`resources:` of every rule), `neurosieve plan` adds them up. Imports nothing heavy: a plan takes no time.

Disk of activations is exact once the task has the rows it asks for: vectors x layers x width x 4 bytes. Pairs share
inputs, so theirs is a bound unless the task says `inputs:`. Time is the number of operations of a job over a rate;
that of a forward pass has a part that goes with sub-words and blocks alone, most of it in narrow models.
Rates, of one core, with where they were measured:

- PORTABLE, under the pins: probes of the default benchmark (AMD EPYC; 8,000 x 1,792 with ten classes, all feature sets,
  in 14 s); fine-tuning is taken to be as fast
- PORTABLE_MODEL and PER_BLOCK, under the pins: dumps of presets/real-data.yaml on the same machine (419,000 sub-words
  of six blocks of 384 units in 135 s, 1,259,000 of twelve blocks of 96 units in 114 s)
- FAST_MODEL, `numerics: fast`, RoBERTa-base: 0.88 s per 1,000 sub-words on two threads of the same machine
- FAST_PROBE, the same without pins: taken as one and a half times the portable rate
- PRODUCT, of float32 matrices by numpy in either setting, and PAIR, seconds that clustering takes for each pair of
  neurons beside it: clusters of 9,984 neurons on 20,000 and 100,000 tokens, same machine
- GPU: not measured; taken as a third of the float32 peak of an A100

On other machines, and where a solver needs more steps, a job takes several times as long or as short: tests hold the
estimates to a factor of five. `runtime`, a cluster's limit, is three times the estimate, ten minutes at least.
Memory is what the code allocates at once; tests hold it to what Snakemake measured of jobs of the default benchmark.

To refit: run a benchmark with NEUROSIEVE_FORKS=off, then `python benchmarks/estimates.py --params FILE`. It sets what
Snakemake measured of every job beside what is counted here, by rule, and prints the table FITTED anew; paste it, and
run tests/unit/test_estimates.py. A factor far from those of its neighbours says that a rule's count is wrong, not its
rate.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosieve.config import SPLITS, Params, Task
from neurosieve.sources.folder import BYTES, CONFIG, FolderError, elements, faults, neurons_of, read_object

PORTABLE = 36e9  # operations a second
PORTABLE_MODEL = 80e9
PER_BLOCK = 5e-6  # seconds a sub-word and block
FAST_MODEL = 100e9
FAST_PROBE = 54e9
PRODUCT, PAIR = 110e9, 1.2e-7
# Rule -> what measured jobs took of what is counted: of the seconds after the start, of the megabytes above imports.
FITTED: dict[str, tuple[float, float]] = {}
GPU = 6e12
DEVICE_VARIABLE = "NEUROSIEVE_DEVICE"  # cpu, cuda or mps: where models run

START, START_TORCH = 1.5, 6.0  # seconds until numpy, until torch and a model are there
# Megabytes of a process that has read nothing yet: with numpy, with scikit-learn, with torch and transformers.
BASE, BASE_SKLEARN, BASE_TORCH = 150, 200, 520
CHARACTERS = 3.3  # of source code per sub-word
TYPICAL = 1500  # characters of a function, where the limit of the task is more than twice as much
PER_ROW = 12.0  # sub-words that are read for a token: 5 to 41 in the default benchmark
# Of a search: what it costs in curves of a ranking, whether it inverts the Gram matrix at each of its steps, and how
# many turns of the relaxation it takes at a size. On 8,000 x 1,792 with ten classes a ranking's curve takes 5 s,
# elimination's 8, what relaxation adds 24 and the bound 8; tests/unit/test_estimates.py has more of the last two.
SEARCHES = {"elimination": (1.2, True, 0), "exchange": (2.5, True, 0), "relaxation": (1.0, False, 3)}
DEAREST = (2.5, True, 3)  # for a search that is not named there
TURN = (8, 0.5)  # of a turn: iterations on all columns, and columns^3 of its Cholesky factors
BOUND = (400, 20 / 3)  # the same of all turns of the bound, most of which are of fewer columns
SPARSE = 2.5  # times as many iterations with l1 > 0
STEP = 1.1  # ratio of the sizes between which a search inverts
MINIMUM = 0.1  # of the neurons, what a plan takes a minimal subset to have
LARGE = 4  # times a minimal subset: above it robustness lets elimination take larger steps
COLD, WARM = 34, 17  # iterations of the solver from zero, and from the probe of the size before
SHAPE = (13, 768)  # of a model that says nothing: the published ones
# values of train from which products are made in two halves, by the rules that make them so (probes/solver.py)
HALVED, IN_HALVES = 1 << 25, ("fit_probes", "fit_controls", "search_subsets")
RESERVE, SHORTEST = 3.0, 10  # of runtime: times the estimate, minutes
# rules that run a model: on the device that NEUROSIEVE_DEVICE names, or on the cpu whatever it names
ON_DEVICE = ("finetune_model", "dump_activations")
WITH_MODEL = (
    *ON_DEVICE, "ablate_neurons", "attribute_neurons", "measure_faithfulness", "measure_effects",
    "find_language_neurons",
)  # fmt: skip
# Jobs estimated to be shorter share a job of a cluster with others of their stage, where its profile says how many.
# Within a stage a path has two rules at most, so that no job of it waits for one outside that waits for the stage.
# Those that may ask for a GPU have a stage of their own; those that wait for all rows stand in none.
SHORT = 120  # seconds
# fmt: off
STAGES = {
    "data": ("extract_corpus", "prepare_task"),
    "models": ("finetune_model", "dump_activations"),
    "probes": ("measure_redundancy", "fit_baselines", "fit_probes", "fit_controls"),
    "subsets": ("search_subsets",),
    "scores": (
        "check_robustness", "transfer_subsets", "score_test", "reproduce_published", "describe_neurons", "apply_lens",
    ),
    "ablation": ("ablate_neurons", "attribute_neurons", "measure_effects", "find_language_neurons"),
    "faithfulness": ("measure_faithfulness",),
}
# fmt: on


@dataclass(frozen=True)
class Job:
    """A job of the workflow: its rule and wildcards, None for those the rule does not have."""

    rule: str
    model: str | None = None
    task: str | None = None
    corpus: str | None = None
    lens: str | None = None


@dataclass(frozen=True)
class Need:
    """What a job needs: megabytes (10^6 bytes) it writes, megabytes of memory, seconds of one core or one GPU."""

    disk_mb: int
    mem_mb: int
    seconds: float

    @property
    def minutes(self) -> int:
        """The estimate, rounded up."""
        return max(1, math.ceil(self.seconds / 60))

    @property
    def runtime(self) -> int:
        """Minutes to give the job on a cluster."""
        return max(SHORTEST, math.ceil(RESERVE * self.seconds / 60))


def device() -> str:
    return os.environ.get(DEVICE_VARIABLE) or "cpu"


def jobs(params: Params) -> Iterator[Job]:
    """Every job of the run, in the order of the phases; a test compares them with Snakemake's."""
    run = params.run
    cells = [(model, task) for model in run.models for task in run.tasks]
    probed = [(model, task) for model in params.probed for task in run.tasks]
    yield from (Job("extract_corpus", corpus=c) for c in params.corpora)
    yield from (Job("prepare_task", task=t) for t in run.tasks)
    yield from (Job("finetune_model", m, t) for m, t in probed if params.finetunes(m, t))
    yield from (Job("dump_activations", m, t) for m, t in probed)
    yield from (Job("measure_redundancy", m, t) for m, t in cells)
    yield from (Job("fit_baselines", task=t) for t in run.tasks)
    yield from (Job("fit_probes", m, t) for m, t in probed)
    yield from (Job("fit_controls", m, t) for m, t in cells)
    yield Job("decide_status")
    yield from (Job("search_subsets", m, t) for m, t in cells)
    yield from (Job("check_robustness", m, t) for m in params.asked for t in run.tasks)
    yield from (Job("transfer_subsets", m) for m in run.models if params.subsets.transfer)
    yield from (Job("score_test", m, t) for m, t in cells)
    yield from (Job("reproduce_published", m, t) for m, t in cells if "published" in run.protocols)
    yield from (Job("describe_neurons", m, t) for m, t in cells)
    concepts = params.concepts
    yield from (Job("ablate_neurons", m, t) for m, t in cells if concepts.ablation is not None)
    trained = [(model, task) for model in params.trained_models for task in run.tasks]
    yield from (Job("attribute_neurons", m, t) for m, t in trained if concepts.attribution is not None)
    yield from (Job("measure_faithfulness", m, t) for m, t in trained if concepts.faithfulness is not None)
    yield from (Job("measure_effects", m) for m in params.trained_models if concepts.effects is not None)
    yield from (Job("apply_lens", m, t, lens=lens) for lens in params.lenses for m, t in trained)
    yield from (Job("find_language_neurons", m) for m in params.trained_models if concepts.languages is not None)
    yield Job("build_leaderboard")
    yield Job("build_site")


@functools.cache
def unit_of(kind: str) -> str:
    """token, sequence or pair, as the kind's file says; read as text, for its imports are heavy."""
    path = Path(__file__).parent / "prepare" / "tasks" / f"{kind.replace('-', '_')}.py"
    found = re.search(r'^UNIT\b[^=\n]*= "(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "sequence"


def shape(params: Params, model: str) -> tuple[int, int]:
    """Layers (that of the embedding included) and width: of the entry, else of the folder's config.json, else SHAPE."""
    known = _known_shape(params, model)
    return SHAPE if known is None else known


def _known_shape(params: Params, model: str) -> tuple[int, int] | None:
    entry = params.models[params.trained(model)]
    if entry.layers is not None and entry.width is not None:
        return entry.layers, entry.width
    if entry.path is None:
        return None
    try:
        stated = read_object(params.resolve(entry.path) / CONFIG)
    except FolderError:  # said by folder.faults
        return None
    return neurons_of(stated, entry.neurons, entry.part)


def parameters(params: Params, model: str) -> int:
    """Of the entry, else from the headers of the folder's weights, whatever their type, else from the shape."""
    entry = params.models[params.trained(model)]
    if entry.parameters is not None:
        return entry.parameters
    if entry.path is not None:
        try:
            found = elements(params.resolve(entry.path), entry.weights)
        except FolderError:
            found = None
        if found:
            return found
    layers, width = shape(params, model)
    return 12 * (layers - 1) * width**2 + 30_000 * width  # blocks of a transformer, and an embedding


def vectors(task: Task) -> dict[str, int]:
    """Vectors per split: a token and a sequence have one per row, pairs one per input."""
    rows = {split: int(getattr(task.rows, split)) for split in SPLITS}
    if unit_of(task.kind) != "pair":
        return rows
    return {split: min(2 * n, task.inputs or 2 * n) for split, n in rows.items()}


def subwords(task: Task) -> dict[str, float]:
    """Sub-words that a dump reads, per split."""
    if unit_of(task.kind) == "token":
        return {split: PER_ROW * n for split, n in vectors(task).items()}
    return {split: _length(task) * n for split, n in vectors(task).items()}


def _length(task: Task) -> float:
    """Sub-words of an input: half of the longest, at most those of a typical function."""
    return min(task.max_characters / 2, TYPICAL) / CHARACTERS


def need(params: Params, job: Job, device: str = "cpu") -> Need:
    """What a job needs: what is counted, times what measured jobs of the rule took of it.

    Raises
    ------
    KeyError
        for a rule that is not estimated.
    """
    found = counted(params, job, device)
    seconds, memory = FITTED.get(job.rule, (1.0, 1.0))
    start, base = overhead(job.rule)
    return Need(
        found.disk_mb,
        found.mem_mb if memory == 1 else math.ceil(base + memory * max(0, found.mem_mb - base)),
        start + seconds * max(0.0, found.seconds - start),
    )


def threads(params: Params, job: Job) -> int:
    """Threads that a job has use for: two where the products of its fits are made in two halves."""
    if job.rule not in IN_HALVES:
        return 1
    size = _Sizes(params, str(job.model), str(job.task))
    return 2 if size.rows["train"] * size.columns >= HALVED else 1


def overhead(rule: str) -> tuple[float, float]:
    """Seconds until a job of a rule begins, and megabytes of what it imports: what does not grow with its data."""
    return (START_TORCH, BASE_TORCH) if rule in WITH_MODEL else (START, BASE)


def counted(params: Params, job: Job, device: str = "cpu") -> Need:
    """What a job needs, by its operations and arrays alone; raises as :func:`need`."""
    rule, run = job.rule, params.run
    if rule not in ON_DEVICE:
        device = "cpu"
    portable = params.numerics == "portable"
    on_model = GPU if device != "cpu" else PORTABLE_MODEL if portable else FAST_MODEL
    on_probe = PORTABLE if portable else FAST_PROBE
    cells = len(run.models) * len(run.tasks)

    if rule == "extract_corpus":
        return Need(50, BASE, 15)
    if rule == "decide_status":
        judged = max(_judging(params, t, "judge") for t in run.tasks)
        return Need(1, BASE + judged, START + 0.1 * len(params.probed) * len(run.tasks))
    if rule == "build_leaderboard":
        return Need(2 + cells, BASE + 2 * cells, START + 0.3 * cells)
    if rule == "build_site":
        return Need(5 + cells, BASE + 2 * cells, START + 0.1 * cells)
    if rule in ("measure_effects", "find_language_neurons"):
        weights = parameters(params, str(job.model))
        one = _Sizes(params, str(job.model), run.tasks[0]).per_subword(weights, on_model, device)
        return Need(1, BASE_TORCH + _mb(12 * weights), START_TORCH + _subwords_of(params, rule) * one)
    if rule == "transfer_subsets":
        parts = [_Sizes(params, str(job.model), t) for t in run.tasks]
        work = sum(p.product * COLD * 0.2 * len(parts) for p in parts)  # with a fifth of the neurons each
        return Need(1, max(p.memory(1.5) for p in parts), START + work / on_probe)

    task = params.prepare.tasks[str(job.task)]
    rows = {split: int(getattr(task.rows, split)) for split in SPLITS}
    texts = sum(subwords(task).values()) * CHARACTERS
    if rule == "prepare_task":
        long = 30.0 if task.corpus is None else 3.0
        memory = (BASE if task.corpus is not None else 1000) + _mb(3 * texts)  # the data may hold more than is taken
        return Need(_mb(texts + 100 * sum(rows.values())), memory, long + 3e-5 * sum(rows.values()))
    if rule == "fit_baselines":
        seen = sum(subwords(task).values()) * CHARACTERS
        memory = BASE_SKLEARN + _mb((4000 if unit_of(task.kind) == "token" else 12000) * sum(rows.values()))
        return Need(1, memory + _judging(params, str(job.task), "judge"), 3 + 4e-6 * seen + 3e-4 * sum(rows.values()))

    size = _Sizes(params, str(job.model), str(job.task))
    weights = parameters(params, size.model)
    # of a model in memory: the type in which it computes, whatever the files have; with the trained model beside a twin
    loaded = BYTES[params.activations.dtype] * weights
    loaded += 4 * weights if params.models[size.model].untrained is not None else 0
    if rule == "finetune_model":
        tune = params.models[size.model].finetune
        epochs, limit = (tune.epochs, tune.max_subwords) if tune is not None else (1, 512)
        inputs = rows["train"] * (2 if size.unit == "pair" else 1)
        work = epochs * inputs * min(_length(task), limit) * 6 * weights  # forwards 2, backwards 4 a weight
        rate = PORTABLE if device == "cpu" and portable else on_model
        return Need(_mb(12 * weights), 2000 + _mb(24 * weights), START_TORCH + work / rate)
    if rule == "dump_activations":
        total = sum(vectors(task).values())
        running = sum(subwords(task).values()) * size.per_subword(weights, on_model, device)
        written = total * size.layers * size.width * 4
        memory = BASE_TORCH + _mb(loaded + 8 * params.activations.batch_tokens * (size.blocks + 1) * size.width)
        return Need(_mb(written), memory, START_TORCH + running + written / 200e6)
    if rule == "ablate_neurons":
        ablation = params.concepts.ablation
        if ablation is None or size.unit != "token":
            return Need(1, BASE, START)
        windows = math.ceil(ablation.tokens / ablation.per_window) * ablation.window
        passes = 1 + len(ablation.amounts) * (1 + ablation.random_draws)
        running = passes * windows * size.per_subword(weights, on_model, device)
        return Need(1, BASE_TORCH + _mb(4 * weights + loaded), START_TORCH + running)  # with its language model
    if rule in ("attribute_neurons", "measure_faithfulness"):
        running = _subwords_of(params, rule) * size.per_subword(weights, on_model, device)
        return Need(1, BASE_TORCH + _mb(12 * weights + loaded), START_TORCH + running)
    if rule == "apply_lens":
        fits = 20 * COLD * 0.1 * size.product  # probes on some of the columns
        return Need(1, BASE_TORCH - BASE + size.memory(2.0), START_TORCH + fits / on_probe)
    if rule == "measure_redundancy":
        some = min(params.redundancy.rows, size.inputs_or_rows)
        batch = min(params.redundancy.cka_rows, size.inputs_or_rows)
        seconds = (
            some * size.neurons**2 / PRODUCT + PAIR * size.neurons**2 / 2 + 1e-8 * size.inputs_or_rows * size.neurons
        )
        # half of each Gram matrix, in float64; then the inner products of all pairs of them
        seconds += params.redundancy.cka_batches * batch**2 * (2.0 * size.neurons + size.layers**2) / PRODUCT
        # correlations of a half and all, or of two halves and rows; a linkage's distances, and its copy of them
        pairs = max(10 * size.neurons**2, 4 * size.neurons**2 + min(2**28, 2 * some * size.neurons))
        labels = 4 * (len(params.redundancy.thresholds) + 1) * size.neurons
        return Need(_mb(labels), BASE + _mb(max(pairs, 8 * batch * size.neurons)), START + seconds)
    if rule == "fit_probes":
        sets = 1 + (size.layers + 1) / 2  # all, single layers, prefixes: in units of all columns
        work = len(params.probes.penalties) * sets * COLD * size.product + size.gram
        work += len(params.probes.penalties) * size.cholesky * (1 + size.layers / 4)
        ranked = len(params.probes.rankings) * 2 * COLD * size.product / 4
        made = 4 * size.columns * size.outputs * (2 + len(params.probes.rankings)) + 4 * rows["judge"] * 3 * size.layers
        return Need(_mb(made), size.memory(2.0), START + (work + ranked) / on_probe)
    if rule == "fit_controls":
        blocks = 2 * sum(params.probes.description_shares)  # the labels, and shuffled ones
        fits = (params.probes.control_seeds if size.unit == "token" else 0) + blocks
        return Need(
            1, size.memory(1.0, ("train", "train")), START + (fits * COLD * size.product + size.gram) / on_probe
        )
    if rule == "search_subsets":
        subsets = params.subsets
        grid = 1 / (1 - 1 / subsets.ratio)  # sum of a geometric grid, in units of its largest size
        control = 1 / (1 - 1 / subsets.control_ratio)
        twin = params.models[size.model].untrained is not None
        walked = [subsets.headline] if twin else subsets.contenders
        searched = [SEARCHES.get(name, DEAREST) for name in walked if name in subsets.searches]
        bounded = subsets.headline in subsets.searches and not twin  # where a minimum is claimed, which no plan knows
        ranked = len(walked) - len(searched) + sum(curves for curves, _, _ in searched)
        curves = ranked * grid + (subsets.random_draws + 1) * control + subsets.half_draws / 2
        if subsets.pipeline is not None and not twin:
            curves += len(subsets.pipeline.thresholds) / (1 - 1 / subsets.pipeline.ratio)
        cubes = ranked / (1 - subsets.ratio**-3) + (subsets.random_draws + 1) / (1 - subsets.control_ratio**-3)
        inverses = sum(inverts for _, inverts, _ in searched) / (1 - STEP**-3)
        sizes = math.log(max(size.neurons, 2)) / math.log(subsets.ratio)
        turns = sum(turns for _, _, turns in searched) * sizes
        iterations, factors = (TURN[i] * turns + BOUND[i] * bounded for i in range(2))
        iterations += 3 * curves * WARM / 2
        penalties = params.probes.penalties
        iterations *= sum(SPARSE if penalty.l1 > 0 else 1 for penalty in penalties) / len(penalties)
        work = iterations * size.product + size.gram + cubes * size.cholesky + (inverses + factors) * size.columns**3
        probes = 40 + (len(walked) + 1) * 3 * sizes
        memory = size.memory(2.3) + _judging(params, str(job.task), "judge")
        if searched:  # scaled columns or their product in float64, and a Gram matrix that is scaled or inverted
            memory += _mb(8 * rows["train"] * size.columns + 8 * size.columns**2)
        return Need(_mb(2 * probes * rows["judge"]), memory, START + work / on_probe)
    if rule == "check_robustness":
        asked, headline = params.subsets.robustness, params.subsets.headline
        judging = _judging(params, str(job.task), "judge")
        left_out = MINIMUM**2 * size.neurons * size.product * WARM
        if asked is None or headline not in params.subsets.searches:  # of a ranking members are left out, no more
            return Need(1, size.memory(1.2) + judging, START + (size.gram + left_out) / on_probe)
        cost, inverts, _ = SEARCHES.get(headline, DEAREST)
        steps = LARGE * MINIMUM / (1 - 1 / STEP) + 3  # in units of all columns; three for those above
        once = size.gram + (2 * COLD + cost * steps * WARM) * size.product + 2 * inverts * size.columns**3
        times = asked.resamples / 2 + 2 + asked.disjoint  # a half has half of the rows
        memory = size.memory(1.3) + judging + _mb(8 * size.columns**2 + 4 * rows["train"] * size.columns)
        return Need(1, memory, START + (times * once + left_out) / on_probe)
    if rule == "score_test":
        memory = BASE + _mb(8 * rows["test"] * size.columns) + _judging(params, str(job.task), "test")
        predicted = 20 + 2 * len(params.twins_of(size.model)[1:])
        return Need(1, memory, START + predicted * rows["test"] * size.columns / on_probe)
    if rule == "reproduce_published":
        return _published(params, size, rows, on_probe)
    if rule == "describe_neurons":
        work = params.concepts.neurons * params.concepts.permutations * rows["judge"]
        return Need(2, BASE_SKLEARN + _mb(8 * rows["judge"] * params.concepts.neurons), START + 1e-8 * work)
    raise KeyError(rule)


def _published(params: Params, size: _Sizes, rows: dict[str, int], rate: float) -> Need:
    """Every model of the grid is trained on all neurons; then one per size until a size passes."""
    found = params.published
    token = size.unit == "token"
    epochs = found.token_epochs / 2 if token else found.sequence_epochs  # patience stops about half-way
    grid = len(found.grid) ** 2 if token else 1
    sizes = len(found.tolerances) * len(found.thresholds) * (1 + sum(s for s in found.shares if s <= 0.1))
    work = len(found.seeds) * (grid + sizes + size.layers / 2) * epochs * 1.5 * size.product
    cells = size.columns * (rows["train"] + 2 * sum(rows.values()))
    return Need(1, 1000 + _mb(4 * cells), START + work / rate)


class _Sizes:
    """Sizes of the matrices of a model on a task."""

    def __init__(self, params: Params, model: str, task: str) -> None:
        entry = params.prepare.tasks[task]
        self.model, self.unit = model, unit_of(entry.kind)
        layers, self.width = shape(params, model)
        only = params.models[params.trained(model)].only_layers
        self.blocks, self.layers = layers - 1, layers if only is None else len(only)
        self.neurons = self.layers * self.width
        self.columns = self.neurons * (len(params.probes.pair_features) if self.unit == "pair" else 1)
        self.rows = {split: int(getattr(entry.rows, split)) for split in SPLITS}
        classes = len(entry.classes) if entry.classes else 10 if self.unit == "token" else 2
        self.outputs = 1 if classes == 2 or entry.metric == "r2" else classes
        self.inputs_or_rows = vectors(entry)["train"]
        #: operations of an iteration of the solver on all columns: one product forwards, one back
        self.product = 4.0 * self.rows["train"] * self.columns * self.outputs
        #: of the Gram matrix, and of the Cholesky factors of its metric
        self.gram = 2.0 * self.rows["train"] * self.columns**2
        self.cholesky = (1 if self.outputs == 1 else 2) * self.columns**3 / 3

    def per_subword(self, weights: int, rate: float, device: str) -> float:
        """Seconds of a forward pass; weights beyond those of plain blocks count as embeddings, not multiplied."""
        running = 2 * min(weights, 12 * self.blocks * self.width**2) / rate
        return running + (self.blocks * PER_BLOCK if device == "cpu" else 0.0)

    def memory(self, sets: float, splits: tuple[str, ...] = ("train", "tune", "judge")) -> int:
        """Megabytes: the rows of the splits so many times over, beside Gram matrix, its factor and a copy."""
        rows = sum(self.rows[split] for split in splits)
        return BASE + _mb(4 * sets * rows * self.columns + 12 * self.columns**2)


def _subwords_of(params: Params, rule: str) -> float:
    """Sub-words that a rule runs through a model, each pass counted, gradients as two more."""
    concepts = params.concepts
    if rule == "attribute_neurons":
        asked: Any = concepts.attribution
        return 3.0 * len(asked.methods) * _windows(asked)
    if rule == "measure_faithfulness":
        asked = concepts.faithfulness
        points = 2 * len(asked.methods) * len(asked.sites) * (len(asked.shares) + 1)
        return points * (len(asked.orders) + asked.random_orders) * _windows(asked)
    if rule == "measure_effects":
        asked, tasks = concepts.effects, len(params.run.tasks)
        passes = (len(asked.doses) + 2 * tasks) * (1 + asked.random_draws)
        passes += (asked.members + 1) * (asked.member_draws + 1) + asked.members + 2
        others = 2 * (1 + asked.random_draws) * math.ceil(asked.outside / asked.per_window) * asked.window
        read = sum(asked.readout * _length(params.prepare.tasks[task]) for task in params.run.tasks)
        return passes * tasks * _windows(asked) + tasks * (others + (1 + asked.random_draws) * read)
    asked = concepts.languages
    chosen = 2 * len(asked.sources) * asked.subwords * 4  # two halves of files; gradients, and the untrained twin
    passes = 1 + 4 * len(asked.sources) * (1 + asked.ablation_draws)  # two methods, two values
    return chosen + passes * len(asked.sources) * asked.tokens / asked.per_window * asked.predict_window


def _windows(asked: Any) -> float:
    """Sub-words of the windows in which so many tokens are predicted."""
    return math.ceil(asked.tokens / asked.per_window) * float(asked.window)


def _judging(params: Params, task: str, split: str) -> int:
    """Megabytes of scores with their bootstrap: counts by file and cell, draws of files, tables of draws."""
    entry = params.prepare.tasks[task]
    token = unit_of(entry.kind) == "token"
    cells = (len(entry.classes) if entry.classes else 10 if token else 2) ** 2
    files = getattr(entry.rows, split) / (10 if token else 1)  # at most: a file has several tokens
    draws = params.probes.bootstrap
    return _mb(4 * files * cells + 12 * files * draws + 40 * min(draws * cells, 2**21))


def _mb(size: float) -> int:
    return max(1, math.ceil(size / 1e6))


def resource(params: Params, rule: str, name: str, model: str | None = None, task: str | None = None) -> int:
    """`disk_mb`, `mem_mb`, `minutes` or `runtime` of a job, for Snakemake; models run where NEUROSIEVE_DEVICE says."""
    return int(getattr(need(params, Job(rule, model, task), device()), name))


def bundle(params: Params, rule: str, model: str | None = None, task: str | None = None) -> str | None:
    """The stage whose jobs a short job may share a job of a cluster with; None for a job that is worth one."""
    stage = next((name for name, rules in STAGES.items() if rule in rules), None)
    return stage if stage and need(params, Job(rule, model, task), device()).seconds <= SHORT else None


def plan(params: Params, device: str = "cpu") -> str:
    """The jobs by rule, with the sums of what they need, and what is missing: the text of `neurosieve plan`."""
    found: dict[str, list[Need]] = defaultdict(list)
    for job in jobs(params):
        found[job.rule].append(need(params, job, device))
    heads = ("rule", "jobs", "disk, GB", "time", "longest", "memory, GB")
    lines = [heads]
    for rule, needs in [*found.items(), ("total", [one for some in found.values() for one in some])]:
        lines.append(
            (
                rule,
                f"{len(needs):,}",
                f"{sum(n.disk_mb for n in needs) / 1e3:.1f}",
                _span(sum(n.seconds for n in needs)),
                _span(max(n.seconds for n in needs)),
                f"{max(n.mem_mb for n in needs) / 1e3:.1f}",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    rows = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines]  # fmt: skip
    more = len(params.run.twins)
    twins = f" and {more} further untrained twin{'s' if more > 1 else ''}" if more else ""
    text = [f"benchmark {params.benchmark}: {len(params.run.models)} models{twins}, {len(params.run.tasks)} tasks, "
            f"protocols {', '.join(params.run.protocols)}; numerics {params.numerics}, models on {device}",
            *rows[:1], "-" * len(rows[0]), *rows[1:-1], "-" * len(rows[0]), rows[-1]]  # fmt: skip
    text.append(
        "Time of one core (of one device for "
        + ", ".join(ON_DEVICE)
        + "), one job after another: estimates, good to a factor of five."
    )
    guessed = [m for m in params.run.models if params.models[m].untrained is None and _known_shape(params, m) is None]
    if guessed:
        text.append(f"No `layers:` and `width:`, {SHAPE[0]} x {SHAPE[1]} taken: {', '.join(guessed)}")
    if remote := of_hub(params):
        text.append(f"From the hub, unless they are in its cache: {', '.join(remote)}")
    missing = lacking(params)
    text += [f"missing, {len(missing)}:", *(f"  {line}" for line in missing)] if missing else ["nothing is missing"]
    return "\n".join(text) + "\n"


def of_hub(params: Params) -> list[str]:
    """Ids of the run's models and datasets that lie on the hub."""
    entries = [params.models[name] for name in dict.fromkeys(params.trained(m) for m in params.run.models)]
    found = [entry.hub for entry in entries if entry.hub is not None]
    return found + [d.id for d in (params.prepare.tasks[t].dataset for t in params.run.tasks) if d is not None]


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def lacking(params: Params) -> list[str]:
    """What stops a run, as far as names, headers and pins tell: a line each, with where to get it."""
    return list(dict.fromkeys([*params.missing_files(), *faults(params), *unpinned(params)]))


def unpinned(params: Params) -> list[str]:
    """Hub models of the run without a revision, and data files without a sha256, a line each: a run stops there."""
    lines = [
        f"models.{name}: no `revision:`; `neurosieve fetch --model {params.models[name].hub}` prints the commit"
        for name in dict.fromkeys(params.trained(m) for m in params.run.models)
        if params.models[name].hub is not None and params.models[name].revision is None
    ]
    for key, folder, files in params.data_of_run():
        lines += [
            f"{key}: files.{role} has no sha256; `neurosieve checksum {params.resolve(folder or '') / file.name}` "
            "prints it"
            for role, file in (files or {}).items()
            if file.sha256 is None
        ]
    return list(dict.fromkeys(lines))

"""Names that params.yaml may hold and that the workflow goes by: phases, splits, languages, kinds of task, rankings."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1]

PHASES = ("prepare", "activations", "redundancy", "probes", "subsets", "concepts", "leaderboard", "site")

# The rules of each phase, in the order in which they can run.
PHASE_RULES: dict[str, tuple[str, ...]] = {
    "prepare": ("extract_corpus", "prepare_task"),
    "activations": ("finetune_model", "dump_activations"),
    "redundancy": ("measure_redundancy",),
    "probes": ("fit_baselines", "fit_probes", "fit_controls", "decide_status"),
    "subsets": ("search_subsets", "check_robustness", "transfer_subsets", "score_test", "reproduce_published"),
    "concepts": (
        "describe_neurons",
        "ablate_neurons",
        "attribute_neurons",
        "measure_faithfulness",
        "measure_effects",
        "apply_lens",
        "find_language_neurons",
    ),
    "leaderboard": ("build_leaderboard",),
    "site": ("build_site",),
}

SPLITS = ("train", "tune", "judge", "test")

# Rankings that others are to beat: every search has them beside its own, so they cannot be searched themselves.
CONTROL_RANKINGS = ("bottom", "random")

# Ends of the names of source files.
LANGUAGES = {"python": (".py",), "java": (".java",), "c": (".c", ".h")}

# Top-level keys of params.yaml that each phase reads: the params of the phase's DVC stage.
PHASE_KEYS: dict[str, tuple[str, ...]] = {
    "prepare": ("benchmark", "seed", "numerics", "run", "prepare"),
    "activations": ("benchmark", "numerics", "run", "models", "activations", "probes.pair_features"),
    "redundancy": ("benchmark", "seed", "numerics", "run", "redundancy"),
    "probes": ("benchmark", "seed", "numerics", "run", "models", "probes"),
    "subsets": ("benchmark", "seed", "numerics", "run", "models", "redundancy.rows", "probes", "subsets", "published"),
    "concepts": (
        "benchmark", "seed", "numerics", "run", "models", "prepare", "activations", "probes", "subsets", "concepts",
    ),
    "leaderboard": (
        "benchmark", "version", "seed", "numerics", "run", "models", "prepare", "activations",
        "redundancy", "probes", "subsets", "published", "concepts", "leaderboard",
    ),
    "site": ("benchmark",),
}  # fmt: skip


def task_kinds() -> list[str]:
    """Kinds that can be named in ``prepare.tasks.*.kind``: one file of prepare/tasks/ each."""
    return _files("prepare/tasks")


def ranking_names() -> list[str]:
    """Names of rankings: one file of probes/rankings/ each."""
    return _files("probes/rankings")


def search_names() -> list[str]:
    """Names of the searches for the best set at every size: one file of subsets/contenders/ each."""
    return _files("subsets/contenders")


def attribution_names() -> list[str]:
    """Names of the methods that rank neurons by a model's own predictions: one file of concepts/attribution/ each."""
    return _files("concepts/attribution")


def signed(method: str) -> bool:
    """Whether the file of such a method says that its scores have a sign: a line ``SIGNED = True``."""
    return _says("concepts/attribution", method, "SIGNED = True")


def lens_names() -> list[str]:
    """Names of lenses: one file of concepts/lenses/ each."""
    return _files("concepts/lenses")


def _files(folder: str) -> list[str]:
    return sorted(p.stem.replace("_", "-") for p in (PACKAGE / folder).glob("*.py") if not p.stem.startswith("_"))


def module_named(package: str, kind: str, name: str, names: list[str]) -> ModuleType:
    """The module of a package that has the name of a registered ``kind`` (a word for the error).

    Raises
    ------
    ValueError
        for a name that is not among ``names``.
    """
    if name not in names:
        raise ValueError(f"{kind} {name!r} has no file; write one of: {', '.join(names)}")
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def ranks_numbers(name: str) -> bool:
    """Whether the file of a ranking says that it also ranks where a number is predicted: a line ``NUMBERS = True``."""
    return _says("probes/rankings", name, "NUMBERS = True")


def _says(folder: str, name: str, line: str) -> bool:
    return line in (PACKAGE / folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8").splitlines()

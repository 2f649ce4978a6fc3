# Paths, wildcard constraints and shared inputs. No logic beyond paths: the work is done in src/neurosieve/<phase>/, and
# what it may depend on stands in neurosieve.config and neurosieve.artifacts.
import os
import re
import sys
from pathlib import Path

from neurosieve import artifacts, check, estimates
from neurosieve import config as benchmark_config

PARAMS_FILE = os.path.relpath(workflow.configfiles[-1])
try:
    P = benchmark_config.load_params(PARAMS_FILE)
except benchmark_config.ConfigError as error:
    sys.exit(f"error in the params file\n{error}")

PATHS = artifacts.Paths(P.benchmark)
# The interpreter and package of the plan for the jobs too, also where the environment is not activated.
shell.prefix(
    f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={Path(artifacts.__file__).parents[1]}; "
)
LOGS = f"logs/{P.benchmark}"
TIMINGS = f"timings/{P.benchmark}"
SPLITS = benchmark_config.SPLITS
DEV = ("train", "tune", "judge")


wildcard_constraints:
    model="|".join(map(re.escape, P.run.models)),
    task="|".join(map(re.escape, P.run.tasks)),
    corpus="|".join(map(re.escape, P.prepare.corpora)) or "none",


def made(folder):
    """The file that says that an artifact folder is whole."""
    return f"{folder}/manifest.json"


def code(phase):
    """Source files and the lock file: what is computed changes with them."""
    return [os.path.relpath(path) for path in artifacts.code_files(phase)] + [
        "requirements.lock"
    ]


def task_splits(task, splits):
    return [made(PATHS.task(task) / split) for split in splits]


def activation_splits(model, task, splits):
    return [made(PATHS.activations(model, task, split)) for split in splits]


def finetuned(model, task):
    """The model trained on the task, as a list: empty where it stays as it is."""
    return [made(PATHS.finetuned(model, task))] if P.finetunes(model, task) else []


def twin(model):
    """The model's untrained twin as a list: empty where it has none in this run, or is one itself."""
    name = P.twin_of(model)
    return [name] if name not in (None, model) else []


def rows(path):
    """A path function over every row (model x task) of the benchmark."""
    return [made(path(model, task)) for model in P.run.models for task in P.run.tasks]


def transfers():
    """The transfer between tasks of every model, where the params file asks for it."""
    return [made(PATHS.transfer(m)) for m in P.run.models] if P.subsets.transfer else []


def published():
    """The rows of the protocol `published`, where the run has it."""
    return rows(PATHS.published) if "published" in P.run.protocols else []


def need(rule, resource):
    """What a job of the rule is estimated to need; memory and the limit of its runtime grow with each attempt."""

    def of(wildcards, attempt):
        names = (wildcards.get("model"), wildcards.get("task"))
        found = estimates.resource(P, rule, resource, *names)
        return found * attempt if resource in ("mem_mb", "runtime") else found

    return of

# Paths, wildcard constraints and shared inputs. No logic beyond paths: the work is done in src/neurosieve/<phase>/, and
# what it may depend on stands in neurosieve.config and neurosieve.artifacts.
import os
import re
import sys
from pathlib import Path

from snakemake.io import contains_wildcard

# The tree's own package, whichever environment Snakemake was started from; relative, so that no name of a folder stands
# in a shell command. The interpreter of the plan runs the jobs too, also where its environment is not activated.
sys.path.insert(0, "src")
folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
os.environ.update(PATH=os.pathsep.join(folders))
shell.prefix("export PYTHONPATH=src; ")

from neurosieve import artifacts, check, estimates, run
from neurosieve import config as benchmark_config

# Jobs find the params file by this variable: its name stands in no rule, so that another name redoes nothing.
PARAMS_FILE = os.path.relpath(workflow.configfiles[-1])
os.environ.update(NEUROSIEVE_PARAMS=PARAMS_FILE)
try:
    P = benchmark_config.load_params(PARAMS_FILE)
except benchmark_config.ConfigError as error:
    sys.exit(f"error in the params file\n{error}")

PATHS = artifacts.Paths(P.benchmark)
run.use_job_lines(workflow)
STALE = run.Stale(workflow, P, PATHS)
LOGS = f"logs/{P.benchmark}"
TIMINGS = f"timings/{P.benchmark}"
SPLITS = benchmark_config.SPLITS
DEV = ("train", "tune", "judge")


wildcard_constraints:
    model="|".join(map(re.escape, P.probed)),
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


def environment(wildcards):
    """The file for `--sdm conda`: its braces doubled, for Snakemake takes the whole path for a pattern."""
    path = Path("workflow/envs/neurosieve.yaml").absolute().as_posix()
    return path.replace("{", "{{").replace("}", "}}")


def odd(path):
    """Whether Snakemake would not take the name as it is: it reads braces as wildcards and refuses line breaks."""
    return contains_wildcard(path) or "\n" in path


def plain(files):
    """Those of the files that can be inputs of a rule; the others go to its `params:`, see `others`."""
    return [path for path in files if not odd(path)]


def others(files):
    """Name, size and time of each file with an odd name: a job is run again when they change, as with inputs."""
    stats = {path: os.stat(path) for path in files if odd(path)}
    return [[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()]


def task_splits(task, splits):
    return [made(PATHS.task(task) / split) for split in splits]


def activation_splits(model, task, splits):
    return [made(PATHS.activations(model, task, split)) for split in splits]


def finetuned(model, task):
    """The model trained on the task, as a list: empty where it stays as it is."""
    return [made(PATHS.finetuned(model, task))] if P.finetunes(model, task) else []


def rows(path, models=P.run.models):
    """A path function over every row (model x task) of the benchmark."""
    return [made(path(model, task)) for model in models for task in P.run.tasks]


def transfers():
    """The transfer between tasks of every model, where the params file asks for it."""
    return [made(PATHS.transfer(m)) for m in P.run.models] if P.subsets.transfer else []


def robustness():
    """What is asked of the minimal subset of every trained model, where the params file asks."""
    return rows(PATHS.robustness, P.asked)


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

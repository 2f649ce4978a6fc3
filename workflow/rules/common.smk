# Paths, wildcard constraints and shared inputs. No logic beyond paths: the work is done in src/neurosieve/<phase>/, and
# what it may depend on stands in neurosieve.config and neurosieve.artifacts.
import functools
import os
import re
import sys
from itertools import product
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.io import contains_wildcard

# The tree's own package, whichever environment Snakemake was started from; by a variable, so that no name of a folder
# stands in a shell command. The interpreter of the plan runs the jobs too, also where its environment is not activated.
SOURCE = "src" if INSIDE else str(ROOT.absolute() / "src")
sys.path.insert(0, SOURCE)
folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
os.environ.update(PATH=os.pathsep.join(folders), NEUROSIEVE_SOURCE=SOURCE)
# The prefix holds for the jobs of the workflow around a module too: they get what Snakemake gives them otherwise.
shell.prefix(
    ("set -euo pipefail; " if MODULE else "")
    + 'export PYTHONPATH="$NEUROSIEVE_SOURCE"; '
)

try:
    from neurosieve import artifacts, cluster_run, estimates, run
    from neurosieve import config as benchmark_config
except ModuleNotFoundError as error:
    sys.exit(
        f"the environment of this Snakemake has no {error.name}: the workflow runs in the environment of "
        f"{ROOT / 'requirements.lock'} (`make env` there makes it, with Snakemake in it)"
    )

# Jobs find the params file by this variable: its name stands in no rule, so that another name redoes nothing.
if not MODULE:
    PARAMS_FILE = os.path.relpath(workflow.configfiles[-1])
else:
    same = [file for file in workflow.configfiles if load_configfile(file) == config]
    if not same:
        sys.exit(
            "the config of the module is no params file: write `configfile:` with one params file above the module and "
            "`config: config` in it; for other values change that file (no --config, no --configfile)"
        )
    PARAMS_FILE = os.path.relpath(same[0])
    if workflow.modifier.path_modifier.modify("build") != "build":
        sys.exit(
            "the module takes no `prefix:`: its files lie in build/<benchmark>/; "
            "another benchmark name in the params file keeps two runs apart"
        )
os.environ.update(NEUROSIEVE_PARAMS=PARAMS_FILE)
if not os.access(".", os.W_OK):
    sys.exit(
        f"{Path.cwd()} cannot be written to: change to a folder of your own, and name the workflow and the params file "
        f"there: snakemake -s {ROOT.absolute()}/workflow/Snakefile --configfile {Path(PARAMS_FILE).absolute()}"
    )
try:
    P = benchmark_config.load_params(PARAMS_FILE)
except benchmark_config.ConfigError as error:
    sys.exit(f"error in the params file\n{error}")

PATHS = artifacts.Paths(P.benchmark)
if not MODULE:
    run.use_job_lines(workflow)
STALE = run.Stale(workflow, P, PATHS)
LOGS = f"logs/{P.benchmark}"
TIMINGS = f"timings/{P.benchmark}"
SPLITS = benchmark_config.SPLITS
DEV = ("train", "tune", "judge")


# `priority:` of rules: those that others wait for, the last of a chain first, so that rows are finished one after another
# and jobs that nothing waits for, the longer ones first, fill the cores at the end (benchmarks/speed/dag.py).
wildcard_constraints:
    model="|".join(map(re.escape, P.probed)),
    task="|".join(map(re.escape, P.run.tasks)),
    corpus="|".join(map(re.escape, P.prepare.corpora)) or "none",
    lens="|".join(map(re.escape, P.lenses)) or "none",


def made(folder):
    """The file that says that an artifact folder is whole."""
    return f"{folder}/manifest.json"


def escaped(path):
    """A path as a pattern: its braces doubled, for Snakemake takes the name of an input for one."""
    return path.replace("{", "{{").replace("}", "}}")


def code(phase):
    """Source files and the lock file: what is computed changes with them. Below this folder they are named from it."""
    files = [*artifacts.code_files(phase), (ROOT / "requirements.lock").absolute()]
    below = (os.path.relpath(p) if p.is_relative_to(Path.cwd()) else p for p in files)
    return [escaped(str(path)) for path in below]


def environment(wildcards):
    """The file for `--sdm conda`."""
    return escaped((ROOT / "workflow/envs/neurosieve.yaml").absolute().as_posix())


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


def ablations():
    """What changing neurons of each row does to the model's predictions, where the params file asks for it."""
    return rows(PATHS.ablation) if P.concepts.ablation is not None else []


def attributions(cells=None):
    """Causal rankings of these rows, of all trained models where none are named, if the params file asks for them."""
    if P.concepts.attribution is None:
        return []
    return [
        made(PATHS.attribution(m, t))
        for m, t in cells or product(P.trained_models, P.run.tasks)
    ]


def faithfulness():
    """The curves of all rows of trained models, where the params file asks for them."""
    return (
        rows(PATHS.faithfulness, P.trained_models)
        if P.concepts.faithfulness is not None
        else []
    )


def effects():
    """The effects of each task's neurons on the others, of every trained model, where the params file asks."""
    return (
        [made(PATHS.effects(m)) for m in P.trained_models]
        if P.concepts.effects is not None
        else []
    )


def lenses():
    """All rows of trained models through each of the lenses that the params file names."""
    cells = product(P.lenses, P.trained_models, P.run.tasks)
    return [made(PATHS.lens(lens, m, t)) for lens, m, t in cells]


def languages():
    """The language neurons of every trained model, where the params file asks for them."""
    return (
        [made(PATHS.languages(m)) for m in P.trained_models]
        if P.concepts.languages is not None
        else []
    )


def need(rule, resource):
    """What a job of the rule is estimated to need; memory and the limit of its runtime grow with each attempt."""

    def of(wildcards, attempt):
        names = (wildcards.get("model"), wildcards.get("task"))
        found = estimates.resource(P, rule, resource, *names)
        return found * attempt if resource in ("mem_mb", "runtime") else found

    return of


def cores(rule):
    """Threads that a job of the rule has use for; where fewer are given it makes the same bits."""
    return lambda w: estimates.threads(P, estimates.Job(rule, w.model, w.task))


def bundle(rule):
    """Which jobs of a cluster the rule's short jobs share (`group-components` in a profile); none on one machine."""

    @functools.cache
    def of(model, task):
        return estimates.bundle(P, rule, model, task)

    def group(wildcards):
        if workflow.local_exec:
            return None
        return of(wildcards.get("model"), wildcards.get("task"))

    # a job of a cluster runs what it was given, see localrules of the Snakefile
    return None if workflow.remote_exec else group

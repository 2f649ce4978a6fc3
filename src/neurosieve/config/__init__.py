"""The typed model of params.yaml: one file is one whole benchmark.

Reads: the params file. Writes: nothing (``python -m neurosieve.cli schema`` prints the JSON schema).
A block has a file of its own, with the block's name; a block that belongs to a phase has the phase's name. Unknown keys
are refused, with the key's path, its line, what was found and what to write instead. Beside the blocks: ``names.py``
(what may be named), ``base.py`` (what blocks are made of), ``params.py`` (the whole file), ``checks.py`` (what
one block says of another), ``files.py`` (what lies on this machine), ``settings.py`` (what each rule depends on), and
``load.py``.
"""

from neurosieve.config.activations import Activations
from neurosieve.config.base import Block, ConfigError, DataFile, Name, RankingName, Share, Wheel
from neurosieve.config.concepts import Ablation, Concepts
from neurosieve.config.files import DATA_VARIABLE
from neurosieve.config.leaderboard import Leaderboard, PublishedFigures
from neurosieve.config.load import load_params
from neurosieve.config.models import Finetune, Model
from neurosieve.config.names import (
    CONTROL_RANKINGS,
    LANGUAGES,
    PHASE_KEYS,
    PHASES,
    SPLITS,
    module_named,
    ranking_names,
    ranks_numbers,
    search_names,
    task_kinds,
)
from neurosieve.config.params import Params
from neurosieve.config.prepare import (
    Columns,
    Corpus,
    HubDataset,
    Negatives,
    Packages,
    Prepare,
    Shares,
    SplitRows,
    Task,
)
from neurosieve.config.probes import Penalty, Probes
from neurosieve.config.published import Published, Tolerances
from neurosieve.config.redundancy import Redundancy
from neurosieve.config.run import Run
from neurosieve.config.subsets import Margin, Pipeline, Subsets

__all__ = [
    "CONTROL_RANKINGS", "DATA_VARIABLE", "LANGUAGES", "PHASES", "PHASE_KEYS", "SPLITS", "Ablation", "Activations",
    "Block", "Columns", "Concepts", "ConfigError", "Corpus", "DataFile", "Finetune", "HubDataset", "Leaderboard",
    "Margin", "Model", "Name", "Negatives", "Packages", "Params", "Penalty", "Pipeline", "Prepare", "Probes",
    "Published", "PublishedFigures", "RankingName", "Redundancy", "Run", "Share", "Shares", "SplitRows", "Subsets",
    "Task", "Tolerances", "Wheel", "load_params", "module_named", "ranking_names", "ranks_numbers", "search_names",
    "task_kinds",
]  # fmt: skip

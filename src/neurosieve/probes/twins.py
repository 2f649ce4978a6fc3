"""Which of a model's untrained twins stands for them: the one whose reference is best on tune.

A single initialisation may be an unlucky one, and one with the trained embeddings kept is more than a fresh network.
Reads: prepare/tasks/<task>/card and probes/models/<twin>/<task>. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from neurosieve.artifacts import Paths, read_json


def choose_twin(paths: Paths, task: str, twins: Sequence[str]) -> tuple[str | None, dict[str, dict[str, float]]]:
    """Name of the twin that is best on tune, and what all of them score at their own references.

    Parameters
    ----------
    twins : names, as Params.twins_of has them; of equals the first is taken.

    Returns
    -------
    The name, None without twins; and {name: {"tune", "judge"}} in the primary metric of the task.
    """
    metric = read_json(paths.task(task) / "card" / "card.json")["metric"]
    scores = {}
    for name in twins:
        probes = read_json(paths.probes(name, task) / "probes.json")
        reference = probes["sets"][probes["reference"]]
        scores[name] = {split: reference[split][metric] for split in ("tune", "judge")}
    return max(scores, key=lambda name: scores[name]["tune"], default=None), scores

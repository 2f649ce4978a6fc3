"""A whole chain of artifacts in no time: what each rule is made from is real, what it holds is a small file.

As a program it stands in for Snakemake below `dvc repro`: `python stub_chain.py PHASE` in the root of a checkout.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from neurosieve import chain, flow
from neurosieve.artifacts import Paths
from neurosieve.config import Params, load_params
from neurosieve.leaderboard.publish import publish


def load(folder: Path, *changes: tuple[str, str], model: str = "model") -> Params:
    """The tiny benchmark with its model in ``folder`` and changes of its text."""
    place = folder / model
    if not place.exists():
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}\n")
        (place / "model.safetensors").write_bytes(b"weights")
    text = Path("tests/data/tiny.yaml").read_text()
    for old, new in [("path: models/tiny", f"path: '{place}'"), *changes]:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "params.yaml"
    path.write_text(text)
    return load_params(path)


def make(params: Params, paths: Paths, only: Callable[[chain.Artifact], bool] = lambda artifact: True) -> None:
    """Write every artifact of the run, or those for which ``only`` holds; the text of a file says what it is of."""
    for artifact in chain.artifacts(params, paths):
        if only(artifact):
            with flow.writer(params, paths, artifact.rule, **artifact.wildcards) as out:
                out.text("data.txt", f"{artifact.rule} {dict(artifact.wildcards)} {out.params}\n")
                out.text("metrics.json", "{}\n")


if __name__ == "__main__":
    here = load_params("params.yaml")
    make(here, Paths(here.benchmark), lambda artifact: sys.argv[1] in (artifact.phase, "all"))
    if sys.argv[1] in ("leaderboard", "all"):
        publish(here, Paths(here.benchmark))

"""A whole chain of artifacts in no time: what each rule is made from is real, what it holds is one small file."""

from pathlib import Path

from neurosieve import chain, flow
from neurosieve.artifacts import Paths
from neurosieve.config import Params, load_params


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


def make(params: Params, paths: Paths, only: object = None) -> None:
    """Write every artifact of the run, or those for which ``only`` holds; the text of a file says what it is of."""
    for artifact in chain.artifacts(params, paths):
        if only is None or only(artifact):
            with flow.writer(params, paths, artifact.rule, **artifact.wildcards) as out:
                out.text("data.txt", f"{artifact.rule} {dict(artifact.wildcards)} {out.params}\n")
                out.text("more.json", "{}\n")

"""Whether artifacts are those of this run: the manifests compared with its params, code, lock file, inputs and sources.

An artifact is made from others and from what lies outside the build folder, each named in its manifest by its sum; so
the manifests of a benchmark form a chain from the sources to the leaderboard. Times of files count for nothing here.
Reads manifests, sources and, where asked, the content of artifacts; writes nothing. No result depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neurosieve.artifacts import SCHEMA, ArtifactError, Paths, artifact_name, code_sha256, lock_sha256, sha256_file
from neurosieve.config import SPLITS, Params
from neurosieve.flow import PHASE_OF, Source, folder_of, inputs_of, settings_of, sources_of

MANIFEST = "manifest.json"
Kind = Literal["missing", "params", "code", "lock", "source", "input", "content"]
_NOTHING = object()


class ChainError(ArtifactError):
    """Artifacts that a job must not compute on; the message names them, and the first difference of each."""


@dataclass(frozen=True)
class Artifact:
    """A folder that a run has, the rule and the wildcards that make it, and the folders that it is made from."""

    folder: Path
    rule: str
    wildcards: Mapping[str, str] = field(hash=False)
    inputs: tuple[Path, ...]

    @property
    def phase(self) -> str:
        return PHASE_OF[self.rule]

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST


@dataclass(frozen=True)
class Fault:
    """What is wrong with one artifact: its kind, its folder, and the first difference, in words."""

    kind: Kind
    folder: Path
    difference: str

    def __str__(self) -> str:
        return f"{self.folder}: {self.difference}"


def artifacts(params: Params, paths: Paths) -> list[Artifact]:
    """Every artifact of a run, in the order of the phases: each comes after those that it is made from."""
    found: list[Artifact] = []

    def add(rule: str, **wildcards: str) -> None:
        inputs = tuple(inputs_of(params, paths, rule, **wildcards))
        found.append(Artifact(folder_of(paths, rule, **wildcards), rule, wildcards, inputs))

    tasks, models = params.run.tasks, params.run.models
    for corpus in params.corpora:
        add("extract_corpus", corpus=corpus)
    for task in tasks:
        for split in SPLITS:
            add("prepare_task", task=task, split=split)
        add("prepare_task", task=task)
    for model in params.probed:
        for task in tasks:
            if params.finetunes(model, task):
                add("finetune_model", model=model, task=task)
            for split in SPLITS:
                add("dump_activations", model=model, task=task, split=split)

    def rows(rule: str, of: Iterable[str] = models) -> None:
        for model in of:
            for task in tasks:
                add(rule, model=model, task=task)

    rows("measure_redundancy")
    for task in tasks:
        add("fit_baselines", task=task)
    rows("fit_probes", params.probed)
    rows("fit_controls")
    add("decide_status")
    rows("search_subsets")
    rows("check_robustness", params.asked)
    for model in models if params.subsets.transfer else ():
        add("transfer_subsets", model=model)
    rows("score_test")
    if "published" in params.run.protocols:
        rows("reproduce_published")
    rows("describe_neurons")
    if params.concepts.ablation is not None:
        rows("ablate_neurons")
    trained = params.trained_models
    if params.concepts.attribution is not None:
        rows("attribute_neurons", trained)
    if params.concepts.faithfulness is not None:
        rows("measure_faithfulness", trained)
    for model in trained if params.concepts.effects is not None else ():
        add("measure_effects", model=model)
    for lens in params.lenses:
        for model in trained:
            for task in tasks:
                add("apply_lens", lens=lens, model=model, task=task)
    for model in trained if params.concepts.languages is not None else ():
        add("find_language_neurons", model=model)
    add("build_leaderboard")
    add("build_site")
    return found


class Chain:
    """The artifacts of one params file, each looked at once.

    Parameters
    ----------
    sources : compare what lies outside the build folder with its sums too, where it is there. Without it the sums of
        manifests are compared with those that the params file pins, and files of models are left to those who read
        them.
    seen : called with the bytes of each file whose sum was taken.
    """

    def __init__(
        self, params: Params, paths: Paths, *, sources: bool = True, seen: Callable[[int], None] | None = None
    ) -> None:
        self.params, self.paths, self.sources, self.seen = params, paths, sources, seen
        self.artifacts = artifacts(params, paths)
        self._at = {artifact.folder: artifact for artifact in self.artifacts}
        self._own: dict[Path, Fault | None] = {}
        self._content: dict[Path, Fault | None] = {}
        self._sums: dict[Path, str] = {}

    def of_job(self, rule: str, wildcards: Mapping[str, str]) -> list[Artifact]:
        """What one job writes: an artifact, or one for each split."""
        return [
            a
            for a in self.artifacts
            if a.rule == rule and {k: v for k, v in a.wildcards.items() if k != "split"} == dict(wildcards)
        ]

    def below(self, folders: Iterable[Path]) -> list[Artifact]:
        """These artifacts and all that they are made from, in the order of the phases."""
        wanted, todo = set[Path](), list(folders)
        while todo:
            folder = todo.pop()
            if folder not in wanted:
                wanted.add(folder)
                todo += self._at[folder].inputs
        return [artifact for artifact in self.artifacts if artifact.folder in wanted]

    def check(self, folder: Path, *, contents: bool = False) -> list[Fault]:
        """Faults of an artifact and of all that it is made from, the first first; ``contents``: of their files too."""
        return self.faults(self.below([folder]), contents=contents)

    def faults(self, among: Sequence[Artifact] | None = None, *, contents: bool = False) -> list[Fault]:
        """The own fault of each artifact that has one, in the order of the phases."""
        found: list[Fault] = []
        for artifact in self.artifacts if among is None else among:
            fault = self.own(artifact) or (self.content(artifact) if contents else None)
            found += [fault] if fault is not None else []
        return found

    def own(self, artifact: Artifact) -> Fault | None:
        """How the manifest of one artifact differs from what this run would write, or lists files that are not there.

        An artifact of stale ones has no fault of its own as long as they are those that it was made from.
        """
        if artifact.folder not in self._own:
            told = self._difference(artifact)
            self._own[artifact.folder] = None if told is None else Fault(told[0], artifact.folder, told[1])
        return self._own[artifact.folder]

    def content(self, artifact: Artifact) -> Fault | None:
        """The first file of an artifact that is not what its manifest says."""
        if artifact.folder not in self._content:
            files = self._read(artifact)["files"]
            changed = [name for name, wanted in sorted(files.items()) if self._sum(artifact.folder / name) != wanted]
            told = f"{changed[0]} is not what was written" if changed else ""
            told += f", nor are {len(changed) - 1} more files" if changed[1:] else ""
            self._content[artifact.folder] = Fault("content", artifact.folder, told) if changed else None
        return self._content[artifact.folder]

    def _difference(self, artifact: Artifact) -> tuple[Kind, str] | None:
        folder, rule, wildcards = artifact.folder, artifact.rule, dict(artifact.wildcards)
        if not artifact.manifest.is_file():
            return "missing", "no manifest.json"
        try:
            made = self._read(artifact)
        except (ValueError, LookupError, TypeError):
            return "content", "manifest.json is damaged"
        if made.get("schema") != SCHEMA:
            return "code", f"made by another version of NeuroSieve (its manifest has schema {made.get('schema')})"
        if (made["rule"], made["wildcards"]) != (rule, wildcards):
            return "content", f"holds another artifact: {_named(made['rule'], made['wildcards'])}"
        if (told := difference(made["params"], settings_of(self.params, rule, **wildcards))) is not None:
            return "params", f"made with {told}"
        if made["code"] != code_sha256(artifact.phase):
            return "code", f"made by other code of the phase {artifact.phase}"
        if made["lock"] != lock_sha256():
            return "lock", "made with another requirements.lock"
        if (told := self._source_difference(artifact, made["sources"])) is not None:
            return "source", told
        if (told := self._input_difference(artifact, made["inputs"])) is not None:
            return "input", told
        files = (p for p in folder.rglob("*") if p.is_file() and not of_the_system(p))
        there = {p.relative_to(folder).as_posix() for p in files} - {MANIFEST}
        if lost := sorted(set(made["files"]) - there):
            return "content", f"{lost[0]} is gone" + (f", and {len(lost) - 1} more" if lost[1:] else "")
        if extra := sorted(there - set(made["files"])):
            return "content", f"{extra[0]} is not in its manifest"
        return None

    def _source_difference(self, artifact: Artifact, made: Mapping[str, str]) -> str | None:
        """A source that is not the one it was made from; what is not there tells nothing, for it may lie elsewhere."""
        for source in sources_of(self.params, artifact.rule, **artifact.wildcards):
            if source.pinned is not None and made.get(source.label) != source.pinned:
                return f"made from another {source.label}"
            if not self.sources or not source.there:
                continue
            try:
                found = self._found(source)
            except ArtifactError as error:  # there in name only
                return str(error)
            if found != made.get(source.label):
                return f"{source.path} is not what it was made from (found {_short(found)}, {_was(made, source)})"
        if self.sources:
            lost = sorted(set(made) - {s.label for s in sources_of(self.params, artifact.rule, **artifact.wildcards)})
            # a model's folder that is not there at all has no files to name
            if lost and not self._away(artifact):
                return f"made from {lost[0]} too, which is gone"
        return None

    def _away(self, artifact: Artifact) -> bool:
        if "model" not in artifact.wildcards:
            return False
        of = None if artifact.rule == "finetune_model" else artifact.wildcards.get("task")
        folder = self.params.model_folder(artifact.wildcards["model"], of)
        return folder is not None and not folder.is_dir()

    def _found(self, source: Source) -> str:
        found = source.found()
        if self.seen is not None and source.path is not None and source.path.is_file():
            self.seen(source.path.stat().st_size)
        return found

    def _input_difference(self, artifact: Artifact, made: Mapping[str, str]) -> str | None:
        wanted = {artifact_name(folder, self.paths.root): folder for folder in artifact.inputs}
        for name, folder in wanted.items():
            if name not in made:
                return f"not made from {folder}, which this run has"
            manifest = folder / MANIFEST
            if manifest.is_file() and self._sum(manifest) != made[name]:
                return f"{folder} was made anew since, with another content"
        extra = sorted(set(made) - set(wanted))
        return f"made from {extra[0]} too, which this run has not" if extra else None

    def _read(self, artifact: Artifact) -> dict[str, Any]:
        found = json.loads(artifact.manifest.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a manifest")
        if found.get("schema") == SCHEMA and not (
            set(found) >= KEYS and all(isinstance(found[key], dict) for key in TABLES)
        ):
            raise ValueError("not a manifest")
        return found

    def _sum(self, path: Path) -> str:
        if path not in self._sums:
            self._sums[path] = sha256_file(path)
            if self.seen is not None:
                self.seen(path.stat().st_size)
        return self._sums[path]


def of_the_system(path: Path) -> bool:
    """Whether a file is one that macOS or NFS puts beside others; .dvcignore names the same."""
    return re.fullmatch(r"\.DS_Store|\._.+|\.nfs[0-9a-f]+", path.name) is not None


KEYS = {"phase", "rule", "wildcards", "params", "code", "lock", "inputs", "sources", "facts", "files"}
TABLES = ("inputs", "sources", "facts", "files")


def check_job(params: Params, paths: Paths, rule: str, wildcards: Mapping[str, str]) -> dict[Path, str]:
    """Sums of the files of models that the job reads, for :func:`check_unchanged`.

    Raises ChainError where a job would compute on what is not of this run, or on files that are not what was written,
    and for a job that this run has not: nothing says what it is made from.

    Everything that the job's inputs are made from is compared by manifests, its inputs by content too, each file once.
    The leaderboard reads manifests alone of activations, so their content is left out there.
    """
    chain = Chain(params, paths, sources=False)
    outputs = chain.of_job(rule, wildcards)
    if not outputs:
        raise ChainError(
            f"{_named(rule, wildcards)}: benchmark {params.benchmark} has no such job; it has the models "
            f"{', '.join(params.probed)} and the tasks {', '.join(params.run.tasks)} (`run:` in the params file)"
        )
    own = {artifact.folder for artifact in outputs}
    inputs = [a for a in chain.below(own) if a.folder not in own]
    direct = {folder for artifact in outputs for folder in artifact.inputs} - own
    # what is gone meanwhile, to make room, tells nothing, as long as the job does not read it
    faults = [fault for fault in chain.faults(inputs) if fault.kind != "missing" or fault.folder in direct]
    if not faults:
        read = [a for a in inputs if a.folder in direct and (rule, a.phase) != ("build_leaderboard", "activations")]
        faults = [fault for a in read if (fault := chain.content(a)) is not None]
    if faults:
        raise ChainError(refusal(faults))
    sources = sources_of(params, rule, **outputs[0].wildcards)
    # taken before it is read, and kept for the manifest
    return {source.path: source.found() for source in sources if source.path and source.pinned is None and source.there}


def check_unchanged(
    params: Params, paths: Paths, rule: str, wildcards: Mapping[str, str], before: Mapping[Path, str]
) -> None:
    """Raise ChainError where a source is another than when the job began: its manifest may hold the new one's sum.

    What the job made is no artifact then.
    """
    if not before:
        return
    outputs = Chain(params, paths, sources=False).of_job(rule, wildcards)
    for source in sources_of(params, rule, **outputs[0].wildcards):
        if (
            source.path is not None
            and source.path in before
            and not (source.there and source.found() == before[source.path])
        ):
            for artifact in outputs:
                artifact.manifest.unlink(missing_ok=True)
            raise ChainError(f"{source.path} was replaced while the job read it; run again")


def check_made(params: Params, paths: Paths) -> None:
    """Raise ChainError where the leaderboard, or something it is made from, is not of this run; contents are not read.

    What is gone meanwhile, for example to make room, tells nothing; nor does the site, which is made of it later.
    """
    found = Chain(params, paths).faults()
    faults = [fault for fault in found if fault.kind != "missing" and fault.folder != paths.site()]
    if faults:
        raise ChainError(f"nothing is published: {refusal(faults)}")


def refusal(faults: Sequence[Fault]) -> str:
    """What a job says that does not compute on these."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more artifacts)" if faults[1:] else ""
    if first.kind == "content":
        return f"{first}{more}; delete the folder {first.folder} and run again"
    return f"{first}{more}; nothing is computed on it: `neurosieve run` makes it again, or delete it and run again"


def difference(made: Any, wanted: Any, key: str = "") -> str | None:
    """The first difference of two settings in words, `activations.window 48, this run has 24`; None of equal ones."""
    if isinstance(made, Mapping) and isinstance(wanted, Mapping):
        for name in sorted(made.keys() | wanted.keys(), key=str):
            told = difference(made.get(name, _NOTHING), wanted.get(name, _NOTHING), f"{key}.{name}".lstrip("."))
            if told is not None:
                return told
        return None
    if isinstance(made, list) and isinstance(wanted, list) and len(made) == len(wanted):
        for i, (a, b) in enumerate(zip(made, wanted, strict=True)):
            if (told := difference(a, b, f"{key}[{i}]")) is not None:
                return told
        return None
    if type(made) is type(wanted) and made == wanted:
        return None
    return f"{key} {_value(made)}, this run has {_value(wanted)}"


def stale(params: Params, paths: Paths) -> list[Fault]:
    """Artifacts that are there and must be made anew, by their manifests, their names of files and the sources."""
    return [fault for fault in Chain(params, paths).faults() if fault.kind != "missing"]


def grouped(faults: Iterable[Fault], by: Callable[[Fault], str]) -> Iterator[str]:
    """A line for each group of faults with the same rule (``by``) and difference, the first folder in it."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((by(fault), fault.difference), []).append(fault)
    for (_, told), members in groups.items():
        more = f" and {len(members) - 1} more" if members[1:] else ""
        yield f"{members[0].folder}{more}: {told}"


def _value(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _named(rule: str, wildcards: Mapping[str, str]) -> str:
    return " ".join([str(rule), *(f"{key}={name}" for key, name in sorted(wildcards.items()))])


def _short(digest: str | None) -> str:
    return f"sha256 {digest[:12]}..." if digest else "nothing"


def _was(made: Mapping[str, str], source: Source) -> str:
    return f"made from {_short(made.get(source.label))}" if source.label in made else "it was not there then"

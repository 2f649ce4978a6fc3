"""A benchmark's results as an RO-Crate: `neurosieve crate`, a folder to deposit, with how each file in it came about.

Reads the leaderboard, the manifests of every artifact it was made from, the params file, and of the checkout the
workflow, the lock file, the licence and CITATION.cff. Writes one folder; no result depends on it.

It conforms to RO-Crate 1.1 and to Workflow Run Crate 0.5: an action for the run of the workflow, and one for each job.
The artifacts between are large and stay where they are; the crate has their manifests, which name each of their files
and of their inputs by sha256. It holds no time, host or folder, so the same results give the same bytes: actions have
no times, which the profile recommends, and the date that it requires is the release date in CITATION.cff.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import yaml

from neurosieve import chain
from neurosieve.artifacts import (
    PACKAGE,
    ArtifactError,
    Paths,
    artifact_name,
    check_files,
    dump_json,
    read_json,
    read_manifest,
    sha256_file,
)
from neurosieve.config import Params

CHECKOUT = PACKAGE.parents[1]
METADATA = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
MAIN = "workflow/Snakefile"
TYPES = {".csv": "text/csv", ".html": "text/html", ".json": "application/json", ".yaml": "application/yaml"}

Entity = dict[str, Any]


class CrateError(RuntimeError):
    """A crate that cannot be written, with what to do instead."""


def write_crate(params: Params, paths: Paths, params_file: Path | str, output: Path) -> dict[str, int]:
    """Write the crate of a benchmark's leaderboard to the folder ``output``, whole or not at all.

    Returns how many files, artifacts and jobs it describes. An earlier crate there is replaced; of a link, what
    it leads to. Raises CrateError where something else lies there or the checkout is not here, ArtifactError for a
    leaderboard that is not of this params file, and for artifacts that are missing or changed.
    """
    manifests = _chain(params, paths)
    if (other := _something_else(output)) is not None:
        raise CrateError(f"{output}: {other}; name another folder with --output")
    files = _files(paths, manifests, Path(params_file))
    output = output.resolve()
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, path in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part / name)
        graph = _graph(params, part, files, manifests)
        (part / METADATA).write_text(graph, encoding="utf-8", newline="\n")
        shutil.rmtree(output, ignore_errors=True)
        part.replace(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {"files": len(files), "artifacts": len(manifests), "jobs": len(_jobs(manifests))}


def _something_else(output: Path) -> str | None:
    """What lies where a crate is to be written, if it is no crate and not empty."""
    if output.is_symlink() and not output.exists():
        return f"a link to {output.readlink()}, which is not there"
    if output.exists() and not output.is_dir():
        return "a file"
    if output.resolve().is_mount() or Path.cwd().resolve().is_relative_to(output.resolve()):
        return "a folder that cannot be replaced, for it is a disk's or the current one, or holds it"
    there = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file() or path.is_symlink()}
    if not there:
        return None
    if METADATA not in there:
        return "there is something else than a crate"
    try:
        graph = read_json(output / METADATA)["@graph"]
        ours = {METADATA, *(unquote(entity["@id"]) for entity in graph if "sha256" in entity)}
    except (ArtifactError, LookupError, TypeError):
        return f"its {METADATA} is not that of an earlier crate"
    extra = sorted(there - ours)
    return f"{extra[0]} is no file of the crate that lies there, and would be lost" if extra else None


def _chain(params: Params, paths: Paths) -> dict[str, Entity]:
    """Manifests of the leaderboard and of all artifacts it was made from, by name, in the order of the phases;
    ArtifactError where one is missing."""
    chain.check_made(params, paths)
    check_files(paths.leaderboard())
    every = [artifact for artifact in chain.artifacts(params, paths) if artifact.phase != "site"]
    return {artifact_name(artifact.folder, paths.root): read_manifest(artifact.folder) for artifact in every}


def _jobs(manifests: Mapping[str, Entity]) -> dict[tuple[str, ...], list[str]]:
    """Rule and wildcards of each job, with the artifacts it made: the splits of a task are one job's."""
    jobs: dict[tuple[str, ...], list[str]] = {}
    for name, manifest in manifests.items():
        wildcards = [value for key, value in sorted(manifest["wildcards"].items()) if key != "split"]
        jobs.setdefault((manifest["rule"], *wildcards), []).append(name)
    return jobs


def _files(paths: Paths, manifests: Iterable[str], params_file: Path) -> dict[str, Path]:
    """Name in the crate -> file."""
    names = [MAIN, "requirements.lock", "LICENSE", "CITATION.cff"]
    if missing := [name for name in names if not (CHECKOUT / name).is_file()]:
        raise CrateError(f"no {', '.join(missing)} in {CHECKOUT}; use the command of a checkout of NeuroSieve")
    files = {name: CHECKOUT / name for name in names}
    files |= {f"workflow/rules/{path.name}": path for path in sorted((CHECKOUT / "workflow/rules").glob("*.smk"))}
    files["params.yaml"] = params_file
    built = paths.leaderboard()
    files |= {f"leaderboard/{p.relative_to(built).as_posix()}": p for p in built.rglob("*") if p.is_file()}
    for name in manifests:
        files[_place(name)] = paths.root / name / "manifest.json"
    return dict(sorted(files.items()))


def _place(name: str) -> str:
    """Where the crate has the manifest of an artifact."""
    return f"{name}/manifest.json" if name == "leaderboard" else f"manifests/{name}/manifest.json"


def _graph(params: Params, folder: Path, files: Mapping[str, Path], manifests: Mapping[str, Entity]) -> str:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    licence = {"@id": f"https://spdx.org/licenses/{citation['license']}"}
    title = f"{params.leaderboard.title}: benchmark {params.benchmark}, version {params.version}"
    authors = [
        {"@id": f"#author-{number}", "@type": "Organization" if "name" in author else "Person", **_author(author)}
        for number, author in enumerate(citation["authors"], start=1)
    ]
    made_by = [{"@id": author["@id"]} for author in authors]
    jobs = _jobs(manifests)
    tools = _tools(manifests, citation["version"])
    sources = _sources(manifests)
    actions = [_action(job, names, manifests, sources) for job, names in jobs.items()]
    results = [_id(name) for name in files if name.startswith("leaderboard/")]
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"run of {title}",
        "description": "The whole benchmark, through Snakemake or `dvc repro`, which make the same bytes.",
        "agent": made_by,
        "instrument": _id(MAIN),
        "object": [
            _id("params.yaml"),
            _id("requirements.lock"),
            *({"@id": found["@id"]} for found in sources.values()),
        ],
        "result": results,
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": _description(params),
        "author": made_by,
        "conformsTo": [{"@id": profile} for profile in PROFILES],
        "datePublished": str(citation["date-released"]),
        "hasPart": [_id(name) for name in files],
        "license": licence,
        "mainEntity": _id(MAIN),
        "mentions": [{"@id": "#run"}, *({"@id": action["@id"]} for action in actions)],
        "version": str(params.version),
    }
    descriptor = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [{"@id": SPECIFICATION}, {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}],
    }
    profiles = [
        {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
        for profile, (name, version) in PROFILES.items()
    ]
    others = [
        {"@id": licence["@id"], "@type": "CreativeWork", "name": citation["license"], "url": licence["@id"]},
        {
            "@id": SNAKEMAKE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
            "url": {"@id": "https://snakemake.readthedocs.io"},
        },
    ]
    data = [_file(folder, name, citation, licence, made_by, tools) for name in files]
    graph: list[Entity] = [descriptor, root, *profiles, *others, *authors, *data]
    graph += [run, *actions, *tools, *sources.values()]
    context = [f"{SPECIFICATION}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
    return dump_json({"@context": context, "@graph": [_plain(entity) for entity in graph]})


def _plain(entity: Entity) -> Entity:
    """A list of one value as the value, as the specification recommends."""
    return {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in entity.items()}


def _id(name: str) -> dict[str, str]:
    return {"@id": quote(name)}


def _author(author: Mapping[str, str]) -> dict[str, str]:
    names = {"givenName": author.get("given-names"), "familyName": author.get("family-names")}
    found = {key: text for key, text in names.items() if text}
    found["name"] = author.get("name") or " ".join(found.values())
    if "orcid" in author:
        found["identifier"] = author["orcid"]
    return found


def _description(params: Params) -> str:
    return (
        f"How many neurons of a code language model a task needs: {len(params.run.models)} models on "
        f"{len(params.run.tasks)} tasks. The table is leaderboard/leaderboard.csv; `neurosieve site leaderboard` makes "
        "pages and charts of it; manifests/ has, of every artifact that they were made from, the sha256 of its files "
        "and of its inputs."
    )


def _file(
    folder: Path, name: str, citation: Mapping[str, Any], licence: Entity, made_by: list[Entity], tools: list[Entity]
) -> Entity:
    path = folder / name
    found: Entity = {
        "@id": quote(name),
        "@type": "File",
        "name": name,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": TYPES.get(path.suffix, "text/plain"),
        "sha256": sha256_file(path),
    }
    if name.startswith("manifests/"):
        manifest = read_json(path)
        found["description"] = f"What {' '.join([manifest['rule'], *manifest['wildcards'].values()])} read and wrote."
    if name == MAIN:
        found |= {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": citation["title"],
            "creator": made_by,
            "hasPart": [{"@id": tool["@id"]} for tool in tools],
            "license": licence,
            "programmingLanguage": {"@id": SNAKEMAKE},
            "version": str(citation["version"]),
        }
    return found


def _tools(manifests: Mapping[str, Entity], version: str) -> list[Entity]:
    """What each rule runs: a command, with the sum of the code behind it."""
    codes: dict[str, set[str]] = {}
    for manifest in manifests.values():
        codes.setdefault(manifest["rule"], set()).add(manifest["code"])
    return [
        {
            "@id": f"#{rule}",
            "@type": "SoftwareApplication",
            "name": f"neurosieve {rule.replace('_', '-')}",
            "softwareVersion": str(version),
            "identifier": [f"sha256:{code}" for code in sorted(found)],
        }
        for rule, found in codes.items()
    ]


def _sources(manifests: Mapping[str, Entity]) -> dict[tuple[str, str], Entity]:
    """What lies outside the crate and was read: wheels, data files, model weights, each with its sum."""
    found = sorted({(label, str(sum_)) for m in manifests.values() for label, sum_ in m["sources"].items()})
    return {
        (label, sum_): {
            "@id": f"#source-{hashlib.sha256(f'{label} {sum_}'.encode()).hexdigest()[:16]}",
            "@type": "PropertyValue",
            "name": label,
            "propertyID": "sha256",
            "value": sum_,
        }
        for label, sum_ in found
    }


def _action(
    job: tuple[str, ...], names: Iterable[str], manifests: Mapping[str, Entity], sources: Mapping[Any, Entity]
) -> Entity:
    rule, *wildcards = job
    names = list(names)
    read = sorted({name for made in names for name in manifests[made]["inputs"] if name not in names})
    found = sorted({(label, str(sum_)) for made in names for label, sum_ in manifests[made]["sources"].items()})
    return {
        "@id": f"#{quote('/'.join(job))}-job",
        "@type": "CreateAction",
        "name": " ".join(job),
        "description": f"The rule {rule}" + (f" for {', '.join(wildcards)}" if wildcards else "") + ".",
        "instrument": {"@id": f"#{rule}"},
        "object": [
            _id("params.yaml"), *(_id(_place(name)) for name in read), *({"@id": sources[key]["@id"]} for key in found),
        ],
        "result": [_id(_place(name)) for name in names],
    }  # fmt: skip

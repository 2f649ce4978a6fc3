"""Datasets of the Hugging Face hub, at a pinned commit: tables alone, never a script.

Reads and writes the hub's cache (see :mod:`neurosieve.sources.hub`), and the folder of what `datasets` has prepared.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from neurosieve.config import HubDataset
from neurosieve.sources.hub import HubError, Snapshot, Wanted, hub_cache, obtain
from neurosieve.sources.wheels import DEFAULT_CACHE

#: What a dataset consists of; a script is neither fetched nor run.
TABLES = tuple(f"*.{end}{packed}" for end in ("parquet", "jsonl", "json", "csv", "tsv") for packed in ("", ".gz"))


def load_split(entry: HubDataset, split: str, tables: Path, where: str, cache: Path = DEFAULT_CACHE) -> Any:
    """A split of a dataset of the hub as a ``datasets.Dataset``, from its files at the pinned commit.

    The library alone would take any commit that it has once prepared where the hub cannot be asked. ``tables``: folder
    where it keeps what it has read. Raises HubError, and what the library raises for files it cannot read.
    """
    import datasets  # imports pandas and more: no model of the hub should wait for that
    from huggingface_hub import DatasetCard

    found, parts, name = dataset_snapshot(entry, where, cache)
    features = None
    if "README.md" in found.files:  # names of classes, for one, which the files may not have
        infos = datasets.info.DatasetInfosDict.from_dataset_card_data(DatasetCard.load(found.folder / "README.md").data)
        features = infos[name].features if name in infos else None
    return datasets.load_dataset(
        str(found.folder),
        name=name if parts is not None else None,
        data_files=parts,
        split=split,
        features=features,
        cache_dir=str(tables),
        verification_mode="no_checks",  # every file was compared with the hub's listing
    )


def dataset_snapshot(
    entry: HubDataset, where: str, cache: Path = DEFAULT_CACHE
) -> tuple[Snapshot, dict[str, list[str]] | None, str]:
    """Files of a dataset of the hub, patterns of its files by split, and the configuration's name.

    The patterns are those of the dataset's card, None where it states none: the library then knows splits by the names
    of files. Only tables are fetched, of the configuration alone where the card names its files; no script. ``where``
    is the dataset's key in the params file. Raises HubError.
    """
    place = hub_cache(cache)

    def files(allow: tuple[str, ...]) -> Snapshot:
        return obtain(Wanted(entry.id, entry.revision, "dataset", allow, (), place, where))

    card = files(("README.md",))
    name, parts = _configuration(card, entry, where)
    missing = [split for split in entry.splits.values() if parts is not None and split not in parts]
    if missing:
        splits = ", ".join(parts or ())
        raise HubError(f"{where}.splits: the dataset {entry.id} has no split {missing[0]!r}; its splits are {splits}")
    named = [pattern for patterns in (parts or {}).values() for pattern in patterns]
    plain = [pattern.replace("**/", "") for pattern in named]  # which may stand for no folder at all
    found = files(("README.md", *(dict.fromkeys([*named, *plain]) if parts else TABLES)))
    if not set(found.files) - {"README.md"}:
        raise HubError(
            f"{where}: the dataset {entry.id} has no parquet, jsonl, json, csv or tsv file at {entry.revision[:12]}, "
            "and scripts are never run; where the hub has converted it, write the commit that "
            f"`neurosieve fetch --dataset {entry.id}@refs/convert/parquet` prints"
        )
    return Snapshot(found.folder, found.files, card.fetched or found.fetched), parts, name


def _configuration(card: Snapshot, entry: HubDataset, where: str) -> tuple[str, dict[str, list[str]] | None]:
    """Name and patterns of files of the configuration that the entry names, or of the one there is without a name."""
    there = card_configurations(card.folder / "README.md") if card.files else {}
    if entry.configuration is None and not there:
        return "default", None
    name = entry.configuration or ("default" if "default" in there or len(there) > 1 else next(iter(there)))
    if name not in there:
        found = f"found {entry.configuration!r}" if entry.configuration else "missing"
        advice = f"write one of: {', '.join(there)}" if there else "its card names none; take `configuration:` out"
        raise HubError(f"{where}.configuration: {found}, for the dataset {entry.id}; {advice}")
    for pattern in (pattern for patterns in (there[name] or {}).values() for pattern in patterns):
        if pattern.startswith(("/", "~")) or "://" in pattern or ".." in pattern.split("/"):
            raise HubError(
                f"{where}: the card of the dataset {entry.id} names the file {pattern!r}, outside the dataset, which "
                "no commit pins; get it yourself and write `folder:` and `files:`"
            )
    return name, there[name]


def card_configurations(readme: Path) -> dict[str, dict[str, list[str]] | None]:
    """Configuration -> split -> patterns of files, of a dataset's card; None where the card leaves the files open.

    A card that is not as the hub documents it names none.
    """
    head = re.match(r"---\s*\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    found: dict[str, dict[str, list[str]] | None] = {}
    try:
        stated = yaml.safe_load(head[1]).get("configs") if head else None
        for item in stated if isinstance(stated, list) else ():
            files, folder = item.get("data_files"), item.get("data_dir")
            start = f"{str(folder).strip('/')}/" if folder else ""
            if isinstance(files, str) or (isinstance(files, list) and all(isinstance(f, str) for f in files)):
                files = {"train": files}
            elif isinstance(files, list):
                files = {part["split"]: part["path"] for part in files}
            parts = {
                split: [paths] if isinstance(paths, str) else list(paths) for split, paths in (files or {}).items()
            }
            clean = {split: [start + path.removeprefix("./") for path in paths] for split, paths in parts.items()}
            found[str(item.get("config_name", "default"))] = clean or None
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):  # not as the hub documents it
        return {}
    return found

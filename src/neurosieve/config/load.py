"""Reading a params file: YAML with line numbers, every fault at once, each with what to write instead."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from neurosieve.config.base import ConfigError, suggest
from neurosieve.config.checks import cross_checks
from neurosieve.config.params import Params


def load_params(path: Path | str) -> Params:
    """Read and check a params file.

    Raises
    ------
    ConfigError
        names the file, the line, the key, what was found and what to write instead; all faults at once.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a params file, for example params.yaml") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    try:
        tree = yaml.compose(text, Loader=_Loader)
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}:1: found {type(raw).__name__}, expected a mapping that begins with `benchmark:`")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        faults = [_explain(path, tree, raw, fault) for fault in error.errors()]
        raise ConfigError("\n".join(faults)) from None
    faults = [f"{path}:{_line(tree, keys)}: {'.'.join(map(str, keys))}: {text}" for keys, text in cross_checks(params)]
    if faults:
        raise ConfigError("\n".join(faults))
    return params


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses a key given twice and reads 1e-4 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} given twice (first on line {seen[key]}); keep one",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1e-4 for a string because it has no dot.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _line(tree: yaml.Node | None, keys: tuple[str | int, ...]) -> int:
    """Line of the deepest node on the path ``keys``, from 1."""
    node, line = tree, 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(key)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _explain(path: Path, tree: yaml.Node | None, raw: dict[str, Any], fault: Any) -> str:
    keys = tuple(k for k in fault["loc"] if k != "[key]")
    where = f"{path}:{_line(tree, keys)}: {'.'.join(map(str, keys)) or '(top level)'}"
    if fault["type"] == "extra_forbidden":
        parent: Any = Params
        names: list[str] = _fields_at(parent, keys[:-1])
        return f"{where}: unknown key; {suggest(str(keys[-1]), names)}"
    if fault["type"] == "missing":
        return f"{where}: missing; add `{keys[-1]}:`"
    found = repr(fault["input"])
    found = found if len(found) <= 80 else found[:77] + "..."
    return f"{where}: found {found}; {fault['msg'].removeprefix('Value error, ')}"


def _fields_at(model: Any, keys: tuple[str | int, ...]) -> list[str]:
    """Names of the fields of the block at the path ``keys``, for suggestions; empty where it is no block."""
    here: Any = model
    for key in keys:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = here.model_fields.get(str(key))
            here = info.annotation if info else None
        else:  # dict[Name, Block] or list[Block]: the block is the last argument
            here = typing.get_args(here)[-1] if typing.get_args(here) else None
        blocks = [a for a in typing.get_args(here) if isinstance(a, type) and issubclass(a, BaseModel)]
        if blocks and typing.get_origin(here) not in (dict, list):
            here = blocks[0]
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []

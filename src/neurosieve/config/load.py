"""Reading a params file: YAML with line numbers, every fault at once, each with what to write instead."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from neurosieve.config.base import FORMS, ConfigError, suggest
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
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder; name a params file, for example params.yaml") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid YAML: brackets or indents nested too deeply; close them") from None
    if not isinstance(raw, dict):
        what = (
            "nothing" if raw is None else "a list" if isinstance(raw, list) else f"the single value {str(raw)[:60]!r}"
        )
        raise ConfigError(f"{path}:1: found {what}, expected a mapping that begins with `benchmark:`; copy params.yaml")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        tree = yaml.compose(text, Loader=_Loader)  # where its lines are, which only faults need
        raise ConfigError("\n".join(_faults(path, tree, error.errors()))) from None
    if faults := cross_checks(params):
        tree = yaml.compose(text, Loader=_Loader)
        said = [f"{path}:{_line(tree, keys)}: {'.'.join(map(str, keys))}: {why}" for keys, why in faults]
        raise ConfigError("\n".join(said))
    return params


_DIGITS = 100  # a sha256 in digits alone is still shown with what to write


class _Loader(yaml.SafeLoader):
    """Safe loader of YAML 1.2 (its core schema), which DVC reads and writes; it refuses a key given twice.

    PyYAML's own is of YAML 1.1, where `yes` and `off` are true and false, 010 is eight, 1:20 eighty, 2024-01-01 a date
    and 1e-4 a text.
    """

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {}

    def construct_number(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        if len(text) > _DIGITS:
            raise yaml.MarkedYAMLError(
                problem=f"found a number of {len(text)} digits; write a smaller one, or a text in double quotes",
                problem_mark=node.start_mark,
            )
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)

    def construct_text(self, node: yaml.ScalarNode) -> str:
        text = str(self.construct_scalar(node))
        if odd := next((c for c in text if c == "\0" or "\ud800" <= c <= "\udfff"), None):
            raise yaml.MarkedYAMLError(
                problem=f"found the character {odd!a} in a text, which no file and no page can hold; take it out",
                problem_mark=node.start_mark,
            )
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # its keys give way to those written here
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"found the key {key!r}, which is no text; put it in double quotes",
                    problem_mark=key_node.start_mark,
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} given twice (first on line {seen[key]}); keep one",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


for _kind, _form, _first in (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_form})$"), [*_first, *([""] if _kind == "null" else [])]
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)


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


def _faults(path: Path, tree: yaml.Node | None, faults: list[Any]) -> list[str]:
    """A line for each fault; one alone for all that is missing where whole blocks are, as in a file of changes."""
    blocks = [str(f["loc"][0]) for f in faults if f["type"] == "missing" and len(f["loc"]) == 1]
    if len(blocks) < 2:
        return [_explain(path, tree, fault) for fault in faults]
    whole = (
        f"{path}:1: no {', '.join(f'`{name}:`' for name in blocks)}: a params file is a whole benchmark and is laid "
        "over no other; copy params.yaml as the project has it, or a file of presets/, and change the copy"
    )
    return [whole, *(_explain(path, tree, fault) for fault in faults if fault["type"] != "missing")]


def _explain(path: Path, tree: yaml.Node | None, fault: Any) -> str:
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
    if (form := FORMS.get(fault.get("ctx", {}).get("pattern"))) is not None:
        return f"{where}: found {found}; write {form}"
    mend = {"bool_type": "; write true or false", "string_type": "; put it in double quotes"}.get(fault["type"], "")
    if isinstance(fault["input"], dict | list):
        mend = ""
    return f"{where}: found {found}; {fault['msg'].removeprefix('Value error, ')}{mend}"


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

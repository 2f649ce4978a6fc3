"""What the languages share: a parsed text as plain places in characters, the moving left, scopes of names, folding.

Reads and writes no files. tree-sitter speaks in bytes and its nodes find their parents slowly; a place is a node with
its parent at hand and with offsets in characters of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from tree_sitter import Node, Parser

_SPACE = re.compile(r"\s+")


def words(text: str) -> frozenset[str]:
    """Words between white space."""
    return frozenset(text.split())


class UnknownLeaf(ValueError):
    """A leaf of a syntax tree for which a language has no rule."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A token [start, end) of a text, in characters, with the name of its class."""

    start: int
    end: int
    text: str
    tag: str


@dataclass(slots=True, eq=False)
class Place:
    """A node of a syntax tree; `before` is the type of the sibling before it, "" for the first child."""

    type: str
    named: bool
    field: str | None
    start: int
    end: int
    parent: Place | None
    before: str
    leaf: bool

    def up(self, *types: str) -> Place:
        """The outermost ancestor that is reached through nodes of these types alone, or the place itself."""
        here = self
        while here.parent is not None and here.parent.type in types:
            here = here.parent
        return here

    @property
    def above(self) -> str:
        """Type of the parent."""
        return self.parent.type if self.parent is not None else ""


def places(parser: Parser, text: str, whole: Collection[str], around: tuple[str, str] = ("", "")) -> list[Place]:
    """Every node of a text from the root down, in the order of the text; empty nodes are none.

    Nodes of the types `whole` are leaves. `around` is code that is put before and after the text so that it parses
    (a class around a Java method); its own nodes have offsets outside the text and are left out where they are leaves.
    """
    data = (around[0] + text + around[1]).encode("utf-8")
    at = offsets(data)
    shift = len(around[0])
    found: list[Place] = []
    cursor = parser.parse(data).walk()
    parent: Place | None = None
    before = [""]
    while True:
        node = cursor.node
        assert node is not None
        leaf = node.type in whole or node.child_count == 0
        start, end = at(node.start_byte) - shift, at(node.end_byte) - shift
        place = Place(node.type, node.is_named, cursor.field_name, start, end, parent, before[-1], leaf)
        if end > start and not (leaf and (start < 0 or end > len(text))):
            found.append(place)
        before[-1] = node.type
        if not leaf and cursor.goto_first_child():
            parent = place
            before.append("")
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found
            parent = parent.parent if parent is not None else None
            before.pop()


def offsets(data: bytes) -> Callable[[int], int]:
    """The way from a byte offset of a UTF-8 text to the character offset."""
    if data.isascii():
        return lambda byte: byte
    # a character begins at every byte that is not a UTF-8 continuation byte
    table = list(accumulate((b & 0xC0 != 0x80 for b in data), initial=0))
    return table.__getitem__


def moved_left(data: bytes, node: Node) -> tuple[str, Callable[[int], int]]:
    """A node's text moved to the left margin, and the way from a byte offset of `data` to a character of that text."""
    start, end = node.start_byte, node.end_byte
    margin = data[data.rfind(b"\n", 0, start) + 1 : start]
    indent = margin.decode("utf-8") if not margin.strip() else ""
    lines = data[start:end].decode("utf-8").split("\n")
    # The first line begins at the node itself; a line of a multi-line string may begin left of the margin.
    removed = [0] + [len(indent) if indent and line.startswith(indent) else 0 for line in lines[1:]]

    def position(byte: int) -> int:
        before = data[start:byte].decode("utf-8")
        return len(before) - sum(removed[: before.count("\n") + 1])

    return "\n".join(line[cut:] for line, cut in zip(lines, removed, strict=True)), position


def nodes(root: Node, *, not_below: Collection[str]) -> Iterator[Node]:
    """Named nodes below `root` in the order of the text; those of the types `not_below` are not entered."""
    stack = list(reversed(root.named_children))
    while stack:
        node = stack.pop()
        yield node
        if node.type not in not_below:
            stack.extend(reversed(node.named_children))


def folded(text: str, found: list[Place], names: Collection[str], comments: Collection[str]) -> str:
    """The text with each name as `$` and its number by first occurrence, without comments and white space: a key."""
    numbers: dict[str, int] = {}
    parts: list[str] = []
    for place in found:
        if not place.leaf or place.type in comments:
            continue
        word = text[place.start : place.end]
        name = place.type in names
        parts.append(f"${numbers.setdefault(word, len(numbers))} " if name else _SPACE.sub("", word))
    return "".join(parts)


@dataclass
class Scopes:
    """Names declared in a text: what they are, in which part of it and from where on."""

    types: Collection[str]
    anywhere: Collection[str] = ()  # roles of names that may be used before the line that declares them
    names: dict[tuple[Place | None, str], tuple[int, str]] = field(default_factory=dict)

    def _around(self, place: Place) -> Place | None:
        here = place.parent
        while here is not None and here.type not in self.types:
            here = here.parent
        return here

    def declare(self, place: Place, name: str, role: str) -> None:
        """Bind a name in the innermost scope around its place, from there on."""
        first = (-1 if role in self.anywhere else place.start, role)
        key = self._around(place), name
        self.names[key] = min(first, self.names.get(key, first))

    def find(self, place: Place, name: str) -> str | None:
        """Role of a name that is used at a place; None where no scope around has declared it by then."""
        here: Place | None = place
        while here is not None:
            here = self._around(here)
            start, role = self.names.get((here, name), (place.start, None))
            if role is not None and start <= place.start:
                return role
        return None

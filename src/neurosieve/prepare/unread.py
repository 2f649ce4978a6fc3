"""What looks like a function of C, Java or Python and is in none that the grammar gives: it must not vanish uncounted.

Reads and writes no files. A grammar that meets what it does not know (a macro, a parameter list of the old style, an
`#if` between two headers) leaves stretches that belong to no function, sometimes without an error. They are looked for
by brackets and words alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from neurosieve.prepare.python_source import Function

#: Comments, then string and character literals; a literal that its line does not close ends with the line.
_IGNORED = re.compile(
    r'//(?:[^\n\\]|\\.)*|/\*.*?(?:\*/|\Z)|"""(?:\\.|[^\\])*?(?:"""|\Z)|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?',
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w*)(?:[^\n\\]|\\.)*", re.MULTILINE | re.DOTALL)
_DEFINITION = re.compile(r"^[ \t\f]*(?:async[ \t]+)?def\b[^\n]*", re.MULTILINE)
_CONTROL = frozenset(("catch", "do", "else", "for", "if", "return", "switch", "synchronized", "try", "while"))
_ATTRIBUTE = re.compile(r"(?:__attribute__|__attribute|__declspec|_Alignas|alignas)\s*\(|@[\w.]+\s*\(")
_TYPE = re.compile(r"\s*(?:(?:\w+\s+)*?)(?:struct|union|enum|class|interface|namespace|record)\b")
_TRANSPARENT = re.compile(r'\s*(?:extern\s*""|(?:inline\s+)?namespace\b[^()]*)\s*\Z')
# of C++, which headers of a C corpus have: its signs would make the header an assignment
_OPERATOR = re.compile(r"\boperator\s*(?:\(\s*\)|[^\w\s(]+)")
# f(a, b) int a; char *b; {
_OLD_STYLE = re.compile(r"\w\s*\([\w\s,]*\)\s*(?:[A-Za-z_][^;{}=]*;\s*)+\Z")


def as_function(text: str, start: int, end: int) -> Function:
    """A stretch [start, end) of a text that stands for a function and is read as one with a syntax error."""
    line = text.count("\n", 0, start) + 1
    header = " ".join(text[start:end].split())[:60]
    return Function(
        name=header, qualname=header, start_line=line, end_line=line + text.count("\n", start, end),
        source=text[start:end], docstring=None, docstring_span=None, has_error=True,
    )  # fmt: skip


def merged(found: list[Function], unread: Iterable[Function]) -> list[Function]:
    """Functions and what stands for some, in the order of the file."""
    return sorted([*found, *unread], key=lambda function: function.start_line)


def braces(text: str, known: Sequence[tuple[int, int]], *, anywhere: bool) -> Iterator[Function]:
    """Bodies in braces with the header of a function, outside the stretches `known` (characters, from and to).

    `anywhere`: at any depth, as methods stand in classes; else at the depth of the file, a branch of an `#if` at a
    time. What is inside a body found is not looked at.
    """
    outside = _IGNORED.sub(_blank_literal, text)
    code = outside if anywhere else _DIRECTIVE.sub(lambda match: _blank(match.group()), outside)
    parts: list[str] = []
    done = 0
    for start, end in known:
        parts += [code[done:start], _blank(code[start : end - 1]), ";"]
        done = end
    code = "".join((*parts, code[done:]))
    marks = [(match.start(), match.group()) for match in re.finditer(r"[{}]", code)]
    if not anywhere:
        marks = sorted(marks + [(match.start(), match.group(1)) for match in _DIRECTIVE.finditer(outside)])
    depth, since = 0, 0
    body: int | None = None  # depth outside the body found
    branches: list[tuple[int, int | None]] = []
    for at, mark in marks:
        if mark in ("if", "ifdef", "ifndef"):
            branches.append((depth, body))
        elif mark.startswith("el") and branches:
            depth, body = branches[-1]
        elif mark == "endif" and branches:
            branches.pop()
        elif mark == "{":
            last = code[max(since, code.rfind(";", since, at) + 1) : at]
            if not anywhere and depth == 0 and _TRANSPARENT.match(last):
                since = at + 1
                continue
            header = _header(code, since, at, old_style=not anywhere)
            if body is None and (anywhere or depth == 0) and header is not None:
                body = depth
                yield as_function(text, header, at)
            depth, since = depth + 1, at + 1
        elif mark == "}":
            depth, since = max(0, depth - 1), at + 1
            if body is not None and depth <= body:
                body = None


def definitions(text: str, known: Sequence[tuple[int, int]], literal: Callable[[int], bool]) -> Iterator[Function]:
    """Lines that begin with `def`, outside the lines `known` (from and to); not where `literal` says so of a place."""
    for match in _DEFINITION.finditer(text):
        start = match.end() - len(match.group().lstrip())
        line = text.count("\n", 0, start) + 1
        if not any(first <= line <= last for first, last in known) and not literal(start):
            yield as_function(text, start, match.end())


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _blank_literal(match: re.Match[str]) -> str:
    """White space of the same length; a literal keeps its quotes, one that is not closed ends a statement."""
    found = match.group()
    if found[0] == "/":
        return _blank(found)
    closed = len(found) > 1 and found[-1] == found[0]
    return found[0] + _blank(found[1:-1]) + (found[-1] if closed else ";") if len(found) > 1 else ";"


def _header(code: str, since: int, brace: int, *, old_style: bool) -> int | None:
    """Where the header of a function begins of which the body begins at `brace`; None where it is none."""
    whole = code[since:brace]
    begin = since
    if old_style and (match := _OLD_STYLE.search(whole)):
        begin = since + whole.rfind(";", 0, match.start()) + 1
    else:
        begin = max(since, code.rfind(";", since, brace) + 1)
        header = _OPERATOR.sub("operator_", _without_attributes(code[begin:brace]))
        plain, parentheses = _outside(header)
        name = re.search(r"(\w+)\s*\(", header)
        if not parentheses or "=" in plain or "->" in plain or name is None or name.group(1) in _CONTROL:
            return None
        if re.search(r"\bnew\b", plain) or _TYPE.match(plain):
            return None
        # after the parameters come words alone: attributes, `throws X`
        if not re.search(r"\)[\w\s.,:\[\]<>]*\Z", plain):
            return None
        if (
            not old_style
            and not re.search(r"[\w>\]]\s+\w+\s*\(", header)
            and not re.search(r"\(\s*[A-Za-z_@][^()]*\s\w", header)
        ):
            return None  # a constant of an enum with a body
    header = code[begin:brace]
    return begin + len(header) - len(header.lstrip())


def _outside(text: str) -> tuple[str, bool]:
    """A text without what its parentheses hold, and whether it has some, all of them closed."""
    kept: list[str] = []
    depth, found = 0, False
    for character in text:
        depth -= character == ")"
        if depth < 0:
            return text, False
        if depth == 0:
            kept.append(character)
        if character == "(":
            found = True
            depth += 1
    return "".join(kept), found and depth == 0


def _without_attributes(header: str) -> str:
    """A header without `__attribute__((...))` and annotations with arguments."""
    while match := _ATTRIBUTE.search(header):
        depth, at = 1, match.end()
        while depth and at < len(header):
            depth += {"(": 1, ")": -1}.get(header[at], 0)
            at += 1
        header = header[: match.start()] + header[at:]
    return header

"""neurosieve.prepare.python_source: functions, docstrings and folding, all in character offsets."""

from __future__ import annotations

import pytest

from neurosieve.prepare.python_source import exact_key, folded, folded_key, functions

FILE = '''\
import os

def plain(a, b=1):
    """Adds."""
    def inner():
        return a
    return inner() + b

class Outer:
    x = lambda self: 1

    @property
    def é(self):
        r"""Größe \\d

        second line
        """  # a comment
        return "日本"

    class Inner:
        async def work(self):
            # first a comment
            'doc'
            await self

if True:
    try:
        def conditional(): return 1
    except Exception:
        pass
'''


def test_outermost_functions_and_methods() -> None:
    found = functions(FILE)
    assert [item.qualname for item in found] == ["plain", "Outer.é", "Outer.Inner.work", "conditional"]
    assert [(item.start_line, item.end_line) for item in found] == [(3, 7), (13, 18), (21, 24), (28, 28)]
    assert not any(item.has_error for item in found)
    assert found[0].source == FILE[FILE.index("def plain") : FILE.index("\n\nclass")]
    assert found[2].source == "async def work(self):\n    # first a comment\n    'doc'\n    await self"
    assert found[3].source == "def conditional(): return 1"


def test_docstring_and_its_span_are_in_characters() -> None:
    plain, method, work, conditional = functions(FILE)
    assert (plain.docstring, conditional.docstring, conditional.docstring_span) == ("Adds.", None, None)
    assert method.docstring == "Größe \\d\n\nsecond line"
    assert method.docstring_span is not None and work.docstring_span is not None
    literal = method.source[slice(*method.docstring_span)]
    assert literal.startswith('r"""Größe') and literal.endswith('"""')
    assert work.source[slice(*work.docstring_span)] == "'doc'"


@pytest.mark.parametrize("first", ["b'bytes'", "f'{x}'", "x = 'text'", "'a', 'b'", "pass"])
def test_what_is_no_docstring(first: str) -> None:
    assert functions(f"def f():\n    {first}\n")[0].docstring is None


def test_lines_left_of_the_margin_stay() -> None:
    text = "class A:\n    def f(self):\n        x = '''\nleft\n'''\n        return x\n"
    assert functions(text)[0].source == "def f(self):\n    x = '''\nleft\n'''\n    return x"


def test_a_syntax_error_is_marked_where_it_is() -> None:
    found = functions("def good():\n    return 1\n\ndef bad():\n    return (1 +* 2\n")
    assert {item.name: item.has_error for item in found}["good"] is False
    assert any(item.has_error for item in found)


def test_file_that_does_not_end_in_a_line_break() -> None:
    assert functions("def f(): return 1")[0].source == "def f(): return 1"
    assert functions("") == []


def test_folding_ignores_names_space_comments_and_docstrings() -> None:
    one = 'def add(first, second):\n    """Add é."""\n    # sum\n    return first.x + second\n'
    two = "def plus( a,b ):\n\n        return a.y+b\n"
    assert folded(one) == folded(two)
    assert folded_key(one) == folded_key(two) and exact_key(one) != exact_key(two)


@pytest.mark.parametrize(
    "other",
    [
        "def f(a, b):\n    return b + a",  # another name at a place
        "def f(a, b):\n    return a - b",  # another operator
        "def f(a, b):\n    return a + 1",  # a number for a name
        "def f(a, b):\n    return a + 'b'",
    ],
)
def test_folding_keeps_what_makes_a_difference(other: str) -> None:
    assert folded("def f(a, b):\n    return a + b") != folded(other)


def test_a_string_argument_is_no_docstring_to_folding() -> None:
    assert folded("def f():\n    return g('a')") != folded("def f():\n    return g('b')")


def test_exact_key_ignores_only_line_ends_and_blank_lines() -> None:
    assert exact_key("def f():  \n\n    return 1\n") == exact_key("def f():\n    return 1")
    assert exact_key("def f():\n    return 1") != exact_key("def f():\n    return  1")

"""name-scope, last-use, enclosing-block and indentation against functions labelled by hand."""

import ast
from pathlib import Path

import numpy as np
import pytest

from neurosieve.prepare.python_source import functions
from neurosieve.prepare.python_tokens import BLOCKS, MENTIONS, SCOPES, blocks, mentions, misplaced, scoped_reads
from neurosieve.prepare.tasks import indentation

SOURCE = '''def f(a, b=1, *args, **kw):
    """len of a"""
    import os
    c = a + len(b)
    def g(x):
        return x + c
    for i in range(c):
        kw[i] = g(i) + os.sep + GLOBAL
    with open(a) as h:
        a = h.read(args)
    del i
    return [c for c in a], lambda z: z
'''


def test_scopes_by_hand():
    found = [(t.text, SCOPES[t.label]) for t in scoped_reads(SOURCE)]
    P, L, O = SCOPES  # noqa: E741
    assert found == [
        ("a", P), ("len", O), ("b", P), ("range", O), ("c", L), ("kw", P), ("g", L), ("os", L), ("GLOBAL", O),
        ("open", O), ("a", P), ("h", L), ("args", P),
    ]  # fmt: skip


def test_offsets_are_characters_and_receivers_are_left_out():
    source = "def é(self, ü):\n    return self.x + ü + ö\n"
    found = scoped_reads(source)
    assert [(source[t.start : t.end], SCOPES[t.label]) for t in found] == [("ü", "PARAMETER"), ("ö", "OUTER")]


def test_names_of_global_statements_are_unclear_and_left_out():
    assert scoped_reads("def f():\n    global n\n    n = 1\n    return n\n") == []


def check(function, marks, expected):
    """``expected`` is a source with the mark of its class behind every name that is a row."""
    source = expected
    for mark in marks:
        source = source.replace(mark, "")
    for token in reversed(function(source)):
        assert source[token.start : token.end] == token.text
        source = f"{source[: token.end]}{marks[token.label]}{source[token.end :]}"
    assert source == expected


MENTIONED = {
    "parameters, writes, reads and calls; a default is read outside; attributes and keywords are other names": """
def f(a:A, b:A=a, *c:L, g:A):
    a:A = a:L.b
    return g:L(b=b:L).a
""",
    "a loop's next turn is no later text": """
def f(xs:A):
    for x:A, _ in xs:L:
        y:A = x:L
    with y:L as z:A:
        z:L += 1
""",
    "inner scopes mention what they read, but make no row; a name that they bind anew is left out": """
def f(a:A, b:A, c, d:A, x):
    a:A, b:A, d:A
    return [c for c in a], lambda: b, lambda x=d: x
""",
    "a nested function is a variable": """
def f(a:A):
    a:A
    def g(y):
        return a
    return g:A(g:L)
""",
    "names that go out of scope, or that are none of the function's": """
def f(self, k, cls):
    global m
    m = n
    del k
    try:
        m()
    except E as e:
        e()
""",
    "imports, f-strings, conditions of patterns": """
def f(x:A):
    import os
    match x:A:
        case [y:A] if y:L:
            os:L.z(f'{x:L} x')
""",
    "async, and letters of more than one byte": """
async def f(a:A, *, é:A=1):
    async with a:A as a:A:
        await é:L(a:L)
""",
}


@pytest.mark.parametrize("what", MENTIONED)
def test_mentions_by_hand(what):
    assert MENTIONS == ("AGAIN", "LAST")
    check(mentions, (":A", ":L"), MENTIONED[what])


ENCLOSED = {
    "a header is in the block around its statement, an `else` of a loop is a branch": """
def f(a=b):
    for i^ in a^:
        i*.j*
    else:
        k+ = 1
    return i^
""",
    "the innermost counts": """
def f():
    while a^:
        if b*:
            c+
        elif d*:
            for e+ in g+:
                h*
        else:
            i+
        j*
""",
    "with, try and finally are looked through": """
def f():
    with a^ as b^:
        try:
            c^
        except d^ as e^:
            g+
        else:
            h+
        finally:
            i^
    for j^ in k^:
        with l*:
            m*
""",
    "comprehensions are loops, a conditional expression is no block": """
def f():
    if a^: return {b*: c* for d* in e*}, g+ if h+ else i+
    return (j* for k* in [l* for l* in m*])
""",
    "nested functions, classes and lambdas hold no rows": """
def f():
    @a^
    def g(b): c
    class d(e): h = 1
    return lambda i: i, g^
""",
    "async, match, and letters of more than one byte": """
async def f():
    async for a^ in b^:
        match c*:
            case [d*]:
                e+
    ü^: x^ = 1
""",
}


@pytest.mark.parametrize("what", ENCLOSED)
def test_blocks_by_hand(what):
    assert BLOCKS == ("BODY", "BRANCH", "LOOP")
    check(blocks, "^+*", ENCLOSED[what])


@pytest.mark.parametrize("function", [mentions, blocks, scoped_reads])
@pytest.mark.parametrize("source", ["", "x = 1\n", "class A: pass\n"])
def test_a_text_without_a_function_has_no_rows(function, source):
    assert function(source) == []


MOVABLE = """def f(a):
    x = 1
    y = 2
    if a:
        x = 3
        y = 4; z = 5
        g(x,
          y)
        return y
    for b in a:
        pass
    else:
        c
    # d
    return x
"""


def test_lines_that_break_a_function_by_hand():
    """Left: a block's first line, or one that others follow; right: below a simple statement. Never `a; b`, never a
    statement of several lines, never a line without another one at the column that it leaves or comes to."""
    found = [(MOVABLE[start:].split("\n")[0], by) for start, by in misplaced(MOVABLE)]
    assert found == [("y = 2", 4), ("x = 3", -4), ("pass", -4), ("c", -4)]
    assert misplaced("def f(a):\n    x = 1\n    return x\n") == []  # nothing stands at the column to come to
    assert misplaced("def f(a):\n    if a:\n        x\n    y\n") == []  # nothing else stands at the column of x
    assert misplaced("def f(a): return a\n") == []


def test_a_function_with_moved_lines_has_the_same_words_and_does_not_parse():
    paths = sorted(Path("tests/data/tiny_corpus").rglob("*.py"))
    sources = [function.source for path in paths for function in functions(path.read_text(encoding="utf-8"))]
    rng, found = np.random.default_rng(0), 0
    for source in [*sources, MOVABLE] * 3:
        if places := misplaced(source):
            broken = indentation._broken(source, places, rng)
            ast.parse(source)
            assert broken != source and broken.split() == source.split()
            with pytest.raises(SyntaxError):
                ast.parse(broken)
            found += 1
    assert found > 30

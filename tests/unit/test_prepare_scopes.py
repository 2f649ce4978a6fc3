"""name-scope, last-use, enclosing-block, first-mention and indentation against functions labelled by hand."""

import ast
from pathlib import Path

import numpy as np
import pytest

from neurosieve.prepare.python_source import folded_key, functions
from neurosieve.prepare.python_tokens import (
    BLOCKS,
    MENTIONS,
    NOVELTY,
    SCOPES,
    blocks,
    first_mentions,
    mentions,
    misplaced,
    scoped_reads,
)
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Want
from neurosieve.prepare.tasks import first_mention, indentation

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


CUT = """def f(a, self, d=e):
    ä = a.b  # c
    if self.c(ä, f"{h}", c=e):
        b = c(h)
        h += b
    return ä
"""


def test_new_names_and_such_that_stood_above_by_hand():
    """The header counts as above; attributes, keywords, strings and comments do not; `self` makes no row."""
    found = [(CUT[: t.start].count("\n"), t.text, NOVELTY[t.label]) for t in first_mentions(CUT)]
    assert found == [
        (1, "ä", "NEW"), (1, "a", "AGAIN"), (2, "ä", "AGAIN"), (2, "e", "AGAIN"), (3, "b", "NEW"), (3, "c", "NEW"),
        (3, "h", "NEW"), (4, "h", "AGAIN"), (4, "b", "AGAIN"), (5, "ä", "AGAIN"),
    ]  # fmt: skip
    assert all(CUT[t.start : t.end] == t.text for t in first_mentions(CUT))
    assert first_mentions("x = y.z") == []


def test_a_function_is_cut_off_after_a_new_name_and_after_its_neighbour():
    sources = [CUT.replace("# c", f"# {i}") for i in range(40)]
    records = [Record("p", f"p/{i}.py", "f", s, folded_key(s), "", None) for i, s in enumerate(sources)]
    sample = first_mention.build(records, Want(61, NOVELTY, 1, None, np.random.default_rng(0)))
    assert len(sample.rows) == len(sample.inputs) == 60 and sample.left_out == {"not needed": 10}
    first = []
    for one, other in zip(sample.rows[::2], sample.rows[1::2], strict=True):
        short, long = (sample.inputs[row["input"]] for row in (one, other))
        source = sources[int(short["file"][2:-3])]
        assert source.startswith(long["text"]) and source.startswith(short["text"])
        names = first_mentions(source)
        at = [[t.end for t in names].index(len(text["text"])) for text in (short, long)]
        assert at[1] == at[0] + 1
        assert [names[i].label for i in at] == [one["label"], other["label"]]
        assert {one["label"], other["label"]} == {0, 1}
        first.append(one["label"])
    assert 5 < sum(first) < 25  # the new name is the first of the two about as often as the second


def test_a_docstring_is_left_out_of_first_mention():
    [function] = functions('def f(a):\n    """x(a)."""\n    b = a\n')
    record = Record("p", "p/m.py", "f", function.source, "", function.docstring, function.docstring_span)
    sample = first_mention.build([record], Want(8, NOVELTY, 1, None, np.random.default_rng(0)))
    assert [i["text"].split() for i in sample.inputs] == [["def", "f(a):", "b"], ["def", "f(a):", "b", "=", "a"]]
    assert [row["label"] for row in sample.rows] == [0, 1]

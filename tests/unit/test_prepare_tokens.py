"""Roles and lexical classes against Python's own ast and tokenize; variable uses against answers by hand."""

import ast
import io
import keyword
import tokenize
from pathlib import Path

import pytest

from neurosieve.prepare.python_source import functions
from neurosieve.prepare.python_tokens import LEXICAL, ROLES, identifiers, lexical, variable_uses

TINY = Path("tests/data/tiny_corpus")
VARIED = '''\
def sample(self, a, /, b: int = 1, *args: str, c, d=None, **kwargs) -> "int":
    """A docstring with na\u00efve \U0001f600 letters, before every offset that follows."""
    global counter
    import os.path as osp, sys
    from .pkg import thing as other, plain
    (x), [y, *rest], self.z = a.b.c(b, key=d), args, kwargs
    x: list[int] = [i for i, (j, k) in enumerate(y) if i not  in rest]
    x += plain(*args, **kwargs)
    with open(x) as f, a.lock as (p, q):
        del f, a.attr, x[0]
    try:
        lambda u, *v, w=1: u + v
    except (ValueError, KeyError) as error:
        raise other(error) from None
    for self.item, m in zip(p, q):
        counter = (n := m) is  not None
    @deco
    @deco.with_args(1)
    async def inner(t):
        nonlocal x
        await t
        return yield_
    class C(Base, metaclass=Meta): pass
    type(self).x = (a.b)(*f(1))
    print(a, 0x1f, 1.5e3, ..., True, "s" r"t", f"{a!r:>{b}}", sep="")
    return a if b else [*range(5)]  # a comment
'''


def offsets(source):
    """Character offset of a line (from 1) and a column in UTF-8 bytes, as ast gives them."""
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return lambda line, column: starts[line - 1] + len(lines[line - 1].encode()[:column].decode())


def roles_by_ast(source):
    """{offset: (role, name)} of all that ast has positions of; names in f-strings have none before Python 3.12."""
    tree, at = ast.parse(source), offsets(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inside = {id(n) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for n in ast.walk(node)}
    roles = {}
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Name):
            stored = {ast.Load: "VAR_LOAD", ast.Store: "VAR_STORE", ast.Del: "VAR_DEL"}[type(node.ctx)]
            roles[at(node.lineno, node.col_offset)] = ("CALL" if id(node) in called else stored, node.id)
        elif isinstance(node, ast.Attribute):
            end = at(node.end_lineno, node.end_col_offset)
            roles[end - len(node.attr)] = ("METHOD_CALL" if id(node) in called else "ATTR", node.attr)
        elif isinstance(node, ast.arg):
            roles[at(node.lineno, node.col_offset)] = ("PARAM", node.arg)
        elif isinstance(node, ast.keyword) and node.arg is not None:
            roles[at(node.lineno, node.col_offset)] = ("KWARG", node.arg)
    return roles


def tokens_by_tokenize(source):
    at = offsets(source)
    skipped = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in skipped:
            continue
        name = "KEYWORD" if keyword.iskeyword(token.string) else tokenize.tok_name[token.type]
        line, column = token.start
        start = at(line, 0) + column
        tokens.append((start, start + len(token.string), token.string, name))
    return tokens


def tiny_sources():
    return [f.source for path in sorted(TINY.rglob("*.py")) for f in functions(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("source", [VARIED, *tiny_sources()])
def test_roles_agree_with_ast(source):
    mine = {token.start: (ROLES[token.label], token.text) for token in identifiers(source)}
    expected = roles_by_ast(source)
    assert {at: mine.get(at) for at in expected} == expected
    strings = [(t.start, t.end) for t in lexical(source) if LEXICAL[t.label] == "STRING"]
    rest = {at: role for at, role in mine.items() if at not in expected}
    outside = {role for at, (role, _) in rest.items() if not any(start < at < end for start, end in strings)}
    assert outside <= {"FUNCDEF", "CLASSDEF", "IMPORT", "OTHER", "VAR_STORE"}


def test_roles_that_ast_has_no_position_of():
    found = {(token.text, ROLES[token.label]) for token in identifiers(VARIED)}
    named = {"sample": "FUNCDEF", "inner": "FUNCDEF", "C": "CLASSDEF", "osp": "IMPORT", "path": "IMPORT"}
    named |= {"pkg": "IMPORT", "other": "IMPORT", "counter": "OTHER", "error": "VAR_STORE", "n": "VAR_STORE"}
    assert set(named.items()) <= found
    fstring = VARIED.index('f"{a!r')
    assert [ROLES[t.label] for t in identifiers(VARIED) if fstring < t.start < fstring + 14] == ["VAR_LOAD"] * 2


def test_roles_of_match_patterns():
    source = (
        "def f(v):\n    match v:\n        case whole: pass\n        case mod.CONST: pass\n"
        "        case Point(x=0, y=bound) as alias: pass\n        case [1, *rest]: pass\n"
        "        case {'k': value}: pass\n"
    )
    roles = [(t.text, ROLES[t.label]) for t in identifiers(source)][3:]
    assert roles == [
        ("whole", "VAR_STORE"), ("mod", "VAR_LOAD"), ("CONST", "ATTR"), ("Point", "VAR_LOAD"), ("x", "KWARG"),
        ("y", "KWARG"), ("bound", "VAR_STORE"), ("alias", "VAR_STORE"), ("rest", "VAR_STORE"), ("value", "VAR_STORE"),
    ]  # fmt: skip


def test_roles_where_type_names_are_declared():
    source = "def f():\n    type Alias = int\n    def g[T](x: T): pass\n"
    roles = [(t.text, ROLES[t.label]) for t in identifiers(source)]
    assert roles[1:3] == [("Alias", "OTHER"), ("int", "VAR_LOAD")]
    assert roles[4:] == [("T", "OTHER"), ("x", "PARAM"), ("T", "VAR_LOAD")]


@pytest.mark.parametrize("source", [VARIED, *tiny_sources()])
def test_lexical_classes_agree_with_tokenize(source):
    mine = [(t.start, t.end, t.text, LEXICAL[t.label]) for t in lexical(source)]
    assert mine == tokens_by_tokenize(source)


def test_token_text_is_what_stands_at_its_offsets():
    for token in [*identifiers(VARIED), *lexical(VARIED)]:
        assert VARIED[token.start : token.end] == token.text


def test_soft_keywords_count_where_they_act_as_such():
    tokens = lexical("def f(match):\n    match match:\n        case _: pass\n")
    assert [(t.text, LEXICAL[t.label]) for t in tokens if t.text in ("match", "case", "_")] == [
        ("match", "NAME"), ("match", "KEYWORD"), ("match", "NAME"), ("case", "KEYWORD"), ("_", "NAME"),
    ]  # fmt: skip


def uses(source):
    return [(use.name, source[: use.start].count("\n") + 1, sorted(use.others)) for use in variable_uses(source)]


def test_uses_know_the_variables_bound_above_them():
    source = "def f(self, a, *b):\n    c = a + d\n    for e in c:\n        e(c).b = self.a[b]\n    return c\n"
    assert uses(source) == [
        ("a", 2, ["b"]),  # c is bound by this very statement, d is no local, self is none of ours
        ("c", 3, ["a", "b"]),  # e is bound after the iterable
        ("c", 4, ["a", "b", "e"]),  # e is called here, b after the dot is an attribute
        ("b", 4, ["a", "c", "e"]),
        ("c", 5, ["a", "b", "e"]),
    ]


def test_uses_leave_out_names_that_go_out_of_scope_and_inner_scopes():
    source = (
        "def f(a, b=a, *, k: a = 0):\n    global g\n    g = a\n    x = 1\n    del x\n    try:\n        y = b\n"
        "    except E as err:\n        h(err, y, k=k)\n    z: a = [a for b in a]\n    w = lambda: a\n"
        "    def inner():\n        return a\n    return f'{a}'\n"
    )
    # no default, annotation, comprehension, lambda or inner function; never g, x or err; E and h are no locals
    assert uses(source) == [
        ("a", 3, ["b", "k"]),
        ("b", 7, ["a", "k"]),
        ("y", 9, ["a", "b", "k"]),
        ("k", 9, ["a", "b", "y"]),
        ("a", 14, ["b", "k", "w", "y", "z"]),
    ]


def test_uses_of_with_and_walrus_targets_and_offsets_after_wide_characters():
    source = "def f(a):\n    s = '\U0001f600\u00e9'\n    with a as t:\n        if (u := t):\n            return s, u\n"
    assert [(n, o) for n, _, o in uses(source)] == [
        ("a", ["s"]), ("t", ["a", "s"]), ("s", ["a", "t", "u"]), ("u", ["a", "s", "t"]),
    ]  # fmt: skip
    assert all(source[u.start : u.end] == u.name for u in variable_uses(source))


def test_text_without_a_function_has_no_uses():
    assert variable_uses("x = 1\nprint(x)\n") == []

"""name-scope: where the names of a function are bound, against a function labelled by hand."""

from neurosieve.prepare.python_tokens import SCOPES, scoped_reads

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

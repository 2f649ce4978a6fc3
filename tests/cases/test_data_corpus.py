"""Corpora that fail in silence where nobody looks: environments and copies, links, and functions that vanish."""

from __future__ import annotations

import pytest

from neurosieve import cli
from neurosieve.artifacts import Paths, iter_jsonl, read_manifest
from neurosieve.config import Params, load_params
from neurosieve.config.source_tree import source_tree
from neurosieve.prepare.corpus import extract_corpus, folder_sha256
from neurosieve.prepare.languages import load_language
from neurosieve.prepare.records import PrepareError

F = "def f(a):\n    return a\n"


def put(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
    return root


def params_of(folder, language="python") -> Params:
    tiny = load_params("tests/data/tiny.yaml")
    entry = {"language": language, "folder": str(folder), "sha256": folder_sha256(folder, language)}
    prepare = type(tiny.prepare).model_validate({"corpora": {"c": entry}, "tasks": {}})
    return tiny.model_copy(update={"prepare": prepare})


def extracted(folder, build, language="python"):
    paths = Paths("b", build)
    extract_corpus(params_of(folder, language), paths, corpus="c")
    rows = list(iter_jsonl(paths.corpus("c") / "functions.jsonl"))
    return [(row["file"], row["qualname"]) for row in rows], read_manifest(paths.corpus("c"))["facts"]


MADE = {  # file -> why it is left out
    "p/.venv/lib/x.py": "hidden",
    "p/.git/hooks/x.py": "hidden",
    "p/.tox/py/x.py": "hidden",
    "p/.ipynb_checkpoints/core-checkpoint.py": "hidden",
    "p/._core.py": "hidden",
    ".venv/lib/x.py": "hidden",
    "p/env/lib/python3.11/x.py": "environment",
    "conda/lib/x.py": "environment",
    "p/lib/site-packages/x/x.py": "installed",
    "p/web/node_modules/gyp/x.py": "installed",
    "p/__pycache__/x.py": "installed",
    "p/p.egg-info/x.py": "installed",
    "p/build/lib/p/core.py": "build_output",
    "q/build/lib.linux-x86_64-3.11/q/core.py": "build_output",
    "build/lib/p/core.py": "build_output",
    "p/dist/p-1.0/p/core.py": "build_output",
    "r/target/gen/core.py": "build_output",
    "top.py": "outside_packages",
}
KEPT = ("p/core.py", "p/build_tools/x.py", "q/build/__init__.py", "r/build/x.py", "s/dist/__init__.py", "s/target/x.py")


def test_C1_environments_copies_and_hidden_folders_are_left_out_and_counted(tmp_path):
    kept = [name for name in KEPT if name != "q/build/__init__.py"]
    clean = put(tmp_path / "clean", dict.fromkeys(kept, F))
    mixed = put(tmp_path / "mixed", dict.fromkeys([*kept, *MADE], F))
    put(mixed, {"p/env/pyvenv.cfg": "", "conda/conda-meta/history": "", "r/pom.xml": "", "p/.DS_Store": "x"})
    rows, facts = extracted(mixed, tmp_path / "build")
    assert [file for file, _ in rows] == sorted(kept)
    reasons = list(MADE.values())
    assert facts["left_out_files"] == {reason: reasons.count(reason) for reason in set(reasons)}
    assert facts["first_left_out"]["environment"] == "conda/lib/x.py"
    # the sum, the workflow's inputs and the reader go by one list
    assert folder_sha256(mixed, "python") == folder_sha256(clean, "python")
    inputs = params_of(mixed).corpus_files("c")
    assert inputs == [(mixed / name).as_posix() for name in sorted(kept)]


def test_C1_a_package_that_is_called_build_is_read(tmp_path):
    root = put(tmp_path / "code", {"build/__init__.py": F, "build/lib/x.py": F, "x/build/a.py": F, "x/setup.py": ""})
    assert list(source_tree(root, "python").files) == [
        "build/__init__.py",
        "build/lib/x.py",
        "x/build/a.py",
        "x/setup.py",
    ]
    c = put(tmp_path / "c", {"p/build/lib/x.c": "int f(void) { return 1; }", "p/target/debug/x.c": ""})
    assert list(source_tree(c, "c").files) == ["p/build/lib/x.c"]


def test_C2_packages_that_are_links_are_followed_and_each_file_counts_once(tmp_path):
    real = put(tmp_path / "real", {"core.py": F, "sub/x.py": F})
    root = put(tmp_path / "code", {"own/a.py": "def g(b, c):\n    return c\n"})
    for name, target in {"link": real, "own/again": real, "own/loop": root, "own/self.py": "a.py"}.items():
        (root / name).symlink_to(target)
    (root / "nothing").symlink_to(tmp_path / "gone")
    (root / "own" / "gone.py").symlink_to(tmp_path / "gone.py")
    (root / "own" / "me.py").symlink_to("me.py")
    rows, facts = extracted(root, tmp_path / "build")
    assert [file for file, _ in rows] == ["link/core.py", "link/sub/x.py", "own/a.py"]
    assert facts["left_out_files"] == {"same_file": 2, "link_loop": 1, "dangling_link": 3}
    assert facts["first_left_out"]["dangling_link"] == "nothing" and facts["first_left_out"]["link_loop"] == "own/loop"
    plain = put(
        tmp_path / "plain", {"link/core.py": F, "link/sub/x.py": F, "own/a.py": (root / "own/a.py").read_text()}
    )
    assert folder_sha256(root, "python") == folder_sha256(plain, "python")


def test_C2_links_among_folders_are_read_once_however_many_paths_lead_through_them(tmp_path):
    root = put(tmp_path / "code", {f"d{i}/x.py": F for i in range(12)})
    for i in range(12):
        for j in range(12):
            if i != j:
                (root / f"d{i}/to{j}").symlink_to(f"../d{j}")
    tree = source_tree(root, "python")
    assert list(tree.files) == sorted(f"d{i}/x.py" for i in range(12))
    assert tree.left_out == {"same_file": 132}


@pytest.mark.parametrize(
    "files, language, says",
    [
        ({"readme.txt": "x"}, "python", r"no \.py file in a sub-folder"),
        ({"top.py": F}, "python", r"no \.py file in a sub-folder; left out, outside_packages: 1, the first top\.py"),
        ({".venv/x.py": F}, "python", r"left out, hidden: 1"),
        ({}, None, r"no data to take a sum of \(no file\)"),
        ({"a.jsonl": "", ".x": "x"}, None, r"no data to take a sum of \(hidden: 1, empty: 1\)"),
    ],
)
def test_C2_checksum_of_nothing_is_refused(tmp_path, capsys, files, language, says):
    put(tmp_path, files)
    assert cli.main(["checksum", str(tmp_path), *(["--language", language] if language else [])]) == 1
    found = capsys.readouterr()
    assert "sha256:" not in found.out
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(found.err)


def test_C2_checksum_follows_links_and_names_what_it_leaves_out(tmp_path, capsys):
    root = put(tmp_path / "data", {"a.jsonl": "{}\n", ".cache/b": "x", "empty.jsonl": ""})
    (root / "more").symlink_to(put(tmp_path / "real", {"b.csv": "x\n"}))
    assert cli.main(["checksum", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[1:3]] == ["a: {name: a.jsonl", "b: {name: more/b.csv"]
    assert lines[3:] == ["# left out, empty: 1, the first empty.jsonl", "# left out, hidden: 1, the first .cache/b"]
    (tmp_path / "gone-link").symlink_to("gone")
    assert cli.main(["checksum", str(tmp_path / "gone-link")]) == 1
    assert "a link to gone, which is not there" in capsys.readouterr().err


C_LOST = {  # a text: lines of the functions that can be used, and of those with an error
    "int *f(a) int a; { return 0; }\nint g(void) { return 1; }\n": ([2], [1]),
    "f(a) int a; { return a; }\n": ([], [1]),
    "static char *\nfoo (a, b)\n  register int a;\n  struct x *b;\n{\n  return 0;\n}\n": ([], [1]),
    "main() { return 0; }\n": ([], [1]),
    "static __printf(2, 3) int h(int a) { return a; }\n": ([], [1]),
    "#if A\nint f(int a)\n#else\nint f(long a)\n#endif\n{ return a; }\nint g(void) { return 1; }\n": ([7], [2]),
    "#if A\nint f(int a) {\n#else\nint f(long a) {\n#endif\n return a; }\nint g(void) { return 1; }\n": ([7], [2, 4]),
    "int f(int a)\n{\n#ifdef X\n if (a) {\n#else\n if (!a) {\n#endif\n return 1;\n }\n return 0;\n}\n": ([], [1]),
    "DEFINE_X(name) { return 1; }\n": ([], [1]),
    "SYSCALL_DEFINE3(read, int, fd, char *, buf, int, n)\n{ return fd; }\n": ([], [1]),
    "PNG_EXPORT(int, f)(int a) { return a; }\nclass A { int f() { return 1; } };\n": ([], [1, 2]),
    '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(int a) { return a; }\n#ifdef __cplusplus\n}\n#endif\n': ([4], []),
    "__attribute__((noinline)) int f(int a) { return a; }\nint k(void) { return ({ int y = 1; y; }); }\n": ([1, 2], []),
    "bool operator==(A a, A b) { return 1; }\nA &A::operator[](int i) const { return 1; }\n": ([], [1, 2]),
    # what is no function is none: types, initialisers, prototypes, macros, strings and comments with braces
    'struct s { int a; };\nenum e {A};\nint a[] = {1, 2};\nstruct s x = { .a = f(1) };\nint p(int), q(a) int a; ;\n'
    '#define F(x) int x(void) { return 1; }\n/* int c(void) { } */ char *s = "int d(void) {";\nF(y) $\n': ([], []),
}  # fmt: skip
JAVA_LOST = {
    'class A { int f() { return 1; }\n String s = "abc;\n int g() { return 2; }\n void h(int x) throws E { }\n}\n': (
        [1], [3, 4],
    ),
    "class A { int f() { if (x) { return 1; }\n int g() { return 2; }\n int h() { return 3; } }\n": ([3], [1]),
    "record R(int a) { R { } int f() { return a; } }\nenum E { A { int g() { return 1; } }, B; E() {} }\n": (
        [1, 2, 2], [],
    ),
    "interface I { default int f() { return 1; } int h(); }\n": ([1], []),
    'enum E { ... A("x") { }, B(1) { }; }\n': ([], []),
}  # fmt: skip
PYTHON_LOST = {
    "def (a): pass\ndef g(): return 1\n": ([2], [1]),
    "x = (1,\ndef g():\n    return 1\nasync def h():\n    return 2\n": ([], [2, 4]),
    "class A\n    def g():\n        return 1\n    def h():\n        return 1\n": ([4], [2]),
    "def f() pass\n'''\ndef no(): pass\n'''\n# def no\ndef g():\n  def inner(): pass\n  return 1\n": ([6], [1]),
    "match x:\n    case 1:\n\tdef m(): pass\n\x0c\n@a\nasync def n(): pass\nf = lambda: 1\n": ([3, 6], []),
}


@pytest.mark.parametrize(
    "language, text, lines",
    [(language, text, lines) for language, cases in (("c", C_LOST), ("java", JAVA_LOST), ("python", PYTHON_LOST))
     for text, lines in cases.items()],
)  # fmt: skip
def test_C3_a_function_is_read_or_counted_with_its_line(language, text, lines):
    found = [function for function in load_language(language).functions(text) if function.has_body]
    assert ([f.start_line for f in found if not f.has_error], [f.start_line for f in found if f.has_error]) == lines


def test_C3_counted_with_file_and_line_in_the_manifest(tmp_path):
    text = "int g(void) { return 1; }\n\nint *f(a) int a; { return 0; }\nf2(a) int a; { return a; }\n"
    rows, facts = extracted(put(tmp_path / "code", {"p/a.c": text}), tmp_path / "build", "c")
    assert rows == [("p/a.c", "g")]
    assert (facts["parse_errors"], facts["first_left_out"]) == (2, {"parse_errors": "p/a.c:3"})


def test_C2_a_corpus_without_a_function_says_what_was_found(tmp_path):
    with pytest.raises(PrepareError, match=r"no C function in folder .* \(found files: 1; parse_errors: 1\)"):
        extracted(put(tmp_path / "code", {"p/a.c": "f(a) int a; { return a; }\n"}), tmp_path / "build", "c")

"""Every command printed in README.md and docs/: its program accepts it, its files exist; the cheap ones are run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from neurons_build import TEXTS, Build
from snakemake.cli import get_argument_parser

from neurosieve import cli
from neurosieve.config import load_params

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("neurosieve", "snakemake", "make", "dvc", "python", "pytest", "git", "nice", r"\.venv/bin/pip")
COMMAND = rf"(?:[A-Z_]+=\S+\s)*(?:{'|'.join(PROGRAMS)})(?![\w.-])"
MINE = ("mine.yaml", "my-benchmark.yaml", "FILE")  # params files of a reader
WRITTEN = "workflow/profiles/cluster"  # by `neurosieve cluster`
CHEAP = ("check", "plan", "schema", "checksum", "export", "features", "cost")


@dataclass(frozen=True)
class Command:
    """A command as printed: ``words`` without the variables before it; a line of its own, or within a sentence."""

    place: str
    words: tuple[str, ...]
    whole: bool


def commands_of(page: Path) -> list[Command]:
    """Commands of a page: lines of shell blocks (fenced, or indented by four), and code within a sentence."""
    text = page.read_text()
    found: list[tuple[int, str, bool]] = []

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        if block[1] in ("", "sh", "console"):
            found += [
                (block.start(2) + line.start(1), line[1], True)
                for line in re.finditer(rf"^(?:\$ )?({COMMAND}(?:\\\n|.)*)$", block[2], re.M)
            ]
    rest = re.sub(r"^```.*?^```$", blank, text, flags=re.M | re.S)
    lines = rf"^ {{4,}}(?:\$ )?({COMMAND}(?:\\\n|.)*)$"
    found += [(line.start(1), line[1], True) for line in re.finditer(lines, rest, re.M)]
    rest = re.sub(lines, blank, rest, flags=re.M)
    found += [(code.start(1), code[1], False) for code in re.finditer(rf"`({COMMAND}[^`]*)`", rest)]
    commands = []
    for at, shown, whole in sorted(found):
        words = shlex.split(shown.replace("\\\n", " "), comments=True)
        while re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "nice":
            words = words[1:]
        commands.append(Command(f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, at) + 1}", tuple(words), whole))
    return commands


EVERY = [command for page in PAGES for command in commands_of(page)]


def is_file(name: str) -> bool:
    return name in MINE or (ROOT / name).is_file()


def check_neurosieve(words: list[str], whole: bool) -> None:
    parser = cli._parser()
    if not whole and len(words) == 1:  # the name of a command, in a sentence
        with pytest.raises(SystemExit) as stopped:
            parser.parse_args([*words, "--help"])
        assert stopped.value.code == 0
        return
    args, other = parser.parse_known_args(words)
    assert not other or words[0] == "run", f"unknown: {other}"
    if words[0] == "run":
        check_snakemake(other, whole)
    params = getattr(args, "params", None)
    if params is not None:
        assert is_file(params), params
    if words[0] in ("export", "cost", *cli.COMMANDS):
        run = load_params(params if params not in MINE else "params.yaml").run
        for kind, known in (("model", run.models), ("task", run.tasks)):
            given = getattr(args, kind, None) or []
            assert set([given] if isinstance(given, str) else given) <= {*known}, given


def check_snakemake(words: list[str], whole: bool) -> None:
    args = get_argument_parser().parse_args(words)
    rules = "".join(
        path.read_text() for path in (ROOT / "workflow").rglob("*") if path.suffix in (".smk", "") and path.is_file()
    )
    for name in (*args.targets, *args.set_resources, *args.until):
        assert re.search(rf"^ *rule {name}:", rules, re.M), name
    for path in args.configfile or []:
        assert is_file(str(path)), path
    if args.workflow_profile:
        assert (ROOT / args.workflow_profile).is_dir() or str(args.workflow_profile) == WRITTEN


def check_make(words: list[str], whole: bool) -> None:
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, sign, _ = word.partition("=")
        assert f"$({name})" in text if sign else re.search(rf"^{name}:", text, re.M), word


def check_dvc(words: list[str], whole: bool) -> None:
    from dvc.cli.parser import get_main_parser

    if not words and not whole:  # the program is named, not run
        return
    try:
        get_main_parser().parse_args(words)
    except Exception as error:  # its parser logs, and raises what it takes for an error of its own
        raise AssertionError(str(error)) from None


def check_python(words: list[str], whole: bool) -> None:
    if words[:2] == ["-m", "neurosieve.cli"]:
        assert len(words) == 2 or not check_neurosieve(words[2:], whole)
        return
    assert is_file(words[0]), words[0]
    text = (ROOT / words[0]).read_text()
    for at, word in enumerate(words):
        assert not word.startswith("--") or f'"{word}"' in text, word
        assert words[at - 1] != "--params" or is_file(word), word


def check_pytest(words: list[str], whole: bool) -> None:
    for word in words:
        name, _, test = word.partition("::")
        assert is_file(name) and f"def {test}" in (ROOT / name).read_text(), word


def check_git(words: list[str], whole: bool) -> None:
    assert words[0] in ("diff", "clone", "status", "tag", "push", "commit", "checkout", "worktree")
    assert words[0] not in ("diff", "checkout") or all((ROOT / w).exists() for w in words[1:] if w[0] != "-")


def check_pip(words: list[str], whole: bool) -> None:
    assert words[0] == "install"


def test_N2_commands_are_found_where_they_are_printed() -> None:
    places = {command.place for command in EVERY}
    assert len(EVERY) > 60
    for page in ("README.md", "docs/use-the-neurons.md", "docs/presets.md", "docs/run-on-a-cluster.md"):
        assert any(place.startswith(page) for place in places), page
    example = "snakemake --configfile\npresets/published.yaml` and `make x"
    assert re.search(rf"`({COMMAND}[^`]*)`", f"`NEUROSIEVE_DEVICE=cuda {example}`") is not None
    assert re.match(COMMAND, "neurosieve-base token-roles") is None


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.place)
def test_N2_every_printed_command_is_accepted(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = command.words
    if not words and not command.whole:  # the name of a program, in a sentence
        return
    try:
        {
            "neurosieve": check_neurosieve, "snakemake": check_snakemake, "make": check_make, "dvc": check_dvc,
            "python": check_python, "pytest": check_pytest, "git": check_git, ".venv/bin/pip": check_pip,
        }[program](words, command.whole)  # fmt: skip
    except SystemExit:
        pytest.fail(f"{command.place}: {shlex.join(command.words)}: {capsys.readouterr().err.splitlines()[-1]}")
    except AssertionError as error:
        pytest.fail(f"{command.place}: {shlex.join(command.words)}: {error}")


def test_N2_a_wrong_command_is_found(tmp_path: Path) -> None:
    for words in (["features", "--neurons", "n.json"], ["export", "neurosieve-base", "token-rolls"], ["plan", "--all"]):
        with pytest.raises((SystemExit, AssertionError)):
            check_neurosieve(words, True)
    for check, words in (
        (check_snakemake, ["--configfile", "presets/none.yaml"]), (check_snakemake, ["nothing"]),
        (check_make, ["everything"]), (check_python, ["benchmarks/findings.py", "--nothing"]),
        (check_pytest, ["tests/unit/test_fit.py::test_none"]), (check_dvc, ["reproduce"]),
    ):  # fmt: skip
        with pytest.raises((SystemExit, AssertionError)):
            check(words, True)


# --- run


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the checkout of a reader who ran the default benchmark, with the files docs name."""
    root = tmp_path_factory.mktemp("docs")
    for name in ("params.yaml", "presets", "models", "results", "workflow"):
        (root / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "params.yaml", root / "mine.yaml")
    Build.bundled(root, {"token-roles": "token", "variable-misuse": "token"})
    rows = [{"text": TEXTS[0], "start": 4, "end": 7}, {"text": "x = 1", "start": 0, "end": 1}]
    (root / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in {
        "mine/train.jsonl": "{}\n", "mine/test.jsonl": "{}\n", "sources/p/A.java": "class A {}\n",
        "my-code/p/a.py": "x = 1\n", "my-java/p/A.java": "class A {}\n",
    }.items():  # fmt: skip
        (root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / name).write_text(text)
    shown = re.search(r"\$ cat (mean\.jsonl)\n((?: {4}\{.*\n)+)", (ROOT / "docs" / "use-the-neurons.md").read_text())
    assert shown is not None
    (root / shown[1]).write_text(re.sub(r"^ {4}", "", shown[2], flags=re.M))
    return root


def test_N2_printed_commands_run(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of each page, for what one writes the next reads."""
    from neurosieve.use import cost

    monkeypatch.chdir(checkout)
    monkeypatch.setattr(cli.numerics, "apply", lambda pinned: None)
    monkeypatch.setattr(cli.numerics, "check", lambda pinned: None)
    monkeypatch.setattr(cost, "memory_of", lambda *arguments: None)  # processes of its own, tested elsewhere
    ran = set()
    done: set[tuple[str, ...]] = set()
    for command in EVERY:
        program, name, *_ = (*command.words, "")
        bare = len(command.words) == 2 and not command.whole
        placeholders = {"FILE", "FOLDER", "...", "my-benchmark.yaml"} & {*command.words}
        if program != "neurosieve" or name not in CHEAP or bare or placeholders or command.words in done:
            continue
        done.add(command.words)
        status = cli.main(list(command.words[1:]))
        error = capsys.readouterr().err
        # `check` ends with 1 where data or models are missing, as they are here
        assert status == 0 or name == "check", f"{command.place}: {shlex.join(command.words)}: {error}"
        ran.add(name)
    assert ran >= {*CHEAP} - {"schema"}
    assert json.loads(Path("neurons.json").read_text())["model"]["name"] == "neurosieve-base"


def test_N2_printed_python_of_the_neurons_runs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    assert (checkout / "roles.json").is_file()  # written by the printed commands
    names: dict[str, Any] = {"texts": [(TEXTS[0], 4, 7), ("x = 1", 0, 1)], "labels": [0, 1]}
    page = (ROOT / "docs" / "use-the-neurons.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)  # noqa: S102
    assert names["model"].predict(names["texts"]).shape == (2,) and len(names["wide"])

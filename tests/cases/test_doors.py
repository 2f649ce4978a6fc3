"""The ways into a run: names of files and folders, options, what is published, what a failed or killed run says."""

import io
import json
import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.settings.types import MaxJobsPerTimespan, SchedulingSettings

from neurosieve import artifacts, cli, numerics, run
from neurosieve.config import load_params
from neurosieve.leaderboard import publish
from neurosieve.leaderboard.publish import check_made
from neurosieve.prepare.corpus import folder_sha256
from neurosieve.prepare.records import PrepareError, read_bytes

ROOT = Path(__file__).parents[2]
ODD = 'it\'s a {b} [c] ü $x & # "q"'


@pytest.fixture(scope="module")
def odd(make_checkout, tmp_path_factory):
    """A checkout, a params file, a corpus and a model whose names hold all that a shell or Snakemake takes for more."""
    checkout = make_checkout()
    root = tmp_path_factory.mktemp("odd") / ODD
    checkout.root.rename(root)
    checkout.root = root
    checkout.env.pop("PYTHONPATH")  # the environment's package is another: the tree's must run
    shutil.copytree(root / "tests" / "data" / "tiny_corpus", root / "cor{p}us")
    template = root / "cor{p}us" / "graphs" / "{{ package_name }}" / "core.py"
    template.parent.mkdir()
    template.write_text("def area(width, height):\n    size = width * height\n    return size\n")
    params = yaml.safe_load((root / "params.yaml").read_text())
    sha256 = folder_sha256(root / "cor{p}us", "python")
    params["prepare"]["corpora"]["tiny"] |= {"folder": "cor{p}us", "sha256": sha256}
    (root / "models" / "tiny").rename(root / "models" / "br{x}")
    params["models"]["tiny"]["path"] = "models/br{x}"
    (root / "a {b}'s $file (2).yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    marked = root / "src" / "neurosieve" / "prepare" / "corpus.py"
    marked.write_text(marked.read_text() + "\nlogging.getLogger('neurosieve').warning('the package of the tree')\n")
    done = checkout.run(
        sys.executable, "-c", "import sys; sys.path.insert(0, 'src'); from neurosieve import cli; sys.exit(cli.main())",
        "run", "--params", "a {b}'s $file (2).yaml", "--cores", "1", "--until", "extract_corpus",
    )  # fmt: skip
    return checkout, done


def test_P1_P2_P3_A4_N5_odd_names_of_checkout_params_file_and_corpus_run(odd):
    checkout, done = odd
    folder = checkout.root / "build" / "tiny" / "prepare" / "corpora" / "tiny"
    rows = [json.loads(line) for line in (folder / "functions.jsonl").read_text().splitlines()]
    assert any("{{ package_name }}" in json.dumps(row) for row in rows)
    log = (checkout.root / "logs" / "tiny" / "extract_corpus" / "tiny.log").read_text()
    assert "the package of the tree" in log
    # N5: a line a job, with its count; no reasons
    lines = [line for line in done.stderr.splitlines() if "extracting the functions" in line]
    assert len(lines) == 1 and " 0/1 " in lines[0] and "Reason" not in done.stderr
    # A4: a run that does not go as far as the leaderboard publishes nothing, says so, and is no failure
    assert "nothing published" in done.stderr and not (checkout.root / "results").exists()


def test_P3_P5_an_odd_file_is_watched_and_the_name_of_the_params_file_is_not(odd):
    checkout, _ = odd
    (checkout.root / "a {b}'s $file (2).yaml").rename(checkout.root / "b.yaml")
    plan = ("--configfile", "b.yaml", "--until", "extract_corpus", "--dry-run", "--nolock")
    assert "extracting the functions" not in checkout.snakemake(*plan).stdout
    os.utime(checkout.root / "cor{p}us" / "graphs" / "{{ package_name }}" / "core.py")
    assert "extracting the functions" in checkout.snakemake(*plan).stdout


def test_P1_dvc_repro_runs_in_an_odd_folder(odd):
    checkout, _ = odd
    shutil.copytree(checkout.root / "models" / "br{x}", checkout.root / "models" / "tiny")  # that of params.yaml
    checkout.run("git", "init", "--quiet")
    stopped = checkout.run("dvc", "repro", "prepare", check=False)  # DVC's own: it takes the path for a template
    assert stopped.returncode and "DVC fails where the path of its cache has braces" in stopped.stderr
    checkout.run("dvc", "cache", "dir", "--local", str(checkout.root.parent / "cache"))
    checkout.run("dvc", "repro", "--quiet", "prepare")
    (out,) = yaml.safe_load((checkout.root / "dvc.lock").read_text())["stages"]["prepare"]["outs"]
    assert out["path"] == "build/tiny/prepare" and out["nfiles"] == len(checkout.files("build/tiny/prepare"))
    assert checkout.run("dvc", "status", "prepare").stdout.strip() == "Data and pipelines are up to date."


def test_P1_a_line_break_in_the_name_of_the_folder_is_refused_in_words(make_checkout, monkeypatch):
    checkout = make_checkout()
    root = checkout.root.rename(checkout.root.with_name("two\nlines"))
    checkout.root = root
    stopped = checkout.snakemake("--dry-run", check=False)
    assert stopped.returncode == 1 and "Traceback" not in stopped.stderr
    assert "has a line break in its name" in stopped.stderr and f"rename {str(root)!r}" in stopped.stderr
    monkeypatch.chdir(root)
    monkeypatch.setitem(sys.modules, "numerics", numerics)
    with pytest.raises(SystemExit, match=r"line break in its name.*nothing was installed"):
        runpy.run_path(str(ROOT / "src/neurosieve/preflight.py"), run_name="__main__")


@pytest.mark.parametrize(
    "options", [["--build", "x"], ["-s", "x"], ["--snakefile=x"], ["--configfile", "x"], ["--config", "a=1"], ["-dx"]]
)
def test_A1_A2_options_that_would_not_do_what_they_say_are_refused(options, capsys):
    assert cli.main(["run", "-n", *options]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"does not take {options[0]}" in said


def test_A1_N13_all_other_options_and_targets_reach_snakemake_in_order(monkeypatch):
    commands = []
    monkeypatch.setattr(run.os, "execv", lambda program, command: commands.append(command))
    cli.main(["run", "-n", "--cores", "1", "prepare", "--params", "tests/data/tiny.yaml"])
    assert commands[0][1:] == [
        "-m",
        "snakemake",
        "-n",
        "--cores",
        "1",
        "prepare",
        "--configfile",
        "tests/data/tiny.yaml",
    ]
    assert cli.main(["run", "--params", "nope.yaml"]) == 2 and len(commands) == 1  # N13


def test_X4_the_command_runs_the_code_of_the_checkout_in_which_it_is_started(tmp_path, monkeypatch):
    """Checkout B beside the one whose package is installed: B's cli.py runs, with the words of the command."""
    b = tmp_path / "src" / "neurosieve"
    b.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (b / "__init__.py").touch()
    (b / "cli.py").write_text("import sys\nprint('the code of B', sys.argv[1:])\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "neurosieve.cli", "schema"]
    for place, said in ((tmp_path, "the code of B ['schema']\n"), (ROOT, "{"), (tmp_path / "elsewhere", "{")):
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(said), place
    # a Python that does not heed the variable is refused, not started for ever
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "src")
    why = cli._use_code_of_this_checkout()
    assert str(tmp_path) in why and str(ROOT / "src" / "neurosieve") in why and "\n" not in why


def test_A5_a_run_outside_a_checkout_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(run.RunError, match="in the root of a checkout"):
        run.run("params.yaml", [])


@pytest.mark.parametrize("options", [["--config", "seed=7"], ["--configfile", "params.yaml", "params.yaml"]])
def test_A2_a_benchmark_is_one_file(odd, options):
    checkout, _ = odd
    done = checkout.snakemake(*options, "--dry-run", "--nolock", check=False)
    assert done.returncode and "a benchmark is one params file" in done.stderr and "Traceback" not in done.stderr


def test_A3_only_a_leaderboard_of_this_params_file_and_of_these_artifacts_is_published(tmp_path, monkeypatch):
    params = load_params("tests/data/tiny.yaml")
    paths = artifacts.Paths(params.benchmark, tmp_path)
    status = paths.status()
    with artifacts.Writer(status, "probes", {}) as out:
        out.text("status.json", "1")
    with artifacts.Writer(paths.leaderboard(), "leaderboard", params.settings("build_leaderboard"), [status]) as out:
        out.text("leaderboard.csv", "")
    check_made(params, paths)
    with pytest.raises(artifacts.ArtifactError, match="another `seed:`"):
        check_made(params.model_copy(update={"seed": 6}), paths)
    with artifacts.Writer(status, "probes", {}) as out:
        out.text("status.json", "2")
    with pytest.raises(artifacts.ArtifactError, match=r"probes/status was made anew"):
        check_made(params, paths)


def test_E5_the_lock_of_a_killed_run_is_explained(tmp_path, monkeypatch):
    run.check_lock("my params.yaml", tmp_path / "none")
    (tmp_path / "0.input.lock").touch()
    monkeypatch.setattr(run, "processes_here", list)
    with pytest.raises(run.RunError, match=r"neurosieve run --params 'my params.yaml' --unlock"):
        run.check_lock("my params.yaml", tmp_path)
    alive = [
        (11, [b"python", b"-m", b"neurosieve.cli", b"fit-probes"]),
        (12, [b"python", b"neurosieve.cli", b"fit-probes"]),
    ]
    monkeypatch.undo()
    monkeypatch.setattr(run, "_here", lambda: alive)
    with pytest.raises(run.RunError, match=r"jobs of a killed run .*`kill 11 12`; then `neurosieve run .*--unlock`"):
        run.check_lock("my params.yaml", tmp_path)
    alive.append((13, [b"python", b"-m", b"snakemake"]))
    with pytest.raises(run.RunError, match=r"a run is still going on in this folder \(processes 11 12 13\): wait"):
        run.check_lock("my params.yaml", tmp_path)
    assert run.jobs_here() == [11, 12]


def test_jobs_at_work_stop_a_run_of_the_same_benchmark_and_are_not_called_left_while_theirs_is_alive(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "tests" / "data" / "tiny.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text(text.replace("benchmark: tiny", "benchmark: other"))
    job = ["-c", "import time; time.sleep(1000)", "neurosieve.cli", "fit-probes", "--params", "other.yaml"]
    code = tmp_path / "snakemake"
    code.write_text(f"import subprocess, sys; subprocess.run([sys.executable, *{job!r}])")
    snakemake = subprocess.Popen([sys.executable, str(code)])
    number = None
    try:
        end = time.monotonic() + 60
        while not run.jobs_here():
            assert time.monotonic() < end
            time.sleep(0.05)
        (number,) = run.jobs_here()
        run.check_jobs("tiny")
        with pytest.raises(run.RunError, match=f"a run of other is still going on in this folder .* {number}"):
            run.check_jobs("other")
        snakemake.kill()
        snakemake.wait()
        with pytest.raises(run.RunError, match=f"jobs of a killed run .*`kill {number}`"):
            run.check_jobs("other")
        run.check_jobs("tiny")
        (tmp_path / "other.yaml").unlink()  # whose they are cannot be told
        with pytest.raises(run.RunError, match=f"`kill {number}`"):
            run.check_jobs("tiny")
    finally:
        snakemake.kill()
        snakemake.wait()
        if number is not None:
            os.kill(number, signal.SIGKILL)


def test_ctrl_c_is_no_failure_and_reaches_snakemake_alone(tmp_path, monkeypatch):
    """A parent that dies of Ctrl-C kills Snakemake before it has removed its lock, so there is none."""
    replaced = []
    monkeypatch.setattr(run.os, "execv", lambda program, command: replaced.append(program))
    run.run("tests/data/tiny.yaml", ["-n"])
    assert replaced == [sys.executable]
    log = tmp_path / "doc.log"
    log.write_text("Traceback (most recent call last):\n  File x\nKeyboardInterrupt\n")
    lines = SimpleNamespace(text="", write=lambda text: setattr(lines, "text", lines.text + text), flush=lambda: None)
    event = {"event": SimpleNamespace(name="JOB_ERROR"), "rule_name": "prepare_task", "log": [str(log)]}
    run.JobLines(lines).emit(logging.makeLogRecord(event))
    assert "stopped prepare_task" in lines.text and "FAILED" not in lines.text
    assert run.last_words([]) == "Stopped. What is made is kept: run the same command again to go on."


def job(folder: Path, log: Path):
    return SimpleNamespace(
        rule=SimpleNamespace(name="prepare_task"),
        wildcards=["doc"],
        log=[str(log)],
        output=[str(folder / "manifest.json")],
    )


def test_E4_N7_the_last_words_name_each_failed_job_its_error_and_its_log(tmp_path):
    log = tmp_path / "doc.log"
    log.write_text("reading:  50%\rreading: 100%\nerror: a.jsonl: found sha256 1,\nexpected 2\n")
    assert run.last_words([job(tmp_path, log)]).splitlines() == [
        "1 job failed. What is made is kept: mend the cause and run the same command again.",
        f"  prepare_task doc: error: a.jsonl: found sha256 1, expected 2 (log: {log})",
        "The first error in full:",
        "error: a.jsonl: found sha256 1,",
        "expected 2",
    ]
    log.write_text("Traceback (most recent call last):\n  File x\nValueError: a bug\nof two lines\n")
    assert run.failure(log) == f"ValueError: a bug of two lines (log: {log})"
    assert "killed?" in run.failure(tmp_path / "none")
    lines = SimpleNamespace(text="", write=lambda text: setattr(lines, "text", lines.text + text), flush=lambda: None)
    event = {"event": SimpleNamespace(name="JOB_ERROR"), "rule_name": "prepare_task", "log": [str(log)]}
    run.JobLines(lines).emit(logging.makeLogRecord(event))
    assert "FAILED prepare_task: ValueError: a bug of two lines" in lines.text and lines.text.count("\n") == 1
    log.write_text("reading:  50%\rreading:  60%")  # and no more, as after kill -9
    assert run.failure(log) == f"it told no error: was it killed? It said last: reading: 60% (log: {log})"


def test_the_job_that_failed_first_stands_last_with_its_whole_traceback(tmp_path):
    """Of a log with more than one run of tracebacks and chatter, the last error alone."""
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    trace = 'Traceback (most recent call last):\n  File "x", line 3, in f\n    g()\nValueError: a bug\nof two lines'
    first.write_text(f"KeyError: told before\nreading\n{trace}\n")
    second.write_text("error: a sentence\n")
    os.utime(first, (1000, 1000))
    lines = run.last_words([job(tmp_path, first), job(tmp_path, second)])
    assert lines.splitlines()[0].startswith("2 jobs failed.")
    assert lines.index("second.log") < lines.index("first.log")
    assert lines.endswith(f"(log: {first})\nThe first error in full:\n{trace}")
    os.utime(second, (900, 900))
    assert run.last_words([job(tmp_path, first), job(tmp_path, second)]).endswith(f"error: a sentence (log: {second})")


def test_a_terminal_has_a_bar_below_the_lines_and_a_file_has_none():
    class Stream(io.StringIO):
        terminal = True

        def isatty(self):
            return self.terminal

    def event(name, **more):
        return logging.makeLogRecord({"event": SimpleNamespace(name=name), **more})

    told = {}
    for terminal in (True, False):
        stream = Stream()
        stream.terminal = terminal
        lines = run.JobLines(stream)
        lines.emit(event("RUN_INFO", stats={"total": 2}))
        lines.emit(event("JOB_INFO", rule_msg="preparing"))
        lines.emit(event("PROGRESS", done=1))
        assert (lines.bar is not None) == terminal
        lines.emit(event("PROGRESS", done=2))
        assert lines.bar is None
        told[terminal] = stream.getvalue()
    assert "1/2 [" in told[True] and "preparing\n" in told[True]
    assert re.sub(r"\d\d:\d\d:\d\d", "T", told[False]) == "2 jobs to run\n[T] 0/2 preparing\n[T] 2/2 done\n"


def test_E4_the_old_artifact_of_a_failed_job_comes_back_and_is_tried_again(tmp_path):
    folder = tmp_path / "card"
    for kept in (True, False):
        with artifacts.Writer(folder, "prepare", {}) as out:
            out.text("card.json", "old")
        old = (folder / "manifest.json").read_bytes()
        failed = job(folder, tmp_path / "x.log")
        outputs = run.Outputs([failed])
        (folder / "manifest.json").unlink()  # as Snakemake does before a job starts
        if not kept:  # the job replaced the folder, then failed
            folder.rename(tmp_path / "gone")
            folder.mkdir()
        forgotten = []
        outputs.bring_back(
            SimpleNamespace(
                scheduler=SimpleNamespace(failed=[failed]), persistence=SimpleNamespace(cleanup=forgotten.append)
            )
        )
        assert forgotten == [failed] and (folder / "manifest.json").exists() == kept
        if kept:
            assert (folder / "manifest.json").read_bytes() == old and (folder / "manifest.json").stat().st_mtime == 1


def test_N1_the_commands_of_the_readme_are_said_how_to_be_had():
    recipe = subprocess.run(["make", "-n", "benchmark"], cwd=ROOT, text=True, capture_output=True).stdout
    assert "source .venv/bin/activate" in recipe
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.index("`source .venv/bin/activate`") < readme.index("    neurosieve export")


def test_N3_another_python_is_told_before_anything_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "numerics", numerics)
    for version in ((3, 10, 13), (3, 15, 0)):
        monkeypatch.setattr(sys, "version_info", version)
        with pytest.raises(SystemExit, match=rf"found Python 3.{version[1]}, NeuroSieve needs 3.11 to 3.14"):
            runpy.run_path("src/neurosieve/preflight.py")
    for minor in (11, 12, 13, 14):
        monkeypatch.setattr(sys, "version_info", (3, minor, 0))
        runpy.run_path("src/neurosieve/preflight.py")


def test_N4_a_machine_without_the_instructions_is_told_before_anything_is_installed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(numerics, "shortfall", lambda: "x86_64 without avx2")
    monkeypatch.setitem(sys.modules, "numerics", numerics)
    monkeypatch.setenv("NEUROSIEVE_PARAMS", "tests/data/tiny.yaml")
    runpy.run_path("src/neurosieve/preflight.py", run_name="__main__")
    told = capsys.readouterr().err
    assert told.startswith("note: `numerics: portable` does not hold on this machine (x86_64 without avx2)")
    assert told.count("\n") == 1
    fast = tmp_path / "fast.yaml"
    fast.write_text(Path("tests/data/tiny.yaml").read_text().replace("numerics: portable", "numerics: fast"))
    monkeypatch.setenv("NEUROSIEVE_PARAMS", str(fast))
    runpy.run_path("src/neurosieve/preflight.py", run_name="__main__")
    assert capsys.readouterr().err == ""


def test_N12_help_begins_with_what_users_need(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line[:4] == "    " and line[4:5].isalpha()]
    assert listed[:4] == ["check", "plan", "run", "show"] and not set(listed) & set(cli.COMMANDS)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit-probes", "--help"])
    assert not stopped.value.code and "--model" in capsys.readouterr().out


def test_the_makefile_puts_no_name_of_a_file_into_a_command(odd):
    checkout, _ = odd
    (checkout.root / ".venv").mkdir(exist_ok=True)
    (checkout.root / ".venv" / ".installed").touch()
    said = checkout.run("make", "--dry-run", "benchmark", "PARAMS=a $b 'c'.yaml").stdout
    assert '--params "$NEUROSIEVE_PARAMS"' in said and "c'.yaml" not in said


def test_after_a_changed_setting_differing_cells_are_counted_and_else_the_first_are_listed():
    cells = [
        {"row": f"m/t{i}", "column": "note", "committed": "a long note, " * 20, "now": ""}
        for i in range(publish.CELLS_SHOWN + 3)
    ]
    files = {"leaderboard.csv": "changed"}
    said = publish.Report("folder", files, cells).sentence(Path("results/mine")).splitlines()
    assert len(said) == publish.CELLS_SHOWN + 2 and said[-1] == "  and 3 more cells of leaderboard.csv"
    assert "committed" not in said[1] and max(map(len, said[1:])) < 120
    said = publish.Report("committed", files, cells, ["seed"]).sentence(Path("results/mine")).splitlines()
    assert said[1:] == [f"  committed with another `seed:`: {len(cells)} cells of leaderboard.csv differ"]


def test_a_folder_as_input_is_a_sentence(tmp_path):
    with pytest.raises(PrepareError, match="a folder; name a file in it"):
        read_bytes(tmp_path)


@pytest.mark.parametrize(("option", "kept"), [("100/1s", False), ("100/1m", True), ("5/1s", True), (None, True)])
def test_snakemakes_default_limit_of_job_starts_is_taken_away_and_a_users_stays(option, kept):
    """The timers of the default wake its scheduler ever more often, half a core after a hundred jobs."""
    limit = MaxJobsPerTimespan.parse_choice(option) if option else None
    workflow = SimpleNamespace(
        scheduling_settings=SchedulingSettings(max_jobs_per_timespan=limit),
        scheduler=SimpleNamespace(job_rate_limiter="limiter"),
    )
    run.spare_timers(workflow)
    assert workflow.scheduler.job_rate_limiter == ("limiter" if kept else None)

"""How fast each kind of work is, against a floor of the same machine, against NeuroX, or against a limit: `make bench`.

    python benchmarks/bench.py                        every part; the table, and the same rows in benchmarks/results.csv
    python benchmarks/bench.py --only PART [PART ...] these parts; the rows of the others stay as they are
    python benchmarks/bench.py --neurox FOLDER        a checkout of NeuroX to measure beside ours (docs/performance.md)
    python benchmarks/bench.py --quick                small sizes, whether the parts run; writes nothing
    python benchmarks/bench.py --before FOLDER --only PART   the package of another checkout, as far as these scripts
                                                      understand it; what it took stands in benchmarks/before.csv
    python benchmarks/bench.py --table                measures nothing: writes the tables into docs/performance.md

A part is a file of benchmarks/speed/ that yields its rows; each runs in a process of its own. A part that fails is
told, its earlier rows stay, the other parts go on, and the exit status is 1. Times mean something on a machine that
has nothing else to do; ratios to a floor that was measured beside ours bear some company.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEASURED = Path(os.environ.get("NEUROSIEVE_BENCH_BEFORE") or ROOT)  # as in speed.common
sys.path[:0] = [str(ROOT / "benchmarks"), str(MEASURED / "src")]

from speed.common import STILL, Options, Row  # noqa: E402

SPEED = ROOT / "benchmarks" / "speed"
RESULTS = ROOT / "benchmarks" / "results.csv"
BEFORE = ROOT / "benchmarks" / "before.csv"
PAGE = ROOT / "docs" / "performance.md"
COLUMNS = (
    "part", "work", "ours", "against", "peer", "unit", "ratio", "reach", "met", "numerics", "threads", "floor_moved",
    "note", "machine", "commit",
)  # fmt: skip

SAME = ("work", "unit", "numerics")  # of a part, the same work as before
BEFORE_COLUMNS = ("part", *SAME, "ours", "machine", "commit")

Record = dict[str, str]  # a line of results.csv


def parts(folder: Path = SPEED) -> list[str]:
    """Names of the files that define ``rows`` at their top; none is imported."""
    found = []
    for file in sorted(folder.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        if any(isinstance(node, ast.FunctionDef) and node.name == "rows" for node in tree.body):
            found.append(file.stem)
    return found


def machine() -> str:
    """Processor, cores that may be used, memory: what the figures depend on."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores} cores, {gib:.0f} GiB"


def commit(root: Path = ROOT) -> str:
    """Of a checkout, with a + where the package or the benchmarks are not as committed; "" where there is no git."""
    done = [
        subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        for arguments in (
            ["rev-parse", "--short=10", "HEAD"],
            ["status", "--porcelain", "--", "src", "benchmarks", ":!benchmarks/results.csv"],
        )
    ]
    return "" if done[0].returncode else done[0].stdout.strip() + ("+" if done[1].stdout.strip() else "")


def record(part: str, row: Row, where: str, at: str) -> Record:
    """A row as a line of results.csv: four digits, notes that say what a reader has to know of the figures."""
    notes = [row.note, f"partly: {row.partly}" if row.partly else ""]
    if row.moved is not None and row.moved > STILL:
        notes.append(f"the floor moved by {row.moved:.0%} in the quietest of the tries")
    cells = {
        "part": part, "work": row.work, "peer": row.peer, "unit": row.unit, "met": row.met, "numerics": row.numerics,
        "ours": row.ours, "against": row.against, "ratio": row.ratio, "reach": row.reach, "threads": row.threads,
        "floor_moved": row.moved, "note": "; ".join(filter(None, notes)), "machine": where, "commit": at,
    }  # fmt: skip
    return {name: _cell(cells[name]) for name in COLUMNS}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read(file: Path, columns: Sequence[str] = COLUMNS) -> list[Record]:
    """The lines of ``file``; none where there is no such file.

    Raises
    ------
    ValueError
        naming the file, where its columns are others.
    """
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise ValueError(f"{file}: columns {reader.fieldnames}; measure anew into another file, or remove this one")
        return list(reader)


def merge(old: Sequence[Record], new: Sequence[Record], known: Sequence[str]) -> list[Record]:
    """``new`` instead of the lines of the same parts; those of parts that are no more are left out; parts in order."""
    measured = {line["part"] for line in new}
    kept = [line for line in old if line["part"] not in measured and line["part"] in known]
    return sorted([*kept, *new], key=lambda line: known.index(line["part"]))  # stable: a part's rows keep their order


def write(file: Path, lines: Sequence[Record], columns: Sequence[str] = COLUMNS) -> None:
    """All lines or none."""
    from neurosieve.artifacts import write_text  # here and below, for it loads numpy, which no part's process needs

    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(file, text.getvalue())


def table(lines: Sequence[Record]) -> str:
    """For a terminal: a line per row, its note below it."""
    head = ("work", "ours", "against", "unit", "ratio", "reach", "met")
    body = [(*_named(line), line["unit"], line["ratio"], line["reach"], line["met"]) for line in lines]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    text, part = [_aligned(head, widths)], ""
    for line, row in zip(lines, body, strict=True):
        if line["part"] != part:
            part = line["part"]
            text.append(f"{part}:")
        text.append(_aligned(row, widths))
        if line["note"]:
            text.append(f"      {line['note']}")
    return "\n".join(text)


def _named(line: Record) -> tuple[str, str, str]:
    setting = ", ".join(
        filter(None, [line["numerics"], "" if line["threads"] == "1" else f"{line['threads']} threads"])
    )
    work = f"{line['work']} ({setting})" if setting else line["work"]
    return work, line["ours"] or "-", " ".join(filter(None, [line["against"] or "-", line["peer"]]))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    work, *rest = (cell.ljust(width) if i in (0, 3, 6) else cell.rjust(width)
                   for i, (cell, width) in enumerate(zip(cells, widths, strict=True)))  # fmt: skip
    return "  ".join(["  " + work, *rest]).rstrip()


def markdown(lines: Sequence[Record], part: str, before: Sequence[Mapping[str, str]] = ()) -> str:
    """The table of a part, for docs/performance.md; with a column of what was measured before where anything was."""
    mine = [line for line in lines if line["part"] == part]
    earlier = {tuple(line[n] for n in SAME): line["ours"] for line in before if line["part"] == part}
    head = ["work", "ours", *(["before"] if earlier else []), "against", "ratio", "reach", "met", ""]
    text = [_row(head), _row(["---:" if name in ("ours", "before", "ratio", "reach") else "---" for name in head])]
    for line in mine:
        old = earlier.get(tuple(line[n] for n in SAME), "")
        ours, against = (f"{line[n]} {line['unit']}" if line[n] else "not measured" for n in ("ours", "against"))
        beside = f"{line['peer']}: {against}" if line["peer"] else ""
        cells = [_named(line)[0], ours, *([old] if earlier else []), beside]
        text.append(_row([*cells, line["ratio"], line["reach"], line["met"], line["note"]]))
    return "\n".join(text)


def prices(lines: Sequence[Record]) -> str:
    """What was measured in both settings: times under `portable`, without it, and how many times dearer portable is."""
    found: dict[tuple[str, ...], dict[str, Record]] = {}
    for line in lines:
        if line["unit"] in ("CPU s", "s") and line["ours"]:
            found.setdefault(tuple(line[n] for n in ("part", "work", "unit")), {}).setdefault(line["numerics"], line)
    text = [_row(["part", "work", "portable", "fast", "dearer"]), _row(["---", "---", "---:", "---:", "---:"])]
    for (part, work, unit), both in found.items():
        if {"portable", "fast"} <= both.keys():
            portable, fast = (both[name]["ours"] for name in ("portable", "fast"))
            text.append(
                _row([part, work, f"{portable} {unit}", f"{fast} {unit}", f"{float(portable) / float(fast):.2f}"])
            )
    return "\n".join(text)


def measured_on(lines: Sequence[Record]) -> str:
    """On which machines, at which commits the rows were measured, with the parts where these are several."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        found.setdefault((line["machine"], line["commit"]), []).append(line["part"])
    text = []
    for (where, at), parts_of in found.items():
        which = "all parts" if len(found) == 1 else ", ".join(dict.fromkeys(parts_of))
        text.append(f"- {which}: {where}" + (f", commit {at}" if at else ""))
    return "\n".join(text) or "- nothing yet"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def marks(part: str) -> tuple[str, str]:
    """What stands before and after the table of ``part`` in docs/performance.md."""
    return f"<!-- {part}: made by benchmarks/bench.py --table -->", f"<!-- end of {part} -->"


def page(text: str, lines: Sequence[Record], before: Sequence[Mapping[str, str]] = ()) -> str:
    """``text`` with each part's table between its marks, the prices of portable numerics and the machines.

    Raises
    ------
    ValueError
        naming a part that has rows and no marks.
    """
    made = {part: markdown(lines, part, before) for part in dict.fromkeys(line["part"] for line in lines)}
    for name, table_of in {"machines": measured_on(lines), "prices": prices(lines), **made}.items():
        begin, end = marks(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(
                f"docs/performance.md: write the lines {begin} and {end} where the table of {name} shall be"
            )
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{table_of}\n\n{end}{rest.split(end)[1]}"
    return text


def measure(part: str, options: Options) -> Iterator[Row]:
    """The rows of a part as it yields them, in a process of its own.

    Raises
    ------
    subprocess.CalledProcessError
        the part failed: what it said stands in stderr.
    """
    given = {name: value for name, value in asdict(options).items()}
    command = [sys.executable, __file__, "--run-part", part, json.dumps(given, default=str)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Row(**json.loads(line))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def run_part(part: str, given: str) -> None:
    """In the process of a part: its rows as JSON to stdout, all else that is printed to stderr."""
    known = json.loads(given)
    options = Options(
        neurox=Path(known["neurox"]) if known["neurox"] else None,
        neurox_python=Path(known["neurox_python"]),
        quick=known["quick"],
        numerics=tuple(known["numerics"]),
        work=Path(known["work"]),
    )
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        count = 0
        for row in importlib.import_module(f"speed.{part}").rows(options):
            count += 1
            print(json.dumps(asdict(row)), file=out, flush=True)
    if not count:
        sys.exit(f"{part} measured nothing")


def main() -> None:
    if sys.argv[1:2] == ["--run-part"]:
        run_part(*sys.argv[2:4])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = parts()
    parser.add_argument("--only", nargs="+", metavar="PART", choices=known, help=", ".join(known))
    parser.add_argument("--neurox", type=Path, metavar="FOLDER", help="the folder that holds the package `neurox`")
    parser.add_argument("--neurox-python", type=Path, metavar="PYTHON", default=Path(sys.executable),
                        help="an interpreter that has what NeuroX imports")  # fmt: skip
    parser.add_argument("--numerics", nargs="+", choices=("portable", "fast"), default=["portable", "fast"])
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    parser.add_argument("--output", type=Path, default=RESULTS, help="default: benchmarks/results.csv")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout; writes benchmarks/before.csv")
    parser.add_argument("--table", action="store_true", help="write the tables of --output into docs/performance.md")
    args = parser.parse_args()
    if args.table:
        from neurosieve.artifacts import write_text

        write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), read(args.output), read(BEFORE, BEFORE_COLUMNS)))
        return
    if args.neurox is not None and not (args.neurox / "neurox" / "__init__.py").exists():
        parser.error(f"--neurox {args.neurox}: no folder neurox in it; give the folder of a checkout of NeuroX")
    wanted = args.only or known
    output, columns = args.output, COLUMNS
    if args.before is not None:
        if not (args.before / "src" / "neurosieve" / "__init__.py").exists():
            parser.error(f"--before {args.before}: no src/neurosieve in it; give a checkout of this repository")
        os.environ["NEUROSIEVE_BENCH_BEFORE"] = str(args.before.resolve())
        output, columns = BEFORE, BEFORE_COLUMNS
    old = read(output, columns)  # a file of another kind is told before hours are spent
    lines: list[Record] = []
    failed: list[str] = []
    where, at = machine(), commit(args.before or ROOT)
    for i, part in enumerate(wanted, 1):
        print(f"[{i}/{len(wanted)}] {part}", file=sys.stderr, flush=True)
        found: list[Record] = []
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            options = Options(
                neurox=args.neurox.resolve() if args.neurox else None,
                neurox_python=args.neurox_python.absolute(),  # resolved, a link to another environment's Python is that
                quick=args.quick,
                numerics=tuple(args.numerics),
                work=Path(folder),
            )
            try:
                for row in measure(part, options):
                    found.append(record(part, row, where, at))
                    print(table(found[-1:]).splitlines()[2], file=sys.stderr, flush=True)
            except (subprocess.CalledProcessError, ValueError, TypeError) as error:
                failed.append(part)
                print(f"{part} failed: {error}", file=sys.stderr, flush=True)
                if args.before is None:
                    continue
        lines += found
        if args.before is not None:
            # as far as the earlier package goes; of rows for several peers ours is the same in all
            found = list({tuple(line[n] for n in SAME): line for line in found}.values())
        if found and not args.quick:
            old = merge(old, found, known)
            write(output, old, columns)
    print(table(lines))
    said = [line for line in lines if line["met"] in ("no", "not measured", "partly")]
    print(f"{len(lines)} rows; {sum(line['met'] == 'yes' for line in lines)} met, {len(said)} not or not known")
    if args.quick:
        print("small sizes: nothing written")
    if failed:
        stay = "rows before the failure are kept" if args.before is not None else "their earlier rows stay"
        print(f"failed, {stay}: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

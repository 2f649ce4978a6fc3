"""Packs of results: made in one place, collected in another whole or not at all, refused when anything is changed."""

from __future__ import annotations

import io
import json
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import leaderboard_build as made
import pytest
import yaml

from neurosieve import cli
from neurosieve.artifacts import ArtifactError, Paths, dump_json
from neurosieve.config import Params, load_params
from neurosieve.leaderboard import build_leaderboard
from neurosieve.leaderboard.table import COLUMNS
from neurosieve.site import collect as collecting
from neurosieve.site import pack, pages
from neurosieve.site.collect import collect, read_submissions
from neurosieve.site.read import OWN, read_all
from neurosieve.site.submit import submit
from neurosieve.verify import differences

ROW = "leaderboard/rows/minilm__doc-match.json"
Files = dict[str, bytes]


def run(folder: Path, of: list[str], tasks: list[str], **changes: Any) -> Params:
    """A params file in ``folder`` and, below build/, the leaderboard of its run."""
    text = made.make_params(of, tasks).model_dump(mode="json")
    for key, value in changes.items():
        block, _, name = key.partition("__")
        text[block] = text[block] | {name: value} if name else value
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(text))
    params, paths = load_params(folder / "params.yaml"), Paths("default", folder / "build")
    made.write_build(params, paths)
    build_leaderboard(params, paths)
    return params


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """``theirs`` has a run and its pack; ``results`` what is committed here, of other models and a task more."""
    top = tmp_path_factory.mktemp("packs")
    run(top / "ours", ["neurosieve-base", "neurosieve-base-untrained"], ["doc-match", "variable-misuse"])
    shutil.copytree(top / "ours/build/default/leaderboard", top / "results/default")
    params = run(top / "theirs", ["minilm", "minilm-untrained"], ["doc-match"])
    submit(params, top / "theirs/params.yaml", top / "theirs/build/default/leaderboard", "jane", top / "jane.zip")
    return top


@pytest.fixture(scope="module")
def files(place) -> Files:
    return pack.from_zip((place / "jane.zip").read_bytes(), "jane.zip")


@pytest.fixture
def refused(place, tmp_path) -> Iterator[Callable[[bytes], str]]:
    """Collects bytes as a pack, expects a refusal, and that nothing was written; returns what was said."""

    def ask(content: bytes) -> str:
        (tmp_path / "pack.zip").write_bytes(content)
        with pytest.raises(ArtifactError) as caught:
            collect([tmp_path / "pack.zip"], tmp_path / "into", place / "results")
        left = [path for path in (tmp_path / "into").rglob("*") if path.is_file() or path.name.startswith(".")]
        assert left == []
        assert sorted(p.name for p in tmp_path.iterdir()) in (["into", "pack.zip"], ["pack.zip"])
        return str(caught.value)

    yield ask


def mend(files: Files, *, manifest: bool = True, **facts: Any) -> Files:
    """The sums of changed files written anew: a forger's work."""
    files = dict(files)
    if manifest:
        said = json.loads(files["leaderboard/manifest.json"])
        inside = {n.removeprefix("leaderboard/"): c for n, c in files.items() if n.startswith("leaderboard/")}
        said["files"] = {name: pack.sha256(c) for name, c in inside.items() if name != "manifest.json"}
        files["leaderboard/manifest.json"] = dump_json(said).encode()
    told = json.loads(files.pop("pack.json"))
    told["files"] = {name: pack.sha256(content) for name, content in files.items()}
    return files | {"pack.json": dump_json(told | facts).encode()}


def with_json(files: Files, name: str, change: Callable[[Any], Any]) -> Files:
    value = json.loads(files[name])
    change(value)
    return files | {name: json.dumps(value).encode()}


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


# made and collected


def test_equal_results_give_equal_bytes_wherever_they_lie(place, tmp_path):
    shutil.copytree(place / "theirs", tmp_path / "far" / "away")
    there = tmp_path / "far" / "away"
    for path in there.rglob("*"):
        path.chmod(0o700)
    params = load_params(there / "params.yaml")
    submit(params, there / "params.yaml", there / "build/default/leaderboard", "jane", tmp_path / "again.zip")
    content = (place / "jane.zip").read_bytes()
    assert (tmp_path / "again.zip").read_bytes() == content
    assert str(place).encode() not in content


def test_a_pack_is_collected_byte_by_byte_and_claims_until_it_is_reproduced(place, files, tmp_path):
    (one,) = collect([place / "jane.zip"], tmp_path / "into", place / "results")
    assert (one.folder, one.told, one.status) == (tmp_path / "into/default/jane", "collected", "claimed")
    found = {p.relative_to(one.folder).as_posix(): p.read_bytes() for p in one.folder.rglob("*") if p.is_file()}
    assert found == files
    assert json.loads(found[ROW])["n_bound"] == json.loads(files[ROW])["n_bound"]
    ((folder, origin),) = read_submissions(tmp_path / "into")
    assert folder == one.folder / "leaderboard"
    assert origin == {
        "by": "jane", "benchmark": "default", "version": 1, "package": origin["package"],
        "pack": pack.sha256(files["pack.json"]), "reproduced": False, "status": "claimed", "verdict": None,
    }  # fmt: skip
    assert read_submissions(tmp_path / "nothing") == []


def test_what_is_missing_stays_null(place, files, tmp_path):
    rows = {name: json.loads(content) for name, content in files.items() if "/rows/" in name}
    missing = {(name, key) for name, row in rows.items() for key, value in row.items() if value is None}
    assert missing
    (one,) = collect([place / "jane.zip"], tmp_path / "into", place / "results")
    for name, key in missing:
        assert json.loads((one.folder / name).read_text())[key] is None


def test_the_same_pack_twice_changes_nothing(place, tmp_path):
    first = collect([place / "jane.zip", place / "jane.zip"], tmp_path / "into", place / "results")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "into").rglob("*")}
    again = collect([place / "jane.zip"], tmp_path / "into", place / "results")
    assert [one.told for one in (*first, *again)] == ["collected", "unchanged"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "into").rglob("*.json")} == {
        path: time for path, time in before.items() if path.suffix == ".json"
    }


@pytest.mark.parametrize("by", ["jane", "Jane"])
def test_another_pack_by_the_same_name_is_refused(place, files, tmp_path, by):
    collect([place / "jane.zip"], tmp_path / "into", place / "results")
    other = mend(files | {"params.yaml": files["params.yaml"] + b"# other\n"}, by=by)
    (tmp_path / "other.zip").write_bytes(pack.to_zip(other))
    for packs in ([tmp_path / "other.zip"], [place / "jane.zip", tmp_path / "other.zip"]):
        with pytest.raises(ArtifactError, match=r"other\.zip: .*jane(\.zip)? holds another pack by"):
            collect(packs, tmp_path / "into", place / "results")
    assert [p.name for p in (tmp_path / "into/default").iterdir()] == ["jane"]
    if by == "jane":
        with pytest.raises(ArtifactError, match="holds another pack"):
            collect([place / "jane.zip", tmp_path / "other.zip"], tmp_path / "empty", place / "results")
        assert not (tmp_path / "empty").exists()


def test_all_packs_are_checked_before_the_first_is_written(place, tmp_path):
    (tmp_path / "bad.zip").write_bytes((place / "jane.zip").read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"bad\.zip"):
        collect([place / "jane.zip", tmp_path / "bad.zip"], tmp_path / "into", place / "results")
    assert not (tmp_path / "into").exists()


# changed


def test_a_changed_byte_of_any_file_is_refused(place, files, refused):
    content = (place / "jane.zip").read_bytes()
    assert len(files) == 14
    for name, data in files.items():
        at = content.index(data) + len(data) // 2
        refused(flipped(content, at))  # the zip's own check of contents
        changed = files | {name: flipped(data, len(data) // 2)}
        refused(pack.to_zip(changed))  # the sums in pack.json, or what it says of itself
        if name not in ("pack.json", "params.yaml", "leaderboard/manifest.json"):
            said = refused(pack.to_zip(mend(changed, manifest=False)))  # the sums in the manifest
            assert "manifest.json" in said


def test_a_changed_byte_outside_of_the_files_is_refused(place, files, refused):
    content = (place / "jane.zip").read_bytes()
    first = min(content.index(data) for data in files.values())
    directory = content.index(b"PK\x01\x02")
    offsets = [*range(first), *range(directory, directory + 60), *range(len(content) - 22, len(content))]
    for at in offsets:
        refused(flipped(content, at))


def test_damaged_zips_are_refused(place, refused):
    content = (place / "jane.zip").read_bytes()
    for other in (b"", b"no zip", content[:-1], content[: len(content) // 2], content + b"\0", b"\0" + content):
        refused(other)


def test_another_spelling_of_the_same_zip_is_refused(files, refused):
    def zipped(kind: int = zipfile.ZIP_STORED, comment: bytes = b"", **changes: Any) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", kind) as archive:
            archive.comment = comment
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, pack.TIME)
                entry.create_system, entry.external_attr, entry.compress_type = 3, pack.PERMISSIONS << 16, kind
                for key, value in changes.items():
                    setattr(entry, key, value)
                archive.writestr(entry, files[name])
        return out.getvalue()

    assert zipped() == pack.to_zip(files)
    for other in (
        zipped(zipfile.ZIP_DEFLATED), zipped(comment=b"x"), zipped(extra=b"\x01\x00\x00\x00"),
        zipped(external_attr=(stat.S_IFLNK | 0o777) << 16), zipped(date_time=(2026, 1, 1, 0, 0, 0)),
    ):  # fmt: skip
        refused(other)


@pytest.mark.parametrize(
    "name",
    [
        "../x", "/x", "leaderboard/../../x", "leaderboard/rows/../x.json", "leaderboard\\x.json", "reproduced.json",
        "leaderboard/rows/x/y.json", "leaderboard/rows/<b>.json", "leaderboard/rows/.x.json", "x",
        "leaderboard/index.html", "leaderboard/rows/a\n.json", "leaderboard/", "leaderboard/rows/x.html", "C:\\x",
        "leaderboard/rows/é.json",
    ],
)  # fmt: skip
def test_other_names_are_refused(files, refused, name):
    refused(pack.to_zip(mend(files | {name: b"{}"})))


def test_names_that_stand_twice_are_refused(files, refused):
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile's own
        for name in [*sorted(files), ROW]:
            archive.writestr(zipfile.ZipInfo(name, pack.TIME), files[name])
    assert "doubled" in refused(out.getvalue())


def test_a_bomb_is_refused_before_it_is_unpacked(files, refused, monkeypatch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ROW, b"\0" * 10**8)
    assert len(out.getvalue()) < 10**6
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("read"))
    assert "compressed" in refused(out.getvalue())
    monkeypatch.setattr(pack, "MAX_FILES", 3)
    assert "at most 3" in refused(pack.to_zip(files))
    monkeypatch.setattr(pack, "MAX_BYTES", 1000)
    assert "at most 1,000" in refused(pack.to_zip(files))


def test_a_missing_file_is_refused(files, refused):
    for name in files:
        fewer = {other: content for other, content in files.items() if other != name}
        refused(pack.to_zip(fewer))
        if name not in ("pack.json", "params.yaml", "leaderboard/manifest.json"):
            said = refused(pack.to_zip(mend(fewer))) if name != "leaderboard/benchmark.json" else "not in it"
            assert "not in it" in said


# forged: every sum fits


@pytest.mark.parametrize(
    "text, why",
    [
        ('"oracle": NaN', "NaN"), ('"oracle": -Infinity', "Infinity"), ('"oracle": 1e999', "1e999"),
        ('"oracle": 0.5', "0.5"), ('"oracle": "0.7010"', "0.7010"), ('"oracle": true', "True"),
        ('"model": "minilm-untrained"', "minilm-untrained"), ('"version": 2', "expected 1"),
        ('"version": true', "expected 1"), ('"model_note": "\\ud800"', "surrogate"),
        ('"bound": ' + "[" * 40 + "]" * 40, "32 deep"), ('"bound": ' + "[" * 10**5 + "]" * 10**5, "too deeply"),
        ('"task": "doc-match", "task": "doc-match"', "twice"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_row_is_refused(files, refused, text, why):
    lines = files[ROW].decode().split("\n")
    key = text.split(":")[0]
    changed = "\n".join(
        text + line[-1:].strip("}]0123456789") if line.startswith(f"{key}:") else line for line in lines
    )
    assert changed != files[ROW].decode()
    assert why in refused(pack.to_zip(mend(files | {ROW: changed.encode()})))


def test_a_table_or_curve_that_is_none_is_refused(files, refused):
    table, curve = "leaderboard/leaderboard.csv", "leaderboard/curves/minilm__doc-match.csv"
    text = files[table].decode()
    head, first, second = text.splitlines(keepends=True)
    published = first.replace("strict", "published", 1)
    cells = published.split(",")
    cells[list(COLUMNS).index("oracle")] = "nan"
    for name, other in (
        (table, head + first), (table, text + first), (table, text.replace("doc-match", "variable-misuse")),
        (table, head + first.replace(",1,", ",2,", 1) + second), (table, text + ",".join(cells)), (table, ""),
        (table, text.replace("oracle_low", "<b>")), (table, head + first[:40]), (table, text + '"'),
        (curve, files[curve].decode() + "1,nan,0.5,0.5\n"), (curve, "neurons,found\n1,2\n"),
    ):  # fmt: skip
        refused(pack.to_zip(mend(files | {name: other.encode()})))
    assert pack.check(mend(files | {table: (text + published).encode()}), "x")["by"] == "jane"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: "", "line 1"),
        (lambda text: text.replace("\n0", "\n=cmd()", 1), "expected a number"),
        (lambda text: text[: text[:-1].rindex("\n") + 1], "999 draws; probes.bootstrap is 1000"),
        (lambda text: "score,subset,n_minimal\n" + ",,1\n" * 1000, "score: the row has oracle"),
    ],
)
def test_replicates_that_are_none_of_the_row_are_refused(files, refused, change, why):
    name = "leaderboard/draws/minilm__doc-match.csv"
    said = refused(pack.to_zip(mend(files | {name: change(files[name].decode()).encode()})))
    assert why in said and "draws/minilm__doc-match.csv" in said


def test_params_without_probes_are_refused(files, refused):
    name = "leaderboard/manifest.json"
    said = refused(pack.to_zip(mend(with_json(files, name, lambda manifest: manifest["params"].update(probes=[1])))))
    assert "no `probes:` in the params" in said


def test_published_rows_that_pretend_to_draws_are_not_paired(files, place, tmp_path):
    """They are taken as they are from benchmark.json, which speaks of cells alone."""
    row, table = json.loads(files[ROW]), "leaderboard/leaderboard.csv"

    def pretend(found: Any) -> None:
        found["published"] = [{**row, "protocol": "published", "status": None, "draws": "x"}]

    changed = with_json(files, "leaderboard/benchmark.json", pretend)
    first = files[table].decode().splitlines()[1].replace("strict", "published", 1)
    changed[table] = files[table] + f"{first}\n".encode()
    (tmp_path / "jane.zip").write_bytes(pack.to_zip(mend(changed)))
    collect([tmp_path / "jane.zip"], tmp_path / "submissions", place / "results")
    shown = [(place / "results/default", OWN), *read_submissions(tmp_path / "submissions")]
    assert pages.render(read_all(shown))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("draws", None), ("draws", {"judge": "0" * 64}), ("draws", {"judge": "0" * 64, "test": 5}), ("draws", [1]),
        ("confidence", None), ("confidence", 2.0), ("confidence", "0.95"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_compared_is_refused(files, refused, key, value):
    said = refused(pack.to_zip(mend(with_json(files, ROW, lambda row: row.update({key: value})))))
    assert f"the row's {key}: found" in said


@pytest.mark.parametrize("key, value", [("curves", 5), ("judge", 7), ("concepts", {"neurons": [1]})])
def test_a_row_of_which_no_page_can_be_made_is_refused(files, refused, key, value):
    said = refused(pack.to_zip(mend(with_json(files, ROW, lambda row: row.update({key: value})))))
    assert "no pages can be made" in said


def test_names_with_markup_are_refused(files, refused):
    bad = "<img src=x onerror=alert(1)>"
    assert "by: found" in refused(pack.to_zip(mend(files, by=bad)))
    assert "benchmark: found" in refused(pack.to_zip(mend(files, benchmark=bad)))
    for by in ("", ".", "..", "a/b", "a b", "x" * 41, "a\n", 7, None):
        refused(pack.to_zip(mend(files, by=by)))

    def rename(manifest: Any) -> None:
        manifest["params"]["run"]["models"][0] = bad
        manifest["params"]["models"][bad] = manifest["params"]["models"]["minilm"]

    assert "no name" in refused(pack.to_zip(mend(with_json(files, "leaderboard/manifest.json", rename))))

    def describe(benchmark: Any) -> None:
        benchmark["tasks"][bad] = benchmark["tasks"]["doc-match"]

    said = refused(pack.to_zip(mend(with_json(files, "leaderboard/benchmark.json", describe))))
    assert "benchmark.json: of another benchmark" in said


def test_mixed_versions_are_refused(place, files, tmp_path):
    params = run(tmp_path / "next", ["minilm", "minilm-untrained"], ["doc-match"], version=2)
    submit(
        params, tmp_path / "next/params.yaml", tmp_path / "next/build/default/leaderboard", "jane", tmp_path / "2.zip"
    )
    with pytest.raises(ArtifactError, match=r"version 2 of benchmark 'default', and .* is version 1"):
        collect([tmp_path / "2.zip"], tmp_path / "into", place / "results")
    with pytest.raises(ArtifactError, match="of which there are none"):
        collect([place / "jane.zip"], tmp_path / "into", tmp_path / "results")
    facts = json.loads(files["pack.json"])
    with pytest.raises(ArtifactError, match="version 1, but"):
        pack.check(mend(files, version=facts["version"] + 1), "x")


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"seed": 5}, "seed"), ({"probes__bootstrap": 999}, "probes.bootstrap"),
        ({"subsets__margins":
          {"default": {"value": 0.5, "reason": "a loss that users notice"}}}, "subsets.margins.doc-match"),
    ],
)  # fmt: skip
def test_results_of_other_settings_are_refused(place, tmp_path, changes, key):
    params = run(tmp_path / "other", ["minilm", "minilm-untrained"], ["doc-match"], **changes)
    folder = tmp_path / "other"
    submit(params, folder / "params.yaml", folder / "build/default/leaderboard", "jane", tmp_path / "other.zip")
    with pytest.raises(ArtifactError, match=rf"made with other settings than .*: {key} \("):
        collect([tmp_path / "other.zip"], tmp_path / "into", place / "results")


def test_one_name_is_one_model(place, tmp_path):
    models = made.make_params().model_dump(mode="json")["models"]
    models["neurosieve-base"] |= {"note": "other words", "seed": 9}
    params = run(tmp_path / "a", ["neurosieve-base", "neurosieve-base-untrained"], ["doc-match"], models=models)
    submit(params, tmp_path / "a/params.yaml", tmp_path / "a/build/default/leaderboard", "jane", tmp_path / "a.zip")
    with pytest.raises(ArtifactError, match=r"models\.neurosieve-base\.seed \(0 here, 9 there\); "):
        collect([tmp_path / "a.zip"], tmp_path / "into", place / "results")


# reproduced


def judge(before: Path, now: Path) -> differences.Compared:
    return differences.compare_artifact("leaderboard", before, now, {})


def test_a_submission_is_reproduced_by_an_equal_run_alone(place, files, tmp_path):
    into, ours = tmp_path / "into", place / "theirs/build/default/leaderboard"
    with pytest.raises(ArtifactError, match=r"not reproduced by .*: params: "):
        collect([place / "jane.zip"], into, place / "results", ours=place / "results/default", judge=judge)
    assert not list(into.rglob("*.json"))
    collect([place / "jane.zip"], into, place / "results")
    (one,) = collect([place / "jane.zip"], into, place / "results", ours=ours, judge=judge)
    assert (one.told, one.status) == ("unchanged", "reproduced")
    said = json.loads((into / "default/jane/reproduced.json").read_text())
    assert said == {
        "schema": 1, "verdict": "identical", "pack": pack.sha256(files["pack.json"]),
        "manifest": pack.sha256((ours / "manifest.json").read_bytes()),
    }  # fmt: skip
    ((_, origin),) = read_submissions(into)
    assert origin["reproduced"] and origin["verdict"] == "identical"
    (one,) = collect([place / "jane.zip"], into, place / "results")  # without a run here, what was recorded stays
    assert one.status == "reproduced"
    (into / "default/jane/reproduced.json").write_text(json.dumps(said | {"pack": "0" * 64}))
    ((_, origin),) = read_submissions(into)
    assert not origin["reproduced"]


def test_a_run_that_was_changed_after_it_was_made_reproduces_nothing(place, tmp_path):
    shutil.copytree(place / "theirs/build/default/leaderboard", tmp_path / "ours")
    (tmp_path / "ours/leaderboard.csv").write_text("")
    with pytest.raises(ArtifactError, match="changed"):
        collect([place / "jane.zip"], tmp_path / "into", place / "results", ours=tmp_path / "ours", judge=judge)


def test_a_submission_that_was_changed_where_it_lies_is_refused(place, tmp_path):
    collect([place / "jane.zip"], tmp_path / "into", place / "results")
    row = tmp_path / "into/default/jane" / ROW
    content = row.read_bytes()
    row.write_bytes(content + b"\n")
    with pytest.raises(ArtifactError, match="another sha256"):
        read_submissions(tmp_path / "into")
    row.unlink()
    row.symlink_to(place / "theirs/build/default" / ROW)
    with pytest.raises(ArtifactError, match="a link"):
        read_submissions(tmp_path / "into")
    row.unlink()
    row.write_bytes(content)
    (tmp_path / "into/default/jane").rename(tmp_path / "into/default/john")
    with pytest.raises(ArtifactError, match="the pack of jane"):
        read_submissions(tmp_path / "into")


# what is not whole is not packed


def test_results_that_are_not_whole_are_not_packed(place, tmp_path):
    shutil.copytree(place / "theirs", tmp_path / "theirs")
    folder, params_file = tmp_path / "theirs/build/default/leaderboard", tmp_path / "theirs/params.yaml"
    params, out = load_params(params_file), tmp_path / "out.zip"

    def refuse(why: str, results: Path = folder, by: str = "jane", of: Params = params) -> None:
        with pytest.raises(ArtifactError, match=why):
            submit(of, params_file, results, by, out)
        assert not out.exists()

    refuse("write at most", by="Jane Doe")
    refuse("no leaderboard.csv", results=tmp_path)
    refuse("not made with", results=place / "results/default")
    refuse("`seed:` is 8 there and was 7361", of=params.model_copy(update={"seed": 8}))
    for name in ("leaderboard.csv", "rows/minilm__doc-match.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b"\n")
        refuse(f"{name}: changed")
        (folder / name).write_bytes(content)
    (folder / "index.html").write_text("")
    refuse(r"index\.html: not in the manifest")
    (folder / "index.html").unlink()
    (folder / "metrics/minilm__doc-match.json").unlink()
    refuse("metrics/minilm__doc-match.json: missing")


def test_words_and_columns_are_those_of_the_modules_that_are_not_imported():
    assert (differences.IDENTICAL, differences.WITHIN) == collecting.SAME
    assert {*pack.TEXTS, *pack.TRUTHS} <= set(COLUMNS)


def test_the_commands(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "theirs", tmp_path / "theirs")
    shutil.copytree(place / "results", tmp_path / "results")
    words = ["--params", "theirs/params.yaml", "--results", "theirs/build/default/leaderboard"]
    assert cli.main(["submit", "--by", "jane", *words]) == 0
    assert (tmp_path / "default-jane.zip").read_bytes() == (place / "jane.zip").read_bytes()
    assert cli.main(["collect", "default-jane.zip"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "submissions/default/jane: collected, claimed"
    ours = ["--reproduced-here", "theirs/build/default/leaderboard"]
    assert cli.main(["collect", "default-jane.zip", *ours]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "submissions/default/jane: unchanged, reproduced"
    assert cli.main(["collect", "nothing.zip"]) == 1
    assert "nothing.zip: cannot be read" in capsys.readouterr().err


def test_the_bytes_of_a_pack_are_the_same_whatever_python_writes_them():
    facts = "0000000000002100b7efdc83010000000100000001000000"  # stored, 1980-01-01, crc, sizes
    local = "504b03041400" + facts + "6131"
    central = "504b010214031400" + facts + "0000000000000000a4810000000061"
    end = "504b050600000000010001002f000000200000000000"
    assert pack.to_zip({"a": b"1"}).hex() == local + central + end

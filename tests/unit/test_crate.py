"""The crate of a chain of artifacts: deterministic, whole, and closed; what it says of provenance is the manifests'."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import stub_chain

from neurosieve import cli, crate, numerics
from neurosieve.artifacts import ArtifactError, Paths
from neurosieve.config import Params


@pytest.fixture
def made(tmp_path) -> tuple[Params, Paths]:
    params = stub_chain.load(tmp_path)
    paths = Paths(params.benchmark, tmp_path / "build")
    stub_chain.make(params, paths)
    return params, paths


def entities(folder: Path) -> dict[str, dict]:
    graph = json.loads((folder / crate.METADATA).read_text())["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def listed(value: object) -> list:
    """A value, of which the crate has no list where it is the only one, as a list."""
    return value if isinstance(value, list) else [value]


def references(value: object) -> set[str]:
    """Every @id that is pointed to inside an entity."""
    if isinstance(value, list):
        return {found for part in value for found in references(part)}
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else {f for part in value.values() for f in references(part)}
    return set()


def test_equal_results_give_equal_bytes_wherever_they_lie(made, tmp_path):
    params, paths = made
    crate.write_crate(params, paths, tmp_path / "params.yaml", tmp_path / "a")
    shutil.move(tmp_path / "build", tmp_path / "moved")
    crate.write_crate(params, Paths("tiny", tmp_path / "moved"), tmp_path / "params.yaml", tmp_path / "deep" / "b")
    first, second = tmp_path / "a", tmp_path / "deep" / "b"
    names = sorted(p.relative_to(first).as_posix() for p in first.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(second).as_posix() for p in second.rglob("*") if p.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    said = (first / crate.METADATA).read_text()
    assert str(tmp_path) not in said and "Time" not in said


def test_every_file_is_described_by_its_sum_and_every_reference_leads_somewhere(made, tmp_path):
    told = crate.write_crate(*made, tmp_path / "params.yaml", tmp_path / "crate")
    found = entities(tmp_path / "crate")
    files = {p.relative_to(tmp_path / "crate").as_posix() for p in (tmp_path / "crate").rglob("*") if p.is_file()}
    described = {name for name, entity in found.items() if "File" in entity["@type"]}
    assert described == files - {crate.METADATA} and told["files"] == len(described)
    assert {part["@id"] for part in found["./"]["hasPart"]} == described
    for name in described:
        data = (tmp_path / "crate" / name).read_bytes()
        assert found[name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert found[name]["contentSize"] == str(len(data))
    wanted = {f for entity in found.values() for f in references([v for k, v in entity.items() if k != "@id"])}
    assert {name for name in wanted if not name.startswith("https://")} <= found.keys()


def test_the_provenance_of_each_artifact_closes_within_the_crate(made, tmp_path):
    """Each job reads what its manifests name, by sums that files of the crate have."""
    told = crate.write_crate(*made, tmp_path / "params.yaml", tmp_path / "crate")
    found = entities(tmp_path / "crate")
    jobs = [entity for name, entity in found.items() if entity["@type"] == "CreateAction" and name != "#run"]
    assert len(jobs) == told["jobs"] == 43
    assert {action["@id"] for action in found["./"]["mentions"]} == {"#run", *(job["@id"] for job in jobs)}
    made_by = [part["@id"] for job in jobs for part in listed(job["result"])]
    assert len(made_by) == len(set(made_by)) == told["artifacts"]
    for job in jobs:
        manifests = [json.loads((tmp_path / "crate" / part["@id"]).read_text()) for part in listed(job["result"])]
        sums = {sha256 for m in manifests for sha256 in m["inputs"].values()}
        own = {found[part["@id"]]["sha256"] for part in listed(job["result"])}
        read = {found[part["@id"]].get("sha256") for part in listed(job["object"]) if "manifest" in part["@id"]}
        assert read == sums - own
        sources = {(s["name"], s["value"]) for s in (found[p["@id"]] for p in listed(job["object"])) if "value" in s}
        assert sources == {item for m in manifests for item in m["sources"].items()}
        assert job["instrument"]["@id"] == f"#{manifests[0]['rule']}"
    assert {part["@id"] for part in found["#run"]["result"]} == {n for n in found if n.startswith("leaderboard/")}


def test_what_is_no_crate_is_left_alone_and_a_changed_artifact_is_refused(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(numerics, "apply", lambda name: None)
    params, paths = made
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(crate.CrateError, match="something else than a crate; name another folder"):
        crate.write_crate(params, paths, tmp_path / "params.yaml", tmp_path / "mine")
    words = ["crate", "--params", str(tmp_path / "params.yaml"), "--build", str(tmp_path / "build")]
    assert cli.main([*words, "--output", str(tmp_path / "crate")]) == 0
    assert cli.main([*words, "--output", str(tmp_path / "crate")]) == 0  # an earlier one is replaced
    assert "43 jobs" in capsys.readouterr().out
    before = (tmp_path / "crate" / crate.METADATA).read_bytes()
    (paths.status() / "manifest.json").write_text((paths.status() / "manifest.json").read_text().replace("[", "[ "))
    with pytest.raises(ArtifactError):
        crate.write_crate(params, paths, tmp_path / "params.yaml", tmp_path / "crate")
    shutil.rmtree(paths.status())
    with pytest.raises(ArtifactError, match="probes/status: no manifest"):
        crate.write_crate(params, paths, tmp_path / "params.yaml", tmp_path / "crate")
    assert (tmp_path / "crate" / crate.METADATA).read_bytes() == before


def test_a_crate_is_written_over_nothing_that_would_be_lost(made, tmp_path, monkeypatch):
    params, paths = made

    def write(output):
        crate.write_crate(params, paths, tmp_path / "params.yaml", Path(output))

    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to("not-there")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "target").mkdir()
    for name, said in (("file", "a file; name"), ("nowhere", "a link to not-there, which is not there; name")):
        with pytest.raises(crate.CrateError, match=f"/{name}: {said}"):
            write(tmp_path / name)
    write(tmp_path / "link")  # an empty folder, then an earlier crate, each by its link
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target" / crate.METADATA).is_file()
    (tmp_path / "target" / "notes.txt").write_text("mine")
    with pytest.raises(crate.CrateError, match=r"notes\.txt is no file of the crate that lies there"):
        write(tmp_path / "link")
    (tmp_path / "target" / "notes.txt").unlink()
    monkeypatch.chdir(tmp_path / "target")
    for here in (".", "..", "/", str(tmp_path / "target")):
        with pytest.raises(crate.CrateError, match="cannot be replaced"):
            write(here)
    (tmp_path / "target" / crate.METADATA).write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(crate.CrateError, match=r"its ro-crate-metadata\.json is not that of an earlier crate"):
        write("target")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []

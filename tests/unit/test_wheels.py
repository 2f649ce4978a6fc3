"""neurosieve.sources.wheels: pinned, checked, whole or not at all. No network: wheels come from a local folder."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from neurosieve.sources import wheels
from neurosieve.sources.wheels import ReadCounts, Wheel, WheelError, fetch_wheels, source_files


def make_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Wheel:
    """A tiny but valid wheel in `folder`, and its pin."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in {**files, f"{info}/RECORD": b""}.items():
            archive.writestr(file, content)
    return Wheel(name=name, version=version, licence="MIT", sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def local(folder: Path) -> list[str]:
    return ["--no-index", "--find-links", str(folder)]


def test_fetches_checks_and_then_needs_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, cache = tmp_path / "index", tmp_path / "cache"
    pins = [make_wheel(index, name, "1.0", {f"{name}/a.py": b"x = 1\n"}) for name in ("tiny_one", "tinytwo", "tiny3")]
    paths = fetch_wheels(pins, cache, local(index))
    assert list(paths) == ["tiny_one", "tinytwo", "tiny3"]
    assert sorted(path.name for path in cache.iterdir()) == sorted(path.name for path in paths.values())

    def no_pip(*_: object) -> None:
        raise AssertionError("a cached wheel was downloaded again")

    monkeypatch.setattr(wheels, "_download", no_pip)
    assert fetch_wheels(pins, cache) == paths


def test_wrong_hash_names_wheel_expected_and_found(tmp_path: Path) -> None:
    pin = make_wheel(tmp_path / "index", "tiny", "1.0", {"tiny/a.py": b""})
    wrong = pin.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(WheelError) as error:
        fetch_wheels([wrong], tmp_path / "cache", local(tmp_path / "index"))
    for part in ("tiny==1.0", "0" * 64, pin.sha256):
        assert part in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_damaged_cache_is_an_error_not_a_silent_download(tmp_path: Path) -> None:
    pin = make_wheel(tmp_path / "index", "tiny", "1.0", {"tiny/a.py": b""})
    path = fetch_wheels([pin], tmp_path / "cache", local(tmp_path / "index"))["tiny"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WheelError, match="damaged"):
        fetch_wheels([pin], tmp_path / "cache", local(tmp_path / "index"))


def test_failed_download_leaves_nothing_behind(tmp_path: Path) -> None:
    index, cache = tmp_path / "index", tmp_path / "cache"
    there = make_wheel(index, "tiny", "1.0", {"tiny/a.py": b""})
    missing = Wheel(name="not-there", version="9.9", licence="MIT", sha256="0" * 64)
    with pytest.raises(WheelError, match=r"not-there==9\.9"):
        fetch_wheels([missing], cache, local(index))
    assert list(cache.iterdir()) == []
    fetch_wheels([there], cache, local(index))
    assert [path.suffix for path in cache.iterdir()] == [".whl"]


def test_interrupted_download_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(command: list[str], **_: object) -> None:
        Path(command[command.index("--dest") + 1], "tiny-1.0-py3-none-any.whl").write_bytes(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(wheels.subprocess, "run", half)
    pin = Wheel(name="tiny", version="1.0", licence="MIT", sha256="0" * 64)
    with pytest.raises(KeyboardInterrupt):
        fetch_wheels([pin], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    pin = Wheel(name="tiny", version="1.0", licence="MIT", sha256="0" * 64)
    with pytest.raises(WheelError, match="more than once: tiny"):
        fetch_wheels([pin, pin], tmp_path)


@pytest.mark.parametrize("change", [{"sha256": "ABC"}, {"version": ">=1"}, {"name": "--index-url"}, {"colour": "red"}])
def test_bad_pins_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Wheel(**{"name": "tiny", "version": "1.0", "licence": "MIT", "sha256": "0" * 64, **change})


def test_source_files_in_order_and_counted(tmp_path: Path) -> None:
    make_wheel(
        tmp_path,
        "tiny",
        "1.0",
        {
            "tiny/b.py": "\ufeffname = 'é'\r\nx = 1\r".encode(),
            "tiny/a.py": b"a = 1\n",
            "tiny/latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
            "tiny/data.txt": b"no source",
        },
    )
    counts = ReadCounts()
    found = list(source_files(tmp_path / "tiny-1.0-py3-none-any.whl", counts))
    assert [(file.package, file.path) for file in found] == [("tiny", "tiny/a.py"), ("tiny", "tiny/b.py")]
    assert found[1].text == "name = 'é'\nx = 1\n"
    assert (counts.files, counts.not_utf8, counts.not_utf8_paths) == (2, 1, ["tiny/latin.py"])

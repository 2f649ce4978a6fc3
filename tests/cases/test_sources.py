"""Models that lie or come in other ways than most, files that are there in name only, and jobs short of memory."""

import argparse
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from hub_server import HubServer
from huggingface_hub import close_session, constants
from safetensors.torch import load_file, save_file

from neurosieve import advice, cli, config, estimates, memory
from neurosieve.activations import ActivationsError
from neurosieve.activations.models import load_folder
from neurosieve.artifacts import ArtifactError, sha256_file
from neurosieve.estimates import Job, need
from neurosieve.probes import intervals, metrics
from neurosieve.sources import fetch, folder
from neurosieve.sources.hub import HubError, hub_folder

PARAMS = config.load_params("params.yaml")
BOTH = {"d_model": 8, "is_encoder_decoder": True}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with HubServer() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        address = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        yield running
    close_session()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("models") / "bert", "bert")


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def shard(model: Path, names: list[str]) -> dict[str, torch.Tensor]:
    """Weights of a folder in files of these names, which the index alone tells."""
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    keys = sorted(tensors)
    parts = {name: keys[i :: len(names)] for i, name in enumerate(names)}
    for name, held in parts.items():
        save_file({key: tensors[key] for key in held}, model / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {k: n for n, held in parts.items() for k in held}}
    write(model / "model.safetensors.index.json", index)
    return tensors


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def with_model(**entry: Any) -> config.Params:
    models = {**PARAMS.models, "m": config.Model.model_validate(entry)}
    return PARAMS.model_copy(update={"models": models, "run": PARAMS.run.model_copy(update={"models": ["m"]})})


# --- code of the model's own


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("stated", [{"AutoModel": "a/b--net.Net"}, {"AutoTokenizer": [None, "a/b--net.Net"]}])
def test_M1_code_of_another_repository_is_refused(model: Path, file: str, stated: dict[str, Any]) -> None:
    path = model / file
    there = json.loads(path.read_text()) if path.is_file() else {}
    write(path, {**there, "text_config": {"auto_map": stated}})
    with pytest.raises(ActivationsError, match=rf"{file} names Python code of another repository \(a/b--net.Net\)"):
        load_folder(model, "m", "portable", trust_remote_code=True)
    assert "Copy net.py of a/b" in folder.faults(with_model(path=str(model), trust_remote_code=True))[0]
    load_folder(model, "m", "portable")  # which runs none


def test_M1_code_in_folders_below_is_hashed_and_watched(model: Path) -> None:
    (model / "lib").mkdir()
    (model / "lib" / "own.py").write_text("A = 1\n")
    (model / ".hidden").mkdir()
    (model / ".hidden" / "own.py").write_text("A = 1\n")
    before = load_folder(model, "m", "portable", trust_remote_code=True).facts["code_sha256"]
    (model / "lib" / "own.py").write_text("A = 2\n")
    assert load_folder(model, "m", "portable", trust_remote_code=True).facts["code_sha256"] != before
    watched = [Path(p).relative_to(model).as_posix() for p in with_model(path=str(model)).model_files("m")]
    assert "lib/own.py" in watched and ".hidden/own.py" not in watched


def test_M1_a_hub_model_with_code_elsewhere_is_refused_before_its_weights(
    server: HubServer,
    tmp_path: Path,
) -> None:
    stated = {"model_type": "bert", "auto_map": {"AutoModel": "a/b--net.Net"}}
    files = {"config.json": json.dumps(stated).encode(), "model.safetensors": b"weights"}
    commit = server.add("org/tiny", files)
    entry = config.Model(hub="org/tiny", revision=commit, trust_remote_code=True)
    with pytest.raises(HubError, match="another repository"):
        hub_folder(entry, "m", tmp_path / "wheels")
    assert not server.asked("/model/*")
    assert any("its code lies in another repository" in line for line in fetch.model_lines("org/tiny", tmp_path / "w"))


# --- weights


@pytest.mark.parametrize(
    "names",
    [
        ["model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"],
        ["x.safetensors", "y [1].safetensors"],
    ],
)
def test_M4_shards_of_any_name_are_loaded_from_folder_and_hub(
    model: Path,
    server: HubServer,
    tmp_path: Path,
    names: list[str],
) -> None:
    whole = load_folder(model, "m", "plain")  # else a model holds its weights packed alone
    shard(model, names)
    (model / "stray.safetensors").write_bytes(b"not weights")
    commit = server.add("org/tiny", {p.name: p.read_bytes() for p in model.iterdir()})
    there, facts = hub_folder(config.Model(hub="org/tiny", revision=commit), "m", tmp_path / "wheels")
    assert set(names) <= set(facts["files"]) and "stray.safetensors" not in facts["files"]
    for place in (model, there):
        found = load_folder(place, "m", "plain")
        assert [p.name for p in found.weights] == names
        state, wanted = found.model.state_dict(), whole.model.state_dict()
        assert state.keys() == wanted.keys() and all(torch.equal(state[k], wanted[k]) for k in wanted)
    assert "cannot be used" not in "".join(fetch.model_lines("org/tiny", tmp_path / "wheels"))
    again = len(server.requests)
    assert hub_folder(config.Model(hub="org/tiny", revision=commit), "m", tmp_path / "wheels") == (there, facts)
    assert len(server.requests) == again


@pytest.mark.parametrize("name", ["../x.safetensors", "..", "sub/x.safetensors", "weights.bin", "/x.safetensors"])
def test_M4_an_index_names_files_beside_it_and_of_its_kind(model: Path, name: str) -> None:
    shard(model, ["a.safetensors"])
    write(model / "model.safetensors.index.json", {"metadata": {}, "weight_map": {"w": name}})
    with pytest.raises(folder.FolderError, match="its files lie beside it"):
        folder.check(model, "m", "safetensors", trust=False)


def test_M4_files_that_the_index_names_and_that_are_missing_are_named(model: Path) -> None:
    shard(model, ["a.safetensors", "b.safetensors", "c.safetensors"])
    (model / "a.safetensors").unlink()
    (model / "c.safetensors").unlink()
    assert "no a.safetensors, c.safetensors, which model.safetensors.index.json names" in "".join(
        folder.faults(with_model(path=str(model)))
    )
    (model / "model.safetensors.index.json").unlink()
    assert "only b.safetensors without the index" in "".join(folder.faults(with_model(path=str(model))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_M5_memory_is_planned_by_elements_of_the_files_that_are_loaded(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny_models.save(tmp_path / "m", "bert", dtype=dtype)
    count = sum(p.numel() for p in load_file(model / "model.safetensors").values())
    shutil.copy(model / "model.safetensors", model / "consolidated.safetensors")
    torch.save({"w": torch.zeros(9)}, model / "pytorch_model.bin")
    assert estimates.parameters(with_model(path=str(model)), "m") == count
    shard(model, ["a.safetensors", "b.safetensors"])
    assert estimates.parameters(with_model(path=str(model)), "m") == count


def test_M5_pickled_weights_are_counted_by_their_bytes_and_the_stated_type(model: Path) -> None:
    stated = json.loads((model / "config.json").read_text())
    write(model / "config.json", {**stated, "dtype": "bfloat16"})
    torch.save({"w": torch.zeros(4000, dtype=torch.bfloat16)}, model / "pytorch_model.bin")
    assert estimates.parameters(with_model(path=str(model), weights="bin"), "m") == 4000
    assert zipfile.is_zipfile(model / "pytorch_model.bin")


def test_M5_a_twin_needs_the_trained_model_beside_it_and_half_types_half() -> None:
    params = with_model(hub="a/b", layers=33, width=4096, parameters=7 * 10**9)
    models = {**params.models, "t": config.Model(untrained="m")}
    params = params.model_copy(update={"models": models})
    trained, twin = (need(params, Job("dump_activations", m, "token-roles")).mem_mb for m in ("m", "t"))
    assert 28_000 < trained < 33_000 and 56_000 < twin < 61_000
    half = params.model_copy(update={"activations": params.activations.model_copy(update={"dtype": "bfloat16"})})
    assert 14_000 < need(half, Job("dump_activations", "m", "token-roles")).mem_mb < 19_000


@pytest.mark.parametrize("how", ["config", "header"])
def test_M5_quantised_weights_are_refused(model: Path, how: str) -> None:
    if how == "config":
        stated = json.loads((model / "config.json").read_text())
        write(model / "config.json", {**stated, "quantization_config": {"quant_method": "gptq"}})
    else:
        save_file({"a.weight": torch.zeros(2, 2, dtype=torch.int8)}, model / "model.safetensors")
    with pytest.raises(ActivationsError, match="its weights are quantised"):
        load_folder(model, "m", "portable")
    assert "quantised" in estimates.plan(with_model(path=str(model)))


@pytest.mark.parametrize(
    "stated, entry, wanted",
    [
        ({"text_config": {"num_hidden_layers": 2, "hidden_size": 16}, "hidden_size": 99}, {}, (3, 16)),
        ({**BOTH, "num_layers": 2, "num_decoder_layers": 3}, {"part": "both"}, (7, 8)),
        ({**BOTH, "encoder_layers": 2, "decoder_layers": 4}, {"part": "decoder"}, (5, 8)),
        ({"n_layer": 2, "n_embd": 8, "n_inner": None}, {"neurons": "feed-forward"}, (2, 32)),
        ({"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 24}, {"neurons": "feed-forward"}, (2, 24)),
        ({"num_hidden_layers": 2, "hidden_size": 8}, {"neurons": "attention"}, (2, 8)),
    ],
)  # fmt: skip
def test_M6_the_plan_has_the_shape_of_the_part_that_reads_texts(
    tmp_path: Path, stated: dict[str, Any], entry: dict[str, Any], wanted: tuple[int, int]
) -> None:
    write(tmp_path / "config.json", stated)
    assert estimates.shape(with_model(path=str(tmp_path), **entry), "m") == wanted


def test_M6_fetch_prints_the_shape_of_the_part_that_reads_texts() -> None:
    text = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2}
    assert fetch._sizes({"model_type": "llava", "text_config": text}) == (3, 16)


# --- files that are there in name only


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_M7_a_pointer_in_the_place_of_a_model_s_file_is_told(model: Path, name: str) -> None:
    (model / name).write_bytes(POINTER)
    wanted = f"{model / name} is a git-lfs pointer, not the file; run `git lfs pull` in {model}"
    assert wanted in estimates.plan(with_model(path=str(model)))
    with pytest.raises(ActivationsError) as error:
        load_folder(model, "m", "portable")
    assert str(error.value) == wanted
    with pytest.raises(ArtifactError) as told:
        sha256_file(model / name)
    assert str(told.value) == wanted


def test_M7_pointers_among_shards_are_counted(model: Path) -> None:
    shard(model, ["a.safetensors", "b.safetensors", "c.safetensors"])
    (model / "b.safetensors").write_bytes(POINTER)
    (model / "c.safetensors").write_bytes(POINTER)
    (fault,) = folder.faults(with_model(path=str(model)))
    assert "b.safetensors is a git-lfs pointer" in fault and fault.endswith("(and 1 more files)")


def test_M7_data_that_is_there_in_name_only_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = {"lfs": POINTER, "annex": b"/annex/objects/SHA256E-s1--abc\n", "none": b""}
    for name, data in there.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("../.git/annex/objects/x")
    files = {name: config.DataFile(name=name, sha256="0" * 64) for name in (*there, "link")}
    task = PARAMS.prepare.tasks["doc-match"].model_copy(
        update={"kind": "cosqa", "corpus": None, "packages": None, "folder": str(tmp_path), "files": files}
    )
    tasks = {**PARAMS.prepare.tasks, "doc-match": task}
    params = PARAMS.model_copy(
        update={
            "prepare": PARAMS.prepare.model_copy(update={"tasks": tasks}),
            "run": PARAMS.run.model_copy(update={"tasks": ["doc-match"]}),
        }
    )
    lines = "\n".join(params.missing_files())
    for text in (
        "lfs is a git-lfs pointer",
        "annex is a git-annex pointer",
        "none is empty",
        "run `git annex get link`",
    ):
        assert text in lines
    assert cli.main(["checksum", str(tmp_path / "lfs")]) == 1
    assert "git lfs pull" in capsys.readouterr().err


# --- memory


def test_E1_the_bootstrap_of_many_classes_has_the_bits_of_the_plain_one_in_less_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    files, y = np.arange(300), rng.integers(0, 20, 300)
    found = intervals.FileBootstrap(files, 100, 1)
    C = metrics.counts_by_file(y, rng.permutation(y), files, 20)
    score = metrics.primary({"metric": "macro_f1", "scored_classes": list(range(0, 20, 2))})
    plain = found.replicates(C, score)
    monkeypatch.setattr(intervals, "PART", 2000)
    shapes = []

    def seen(C: np.ndarray) -> np.ndarray:
        shapes.append(C.shape)
        return score(C)

    assert found.replicates(C, seen).tobytes() == plain.tobytes()
    assert C.dtype == np.int32 and max(shape[0] for shape in shapes) <= 5  # of 100 draws


def test_E1_the_plan_of_the_status_grows_with_classes_rows_and_draws() -> None:
    def planned(classes: int, judge: int) -> int:
        entry = PARAMS.prepare.tasks["doc-match"]
        rows = entry.rows.model_copy(update={"judge": judge})
        entry = entry.model_copy(update={"classes": [f"c{i}" for i in range(classes)], "rows": rows})
        prepare = PARAMS.prepare.model_copy(update={"tasks": {"doc-match": entry}})
        run = PARAMS.run.model_copy(update={"tasks": ["doc-match"]})
        probes = PARAMS.probes.model_copy(update={"bootstrap": 2000})
        params = PARAMS.model_copy(update={"prepare": prepare, "run": run, "probes": probes})
        return need(params, Job("decide_status")).mem_mb

    # measured, without what the tests import: 84 and 484 MB
    assert 84 / 1.5 < planned(2, 1200) / 1.5 < 150 and 484 / 1.5 < planned(104, 4000) < 484 * 1.5


# MB, of the jobs of the default benchmark as Snakemake saw them
MEASURED = {
    ("dump_activations", "token-roles"): 546,
    ("fit_baselines", "token-classes"): 294,
    ("fit_baselines", "doc-match"): 232,
    ("fit_probes", "name-scope"): 229,
    ("measure_redundancy", "name-scope"): 129,
    ("prepare_task", "token-classes"): 156,
}


@pytest.mark.parametrize("rule, task", MEASURED)
def test_E1_memory_is_planned_within_a_factor_of_what_was_measured(rule: str, task: str) -> None:
    model = None if rule in ("fit_baselines", "prepare_task") else "neurosieve-base"
    ratio = need(PARAMS, Job(rule, model, task)).mem_mb / MEASURED[rule, task]
    assert 1 / 1.5 < ratio < 1.75


@pytest.mark.parametrize("error, size", [
    (MemoryError("Unable to allocate 1.07 GiB for an array with shape (9, 9) and data type float64"), "1.15 GB"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried to "
                  "allocate 123456789 bytes. Error code 12 (Cannot allocate memory)"), "0.12 GB"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has"), "0.02 GB"),
    (OSError(12, "Cannot allocate memory"), None),
    (MemoryError(), None),
])  # fmt: skip
def test_E2_a_job_without_memory_says_how_much_and_what_to_change(
    monkeypatch: pytest.MonkeyPatch, error: Exception, size: str | None
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("neurosieve.redundancy.measure_redundancy", fails)
    monkeypatch.setattr(cli, "_load", lambda _: (PARAMS, None))
    monkeypatch.setattr("neurosieve.numerics.check", lambda _: None)
    monkeypatch.setattr("neurosieve.chain.check_job", lambda *_: None)
    run = cli._phase("redundancy", "measure_redundancy", ("model", "task"))
    with pytest.raises(memory.JobMemoryError) as told:
        run(argparse.Namespace(model="neurosieve-base", task="doc-match"))
    text = str(told.value)
    assert text.startswith("out of memory in measure_redundancy neurosieve-base doc-match")
    assert "It is planned with 0.2 GB" in text and "`only_layers: [1, 4, 6]` under models.neurosieve-base" in text
    assert size is None or f"{size} more could not be had" in text
    assert cli._is_ours(told.value)


def test_E2_other_errors_stay_what_they_are() -> None:
    assert not any(map(memory.out_of_memory, (ValueError("no"), RuntimeError("shape"), FileNotFoundError(2, "none"))))


def test_E2_every_rule_has_keys_that_make_it_smaller() -> None:
    assert set(advice.KEYS) == {function for _, function, _, _ in cli.COMMANDS.values()}
    for job in {job.rule: job for job in estimates.jobs(PARAMS)}.values():
        assert advice.out_of_memory(PARAMS, job, MemoryError()).endswith(advice._smaller(PARAMS, job))


def test_E3_a_plan_too_large_says_which_keys_make_it_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "machine_mb", lambda: 16_000.0)
    params = with_model(hub="a/b", layers=33, width=4096, parameters=7 * 10**9)
    lines = list(advice.notes(params))
    clusters = next(line for line in lines if line.startswith("measure_redundancy"))
    assert "this machine has 16.0 GB" in clusters and "135,168" in clusters
    told = re.search(r"measure (\d+) of its 33 layers, `only_layers: (\[.*?\])` under models.m: ([\d.]+) GB", clusters)
    assert told is not None
    layers = json.loads(told[2])
    assert len(layers) == int(told[1]) and layers[-1] == 32 and float(told[3]) <= 16
    entry = {"hub": "a/b", "layers": 33, "width": 4096, "parameters": 7 * 10**9}
    of_neurons = tuple(f"{rule} " for rule in advice.OF_NEURONS)
    fits = list(advice.notes(with_model(**entry, only_layers=layers)))
    assert not [line for line in fits if line.startswith(of_neurons)]
    more = [n * 32 // len(layers) for n in range(len(layers) + 1)]  # one more, and it would not fit
    assert [line for line in advice.notes(with_model(**entry, only_layers=more)) if line.startswith(of_neurons)]
    pairs = params.model_copy(update={"run": params.run.model_copy(update={"tasks": ["doc-match"]})})
    probes = next(line for line in advice.notes(pairs) if line.startswith("fit_probes"))
    assert "probes.pair_features: 1 instead of 2: 22" in probes
    dump = next(line for line in lines if line.startswith("dump_activations"))
    assert "activations.dtype: bfloat16" in dump
    assert "h of one core; less with: " in lines[-1] and "NEUROSIEVE_DEVICE=cuda" in lines[-1]
    assert not list(advice.notes(PARAMS))


def test_E3_a_run_that_writes_more_than_is_free_says_what_makes_it_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "free_mb", lambda: 10_000.0)
    params = with_model(hub="a/b", layers=33, width=4096, parameters=7 * 10**9)
    (line,) = (line for line in advice.notes(params) if "are free" in line)
    written = sum(need(params, job).disk_mb for job in estimates.jobs(params)) / 1e3
    assert line.startswith(f"{written:,.0f} GB of disk for artifacts, less what is there, and 10 GB are free")
    assert "prepare.tasks.*.rows: half of each" in line and "models.m.only_layers: [" in line
    monkeypatch.setattr(advice, "free_mb", lambda: None)
    assert not [line for line in advice.notes(params) if "are free" in line]


# --- weights that do not belong to the configuration, or are not clear


def rewrite(model: Path, **changes: torch.Tensor | None) -> None:
    """Other tensors in the one file of weights; None takes one out."""
    tensors = {**load_file(model / "model.safetensors"), **changes}
    kept = {key: value for key, value in tensors.items() if value is not None}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})


def state(model: Path, **changes: Any) -> None:
    """Other keys in its configuration."""
    write(model / "config.json", {**json.loads((model / "config.json").read_text()), **changes})


QUERY = "encoder.layer.0.attention.self.query"


@pytest.mark.parametrize("what", ["blocks", "adapter", "bias"])
def test_M2_weights_that_the_configuration_would_leave_out_are_refused(what: str, model: Path, tmp_path: Path) -> None:
    if what == "blocks":
        state(model, num_hidden_layers=1)
    elif what == "adapter":
        rewrite(model, **{f"bert.{QUERY}.lora_A.weight": torch.ones(2, 16)})
    else:
        model = tiny_models.save(tmp_path / "qwen2", "qwen2")
        state(model, model_type="llama")  # which has no biases
    with pytest.raises(
        ActivationsError, match=r"would leave out \d+ tensors of the weights that belong to its modules"
    ):
        load_folder(model, "m", "portable")


def test_M2_heads_and_old_buffers_are_no_part_of_the_model(model: Path, tmp_path: Path) -> None:
    old = {"embeddings.position_ids": torch.arange(64)[None], "classifier.dense.weight": torch.ones(2, 16)}
    rewrite(model, **old)
    assert load_folder(model, "m", "portable").layers == 3
    other = tiny_models.save(tmp_path / "gpt2", "gpt2", head=True)
    rewrite(other, **{"transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4), "score.weight": torch.ones(2, 16)})
    assert load_folder(other, "m", "portable").layers == 3


def test_M2_shapes_that_differ_are_named(model: Path) -> None:
    state(model, vocab_size=999)
    with pytest.raises(ActivationsError, match=r"word_embeddings.weight: found \(320, 16\), it says \(999, 16\)"):
        load_folder(model, "m", "portable")


def test_M4_a_tensor_in_two_files_and_one_in_none_are_refused(model: Path) -> None:
    tensors = shard(model, ["a.safetensors", "b.safetensors"])
    held = load_file(model / "b.safetensors")
    twice = min(load_file(model / "a.safetensors"))
    save_file({**held, twice: tensors[twice] + 1}, model / "b.safetensors", metadata={"format": "pt"})
    (fault,) = folder.faults(with_model(path=str(model)))
    assert f"both a.safetensors and b.safetensors hold {twice}" in fault
    lost = min(held)
    save_file({k: v for k, v in held.items() if k != lost}, model / "b.safetensors", metadata={"format": "pt"})
    (fault,) = folder.faults(with_model(path=str(model)))
    assert f"names 1 tensors that none of its files holds, such as {lost}" in fault


def test_M4_pickled_weights_are_tensors_by_name_each_in_one_file(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    for value, said in (
        ({"state_dict": tensors}, "state_dict is of the type dict"),
        (torch.zeros(2), "without a name"),
    ):
        torch.save(value, model / "pytorch_model.bin")
        with pytest.raises(ActivationsError, match=said):
            load_folder(model, "m", "portable", weights="bin")
    (model / "pytorch_model.bin").unlink()
    for name in ("a.bin", "b.bin"):
        torch.save(tensors, model / name)
    index = dict.fromkeys(tensors, "a.bin") | {min(tensors): "b.bin"}
    write(model / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": index})
    with pytest.raises(ActivationsError, match=r"both a.bin and b.bin hold"):
        load_folder(model, "m", "portable", weights="bin")


@pytest.mark.parametrize("how", ["cut", "longer", "deep", "folder"])
def test_M7_weights_that_are_cut_off_are_told_by_the_plan(how: str, model: Path) -> None:
    path = model / "model.safetensors"
    data = path.read_bytes()
    deep = b'{"a":' + b"[" * 100_000
    new = {"cut": data[:-100], "longer": data + b"x", "deep": len(deep).to_bytes(8, "little") + deep}
    path.unlink()
    if how == "folder":
        path.mkdir()
    else:
        path.write_bytes(new[how])
    assert "model.safetensors: not a safetensors file (" in estimates.plan(with_model(path=str(model)))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.complex64])
def test_M5_weights_that_are_no_real_numbers_are_refused(dtype: torch.dtype, model: Path) -> None:
    rewrite(model, **{f"{QUERY}.weight": torch.ones(16, 16, dtype=dtype)})
    with pytest.raises(ActivationsError, match="its weights are quantised"):
        load_folder(model, "m", "portable")


def test_M5_weights_in_double_precision_are_plain(model: Path) -> None:
    rewrite(model, **{f"{QUERY}.weight": torch.ones(16, 16, dtype=torch.float64)})
    assert load_folder(model, "m", "portable").layers == 3


def test_M2_an_adapter_and_a_folder_around_a_model_are_told(model: Path) -> None:
    write(model / "adapter_config.json", {"peft_type": "LORA"})
    with pytest.raises(ActivationsError, match=r"adapter_config.json makes it an adapter.* merge both"):
        load_folder(model, "m", "portable")
    with pytest.raises(ActivationsError, match=r"no config.json; a model is a folder .*: such as those in model"):
        load_folder(model.parent, "m", "portable")

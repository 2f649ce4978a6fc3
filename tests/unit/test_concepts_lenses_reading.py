"""Lenses `text`, `explain` and `directions`: against hand-computed values, scipy, scikit-learn and planted truth."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import lens_inputs
import numpy as np
import pytest
import scipy.stats
import tiny_models
from pydantic import ValidationError

from neurosieve.activations.models import load_language_model
from neurosieve.artifacts import Writer, read_json, read_manifest
from neurosieve.concepts import lenses
from neurosieve.concepts.lenses import LensInput, directions, explain, text
from neurosieve.concepts.lenses._chat import Chat, ServerError
from neurosieve.config.lenses.explain import Settings
from neurosieve.flow import inputs_of


@dataclasses.dataclass(frozen=True)
class Given(LensInput):
    """A row whose standardised values are given: split -> float32 (rows, all neurons)."""

    values: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def matrix(self, split: str, neurons: np.ndarray) -> np.ndarray:
        return self.values[split][:, np.asarray(neurons)].astype(np.float32)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lens_inputs.build(tmp_path_factory.mktemp("row"))


def given(planted: Any, lens: str, values: dict[str, np.ndarray], load: Any = None, **settings: Any) -> Given:
    params, paths, _ = planted
    data = lens_inputs.row(params, paths, lens, **settings)
    fields = {f.name: getattr(data, f.name) for f in dataclasses.fields(LensInput)}
    return Given(**fields | {"load": load}, values=values)


def noise(seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {split: rng.standard_normal((rows, 48)) for split, rows in (("train", 900), ("tune", 400), ("judge", 900))}


def test_the_rule_writes_what_the_lens_saw(planted):
    params, paths, _ = planted
    params = lens_inputs.with_settings(params, "directions", draws=19)
    of = {"lens": "directions", "model": "planted", "task": lens_inputs.TASK}
    for folder in inputs_of(params, paths, "apply_lens", **of):
        if not (folder / "manifest.json").is_file():  # what other lenses read of a row
            with Writer(folder, "probes", {}):
                pass
    lenses.apply_lens(params, paths, **of)
    folder = paths.lens("directions", "planted", lens_inputs.TASK)
    wanted, contexts = lenses.examine(lens_inputs.row(planted[0], paths, "directions", draws=19))
    assert read_json(folder / "lens.json") == wanted and not contexts
    assert read_manifest(folder)["facts"] == {"chosen": 3, "measured": True}
    assert sorted(p.name for p in folder.iterdir()) == ["lens.json", "manifest.json"]


# --- directions ---


def test_correlations_from_moments_are_those_of_the_rows():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 7)).astype(np.float32), rng.integers(0, 3, 300)
    X[:, 2] += 2 * (y == 1)
    members = (y[:, None] == np.arange(3)).astype(float)
    q = directions.rotation(7, rng)
    np.testing.assert_allclose(q @ q.T, np.eye(7), atol=1e-12)
    moments = directions.Moments.of(X, members)
    wanted = [[np.corrcoef((X @ q)[:, i], members[:, c])[0, 1] for c in range(3)] for i in range(7)]
    np.testing.assert_allclose(moments.correlations(q), wanted, atol=1e-6)
    top, _ = directions.best(moments, moments, np.eye(7), 1)
    assert top[1] == pytest.approx(np.corrcoef(X[:, 2], y == 1)[0, 1], abs=1e-6)


def test_the_learned_direction_is_that_of_least_squares():
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5))
    y = X @ [1.0, -1, 0, 0, 2] + rng.standard_normal(400)
    train, judge = (directions.Moments.of(X[rows], y[rows, None]) for rows in (slice(200), slice(200, 400)))
    spread, axes = np.linalg.eigh(train.second)
    found = directions.train_best(train, judge, axes / np.sqrt(spread))
    predicted = LinearRegression().fit(X[:200], y[:200]).predict(X[200:])
    assert found[0] == pytest.approx(np.corrcoef(predicted, y[200:])[0, 1], abs=1e-9)


def test_neurons_that_carry_a_class_alone_are_privileged_and_not_once_they_are_rotated(planted):
    labels = {split: lens_inputs.row(*planted[:2], "directions").labels(split) for split in ("train", "judge")}
    values = noise()
    for split, y in labels.items():
        for c in range(3):
            values[split][:, [c + 5, c + 20, c + 40]] += 1.5 * (y == c)[:, None]
    found, _ = lenses.examine(given(planted, "directions", values))
    assert found["headline"]["p"] == pytest.approx(1 / 21)
    mean = found["found"]["mean"]
    assert mean["learned"] > 0.9 * mean["neurons"] > 0.9 * mean["rotated"]
    q = directions.rotation(16, np.random.default_rng(8))
    turned = {s: np.concatenate([v[:, i : i + 16] @ q for i in (0, 16, 32)], axis=1) for s, v in values.items()}
    assert lenses.examine(given(planted, "directions", turned))[0]["headline"]["p"] > 0.05


# --- text ---


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("models")
    names = ("modernbert", "llama")
    return {n: load_language_model(tiny_models.save(root / n, n, head=True), n, "portable") for n in names}


def test_scores_are_components_of_embeddings_behind_the_final_norm():
    matrix, scale = np.array([[1.0, 2, 3], [4, 5, 6]], np.float32), np.array([1.0, 10, 100])
    neurons = np.array([1, 7])  # units 1 of layer 0 and of the last layer, 2
    plain = text.Space(matrix).scores(neurons, 3, 3)
    np.testing.assert_array_equal(plain, [[2, 2], [5, 5]])
    scaled = text.Space(matrix, scale).scores(neurons, 3, 3)
    np.testing.assert_array_equal(scaled, [[20, 2], [50, 5]])
    centred = text.Space(matrix, scale, True).scores(neurons, 3, 3)
    # 20 - (1 + 20 + 300) / 3 and 50 - (4 + 50 + 600) / 3
    np.testing.assert_allclose(centred, [[-87, 2], [-168, 5]])


def test_the_head_is_a_space_of_its_own_where_the_last_state_goes_straight_into_it(planted, heads):
    loaded, spaces = text.open_spaces(given(planted, "text", {}, load=lambda: heads["llama"]))
    assert list(spaces) == ["input", "output"] and not spaces["output"].centred
    np.testing.assert_allclose(spaces["output"].scale, loaded.model.model.norm.weight.detach().numpy(), rtol=1e-4)
    assert list(text.open_spaces(given(planted, "text", {}, load=lambda: heads["modernbert"]))[1]) == ["input"]


@pytest.mark.parametrize("width", [16, 15])
@pytest.mark.parametrize("name", ["gpt2", "gemma", "opt"])
def test_the_scale_is_that_of_the_norm_behind_the_last_block_whatever_its_weight_counts_from(name, width):
    import torch
    import transformers

    sizes = {"vocab_size": 50, "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 1}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = {
        "gpt2": lambda: transformers.GPT2Config(vocab_size=50, n_embd=width, n_layer=2, n_head=1, **tokens),
        "gemma": lambda: transformers.GemmaConfig(**sizes, intermediate_size=32, num_key_value_heads=1, head_dim=8),
        "opt": lambda: transformers.OPTConfig(
            **sizes, ffn_dim=32, word_embed_proj_dim=width, max_position_embeddings=32
        ),
    }[name]()
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    norm = {"gpt2": lambda t: t.ln_f, "gemma": lambda t: t.norm, "opt": lambda t: t.decoder.final_layer_norm}[name](
        model.base_model
    )
    ids = torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        norm.weight.copy_(torch.linspace(-1, 2, width))
        if name != "gemma":
            norm.bias.copy_(torch.linspace(1, 3, width))
        last = model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
    scale, centred = text.final_norm(model, ids, last)
    wanted = np.linspace(-1, 2, width) + (name == "gemma")  # Gemma's root mean square norm has 1 + weight
    np.testing.assert_allclose(scale, wanted, rtol=1e-4, atol=1e-5)
    assert centred == (name != "gemma")
    assert text.final_norm(model, ids, last + 1) == (None, False)


def test_agreement_is_spearmans_and_seen_where_neurons_are_components_of_embeddings(planted, heads):
    values, (loaded, _) = noise(), heads["llama"]
    matrix = loaded.model.get_input_embeddings().weight.detach().numpy()
    data = given(planted, "text", values, load=lambda: heads["llama"], min_count=1)
    codes, names = data.types("judge")
    words = text.sub_words(loaded, names)
    of_type = np.stack([np.mean([matrix[ids].mean(axis=0) for ids in ways], axis=0) for ways in words])
    for neuron in data.chosen:
        values["judge"][:, neuron] += 20 * of_type[codes, neuron % 16]
    found, _ = lenses.examine(data)
    space = found["found"]["spaces"]["input"]
    assert space["agreement"] > 0.9 and space["permuted"]["p"] < 0.01 and space["random"]["p"] < 0.05
    assert space["overlap"] > 3 * space["overlap_permuted"]
    kept, frequent, _ = text.frequent_types(data)
    first = found["found"]["neurons"][0]
    mean = [values["judge"][kept == t, first["neuron"]].astype(np.float32).mean() for t in range(len(frequent))]
    wanted = scipy.stats.spearmanr(mean, of_type[[names.index(n) for n in frequent], first["unit"]])[0]
    assert first["input"]["agreement"] == pytest.approx(wanted, abs=1e-4)
    best = loaded.coding.tokenizer.decode([int(matrix[:, first["unit"]].argmax())])
    assert first["input"]["highest"][0] == best or not best.strip() or "\ufffd" in best


def test_types_trade_places_within_their_stratum_alone():
    strata = np.array([1, 2, 1, 2, 2, 3])
    orders = [text.permuted_within(strata, np.random.default_rng(i)) for i in range(40)]
    for order in orders:
        assert sorted(order) == list(range(6)) and (strata[order] == strata).all()
    assert len({tuple(order) for order in orders}) == 12  # 2! * 3! * 1!


def test_overlap_is_the_share_of_the_top_in_both():
    a, b = np.array([[5.0], [4], [3], [2]]), np.array([[0.0], [9], [8], [7]])
    assert text.overlaps(a, b, 2) == [0.5]
    assert text.overlaps(a, a, 9) == [1.0]


# --- explain: rules ---


def test_where_a_token_stands():
    source = "def f(a):\n    return  x.size + 1\n"
    at = source.index("size")
    assert explain.place(source, at, at + 4) == {
        "start": at, "line": 1, "column": at - 10, "before": ".", "after": "+", "word": "",
    }  # fmt: skip
    at = source.index("x.")
    assert (explain.place(source, at, at + 1)["before"], explain.place(source, at, at + 1)["word"]) == ("n", "return")
    assert explain.place(source, 0, 3) == {"start": 0, "line": 0, "column": 0, "before": "\n", "after": "f", "word": ""}


def test_a_rule_about_the_text_is_found_and_predicts(planted):
    """Neurons that are high on names of less than four characters (t0 to t99), which no unseen type is."""
    values = noise()
    data = given(planted, "explain", values, active=0.25)
    for split in ("train", "judge"):
        codes, names = data.types(split)
        short = np.array([len(n) < 4 for n in names])[codes]
        values[split][:, data.chosen] = 0.1 * values[split][:, data.chosen] + (3 * short - 1)[:, None]
    found, _ = lenses.examine(data)
    assert found["headline"]["p"] == pytest.approx(1 / 21) and found["reproducible"]
    told = found["found"]
    assert told["scores"]["surface"] > 0.98 and abs(told["scores"]["around"]) < 0.1 and abs(told["unseen"]) < 0.2
    assert abs(told["random_neurons"]["mean"]) < 0.1
    entry = told["neurons"][0]
    assert any("its length: at most 3.5" in rule["if"] for rule in entry["rules"] if rule["mean_z"] > 0)
    assert abs(entry["borrowed"]) < 0.3 and entry["active"]["chance"] < 0.3 < 0.7 < entry["active"]["precision"]


def test_a_class_is_a_rule_and_a_list_of_types_does_not_reach_unseen_ones(planted):
    values = noise()
    data = given(planted, "explain", values)
    for split in ("train", "judge"):
        values[split][:, data.chosen] += 3 * (data.labels(split) == 1)[:, None]
    found = lenses.examine(data)[0]["found"]
    scores = found["scores"]
    assert scores["class"] > 0.7 and abs(scores["types"]) < 0.2 and scores["all"] > 0.7 and found["unseen"] > 0.7


def test_correlation_is_pearsons_and_0_of_a_constant():
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 50))
    assert explain.correlation(a, b) == pytest.approx(scipy.stats.pearsonr(a, b)[0])
    assert explain.correlation(a, np.ones(50)) == 0.0


def test_random_neurons_stand_in_the_layer_of_the_one_they_replace(planted):
    data = given(planted, "explain", noise())
    neurons = np.array([40, 3, 20, 41])
    found = explain.aligned(data, neurons, 19)
    assert (found // 16 == neurons // 16).all() and not np.isin(found, neurons).any()


# --- explain: a language model ---


class StandIn(BaseHTTPRequestHandler):
    """Speaks the protocol. It finds out whether strong tokens are long names (of four characters), and goes by that."""

    asked: list[dict[str, Any]]
    keys: list[str | None]
    fault: str | None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        server.asked.append(body)
        server.keys.append(self.headers.get("Authorization"))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, str) and fault.startswith("raw "):
            self.wfile.write(fault[4:].encode())
            self.close_connection = True
            return
        if fault == "slow":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(15):  # a byte now and then: no single one of them is late
                    self.wfile.write(b" ")
                    threading.Event().wait(0.1)
            return
        if fault == "echo":
            self.send_response(401)
            self.end_headers()
            self.wfile.write(f"Incorrect key: {self.headers.get('Authorization')}".encode())
            return
        if isinstance(fault, int):
            self.send_response(fault)
            if 300 <= fault < 400:
                self.send_header("Location", server.elsewhere)
            self.end_headers()
            self.wfile.write(b"no such model")
            return
        user = body["messages"][1]["content"]
        tokens = re.findall(r"«([^»]*)»", user)
        if user.startswith("Description:"):
            long = "long" in user.splitlines()[0]
            answer = "Sure: " + json.dumps([10 if (len(t) == 4) == long else 0 for t in tokens])
            if fault == "short list":
                answer = "[1, 2]"
        elif fault == "quotes":
            answer = "It is high on " + max(re.findall(r"(?m)^\d+: (.*)$", user), key=len).translate({171: "", 187: ""})
        else:
            levels = [int(v) for v in re.findall(r"^(\d+): ", user, re.MULTILINE)]
            strong = [len(t) == 4 for t, v in zip(tokens, levels, strict=True) if v > 5]
            answer = "long names" if 2 * sum(strong) > len(strong) else "short names"
        reply = {"choices": [{"message": {"content": answer}}], "model": "stand-in-1"}
        data = b"<html>" if fault == "no json" else json.dumps({} if fault == "empty" else reply).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:  # where a redirect would end
        server: Any = self.server
        server.keys.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("neurosieve.concepts.lenses._chat.time.sleep", lambda seconds: None)
    found = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    found.asked, found.keys, found.faults = [], [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def address(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def long_and_short(planted: Any, server: Any) -> Given:
    """The first chosen neuron is high on long names, the others are on short ones (high meaning far from the mean)."""
    values = noise()
    settings = {"address": address(server), "model": "m", "asked": 3, "neurons": 3, "draws": 19}
    data = given(planted, "explain", values, **settings)
    for split in ("train", "judge"):
        codes, names = data.types(split)
        long = np.array([len(n) == 4 for n in names])[codes]
        for i, neuron in enumerate(data.chosen):
            values[split][:, neuron] = 0.2 * values[split][:, neuron] + 3 * (long if i == 0 else ~long)
    return data


def test_a_language_model_describes_neurons_and_is_scored_by_what_it_predicts(planted, server):
    data = long_and_short(planted, server)
    found, contexts = lenses.examine(data)
    told = found["found"]["language_model"]
    assert not found["reproducible"] and told["model"] == "m" and told["served"] == ["stand-in-1"]
    assert [n["description"] for n in told["neurons"]] == ["long names", "short names", "short names"]
    assert all(n["correlation"] > 0.8 for n in told["neurons"]) and told["unreadable"] == 0
    assert told["requests"] == len(server.asked) == 6 and told["mean"] > told["exchanged"]["mean"] + 0.3
    assert {request["temperature"] for request in server.asked} == {0} and server.keys == [None] * 6
    assert contexts and not any("«" in json.dumps(part) for part in (found,))  # lines of code in contexts alone


def test_a_description_that_quotes_code_is_not_in_the_report(planted, server):
    data = long_and_short(planted, server)
    # lines of the planted texts are short: x = t7
    data = dataclasses.replace(data, settings=data.settings.model_copy(update={"context": 40}))
    data.__dict__["texts"] = lambda split: ["x = t7 and something_else_that_follows"] * 2000
    server.faults = ["quotes"]
    found, contexts = lenses.examine(data)
    told = found["found"]["language_model"]["neurons"]
    assert [n["description"] is None for n in told] == [True, False, False]
    assert "something" not in json.dumps(found) and told[0]["correlation"] is not None
    assert any("something_else" in line.get("description", "") for line in contexts)
    code = "if result_of_query is None:\n    return self.default"
    assert explain.quotes("neurons fire in `if result_of_query is\nNone:`", [code])
    assert not explain.quotes("high on a test of None before a return", [code])


def test_an_answer_without_the_list_is_counted(planted, server):
    server.faults = [None, "short list"]
    told = lenses.examine(long_and_short(planted, server))[0]["found"]["language_model"]
    assert told["unreadable"] == 1 and told["neurons"][0]["correlation"] is None and told["mean"] is not None


def test_the_key_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    chat = Chat(address(server), "m", "SOME_KEY", 5, 1)
    assert chat.ask("s", "9: «abcd»", 10) == "long names" and server.keys == ["Bearer secret"]
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(ServerError, match="no environment variable SOME_KEY; set it"):
        Chat(address(server), "m", "SOME_KEY", 5, 1)


def test_the_key_is_in_no_message_and_goes_to_no_other_address(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret\n")  # as `$(cat file)` does not leave it, but an env file does
    server.elsewhere = address(server).replace("127.0.0.1", "localhost") + "/elsewhere"
    chat = Chat(address(server), "m", "SOME_KEY", 5, 1)
    assert chat.ask("s", "9: «abcd»", 10) == "long names" and server.keys == ["Bearer secret"]
    server.faults = ["echo"]
    with pytest.raises(ServerError, match="found status 401: Incorrect key: Bearer") as told:
        chat.ask("s", "u", 10)
    assert "secret" not in str(told.value)
    server.faults, server.keys = [302], []
    with pytest.raises(ServerError, match="status 302"):
        chat.ask("s", "u", 10)
    assert server.keys == ["Bearer secret"]  # the first address alone
    for odd in ("se\ncret", "secrét"):
        monkeypatch.setenv("SOME_KEY", odd)
        with pytest.raises(ServerError, match="SOME_KEY holds") as told:
            Chat(address(server), "m", "SOME_KEY", 5, 1).ask("s", "u", 10)
        assert "cr" not in str(told.value).replace("character", "")


def test_an_answer_that_never_ends_or_is_no_http_is_told(server):
    chat = Chat(address(server), "m", None, 0.5, 1)
    server.faults = ["slow"]
    with pytest.raises(ServerError, match=r"no whole answer in 0\.5 s \(1 tries\)"):
        chat.ask("s", "u", 10)
    for raw in ("raw nonsense\r\n\r\n", "raw HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"):
        server.faults = [raw]
        with pytest.raises(ServerError, match=r"\(1 tries\); start it, mend address"):
            chat.ask("s", "u", 10)


def test_what_a_server_does_wrong_is_told(server):
    chat = Chat(address(server), "m", None, 5, 2)
    server.faults = [500, None]
    assert chat.ask("s", "9: «abcd»", 10) == "long names"  # the second try
    server.faults = [404]
    with pytest.raises(ServerError, match=r"found status 404: no such model; mend address, model or key"):
        chat.ask("s", "u", 10)
    server.faults = ["no json", "no json"]
    with pytest.raises(ServerError, match=r"\(2 tries\); start it, mend address"):
        chat.ask("s", "u", 10)
    server.faults = ["empty"]
    with pytest.raises(ServerError, match="must speak the OpenAI protocol"):
        chat.ask("s", "u", 10)
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1/chat/completions: found .*\(1 tries\)"):
        Chat("http://127.0.0.1:1", "m", None, 5, 1).ask("s", "u", 10)


@pytest.mark.parametrize(
    "bad",
    [
        {"address": "http://x"},
        {"model": "m"},
        {"address": "ftp://x", "model": "m"},
        {"key_variable": "sk-123"},
        {"address": "https://user:secret@x/v1", "model": "m"},
        {"address": "https://x/v1?key=secret", "model": "m"},
    ],
)
def test_settings_that_cannot_be(bad):
    with pytest.raises(ValidationError):
        Settings(**bad)


def test_lists_are_read_out_of_answers():
    assert explain.read_list("like [1, 20, -3]!", 3).tolist() == [1, 10, 0]
    assert explain.read_list("[1, 2]", 3) is None
    assert explain.read_list('["a", 1, 2]', 3) is None
    assert explain.read_list("nothing", 3) is None


def test_rows_that_are_shown_are_the_strongest_of_different_types_and_random_ones():
    level = np.arange(100.0)
    types = np.repeat(np.arange(50), 2)  # rows 98 and 99 are of one type
    rows = explain.example_rows(level, types, 10, np.random.default_rng(0))
    assert {99, 97, 95, 93, 91} <= set(rows.tolist()) and len(set(rows.tolist())) == 10
    levels = np.stack([level, -level], axis=1)
    rows = explain.judged_rows(levels, 12, np.random.default_rng(0))
    assert {99, 98, 97, 0, 1, 2} <= set(rows.tolist()) and len(set(rows.tolist())) == 12


def test_lines_are_marked_and_cut(tmp_path: Path):
    lines = explain.Lines([{"input": 0, "start": 4, "end": 5, "type": "y"}], ["abc\ny = 12345"], 3)
    assert lines.marked(0) == "bc ⏎ «y» = "

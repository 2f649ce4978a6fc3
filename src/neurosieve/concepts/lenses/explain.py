"""What a neuron reacts to, in words, scored by how well the words predict its activations.

Question: can a short description made on train say on which judge tokens a neuron is high or low?

Null: descriptions of random neurons of the same layers, made in the same way, put in the place of the neuron's own; for
the language model descriptions exchanged among the neurons.

Source: Bills et al., "Language models can explain neurons in language models" (2023): explain, simulate, score by
correlation; Foote et al., "Neuron to Graph" (2023), and Mu and Andreas, "Compositional Explanations of Neurons"
(NeurIPS 2020): descriptions by rules instead. Trees: Breiman et al. 1984, through scikit-learn.

By rule: a shallow regression tree on properties of the token that anyone can read off the source: its text ("surface"),
what stands beside it ("around"), where it stands ("position"), its class ("class"), and whether it is one of a few
types ("types"); and a tree on all of them. A leaf is a rule. The score is the correlation, over judge rows, of what the
tree says with the neuron's z.

By a language model, where ``address`` and ``model`` name one: it is shown train tokens in their line, half of them the
strongest, describes the neuron, and then says from its description alone how strongly the neuron reacts to judge tokens
(0 to 10). Half of these are drawn at random, half are strong ones of the asked neurons. Only the side is described on
which the neuron is farther from its mean. Its answers may change with the server: such a report is marked as not
reproducible. A description that repeats QUOTED characters of a line that it was shown stands in contexts.jsonl alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.concepts.lenses import Headline, LensInput, LensReport, Nothing
from neurosieve.concepts.lenses._chat import Chat

UNITS = ("token",)
NUMBERS = True

MIN_TRAIN = 50
SHOWN_RULES = 3
MARKS = ".,:;()[]{}=@+-*/%<>!|&^~#\"'"
QUOTED = 24  # characters, blanks apart, of shown code that make a description a quotation
AROUND_WORDS = 20  # most frequent words before a token, each a property


def look(data: LensInput) -> LensReport:
    """found: {"scores": {"types", "surface", "around", "position", "class", "all": mean judge correlation}, "unseen":
    that of "all" on types unseen in train, "random_neurons": {mean, low, high} of random neurons with descriptions of
    their own, "neurons": [{name, neuron, layer, unit, scores, unseen, borrowed, rules: [{if, mean_z, train_rows,
    judge_mean_z, judge_rows}], types, active: {threshold, side, precision, recall, chance}}], "language_model": None or
    {model, served, requests, neurons: [{name, side, description (null: it quotes code), correlation}], mean,
    exchanged: {...}, p, tokens, unreadable}}.

    borrowed : mean correlation with the descriptions of random neurons in the place of its own. active : of judge rows
    on the side where the neuron is farther from its mean, how many of the strongest rule are active and the reverse.
    """
    settings = data.settings
    neurons = data.described[: settings.neurons]
    train = Table.of(data, "train", None)
    if len(train.values) < MIN_TRAIN:
        raise Nothing(f"{len(train.values)} train rows; {MIN_TRAIN} are needed")
    judge = Table.of(data, "judge", train)
    z = {split: data.matrix(split, neurons).astype(np.float64) for split in ("train", "judge")}
    seen = data.seen("judge")
    random = aligned(data, neurons, settings.draws)  # (draws, neurons), of the neuron's layer
    entries = []
    for i, neuron in enumerate(neurons.tolist()):
        own = z["train"][:, i], z["judge"][:, i]
        words = strongest_types(own[0], train, settings.types, settings.min_count)
        scores = {}
        for kind in (*train.kinds, "types", "all"):
            tree = Tree.grown(train, own[0], kind, words, settings)
            predicted = tree.predict(judge)
            scores[kind] = correlation(predicted, own[1])
        # the last tree is the one on all
        entries.append(
            {
                "name": f"{data.model}/{neuron // data.width}/{neuron % data.width}",
                "neuron": neuron,
                "layer": neuron // data.width,
                "unit": neuron % data.width,
                "scores": scores,
                "unseen": correlation(predicted[~seen], own[1][~seen]) if seen is not None and (~seen).any() else None,
                "rules": tree.rules(train, judge, *own),
                "types": words,
                "active": activity(tree, judge, *own, settings.active),
            }
        )
    borrowed = np.empty(random.shape)
    of_random = np.empty(random.shape)
    for draw, others in enumerate(random):
        values = {split: data.matrix(split, others).astype(np.float64) for split in ("train", "judge")}
        for i in range(len(neurons)):
            words = strongest_types(values["train"][:, i], train, settings.types, settings.min_count)
            predicted = Tree.grown(train, values["train"][:, i], "all", words, settings).predict(judge)
            borrowed[draw, i] = correlation(predicted, z["judge"][:, i])
            of_random[draw, i] = correlation(predicted, values["judge"][:, i])
    for i, entry in enumerate(entries):
        entry["borrowed"] = float(borrowed[:, i].mean())
    by_draw = of_random.mean(axis=1)
    unseen = [entry["unseen"] for entry in entries if entry["unseen"] is not None]
    found: dict[str, Any] = {
        "described": len(neurons),
        "scores": {kind: float(np.mean([e["scores"][kind] for e in entries])) for kind in entries[0]["scores"]},
        "unseen": float(np.mean(unseen)) if unseen else None,
        "random_neurons": {"mean": float(by_draw.mean()), "low": float(by_draw.min()), "high": float(by_draw.max())},
        "neurons": entries,
        "language_model": None,
    }
    contexts: list[dict[str, Any]] = []
    if settings.address is not None:
        found["language_model"], contexts = by_language_model(data, neurons[: settings.asked])
    line = Headline("mean judge correlation of rules on all properties", found["scores"]["all"], borrowed.mean(axis=1))
    return LensReport(line, found, contexts, reproducible=settings.address is None)


def aligned(data: LensInput, neurons: np.ndarray, draws: int) -> np.ndarray:
    """(draws, neurons) random neurons, the one at each place of the layer of the neuron there."""
    found = np.empty((draws, len(neurons)), np.int64)
    order = np.argsort(neurons // data.width, kind="stable")
    found[:, order] = data.random_sets(neurons, draws)  # each draw ascending, so by layer
    return found


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum() / length) if length > 1e-12 else 0.0


@dataclass(frozen=True)
class Table:
    """Properties of the tokens of a split. values : float32 (rows, properties); names : of the properties, each a
    phrase; kinds : kind -> its columns; codes : (rows,) of the token's type among the sorted ``types``; words : of the
    kind "around"."""

    values: np.ndarray
    names: list[str]
    kinds: dict[str, list[int]]
    codes: np.ndarray
    types: list[str]
    words: list[str]

    @classmethod
    def of(cls, data: LensInput, split: str, like: Table | None) -> Table:
        """Of a split; ``like`` the table of train, whose words before a token are asked for."""
        rows, texts = data.rows(split), data.texts(split)
        places = [place(texts[row["input"]], row["start"], row["end"]) for row in rows]
        codes, types = data.types(split)
        columns: list[tuple[str, str, np.ndarray]] = []

        def add(kind: str, name: str, values: Any) -> None:
            columns.append((kind, name, np.asarray(values, np.float32)))

        for phrase, test in SURFACE.items():
            add("surface", phrase, np.array([test(name) for name in types], np.float32)[codes])
        before = np.array([p["word"] for p in places])
        if like is None:
            names, counts = np.unique(before[before != ""], return_counts=True)
            words = names[np.argsort(-counts, kind="stable")[:AROUND_WORDS]].tolist()
        else:
            words = like.words
        for side in ("before", "after"):
            marks = np.array([p[side] for p in places])
            for mark in MARKS:
                add("around", f"{mark} stands {side} it", marks == mark)
            add("around", f"a line {'begins' if side == 'before' else 'ends'} with it", marks == "\n")
        for word in words:
            add("around", f"the word {word} stands before it", before == word)
        for key, name in POSITION.items():
            add("position", name, [p[key] for p in places])
        if not data.features.number:
            labels = data.labels(split)
            for label, name in enumerate(data.classes):
                add("class", f"its class is {name}", labels == label)
        kinds: dict[str, list[int]] = {}
        for i, (kind, _, _) in enumerate(columns):
            kinds.setdefault(kind, []).append(i)
        return cls(np.stack([v for _, _, v in columns], axis=1), [n for _, n, _ in columns], kinds, codes, types, words)

    def with_types(self, kind: str, words: list[str]) -> tuple[np.ndarray, list[str]]:
        """Properties of a kind, or "types" (whether it is each of the words), or "all", and their names."""
        own = self.kinds.get(kind, list(range(len(self.names))) if kind == "all" else [])
        values, names = [self.values[:, own]], [self.names[i] for i in own]
        if kind in ("types", "all"):
            place_of = {name: i for i, name in enumerate(self.types)}
            wanted = np.array([place_of.get(word, -1) for word in words], np.int64)
            values.append((self.codes[:, None] == wanted).astype(np.float32))
            names += [f"it is {word}" for word in words]
        return np.concatenate(values, axis=1), names


# Phrase -> what it says of a type's text; yes or no, but for the length.
SURFACE: dict[str, Any] = {
    "its length": len,
    "it begins with _": lambda t: t.startswith("_"),
    "it begins with __": lambda t: t.startswith("__"),
    "it has _ inside": lambda t: "_" in t.strip("_"),
    "it is in capitals": lambda t: t.isupper(),
    "it is capitalised": lambda t: t[:1].isupper() and not t.isupper(),
    "it is in small letters": lambda t: t.islower(),
    "it has a digit": lambda t: any(c.isdigit() for c in t),
    "it begins with a digit": lambda t: t[:1].isdigit(),
    "it is no word": lambda t: not any(c.isalnum() or c == "_" for c in t),
    "it is a quoted text": lambda t: t[-1:] in ("'", '"'),
}

POSITION = {"start": "characters before it", "line": "lines before it", "column": "characters before it in its line"}


def place(text: str, start: int, end: int) -> dict[str, Any]:
    """Where text[start:end] stands: start, line, column; the character before and after it that is no blank ("\\n"
    where a line ends first), and the word before it in its line ("" where there is none)."""
    first = text.rfind("\n", 0, start) + 1
    before, after = text[first:start].rstrip(" \t"), text[end:].lstrip(" \t")
    word = re.search(r"\w+$", before)
    return {
        "start": start,
        "line": text.count("\n", 0, start),
        "column": start - first,
        "before": before[-1:] or "\n",
        "after": after[:1] or "\n",
        "word": word[0] if word else "",
    }


def strongest_types(z: np.ndarray, train: Table, count: int, min_count: int) -> list[str]:
    """Types with the largest |mean z| of those with ``min_count`` rows, ties by the text."""
    rows = np.bincount(train.codes)
    mean = np.round(np.abs(np.bincount(train.codes, z) / rows), 9)
    kept = np.flatnonzero(rows >= min_count)
    return [train.types[i] for i in kept[np.argsort(-mean[kept], kind="stable")][:count]]


@dataclass(frozen=True)
class Tree:
    """A regression tree, what it asks, and the types that it may name."""

    fitted: Any
    kind: str
    names: list[str]
    words: list[str]

    @classmethod
    def grown(cls, train: Table, z: np.ndarray, kind: str, words: list[str], settings: Any) -> Tree:
        from sklearn.tree import DecisionTreeRegressor

        X, names = train.with_types(kind, words)
        if not X.shape[1]:
            X, names = np.zeros((len(z), 1), np.float32), ["nothing"]
        leaf = min(settings.leaf, max(len(z) // 4, 1))
        tree = DecisionTreeRegressor(max_depth=settings.depth, min_samples_leaf=leaf, random_state=0)
        return cls(tree.fit(X, z), kind, names, words)

    def inputs(self, table: Table) -> np.ndarray:
        X, _ = table.with_types(self.kind, self.words)
        return X if X.shape[1] else np.zeros((len(table.codes), 1), np.float32)

    def predict(self, table: Table) -> np.ndarray:
        return np.asarray(self.fitted.predict(self.inputs(table)))

    def leaves(self) -> list[tuple[int, list[str]]]:
        """Each leaf, and what must hold there."""
        tree = self.fitted.tree_
        found: list[tuple[int, list[str]]] = []

        def walk(node: int, so_far: list[str]) -> None:
            if tree.children_left[node] < 0:
                found.append((node, so_far))
                return
            name, threshold = self.names[tree.feature[node]], float(tree.threshold[node])
            counted = name == "its length" or name in POSITION.values()
            no, yes = (f"{name}: at most {threshold:g}", f"{name}: above {threshold:g}") if counted else ("", name)
            walk(tree.children_left[node], [*so_far, no or f"not: {name}"])
            walk(tree.children_right[node], [*so_far, yes])

        walk(0, [])
        return found

    def rules(self, train: Table, judge: Table, z_train: np.ndarray, z_judge: np.ndarray) -> list[dict[str, Any]]:
        """The leaves on which the neuron is farthest from its mean, those first."""
        at_train, at_judge = (self.fitted.apply(self.inputs(table)) for table in (train, judge))
        found: list[dict[str, Any]] = []
        for leaf, conditions in self.leaves():
            of_judge = z_judge[at_judge == leaf]
            found.append(
                {
                    "if": conditions,
                    "mean_z": float(z_train[at_train == leaf].mean()),
                    "train_rows": int((at_train == leaf).sum()),
                    "judge_mean_z": float(of_judge.mean()) if len(of_judge) else None,
                    "judge_rows": len(of_judge),
                }
            )
        return sorted(found, key=lambda rule: -abs(round(rule["mean_z"], 9)))[:SHOWN_RULES]


def side_of(z: np.ndarray, share: float) -> int:
    """1 or -1: on which side of its mean the neuron's strongest rows lie farther."""
    low, high = np.quantile(z, [share, 1 - share])
    return 1 if high >= -low else -1


def activity(tree: Tree, judge: Table, z_train: np.ndarray, z_judge: np.ndarray, share: float) -> dict[str, Any]:
    """The rule that says most, against a threshold on the neuron that ``share`` of the train rows pass."""
    side = side_of(z_train, share)
    threshold = float(np.quantile(side * z_train, 1 - share))
    active = side * z_judge > threshold
    predicted = side * tree.predict(judge)
    rule = predicted >= side_maximum(tree, side) - 1e-12
    both = int((rule & active).sum())
    return {
        "side": side,
        "threshold": threshold,
        "precision": both / int(rule.sum()) if rule.any() else None,
        "recall": both / int(active.sum()) if active.any() else None,
        "chance": float(active.mean()),
    }


def side_maximum(tree: Tree, side: int) -> float:
    """What the tree says at its strongest leaf on a side."""
    at = [leaf for leaf, _ in tree.leaves()]
    return float((side * tree.fitted.tree_.value[at, 0, 0]).max())


EXPLAIN = (
    "A neuron of a language model of source code has an activation for each token. You are shown tokens, marked "
    "«so» in their line, and the neuron's activation there from 0 to 10. Say in one short sentence, without examples, "
    "what the tokens with high activations have in common that the others have not."
)
SIMULATE = (
    "A neuron of a language model of source code has an activation from 0 to 10 for each token. From a description of "
    "the neuron alone, predict its activation for each token below, marked «so» in its line. Answer with nothing but "
    "a JSON list of whole numbers, one for each token, in their order."
)


def by_language_model(data: LensInput, neurons: np.ndarray) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """ "language_model" of the report, and for contexts.jsonl the tokens that were shown."""
    settings = data.settings
    if len(neurons) < 2:
        raise Nothing("one neuron alone: descriptions cannot be exchanged")
    chat = Chat(settings.address, settings.model, settings.key_variable, settings.timeout, settings.tries)
    z = {split: data.matrix(split, neurons).astype(np.float64) for split in ("train", "judge")}
    sides = np.array([side_of(z["train"][:, i], settings.active) for i in range(len(neurons))])
    tops = np.array([max(float((s * z["train"][:, i]).max()), 1e-9) for i, s in enumerate(sides)])
    levels = {split: np.clip(values * sides / tops * 10, 0, 10) for split, values in z.items()}
    rng = data.rng("language model")
    lines = {split: Lines.of(data, split) for split in ("train", "judge")}
    at_judge = judged_rows(levels["judge"], settings.tokens, rng)
    simulated: list[np.ndarray | None] = []
    descriptions, contexts = [], []
    for i, neuron in enumerate(neurons.tolist()):
        shown = example_rows(levels["train"][:, i], lines["train"].types, settings.examples, rng)
        told = [f"{levels['train'][row, i]:.0f}: {lines['train'].marked(row)}" for row in shown]
        description = " ".join(chat.ask(EXPLAIN, "\n".join(told), 200).split())[:500]
        quoting = quotes(description, [lines["train"].shown(row) for row in shown])
        descriptions.append(None if quoting else description)
        contexts.append({"neuron": neuron, "description": description})
        contexts += [
            {"neuron": neuron, "split": "train", "row": int(row), "shown": line}
            for row, line in zip(shown, told, strict=True)
        ]
        numbered = "\n".join(f"{k + 1}: {lines['judge'].marked(row)}" for k, row in enumerate(at_judge.tolist()))
        answer = chat.ask(SIMULATE, f"Description: {description}\n\n{numbered}", 20 * len(at_judge) + 200)
        simulated.append(read_list(answer, len(at_judge)))
    given = {i: values for i, values in enumerate(simulated) if values is not None}
    readable = list(given)
    result: dict[str, Any] = {
        "model": settings.model,
        "served": sorted(chat.served),
        "requests": chat.requests,
        "tokens": len(at_judge),
        "unreadable": len(neurons) - len(readable),
        "neurons": [],
        "mean": None,
        "exchanged": None,
        "p": None,
    }
    table = np.array([[correlation(given[i], levels["judge"][at_judge, j]) for j in readable] for i in readable])
    for i, neuron in enumerate(neurons.tolist()):
        result["neurons"].append(
            {
                "name": f"{data.model}/{neuron // data.width}/{neuron % data.width}",
                "side": int(sides[i]),
                "description": descriptions[i],
                "correlation": float(table[readable.index(i), readable.index(i)]) if i in readable else None,
            }
        )
    if len(readable) >= 2:
        value = float(np.diagonal(table).mean())
        orders = [rng.permutation(len(readable)) for _ in range(200)]
        null = np.array([table[order, np.arange(len(readable))].mean() for order in orders])
        plain = Headline("correlation of simulated activations", value, null).plain()
        result |= {"mean": value, "exchanged": plain["null"], "p": plain["p"]}
    return result, contexts


@dataclass(frozen=True)
class Lines:
    """Tokens of a split in their text."""

    rows: list[dict[str, Any]]
    texts: list[str]
    context: int

    @classmethod
    def of(cls, data: LensInput, split: str) -> Lines:
        return cls(data.rows(split), data.texts(split), data.settings.context)

    @property
    def types(self) -> np.ndarray:
        return np.array([row["type"] for row in self.rows])

    def parts(self, row: int) -> tuple[str, str, str]:
        """What stands before the token in at most ``context`` characters, the token, and what stands behind it."""
        entry = self.rows[row]
        text, start, end = self.texts[entry["input"]], entry["start"], entry["end"]
        return text[max(start - self.context, 0) : start], text[start:end], text[end : end + self.context]

    def shown(self, row: int) -> str:
        """The code of :meth:`marked`, without its marks."""
        return "".join(self.parts(row))

    def marked(self, row: int) -> str:
        """The token between « and », with what stands beside it in at most ``context`` characters, on one line."""
        before, token, after = self.parts(row)
        return f"{before}«{token}»{after}".replace("\n", " ⏎ ")


def quotes(description: str, lines: list[str]) -> bool:
    """Whether QUOTED characters of a description, blanks apart, stand in one of the lines of code that it was shown."""
    said, code = "".join(description.split()), ["".join(line.split()) for line in lines]
    return any(said[i : i + QUOTED] in line for i in range(len(said) - QUOTED + 1) for line in code)


def example_rows(level: np.ndarray, types: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows to describe a neuron by: half of them the strongest, each type once, the others random; in random order."""
    order = np.argsort(-level, kind="stable")
    _, first = np.unique(types[order], return_index=True)
    strong = order[np.sort(first)][: count // 2]
    rest = np.setdiff1d(np.arange(len(level)), strong)
    return rng.permutation(np.concatenate([strong, rng.choice(rest, min(count - len(strong), len(rest)), False)]))


def judged_rows(levels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows to score descriptions on: half at random, half the strongest of every neuron in turn; in random order."""
    order = np.argsort(-levels, axis=0, kind="stable").ravel()  # the strongest row of each neuron, then the next
    _, first = np.unique(order, return_index=True)
    strong = order[np.sort(first)][: count // 2]
    rest = np.setdiff1d(np.arange(len(levels)), strong)
    return rng.permutation(np.concatenate([strong, rng.choice(rest, min(count - len(strong), len(rest)), False)]))


def read_list(answer: str, count: int) -> np.ndarray | None:
    """The first list of ``count`` numbers in an answer, clipped to 0..10; None where there is none."""
    for part in re.findall(r"\[[^\[\]]*\]", answer):
        try:
            values = json.loads(part)
        except ValueError:
            continue
        if len(values) == count and all(type(v) in (int, float) for v in values):
            return np.clip(np.array(values, np.float64), 0, 10)
    return None

"""Surface baselines: what a task gives away without any model, tuned on tune as the probes are (METHOD 3.1).

Reads: prepare/tasks/<task>/{train,tune,judge,card}. Writes probes/baselines/<task>:

baselines.json        {"task", "metric", "order": names, "surface": the best of the surface baselines on tune,
                      "surface_unseen": the best on the tune tokens of unseen types (null but for tokens),
                      "baselines": {name: {"tune", "judge": {metrics; tokens: also of "seen" and "unseen" types},
                      "penalty": chosen or null, "features": number or null}}}
predictions_tune.npy  int16 classes or float32 numbers (baselines, rows), in the order of "order";
                      predictions_judge.npy alike
models.json, models.safetensors   the fitted baselines, from which :func:`predict_baselines` predicts any split

| unit | baselines beside ``majority`` (the best constant of the scored split) |
|---|---|
| token | lookup, previous, char-ngrams, and context-ngrams |
| sequence | char-ngrams, ending-ngrams |
| pair | word-overlap, tfidf-cosine, left-only, right-only |

``majority`` always gives one class: the one that scores best by the primary metric on the very split that is scored. It
knows the labels of that split, as nothing else does: the majority of train may score below chance there, and noise
above it. Where a number is predicted ``majority`` is the mean of the scored split, whose R2 is 0, a table gives the
mean of the train numbers of its key, the others are least squares (ridge, elastic net), and for sequences there is
``length``: characters and lines, plain and as logarithms, from which much that is called complexity can be told.

context-ngrams sees CONTEXT characters on both sides of the token beside the token itself: a tagger of its own, trained
for the task, rather than a surface baseline. It is scored and shown, and the note of a row says where it is better than
the model; "surface" is chosen among the others.
ending-ngrams sees the last CONTEXT characters alone: of a text that breaks off they may say what the whole drowns.
left-only and right-only are character n-grams of one side: a pair that can be told from half of it is no pair task.
Ties between classes go to the lower class, between penalties to the stronger, between baselines to the one named first.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from scipy import sparse
from tqdm import tqdm

from neurosieve.artifacts import Paths, iter_jsonl, read_json, read_tensors
from neurosieve.config import Params, Penalty
from neurosieve.config import Probes as ProbeParams
from neurosieve.flow import writer
from neurosieve.probes import metrics
from neurosieve.probes.features import Rows, read_rows
from neurosieve.probes.fit import strongest_first
from neurosieve.probes.metrics import NUMBER, counts_by_file, primary, scored_among
from neurosieve.probes.solver import GramCache, Memory, Probe, Solver, SolverError, alone, fitting

CONTEXT = (
    12  # characters each side of a token, or at the end of a text, that n-grams see: a neighbouring word or operator
)
CONTEXT_NGRAMS = "context-ngrams"
VOCABULARY = 20_000  # n-grams kept, by the number of train texts they occur in
MIN_TEXTS = 2  # distinct train texts; an n-gram of one text alone can only be learnt by heart
GAP = 1e-4  # relative duality gap of the linear models of classes
MAX_ITERATIONS = 5_000
SQUARES_TOLERANCE = 1e-7  # of least squares, relative: of the residual, or with l1 of the duality gap
SLOPE = 1e-3  # gradient at a least-squares solution at most, relative to the largest at zero, by size of the column
MAJORITY = "majority"


class BaselineError(RuntimeError):
    """A baseline that could not be fitted."""


@dataclass(frozen=True)
class Examples:
    """What a baseline may see of a split, one entry per row.

    text : the (left) input; right : the right input of pairs, else None; spans : (start, end) characters of tokens,
    else None; types : token types, else None; rows : labels, files and so on (see features.Rows).
    """

    text: list[str]
    right: list[str] | None
    spans: list[tuple[int, int]] | None
    types: list[str] | None
    rows: Rows


def read_examples(paths: Paths, task: str, split: str) -> Examples:
    """Examples of a split, in the order of rows.jsonl."""
    folder = paths.task(task) / split
    texts = [row["text"] for row in iter_jsonl(folder / "inputs.jsonl")]
    rows = read_rows(paths, task, split)
    spans, types = None, None
    if rows.seen is not None:
        raw = list(iter_jsonl(folder / "rows.jsonl"))
        spans, types = [(r["start"], r["end"]) for r in raw], [r["type"] for r in raw]
    return Examples(
        text=[texts[i] for i in rows.inputs],
        right=None if rows.inputs2 is None else [texts[i] for i in rows.inputs2],
        spans=spans,
        types=types,
        rows=rows,
    )


# --- what is seen of a row -------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def previous_token(text: str, start: int) -> str:
    """Last run of word characters, or last single other character that is no space, before ``start``; "" if none."""
    end = len(text[:start].rstrip())
    begin = end
    while begin and (text[begin - 1].isalnum() or text[begin - 1] == "_"):
        begin -= 1
    return text[min(begin, max(end - 1, 0)) : end]


def word_pieces(text: str) -> list[str]:
    """Lower-cased pieces of words and identifiers: ``readHTTPHeader_v2`` -> read, http, header, v2."""
    return [piece.lower() for word in _WORD.findall(text) for piece in _CAMEL.split(word)]


_KEYS: dict[str, Callable[[Examples], list[str]]] = {
    "type": lambda e: _given(e.types),
    "previous": lambda e: [previous_token(t, start) for t, (start, _) in zip(e.text, _given(e.spans), strict=True)],
}

# \x02 and \x03 mark where a text begins and ends, so that an n-gram knows whether it touches the token.
_VIEWS: dict[str, Callable[[Examples], list[str]]] = {
    "token": lambda e: [f"\x02{t[a:b]}\x03" for t, (a, b) in zip(e.text, _given(e.spans), strict=True)],
    "before": lambda e: [
        t[max(0, a - CONTEXT) : a] + "\x03" for t, (a, _) in zip(e.text, _given(e.spans), strict=True)
    ],
    "after": lambda e: ["\x02" + t[b : b + CONTEXT] for t, (_, b) in zip(e.text, _given(e.spans), strict=True)],
    "text": lambda e: [f"\x02{t}\x03" for t in e.text],
    "ending": lambda e: [t[-CONTEXT:] + "\x03" for t in e.text],
    "right": lambda e: [f"\x02{t}\x03" for t in _given(e.right)],
}


def _given(values: list[Any] | None) -> list[Any]:
    assert values is not None, "a baseline of another unit"
    return values


# --- the baselines ---------------------------------------------------------------------------------------------------

Score = Callable[[np.ndarray], float]  # predictions of tune -> primary metric


class Baseline(Protocol):
    """A fitted baseline; ``state`` gives the json values and arrays from which ``from_state`` makes it again."""

    @property
    def penalty(self) -> Penalty | None: ...

    @property
    def features(self) -> int | None: ...

    @property
    def left_out(self) -> dict[str, int]: ...

    def predict(self, rows: Examples) -> np.ndarray:
        """int16 (rows,) classes, or float32 numbers."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]: ...


@dataclass(frozen=True)
class Fitting:
    """What a baseline is fitted with; ``score`` is the primary metric of predictions of tune."""

    train: Examples
    tune: Examples
    params: ProbeParams
    n_classes: int
    score: Score
    card: Mapping[str, Any] = field(default_factory=dict)

    def tuned(self, X: sparse.csr_array, Z: sparse.csr_array) -> Linear:
        """Linear model fitted on X (train) with every candidate penalty; the best on Z (tune), the strongest of
        equals."""
        best: tuple[float, Linear] | None = None
        kind = Squares if self.n_classes == NUMBER else Softmax
        train = _Path(X, self.train.rows.labels, self.n_classes)
        for penalty in strongest_first(self.params.baseline_penalties):
            model = kind.fit(train, penalty)
            score = self.score(model.predict(Z))
            if best is None or score > best[0]:
                best = score, model
        assert best is not None  # the config wants one penalty at the least
        return best[1]


@dataclass(frozen=True)
class Tables:
    """The most frequent train class of the first of the row's keys that train has, else of all train rows; for numbers
    the mean of the train rows with that key, else of all."""

    order: list[str]  # names of keys, tried in this order
    tables: (
        dict[str, dict[str, int]] | dict[str, dict[str, float]]
    )  # key name -> value -> class (int) or number (float)
    majority: int | float
    penalty: None = None
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def fit(cls, given: Fitting, keys: Sequence[str]) -> Self:
        labels = given.train.rows.labels.tolist()
        if given.n_classes == NUMBER:
            means = {}
            for key in keys:
                members: dict[str, list[float]] = defaultdict(list)
                for value, number in zip(_KEYS[key](given.train), labels, strict=True):
                    members[value].append(number)
                means[key] = {value: math.fsum(numbers) / len(numbers) for value, numbers in members.items()}
            return cls(list(keys), means, math.fsum(labels) / len(labels))
        tables = {}
        for key in keys:
            counts: dict[str, list[int]] = defaultdict(lambda: [0] * given.n_classes)
            for value, label in zip(_KEYS[key](given.train), labels, strict=True):
                counts[value][label] += 1
            tables[key] = {value: row.index(max(row)) for value, row in counts.items()}
        return cls(list(keys), tables, int(np.bincount(labels).argmax()))

    def predict(self, rows: Examples) -> np.ndarray:
        number = isinstance(self.majority, float)
        predicted = np.full(len(rows.text), self.majority, np.float32 if number else np.int16)
        unknown = math.nan if number else -1
        for key in reversed(self.order):
            found = np.array([self.tables[key].get(value, unknown) for value in _KEYS[key](rows)], predicted.dtype)
            predicted = np.where(np.isfinite(found) if number else found >= 0, found, predicted)
        return predicted

    @property
    def features(self) -> int | None:
        return sum(len(table) for table in self.tables.values()) if self.tables else None

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"order": self.order, "tables": self.tables, "majority": self.majority}, {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        return cls(state["order"], state["tables"], state["majority"])


@dataclass(frozen=True)
class Constant:
    """Always one class, or number: the best of the rows that it is asked for, by the task's primary metric."""

    card: dict[str, Any]  # what the metric needs to know of the task
    penalty: None = None
    features: None = None
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def fit(cls, given: Fitting, how: Any) -> Self:
        return cls({name: given.card[name] for name in ("metric", "scored_classes", "classes")})

    def predict(self, rows: Examples) -> np.ndarray:
        number = not self.card["classes"]
        value = metrics.best_constant(rows.rows.labels, len(self.card["classes"]), primary(self.card))
        return np.full(len(rows.text), value, np.float32 if number else np.int16)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return self.card, {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        return cls(dict(state))


@dataclass(frozen=True)
class Ngrams:
    """Elastic-net softmax, for numbers least squares, on which character n-grams occur, each marked with its view."""

    views: list[str]
    sizes: tuple[int, int]
    vocabulary: list[str]  # the view's number, then the n-gram
    model: Linear
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def fit(cls, given: Fitting, views: Sequence[str]) -> Self:
        sizes = given.params.baseline_ngrams
        documents = _documents(views, given.train)
        found: Counter[str] = Counter()
        for document in dict.fromkeys(documents):
            found.update(_grams(document, sizes))
        common = sorted((g for g, count in found.items() if count >= MIN_TEXTS), key=lambda g: (-found[g], g))
        vocabulary = sorted(common[:VOCABULARY])
        left_out = {"rare": len(found) - len(common), "beyond_vocabulary": len(common) - len(vocabulary)}
        if not vocabulary:
            raise BaselineError(
                f"no character n-gram of {sizes[0]}..{sizes[1]} occurs in {MIN_TEXTS} train texts; "
                "give the task more train rows, or lower probes.baseline_ngrams"
            )
        X = _presence(documents, vocabulary, sizes)
        Z = _presence(_documents(views, given.tune), vocabulary, sizes)
        return cls(list(views), sizes, vocabulary, given.tuned(X, Z), left_out)

    def predict(self, rows: Examples) -> np.ndarray:
        return self.model.predict(_presence(_documents(self.views, rows), self.vocabulary, self.sizes))

    @property
    def penalty(self) -> Penalty | None:
        return self.model.penalty

    @property
    def features(self) -> int:
        return len(self.vocabulary)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"views": self.views, "sizes": self.sizes, "vocabulary": self.vocabulary}, self.model.arrays()

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        low, high = state["sizes"]
        return cls(state["views"], (low, high), state["vocabulary"], _linear(arrays))


@dataclass(frozen=True)
class Similarity:
    """Logistic regression (or least squares), with a free intercept, on a few figures of the row.

    How alike the two texts of a pair are: ``overlap``: Jaccard index and overlap coefficient of the sets of word
    pieces. ``tfidf``: cosine of the TF-IDF vectors of word pieces, idf = ln((1 + texts) / (1 + texts with the piece))
    + 1 over the distinct train texts. Of one text, ``length``: characters, lines, and their logarithms.
    """

    kind: str
    texts: int  # distinct train texts
    frequency: dict[str, int]  # word piece -> distinct train texts with it
    mean: np.ndarray  # of the columns on train
    std: np.ndarray
    model: Linear
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def fit(cls, given: Fitting, kind: str) -> Self:
        texts, frequency = 0, Counter[str]()
        if kind == "tfidf":
            distinct = dict.fromkeys([*given.train.text, *_given(given.train.right)])
            texts = len(distinct)
            for text in distinct:
                frequency.update(set(word_pieces(text)))
        X, Z = (_likeness(kind, rows, texts, frequency) for rows in (given.train, given.tune))
        mean, std = X.mean(0), X.std(0)
        std[std == 0] = np.inf  # a constant column says nothing
        model = given.tuned(sparse.csr_array((X - mean) / std), sparse.csr_array((Z - mean) / std))
        return cls(kind, texts, dict(sorted(frequency.items())), mean, std, model)

    def predict(self, rows: Examples) -> np.ndarray:
        X = _likeness(self.kind, rows, self.texts, self.frequency)
        return self.model.predict(sparse.csr_array((X - self.mean) / self.std))

    @property
    def penalty(self) -> Penalty | None:
        return self.model.penalty

    @property
    def features(self) -> int:
        return len(self.mean)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        state = {"kind": self.kind, "texts": self.texts, "frequency": self.frequency}
        return state, {"mean": self.mean, "std": self.std, **self.model.arrays()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        return cls(state["kind"], state["texts"], state["frequency"], arrays["mean"], arrays["std"], _linear(arrays))


@dataclass(frozen=True)
class Softmax:
    """A linear model over sparse columns: weights float32 (columns, K), intercept float32 (K,)."""

    weights: np.ndarray
    intercept: np.ndarray
    penalty: Penalty | None = None

    @classmethod
    def fit(cls, train: _Path, penalty: Penalty) -> Self:
        """Minimise mean log-loss + l1*sum|W| + l2/2*||W||^2, intercept free, to the duality gap GAP."""
        return cls(*train.next(penalty), penalty)

    def predict(self, X: sparse.csr_array) -> np.ndarray:
        """int16 (rows,). In float64 from the stored float32, so that a model read back predicts the same."""
        return (X @ self.weights.astype(np.float64) + self.intercept).argmax(1).astype(np.int16)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "intercept": self.intercept}


@dataclass(frozen=True)
class Squares:
    """Least squares over sparse columns: weights float32 (columns,), intercept float32 (1,), in units of the target."""

    weights: np.ndarray
    intercept: np.ndarray
    penalty: Penalty | None = None

    @classmethod
    def fit(cls, train: _Path, penalty: Penalty) -> Self:
        """Minimise mean squared error / 2 + l1*sum|w| + l2/2*||w||^2 on the standardised target, intercept free."""
        from sklearn.linear_model import ElasticNet, Ridge

        X, y = train.X, train.y
        mean, std, total = float(y.mean()), float(y.std()), penalty.l1 + penalty.l2
        if not std:
            raise BaselineError(f"every train row has the target {mean:g}; give the task rows with other numbers")
        settings = {"tol": SQUARES_TOLERANCE, "max_iter": MAX_ITERATIONS}
        regression = (
            ElasticNet(alpha=total, l1_ratio=penalty.l1 / total, **settings)
            if penalty.l1
            else Ridge(alpha=X.shape[0] * penalty.l2, solver="sparse_cg", **settings)
        )
        z = (y - mean) / std
        _converge(lambda: regression.fit(X, z), penalty)
        if not penalty.l1:  # conjugate gradients say nothing where they stop short
            w = regression.coef_
            slope = X.T @ (z - X @ w - regression.intercept_) - len(z) * penalty.l2 * w
            # each column by its own size, or a large one would hide what is left of a small one
            size = np.sqrt(np.asarray((X * X).sum(axis=0)).ravel())
            size[size == 0] = np.inf
            most = max(float(np.abs(X.T @ z / size).max()), 1e-6 * float(np.linalg.norm(z)))
            if float(np.abs(slope / size).max()) > SLOPE * most:
                raise _not_converged(penalty)
        weights = np.asarray(regression.coef_ * std, np.float32)
        return cls(weights, np.array([regression.intercept_ * std + mean], np.float32), penalty)

    def predict(self, X: sparse.csr_array) -> np.ndarray:
        """float32 (rows,), from products in float64."""
        return (X @ self.weights.astype(np.float64) + self.intercept.astype(np.float64)).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "intercept": self.intercept}


Linear = Softmax | Squares


def _linear(arrays: Mapping[str, np.ndarray]) -> Linear:
    kind = Squares if arrays["weights"].ndim == 1 else Softmax
    return kind(arrays["weights"], arrays["intercept"])


def _converge(fit: Callable[[], Any], penalty: Penalty) -> None:
    """Run a fit of scikit-learn; BaselineError where it ends before it has converged."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            fit()
        except ConvergenceWarning:
            raise _not_converged(penalty) from None


def _not_converged(penalty: Penalty) -> BaselineError:
    return BaselineError(
        f"a surface baseline did not converge in {MAX_ITERATIONS} iterations with l1 {penalty.l1}, "
        f"l2 {penalty.l2}; write a larger l2 in probes.baseline_penalties"
    )


class _Path:
    """Probes on sparse rows along falling penalties, each started from those before; see probes/solver.py."""

    def __init__(self, X: sparse.csr_array, y: np.ndarray, n_classes: int) -> None:
        """X : float64 (rows, columns); y : (rows,) classes or numbers."""
        self.X, self.y, self.n_classes = X, y, n_classes
        self._X = X.astype(np.float32)
        self._memory = Memory()
        self._last: Probe | None = None

    def next(self, penalty: Penalty) -> tuple[np.ndarray, np.ndarray]:
        """Weights float32 (columns, K) and intercept (K,) of the next penalty; classes that train lacks are never
        predicted."""
        present = np.unique(self.y)
        if present.size < 2:
            raise BaselineError(f"train has rows of one class only ({present.tolist()}); give the task more rows")
        work = fitting(
            self._X, self.y, self.n_classes, penalty.l1, penalty.l2, GAP, MAX_ITERATIONS, self._last,
            _Diagonal(self._X), memory=self._memory,
        )  # fmt: skip
        try:
            self._last = probe = alone(self._X, work)
        except SolverError:
            raise _not_converged(penalty) from None
        if probe.weights.shape[1] == self.n_classes:
            return probe.weights, probe.intercept
        weights, intercept = np.zeros((self.X.shape[1], 2), np.float32), np.zeros(2, np.float32)
        weights[:, 1:], intercept[1:] = probe.weights, probe.intercept
        return weights, intercept


class _Diagonal(GramCache):
    """What shapes the solver's metric where columns are many and nearly all entries 0: the diagonal of X'X/n alone."""

    def __init__(self, X: sparse.csr_array) -> None:
        self._solvers = {}
        self.squares = np.asarray((X * X).mean(axis=0), np.float32).ravel()

    @property
    def columns(self) -> int:
        return len(self.squares)

    def take(self, columns: np.ndarray | slice) -> _Diagonal:
        part = object.__new__(_Diagonal)
        part._solvers, part.squares = {}, self.squares[columns]
        return part

    def times(self, rows: np.ndarray) -> np.ndarray:
        return rows * self.squares

    def _factored(self, ratio: float) -> Solver:
        inverse = 1 / (self.squares + np.float32(ratio))
        return lambda rows: rows * inverse


def _documents(views: Sequence[str], rows: Examples) -> list[tuple[str, ...]]:
    return list(zip(*(_VIEWS[view](rows) for view in views), strict=True))


def _grams(document: tuple[str, ...], sizes: tuple[int, int]) -> set[str]:
    """The distinct character n-grams of each view, with the view's number before them."""
    return set().union(*(_grams_of(view, text, sizes) for view, text in enumerate(document)))


def _grams_of(view: int, text: str, sizes: tuple[int, int]) -> set[str]:
    low, high = sizes
    return {f"{view}{text[at : at + size]}" for size in range(low, high + 1) for at in range(len(text) - size + 1)}


def _presence(
    documents: Sequence[tuple[str, ...]], vocabulary: Sequence[str], sizes: tuple[int, int]
) -> sparse.csr_array:
    """0/1 float64 (documents, vocabulary): which n-grams occur. Presence, not counts: a long text weighs no more."""
    column = {gram: i for i, gram in enumerate(vocabulary)}
    distinct = {document: i for i, document in enumerate(dict.fromkeys(documents))}
    known: dict[tuple[int, str], list[int]] = {}  # columns of a view's text, which many documents share
    found: list[int] = []
    starts = [0]
    for document in distinct:
        for part in enumerate(document):
            if part not in known:
                known[part] = [column[gram] for gram in _grams_of(*part, sizes) if gram in column]
            found += known[part]
        starts.append(len(found))
    indices = np.array(found, np.int32)
    table = sparse.csr_array(
        (np.ones(indices.size), indices, np.array(starts, np.int32)), shape=(len(distinct), len(vocabulary))
    )
    table.sort_indices()
    return table[[distinct[document] for document in documents]]


def _likeness(kind: str, rows: Examples, texts: int, frequency: Mapping[str, int]) -> np.ndarray:
    """float64 (rows, columns) of a Similarity; 0 where one of the texts has no word."""
    if kind == "length":
        size = np.array([(len(text), text.count("\n") + 1) for text in rows.text], np.float64)
        return np.concatenate([size, np.log1p(size)], axis=1)
    pieces = {text: Counter(word_pieces(text)) for text in [*rows.text, *_given(rows.right)]}
    pairs = [(pieces[a], pieces[b]) for a, b in zip(rows.text, _given(rows.right), strict=True)]
    if kind == "overlap":
        shared = np.array([len(a.keys() & b.keys()) for a, b in pairs], np.float64)
        smaller = np.array([min(len(a), len(b)) for a, b in pairs])
        union = np.array([len(a.keys() | b.keys()) for a, b in pairs])
        return np.stack([shared / np.maximum(union, 1), shared / np.maximum(smaller, 1)], axis=1)

    def weight(counts: Counter[str]) -> dict[str, float]:
        return {w: n * (math.log((1 + texts) / (1 + frequency.get(w, 0))) + 1) for w, n in counts.items()}

    vectors = {text: weight(counts) for text, counts in pieces.items()}
    length = {text: math.sqrt(math.fsum(v * v for v in vector.values())) for text, vector in vectors.items()}
    cosine = []
    for left, right in zip(rows.text, _given(rows.right), strict=True):
        a, b = vectors[left], vectors[right]
        product = math.fsum(v * b[w] for w, v in a.items() if w in b)
        cosine.append(product / (length[left] * length[right]) if product else 0.0)
    return np.array(cosine)[:, None]


# name -> how it is fitted, and the class that reads it back; the majority first, the others in the order of equals
_Kind = tuple[type[Constant] | type[Tables] | type[Ngrams] | type[Similarity], Any]
_BASELINES: dict[str, dict[str, _Kind]] = {
    "token": {
        MAJORITY: (Constant, ()),
        "lookup": (Tables, ("type",)),
        "previous": (Tables, ("previous", "type")),
        "char-ngrams": (Ngrams, ("token",)),
        CONTEXT_NGRAMS: (Ngrams, ("token", "before", "after")),
    },
    "sequence": {
        MAJORITY: (Constant, ()),
        "char-ngrams": (Ngrams, ("text",)),
        "ending-ngrams": (Ngrams, ("ending",)),
    },
    "pair": {
        MAJORITY: (Constant, ()),
        "word-overlap": (Similarity, "overlap"),
        "tfidf-cosine": (Similarity, "tfidf"),
        "left-only": (Ngrams, ("text",)),
        "right-only": (Ngrams, ("right",)),
    },
}


_OF_NUMBERS: dict[str, dict[str, _Kind]] = {
    "token": _BASELINES["token"],
    "sequence": {
        MAJORITY: (Constant, ()), "length": (Similarity, "length"),
        **{name: kind for name, kind in _BASELINES["sequence"].items() if name != MAJORITY},
    },
    "pair": _BASELINES["pair"],
}  # fmt: skip


# --- the phase's rule ------------------------------------------------------------------------------------------------


def fit_baselines(params: Params, paths: Paths, *, task: str) -> None:
    """Fit the baselines of a task on train, tune them on tune, score them on judge; the module's docstring says what
    is written."""
    card = read_json(paths.task(task) / "card" / "card.json")
    n_classes, primary_metric = len(card["classes"]), primary(card)
    examples = {split: read_examples(paths, task, split) for split in ("train", "tune", "judge")}

    for split, found in examples.items():
        if n_classes == NUMBER and not np.ptp(found.rows.labels):
            raise BaselineError(
                f"{paths.task(task) / split}: every row has the target {found.rows.labels[0]:g}, so there is "
                "nothing to predict and no R2; ask for more rows, or leave the task out"
            )
    tune = examples["tune"].rows

    def score(predicted: np.ndarray) -> float:
        return float(primary_metric(counts_by_file(tune.labels, predicted, tune.files, n_classes).sum(0)))

    given = Fitting(examples["train"], examples["tune"], params.probes, n_classes, score, card)
    models: dict[str, Baseline] = {}
    kinds = _OF_NUMBERS if n_classes == NUMBER else _BASELINES
    for name, (kind, how) in tqdm(kinds[card["unit"]].items(), desc=f"baselines {task}", mininterval=5):
        models[name] = kind.fit(given, how)

    predictions = {s: np.stack([m.predict(examples[s]) for m in models.values()]) for s in ("tune", "judge")}
    entries: dict[str, dict[str, Any]] = {
        name: {
            **{s: _report(card, examples[s].rows, predictions[s][i]) for s in predictions},
            "penalty": model.penalty and model.penalty.model_dump(mode="json"),
            "features": model.features,
        }
        for i, (name, model) in enumerate(models.items())
    }
    candidates = [name for name in models if name not in (MAJORITY, CONTEXT_NGRAMS)]
    surface = max(candidates, key=lambda n: entries[n]["tune"][card["metric"]])
    unseen = entries[surface]["tune"].get("unseen")
    if unseen is not None and unseen[card["metric"]] is not None:
        unseen = max(candidates, key=lambda n: entries[n]["tune"]["unseen"][card["metric"]])
    elif unseen is not None:
        unseen = surface  # too few rows of unseen types in tune to choose by

    states = {name: model.state() for name, model in models.items()}
    with writer(params, paths, "fit_baselines", task=task) as out:
        out.facts = {
            "rows": {split: len(rows.text) for split, rows in examples.items()},
            "ngrams_left_out": {name: model.left_out for name, model in models.items() if model.left_out},
        }
        out.json(
            "baselines.json",
            {
                "task": task,
                "metric": card["metric"],
                "order": list(models),
                "surface": surface,
                "surface_unseen": unseen,
                "baselines": entries,
            },
        )
        out.npy("predictions_tune.npy", predictions["tune"])
        out.npy("predictions_judge.npy", predictions["judge"])
        out.json("models.json", {"unit": card["unit"], "states": {name: state for name, (state, _) in states.items()}})
        out.tensors(
            "models.safetensors", {f"{n}.{k}": a for n, (_, arrays) in states.items() for k, a in arrays.items()}
        )


def _report(card: Mapping[str, Any], rows: Rows, predicted: np.ndarray) -> dict[str, Any]:
    """Metrics of one baseline on a split; for tokens also of seen and unseen types, macro-F1 over the classes that
    have enough rows there."""

    def part(at: np.ndarray, scored: list[int]) -> dict[str, Any]:
        return {"rows": int(at.sum()), **metrics.report(rows.labels[at], predicted[at], len(card["classes"]), scored)}

    report = part(np.ones(len(rows.labels), bool), card["scored_classes"])
    if rows.seen is not None:
        for name, at in (("seen", rows.seen), ("unseen", ~rows.seen)):
            scored = scored_among(rows.labels[at], rows.files[at], card["scored_classes"])
            report[name] = {"scored_classes": scored, **part(at, scored)}
    return report


def predict_baselines(paths: Paths, task: str, split: str) -> tuple[list[str], np.ndarray]:
    """Names and predictions (baselines, rows) of the fitted baselines on a split, from their files alone."""
    folder = paths.baselines(task)
    stored, tensors = read_json(folder / "models.json"), read_tensors(folder / "models.safetensors")
    rows = read_examples(paths, task, split)
    names, predicted = read_json(folder / "baselines.json")["order"], []
    for name in names:
        arrays = {k.removeprefix(f"{name}."): a for k, a in tensors.items() if k.startswith(f"{name}.")}
        model = _OF_NUMBERS[stored["unit"]][name][0].from_state(stored["states"][name], arrays)
        predicted.append(model.predict(rows))
    return names, np.stack(predicted)

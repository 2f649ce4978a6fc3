"""The neurons of a file as a scikit-learn transformer of texts. Reads the file and the model's folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from neurosieve.use.features import Extractor, Texts, from_rows
from neurosieve.use.neurons import Neurons, NeuronsError


class NeuronFeatures(TransformerMixin, BaseEstimator):
    """Values of chosen neurons as features, for a Pipeline.

    Parameters
    ----------
    neurons : file that ``neurosieve export`` wrote.
    model : folder of the model, or its name in the file ``params``, by default that of the export; its weights must be
        those of the export.
    params : params file in which a name is looked up; not read for a folder.
    build : folder of the artifacts, read only for a model that the benchmark itself fine-tuned.
    standardize : give values in units of the train split's standard deviation, from its mean, as the probe takes them.

    X is a sequence (list, array, Series) of texts, of (text, start, end) for tokens, or of (text, text2) for the
    neurons of a pair task; ``transform`` gives float32 (rows, columns), a column per neuron (for pairs: per neuron and
    feature). Nothing is learned from X: ``fit`` reads the files and checks that they belong together. The last bits of
    a value depend on the texts that stand beside it in a call.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(NeuronFeatures("neurons.json"), LogisticRegression())
    >>> model.fit(["x = 1", "def f(): pass"], [0, 1]).predict(["y = 2"])  # doctest: +SKIP
    """

    def __init__(
        self,
        neurons: Path | str,
        model: Path | str | None = None,
        *,
        params: Path | str = "params.yaml",
        build: Path | str = "build",
        standardize: bool = True,
    ) -> None:
        self.neurons = neurons
        self.model = model
        self.params = params
        self.build = build
        self.standardize = standardize

    def fit(self, X: Iterable[Any], y: Any = None) -> NeuronFeatures:
        """Read the neurons and the model; X is only looked at for its form."""
        _texts(X)
        self.neurons_ = Neurons.read(self.neurons)
        self.extractor_ = Extractor.load(self.neurons_, self.model, self.params, self.build)
        return self

    def transform(self, X: Iterable[Any]) -> np.ndarray:
        """Float32 (rows, columns)."""
        check_is_fitted(self, "neurons_")
        if not hasattr(self, "extractor_"):  # after unpickling: the model is not part of the pickle
            self.extractor_ = Extractor.load(self.neurons_, self.model, self.params, self.build)
        texts = _texts(X)
        if self.neurons_.pair_features and texts.right is None:
            raise NeuronsError("the neurons belong to a pair task; give rows of (text, text2)")
        values = self.extractor_.values(texts)
        return self.neurons_.standardize(values) if self.standardize else values

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """model/layer/unit of each column, for pairs with the feature after it."""
        check_is_fitted(self, "neurons_")
        return np.array(self.neurons_.column_names, dtype=object)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("extractor_", None)
        return state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _texts(X: Iterable[Any]) -> Texts:
    if isinstance(X, str):
        raise NeuronsError("X: found one text; write a list of texts")
    rows: list[dict[str, Any]] = []
    for row in X:
        if isinstance(row, str):
            rows.append({"text": str(row)})
            continue
        values = list(row) if isinstance(row, (tuple, list, np.ndarray)) else [row]
        keys = {2: ("text", "text2"), 3: ("text", "start", "end")}.get(len(values), ("text",))
        plain = [value.item() if isinstance(value, np.generic) else value for value in values]
        rows.append(dict(zip(keys, plain, strict=False)))
    return from_rows(rows, [f"X[{i}]" for i in range(len(rows))])

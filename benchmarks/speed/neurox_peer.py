"""NeuroX beside ours: calls the public functions of a checkout in a process of its own and says what they took.

NeuroX (https://github.com/fdalvi/NeuroX) is given as `--neurox FOLDER`, the folder that holds its package `neurox`, at
COMMIT; none of its code is here. It imports h5py, imbalanced-learn and svgwrite, which NeuroSieve does not need:
`--neurox-python` names an interpreter that has them beside NeuroSieve's own requirements.

What does not run on today's stack goes round it, and nothing of NeuroX is changed:

- `create_tensors` names `np.int`, which numpy removed: the name is given back, for that call alone.
- the model is loaded before the clock starts, for loading is not what is compared; extraction gets that one.

What NeuroX prints, several lines for each sentence, goes nowhere, which costs least.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from speed.common import Fresh, Options, fresh, peak

COMMIT = "a9ac7cd90be89d72c5ed55d963e2843f039303fc"  # of its branch master, 2023-04-12, the newest
SHA256 = "f88100094c6bc8f9af7a2c561a2b2b0c82101fa19fe798d21c778c2b5346de13"  # of the package at COMMIT


def package_sha256(folder: Path) -> str:
    """Of the names and the text of all modules below ``folder``/neurox, whatever the checkout came as."""
    total = hashlib.sha256()
    for file in sorted((folder / "neurox").rglob("*.py")):
        total.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def note(options: Options) -> str:
    """Which NeuroX, for the note of a row; "" where none was given."""
    if options.neurox is None:
        return ""
    same = package_sha256(options.neurox) == SHA256
    return f"NeuroX {COMMIT[:7]}" if same else f"NeuroX, not as of {COMMIT[:7]}"


def run(
    options: Options, job: str, numerics: str = "fast", threads: int = 1, timeout: float | None = None, **given: Any
) -> Fresh | None:
    """One of JOBS by NeuroX; None where none was given, for a row that then says `not measured`.

    The value of the result is what the job's function below returns: `seconds`, `wall`, `above`, `most` and its own.
    ``numerics`` are "fast" unless the row says otherwise: NeuroX has no other setting of its own.

    Raises
    ------
    speed.common.Failed
        it ended without a result; the last lines that it wrote.
    """
    if options.neurox is None:
        return None
    function = JOBS[job]
    return fresh(function, numerics, threads, options.neurox_python, timeout, neurox=options.neurox, **given)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _took(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result, and: processor and wall seconds, MB above the start and in all."""
    with peak() as memory, _quiet():
        began, cpu = time.perf_counter(), time.process_time()
        value = work()
        seconds, wall = time.process_time() - cpu, time.perf_counter() - began
    return value, {"seconds": seconds, "wall": wall, "above": memory.above, "most": memory.most}


def extract(neurox: str, model: str, corpus: str, output: str, aggregation: str = "average") -> dict[str, Any]:
    """Dump of all layers. model : a folder. corpus : a file, a sentence a line, words between single spaces.

    output : the .hdf5 file. Returns also `words`, which is how many vectors a layer has, and `load`: seconds.
    """
    sys.path.insert(0, neurox)
    from neurox.data.extraction import transformers_extractor as extractor

    with _quiet():
        began = time.process_time()
        loaded = extractor.get_model_and_tokenizer(model)
        load = time.process_time() - began
    extractor.get_model_and_tokenizer = lambda *_, **__: loaded
    _, took = _took(lambda: extractor.extract_representations(model, corpus, output, aggregation=aggregation))
    words = sum(len(line.split(" ")) for line in Path(corpus).read_text(encoding="utf-8").splitlines())
    return took | {"words": words, "load": load}


def store(neurox: str, X: str, layers: int, words: int, output: str) -> dict[str, Any]:
    """The rows of X, an .npy file (tokens, layers * width), written as if extracted from lines of ``words`` words."""
    sys.path.insert(0, neurox)
    import numpy as np
    from neurox.data.writer import ActivationsWriter

    data = np.load(X)
    vectors = data.reshape(len(data), layers, -1).swapaxes(0, 1)

    def write() -> None:
        writer = ActivationsWriter.get_writer(output, filetype="hdf5")
        for line in range(0, len(data), words):
            part = vectors[:, line : line + words]
            writer.write_activations(line // words, [f"w{line + i}" for i in range(part.shape[1])], part)
        writer.close()

    _, took = _took(write)
    return took


def load(neurox: str, file: str, output: str | None = None) -> dict[str, Any]:
    """What `extract` wrote, read back. output : an .npy file for it, (words, layers * width), in the order of lines."""
    sys.path.insert(0, neurox)
    import numpy as np
    from neurox.data import loader

    (activations, layers), took = _took(lambda: loader.load_activations(file))
    if output:
        np.save(output, np.concatenate(activations))
    return took | {"layers": layers, "words": sum(map(len, activations))}


def tensors(neurox: str, file: str, source: str, labels: str, limit: int = 10_000) -> dict[str, Any]:
    """Activations of a file and labels as the arrays that probes take. source, labels : a sentence a line."""
    sys.path.insert(0, neurox)
    import numpy as np
    from neurox.data import loader
    from neurox.interpretation import utils

    def read() -> Any:
        activations, _ = loader.load_activations(file)
        tokens = loader.load_data(source, labels, activations, limit)
        np.int = int  # type: ignore[attr-defined]
        try:
            return utils.create_tensors(tokens, activations, "NN")
        finally:
            del np.int  # type: ignore[attr-defined]

    (X, _, _), took = _took(read)
    return took | {"rows": X.shape[0], "columns": X.shape[1]}


def clusters(neurox: str, X: str, threshold: float, output: str | None = None) -> dict[str, Any]:
    """Correlation clusters. X : an .npy file, (tokens, neurons). output : an .npy file for the label of each neuron."""
    sys.path.insert(0, neurox)
    import numpy as np
    from neurox.interpretation import clustering

    data = np.load(X)
    labels, took = _took(lambda: clustering.create_correlation_clusters(data, clustering_threshold=threshold))
    if output:
        np.save(output, labels)
    return took | {"clusters": len(np.unique(labels))}


def probe(
    neurox: str,
    X: str,
    y: str,
    l1: float = 0.0,
    l2: float = 0.0,
    epochs: int = 10,
    batch: int = 32,
    rate: float = 0.001,
    seed: int = 0,
    X_test: str | None = None,
    y_test: str | None = None,
    output: str | None = None,
) -> dict[str, Any]:
    """A classifier on all columns. X, y, X_test, y_test : .npy files, float32 and int64.

    l1, l2 : weights of NeuroX's own penalties, the sum of absolute values and the root of the sum of squares. output :
    an .npz file for W (classes, columns) and b. Returns also `score`, the accuracy on the test rows.
    """
    sys.path.insert(0, neurox)
    import numpy as np
    import torch
    from neurox.interpretation import linear_probe

    torch.manual_seed(seed)
    data, classes = np.load(X), np.load(y)
    fitted, took = _took(
        lambda: linear_probe.train_logistic_regression_probe(
            data, classes, lambda_l1=l1, lambda_l2=l2, num_epochs=epochs, batch_size=batch, learning_rate=rate
        )
    )
    score = None
    if X_test is not None and y_test is not None:
        test = np.load(X_test), np.load(y_test)
        scores, _ = _took(lambda: linear_probe.evaluate_probe(fitted, *test))
        score = float(scores["__OVERALL__"])
    if output:
        np.savez(output, W=fitted.linear.weight.detach().numpy(), b=fitted.linear.bias.detach().numpy())
    return took | {"score": score}


def search(
    neurox: str,
    X: str,
    y: str,
    X_test: str,
    y_test: str,
    sizes: list[int],
    l1: float = 1e-5,
    l2: float = 1e-5,
    epochs: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """A subset as its users search one: a probe on all columns, the order of its weights, a probe retrained per size.

    Files as of :func:`probe`; sizes : how many of the first columns of the order are kept. Returns also `scores`, the
    accuracies on the test rows: of all columns, then of each size.
    """
    sys.path.insert(0, neurox)
    import numpy as np
    import torch
    from neurox.interpretation import ablation, linear_probe

    torch.manual_seed(seed)
    data, classes, test, truth = (np.load(file) for file in (X, y, X_test, y_test))
    names = {str(c): int(c) for c in np.unique(classes)}

    def train(part: Any, beside: Any) -> tuple[Any, float]:
        fitted = linear_probe.train_logistic_regression_probe(
            part, classes, lambda_l1=l1, lambda_l2=l2, num_epochs=epochs
        )
        return fitted, float(linear_probe.evaluate_probe(fitted, beside, truth)["__OVERALL__"])

    def walk() -> list[float]:
        fitted, score = train(data, test)
        order, _ = linear_probe.get_neuron_ordering(fitted, names)
        scores = [score]
        for size in sizes:
            kept = (ablation.filter_activations_keep_neurons(part, order[:size]) for part in (data, test))
            scores.append(train(*kept)[1])
        return scores

    scores, took = _took(walk)
    return took | {"scores": scores}


def probeless(neurox: str, X: str, y: str, output: str | None = None) -> dict[str, Any]:
    """The order of neurons without a probe. X, y : .npy files. output : an .npy file for the order."""
    sys.path.insert(0, neurox)
    import numpy as np
    from neurox.interpretation import probeless as of_neurox

    data, classes = np.load(X), np.load(y)
    order, took = _took(lambda: of_neurox.get_neuron_ordering(data, classes))
    if output:
        np.save(output, np.asarray(order))
    return took


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    job.__name__: job for job in (extract, store, load, tensors, clusters, probe, search, probeless)
}

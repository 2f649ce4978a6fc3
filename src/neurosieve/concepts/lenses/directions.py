"""Whether single neurons are privileged among the directions of their layer.

Question: does the best single neuron of a layer go with a class more than the best of as many random directions?

Null: random orthogonal rotations of the layer's standardised activations, as many directions as neurons, the best of
them for each class picked on train and correlated on judge as that of the neurons is.

Source: Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection" (CVPR 2017), section 3.2, the test by random rotations;
Klindt, Sanborn, Acosta, Poitevin, Miolane, "Identifying Interpretable Visual Features in Artificial and Biological
Neural Systems" (2023), neurons against principal and other directions. Uniform rotations: Mezzadri 2007.

The index of a direction and a class is the correlation of its values with being of the class (or with the number that
is predicted): it passes the tests for missing and extra labels, and depends on the second moments alone, so that no
rotation has to be applied to rows. The best of the mean over all directions would not do: a rotation that spreads one
class over all of them raises it. Beside the rotations of standardised values: of whitened ones, where every direction
of the layer counts alike; principal directions; and the least-squares direction learned on train, which no single
direction of the layer beats there. The layers are all that are measured, not those of the chosen neurons alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import ortho_group

from neurosieve.concepts.lenses import Headline, LensInput, LensReport, Nothing

UNITS = ("token", "sequence")
NUMBERS = True

TINY = 1e-6  # eigenvalues below this share of the largest are left out of whitening and of the learned direction


def look(data: LensInput) -> LensReport:
    """found: {"layers": [{layer, neurons, rotated, whitened, principal, learned}], "classes": {name: the same},
    "mean": the same}, each a mean of judge correlations of the best direction per class; "top": {neurons, rotated}, of
    the mean of the ``top`` best."""
    names, members = targets(data)
    layers, values, nulls = [], [], []
    top_values, top_nulls = [], []
    usable = data.usable
    for layer in np.unique(usable // data.width).tolist():
        here = usable[usable // data.width == layer]
        train = Moments.of(data.matrix("train", here), members["train"])
        judge = Moments.of(data.matrix("judge", here), members["judge"])
        identity = np.eye(len(here))
        own, own_top = best(train, judge, identity, data.settings.top)
        rng = data.rng("rotations", str(layer))
        rotations = [rotation(len(here), rng) for _ in range(data.settings.draws)]
        rotated, rotated_top = zip(*(best(train, judge, q, data.settings.top) for q in rotations), strict=True)
        spread, axes = np.linalg.eigh(train.second)
        kept = spread > TINY * spread.max()
        white = axes[:, kept] / np.sqrt(spread[kept])
        whitened = [best(train, judge, white @ rotation(int(kept.sum()), rng), 1)[0] for _ in rotations]
        principal = best(train, judge, axes[:, kept], 1)[0]
        learned = train_best(train, judge, white)
        values.append(own)
        nulls.append(np.stack(rotated))
        top_values.append(own_top)
        top_nulls.append(np.stack(rotated_top))
        layers.append(
            {
                "neurons": own,
                "rotated": np.mean(rotated, axis=0),
                "whitened": np.mean(whitened, axis=0),
                "principal": principal,
                "learned": learned,
            }
        )
    kinds = list(layers[0])
    table = np.array([[layer[kind] for kind in kinds] for layer in layers])  # (layers, kinds, classes)
    measured = np.unique(usable // data.width).tolist()
    found: dict[str, Any] = {
        "statistic": "correlation",
        "top": {
            "directions": data.settings.top,
            "neurons": float(np.mean(top_values)),
            "rotated": float(np.mean(top_nulls)),
        },
        "mean": _named(kinds, table.mean(axis=(0, 2))),
        "classes": {name: _named(kinds, table[:, :, c].mean(axis=0)) for c, name in enumerate(names)},
        "layers": [{"layer": layer, **_named(kinds, table[i].mean(axis=1))} for i, layer in enumerate(measured)],
    }
    null = np.stack(nulls).mean(axis=(0, 2))  # (draws,)
    return LensReport(
        Headline("judge correlation of the best neuron of a layer with a class", float(np.mean(values)), null), found
    )


def targets(data: LensInput) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of what directions may go with, and of each split its values, float64 (rows, targets): membership of a
    scored class that varies on train and judge, or the number. Nothing where there is none."""
    labels = {split: data.labels(split) for split in ("train", "judge")}
    if data.features.number:
        return ["target"], {split: y[:, None].astype(np.float64) for split, y in labels.items()}
    kept = [c for c in data.scored if all(0 < (y == c).sum() < len(y) for y in labels.values())]
    if len(data.classes) == 2:
        kept = kept[:1]  # the other class says the same
    if not kept:
        raise Nothing("no scored class that varies on train and judge")
    return [data.classes[c] for c in kept], {
        split: (y[:, None] == np.array(kept)).astype(np.float64) for split, y in labels.items()
    }


class Moments:
    """Second moments of a layer: ``second`` (width, width) of its values, ``cross`` (width, targets) with
    standardised targets."""

    def __init__(self, second: np.ndarray, cross: np.ndarray) -> None:
        self.second, self.cross = second, cross

    @classmethod
    def of(cls, X: np.ndarray, members: np.ndarray) -> Moments:
        """From values (rows, width) and targets (rows, targets)."""
        Z = X.astype(np.float64)
        Z -= Z.mean(axis=0)
        y = (members - members.mean(axis=0)) / members.std(axis=0)
        return cls(Z.T @ Z / len(Z), Z.T @ y / len(Z))

    def correlations(self, directions: np.ndarray) -> np.ndarray:
        """(directions, targets), 0 for a direction that does not vary. directions : (width, n)."""
        variance = np.einsum("ij,ij->j", directions, self.second @ directions)
        scale = np.sqrt(np.maximum(variance, 0))[:, None]
        cross = directions.T @ self.cross
        return np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)


def best(train: Moments, judge: Moments, directions: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Judge correlations (targets,) of the direction that goes with each target most on train, in the sign that it has
    there; and the mean over the ``top`` best."""
    r, judged = train.correlations(directions), judge.correlations(directions)
    order = np.argsort(-np.abs(np.round(r, 12)), axis=0, kind="stable")[:top]
    signed = np.take_along_axis(np.sign(r) * judged, order, axis=0)
    return signed[0], signed.mean(axis=0)


def train_best(train: Moments, judge: Moments, white: np.ndarray) -> np.ndarray:
    """Judge correlations (targets,) of each target's least-squares direction on train; ``white`` (width, n) whitens."""
    learned = white @ (white.T @ train.cross)  # (width, targets)
    return np.array([judge.correlations(learned[:, [c]])[0, c] for c in range(learned.shape[1])])


def rotation(width: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform orthogonal matrix (width, width)."""
    return np.asarray(ortho_group.rvs(width, random_state=rng)) if width > 1 else np.eye(1)


def _named(kinds: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(kinds, map(float, values), strict=True))

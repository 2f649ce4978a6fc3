"""Charts of the page as inline SVG, drawn from plain numbers. Reads and writes no files.

Colours, dashes and fonts come from page.css through class names, so one drawing serves light, dark and print. Bytes
are deterministic: one decimal for coordinates, nothing drawn from a set. Lengths are in units of the view box, which
is about one pixel on a phone and 1.2 on a desk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

LETTER = 6.9  # mean width of a letter of the labels; only label placing depends on it
LINE = 13.0  # height of a line of labels

Point = tuple[float, float]
Scale = Callable[[float], float]


def num(value: float) -> str:
    """A coordinate: at most one decimal, never -0."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def integer(value: float) -> str:
    """4992 -> 4,992."""
    return f"{value:,.0f}"


def linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda v: start + (v - low) / (high - low) * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    scale = linear(math.log(low), math.log(high), start, end)
    return lambda v: scale(math.log(v))


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that span [low, high]: the first is at or below low, the last at or above high."""
    raw = max(high - low, 1e-9) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[int]:
    """Of 1, 10, 100, ... those from low up to high."""
    return [10**i for i in range(int(math.log10(high) + 1e-9) + 1) if 10**i >= low]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least ``gap`` apart, inside [low, high] where they fit."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    places = [0.0] * len(wanted)
    edge = low - gap
    for i in order:
        edge = places[i] = max(wanted[i], edge + gap)
    edge = high + gap
    for i in reversed(order):
        edge = places[i] = min(places[i], edge - gap)
    return places


@dataclass(frozen=True)
class _Label:
    text: str
    css: str
    title: str = ""


class Plot:
    """A frame with two axes. Things are drawn in the order of the calls; :meth:`svg` adds axes and labels."""

    def __init__(
        self,
        slug: str,
        title: str,
        describe: str,
        *,
        x: tuple[float, float],
        y: Sequence[float],
        log_x: bool = False,
        x_ticks: Sequence[float] = (),
        y_name: str = "",
        x_name: str = "",
        y_format: str = ".2f",
        width: float = 440,
        height: float = 280,
        right: float = 124,
    ) -> None:
        self.slug, self.title, self.describe = slug, title, describe
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = 36.0, width - right, 36.0, height - 34
        self.y_ticks, self.y_format = list(y), y_format
        self.x_range, self.log_x, self.x_name, self.y_name = x, log_x, x_name, y_name
        self.x_ticks = x_ticks
        self.x: Scale = (logarithmic if log_x else linear)(x[0], x[1], self.left, self.right)
        scale = linear(self.y_ticks[0], self.y_ticks[-1], self.bottom, self.top)
        self.y: Scale = lambda v: scale(max(v, self.y_ticks[0]))  # what lies below the axis is drawn at its end
        self.below: list[str] = []
        self.body: list[str] = []
        self.ends: list[tuple[float, float, _Label]] = []
        self.inner: list[tuple[list[Point], _Label]] = []
        self.ink: list[Point] = []  # where strokes pass, for the inner labels

    def _path(self, points: Iterable[Point]) -> str:
        return "M" + "L".join(f"{num(px)} {num(py)}" for px, py in points)

    def line(
        self,
        points: Sequence[Point],
        css: str,
        *,
        end: str = "",
        inner: str = "",
        full: str = "",
        dots: Callable[[float, float], str] | None = None,
    ) -> None:
        """A line through the points; its label at the right end, or inside the frame where there is room."""
        at = [(self.x(px), self.y(py)) for px, py in points]
        self.ink += _dense(at, self.left, self.right)
        title = f"<title>{escape(full)}</title>" if full else ""
        self.body.append(f'<path class="line {css}" d="{self._path(at)}">{title}</path>')
        if dots:
            for (px, py), (dx, dy) in zip(points, at, strict=True):
                self.body.append(
                    f'<circle class="dot {css}" cx="{num(dx)}" cy="{num(dy)}" r="1.9">'
                    f"<title>{escape(dots(px, py))}</title></circle>"
                )
        if end:
            self.ends.append((*at[-1], _Label(end, css, full)))
        if inner:
            self.inner.append((at, _Label(inner, css, full)))

    def band(self, low: Sequence[Point], high: Sequence[Point], css: str) -> None:
        """The area between two lines."""
        at = [(self.x(px), self.y(py)) for px, py in [*low, *reversed(high)]]
        self.below.append(f'<path class="band {css}" d="{self._path(at)}Z"/>')

    def level(self, value: float, text: str, css: str, full: str = "") -> None:
        """A horizontal line, labelled at its right end."""
        level = self.y(value)
        self.ink += _dense([(self.left, level), (self.right, level)], self.left, self.right)
        self.below.append(
            f'<path class="level {css}" d="M{num(self.left)} {num(level)}H{num(self.right)}">'
            f"<title>{escape(full or text)}</title></path>"
        )
        self.ends.append((self.right, level, _Label(text, f"quiet {css}", full)))

    def area(self, low: float, high: float, css: str, full: str) -> None:
        """A horizontal stripe from low to high."""
        top, bottom = self.y(high), self.y(low)
        self.below.append(
            f'<rect class="band {css}" x="{num(self.left)}" y="{num(top)}" width="{num(self.right - self.left)}" '
            f'height="{num(bottom - top)}"><title>{escape(full)}</title></rect>'
        )

    def mark(self, value: float, low: float | None, high: float | None, text: str, css: str, full: str) -> None:
        """A vertical line at ``value`` with the stripe of its interval, labelled above the frame."""
        if low is not None and high is not None:
            title = f"<title>{escape(full)}</title>"
            left, right = self.x(low), self.x(high)
            self.below.append(
                f'<rect class="band span {css}" x="{num(left)}" y="{num(self.top)}" '
                f'width="{num(max(right - left, 1))}" height="{num(self.bottom - self.top)}">{title}</rect>'
            )
        half = len(text) * LETTER / 2
        centre = min(max(self._upright(value, css, full), self.left + half), self.right + 40 - half)
        self._above(centre, "middle", text, css)

    def marks(self, lower: tuple[float, str, str, str], upper: tuple[float, str, str, str]) -> None:
        """Two vertical lines (value, text, css, full), however close, labelled above the frame on their outer sides."""
        end = max(self._upright(lower[0], *lower[2:]) - 2, 4 + len(lower[1]) * LETTER)
        self._above(end, "end", *lower[1:3])
        start = min(self._upright(upper[0], *upper[2:]) + 2, self.width - 4 - len(upper[1]) * LETTER)
        self._above(max(start, end + LETTER), "start", *upper[1:3])

    def _upright(self, value: float, css: str, full: str) -> float:
        """Draw a vertical line; its abscissa."""
        at = self.x(value)
        self.body.append(
            f'<path class="mark {css}" d="M{num(at)} {num(self.top)}V{num(self.bottom)}">'
            f"<title>{escape(full)}</title></path>"
        )
        self.ink += [(at, float(y)) for y in range(int(self.top), int(self.bottom), 3)]
        return at

    def _above(self, at: float, anchor: str, text: str, css: str) -> None:
        self.body.append(
            f'<text class="label {css}" x="{num(at)}" y="{num(self.top - 6)}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def span(self, value: float, low: float, high: float, height: float, css: str, full: str) -> None:
        """A dot on a curve with a horizontal interval through it."""
        at, level = self.x(value), self.y(height)
        self.body.append(
            f'<g class="{css}"><title>{escape(full)}</title><path class="whisker" '
            f'd="M{num(self.x(low))} {num(level - 4)}v8m0-4H{num(self.x(high))}m0-4v8"/>'
            f'<circle class="pin" cx="{num(at)}" cy="{num(level)}" r="4.2"/></g>'
        )

    def _axes(self) -> list[str]:
        out = []
        for tick in self.y_ticks:
            level = self.y(tick)
            out.append(f'<path class="grid" d="M{num(self.left)} {num(level)}H{num(self.right)}"/>')
            out.append(
                f'<text class="tick" x="{num(self.left - 5)}" y="{num(level + 3.5)}" text-anchor="end">'
                f"{tick:{self.y_format}}</text>"
            )
        low, high = self.x_range
        ticks: Sequence[float] = self.x_ticks
        if self.log_x:
            ticks = log_ticks(low, high)
        elif not ticks:
            ticks = range(math.ceil(low), math.floor(high) + 1, max(1, math.ceil((high - low) / 12)))
        for tick in ticks:
            at, text = self.x(tick), integer(tick) if self.log_x else f"{tick:g}"
            out.append(f'<path class="grid" d="M{num(at)} {num(self.bottom)}v4"/>')
            out.append(
                f'<text class="tick" x="{num(at)}" y="{num(self.bottom + 15)}" text-anchor="middle">{text}</text>'
            )
        out.append(
            f'<text class="tick" x="{num((self.left + self.right) / 2)}" y="{num(self.height - 4)}" '
            f'text-anchor="middle">{escape(self.x_name)}</text>'
        )
        out.append(f'<text class="tick" x="4" y="11">{escape(self.y_name)}</text>')
        return out

    def _end_labels(self) -> list[str]:
        places = spread([level for _, level, _ in self.ends], LINE, self.top, self.bottom)
        out = []
        for (at, level, label), place in zip(self.ends, places, strict=True):
            title = f"<title>{escape(label.title)}</title>" if label.title else ""
            end = self.right + 8
            out.append(
                f'<path class="leader {label.css}" d="M{num(at + 2)} {num(level)}L{num(end)} {num(place)}"/>'
                f'<text class="label {label.css}" x="{num(end + 3)}" y="{num(place + 4)}">'
                f"{title}{escape(label.text)}</text>"
            )
        return out

    def _inner_labels(self) -> list[str]:
        """Each label beside its line, above left or below right of it, where the fewest other strokes pass.

        On a tie the place nearest to the middle of the frame; curves rise, so these two sides are the free ones.
        """
        boxes: list[tuple[float, float, float, float]] = []
        out = []
        for trace, label in self.inner:
            width = len(label.text) * LETTER
            best: tuple[float, float, float] | None = None
            for px, py in _dense(trace, self.left, self.right, step=5):
                for x0, y1 in ((px - width - 3, py - 4), (px + 3, py + 13)):
                    box = (x0 - 2, y1 - LINE + 1, x0 + width + 2, y1 + 3)
                    if box[0] < self.left or box[1] < self.top or box[2] > self.right or box[3] > self.bottom:
                        continue
                    cost = float(sum(box[0] <= qx <= box[2] and box[1] <= qy <= box[3] for qx, qy in self.ink))
                    cost += 100 * sum(_overlap(box, other) for other in boxes)
                    # where other lines run close by, a label could be theirs
                    cost += 2 * sum(abs(qx - px) <= 4 and abs(qy - py) <= 10 for qx, qy in self.ink)
                    cost += abs(px - (self.left + self.right) / 2) / 100
                    if best is None or cost < best[0]:
                        best = (cost, x0, y1)
            if best is None:  # a line along the frame: its title says the name
                continue
            _, x0, y1 = best
            boxes.append((x0 - 2, y1 - LINE + 1, x0 + width + 2, y1 + 3))
            out.append(f'<text class="label {label.css}" x="{num(x0)}" y="{num(y1)}">{escape(label.text)}</text>')
        return out

    def svg(self) -> Markup:
        inside = [*self._axes(), *self.below, *self.body, *self._end_labels(), *self._inner_labels()]
        return _svg(self.slug, self.title, self.describe, self.width, self.height, inside)


def _svg(slug: str, title: str, describe: str, width: float, height: float, inside: Iterable[str]) -> Markup:
    """``inside`` holds markup built here, with every text escaped."""
    return Markup(  # noqa: S704
        f'<svg role="img" aria-labelledby="{escape(slug)}-t {escape(slug)}-d" viewBox="0 0 {num(width)} {num(height)}">'
        f'<title id="{escape(slug)}-t">{escape(title)}</title><desc id="{escape(slug)}-d">{escape(describe)}</desc>'
        + "".join(inside)
        + "</svg>"
    )


def _dense(trace: Sequence[Point], low: float, high: float, step: float = 3) -> list[Point]:
    """Points of a polyline every ``step`` units between the abscissae low and high."""
    out: list[Point] = []
    place = low
    for (ax, ay), (bx, by) in itertools.pairwise(trace):
        while place <= min(bx, high):
            if place >= ax:
                share = (place - ax) / (bx - ax) if bx > ax else 0.0
                out.append((place, ay + share * (by - ay)))
            place += step
    return out


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def bars(
    slug: str, title: str, describe: str, strips: Sequence[tuple[str, str, list[int], str]], axis: str = "layer"
) -> Markup:
    """Counts of neurons by what the axis says, from 0; a strip each: (name, css, counts, text where there is none)."""
    columns = max((len(counts) for _, _, counts, _ in strips), default=1)
    width, each, left = 440.0, 62.0, 10.0
    height = each * len(strips) + 24
    step = (width - 2 * left) / columns
    every = max(1, math.ceil(columns / 16))
    out = []
    for i, (name, css, counts, empty) in enumerate(strips):
        base = each * (i + 1) - 4
        out.append(f'<text class="label {css}" x="{num(left)}" y="{num(base - 44)}">{escape(name)}</text>')
        out.append(f'<path class="grid" d="M{num(left)} {num(base)}H{num(width - left)}"/>')
        if empty:
            out.append(f'<text class="tick" x="{num(left)}" y="{num(base - 14)}">{escape(empty)}</text>')
            continue
        tallest = max(*counts, 1)
        for column, count in enumerate(counts):
            if not count:
                continue
            tall = max(26 * count / tallest, 1.5)
            x0 = left + column * step + step * 0.14
            out.append(
                f'<rect class="bar {css}" x="{num(x0)}" y="{num(base - tall)}" width="{num(step * 0.72)}" '
                f'height="{num(tall)}"><title>{escape(name)}, {escape(axis)} {column}: {count}</title></rect>'
            )
            if len(str(count)) * LETTER <= step + 2:
                out.append(
                    f'<text class="count" x="{num(x0 + step * 0.36)}" y="{num(base - tall - 3)}" '
                    f'text-anchor="middle">{count}</text>'
                )
    for column in range(0, columns, every):
        out.append(
            f'<text class="tick" x="{num(left + (column + 0.5) * step)}" y="{num(height - 12)}" '
            f'text-anchor="middle">{column}</text>'
        )
    out.append(
        f'<text class="tick" x="{num(width / 2)}" y="{num(height - 1)}" text-anchor="middle">{escape(axis)}</text>'
    )
    return _svg(slug, title, describe, width, height, out)


def heatmap(slug: str, title: str, matrix: Sequence[Sequence[float | None]]) -> Markup:
    """Square matrix of similarities as ten shades, the first row at the bottom; a missing value stays blank."""
    size = len(matrix)
    side = 132.0
    cell = side / max(size, 1)
    left, top = 20.0, 4.0
    shades: dict[int, list[str]] = {}
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if value is not None:
                shade = min(9, max(0, math.floor(value * 10)))
                corner = f"M{num(left + j * cell)} {num(top + side - (i + 1) * cell)}"
                shades.setdefault(shade, []).append(
                    f"{corner}h{num(cell + 0.05)}v{num(cell + 0.05)}h-{num(cell + 0.05)}z"
                )
    out = [f'<path class="k{shade}" d="{"".join(cells)}"/>' for shade, cells in sorted(shades.items())]
    out.append(f'<rect class="frame" x="{num(left)}" y="{num(top)}" width="{num(side)}" height="{num(side)}"/>')
    last = size - 1
    for layer in sorted({0, last}):
        at = (layer + 0.5) * cell
        out.append(
            f'<text class="tick" x="{num(left + at)}" y="{num(top + side + 13)}" text-anchor="middle">{layer}</text>'
            f'<text class="tick" x="{num(left - 4)}" y="{num(top + side - at + 4)}" text-anchor="end">{layer}</text>'
        )
    out.append(
        f'<text class="tick" x="{num(left + side / 2)}" y="{num(top + side + 13)}" text-anchor="middle">layer</text>'
    )
    values = [v for row in matrix for v in row if v is not None]
    describe = f"{size} by {size} layers"
    if values:
        describe += f", from {min(values):.2f} to {max(values):.2f}"
    return _svg(slug, title, describe, 160, 154, out)


def strip(
    value: float | None,
    low: float | None,
    high: float | None,
    total: int,
    most: int,
    css: str,
    estimate: bool,
) -> Markup:
    """The table's small picture of n_minimal on a log axis from 1 to ``most``; the tick is the model's own size.

    It repeats the figures beside it, so it is hidden from screen readers.
    """
    x = logarithmic(1, max(most, 2), 4, 116)
    out = [f'<path class="grid" d="M4 9H{num(x(total))}m0-4v8"/>']
    if low is not None and high is not None:
        out.append(f'<path class="whisker" d="M{num(x(low))} 9H{num(max(x(high), x(low) + 1))}"/>')
    if value is not None:
        out.append(f'<circle class="pin{" hollow" if estimate else ""}" cx="{num(x(value))}" cy="9" r="4"/>')
    return Markup(f'<svg class="strip {escape(css)}" viewBox="0 0 120 18" aria-hidden="true">{"".join(out)}</svg>')  # noqa: S704

"""Segments and distances."""

from math import hypot


def segment_length(start, end):
    """Measure the straight distance between two end points."""
    dx = end[0] - start[0]
    dy = end[1] - start[1]
    return hypot(dx, dy)


def crossing(first, second):
    """Find the point where two infinite lines cross, if there is one."""
    (x1, y1), (x2, y2) = first
    (x3, y3), (x4, y4) = second
    denominator = (x1 - x2) * (y3 - y4) - (y1 - y2) * (x3 - x4)
    if denominator == 0:
        return None  # parallel
    a = x1 * y2 - y1 * x2
    b = x3 * y4 - y3 * x4
    return (a * (x3 - x4) - (x1 - x2) * b) / denominator, (a * (y3 - y4) - (y1 - y2) * b) / denominator

"""Plane shapes."""

import math


class Rectangle:
    """An upright rectangle."""

    def __init__(self, left, bottom, width, height):
        """Store the corner and the size, which must not be negative."""
        if width < 0 or height < 0:
            raise ValueError(f"negative size {width} x {height}")
        self.left = left
        self.bottom = bottom
        self.width = width
        self.height = height

    def contains(self, x, y):
        """Tell whether the point lies inside or on the border."""
        right = self.left + self.width
        top = self.bottom + self.height
        return self.left <= x <= right and self.bottom <= y <= top

    def scaled(self, factor, about=(0.0, 0.0)):
        """Return a copy enlarged by a factor about a fixed point."""
        cx, cy = about
        left = cx + factor * (self.left - cx)
        bottom = cy + factor * (self.bottom - cy)
        return Rectangle(left, bottom, factor * self.width, factor * self.height)


def polygon_area(points):
    """Compute the area of a simple polygon with the shoelace formula."""
    total = 0.0
    previous = points[-1]
    for point in points:
        total += previous[0] * point[1] - point[0] * previous[1]
        previous = point
    return abs(total) / 2


def regular_polygon(sides, radius=1.0):
    """List the corners of a regular polygon around the origin."""
    step = 2 * math.pi / sides
    return [(radius * math.cos(i * step), radius * math.sin(i * step)) for i in range(sides)]

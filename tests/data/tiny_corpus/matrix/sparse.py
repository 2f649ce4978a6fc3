"""Sparse vectors as dictionaries."""


def dot(left, right):
    """Multiply two sparse vectors, walking over the shorter one."""
    if len(left) > len(right):
        left, right = right, left
    total = 0
    for index, value in left.items():
        total += value * right.get(index, 0)
    return total


def add_scaled(vector, other, scale=1.0, drop=1e-12):
    """Add a multiple of another vector and forget tiny entries."""
    result = dict(vector)
    for index, value in other.items():
        entry = result.get(index, 0.0) + scale * value
        result[index] = entry
        if abs(entry) < drop:
            del result[index]
    return result

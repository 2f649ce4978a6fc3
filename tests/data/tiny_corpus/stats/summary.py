"""Figures that sum up a sample."""


def median(values):
    """Return the middle value, or the mean of the two middle ones."""
    ordered = sorted(values)
    half, odd = divmod(len(ordered), 2)
    if odd:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def variance(values, unbiased=True):
    """Compute the mean squared deviation in a single pass."""
    count = 0
    mean = 0.0
    squares = 0.0
    for value in values:
        count += 1
        delta = value - mean
        mean += delta / count
        squares += delta * (value - mean)
    divisor = count - 1 if unbiased else count
    return squares / divisor


def quantile(values, share):
    """Interpolate the value below which a share of the sample lies."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    lower = int(place)
    upper = min(lower + 1, len(ordered) - 1)
    weight = place - lower
    return ordered[lower] * (1 - weight) + ordered[upper] * weight

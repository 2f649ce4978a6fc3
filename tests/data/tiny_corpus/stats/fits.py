"""Straight lines through points."""


def least_squares(xs, ys):
    """Fit slope and intercept of a line to paired samples."""
    count = len(xs)
    mean_x = sum(xs) / count
    mean_y = sum(ys) / count
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = covariance / spread
    return slope, mean_y - slope * mean_x


def moving_average(values, window):
    """Smooth a series with a sliding window of fixed width."""
    smooth = []
    total = 0.0
    for index, value in enumerate(values):
        total += value
        if index >= window:
            total -= values[index - window]
        if index >= window - 1:
            smooth.append(total / window)
    return smooth

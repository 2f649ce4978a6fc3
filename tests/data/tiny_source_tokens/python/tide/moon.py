import math


def phase(day):
    """Share of the moon that is lit."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * day / 29.53)


def names(*days, **words):
    return [words.get("new", "new") if phase(d) < 0.1 else "other" for d in days]

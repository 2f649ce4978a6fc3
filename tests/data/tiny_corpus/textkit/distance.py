"""How far two strings are apart."""


def hamming(first, second):
    """Count the places at which two equally long strings differ."""
    if len(first) != len(second):
        raise ValueError("strings of different lengths")
    return sum(a != b for a, b in zip(first, second, strict=True))


def levenshtein(source, target):
    """Count the single edits that turn one string into the other."""
    previous = list(range(len(target) + 1))
    for i, a in enumerate(source, start=1):
        current = [i]
        for j, b in enumerate(target, start=1):
            cost = 0 if a == b else 1
            current.append(min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost))
        previous = current
    return previous[-1]


def common_prefix(names):
    """Return the longest beginning shared by all names."""
    shortest = min(names, key=len)
    for index, letter in enumerate(shortest):
        if any(name[index] != letter for name in names):
            return shortest[:index]
    return shortest

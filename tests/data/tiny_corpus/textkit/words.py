"""Counting and cutting words."""

from collections import Counter


def most_common(text, count=3, stop=()):
    """Rank the most frequent words that are not stop words."""
    words = [word.strip(".,;!?").lower() for word in text.split()]
    counts = Counter(word for word in words if word and word not in stop)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ranked[:count]


def wrap(text, width):
    """Break a text into lines no longer than the width."""
    lines = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if len(longer) > width and line:
            lines.append(line)
            longer = word
        line = longer
    if line:
        lines.append(line)
    return lines


def initials(name, separator="."):
    """Shorten a person's name to its capital letters."""
    letters = [part[0].upper() for part in name.split()]
    return separator.join(letters) + separator

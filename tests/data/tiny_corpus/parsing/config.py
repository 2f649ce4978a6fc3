"""Simple configuration files."""


def read_pairs(lines, separator="=", comment="#"):
    """Collect the settings of a file and refuse lines without a separator."""
    settings = {}
    for number, line in enumerate(lines, start=1):
        content = line.split(comment, 1)[0].strip()
        if not content:
            continue
        name, found, value = content.partition(separator)
        if not found:
            raise ValueError(f"line {number}: no {separator!r} in {content!r}")
        settings[name.strip()] = value.strip()
    return settings


def expand(settings, depth=5):
    """Replace references to other settings in all values."""
    expanded = dict(settings)
    for _ in range(depth):
        changed = False
        for name, value in expanded.items():
            fresh = value.format_map(settings)
            changed = changed or fresh != value
            expanded[name] = fresh
        if not changed:
            break
    return expanded

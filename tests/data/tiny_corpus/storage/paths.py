"""Paths with forward slashes."""


def normalise(path):
    """Resolve the dots of a path without touching the disk."""
    parts = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    prefix = "/" if path.startswith("/") else ""
    return prefix + "/".join(parts)


def relative(path, base):
    """Express a path as seen from a base folder."""
    wanted = normalise(path).split("/")
    origin = normalise(base).split("/")
    shared = 0
    for left, right in zip(wanted, origin, strict=False):
        if left != right:
            break
        shared += 1
    ups = [".."] * (len(origin) - shared)
    return "/".join(ups + wanted[shared:])


def split_name(path):
    """Cut the extension off the last part of a path."""
    from posixpath import split

    _, name = split(path)
    stem, dot, extension = name.rpartition(".")
    if not stem:
        return name, ""
    return stem, dot + extension

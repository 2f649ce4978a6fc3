def highest(levels):
    best = None
    for hour, level in enumerate(levels):
        if best is None or level > best[1]:
            best = hour, level
    return best


def is_ebb(now, before):
    return not now > before

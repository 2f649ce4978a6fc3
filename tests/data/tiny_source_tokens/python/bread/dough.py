def mix(flour, water, salt=0.02):
    """Weight of a dough, salt as a share of the flour."""
    weight = flour + water
    return weight + flour * salt


def label(name, grams):
    return f"{name}: {grams:.0f} g – keep dry"

"""Random draws."""


def weighted_choice(weights, generator):
    """Draw a key with a chance proportional to its weight."""
    total = sum(weights.values())
    threshold = generator.random() * total
    for key, weight in weights.items():
        threshold -= weight
        if threshold < 0:
            return key
    return key


def reservoir(stream, size, generator):
    """Keep a fair sample of a stream of unknown length."""
    sample = []
    for index, item in enumerate(stream):
        if index < size:
            sample.append(item)
            continue
        place = generator.randrange(index + 1)
        if place < size:
            sample[place] = item
    return sample


def bootstrap(values, statistic, generator, rounds=100):
    """Apply a statistic to many resamples of the values."""
    results = []
    for _ in range(rounds):
        resample = [generator.choice(values) for _ in values]
        results.append(statistic(resample))
    results.sort()
    return results

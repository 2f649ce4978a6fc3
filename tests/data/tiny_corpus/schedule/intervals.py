"""Half-open intervals."""


def merge_intervals(intervals):
    """Join the intervals that overlap or touch each other."""
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            last_start, last_end = merged.pop()
            end = max(end, last_end)
            start = last_start
        merged.append((start, end))
    return merged


def free_slots(busy, opening, closing, shortest=1):
    """List the gaps of a day that are long enough for a meeting."""
    slots = []
    cursor = opening
    for start, end in merge_intervals(busy):
        if start - cursor >= shortest:
            slots.append((cursor, start))
        cursor = max(cursor, end)
    if closing - cursor >= shortest:
        slots.append((cursor, closing))
    return slots


def overlap(first, second):
    """Measure how long two intervals run at the same time."""
    start = max(first[0], second[0])
    end = min(first[1], second[1])
    return max(0, end - start)

"""Times of the day in minutes."""


def parse_time(text):
    """Read hours and minutes and give the minutes since midnight."""
    hours, _, minutes = text.partition(":")
    total = int(hours) * 60 + int(minutes or 0)
    if not 0 <= total < 24 * 60:
        raise ValueError(f"no time of the day: {text!r}")
    return total


def format_time(total, twelve=False):
    """Write minutes since midnight as a clock shows them."""
    hours, minutes = divmod(total, 60)
    if not twelve:
        return f"{hours:02d}:{minutes:02d}"
    suffix = "am" if hours < 12 else "pm"
    shown = hours % 12 or 12
    return f"{shown}:{minutes:02d} {suffix}"

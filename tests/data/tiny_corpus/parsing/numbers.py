"""Numbers in text."""


def roman_to_int(numeral):
    """Read a Roman numeral, subtracting smaller letters before larger."""
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    total = 0
    largest = 0
    for letter in reversed(numeral):
        value = values[letter]
        if value < largest:
            total -= value
        else:
            total += value
            largest = value
    return total


def to_base(number, base, digits="0123456789abcdef"):
    """Write a whole number in another base up to sixteen."""
    if number < 0:
        return "-" + to_base(-number, base, digits=digits)
    head, last = divmod(number, base)
    tail = digits[last]
    return to_base(head, base, digits=digits) + tail if head else tail


def parse_ranges(text):
    """Expand a list such as 1-3,7 to single numbers."""
    numbers = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        stop = int(last) if dash else int(first)
        numbers.extend(range(int(first), stop + 1))
    return numbers

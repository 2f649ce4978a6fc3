"""Fixed-width records."""


def pack(values, widths, fill=" "):
    """Join the values of a record, each padded to its width."""
    cells = []
    for value, width in zip(values, widths, strict=True):
        cell = str(value).ljust(width, fill)
        if len(cell) > width:
            raise ValueError(f"{value!r} is wider than {width}")
        cells.append(cell)
    return "".join(cells)


def unpack(line, widths):
    """Cut a line at the widths and strip every field."""
    fields = []
    offset = 0
    for width in widths:
        field = line[offset : offset + width]
        fields.append(field.strip())
        offset += width
    return fields


def group_by(records, key):
    """Gather the records that share the value of a field."""
    groups = {}
    for record in records:
        name = record[key]
        groups.setdefault(name, []).append(record)
    return groups

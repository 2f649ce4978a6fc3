"""Matrices as lists of rows."""


def multiply(left, right):
    """Multiply two matrices whose inner sizes agree."""
    columns = list(zip(*right, strict=True))
    if len(left[0]) != len(right):
        raise ValueError("inner sizes differ")
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


def determinant(matrix):
    """Compute the determinant by elimination with pivoting."""
    rows = [list(row) for row in matrix]
    result = 1.0
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda r: abs(rows[r][i]))
        if rows[pivot][i] == 0:
            return 0.0
        if pivot != i:
            rows[i], rows[pivot] = rows[pivot], rows[i]
            result = -result
        result *= rows[i][i]
        for below in rows[i + 1 :]:
            factor = below[i] / rows[i][i]
            for j, value in enumerate(rows[i]):
                below[j] -= factor * value
    return result


def trace(matrix):
    """Sum the entries on the main diagonal of a matrix."""
    total = 0
    for index, row in enumerate(matrix):
        total += row[index]
    return total

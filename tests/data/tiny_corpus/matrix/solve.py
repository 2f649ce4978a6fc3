"""Iterative solvers."""


def jacobi(matrix, rhs, steps=50):
    """Approach the solution of a diagonally dominant system."""
    size = len(rhs)
    guess = [0.0] * size
    for _ in range(steps):
        fresh = []
        for i in range(size):
            rest = sum(matrix[i][j] * guess[j] for j in range(size) if j != i)
            fresh.append((rhs[i] - rest) / matrix[i][i])
        guess = fresh
    return guess


def power_iteration(matrix, steps=100):
    """Estimate the dominant eigenvalue and its vector."""
    vector = [1.0] * len(matrix)
    value = 0.0
    for _ in range(steps):
        image = [sum(a * x for a, x in zip(row, vector, strict=True)) for row in matrix]
        value = max(image, key=abs)
        vector = [x / value for x in image]
    return value, vector

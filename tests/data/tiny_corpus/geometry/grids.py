"""Square grids."""


def neighbours(cell, size, diagonal=False):
    """Yield the cells beside a cell that lie on the board."""
    row, column = cell
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            if (dr, dc) == (0, 0) or (dr and dc and not diagonal):
                continue
            if 0 <= row + dr < size and 0 <= column + dc < size:
                yield row + dr, column + dc


def flood(board, start, colour):
    """Paint the connected region of the start cell with a colour."""
    wanted = board[start]
    waiting = [start]
    while waiting:
        cell = waiting.pop()
        if board.get(cell) != wanted or wanted == colour:
            continue
        board[cell] = colour
        waiting.extend(neighbours(cell, size=len(board)))
    return board

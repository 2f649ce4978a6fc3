"""Binary search trees as nested tuples."""


def insert(tree, key):
    """Put a key into the tree and return the new tree."""
    if tree is None:
        return (None, key, None)
    left, root, right = tree
    if key < root:
        return insert(left, key), root, right
    if key > root:
        return left, root, insert(right, key)
    return tree


def depth(tree):
    """Give the number of levels of a tree."""
    if tree is None:
        return 0
    left, _, right = tree
    deeper = max(depth(left), depth(right))
    return deeper + 1


def in_order(tree, visit=print):
    """Call a function on every key from small to large."""
    if tree is not None:
        left, root, right = tree
        in_order(left, visit=visit)
        visit(root)
        in_order(right, visit=visit)

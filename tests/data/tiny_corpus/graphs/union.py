"""Disjoint sets."""


class DisjointSets:
    """Sets of items that can be merged."""

    def __init__(self, items):
        """Put every item into a set of its own."""
        self.parent = {item: item for item in items}
        self.size = dict.fromkeys(items, 1)

    def find(self, item):
        """Return the representative of the item's set, with path halving."""
        parent = self.parent
        while parent[item] != item:
            grandparent = parent[parent[item]]
            parent[item] = grandparent
            item = grandparent
        return item

    def merge(self, first, second):
        """Join two sets, the smaller below the larger."""
        small, large = self.find(first), self.find(second)
        if small == large:
            return False
        if self.size[small] > self.size[large]:
            small, large = large, small
        self.parent[small] = large
        self.size[large] += self.size.pop(small)
        return True

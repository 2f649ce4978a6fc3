"""A cache that forgets."""

import time


class Cache:
    """Values with an age limit."""

    def __init__(self, capacity, lifetime=60.0):
        """Make an empty cache of limited size and age."""
        self.capacity = capacity
        self.lifetime = lifetime
        self.entries = {}

    def get(self, key, default=None):
        """Look a key up and drop it when it is too old."""
        value, stored = self.entries.get(key, (default, None))
        age = 0.0 if stored is None else time.monotonic() - stored
        if age > self.lifetime:
            del self.entries[key]
            return default
        return value

    def put(self, key, value):
        """Store a value, pushing the oldest entry out when full."""
        if key not in self.entries and len(self.entries) >= self.capacity:
            oldest = min(self.entries, key=lambda name: self.entries[name][1])
            self.entries.pop(oldest)
        self.entries[key] = (value, time.monotonic())

"""Accounts and transfers."""


class Account:
    """Money of one owner."""

    def __init__(self, owner, balance=0, limit=0):
        """Open an account that may be overdrawn down to a limit."""
        self.owner = owner
        self.balance = balance
        self.limit = limit
        self.history = []

    def deposit(self, amount, note=""):
        """Add a positive amount of money and remember the note."""
        if amount <= 0:
            raise ValueError(f"{self.owner}: cannot add {amount}")
        self.balance += amount
        self.history.append((amount, note))
        return self.balance

    def withdraw(self, amount, note=""):
        """Take money out unless the limit would be passed."""
        left = self.balance - amount
        if left < -self.limit:
            raise ValueError(f"{self.owner}: only {self.balance + self.limit} available")
        self.history.append((-amount, note))
        self.balance = left


def transfer(source, target, amount, fee=0):
    """Move money between two accounts and charge the sender a fee."""
    source.withdraw(amount + fee, note=f"to {target.owner}")
    target.deposit(amount, note=f"from {source.owner}")
    return source.balance, target.balance

"""Interest."""


def monthly_payment(principal, yearly_rate, months):
    """Give the constant payment that clears a loan in time."""
    rate = yearly_rate / 12
    if rate == 0:
        return principal / months
    growth = (1 + rate) ** months
    return principal * rate * growth / (growth - 1)


def amortise(principal, yearly_rate, payment):
    """Yield month, interest and remaining debt until the debt is paid."""
    month = 0
    debt = principal
    while debt > 0:
        month += 1
        interest = debt * yearly_rate / 12
        if interest >= payment:
            raise ValueError("the payment never covers the interest")
        debt = max(0.0, debt + interest - payment)
        yield month, interest, debt

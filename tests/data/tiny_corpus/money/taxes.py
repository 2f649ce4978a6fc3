"""Taxes on income and sales."""

BANDS = ((10_000, 0.0), (40_000, 0.2), (150_000, 0.4))


def income_tax(income, bands=BANDS, top_rate=0.45):
    """Sum the tax due in every band of an income."""
    tax = 0.0
    floor = 0
    for ceiling, rate in bands:
        taxed = min(income, ceiling) - floor
        if taxed <= 0:
            return tax
        tax += taxed * rate
        floor = ceiling
    return tax + max(0, income - floor) * top_rate


def invoice_total(items, discount=0.0, vat=0.2):
    """Add up an invoice with discount and sales tax."""
    net = sum(price * quantity for price, quantity in items)
    reduced = net * (1 - discount)
    tax = reduced * vat
    return round(reduced + tax, 2)

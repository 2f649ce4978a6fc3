def switch(bulbs, index):
    bulbs[index] = not bulbs[index]
    return sum(bulbs)


def colour(kelvin):
    if kelvin < 3300:
        return "warm"
    elif kelvin < 5300:
        return "neutral"
    return "cold"

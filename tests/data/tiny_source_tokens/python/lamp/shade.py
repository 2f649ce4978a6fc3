async def dim(lamp, steps):
    for step in range(steps, 0, -1):
        await lamp.set(step / steps)
        if lamp.broken is True:
            raise RuntimeError("broken lamp")


def fits(shade, bulb):
    return shade.width >= bulb.width + 2

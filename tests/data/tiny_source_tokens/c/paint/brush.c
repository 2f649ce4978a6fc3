enum shape { ROUND, FLAT = 2 };

struct brush {
    enum shape shape;
    float width;
    void (*draw)(int x, int y);
};

void stroke(struct brush *brush, int from, int to)
{
    int x;

    for (x = from; x <= to; ++x) {
        if (brush->shape == FLAT)
            continue;
        brush->draw(x, 0);
    }
}

float area(const struct brush brush)
{
    float side = brush.width;
#ifdef ROUND_EDGES
    side = side * 0.5f;
#endif
    return side * side;
}

unsigned long steps(unsigned long length)
{
    unsigned long count = 0;

    while (length > 1UL) {
        length >>= 1;
        count++;
    }
    return count;
}

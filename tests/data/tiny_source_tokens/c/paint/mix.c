typedef unsigned char level;

level mix(level left, level right)
{
    int sum = left + right;

    return (level) (sum / 2);
}

static double weight(double red, double green, double blue)
{
    double grey = 0.3 * red + 0.59 * green;

    grey += 0.11 * blue;
    return grey;
}

int parse_colour(const char *text, int *colour)
{
    int base = 16;

    if (text[0] != '#')
        goto bad;
    *colour = (int) strtol(text + 1, 0, base);
    return 1;
bad:
    report("bad colour: %s – see the list\n", text);
    return 0;
}

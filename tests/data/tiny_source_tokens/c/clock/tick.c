static volatile int ticks;

int tick(void)
{
    return ++ticks;
}

int leap(int year)
{
    if (year % 400 == 0)
        return 1;
    if (year % 100 == 0)
        return 0;
    return !(year & 3);
}

int days(int month, int year)
{
    static const int table[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int extra = month == 2 && leap(year);

    return table[month - 1] + extra;
}

typedef int (*printer)(const char *text);

void show(printer print, int hours, int minutes)
{
    char text[6] = "00:00";

    text[0] += hours / 10;
    text[1] += hours % 10;
    text[3] += minutes / 10;
    text[4] += minutes % 10;
    print(text);
}

const char *half(int hour)
{
    switch (hour / 12) {
    case 0:
        return "am";
    default:
        return "pm";
    }
}

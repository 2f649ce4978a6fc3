package garden;

enum Season {
    SPRING, SUMMER, AUTUMN, WINTER;

    Season next() {
        int place = (ordinal() + 1) % values().length;
        return values()[place];
    }

    static Season parse(String word) {
        for (Season season : values()) {
            if (season.name().equalsIgnoreCase(word)) {
                return season;
            }
        }
        return null;
    }

    synchronized String shout(boolean loud) {
        String text = name();
        return loud ? text + '!' : text.toLowerCase();
    }
}

package chess;

final class Clock {
    private long left = 5L * 60 * 1000;
    private Runnable alarm;

    void start(final long now, final String player) {
        alarm = new Runnable() {
            private int rings = 3;

            @Override
            public void run() {
                System.out.println(player + " rings " + rings);
            }
        };
        left = left - now;
    }

    boolean over() {
        return left <= 0 && alarm != null;
    }

    float share(float whole) {
        float part = left / whole;
        return Math.max(0.0f, part);
    }
}

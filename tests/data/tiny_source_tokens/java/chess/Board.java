package chess;

public class Board {
    private final byte[] squares = new byte[64];

    public byte at(int column, int row) {
        return squares[row * 8 + column];
    }

    public void clear() {
        for (int i = 0; i < squares.length; i++) {
            squares[i] = 0;
        }
    }

    static String square(int column, int row) {
        StringBuilder name = new StringBuilder();
        name.append((char) ('a' + column)).append(row + 1);
        return name.toString();
    }

    protected int count(byte piece) throws IllegalStateException {
        int found = 0;
        for (byte here : squares) {
            if (here == piece) {
                found++;
            }
        }
        return found;
    }
}

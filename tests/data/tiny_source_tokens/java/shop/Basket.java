package shop;

import java.util.ArrayList;
import java.util.List;

/** A basket of prices in cents. */
public class Basket {
    private final List<Integer> prices = new ArrayList<>();
    private String owner = "nobody";

    /** Names the owner; this comment is not part of the constructor. */
    public Basket(String owner) {
        this.owner = owner;
    }

    public void add(int price, int count) {
        for (int i = 0; i < count; i++) {
            prices.add(price);
        }
    }

    public int total() {
        int sum = 0;
        for (int price : prices) {
            sum += price; // cents
        }
        return sum;
    }

    @Override
    public String toString() {
        char sign = '€';
        return owner + ": " + total() / 100.0 + sign;
    }
}

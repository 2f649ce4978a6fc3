package shop;

public interface Discount {
    int apply(int price);

    default int twice(int price) {
        return apply(apply(price));
    }

    static Discount percent(final int share) {
        if (share < 0 || share > 100) {
            throw new IllegalArgumentException("share " + share);
        }
        return price -> price - price * share / 100;
    }

    static boolean isFree(Discount rule, long price) {
        long rest = rule.apply((int) price);
        return rest == 0L ? true : false;
    }
}

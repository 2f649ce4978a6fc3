package garden;

import java.util.HashMap;
import java.util.Map;

class Bed {
    static final int WIDTH = 0x10;
    private Map<String, Double> plants;

    Bed() {
        plants = new HashMap<>();
        plants.put("mint", 0.25);
    }

    double water(String name, double litres) {
        Double need = plants.get(name);
        if (need == null) {
            return -1.0;
        }
        while (litres > need) {
            litres -= need;
        }
        return litres;
    }

    int rows(int length) {
        int rows = length / WIDTH;
        switch (rows) {
            case 0:
                return 1;
            default:
                return rows;
        }
    }
}

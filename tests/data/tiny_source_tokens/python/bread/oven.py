class Oven:
    def __init__(self, degrees=20):
        self.degrees = degrees

    def heat(self, to):
        while self.degrees < to:
            self.degrees += 5
        return self.degrees

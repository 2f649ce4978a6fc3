#ifndef RING_H
#define RING_H

struct ring {
    int *head;
    int size;
    char *name;
};

int ring_put(unsigned int place, const int value);

static inline int ring_empty(const struct ring *ring)
{
    return ring->size == 0;
}

static inline char ring_mark(int full)
{
    return full ? '#' : '.';
}

#endif

"""Walking through graphs."""

import heapq
from collections import deque


def shortest_hops(graph, source, target):
    """Count the fewest edges between two nodes, breadth first."""
    distance = {source: 0}
    queue = deque([source])
    while queue:
        node = queue.popleft()
        if node == target:
            return distance[node]
        for neighbour in graph[node]:
            if neighbour not in distance:
                distance[neighbour] = distance[node] + 1
                queue.append(neighbour)
    return None


def dijkstra(graph, source):
    """Measure the cheapest way from the source to every node."""
    best = {}
    heap = [(0, source)]
    while heap:
        cost, node = heapq.heappop(heap)
        if node in best:
            continue
        best[node] = cost
        for neighbour, weight in graph[node].items():
            heapq.heappush(heap, (cost + weight, neighbour))
    return best


def topological_order(graph):
    """Order the nodes so that every edge points forward."""
    order = []
    done = set()

    def visit(node):
        if node in done:
            return
        done.add(node)
        for neighbour in graph.get(node, ()):
            visit(neighbour)
        order.append(node)

    for start in sorted(graph):
        visit(start)
    order.reverse()
    return order

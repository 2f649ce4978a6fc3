"""Choosing jobs."""

import logging


def most_jobs(jobs):
    """Choose the largest number of jobs that do not collide."""
    chosen = []
    free_from = 0
    for name, start, end in sorted(jobs, key=lambda job: job[2]):
        if start >= free_from:
            chosen.append(name)
            free_from = end
    return chosen


def run_all(jobs, retries=2, log=None):
    """Run every job, trying again when one of them fails."""
    log = log or logging.getLogger(__name__)
    results = {}
    for name, job in jobs.items():
        for attempt in range(retries + 1):
            try:
                results[name] = job()
                break
            except OSError as error:
                log.warning("%s failed (%d): %s", name, attempt, error)
    return results


def round_robin(queues, quantum=1):
    """Serve the waiting queues in turn, a few tasks from each."""
    waiting = [list(queue) for queue in queues]
    served = []
    while any(waiting):
        for queue in waiting:
            served.extend(queue[:quantum])
            del queue[:quantum]
    return served

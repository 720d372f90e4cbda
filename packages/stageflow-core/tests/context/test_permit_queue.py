"""The order of those who wait for the same permits."""

import random

import pytest
from stageflow.context.permit_queue import PATIENCE, PermitQueue, Waiter


class Line:
    """A queue of waiters that are known by a name and a priority."""

    def __init__(self):
        self.queue = PermitQueue({"x": 1})
        self.count = 0

    def add(self, priority):
        self.count += 1
        waiter = Waiter(None, priority, self.count, self.queue)
        self.queue.push(waiter)
        return waiter

    def order(self, most=None):
        """Serve until nobody waits any more, and return the priorities in their order."""
        served = []
        while self.queue and (most is None or len(served) < most):
            served.append(self.queue.pop().priority)
        return served


def test_within_a_priority_who_comes_first_is_served_first():
    """Whatever the order of their names."""
    line = Line()
    came = [line.add(3) for _ in range(50)]
    assert came == [line.queue.pop() for _ in came]


def test_the_larger_priority_is_served_first():
    """As long as nobody has been passed over too often."""
    line = Line()
    for priority in (0, 5, -3, 5, 9):
        line.add(priority)
    assert [9, 5, 5, 0, -3] == line.order()


def test_after_patience_has_run_out_a_lower_one_is_served():
    """Once, and then again after as many."""
    line = Line()
    for priority in [1] * 20 + [0] * 2:
        line.add(priority)
    expected = [*[1] * PATIENCE, 0, *[1] * PATIENCE, 0, *[1] * (20 - 2 * PATIENCE)]
    assert expected == line.order()


def test_lower_priorities_take_turns():
    """The one that has waited longest since it was served is next: a full middle does not starve the last."""
    line = Line()
    for priority in [9] * 100 + [5] * 100 + [0] * 2 + [-1] * 2:
        line.add(priority)
    lower = [priority for priority in line.order(most=6 * (PATIENCE + 1)) if priority != 9]
    assert [5, 0, -1, 5, 0, -1] == lower


def test_who_waits_alone_has_nobody_passed_over():
    """What was granted while one priority was there does not count against the next that comes."""
    line = Line()
    for _ in range(3 * PATIENCE):
        line.add(5)
    line.order(most=2 * PATIENCE)
    line.add(0)
    assert [*[5] * PATIENCE, 0] == line.order()


def test_a_top_priority_whose_turn_it_is_anyway_leaves_the_turn_to_the_others():
    """The turn counts only for somebody else."""
    line = Line()
    for priority in [5] * 30 + [0] * 3:
        line.add(priority)
    line.order(most=PATIENCE)
    line.add(9)
    line.queue._classes.move_to_end(9, last=False)
    assert [9, 0, 9][:2] == line.order(most=2)


def test_who_leaves_is_not_served():
    """Whether there are others of the priority or not."""
    line = Line()
    first, second, third = line.add(2), line.add(2), line.add(7)
    line.queue.discard(third)
    line.queue.discard(first)
    assert (None, None, line.queue) == (first.queue, third.queue, second.queue)
    assert [2] == line.order()
    assert not line.queue


def test_the_rank_is_of_the_first_of_the_top_priority():
    """A larger priority ranks higher, and of the same who came earlier."""
    one, other = Line(), Line()
    one.add(0)
    first = one.add(4)
    assert (4, -2) == one.queue.rank()
    other.add(4)
    assert other.queue.rank() > one.queue.rank()
    one.queue.discard(first)
    assert (0, -1) == one.queue.rank()


@pytest.mark.parametrize("seed", range(20))
def test_many_who_come_and_go_are_served_as_a_plain_list_would_have_it(seed):
    """Against a model that looks through everybody each time."""
    draw = random.Random(seed)
    line, waiting, age, passes = Line(), [], {}, 0
    for step in range(600):
        action = draw.random()
        if action < 0.5:
            waiter = line.add(draw.randrange(4))
            if all(other.priority != waiter.priority for other in waiting):
                age[waiter.priority] = step
            waiting.append(waiter)
        elif action < 0.6 and waiting:
            line.queue.discard(waiting.pop(draw.randrange(len(waiting))))
        elif waiting:
            priorities = {waiter.priority for waiter in waiting}
            top = max(priorities)
            chosen = top if passes < PATIENCE else min(priorities, key=age.__getitem__)
            passes = passes + 1 if chosen == top and len(priorities) > 1 else 0
            expected = next(waiter for waiter in waiting if waiter.priority == chosen)
            waiting.remove(expected)
            age[chosen] = step
            assert expected is line.queue.pop()
        assert bool(waiting) == bool(line.queue)


def test_priorities_that_nobody_has_any_more_are_forgotten():
    """However many there were behind one that stays."""
    line = Line()
    line.add(1_000_000)
    for priority in range(10_000):
        line.queue.discard(line.add(priority))
    assert len(line.queue._heap) < 20

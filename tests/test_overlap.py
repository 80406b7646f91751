"""Work beside the main thread: in order, bounded, with its errors."""

import os
import sys
import threading
import time

import pytest

from madnet.overlap import NICER, InTurn, ahead


def test_calls_keep_their_order():
    done, beside = [], InTurn(most=3)
    for k in range(50):
        beside.call(done.append, k)
    beside.finish()
    assert done == list(range(50))
    beside.call(done.append, 50)  # and once more
    beside.finish()
    assert done[-1] == 50


@pytest.mark.skipif(sys.platform != 'linux', reason='threads have no priorities of their own')
def test_the_caller_goes_first():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before, beside, found = priority(), InTurn(), []
    beside.call(lambda: found.append(priority()))
    beside.finish()
    assert found == [min(before + NICER, 19)]
    assert priority() == before


def test_no_more_wait_than_may():
    begun, go = [], threading.Event()

    def work(k):
        begun.append(k)
        go.wait(10)

    beside = InTurn(most=2)
    for k in range(2):
        beside.call(work, k)
    third = threading.Thread(target=beside.call, args=(work, 2))
    third.start()
    third.join(0.2)
    assert third.is_alive()
    go.set()
    third.join(10)
    beside.finish()
    assert begun == [0, 1, 2]


def test_several_threads_work_at_once():
    together, beside = threading.Barrier(3, timeout=10), InTurn(most=3, threads=3)
    for _ in range(3):
        beside.call(together.wait)
    beside.finish()
    beside.call(int)


def test_what_a_call_raises_comes_with_the_next_and_ends_all():
    def fail():
        raise ValueError('no')

    beside = InTurn()
    beside.call(fail)
    with pytest.raises(ValueError, match='no'):
        beside.finish()
    beside.finish()
    beside.call(fail)
    beside._waiting[0].exception()  # it has failed by now
    with pytest.raises(ValueError, match='no'):
        beside.call(int)
    beside.finish()


def test_values_come_in_order_and_what_fails_in_its_place():
    def half(n):
        if n % 5 == 4:
            raise ValueError(n)
        return n / 2

    for number in (0, 1, 3, 50):
        found = []
        for item, value in ahead(half, range(12), number):
            try:
                found.append((item, value()))
            except ValueError as e:
                found.append((item, str(e)))
        assert found == [(n, str(n) if n % 5 == 4 else n / 2) for n in range(12)]


def test_so_many_are_ahead_and_no_more():
    taken, begun = [], []

    def items():
        for n in range(10):
            taken.append(n)
            yield n

    values = ahead(begun.append, items(), 2)
    next(values)
    assert taken == [0, 1, 2]
    values.close()
    assert len(begun) <= 3
    values = ahead(begun.append, items(), 0)
    next(values)
    assert taken == [0, 1, 2, 0]


def test_values_may_be_asked_for_after_the_last_item_was_taken():
    def slowly(value):
        time.sleep(0.02)
        return value

    pairs = list(ahead(slowly, range(5)))
    assert [value() for _, value in pairs] == [*range(5)]

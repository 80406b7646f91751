"""Work beside the main thread: in order, bounded, with its errors."""

import threading

import pytest

from madnet.overlap import InTurn


def test_calls_keep_their_order():
    done, beside = [], InTurn(most=3)
    for k in range(50):
        beside.call(done.append, k)
    beside.finish()
    assert done == list(range(50))
    beside.call(done.append, 50)  # and once more
    beside.finish()
    assert done[-1] == 50


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

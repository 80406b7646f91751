"""Work beside the main thread: in order, bounded, with its errors."""

import os
import signal
import subprocess
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


def test_processes_take_calls_and_give_values_back():
    beside = InTurn(most=3, processes=1)
    values = [beside.call(divmod, k, 3) for k in range(10)]
    beside.finish()
    assert [value.result() for value in values] == [divmod(k, 3) for k in range(10)]


def test_what_ends_the_work_is_raised_before_what_calls_raise():
    def work(end):
        with InTurn() as beside:
            beside.call(int, 'no number')
            end()

    with pytest.raises(ZeroDivisionError):
        work(lambda: 1 / 0)
    with pytest.raises(ValueError, match='no number'):
        work(list)


_POOLS = {
    'spawned': 'from madnet.overlap import start_processes as start',
    'forked': 'from madnet.classical.pool import start_pool as start',
}


@pytest.mark.skipif(not os.path.isdir('/proc'), reason='processes are looked for under /proc')
@pytest.mark.parametrize('kind', _POOLS)
def test_processes_end_with_one_that_is_killed(kind, tmp_path):
    lines = (
        _POOLS[kind],
        'import os, time',
        "if __name__ == '__main__':",
        '    pool = start(2)',
        '    calls = [pool.submit(time.sleep, 1) for _ in range(4)]',
        '    [call.result() for call in calls]',
        '    print(*pool._processes, flush=True)',
        '    os.kill(os.getpid(), 9)',
    )
    with open(tmp_path / 'begun', 'w') as file:  # no pipe: those that live on would hold it open
        done = subprocess.run([sys.executable, '-c', '\n'.join(lines)], stdout=file, timeout=60)
    assert done.returncode == -signal.SIGKILL
    begun = [int(word) for word in (tmp_path / 'begun').read_text().split()]
    assert len(begun) == 2
    until = time.monotonic() + 20
    while alive := [pid for pid in begun if _runs(pid)]:
        assert time.monotonic() < until, alive
        time.sleep(0.02)


def _runs(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


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


def test_nobody_waits_for_a_value_that_is_not_asked_for():
    """Where the garbage collector ends it while a thread starts, waiting for another is waiting for ever."""
    go_on, ended = threading.Event(), []

    def until_told(value):
        go_on.wait(20)
        ended.append(value)
        return value

    values = ahead(until_told, range(5), 2)
    next(values)
    values.close()
    assert not ended
    go_on.set()

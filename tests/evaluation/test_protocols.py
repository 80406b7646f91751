import dataclasses

import numpy as np
import pytest

from madnet.errors import UserError
from madnet.evaluation import (
    PROTOCOLS,
    Protocol,
    evaluate,
    evaluate_all,
    get_protocol,
    get_protocols,
    make_protocol,
)
from madnet.evaluation.rules import FALSE_ALARMS, MASK_RULES, MATCHINGS, sentence


def test_the_five():
    assert list(PROTOCOLS) == ['native', 'acm', 'abc', 'dnanet', 'basicirstd']
    assert all(p.reproduces for p in PROTOCOLS.values())
    assert get_protocols('all') == tuple(PROTOCOLS.values())


def test_ways_to_name_protocols():
    native, abc = PROTOCOLS['native'], PROTOCOLS['abc']
    assert get_protocols('native,abc') == get_protocols(['native', abc]) == (native, abc)
    assert get_protocols(('abc', 'native, abc')) == (abc, native)
    assert get_protocol(abc) is abc
    assert get_protocol({'base': 'abc', 'mask': 'half'}).mask == 'half'


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: get_protocol('nativ'), "Did you mean 'native'"),
        (lambda: get_protocols('native,acb'), 'Did you mean'),
        (lambda: get_protocols([]), 'no protocol given'),
        (lambda: make_protocol(matchin='greedy'), "Did you mean 'matching'"),
        (lambda: make_protocol(matching='greedi'), "Did you mean 'greedy'"),
        (lambda: make_protocol(mask='grey'), "expected 'half', 'white'"),
        (lambda: make_protocol(resolution='bas'), "Did you mean 'base'"),
        (lambda: make_protocol(prediction=1.5), 'probability in 0–1'),
        (lambda: make_protocol(false_alarm=None), 'false_alarm is None'),
        (lambda: make_protocol(radius=0), 'positive'),
        (lambda: make_protocol(niou_empty=2), 'niou_empty'),
        (lambda: make_protocol(f1_epsilons=(1,)), 'three numbers'),
        (lambda: evaluate([], [], 'native,abc'), 'takes one protocol, found native, abc'),
        (lambda: get_protocols(['native', make_protocol(name='native', radius=5)]), 'another name'),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_own_thresholds_follow_where_they_followed():
    mine = make_protocol('native', prediction=0.3)
    assert (mine.niou_prediction, mine.f1_prediction, mine.target_prediction) == (0.3, 0.3, 0.3)
    mine = make_protocol('abc', prediction=0.3)
    assert (mine.niou_prediction, mine.target_prediction) == (0.5, 0.3)
    assert make_protocol('native', mask='white').union_mask == 'white'
    assert mine.name == 'abc*'


def test_parts_change_the_numbers():
    mask, prob = np.zeros((30, 30), np.uint8), np.full((30, 30), 0.1, np.float32)
    mask[5:8, 5:8], mask[20:23, 20:23] = 255, 200
    prob[5:8, 5:8], prob[20:23, 24:27] = 0.4, 0.9
    assert evaluate([prob], [mask])['Pd'] == 0
    assert evaluate([prob], [mask], make_protocol(prediction=0.3))['Pd'] == 0.5
    assert evaluate([prob], [mask], make_protocol(radius=5.0))['Pd'] == 0.5
    assert evaluate([prob], [mask], make_protocol(mask='white'))['targets'] == 1
    both = evaluate_all([prob], [mask], [Protocol(name='mine', prediction=0.05, niou_empty=None), 'abc'])
    assert list(both) == ['mine', 'abc']
    assert both['mine']['recall'] == 1


def test_a_name_is_the_function_that_runs_and_its_words():
    grey = np.array([[0, 127, 128, 254, 255]])
    assert MASK_RULES['half'](grey).tolist() == [[False, False, True, True, True]]
    assert MASK_RULES['white'](grey).tolist() == [[False, False, False, False, True]]
    areas, matched = np.array([4, 4, 9]), np.array([True, False, False])
    assert FALSE_ALARMS['identity'](areas, matched).tolist() == [4, 9]
    assert FALSE_ALARMS['area-value'](areas, matched).tolist() == [9]
    words = get_protocol('abc').describe()
    assert words['mask'] == 'white: Grey value 255.'
    assert words['matching'].startswith('greedy: Each target in raster order')
    assert words['radius'] == '3.0'
    for table in (MASK_RULES, MATCHINGS, FALSE_ALARMS):
        assert all(sentence(rule).endswith('.') for rule in table.values())


def test_protocols_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROTOCOLS['native'].radius = 5

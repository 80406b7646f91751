"""Protocols that score at a base size, where nobody has named one."""

import numpy as np
import pytest

from madnet.errors import UserError
from madnet.evaluation import Evaluator
from madnet.evaluation.protocols import make_protocol


def add(evaluator, size, name, **kwargs):
    mask = np.zeros(size, np.uint8)
    mask[2:4, 2:4] = 255
    evaluator.update((mask > 0).astype(np.float32), mask, name, **kwargs)


def test_images_of_one_size_have_a_base_size():
    evaluator = Evaluator('abc')
    add(evaluator, (32, 48), 'a')
    add(evaluator, (32, 48), 'b')
    assert evaluator.compute()['abc']['IoU'] == 1


@pytest.mark.parametrize('through', ['images', 'logits', 'processes'])
def test_images_of_two_sizes_need_one(through):
    """Each would be scored at its own size, which is another protocol, ``native``, under the name of this."""
    evaluator, other = Evaluator(['native', 'abc']), Evaluator(['native', 'abc'])
    logits = {'net_logits': np.zeros((32, 48), np.float32)} if through == 'logits' else {}
    add(evaluator, (32, 48), 'a', **logits)
    add(other, (40, 64), 'b')
    with pytest.raises(UserError, match=r'protocol abc .*48 × 32 and 64 × 40.*base_size=256'):
        evaluator.merge(other) if through == 'processes' else add(evaluator, (40, 64), 'b')
    assert len(evaluator) == 1


def test_named_and_native_sizes_are_free():
    evaluator = Evaluator(['native', 'abc', make_protocol('native', name='side', resolution=24)])
    for name, size in {'a': (32, 48), 'b': (40, 64)}.items():
        add(evaluator, size, name, base_size=(32, 32))
    Evaluator('native').merge(Evaluator('native'))
    assert evaluator.counted('abc').columns()['pixels'].tolist() == [32 * 32] * 2


def test_a_side_in_pixels_needs_no_base_size():
    evaluator = Evaluator(make_protocol('native', name='side', resolution=24))
    add(evaluator, (32, 48), 'a')
    assert evaluator.counted('side').columns()['pixels'].tolist() == [24 * 24]

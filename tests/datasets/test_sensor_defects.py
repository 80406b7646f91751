import cv2
import numpy as np
import pytest

from madnet.datasets.transforms import SensorDefects


def scene(channels=1, dtype=np.uint8, target=True):
    img = np.full((60, 80, channels), 100, dtype)
    labels = np.zeros((60, 80), np.uint8)
    if target:
        labels[30:33, 40:43] = 1
    return {
        'img': img,
        'gt_seg_map': labels,
        'gt_mask': labels * 255,
        'seg_fields': ['gt_seg_map', 'gt_mask'],
    }


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('channels', [1, 3])
def test_what_is_drawn_is_what_changes(channels, dtype):
    defects = SensorDefects(
        prob=1, pixels=(2, 4), lines=(0, 1), specks=(1, 6), contrast=(20, 150), clearance=4
    )
    changed = 0
    for _ in range(100):
        before = scene(channels, dtype)
        drawn = defects.draw(before)
        after = defects.apply(dict(before), drawn)
        wanted = before['img'].astype(float)
        for (top, left, h, w), value, added, on in zip(*drawn.values(), strict=True):
            for y in range(top, top + h) if on else ():
                for x in range(left, left + w):
                    wanted[y, x] = wanted[y, x] + value if added else value
        wanted = np.clip(wanted, 0, 255)
        assert after['img'].dtype == dtype
        assert np.abs(after['img'] - wanted).max() <= 0.5
        for key in ('gt_seg_map', 'gt_mask'):
            assert after[key] is before[key]
        # the target and its surroundings stay as they are
        near = cv2.dilate(before['gt_seg_map'], np.ones((9, 9), np.uint8)) > 0
        assert (after['img'][near] == 100).all()
        changed += (after['img'] != 100).any()
    assert changed > 95


def test_shapes_and_levels():
    defects = SensorDefects(prob=1, pixels=(3, 3), lines=(2, 2), specks=(3, 3), contrast=(20, 30))
    shapes, levels = set(), []
    for _ in range(100):
        drawn = defects.draw(scene(target=False))
        assert {key: values.shape for key, values in drawn.items()} == {
            'box': (8, 4), 'value': (8,), 'added': (8,), 'on': (8,)
        }  # fmt: skip
        assert drawn['on'].all()
        levels += [*drawn['value'][:3]]
        assert {tuple(size) for size in drawn['box'][3:5, 2:]} <= {(1, 80), (60, 1)}
        shapes |= {tuple(size) for size in drawn['box'][5:, 2:]}
        assert ((drawn['value'][5:] >= 20) & (drawn['value'][5:] <= 30) & drawn['added'][5:]).all()
    assert shapes == {(1, 1), (1, 2), (2, 1)}
    assert all(level <= 40 or level >= 215 for level in levels)
    assert 0.3 < np.mean(np.array(levels) > 128) < 0.7


def test_none_at_all():
    before = scene()
    drawn = SensorDefects(prob=0).draw(before)
    assert not drawn['on'].any()
    assert SensorDefects(prob=0)(dict(before))['img'] is before['img']
    assert SensorDefects(prob=1)({'img': scene()['img']})['img'].shape == (60, 80, 1)  # no masks, no targets

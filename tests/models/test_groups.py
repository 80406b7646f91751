"""Images that go through a network together give what they give one by one."""

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from small_models import build_madnet, sample, stir

from madnet.engine.irstd_metric import IRSTDMetric
from madnet.models.segmentors import groups
from madnet.models.segmentors.groups import in_groups


def images(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]


def predict(model, inputs, together):
    """Results, and the sizes (B, H, W) of what the backbone saw, with the values."""
    model.test_cfg.together = together
    seen = []
    handle = model.backbone.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    samples = [sample(*image.shape[1:], seed=k, sample_idx=k) for k, image in enumerate(inputs)]
    with torch.no_grad():
        found = model.test_step({'inputs': inputs, 'data_samples': samples})
    handle.remove()
    return found, seen


def shapes(seen):
    return [(len(x), *x.shape[2:]) for x in seen]


def assert_alike(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.net_logits.data, b.net_logits.data, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(a.seg_logits.data, b.seg_logits.data, rtol=1e-5, atol=1e-5)


def test_images_of_one_size_go_together():
    model = build_madnet()
    inputs = images((64, 64), (40, 53), (64, 64), (64, 64), (53, 40))
    alone, seen = predict(model, inputs, False)
    assert shapes(seen) == [(1, *image.shape[1:]) for image in inputs]
    on_a_cpu, seen = predict(model, inputs, 'auto')
    assert len(seen) == 5
    assert all(
        torch.equal(a.net_logits.data, b.net_logits.data) for a, b in zip(alone, on_a_cpu, strict=True)
    )
    together, seen = predict(model, inputs, True)
    assert shapes(seen) == [(3, 64, 64), (1, 40, 53), (1, 53, 40)]  # this one is padded to no size: borders
    assert_alike(together, alone)


def test_tiles_are_padded_one_by_one_also_together():
    tiles = {'mode': 'slide', 'crop_size': (48, 48), 'stride': (32, 32)}
    model = build_madnet(test_cfg=tiles)
    model.backbone.padded_size = lambda height, width: (-(-height // 24) * 24, -(-width // 24) * 24)
    inputs = images((75, 91), (75, 91))
    alone, _ = predict(model, inputs, False)
    together, seen = predict(model, inputs, True)
    assert {size[0] for size in shapes(seen)} == {2}
    assert_alike(together, alone)


def test_images_of_several_sizes_that_are_padded_for_a_test_go_in_one_batch():
    model = build_madnet()
    model.data_preprocessor.test_cfg = {'size_divisor': 32}
    inputs = images((40, 53), (64, 70), (40, 53))
    single = [predict(model, [image], False)[0][0] for image in inputs]
    batch, seen = predict(model, inputs, False)
    assert shapes(seen) == [(1, 64, 64), (1, 64, 96), (1, 64, 64)]
    assert_alike(batch, single)
    with torch.no_grad():
        bare = model.test_step({'inputs': inputs})
    assert_alike(bare, single)


def test_views_and_scales_go_together():
    model = build_madnet()
    model.set_test_time(views=8, scales=(1, 0.5))
    inputs = images((64, 80), (64, 80))
    alone, seen = predict(model, inputs, False)
    assert len(seen) == 32
    together, seen = predict(model, inputs, True)
    assert sorted(shapes(seen)) == [(8, 32, 40), (8, 40, 32), (8, 64, 80), (8, 80, 64)]
    assert_alike(together, alone)


def small_sctransnet():
    torch.manual_seed(0)
    cfg = {
        'type': 'IRSTDSegmentor',
        'backbone': {'type': 'SCTransNetEncoder', 'in_channels': 3, 'base_channels': 4},
        'decode_head': {'type': 'MADNetHead'},
        'data_preprocessor': {'mean': [100.0] * 3, 'std': [50.0] * 3},
    }
    model = MODELS.build(cfg)
    stir(model)
    return model.eval()


def small_abc():
    torch.manual_seed(0)
    cfg = {
        'type': 'IRSTDSegmentor',
        'backbone': {'type': 'ABCEncoder', 'base_channels': 2, 'side': 64},
        'decode_head': {'type': 'MADNetHead'},
        'data_preprocessor': {'mean': [100.0] * 3, 'std': [50.0] * 3},
    }
    model = MODELS.build(cfg)
    stir(model)
    return model.eval()


@pytest.mark.parametrize(
    ('build', 'groups_of'),
    [(small_sctransnet, [(2, 48, 64), (1, 64, 64), (1, 48, 48)]), (small_abc, [(4, 64, 64)])],
)
def test_what_a_network_pads_to_one_size_goes_together_exactly(build, groups_of):
    """SCTransNet takes multiples of 16, ABC one size: it sees the same pixels in a batch as alone."""
    model = build()
    inputs = images((45, 61), (64, 64), (48, 64), (41, 47))
    alone, seen_alone = predict(model, inputs, False)
    together, seen = predict(model, inputs, True)
    assert sorted(shapes(seen)) == sorted(groups_of)
    pixels = {tuple(x.flatten().tolist()) for x in seen_alone}
    assert {tuple(x.flatten().tolist()) for batch in seen for x in batch.split(1)} == pixels
    assert_alike(together, alone)
    assert [f.seg_logits.data.shape[1:] for f in together] == [i.shape[1:] for i in inputs]


def test_metrics_are_the_same():
    """With views, in groups, and scored beside."""
    model = build_madnet()
    model.set_test_time(views=4)
    inputs = images(*[(64, 64)] * 5, (40, 53))
    found = []
    for together, beside in ((False, False), (True, True)):
        metric = IRSTDMetric(beside=beside)
        results, _ = predict(model, inputs, together)
        metric.process({}, [r.to_dict() for r in results])
        found.append(metric.evaluate(6))
    assert found[0].keys() == found[1].keys()
    np.testing.assert_allclose(list(found[1].values()), list(found[0].values()), rtol=1e-5)


class Network:
    """Says what it was given; has memory for some images."""

    def __init__(self, room=100):
        self.room, self.batches = room, []

    def __call__(self, given, metas):
        self.batches.append(len(given))
        if len(given) > self.room:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
        return [image * meta for image, meta in zip(given, metas, strict=True)]


def test_groups_are_bounded_and_in_order():
    sizes = [(4, 4), (2, 8), (4, 4), (4, 4), (2, 8), (4, 4), (4, 4)]
    pairs = [(torch.full((1, 1, *size), float(k)), 2) for k, size in enumerate(sizes)]
    network = Network()
    found = list(in_groups(network, pairs, lambda image: tuple(image.shape[2:]), 3 * 16))
    assert [f.mean() for f in found] == [2 * k for k in range(7)]
    assert network.batches == [3, 2, 2]


def test_image_by_image_nothing_is_kept_waiting():
    network, asked = Network(), []

    def pairs():
        for k in range(4):
            asked.append(k)
            yield torch.zeros(1, 1, 4, 4), 1

    for number, _ in enumerate(in_groups(network, pairs(), lambda image: (4, 4), 0)):
        assert len(asked) == number + 1
    assert network.batches == [1] * 4


def test_what_does_not_fit_into_memory_is_halved(monkeypatch):
    said = []
    monkeypatch.setattr(groups, 'print_log', lambda text, *args: said.append(text))
    pairs = [(torch.full((1, 1, 4, 4), float(k)), 1) for k in range(7)]
    network = Network(room=2)
    found = list(in_groups(network, pairs, lambda image: (4, 4), 1000))
    assert [f.mean() for f in found] == list(range(7))
    assert network.batches == [7, 3, 1, 2, 4, 2, 2]
    assert said[0] == '7 images do not fit into memory together: run in halves.'
    with pytest.raises(torch.OutOfMemoryError):
        list(in_groups(Network(room=0), pairs, lambda image: (4, 4), 1000))

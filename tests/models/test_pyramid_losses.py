"""The losses of a head with several maps, taken at once."""

import pytest
import torch
from small_models import build_madnet, sample

LOSSES = [
    {'type': 'SoftIoULoss', 'per_image': True},
    [{'type': 'SoftIoULoss'}, {'type': 'MaskBCELoss', 'loss_weight': 0.5}],
    [{'type': 'SoftIoULoss'}, {'type': 'SoftIoULoss', 'per_image': True}],
]


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('soft', [False, True])
def test_losses_at_once_are_the_losses_one_by_one(loss, soft, monkeypatch):
    weights = [1.0, 0.5, 0.25, 2.0, 3.0, 1.5]
    model = build_madnet(
        base_channels=2, head={'loss_decode': loss, 'soft_targets': soft, 'loss_weights': weights}
    ).train()
    head, samples = model.decode_head, [sample(64, 96, seed=i) for i in range(2)]
    samples[0].gt_sem_seg.data[:, :3] = 255
    maps = [torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    found, grads = {}, {}
    for way in ('at once', 'one by one'):
        modules = (
            head.loss_decode if isinstance(head.loss_decode, torch.nn.ModuleList) else [head.loss_decode]
        )
        for module in modules:
            monkeypatch.setattr(module, 'takes_maps', way == 'at once')
        inputs = [m.clone().requires_grad_() for m in maps]
        found[way] = head.loss_by_feat(inputs, samples)
        sum(found[way].values()).backward()
        grads[way] = torch.cat([m.grad for m in inputs])
    assert list(found['at once']) == list(found['one by one'])
    assert {'s1', 's2', 's3', 's4', 's5', 'out'} == {name.rsplit('_', 1)[1] for name in found['at once']}
    for name, value in found['one by one'].items():
        torch.testing.assert_close(found['at once'][name], value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grads['at once'], grads['one by one'], rtol=1e-6, atol=1e-8)


def test_the_highest_logit_of_each_map_is_kept():
    model = build_madnet(base_channels=2).train()
    head = model.decode_head
    maps = [torch.full((1, 1, 32, 32), -3.0), *torch.randn(5, 1, 1, 32, 32).requires_grad_()]
    head.loss_by_feat(maps, [sample(32, 32)])
    assert {name: peak.item() for name, peak in head.peaks.items()} == {
        name: logits.max().item()
        for name, logits in zip(('s1', 's2', 's3', 's4', 's5', 'out'), maps, strict=True)
    }
    assert not any(peak.requires_grad for peak in head.peaks.values())
    head.loss_by_feat(maps[-1], [sample(32, 32)])
    assert list(head.peaks) == ['out']

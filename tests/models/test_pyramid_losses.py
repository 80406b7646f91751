"""The losses of a head with several maps."""

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
def test_every_map_meets_every_loss(loss, soft):
    weights = [1.0, 0.5, 0.25, 2.0, 3.0, 1.5]
    model = build_madnet(
        base_channels=2, head={'loss_decode': loss, 'soft_targets': soft, 'loss_weights': weights}
    ).train()
    head, samples = model.decode_head, [sample(64, 96, seed=i) for i in range(2)]
    samples[0].gt_sem_seg.data[:, :3] = 255
    maps = [torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    labels = torch.stack([s.gt_sem_seg.data for s in samples])
    target = torch.stack([s.gt_mask.data for s in samples]) / 255 if soft else labels
    target = target.float().masked_fill(labels == 255, 255)
    modules = head.loss_decode if isinstance(head.loss_decode, torch.nn.ModuleList) else [head.loss_decode]
    expected = {}
    for name, weight, logits in zip(('s1', 's2', 's3', 's4', 's5', 'out'), weights, maps, strict=True):
        for module in modules:
            key = f'{module.loss_name if len(modules) > 1 else "loss"}_{name}'
            expected[key] = expected.get(key, 0) + weight * module(logits, target).item()
    found = head.loss_by_feat(maps, samples)
    assert {key: value.item() for key, value in found.items()} == pytest.approx(expected, rel=1e-6)


def test_the_highest_logit_of_each_map_is_kept():
    model = build_madnet(base_channels=2).train()
    head = model.decode_head
    maps = [torch.full((1, 1, 32, 32), -3.0), *torch.randn(5, 1, 1, 32, 32).requires_grad_()]
    head.loss_by_feat(maps, [sample(32, 32)])
    assert {name: peak.item() for name, peak in head.highest_logits.items()} == {
        name: logits.max().item()
        for name, logits in zip(('s1', 's2', 's3', 's4', 's5', 'out'), maps, strict=True)
    }
    assert not any(peak.requires_grad for peak in head.highest_logits.values())
    head.loss_by_feat(maps[-1], [sample(32, 32)])
    assert list(head.highest_logits) == ['out']

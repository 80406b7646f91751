"""MiM-ISTD as a whole: published form, sizes, widths, meaning of positions, gradients."""

import pytest
import torch
from mim_reference import mim as reference
from mmcv.cnn.bricks import DropPath
from mmseg.registry import MODELS
from small_models import sample, stir

from madnet.errors import UserError
from madnet.models.checkpoints.mim import export_mim
from madnet.models.layers import SS2D, map_to_words, words_to_map


def build_mim(base_channels=8, word_channels=2, in_channels=3, head=None, seed=0, **backbone):
    """MiM-ISTD with weights and normalisation statistics that leave nothing at its neutral value."""
    torch.manual_seed(seed)
    model = MODELS.build(
        {
            'type': 'IRSTDSegmentor',
            'backbone': {
                'type': 'MiMEncoder',
                'in_channels': in_channels,
                'base_channels': base_channels,
                'word_channels': word_channels,
                **backbone,
            },
            'decode_head': {'type': 'MiMHead', **(head or {})},
            'data_preprocessor': {'mean': [100.0] * in_channels, 'std': [50.0] * in_channels},
        }
    )
    stir(model)
    return model.eval()


def test_published_parameters():
    with torch.device('meta'):
        encoder = MODELS.build({'type': 'MiMEncoder'})
        head = MODELS.build({'type': 'MiMHead', 'in_channels': encoder.pyramid_channels})
    assert encoder.pyramid_channels == [32, 64, 128, 256]
    assert sum(p.numel() for m in (encoder, head) for p in m.parameters()) == 4_861_617


@pytest.mark.parametrize(('in_channels', 'side'), [(3, 64), (1, 128)])
def test_published_layout_equals_the_plain_reference(in_channels, side):
    model = build_mim(in_channels=in_channels, published_layout=True)
    x = torch.randn(2, in_channels, side, side)
    with torch.no_grad():
        expected = reference(export_mim(model.state_dict()), x)
        found = model.encode_decode(x, [{}] * 2)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_layouts_differ():
    model, published = build_mim(), build_mim(published_layout=True)
    published.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        a, b = model.encode_decode(x, [{}]), published.encode_decode(x, [{}])
    assert (a - b).abs().max() > 1e-2 * a.abs().max()


def test_words_and_map():
    x = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    words = map_to_words(x)
    assert words.shape == (2, 2, 3, 16, 3)
    for word in range(16):
        assert torch.equal(words[1, 1, 2, word], x[1, :, 4 + word // 4, 8 + word % 4])
    assert torch.equal(words_to_map(words), x)


def test_default_layout_keeps_positions():
    """With the scans silenced, a pixel reaches the maps near itself only; not so as published."""

    def reach(**kwargs):
        model = build_mim(depths=[1, 1], **kwargs)
        for module in model.modules():
            if isinstance(module, SS2D):
                torch.nn.init.zeros_(module.x_proj_weight)  # B = C = 0: what remains of the scan is D u
        x = torch.randn(1, 3, 256, 256)
        moved = x.clone()
        moved[:, :, 33, 40] += 10
        with torch.no_grad():
            maps = [b - a for a, b in zip(model.backbone(x), model.backbone(moved), strict=True)]
        rows, columns = maps[0].abs().amax(1)[0].nonzero().unbind(1)
        return rows.max().item(), columns.max().item()

    # Pixel (33, 40) lies in sentence (4, 5) of 32×32. Stem, convolution and feed-forward reach a few further.
    rows, columns = reach()
    assert 2 * 5 < rows <= 2 * (4 + 5)
    assert 2 * 6 < columns <= 2 * (5 + 5)
    assert max(reach(published_layout=True)) > 40


@pytest.mark.parametrize(
    ('size', 'in_channels', 'published_layout'),
    [((32, 32), 1, False), ((33, 47), 3, False), ((100, 75), 3, True), ((32, 131), 1, True)],
)
def test_any_size_in_evaluation_and_training(size, in_channels, published_layout):
    model = build_mim(
        in_channels=in_channels, published_layout=published_layout, head={'deep_supervision': True}
    )
    x = torch.randn(2, in_channels, *size)
    with torch.no_grad():
        for i, fine in enumerate(model.backbone(x)):
            stride = 4 * 2**i
            assert fine.shape == (2, 8 * 2**i, -(-size[0] // stride), -(-size[1] // stride))
        assert model.encode_decode(x, [{}] * 2).shape == (2, 1, *size)
        maps = model.train()(x)
    assert [m.shape[2:] for m in maps] == [(-(-size[0] // s), -(-size[1] // s)) for s in (8, 16, 32, 4)]


@pytest.mark.parametrize('size', [(40, 33), (64, 100)])
def test_padding_is_the_padded_image_cropped(size):
    model = build_mim()
    x = torch.randn(1, 3, *size)
    missing = (-size[0] % 64, -size[1] % 64)
    # Every size here has more pixels than are missing, so that the border can be mirrored.
    padded = torch.nn.functional.pad(x, (0, missing[1], 0, missing[0]), mode='reflect')
    with torch.no_grad():
        for i, (a, b) in enumerate(zip(model.backbone(x), model.backbone(padded), strict=True)):
            rows, columns = (-(-side // (4 * 2**i)) for side in size)
            assert torch.equal(a, b[..., :rows, :columns])


def test_logits_keep_their_place_on_odd_sizes():
    """At a size that 4 does not divide, logits are those of the larger map, cut, not stretched."""
    head = build_mim().decode_head
    logits = torch.randn(1, 1, 9, 13)
    whole = head.predict_by_feat(logits, [{'img_shape': torch.Size((36, 52))}])
    cut = head.predict_by_feat(logits, [{'img_shape': torch.Size((33, 50))}])
    assert torch.equal(cut, whole[..., :33, :50])
    expected = torch.nn.functional.interpolate(logits, size=(36, 52), mode='bilinear', align_corners=False)
    assert torch.equal(whole, expected)
    assert head.predict_by_feat(logits, [{'img_shape': (40, 50)}]).shape == (1, 1, 40, 50)
    assert head.predict_by_feat(logits, [{'img_shape': (40, 50), 'pad_shape': (36, 52)}]).shape[2:] == (
        36,
        52,
    )


@pytest.mark.parametrize(
    ('shape', 'words'), [((1, 3, 31, 64), ('31×64', '32×32')), ((1, 1, 64, 64), ('in_channels=3',))]
)
def test_wrong_images_are_refused(shape, words):
    model = build_mim()
    with pytest.raises(UserError) as error:
        model.encode_decode(torch.zeros(shape), [{}])
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        ({'base_channels': 6}, 'base_channels=6'),
        ({'depths': []}, r'depths=\[\]'),
        ({'depths': [2, 1], 'inner_blocks': 2}, 'inner_blocks=2'),
        ({'word_channels': 1}, 'word_channels=1, expected 2 or more'),
        ({'fine_channels': [4]}, r'fine_channels=\[4\], expected two widths'),
    ],
)
def test_wrong_shapes_of_the_network_are_refused(kwargs, words):
    with pytest.raises(UserError, match=words):
        MODELS.build({'type': 'MiMEncoder', **kwargs})


@pytest.mark.parametrize('kwargs', [{}, {'published_layout': True}, {'inner_blocks': 2, 'drop_path': 0.1}])
def test_gradients_reach_every_parameter(kwargs):
    model = build_mim(**kwargs, head={'deep_supervision': True}).train()
    # In training a bias before a normalisation is subtracted again; drop path would hide branches.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | DropPath):
            module.eval()
    losses = model(torch.randn(2, 3, 64, 72), [sample(64, 72, seed=i) for i in range(2)], mode='loss')
    assert list(losses) == [f'decode.loss_{name}' for name in ('s2', 's3', 's4', 'out')]
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_fine_maps_come_beside_those_of_the_published_encoder():
    plain, fine = build_mim(), build_mim(fine_channels=[4, 6], head={'deep_supervision': True})
    missing, unexpected = fine.backbone.load_state_dict(plain.backbone.state_dict(), strict=False)
    assert not unexpected
    assert {key.split('.')[0] for key in missing} == {'fine'}
    x = torch.randn(1, 3, 67, 90)
    with torch.no_grad():
        maps, published = fine.backbone(x), plain.backbone(x)
        out = fine.encode_decode(x, [{}])
    assert [tuple(m.shape[1:]) for m in maps[:2]] == [(4, 67, 90), (6, 34, 45)]
    assert all(torch.equal(a, b) for a, b in zip(maps[2:], published, strict=True))
    assert out.shape == (1, 1, 67, 90)
    assert fine.decode_head.map_names == ['s2', 's3', 's4', 's5', 's6', 'out']
    losses = fine.train()(torch.randn(2, 3, 64, 72), [sample(64, 72, seed=i) for i in range(2)], mode='loss')
    fine.parse_losses(losses)[0].backward()
    assert all(p.grad.abs().max() > 0 for p in fine.backbone.fine.parameters())


def test_one_map_without_deep_supervision():
    model = build_mim().train()
    losses = model(torch.randn(2, 3, 64, 64), [sample(64, 64, seed=i) for i in range(2)], mode='loss')
    assert list(losses) == ['decode.loss_out']
    assert not hasattr(model.decode_head, 'sides')


def test_drop_path_grows_over_the_blocks():
    model = build_mim(depths=[1, 2, 2], drop_path=0.2)
    probabilities = [
        block.outer.drop_path.drop_prob for stage in model.backbone.stages for block in stage.blocks
    ]
    assert probabilities == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    model.backbone.train()
    for module in model.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    x = torch.randn(1, 3, 32, 32).expand(16, -1, -1, -1)
    with torch.no_grad():
        maps = model.backbone(x)
    assert torch.equal(*maps[0][:2])  # the first block has none
    assert len({value.item() for value in maps[-1][:, 0, 0, 0]}) > 1


def test_widths_and_depths_are_arguments():
    model = build_mim(base_channels=12, word_channels=3, depths=(1, 3), inner_blocks=1)
    assert model.decode_head.in_channels == [12, 24]
    assert model.backbone.multiple == 16
    assert [len(stage.blocks) for stage in model.backbone.stages] == [1, 3]
    with torch.no_grad():
        assert model.encode_decode(torch.randn(1, 3, 50, 33), [{}]).shape == (1, 1, 50, 33)


def test_pyramid_that_does_not_halve_is_refused():
    head = MODELS.build({'type': 'MiMHead', 'in_channels': [4, 8]})
    with pytest.raises(UserError, match='MiMHead: a map of 16×16 is followed by one of 16×16, expected 8×8'):
        head([torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 16, 16)])
    with pytest.raises(UserError, match='at least 2'):
        MODELS.build({'type': 'MiMHead', 'in_channels': [4]})
    with pytest.raises(UserError, match='one for each of s2, out'):
        MODELS.build(
            {'type': 'MiMHead', 'in_channels': [4, 8], 'deep_supervision': True, 'loss_weights': [1]}
        )

"""Every module of MiM-ISTD against the published code's values and gradients."""

import pytest
import torch
from torch import nn

import madnet.models  # noqa: F401
from madnet.models.checkpoints.blocks import BODY, FCN_HEAD
from madnet.models.checkpoints.mim import (
    BLOCK,
    FFN,
    PATCH_EXPAND,
    SENTENCE_MERGE,
    STEM,
    UPSAMPLE,
    WORD_MERGE,
)
from madnet.models.checkpoints.renaming import inverse, rename
from madnet.models.heads import MiMHead
from madnet.models.layers import (
    InvertedResidualFFN,
    MiMBlock,
    MiMStem,
    PatchExpand,
    ResidualBlock,
    SentenceMerge,
    UpsampleBlock,
    WordMerge,
)

SIZE = (4, 4)
"""Sentences of the goldens' images, (H, W)."""


def to_words(tokens):
    """Published words (B·N, 16, k) → ours (B, H, W, 16, k)."""
    return tokens.unflatten(0, (-1, *SIZE))


class Block(nn.Module):
    """A block on the goldens' tokens: words (B·N, 16, k), sentences (B, N, C)."""

    def __init__(self, word_channels):
        super().__init__()
        self.part = MiMBlock(32, word_channels, published_layout=True)

    def forward(self, words, sentences):
        words, sentences = self.part(to_words(words), sentences.unflatten(1, SIZE))
        return words.flatten(0, 2), sentences.flatten(1, 2)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = MiMStem(3, 32, 4)

    def forward(self, x):
        words, sentences = self.part(x)
        return words.flatten(0, 2), sentences.flatten(1, 2)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = WordMerge(4, 8)

    def forward(self, words):
        return self.part(to_words(words)).flatten(0, 2)


class Sentences(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = SentenceMerge(8, 16)

    def forward(self, sentences):
        return self.part(sentences.unflatten(1, SIZE)).flatten(1, 2)


class Prediction(nn.Module):
    """The last two convolutions of a head, without the pyramid before them."""

    def __init__(self):
        super().__init__()
        head = MiMHead([16, 32])
        self.part = nn.ModuleDict({'reduce': head.reduce, 'dropout': head.dropout, 'conv_seg': head.conv_seg})

    def forward(self, x):
        return self.part['conv_seg'](self.part['dropout'](self.part['reduce'](x)))


CASES = {
    'irffn_d8': (lambda: InvertedResidualFFN(8), FFN),
    'block_inner_o32_i4': (lambda: Block(4), BLOCK),
    'block_inner_o32_i4_hot': (lambda: Block(4), BLOCK),
    'block_outer_only_o32': (lambda: Block(None), BLOCK),
    'stem_i4_o32': (Stem, STEM),
    'merge_word_4_8': (Words, WORD_MERGE),
    'merge_sentence_8': (Sentences, SENTENCE_MERGE),
    'upsample_block_6': (lambda: UpsampleBlock(6), UPSAMPLE),
    'patch_expand_8': (lambda: PatchExpand(8, 4), PATCH_EXPAND),
    'residual_block_6': (lambda: ResidualBlock(6), BODY),
    'fcnhead_16': (Prediction, FCN_HEAD),
}
TESTED_ELSEWHERE = {
    'selective_scan',
    'ss2d_d8_4x4',
    'ss2d_d16_5x5',
    'ss2d_d16_5x5_hot',
    'ss2d_d32_6x3',
    'ss2d_core_d16_3x4',
}


@pytest.fixture(scope='module')
def goldens(golden_dir):
    return torch.load(golden_dir / 'mim_modules.pt', weights_only=True)


def test_every_entry_is_used(goldens):
    assert set(goldens) == set(CASES) | TESTED_ELSEWHERE


@pytest.mark.parametrize('name', CASES)
def test_output_and_gradients(name, goldens):
    golden = goldens[name]
    build, names = CASES[name]
    module = build().eval()
    part = getattr(module, 'part', module)
    part.load_state_dict(rename(golden['state_dict'], inverse(names)))
    inputs = [x.clone().requires_grad_() for x in golden['inputs']]
    outputs = module(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for found, expected in zip(outputs, golden['outputs'], strict=True):
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()

    loss = sum(y.square().sum() for y in outputs)
    assert loss.item() == pytest.approx(golden['loss'], rel=1e-4)
    loss.backward()
    for x, expected in zip(inputs, golden['input_grads'], strict=True):
        assert (x.grad - expected).abs().max() <= 1e-4 * expected.abs().max()
    grads = rename({key: p.grad for key, p in part.named_parameters()}, names)
    assert set(grads) == set(golden['grad_norm'])
    for key, grad in grads.items():
        assert grad.norm().item() == pytest.approx(golden['grad_norm'][key], rel=1e-4, abs=1e-5), key

"""Checkpoints of the published MiM-ISTD, to and from ours."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from madnet.errors import UserError
from madnet.models.checkpoints.blocks import BODY, FCN_HEAD
from madnet.models.checkpoints.conversion import Converter, to_ours, to_published
from madnet.models.checkpoints.fitting import first_keys, unwrap
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template
from madnet.text import natural

PUBLISHED = 'not a checkpoint of the published MiM-ISTD'
OURS = 'not a state dict of our MiM-ISTD'

SS2D: Names = {
    name: name
    for name in (
        *('in_proj', 'conv2d', 'x_proj_weight', 'dt_projs_weight', 'dt_projs_bias', 'A_logs', 'Ds'),
        *('out_norm', 'out_proj'),
    )
}
FFN: Names = {
    'widen.0': 'conv1x1_gelu_bn.conv3x3_gelu_bn.0',
    'widen.2': 'conv1x1_gelu_bn.conv3x3_gelu_bn.2',
    'depthwise.0': 'conv3x3_dw.conv',
    'depthwise.2': 'act.1',
    'narrow.0': 'conv1x1_pw.0',
    'narrow.1': 'conv1x1_pw.1',
}
BLOCK: Names = {'proj_norm1': 'proj_norm1', 'proj': 'proj', 'proj_norm2': 'proj_norm2'}
for _part in ('inner', 'outer'):
    BLOCK |= {
        f'{_part}.norm1': f'{_part}_norm1',
        f'{_part}.norm2': f'{_part}_norm2',
        **nest(f'{_part}.ss2d', f'{_part}_attn', SS2D),
        **nest(f'{_part}.ffn', f'{_part}_mlp', FFN),
    }
STEM: Names = {
    **{f'common.{i}': f'common_conv.{i}' for i in (0, 1)},
    **{f'words.{i}': f'inner_convs.{i}' for i in (0, 1)},
    **{f'sentences.{i}': f'outer_convs.{i}' for i in (0, 1, 3, 4, 6, 7)},
}
WORD_MERGE: Names = {'norm': 'norm', 'conv': 'conv.0'}
SENTENCE_MERGE: Names = {'norm': 'norm', 'reduction': 'reduction'}
UPSAMPLE: Names = {
    'transposed_conv': 'transposed_conv',
    'bn1': 'batch_norm1',
    'conv': 'conv',
    'bn2': 'batch_norm2',
}
PATCH_EXPAND: Names = {'expand': 'expand', 'norm': 'norm'}


@dataclass(frozen=True)
class Part:
    """A kind of block of the published network.

    ``marks`` are keys by which a published block of this kind is recognised, each with the axis along which
    its shape is the block's width.
    """

    names: Names
    marks: tuple[tuple[str, int], ...]


PARTS = {
    'stem': Part(STEM, (('common_conv.0.weight', 0), ('outer_convs.0.weight', 0))),
    'block': Part(BLOCK, tuple((f'outer_norm{i}.{leaf}', 0) for i in (1, 2) for leaf in ('weight', 'bias'))),
    'word_merge': Part(WORD_MERGE, (('conv.0.weight', 0), ('conv.0.bias', 0))),
    'sentence_merge': Part(SENTENCE_MERGE, (('reduction.weight', 0),)),
    'up': Part(UPSAMPLE, (('transposed_conv.weight', 0), ('transposed_conv.bias', 0))),
    'expand': Part(PATCH_EXPAND, (('expand.weight', 1),)),
    'residual': Part(BODY, (('body.0.weight', 0), ('body.3.weight', 0))),
    'head': Part(FCN_HEAD, (('block.0.weight', 0), ('block.4.weight', 0))),
}


@dataclass(frozen=True)
class MiMShape:
    """What a checkpoint shows of its network: the arguments of ``MiMEncoder`` and ``MiMHead``."""

    in_channels: int
    base_channels: int
    word_channels: int
    depths: tuple[int, ...]
    inner_blocks: int
    head_blocks: int

    def parts(self) -> Iterator[tuple[str, int, str, str]]:
        """(kind, width, our name, the published name) of every block, in order inside a kind and width."""
        yield 'stem', 0, 'backbone.stem', 'patch_embed'
        for i, depth in enumerate(self.depths):
            width, stage = self.base_channels * 2**i, f'backbone.stages.{i}'
            for j in range(depth):
                yield 'block', width, f'{stage}.blocks.{j}', f'stages.{i}.blocks.{j}'
            yield 'up', width, f'{stage}.up', f'up_blocks.{i}'
            if i:
                words = self.word_channels * 2**i
                yield 'word_merge', words, f'{stage}.word_merge', f'word_merges.{i - 1}'
                yield 'sentence_merge', width, f'{stage}.sentence_merge', f'sentence_merges.{i - 1}'
                yield 'expand', width, f'decode_head.ups.{i - 1}', f'deconv{i}'
            if i + 1 < len(self.depths):
                for j in range(self.head_blocks):
                    ours, published = f'decode_head.decoders.{i}.{j}', f'uplayer{i + 1}.{j}'
                    yield 'residual', width, ours, published
        yield 'head', 0, 'decode_head', 'head'

    def names(self, published: Mapping[str, Tensor] | None = None) -> Names:
        """Our names → the published ones, as they stand in ``published`` where it is given."""
        found = _find_parts(published or {})
        names: Names = {}
        for kind, width, ours, theirs in self.parts():
            # A stem or a head is the only one of its kind, whatever its width.
            same = [prefix for w, prefix in found[kind] if not width or w == width]
            taken = same[0] if same else theirs
            found[kind] = [unit for unit in found[kind] if unit[1] != taken]
            names |= nest(ours, taken, PARTS[kind].names) if taken else _at_root(ours, PARTS[kind].names)
        return names

    def template(self) -> dict[str, Tensor]:
        """Our state dict of this shape, without memory behind it."""
        backbone = dict(
            type='MiMEncoder',
            in_channels=self.in_channels,
            base_channels=self.base_channels,
            word_channels=self.word_channels,
            depths=self.depths,
            inner_blocks=self.inner_blocks,
        )
        return template(backbone, dict(type='MiMHead', blocks=self.head_blocks))


def published_mim_shape(published: Mapping[str, Any]) -> MiMShape:
    """The network that a checkpoint with the published key names belongs to.

    Raises:
        UserError: It has no stem or no first stage, or an impossible number of blocks.
    """
    state = unwrap(published)
    found = _find_parts(state)
    stem = f'{found["stem"][0][1]}.'.removeprefix('.') if found['stem'] else ''
    keys = [f'{stem}{key}.weight' for key in ('common_conv.0', 'inner_convs.0', 'outer_convs.6')]
    absent = [key for key in keys if key not in state or state[key].ndim != 4]
    if absent:
        raise UserError(
            f'{PUBLISHED}: it has no convolution {absent[0]}; its first keys are {first_keys(state)}'
        )
    width = state[keys[2]].shape[0]
    blocks = found['block']
    inner = sum(
        f'{prefix}.inner_norm1.weight'.removeprefix('.') in state for w, prefix in blocks if w == width
    )
    return _checked_shape(
        PUBLISHED,
        in_channels=state[keys[0]].shape[1],
        base_channels=width,
        word_channels=state[keys[1]].shape[0],
        depths=_counts([w for w, _ in blocks], width),
        inner_blocks=inner,
        head_blocks=sum(w == width for w, _ in found['residual']),
    )


def convert_mim(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our MiM-ISTD from a checkpoint of the published network.

    Blocks are recognised by the names of what they hold, and distinguished by width and order, so that any
    prefix may stand before them. Parameters that the published network never reads are dropped: the tables
    ``relative_pos`` and the encoder's last ``norm``. The weights belong to ``published_layout=True``.
    """
    state = unwrap(published)
    shape = published_mim_shape(state)
    dead = _dead(state, shape)
    live = {key: value for key, value in state.items() if key not in dead}
    return to_ours(live, shape.template(), shape.names(state), PUBLISHED)


def export_mim(state_dict: Mapping[str, Any], like: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """The inverse of :func:`convert_mim`: the published key names for a state dict of our MiM-ISTD.

    Maps of deep supervision, which the published network lacks, are left out; the prediction does not need
    them.

    Args:
        state_dict: State dict of our MiM-ISTD, bare or under ``state_dict``.
        like: A checkpoint of the published network of the same shape, whose names of containers and whose
            parameters without effect the result takes over. Without it containers have the names of
            PyramidTNT, which the network descends from (``patch_embed``, ``stages.0.blocks.0``, …), and
            ``deconv1``, ``uplayer1``, …, ``head``; parameters without effect are missing: load with
            ``strict=False``.

    Raises:
        UserError: The state dict is of another architecture, or ``like`` of another shape.
    """
    state = {k: v for k, v in unwrap(state_dict).items() if not k.startswith('decode_head.sides.')}
    shape = _our_shape(state)
    model: dict[str, Tensor] = {}
    if like is not None:
        model = unwrap(like)
        theirs = published_mim_shape(model)
        if theirs != shape:
            raise UserError(f'like is a checkpoint of {theirs}, expected the shape to be exported, {shape}')
    dead = {key: model[key] for key in _dead(model, shape)}
    return to_published(state, shape.template(), shape.names(model), OURS) | dead


def _find_parts(state: Mapping[str, Tensor]) -> dict[str, list[tuple[int, str]]]:
    """kind → (width, published prefix) of the blocks of that kind, by width, then in natural order."""
    found: dict[str, dict[str, int]] = {kind: {} for kind in PARTS}
    for kind, part in PARTS.items():
        for mark, axis in part.marks:
            for key, value in state.items():
                prefix = key.removesuffix(mark)
                if prefix != key and prefix[-1:] in ('', '.') and value.ndim > axis:
                    found[kind].setdefault(prefix.removesuffix('.'), value.shape[axis])
    return {
        kind: sorted(
            ((width, prefix) for prefix, width in units.items()), key=lambda u: (u[0], natural(u[1]))
        )
        for kind, units in found.items()
    }


def _at_root(ours: str, names: Names) -> Names:
    return {f'{ours}.{a}': b for a, b in names.items()}


def _dead(state: Mapping[str, Tensor], shape: MiMShape) -> list[str]:
    blocks = {prefix for units in _find_parts(state).values() for _, prefix in units}
    last = (shape.base_channels * 2 ** (len(shape.depths) - 1),)

    def is_dead(key: str) -> bool:
        path = key.split('.')
        if path[-1] == 'relative_pos':
            return True
        is_norm = path[-2:] in (['norm', 'weight'], ['norm', 'bias']) and state[key].shape == last
        return is_norm and '.'.join(path[:-2]) not in blocks

    return [key for key in state if is_dead(key)]


def _our_shape(state: Mapping[str, Tensor]) -> MiMShape:
    keys = [f'backbone.stem.{part}.weight' for part in ('common.0', 'words.0', 'sentences.6')]
    absent = [key for key in keys if key not in state or state[key].ndim != 4]
    if absent:
        raise UserError(f'{OURS}: it has no {absent[0]}; its first keys are {first_keys(state)}')
    width = state[keys[2]].shape[0]

    def count(pattern: str) -> int:
        return sum(re.fullmatch(pattern, key) is not None for key in state)

    stages = count(r'backbone\.stages\.\d+\.up\.conv\.weight')
    return _checked_shape(
        OURS,
        in_channels=state[keys[0]].shape[1],
        base_channels=width,
        word_channels=state[keys[1]].shape[0],
        depths=tuple(
            count(rf'backbone\.stages\.{i}\.blocks\.\d+\.outer\.norm1\.weight') for i in range(stages)
        ),
        inner_blocks=count(r'backbone\.stages\.0\.blocks\.\d+\.inner\.norm1\.weight'),
        head_blocks=count(r'decode_head\.decoders\.0\.\d+\.body\.0\.weight'),
    )


def _checked_shape(verdict: str, **numbers: Any) -> MiMShape:
    shape = MiMShape(**numbers)
    possible = len(shape.depths) > 1 and 1 <= shape.inner_blocks <= min(shape.depths)
    if not possible or shape.base_channels % 4:
        raise UserError(
            f'{verdict}: found stages of {list(shape.depths)} blocks at widths from {shape.base_channels}, '
            f'{shape.inner_blocks} in the first stage with words; expected two stages or more, each with as '
            'many blocks with words as the first, at least one, and a width that is a multiple of 4'
        )
    return shape


def _counts(widths: list[int], first: int) -> tuple[int, ...]:
    """How often ``first``, twice that, four times that and so on occur, until one does not."""
    counts: list[int] = []
    while n := widths.count(first * 2 ** len(counts)):
        counts.append(n)
    return tuple(counts)


CONVERTER = Converter('mim', 'MiM-ISTD', convert_mim, export_mim, takes_like=True)

"""A wider network that begins as a trained narrower one of its kind."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from madnet.config_files import find_config_file
from madnet.datasets.image_pipeline import backbone_channels, pipeline_settings
from madnet.engine.building import build_model
from madnet.engine.checkpoint import load_weights, recorded_statistics, statistics_of
from madnet.engine.checkpoint_file import BEFORE, SCHEME, read_checkpoint
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.engine.training_record import training_parts
from madnet.errors import UserError
from madnet.files import expect_new, read_json, write_whole
from madnet.models.layers.madnet_blocks import MemoryAttention
from madnet.pretrained.loading import load_pretrained
from madnet.records import get_pretrained

#: How far logits of both may differ, by their largest.
_APART = 1e-3


def write_widened(
    model: str,
    config: str | Path,
    out: str | Path,
    checkpoint: str | Path | None = None,
    options: list[str] | None = None,
    trust_checkpoint: bool = False,
    force: bool = False,
) -> str:
    """Write a checkpoint with which a wider network computes what a narrower one does, to train on from.

    Args:
        model: The narrower network: a name of the registry, or with ``checkpoint`` a config file.
        config: The wider network's.
        out: The file to write.
        checkpoint: The narrower network's weights.
        options: ``KEY=VALUE`` pairs that override the wider network's config.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        force: Whether to replace a file that is there.

    Returns:
        What came of it, in words.

    Raises:
        UserError: A network or file that is not there, or ``out`` that is; two networks of different kinds,
            or whose widths are no multiples; a kind of which copies of channels change the result.
    """
    expect_new(out, force=force)
    if checkpoint is None:
        narrow, origin, saved = load_pretrained(model)[0], f'{SCHEME}{model}', None
        settings = read_json(get_pretrained(model).config)['pipeline']
    else:
        origin = str(checkpoint)
        saved = read_checkpoint(checkpoint, trust_checkpoint)
        cfg = load_config(find_config_file(model), statistics=recorded_statistics(saved))
        narrow = build_model(cfg)
        load_weights(narrow, saved, checkpoint)
        settings = pipeline_settings(cfg)
    channels = settings['channels']  # a backbone of one's own need not keep their number
    statistics = statistics_of(narrow)
    cfg = load_config(find_config_file(config), parse_options(options), statistics=statistics)
    if (wider := backbone_channels(cfg.model)) not in (None, channels):
        raise UserError(
            f'{config}: takes {wider} channels, {model} takes {channels}; give both '
            f'the same (--cfg-options model.backbone.in_channels={channels}).'
        )
    wide = build_model(cfg)
    state = widen(narrow, wide)
    wide.load_state_dict(state)
    apart = _apart(narrow, wide, channels)
    if not apart <= _APART:
        raise UserError(
            f'{config}: widened from {model} it computes something else (by {apart:.0e} of the largest '
            'logit): networks of this kind cannot be widened by copies of their channels.'
        )
    file = io.BytesIO()
    before_it = [part.as_plain() for part in training_parts(origin, saved)]
    meta = {'data_preprocessor': statistics, BEFORE: before_it}
    torch.save({'state_dict': state, 'meta': meta}, file)
    write_whole(out, file.getvalue())
    before, after = (sum(p.numel() for p in each.parameters()) for each in (narrow, wide))
    return f'{out}: {before:,} → {after:,} parameters; logits differ by {apart:.0e} of the largest'


def widen(narrow: nn.Module, wide: nn.Module, seed: int = 42) -> dict[str, Tensor]:
    """Weights with which a wider network computes what a narrower one does.

    As Net2WiderNet (Chen et al., ICLR 2016), with every channel copied equally often: channel c of the narrow
    network is channels r·c … r·c + r − 1 of the wide one, and each weight is split among the copies of its
    input channel by shares that are drawn. Since shares differ, so do the copies' gradients: they part from
    the first step on.

    Args:
        narrow: The trained network.
        wide: The same network with r times the channels, r a whole number.
        seed: Of the shares.

    Returns:
        A state dict for ``wide``.

    Raises:
        UserError: Parameters that only one of them has, or that are no multiple of the narrow one's.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: value.shape for name, value in wide.state_dict().items()}
    state = narrow.state_dict()
    if odd := sorted(shapes.keys() ^ state.keys()):
        raise UserError(f'{odd[0]}: only one of the two networks has it; both have to be of one kind.')
    # logits of a memory bank are sums over its width, divided by the width's root
    roots = tuple(
        f'{n}.reduce.' for n, module in narrow.named_modules() if isinstance(module, MemoryAttention)
    )
    widened = {}
    for name, value in state.items():
        new = _copied(name, value, shapes[name], generator)
        if name.startswith(roots):
            new = new * (len(value) / len(new)) ** 0.5
        widened[name] = new.to(value.dtype).contiguous()
    return widened


def _copied(name: str, value: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    copies = [new // old for old, new in zip(value.shape, shape, strict=False)]
    if value.dim() != len(shape) or [old * r for old, r in zip(value.shape, copies, strict=True)] != list(
        shape
    ):
        raise UserError(f'{name}: {tuple(shape)} is no multiple of {tuple(value.shape)}.')
    new = value.double() if value.is_floating_point() else value
    for axis, r in enumerate(copies):
        new = new.repeat_interleave(r, axis)
    if len(copies) > 1 and copies[1] > 1:  # input channels
        shares = torch.rand(new.shape, generator=generator, dtype=torch.float64).unflatten(1, (-1, copies[1]))
        new = new.unflatten(1, shares.shape[1:3]) * shares / shares.sum(dim=2, keepdim=True)
        new = new.flatten(1, 2)
    return new


@torch.no_grad()
def _apart(narrow: nn.Module, wide: nn.Module, channels: int) -> float:
    """The largest difference of their logits over the largest logit, on noise."""
    noise = torch.randn(1, channels, 96, 80, generator=torch.Generator().manual_seed(0))
    ours, theirs = (model.eval()(noise, mode='tensor') for model in (narrow, wide))
    ours, theirs = (maps[0] if isinstance(maps, list | tuple) else maps for maps in (ours, theirs))
    return float((ours - theirs).abs().max() / ours.abs().max())

"""Whether a head's losses train what they should: a perfect map must cost less than its inverse, and what
they are given must be logits."""

import copy
import math
from itertools import takewhile
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.func import functional_call

from madnet.errors import UserError

#: Loss of mmseg that is made for several channels → ours for one.
_INSTEAD = {'DiceLoss': 'SoftDiceLoss', 'FocalLoss': 'MaskBCELoss', 'BCE': 'MaskBCELoss'}

#: By which the parameters of a head are multiplied: no logits stay in 0–1 with all of these.
_FACTORS = (1, -1, 2, -2, 8, -8, 64, -64)


@torch.no_grad()
def check_logits(model: nn.Module, channels: int) -> None:
    """Look whether a segmentor's head of one channel ends in a sigmoid of its own, by a few forward passes.

    The losses and the prediction take logits, and a network whose head gives probabilities trains on without
    a word. Logits of a fresh network may happen to be between 0 and 1: so the head's parameters are turned
    and enlarged as well, with which a sigmoid alone stays there. Left out are heads whose map does not change
    with their parameters, and heads and segmentors that have a loss or prediction of their own.

    Args:
        model: A segmentor.
        channels: Of its images.

    Raises:
        UserError: Whatever the parameters, no pixel leaves 0–1.
    """
    head: Any = getattr(model, 'decode_head', None)
    parameter = next(head.parameters(), None) if getattr(head, 'out_channels', 0) == 1 else None
    ways_known = _has_ways_of(BaseDecodeHead, head, 'loss', 'loss_by_feat', 'predict', 'predict_by_feat')
    ways = 'loss', 'predict', 'inference', 'encode_decode', 'postprocess_result'
    if parameter is None or not ways_known or not _has_ways_of(EncoderDecoder, model, *ways):
        return
    modes = {module: module.training for module in model.modules()}
    for module in modes:
        module.training = False
    try:
        with torch.random.fork_rng(devices=[]):
            size = getattr(model.backbone, 'padded_size', lambda *size: size)(64, 64)
            images = torch.randn(1, channels, *size).to(parameter.device)
            features = model.extract_feat(images)
            maps = ((_map(head, features, factor), factor) for factor in _FACTORS)
            kept = [found for found, _ in takewhile(lambda one: _in_unit(*one), maps)]
            squashed = len(kept) == len(_FACTORS) and any(not kept[0].equal(found) for found in kept)
    except Exception:  # what fails with an image of this size may do with those of the training
        return
    finally:
        for module, mode in modes.items():
            module.training = mode
    if squashed:
        raise UserError(
            f'model.decode_head: {type(head).__name__} gives values in 0–1 whatever its parameters are, '
            'expected logits, of which the losses and the prediction take the sigmoid themselves: leave the '
            'sigmoid at its end out.'
        )


def _has_ways_of(base: type, part: nn.Module, *names: str) -> bool:
    """Whether these methods of a part are ours or those of mmseg's base class: others that override them may
    take more than a map of logits, or something else."""
    ways = {name: getattr(type(part), name, None) for name in names}
    return all(
        getattr(way, '__module__', '').startswith('madnet.') or way is getattr(base, name)
        for name, way in ways.items()
    )


def _map(head: nn.Module, features: Any, factor: float) -> Tensor:
    scaled = {name: factor * value for name, value in head.named_parameters()}
    maps = functional_call(head, scaled, (features,))
    return maps[-1] if isinstance(maps, list) else maps  # as PyramidHead predicts


def _in_unit(logits: Tensor, factor: float) -> bool:
    if logits.isnan().any():  # of numbers that overflow, which says nothing
        return abs(factor) > 1
    # zero everywhere is what a head gives whose last layer begins with zeros
    return bool(logits.min() >= 0 and 0 < logits.max() <= 1)


@torch.no_grad()
def check_losses(model: nn.Module) -> None:
    """Try the losses of a model's heads, by the heads' own path, on two tiny maps and their inverses.

    Several losses of mmseg softmax over channels; with one channel they are constant, or lowest where the
    mask is inverted, and a network trains on that without a word. Heads whose losses take more than logits
    are left out.

    Args:
        model: A segmentor, or a head.

    Raises:
        UserError: A loss fails on logits of this form, prefers the inverse, or does not care; it has no
            name where losses are told apart by it; or a head or loss of ours is given more than two channels.
    """
    # of the whole, for a head may have no parameters
    parameter = next(model.parameters(), None)
    device = torch.device('cpu') if parameter is None else parameter.device
    for key, head in model.named_modules():
        if isinstance(head, BaseDecodeHead) and _has_ways_of(BaseDecodeHead, head, 'loss_by_feat'):
            name = f'model.{key}' if key else type(head).__name__
            _check_head(head, f'{name}.loss_decode', device)


def _check_head(head: BaseDecodeHead, key: str, device: torch.device) -> None:
    own, mmsegs = head.loss_decode, type(head).loss_by_feat is BaseDecodeHead.loss_by_feat
    parts = list(own) if isinstance(own, nn.ModuleList) else [own]
    if head.out_channels not in (1, 2):
        if mmsegs and not any(type(part).__module__.startswith('madnet.') for part in parts):
            return  # which tell several classes apart
        raise UserError(
            f'{key.removesuffix("loss_decode")}out_channels: found {head.out_channels}, expected 1 (target), '
            'or 2 (background, target).'
        )
    losses = copy.deepcopy(own)
    for module in losses.modules():
        if hasattr(module, 'set_epoch'):
            module.set_epoch(10**6 - 1, 10**6)  # past any warm-up, where all of the loss holds
    logits, samples = _example(head, device)
    parts = list(losses) if isinstance(losses, nn.ModuleList) else [losses]
    # mmseg's heads ask for the name of a single one too
    if len(parts) > 1 or mmsegs:
        _refuse_nameless(parts, key)
    costs = []
    try:
        for part in parts:
            head.loss_decode = part
            costs.append([_cost(head, sign * logits, samples, key, part) for sign in (1, -1)])
    finally:
        head.loss_decode = own
        if hasattr(head, 'highest_logits'):
            head.highest_logits = {}
    indifferent = not sum(perfect for perfect, _ in costs) < sum(inverse for _, inverse in costs)
    for part, (perfect, inverse) in zip(parts, costs, strict=True):
        if not math.isfinite(perfect + inverse):
            raise UserError(
                f'{key}: {type(part).__name__} is {perfect:.4g} for a perfect map and {inverse:.4g} for its '
                'inverse (logits of 10 and -10); a loss must be finite.'
            )
    for part, (perfect, inverse) in zip(parts, costs, strict=True):
        # all are to blame for their sum only where none prefers the inverse: then none says anything
        if perfect > inverse or (indifferent and all(p <= i for p, i in costs)):
            _refuse(key, part, f'costs a perfect map {perfect:.4g} and its inverse {inverse:.4g}')


def _refuse_nameless(parts: list[nn.Module], key: str) -> None:
    for part in parts:
        if not hasattr(part, 'loss_name'):
            raise UserError(
                f'{key}: {type(part).__name__} has no loss_name, by which it is told from other losses; '
                "give it one with 'loss' in it, such as loss_name = 'loss_own' in the class."
            )


def _example(head: BaseDecodeHead, device: torch.device) -> tuple[Tensor, list[SegDataSample]]:
    """Perfect logits (2, K, 16, 16) and their samples, larger by what the head enlarges logits by."""
    mask = torch.zeros(2, 1, 16, 16, dtype=torch.int64, device=device)
    mask[0, :, 3:6, 4:7] = mask[1, :, 9:11, 8:12] = 1
    logits = 20.0 * mask - 10
    stride = getattr(head, 'logit_stride', None) or 1
    samples = []
    for truth in mask.repeat_interleave(stride, 2).repeat_interleave(stride, 3):
        sample = SegDataSample(metainfo={'img_path': 'probe'})
        sample.set_data({'gt_sem_seg': PixelData(data=truth), 'gt_mask': PixelData(data=255 * truth)})
        samples.append(sample)
    return logits if head.out_channels == 1 else torch.cat([-logits, logits], dim=1), samples


def _cost(head: BaseDecodeHead, logits: Tensor, samples: list, key: str, part: nn.Module) -> float:
    try:
        losses = head.loss_by_feat(logits, samples)
    except (ValueError, RuntimeError, IndexError, AssertionError, TypeError) as e:
        _refuse(key, part, f'fails on them ({(str(e).splitlines() or [type(e).__name__])[0][:80]})')
    return sum(float(v.mean()) for name, v in losses.items() if 'loss' in name)


def _refuse(key: str, part: nn.Module, what: str) -> None:
    kind = type(part).__name__
    instead = _INSTEAD.get(kind, 'SoftIoULoss')
    raise UserError(
        f"{key}: {kind} misreads this head's logits: it {what}. "
        f"Use dict(_delete_=True, type={instead!r}), or mmseg's CrossEntropyLoss with use_sigmoid=True."
    )

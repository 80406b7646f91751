"""The segmentor: backbone, neck and head, and what they say about an image."""

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.input_check import InputError
from madnet.models.layers import pad_reflect
from madnet.models.segmentors.groups import PIXELS_TOGETHER, in_groups
from madnet.models.segmentors.test_time import (
    DEFAULTS,
    MERGES,
    Scaling,
    check_test_time,
    merged_views,
    views_of,
)


@MODELS.register_module()
class IRSTDSegmentor(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` with a prediction that does not depend on the batch.

    On a CPU, ``predict`` runs every image on its own. Convolution libraries choose their algorithm by the
    shape of a batch, so the same image gives other last digits in a batch of eight than alone, and a score
    map at a threshold turns such a digit into another metric. Run alone, an image gives bit-identical results
    at any batch size, and a batch may hold images of different sizes. Training uses whole batches.

    A GPU waits for single images, so there the views of all images of a batch go through the network
    together where it sees them at one size: equal to those of single images to rounding.

    A neck or head without ``in_channels`` takes them from what stands before it, where that has
    ``pyramid_channels``, as our backbones and necks do. So the width of MAD-Net is one number,
    ``model.backbone.base_channels``. A head also takes over what the neck before it says in
    ``settings_for_head``, where it has nothing of its own: MAD-Net's bank is one number too,
    ``model.neck.mema2m.slots``.

    A backbone that takes only some sizes says so by ``padded_size(height, width)``, which gives the smallest
    size it takes that holds the image. Images are then mirrored at the right and the bottom up to that size,
    in training with pixels that count in no loss, and logits are cut back. One that is built for a largest
    image also says its side in pixels, ``largest_side``, which exported files keep.

    Args:
        backbone, neck, decode_head, kwargs: As in mmseg's ``EncoderDecoder``; several necks in a list follow
            one another.
        test_cfg: ``dict(mode='whole')`` by default; ``dict(mode='slide', crop_size=…, stride=…)`` for tiles,
            as in mmseg. ``views`` is test-time augmentation (TTA): the mean logits of N views at N times the
            cost. 2: the image and its mirror image; 4: both turned by 180° as well; 8: all turned by 90° as
            well. A false alarm seldom shows in all of them. ``scales=(1, 0.7, 0.5)`` predicts at each of
            these scales, with all views, and takes the ``merge`` of their logits, ``'mean'`` or ``'max'``:
            targets that are larger or more blurred than those of the training images are found where they
            are shrunk. See :class:`~madnet.models.segmentors.test_time.Scaling`. ``together=True`` or
            ``False`` says whether images go through the network together, whatever the device.
            ``temperature`` divides the logits before the sigmoid and ``bias`` is added then, so that
            probabilities are what they say (:mod:`madnet.evaluation.calibration`); ``net_logits`` stay.
        data_preprocessor: ``type`` is ``IRSTDPreProcessor`` unless it says otherwise.

    Attributes:
        teacher: ``(inputs, data_samples)`` → data samples with other masks, which are trained towards
            (:class:`~madnet.pretrained.teaching.TeacherHook`); None.
    """

    teacher: Callable[[Tensor, list[SegDataSample]], list[SegDataSample]] | None = None

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | Sequence[dict] | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        **kwargs,
    ):
        # mmseg builds all three in one go; the neck has to wait until the backbone's channels are known.
        self._neck_cfgs = [neck] if isinstance(neck, dict) else list(neck or [])
        test_cfg = {'mode': 'whole', **DEFAULTS, **(test_cfg or {})}
        check_test_time(*(test_cfg[key] for key in DEFAULTS))
        super().__init__(
            backbone=backbone,
            decode_head=decode_head,
            test_cfg=ConfigDict(test_cfg),
            data_preprocessor=MODELS.build({'type': 'IRSTDPreProcessor', **(data_preprocessor or {})}),
            **kwargs,
        )

    def _init_decode_head(self, decode_head: dict) -> None:
        channels = getattr(self.backbone, 'pyramid_channels', None)
        necks = []
        for cfg in self._neck_cfgs:
            necks.append(MODELS.build(_with_channels(cfg, channels, 'neck')))
            channels = getattr(necks[-1], 'pyramid_channels', None)
        if necks:
            self.neck = necks[0] if len(necks) == 1 else nn.Sequential(*necks)
        for name, values in getattr(necks[-1], 'settings_for_head', {}).items() if necks else ():
            if values and _takes(decode_head['type'], name):
                decode_head = {**decode_head, name: {**values, **(decode_head.get(name) or {})}}
        super()._init_decode_head(_with_channels(decode_head, channels, 'decode_head'))

    def set_test_time(self, **changes) -> None:
        """Change what is given of :data:`~madnet.models.segmentors.test_time.DEFAULTS` in ``test_cfg``."""
        wanted = {key: self.test_cfg[key] for key in DEFAULTS} | changes
        check_test_time(**wanted)
        self.test_cfg.update(wanted)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """Logits (B, 1, H, W) of images (B, C, H, W), at the size of ``inputs`` whatever the metas say."""
        height, width = inputs.shape[2:]
        inputs = self._pad(inputs)
        # mmseg's heads take a torch.Size for the size of the tensor, whatever else the metas hold.
        metas = [{**meta, 'img_shape': inputs.shape[2:]} for meta in batch_img_metas or [{}] * len(inputs)]
        return super().encode_decode(inputs, metas)[..., :height, :width]

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of images (B, C, H, W) and their masks of the same size, by name."""
        if self.teacher is not None:
            data_samples = self.teacher(inputs, data_samples)
        padded = self._pad(inputs)
        if padded.shape != inputs.shape:
            right, bottom = padded.shape[3] - inputs.shape[3], padded.shape[2] - inputs.shape[2]
            ignored = self.decode_head.ignore_index
            data_samples = [_pad_truth(sample, right, bottom, ignored) for sample in data_samples]
        return super().loss(padded, data_samples)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """As mmengine's; numbers are added up in one operator, where it takes two for each."""
        if not all(isinstance(value, Tensor) and value.ndim == 0 for value in losses.values()):
            return super().parse_losses(losses)
        total = torch.stack([value for name, value in losses.items() if 'loss' in name]).sum()
        return total, {'loss': total, **losses}

    def _pad(self, inputs: Tensor) -> Tensor:
        padded_size = getattr(self.backbone, 'padded_size', None)
        if padded_size is None:
            return inputs
        height, width = inputs.shape[2:]
        to_height, to_width = padded_size(height, width)
        if (to_height, to_width) == (height, width):
            return inputs
        return pad_reflect(inputs, left=0, right=to_width - width, top=0, bottom=to_height - height)

    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Results of images (B, C, H, W), or of a list of images (C, Hᵢ, Wᵢ).

        Returns:
            The data samples, each with

            - ``seg_logits``: probabilities in 0–1, (1, H, W) at ``ori_shape`` (mmseg's name for them), from
              logits that were resized before the sigmoid;
            - ``pred_sem_seg``: 0/1, (1, H, W), probability above the head's threshold;
            - ``net_logits``: logits (1, h, w) at the size that the network saw, padding removed.
        """
        if data_samples is None:
            data_samples = [SegDataSample(metainfo={'ori_shape': tuple(image.shape[1:])}) for image in inputs]
        images = [image[None] for image in inputs]
        metas = [
            {'ori_shape': tuple(i.shape[2:]), 'img_shape': tuple(i.shape[2:]), **s.metainfo}
            for i, s in zip(images, data_samples, strict=True)
        ]
        for logits, sample in zip(self._logits(images, metas), data_samples, strict=True):
            self.postprocess_result(logits, [sample])
        return data_samples

    def _logits(self, images: Sequence[Tensor], metas: Sequence[dict]) -> Iterator[Tensor]:
        """Logits (1, K, Hᵢ, Wᵢ) of images (1, C, Hᵢ, Wᵢ), merged over their views and scales."""
        scales = [self._scalings(meta) for meta in metas]
        views = self.test_cfg.views
        looks = (
            (view, meta)
            for image, scalings, meta in zip(images, scales, metas, strict=True)
            for scaling in scalings
            for view in views_of(scaling.apply(image), views)
        )
        logits = in_groups(self._infer, looks, self._seen_size, self._largest_group())
        for image, scalings in zip(images, scales, strict=True):
            # the larger of two channels' logits each would be a pair that the network never gave
            maps = [target_logits(s.undo(merged_views(logits, views), *image.shape[2:])) for s in scalings]
            yield maps[0] if len(maps) == 1 else MERGES[self.test_cfg['merge']](torch.stack(maps))

    def _scalings(self, meta: dict) -> list[Scaling]:
        padded_to = self.data_preprocessor.test_cfg
        pad_again = padded_to and {
            'size': padded_to.get('size'),
            'size_divisor': padded_to.get('size_divisor'),
            'pad_val': self.data_preprocessor.pad_val,
        }
        return [Scaling(scale, _padding_of(meta), pad_again) for scale in self.test_cfg.scales]

    def _seen_size(self, image: Tensor) -> tuple[int, int]:
        """Height and width that the network sees of an image: images that it pads alike can go together."""
        padded_size = getattr(self.backbone, 'padded_size', None)
        height, width = image.shape[2:]
        if padded_size is None or self.test_cfg.mode != 'whole':  # of tiles each is padded by itself
            return height, width
        return padded_size(height, width)

    def _largest_group(self) -> int:
        """How many pixels may go through the network at once; 0: image by image."""
        together = self.test_cfg.get('together', 'auto')
        if together == 'auto':
            together = next(self.parameters()).is_cuda
        return PIXELS_TOGETHER if together else 0

    def _infer(self, images: Sequence[Tensor], metas: Sequence[dict]) -> list[Tensor]:
        """Logits (1, K, Hᵢ, Wᵢ) of images (1, C, Hᵢ, Wᵢ) of which the network sees one size."""
        # of tiles each is padded by itself, and a single image when it is encoded
        padded = self.test_cfg.mode == 'whole' and len(images) > 1
        seen = torch.cat([self._pad(image) if padded else image for image in images])
        size = tuple(seen.shape[2:])
        try:
            logits = self.inference(seen, [{**meta, 'ori_shape': size, 'img_shape': size} for meta in metas])
        except InputError as e:  # which knows the network and the size, not the file
            named = metas[0].get('img_path')
            raise InputError(f'{named}: {e}' if named else str(e)) from None
        return [logits[k : k + 1, :, : image.shape[2], : image.shape[3]] for k, image in enumerate(images)]

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample]
    ) -> list[SegDataSample]:
        """Writes the results of logits (B, 1 or 2, h, w) into the data samples; see :meth:`predict`."""
        logits = target_logits(seg_logits).float()  # half a precision has some hundred scores only
        threshold = self.decode_head.threshold
        threshold = 0.5 if threshold is None else threshold
        for logit, sample in zip(logits, data_samples, strict=True):
            net = _undo(logit, sample.metainfo)
            # in one piece: where a row ends may decide the last bit of a sigmoid
            full, size = net.contiguous(), tuple(sample.get('ori_shape', net.shape[1:]))[:2]
            if tuple(net.shape[1:]) != size:
                enlarged = F.interpolate(net[None], size, mode='bilinear', align_corners=self.align_corners)
                full = enlarged[0]
            temperature, bias = self.test_cfg.temperature, self.test_cfg.bias
            prob = (full if (temperature, bias) == (1, 0) else full / temperature + bias).sigmoid()
            sample.set_data(
                {
                    'net_logits': PixelData(data=net),
                    'seg_logits': PixelData(data=prob),
                    'pred_sem_seg': PixelData(data=(prob > threshold).to(prob)),
                }
            )
        return data_samples


def _with_channels(cfg: dict, channels: Sequence[int] | None, key: str) -> dict:
    if channels is None:
        return cfg
    stated = cfg.get('in_channels')
    if stated is None:
        return {**cfg, 'in_channels': list(channels)}
    if isinstance(stated, Sequence) and 'in_index' not in cfg and list(stated) != list(channels):
        raise UserError(
            f'model.{key}.in_channels: found {list(stated)}, but the part before it gives maps of '
            f'{list(channels)} channels; leave it out, and they are taken from there.'
        )
    return cfg


def _takes(kind: str | type, argument: str) -> bool:
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return argument in inspect.signature(kind).parameters


def _pad_truth(sample: SegDataSample, right: int, bottom: int, ignored: int) -> SegDataSample:
    padded = sample.clone()
    for name, value in (('gt_sem_seg', ignored), ('gt_mask', 0)):
        if name in sample:
            data = F.pad(sample.get(name).data, (0, right, 0, bottom), value=value)
            padded.set_data({name: PixelData(data=data)})
    return padded


def target_logits(logits: Tensor) -> Tensor:
    """One logit a pixel: of two channels, softmax of the second is the sigmoid of their difference."""
    channels = logits.shape[1]
    if channels == 1:
        return logits
    if channels == 2:
        return logits[:, 1:] - logits[:, :1]
    raise UserError(
        f'the head gives {channels} channels, expected 1, or 2 (background, target): '
        'set num_classes=2 in decode_head'
    )


def _undo(logits: Tensor, meta: dict) -> Tensor:
    """Takes the preprocessor's padding and the pipeline's flip back from logits (1, H, W)."""
    left, right, top, bottom = _padding_of(meta)
    height, width = logits.shape[1:]
    logits = logits[:, top : height - bottom, left : width - right]
    if meta.get('flip'):
        logits = logits.flip(-1 if meta.get('flip_direction') == 'horizontal' else -2)
    return logits


def _padding_of(meta: dict) -> tuple[int, int, int, int]:
    """Left, right, top and bottom that the preprocessor has added."""
    return meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))

"""Distillation: a network learns from what another one, larger or trained otherwise, says of its images."""

from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from mmengine.structures import PixelData
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from madnet.engine.bare_model import bare
from madnet.errors import UserError
from madnet.models.heads import PyramidHead
from madnet.models.losses import SLSLoss
from madnet.models.segmentors.irstd_segmentor import IRSTDSegmentor, target_logits
from madnet.pretrained.loading import load_pretrained
from madnet.pretrained.network_file import load_network_file


@HOOKS.register_module()
class TeacherHook(Hook):
    """Trains towards a mean of the masks and a teacher's probabilities, on every crop as it was augmented.

    The teacher's maps say more than a mask: which targets are faint, where an outline is doubtful, what
    looks like a target and is none; and they follow changes of scale and planted targets. It sees the images
    as its own normalisation wants them, changes nothing in the checkpoints (they are of the plain network),
    and costs one of its forward passes a step. Every loss meets the mixed target, in 0–1, on every map. After
    Hinton, Vinyals and Dean (2015), whose two losses are one here where it is cross entropy, which is linear
    in its target. A soft IoU loss pulls every pixel to 0 or to 1 instead, by a cut at IoU / (1 + IoU), a bit
    below one half: with a ``share`` below 0.4 masks have the last word, above it a teacher that is sure.

    Args:
        teacher: A shipped network, such as ``'madnet_tiny'``, or a safetensors file of ``madnet export``.
        share: Of the teacher in the target, above 0; 1 leaves the masks out, but for pixels that they mark as
            ignored.

    Raises:
        UserError: ``share`` is not in 0–1; before training for a teacher that is not found or not of the
            network's channels, and for a network that this cannot be done with.
    """

    def __init__(self, teacher: str, share: float = 0.4):
        if type(share) not in (int, float) or not 0 < share <= 1:
            raise UserError(f'TeacherHook: share={share!r}, expected a number above 0, at most 1.')
        self.teacher = teacher
        self.share = share
        self._ready: Teacher | None = None

    def before_run(self, runner) -> None:
        """Load the teacher of a training, before anything of an earlier one is touched."""
        if isinstance(runner._train_loop, BaseLoop):
            student = bare(runner.model)
            _check_student(student)
            self._ready = Teacher(self._load(), self.teacher, student, self.share)

    def before_train(self, runner) -> None:
        """Put it beside the network, of which averages have their copies by now."""
        assert self._ready is not None
        bare(runner.model).teacher = self._ready
        size = sum(p.numel() for p in self._ready.network.parameters())
        said = f'learns from {self.teacher}, {size:,} parameters, share {self.share:g}'
        runner.logger.info(said)
        if is_main_process():
            print(said, flush=True)

    def after_train(self, runner) -> None:
        """Take it away again."""
        bare(runner.model).teacher = None

    def _load(self) -> nn.Module:
        if not Path(self.teacher).is_file():
            return load_pretrained(self.teacher)[0]
        if Path(self.teacher).suffix.lower() != '.safetensors':
            raise UserError(
                f'TeacherHook: {self.teacher}: no safetensors file; make one of a config and its checkpoint: '
                'madnet export CONFIG CHECKPOINT --format folded.'
            )
        return load_network_file(Path(self.teacher).read_bytes(), self.teacher)[0]


def _check_student(student: nn.Module) -> None:
    """Raise a UserError for a network whose losses do not take soft targets in the masks' place."""
    head = getattr(student, 'decode_head', None)
    if not isinstance(student, IRSTDSegmentor) or not isinstance(head, PyramidHead) or head.out_channels > 1:
        raise UserError(
            f'TeacherHook: found {type(student).__name__} with the head {type(head).__name__}, expected an '
            'IRSTDSegmentor with a PyramidHead of one channel, whose losses take soft targets.'
        )
    if student.with_auxiliary_head:
        raise UserError('TeacherHook: found an auxiliary_head, whose losses want labels; leave it out.')
    if any(isinstance(module, SLSLoss) for module in head.modules()):
        raise UserError(
            'TeacherHook: found SLSLoss, which treats images without any target otherwise, and a teacher '
            'leaves none quite without; expected another loss.'
        )


class Teacher:
    """Mixes a network's probabilities into the masks of a batch; no module, so that the student's weights,
    averages and checkpoints know nothing of it.

    Args:
        network: In evaluation mode.
        name: For errors.
        student: Whose images come, as it normalises them.
        share: Of the network in the mixture, 0–1.
    """

    def __init__(self, network: nn.Module, name: str, student: IRSTDSegmentor, share: float):
        ours, theirs = student.data_preprocessor, network.data_preprocessor
        for who, preprocessor in (('the network', ours), (name, theirs)):
            # of an image that was levelled by its own statistics they are not known any more
            if not hasattr(preprocessor, 'mean') or getattr(preprocessor, 'statistics', '') == 'image':
                raise UserError(
                    f'TeacherHook: {who} has a data_preprocessor without mean and std, or '
                    "statistics='image'; expected mean and std, and statistics='training'."
                )
        if len(ours.mean) != len(theirs.mean):
            raise UserError(
                f'TeacherHook: {name} takes images of {len(theirs.mean)} channel(s), the network of '
                f'{len(ours.mean)}; expected as many.'
            )
        self.network = network.requires_grad_(False)
        self.share = share
        # of two normalisations one after the other
        self._scale = (ours.std.to(theirs.std) / theirs.std).detach().clone()
        self._offset = ((ours.mean.to(theirs.mean) - theirs.mean) / theirs.std).detach().clone()
        self._ignored = student.decode_head.ignore_index

    @torch.no_grad()
    def __call__(self, inputs: Tensor, samples: list[SegDataSample]) -> list[SegDataSample]:
        """The samples of images (B, C, H, W), as the student sees them, with the mixture as masks:
        ``gt_sem_seg`` in 0–1, or ignored as it was, and ``gt_mask`` in 0–255, both (1, H, W) float."""
        if self._scale.device != inputs.device:
            self.network.to(inputs.device)
            self._scale, self._offset = (each.to(inputs.device) for each in (self._scale, self._offset))
        logits = self.network.encode_decode(inputs * self._scale + self._offset)
        maps = target_logits(logits).float().sigmoid()
        return [self._mixed(sample, probs) for sample, probs in zip(samples, maps, strict=True)]

    def _mixed(self, sample: SegDataSample, probabilities: Tensor) -> SegDataSample:
        labels = sample.gt_sem_seg.data
        mixed = sample.clone()
        for name, white in (('gt_sem_seg', 1), ('gt_mask', 255)):
            if name in sample:
                target = torch.lerp(sample.get(name).data.float(), probabilities * white, self.share)
                if name == 'gt_sem_seg':
                    target = torch.where(labels == self._ignored, labels.float(), target)
                mixed.set_data({name: PixelData(data=target)})
        return mixed

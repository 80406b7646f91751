"""How many operators a training step launches, and that none of them brings anything from the CPU."""

import collections
from contextlib import contextmanager
from functools import partial
from unittest import mock

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import madnet  # noqa: F401
from madnet.engine.config import load_config
from madnet.engine.half_weights import HalfWeights
from madnet.engine.speed import make_fast
from madnet.ops import half_training

#: Operators that launch nothing: they only say how memory is looked at.
VIEWS = {
    *('view', 't', 'transpose', 'permute', 'unsqueeze', 'select', 'slice', 'expand', 'detach', 'alias'),
    *(
        '_unsafe_view',
        'squeeze',
        'squeeze_',
        'split',
        'unbind',
        'as_strided',
        'empty',
        'empty_like',
        'unfold',
    ),
    *('split_with_sizes', '_reshape_alias', 'new_empty', 'new_empty_strided', 'lift_fresh'),
}


class Counting(TorchDispatchMode):
    """Counts operators that launch something, and notes tensors of the CPU that meet others."""

    now = None

    def __init__(self):
        super().__init__()
        self.number = collections.Counter()
        self.brought = []

    def __enter__(self):
        Counting.now = self
        return super().__enter__()

    def __exit__(self, *error):
        Counting.now = None
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.number[name] += name not in VIEWS
        devices = {t.device.type for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor) and t.ndim}
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            devices.add(out.device.type)
        if len(devices) > 1:
            self.brought.append(name)
        return out


@contextmanager
def as_on_a_card():
    """Tensors of the CPU pass for those of a GPU; kernels of triton are counted, not launched, so that what
    is computed means nothing."""
    jit = pytest.importorskip('triton.runtime.jit')

    def launch(kernel, grid):
        return lambda *args, **options: Counting.now and Counting.now.number.update([kernel.__name__])

    with (
        mock.patch.object(Tensor, 'is_cuda', True, create=True),
        mock.patch.object(torch.cuda, 'get_device_capability', return_value=(9, 0)),
        mock.patch.object(half_training, 'why_no_launch', return_value=None),
        mock.patch.object(jit.JITFunction, '__getitem__', launch),
    ):
        yield


@pytest.fixture
def data_set(make_set):
    """A few images, whose mean and deviation the configs ask for."""
    ids = [f'frame_{n}' for n in range(6)]
    return make_set('frames', ids, lists={'img_idx/train.txt': ids[:4], 'img_idx/test.txt': ids[4:]})


def _step(name, device, data_set, size=64, number=2, half=False):
    """Operators of preprocessing with the forward pass, and of the backward pass.

    Args:
        half: In bfloat16, with weights that are cast all at once, as the captured step does it.
    """
    cfg = load_config(f'configs/{name}.py', dataset=str(data_set))
    model = MODELS.build(cfg.model).train().to(device, memory_format=torch.channels_last)
    make_fast(model)
    samples = []
    for _ in range(number):
        truth = torch.zeros(1, size, size, dtype=torch.int64, device=device)
        sample = SegDataSample()
        sample.set_data({'gt_sem_seg': PixelData(data=truth), 'gt_mask': PixelData(data=truth.byte())})
        samples.append(sample)
    channels = cfg.model.backbone.get('in_channels', 3)
    images = torch.zeros(number, channels, size, size, device=device)

    def losses(weights):
        batch = model.data_preprocessor({'inputs': images, 'data_samples': samples}, True)
        return functional_call(model, weights(), kwargs={**batch, 'mode': 'loss'})

    halves = HalfWeights(model)
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        if half:
            with halves:
                losses(dict)
        with Counting() as forward:
            found = losses(partial(halves.cast, torch.bfloat16) if half else dict)
    with Counting() as more:
        loss, _ = model.parse_losses(found)
    forward.number += more.number
    with Counting() as backward:
        loss.backward()
    return forward, backward


counted = pytest.mark.skipif(torch.__version__ < (2, 11), reason='an older PyTorch takes some more operators')


@counted
@pytest.mark.parametrize(
    ('name', 'half', 'most'),
    [
        # 484 and 603 at first
        ('madnet/madnet_published', False, (285, 430)),
        # 658 and 784 at first, when each weight was cast by itself
        ('madnet/madnet_published', True, (303, 452)),
    ],
)
def test_operators_do_not_creep_up(name, half, most, data_set, monkeypatch, repository):
    monkeypatch.chdir(repository)
    for part, limit in zip(_step(name, 'cpu', data_set, half=half), most, strict=True):
        assert sum(part.number.values()) <= limit


@counted
@pytest.mark.parametrize(
    ('name', 'size', 'most'),
    [
        ('madnet/madnet_published', 64, (275, 422)),
        # large enough for windows that are shifted, as in training, by four operators more each way
        ('madnet/madnet_nano', 256, (279, 450)),
    ],
)
def test_launches_on_a_card_do_not_creep_up(name, size, most, data_set, monkeypatch, repository):
    """In half precision."""
    monkeypatch.chdir(repository)
    with as_on_a_card():
        parts = _step(name, 'cpu', data_set, size=size, half=True)
    for part, limit in zip(parts, most, strict=True):
        assert sum(part.number.values()) <= limit


@counted
def test_the_number_of_images_does_not_count(data_set, monkeypatch, repository):
    monkeypatch.chdir(repository)
    few, many = (_step('madnet/madnet_nano', 'cpu', data_set, number=n)[0] for n in (2, 6))
    assert sum(few.number.values()) == sum(many.number.values())


@pytest.mark.parametrize(
    'name',
    [
        *('madnet/madnet_nano', 'madnet/madnet_published', 'mim/mim_nano', 'acm/acm', 'alcnet/alcnet'),
        *('dnanet/dnanet', 'uiunet/uiunet', 'abc/abc', 'mshnet/mshnet', 'rdian/rdian', 'repisd/repisd'),
        *('isnet/isnet', 'sctransnet/sctransnet'),
    ],
)
def test_nothing_comes_from_the_cpu(name, data_set, monkeypatch, repository):
    """On a device without values, where no number can be read either."""
    monkeypatch.chdir(repository)
    forward, backward = _step(name, 'meta', data_set)
    assert not forward.brought
    assert not backward.brought

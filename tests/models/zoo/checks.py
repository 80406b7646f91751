"""What is asked of every network of the zoo: published outputs, cost, sizes, and that it learns."""

import copy
import importlib.util
from contextlib import contextmanager

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from small_models import sample
from torch.utils.flop_counter import FlopCounterMode

import madnet.models  # noqa: F401
from madnet.engine.config import load_config

DATA_SETS = {'nuaa': 'NUAA-SIRST', 'nudt': 'NUDT-SIRST', 'irstd1k': 'IRSTD-1K', 'sirstaug': 'SIRST-AUG'}


def build(backbone, decode_head, in_channels=3, seed=0, **kwargs):
    """An ``IRSTDSegmentor`` of that backbone (told ``in_channels``) and head, in evaluation mode."""
    torch.manual_seed(seed)
    return MODELS.build(
        {
            'type': 'IRSTDSegmentor',
            'backbone': {'in_channels': in_channels, **backbone},
            'decode_head': decode_head,
            'data_preprocessor': {'mean': [100.0] * in_channels, 'std': [50.0] * in_channels},
            **kwargs,
        }
    ).eval()


# -- published outputs ---------------------------------------------------------------------------------------


def load_recipe(golden_dir):
    """The module that draws weights and inputs from their names: ``recipe(key, shape)`` and
    ``recipe_input(tag, shape)``."""
    spec = importlib.util.spec_from_file_location('golden_recipe', golden_dir / 'recipe.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_golden(golden_dir, name):
    return torch.load(golden_dir / 'zoo' / f'{name}.pt', weights_only=True)


def published_keys(golden_dir, name):
    """Key → shape of a published state dict, from the list of that name."""
    lines = (golden_dir / 'zoo' / 'keys' / f'{name}_keys.txt').read_text().splitlines()
    pairs = (line.split('\t')[:2] for line in lines if line.strip())
    return {key: tuple(int(n) for n in shape.strip('()').split(',') if n.strip()) for key, shape in pairs}


def published_state(golden_dir, keys, gain=1.0, skip=()):
    """The published state dict of those keys and shapes under the goldens' weights.

    Args:
        gain: Factor of every tensor with two axes or more.
        skip: Keys to leave out.
    """
    recipe = load_recipe(golden_dir).recipe
    state = {key: recipe(key, tuple(shape)) for key, shape in keys.items() if key not in skip}
    return {key: value * gain if value.ndim >= 2 else value for key, value in state.items()}


def golden_input(golden_dir, *shape, tag=None):
    """The goldens' image (1, C, H, W) of that shape (C, H, W)."""
    tag = tag or f'zoo.{"x".join(str(n) for n in shape)}'
    return load_recipe(golden_dir).recipe_input(tag, (1, *shape))


def relative_error(found, expected):
    """The largest difference as a share of the largest expected value."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


def assert_golden(found, golden, tolerance=1e-4):
    """Compares a tensor with a golden's shape, statistics and samples (every fourth pixel), as far as given.

    Returns:
        The largest difference of the samples as a share of the largest of them.
    """
    assert tuple(found.shape) == tuple(golden['shape'])
    found = found.detach().double()
    statistics = {
        'mean': found.mean(),
        'std': found.std(unbiased=False),
        'min': found.min(),
        'max': found.max(),
        'l2': found.norm(),
    }
    largest = found.abs().max().item()
    for key, value in statistics.items():
        if key in golden:
            slack = tolerance * (golden['l2'] if key == 'l2' else largest)
            if key == 'std':  # of n values, over n or over n − 1
                slack += value.item() / found.numel()
            assert value.item() == pytest.approx(golden[key], rel=0, abs=slack), key
    samples = golden.get('every4', golden.get('ds4'))
    if samples is None:
        return None
    error = relative_error(found[..., ::4, ::4], samples)
    assert error <= tolerance
    return error


@contextmanager
def record(model, names):
    """Inside, ``found[name]`` lists what the submodule of that name has returned, call by call."""
    found = {name: [] for name in names}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: found[name].append(output)
        )
        for name in names
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def side_maps(model):
    """Inside, the head gives all its maps, as in training, while normalisation stays in evaluation."""
    model.eval()
    model.decode_head.training = True
    try:
        yield
    finally:
        model.decode_head.training = False


# -- cost ----------------------------------------------------------------------------------------------------


def count_parameters(module):
    return sum(p.numel() for p in module.parameters())


def count_gmacs(model, in_channels=3, size=(256, 256), every_map=False):
    """10⁹ multiply-accumulates of convolutions and matrix products, batch 1.

    They follow from shapes, so that nothing is computed.

    Args:
        every_map: Count the side maps of deep supervision too.
    """
    model, x = copy.deepcopy(model).to('meta'), torch.zeros(1, in_channels, *size, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if every_map:
            with side_maps(model):
                model(x)
        else:
            model(x)
    return counter.get_total_flops() / 2e9


def assert_published(golden_dir, name, model, stages, parameters, gmacs):
    """A model under the goldens' weights gives their logits and stages, and costs what it is said to.

    Args:
        stages: Submodule → the golden's name of what it returns, which not all goldens have.
        gmacs: As of :func:`count_gmacs`; None where it is not known.
    """
    runs = load_golden(golden_dir, name)['runs']
    assert '256x256' in runs
    for size, golden in runs.items():
        known = stages if 'stage_stats' in golden else {}
        x = golden_input(golden_dir, model.backbone.in_channels, *(int(n) for n in size.split('x')))
        with record(model, known) as found, torch.no_grad():
            logits = model.encode_decode(x)
        # the toolbox's ends in a sigmoid
        assert_golden(logits, golden.get('logits', golden['outputs'])[0])
        for ours, theirs in known.items():
            assert_golden(found[ours][0], golden['stage_stats'][theirs][0])
    assert count_parameters(model) == parameters
    if gmacs:
        assert count_gmacs(model) == pytest.approx(gmacs, rel=0.01)


# -- sizes and learning --------------------------------------------------------------------------------------


def batch_of(in_channels, size, n=2, seed=0):
    """Dim noise with a bright target where the mask has one, as the data loader gives it."""
    generator = torch.Generator().manual_seed(seed)
    samples = [sample(*size, seed=seed + i) for i in range(n)]
    noise = (torch.randint(60, 140, (in_channels, *size), generator=generator) for _ in samples)
    images = [
        (image + 100 * marked.gt_sem_seg.data).clamp(max=255).to(torch.uint8)
        for image, marked in zip(noise, samples, strict=True)
    ]
    return {'inputs': images, 'data_samples': samples}


def losses_of(model, in_channels, size, n=2, seed=0):
    """(total loss, log) of one batch in training."""
    data = model.data_preprocessor(batch_of(in_channels, size, n, seed), training=True)
    return model.parse_losses(model(**data, mode='loss'))


def check_learns(model, in_channels, size=(64, 64), lr=1e-3, silent=()):
    """Two optimiser steps lower the loss of a batch, and its gradient reaches every parameter.

    Args:
        silent: Parts of names of parameters whose gradient may be zero (not absent).
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for step in range(3):
        torch.manual_seed(0)  # the same dropout every time
        loss, _ = losses_of(model, in_channels, size)
        losses.append(loss.item())
        if step < 2:
            optimizer.zero_grad()
            loss.backward()
            if step == 0:
                check_gradients(model, silent)
            optimizer.step()
    assert losses[2] < losses[0]


def check_gradients(model, silent=()):
    """Every parameter has a finite gradient, and one that is not zero.

    A bias before a normalisation in training is subtracted again with the mean: biases may have zero.
    """
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    infinite = [name for name, p in model.named_parameters() if not p.grad.isfinite().all()]
    assert infinite == []
    zero = [name for name, p in model.named_parameters() if not p.grad.abs().max() > 0]
    assert [n for n in zero if not n.endswith('bias') and not any(part in n for part in silent)] == []


def check_sizes(model, in_channels, sizes=((64, 64), (65, 97), (100, 75))):
    """Results at the size of the image, and finite losses, whatever the size."""
    for size in sizes:
        model.eval()
        batch = batch_of(in_channels, size)
        with torch.no_grad():
            found = model.test_step(batch)
        for result in found:
            assert result.seg_logits.data.shape == result.net_logits.data.shape == (1, *size)
            assert ((result.seg_logits.data >= 0) & (result.seg_logits.data <= 1)).all()
        loss, _ = losses_of(model.train(), in_channels, size)
        assert loss.isfinite()
    model.eval()


# -- configs -------------------------------------------------------------------------------------------------


def check_config(repository, name, narrow, dataset='nuaa', size=(64, 64)):
    """A config takes that data set, and its network, made narrow, takes a step of its recipe.

    Args:
        name: Path under ``configs`` without the ending.
        narrow: What to change in the backbone, so that the step is quick.
        dataset: A key of :data:`DATA_SETS`.

    Returns:
        The config.
    """
    config = load_config(repository / 'configs' / f'{name}.py', dataset=dataset)
    for part in ('train', 'val', 'test'):
        loader = config[f'{part}_dataloader']
        assert loader is None or loader.dataset.name == DATA_SETS[dataset]
    torch.manual_seed(0)
    model = MODELS.build({**config.model, 'backbone': {**config.model.backbone, **narrow}})
    model.init_weights()
    in_channels = model.backbone.in_channels
    assert len(config.model.data_preprocessor.mean) == in_channels
    optimizer = build_optim_wrapper(model.train(), config.optim_wrapper)
    assert model.train_step(batch_of(in_channels, size), optimizer)['loss'].isfinite()
    return config

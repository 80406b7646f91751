"""Two tiny networks as a comparison takes them."""

import pytest

TINY = """
_base_ = ['{configs}/madnet_synthetic.py']
model = dict(backbone=dict(base_channels={width}))
train_dataloader = dict(batch_size=4, dataset=dict(length=8, size=48))
val_dataloader = dict(dataset=dict(length=2, size=48))
test_dataloader = dict(dataset=dict(length=3, size=48))
train_cfg = dict(max_epochs=1)
param_scheduler = [dict(type='WarmupCosineLR', warmup_steps=1, by_epoch=True, convert_to_iter_based=True)]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""


@pytest.fixture
def plan_file(tmp_path, repository):
    """A YAML file: networks ``narrow`` and ``wide`` on synthetic scenes, seeds 1 and 2."""
    for name, width in (('narrow', 1), ('wide', 2)):
        text = TINY.format(configs=repository / 'configs', width=width)
        (tmp_path / f'{name}.py').write_text(text)
    path = tmp_path / 'small.yaml'
    path.write_text(
        'networks:\n'
        + ''.join(f'  - {{name: {n}, config: "{tmp_path}/{n}.py"}}\n' for n in ('narrow', 'wide'))
        + 'datasets: [own]\n'
        'seeds: [1, 2]\n'
        'protocols: [native]\n'
        'size: 32\n'
        f'work_dir: {tmp_path}/comparison\n'
    )
    return path

"""The config that comes with shipped weights: for tests, on whatever data set."""

from mmengine.config import Config

from madnet.files import read_json
from madnet.records import get_pretrained


def shipped_config(name: str) -> Config:
    """The network and the pipeline of shipped weights, in a config that tests and does not train."""
    content = read_json(get_pretrained(name).config)
    pipeline = content['pipeline']['transforms']
    dataset = {'type': 'SIRSTDataset', 'pipeline': pipeline}
    if any('Resize' in step['type'] for step in pipeline):
        dataset['base_size'] = content['pipeline']['base_size']  # the network's; else the data set's
    return Config(
        {
            'default_scope': 'mmseg',
            'model': content['model'],
            'channels_last': content.get('channels_last', False),
            'env_cfg': {'mp_cfg': {'mp_start_method': 'fork', 'opencv_num_threads': 0}},
            'default_hooks': {'progress': {'type': 'ProgressHook', 'score': 'nIoU'}},
            'visualizer': {'type': 'IRSTDVisualizer', 'vis_backends': []},
            'test_dataloader': {
                'batch_size': 1,
                'num_workers': 2,
                'sampler': {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False},
                'dataset': dataset,
            },
            'test_evaluator': {'type': 'IRSTDMetric', 'protocols': ('native',)},
            'test_cfg': {'type': 'TestLoop'},
        }
    )

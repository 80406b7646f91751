# What every experiment shares: seeds, logs, checkpoints, pictures.
default_scope = 'mmseg'
custom_imports = dict(imports=['madnet'])

# How the best epoch is chosen:
#   'val'   train on one part of the training images, choose on the other (honest; the default)
#   'test'  train on all training images, choose on the TEST images (the published way: say so)
#   'last'  train on all training images, choose nothing: the last epoch counts
selection = 'val'
# Name of a known data set, a folder, or a list of those (training on all of them together); see --dataset.
dataset = 'NUAA-SIRST'

randomness = dict(seed=42)
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
launcher = 'none'
channels_last = True  # memory layout of the weights: the same values, about twice as fast for narrow networks
# Arguments of torch.compile for backbone, neck and head in training; disable=False, mode='reduce-overhead'
# captures CUDA graphs. For GPUs: on a CPU a compiled step of MAD-Net at width 4 was slower than a plain one
# (0.87 s against 0.73 s), and compiling takes minutes.
compile = dict(disable=True)
# The training step as one CUDA graph: 'auto' (on a GPU), False, or 'emulate' (without the graph, for tests).
capture_step = 'auto'
# Training images on the device, where batches are augmented: 'auto' (on a GPU, if they fit), True, False.
device_cache = 'auto'
loader_timeout = 120  # seconds without a batch after which a run ends, saved, and says why; None: never
log_level = 'INFO'
log_processor = dict(by_epoch=True, window_size=50, num_digits=7)  # Fa is of the order of 1e-5
load_from = None
resume = False

default_hooks = dict(
    runtime_info=dict(type='LeanRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='SafeCheckpointHook', interval=1, save_best='nIoU'),
    epoch=dict(type='EpochHook'),
    finite=dict(type='NonFiniteHook', skip=0),
    progress=dict(type='ProgressHook', score='nIoU'),
    collapse=dict(type='CollapseHook', patience=3, after=5),
    overlay=dict(type='OverlayHook', interval=20, images=4),
    stop_signal=dict(type='StopSignalHook'),
)

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='IRSTDVisualizer', vis_backends=vis_backends)

val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# A detector without weights, on whole images in one grey channel: --cfg-options model.method=pstnn chooses
# another of madnet.classical.DETECTORS, model.params.<name>=<value> changes its parameters. model.rule turns
# each image's raw scores into a decision: a number means nothing without it.
_base_ = ['../_base_/data/common.py', '../_base_/default_runtime.py']
model = dict(type='ClassicalDetector', method='tophat', rule='mean+12std')
test_dataloader = dict(num_workers=0)

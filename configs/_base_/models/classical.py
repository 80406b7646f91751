# A detector without training, on whole images at their own size, one grey channel. A config names the method
# (madnet.classical.DETECTORS) and the data set; model.params holds what differs from the method's defaults.
# model.rule turns each image's raw scores into a decision: a number means nothing without it.
_base_ = ['../datasets/modern.py', '../default_runtime.py']
model = dict(type='ClassicalDetector', rule='mean+12std')
test_dataloader = dict(num_workers=0)

# ALCNet as its authors released it: full resolution, four blocks a layer, local contrast at shifts of 13 and
# 17 pixels, initialised for PReLU (a normal distribution of variance 2 / (1 + 0.25²) / mean of fan-in and
# -out).
_base_ = './acm_authors.py'
model = dict(neck=dict(_delete_=True, type='ALCNetNeck', shifts=(13, 17), align_corners=True))

# ALCNet as its authors released it: ACM's network with local contrast at shifts of 13 and 17 pixels as its
# neck.
_base_ = './acm_authors.py'
model = dict(neck=dict(_delete_=True, type='ALCNetNeck', shifts=(13, 17), align_corners=True))

# The published pipelines at the sizes of ACM and ALCNet on NUAA-SIRST: the long side from 256 to 1024 pixels,
# crops of 480. Chosen here: the same for every set, and tests at 512×512.
_base_ = './published.py'
replace_steps = dict(PublishedRandomCrop=dict(size=480))
base_size = 512

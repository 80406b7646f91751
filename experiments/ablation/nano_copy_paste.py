# Targets of an image pasted at other places of it.
_base_ = './nano.py'
replace_steps = dict(
    RandomTargetCrop=[
        dict(type='CopyPasteTargets'),
        dict(type='RandomTargetCrop', size=128, target_prob=0.5),
    ]
)

"""Data sets that people bring: listed, checked, brought into one form, made.

A subcommand of ``tools/dataset.py`` is the module of its name here, with ``add_options(parser)`` and
``run(**options)``. These modules import what takes time inside of ``run``, so that ``--help`` is quick.
"""

#: Subcommand → what it does, in one line.
SUBCOMMANDS = {
    'list': 'the known data sets: where to get each, licence, citation, and which are found here',
    'check': 'all that is wrong with a data set, by severity; --fix mends a copy',
    'prepare': 'a folder, an archive or an address becomes a verified data set',
    'convert': 'masks to COCO, YOLO or VOC, and their boxes and points to masks',
    'synth': 'scenes with exact masks, targets planted on your frames, moving sequences with tracks',
    'stats': 'targets, backgrounds and images in numbers, data sets side by side, as a page',
    'browse': 'a gallery of images with a zoom on their targets; --config: what a network will see',
}

"""Find targets in images: score maps, masks, pictures, and tables of targets."""

import argparse
import os
from collections.abc import Callable
from functools import partial

from madnet.cli import add_list
from madnet.config_files import WEIGHTS
from madnet.options import (
    add_common_options,
    add_device,
    add_least_options,
    add_test_time_options,
    add_value_range,
)

USAGE = """%(prog)s MODEL [CHECKPOINT] INPUT [INPUT ...] [options]
       %(prog)s --config FILE --checkpoint FILE INPUT [INPUT ...] [options]"""
EXAMPLES = """
examples:
  %(prog)s --list
      the detectors that need no config: networks shipped with their weights, classical methods
  %(prog)s madnet_nano scene.png more_scenes/ --out found
      a shipped network on a file and on all images of a folder
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth scenes/
      a network of your own, by its config and its weights
  %(prog)s madnet_nano panorama.tif --tile 512 --value-range 0 16383
      a large image of a 14-bit sensor, in tiles of 512 pixels
  %(prog)s madnet_nano.onnx scenes/
      a network that madnet export wrote, without PyTorch
  %(prog)s madnet_nano pass.mp4 --track --out found
      a clip as a sequence: a video with numbered targets, a line for each frame
  camera-program | %(prog)s madnet_nano - --raw 512x640:uint16 --value-range 0 16383 --out -
      frames as they come, JSON lines as they are done
  %(prog)s pstnn scenes/ --format masks,coco --out weak --jobs 8
      weak labels without training: weak/masks as a data set's masks, weak/coco.json for other programs

formats, several with commas (default: png,csv,json):
  png       scores, masks and overlays
  scores    OUT/scores/<image>.png, 16 bit, score 0-1 as 0-65535; madnet evaluate scores this folder
  masks     OUT/masks/<image>.png, 255 where the score exceeds the threshold
  overlays  OUT/overlays/<image>.png, each target marked, and numbered as in the tables where a crowd leaves
            room for it (of more than 500: those zoomed at); six of them zoomed at
  npy       OUT/npy/<image>.npy, scores as float32
  yolo      OUT/labels/<image>.txt, class, box as centre and size in 0-1, highest score
  csv       OUT/targets.csv: image, number, centroid x y, box x0 y0 x1 y1 (half-open), area, peak and mean
            score, highest and mean logit, local signal-to-clutter ratio, rank
  json      OUT/targets.json: the same, with what was run
  coco      OUT/coco.json: boxes and exact pixels
  all       all of these

for a clip (default: video,jsonl,csv), to files that do not exist yet:
  video     OUT/<clip>.mp4, the frames enlarged, targets marked; with --track their numbers and paths
  jsonl     OUT/<clip>.jsonl, a line for each frame as it is done; --out - writes these on standard output
  csv       OUT/<clip>.csv: frame, time in seconds, track, then x and on, as above

Images keep their size: whatever resizing a config does is undone. Colour images are read as the network wants
them. A pixel's centre has whole coordinates; the top left pixel is (0, 0). Files appear only when complete.
Exit code 0: done; 2: wrong input, such as images that cannot be read (the others are done).
"""

#: What no image's name ends with.
_WEIGHTS = (*WEIGHTS, '.safetensors')


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.add_argument(
        'inputs',
        nargs='*',
        metavar='MODEL [CHECKPOINT] INPUT',
        help='a shipped name, a training-free method, an exported file, the folder of a training, or a '
        'config and its weights (not with --config), then image files and folders',
    )
    parser.add_argument('--config', metavar='FILE', help='the config of a network of your own')
    parser.add_argument('--checkpoint', metavar='FILE', help='its weights: a file, or a shipped name')
    parser.add_argument(
        '--out', default='predictions', metavar='DIR', help='folder for the results (default: predictions)'
    )
    parser.add_argument('--format', metavar='NAME[,NAME...]', help='see below')
    parser.add_argument(
        '--threshold',
        type=float,
        metavar='0-1',
        help='score above which is target (default: 0.5, or what an exported file says)',
    )
    add_least_options(parser)
    parser.set_defaults(min_area=1, min_scr=0.0, min_rank=0.0)
    parser.add_argument(
        '--fa-budget',
        type=float,
        metavar='SHARE',
        help='allowed false-alarm pixels as a share of all pixels, such as 1e-5: drops detections below the '
        'rank that kept to it on validation images (by madnet calibrate; shipped networks have it)',
    )
    parser.add_argument(
        '--false-alarms',
        type=float,
        metavar='N',
        help='allowed false alarms per frame, on average: drops detections below the rank that keeps to it '
        'on the frames of --background',
    )
    parser.add_argument('--background', metavar='DIR', help='frames without targets, for --false-alarms')
    parser.add_argument(
        '--calibrated',
        action='store_true',
        help='give scores that are true probabilities (by madnet calibrate); masks stay the same',
    )
    parser.add_argument(
        '--tile',
        type=_sides,
        metavar='PIXELS',
        help='cut larger images into overlapping tiles of this side, or of HEIGHTxWIDTH',
    )
    parser.add_argument(
        '--overlap',
        type=_overlap,
        metavar='PIXELS',
        help='how much tiles share (default: what the network needs, measured once; where tiles are too '
        'small for that, a quarter of them, with a warning; auto: refuse instead)',
    )
    add_value_range(parser)
    add_device(parser)
    add_test_time_options(parser)
    parser.add_argument(
        '--fold',
        action='store_true',
        help='fold blocks and BatchNorm into convolutions: faster, with the same scores up to rounding',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='half precision (bfloat16, or float16 on a GPU that lacks it); prints what that changes in the '
        'first images',
    )
    parser.add_argument(
        '--batch',
        type=int,
        metavar='N',
        help='images computed at once, on a GPU or, of one size, by ONNX Runtime (default: 8 on a GPU, 1)',
    )
    parser.add_argument('--threads', type=int, metavar='N', help='CPU threads (default: one per core)')
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='N', help='processes that share the images (default: 1)'
    )
    clips = parser.add_argument_group('clips')
    clips.add_argument(
        '--clip',
        action='store_true',
        help='take each input, a video, a folder or a file of several frames, as one sequence; a camera (its '
        'number), an address (rtsp://...) and - (raw frames on standard input) always are',
    )
    clips.add_argument(
        '--track',
        action='store_true',
        help='number the targets that are found again in the next frames, drop all others; implies --clip',
    )
    clips.add_argument(
        '--fps', type=float, metavar='N', help='frames a second (default: what the clip says, or 25)'
    )
    clips.add_argument(
        '--raw',
        metavar='HEIGHTxWIDTH:TYPE',
        help='what frames on standard input are, such as 512x640:uint16',
    )
    add_common_options(parser, launcher=False)
    add_list(parser, _models, 'the names that MODEL can be')


def _models() -> str:
    from madnet.inference.listing import detectors_text

    return detectors_text()


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    args = parser.parse_intermixed_args(arguments)
    if args.config is None:
        if not args.inputs:
            parser.error('expected MODEL and INPUT; --list says which models there are')
        args.config, *args.inputs = args.inputs
    if args.checkpoint is None and args.inputs and _are_weights(*args.inputs):
        args.checkpoint = args.inputs.pop(0)
    if not args.inputs:
        parser.error(f'expected an image file or a folder after {args.config}')
    _check_clip(parser, args)
    return args


def _are_weights(first: str, *others: str) -> bool:
    """Whether the first of what follows the model is no image: a file of weights, or a shipped name."""
    from madnet.records import list_registered

    named = others and first in list_registered() and not os.path.exists(first)
    return first.lower().endswith(_WEIGHTS) or bool(named)


def _check_clip(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    from madnet.inference.clip_source import is_stream

    args.clip = args.clip or args.track or args.out == '-' or any(map(is_stream, args.inputs))
    if not args.clip:
        if args.fps is not None or args.raw is not None:
            parser.error('--fps and --raw are for clips; --clip takes each input as one')
    elif args.jobs != 1:
        parser.error('--jobs: the frames of a clip are predicted one after the other')
    elif args.false_alarms is not None or args.background is not None:
        parser.error('--false-alarms: is for images; --min-rank takes the rank that it prints')


def _sides(text: str) -> tuple[int, int]:
    sides = text.lower().split('x')
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f'found {text!r}, expected pixels such as 512 or 480x640')
    return int(sides[0]), int(sides[-1])


def _overlap(text: str) -> int | str:
    if text != 'auto' and not text.isdecimal():
        raise argparse.ArgumentTypeError(f'found {text!r}, expected pixels such as 128, or auto')
    return text if text == 'auto' else int(text)


def work(args: argparse.Namespace) -> Callable:
    options = vars(args)
    options['model'], options['formats'] = options.pop('config'), options.pop('format')
    if options.pop('clip'):
        from madnet.inference.clip_command import predict_clips

        images_only = ('jobs', 'false_alarms', 'background')
        return partial(predict_clips, **{k: v for k, v in options.items() if k not in images_only})

    from madnet.inference.command import predict_files

    options['formats'] = options['formats'] or 'png,csv,json'
    clips_only = ('track', 'fps', 'raw')
    return partial(predict_files, processes=True, **{k: v for k, v in options.items() if k not in clips_only})

"""List, fetch and describe weights that are known by name, add, widen and save others."""

import argparse
from collections.abc import Callable
from pathlib import Path

from madnet.options import add_trust

EXAMPLES = """
examples:
  %(prog)s list
  %(prog)s card madnet_nano
  %(prog)s add madnet_nano madnet_nano work_dirs/madnet_nano/best.pth \\
      --card madnet_nano.md --half
      weights in half precision, after IoU and nIoU on the validation part showed that it costs nothing
  %(prog)s register lesps_acm configs/acm/acm_toolbox.py ACM_full.pth.tar --facts facts.json
      weights that lie elsewhere: their hash, where from, whose key names, and what is claimed of them
  %(prog)s fetch rdian_authors
      download what does not ship, as predict and test do when they first need it
  %(prog)s save madnet_nano hub/madnet_nano
      model.safetensors, config.json and README.md, as a model hub takes them; Predictor takes the folder
  %(prog)s widen madnet_nano madnet_tiny wide.pth
      the network twice as wide that computes the same, to train on from: madnet train madnet_tiny
      --load-from wide.pth

A file of facts is JSON with some of: about, licence, data (dataset, split_set, split, images, sha256 of each
part trained on), claims (dataset, split_set, split, protocol, views, values in percent and 1e-6, source,
note), address, converter (one of those of madnet convert --list), origin (repository and path).
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest='command', required=True, metavar='{list,card,add,register,fetch,save,widen}'
    )
    commands.add_parser('list', help='names, sizes, and what each is')
    card = commands.add_parser('card', help='print a model card')
    card.add_argument('name', help='a shipped name')
    add = commands.add_parser('add', help='put a trained network into the package')
    add.add_argument('name', help='what it will be loaded by, such as madnet_nano')
    add.add_argument('config', help='the config that it was trained with')
    add.add_argument('checkpoint', help='its weights')
    add.add_argument(
        '--card',
        required=True,
        metavar='FILE',
        help='model card: sections Data, Recipe, Numbers, Cost, Limits',
    )
    add.add_argument('--half', action='store_true', help='store half precision, if it costs no accuracy')
    add.add_argument(
        '--check-split', default='val', metavar='SPLIT', help='what to check that on (default: val)'
    )
    add.add_argument('--facts', metavar='FILE', help='licence, data and claims, see below')
    register = commands.add_parser('register', help='make weights known that lie elsewhere')
    register.add_argument('name', help='what they will be loaded by')
    register.add_argument('config', help='the config that they are tested with')
    register.add_argument('checkpoint', help='the file, as it was published or lies at its address')
    register.add_argument(
        '--facts', required=True, metavar='FILE', help='with address or converter, see below'
    )
    for each in (add, register):
        each.add_argument(
            '--folder',
            type=Path,
            metavar='DIR',
            help="another registry's folder (default: the package's own)",
        )
        each.add_argument(
            '--cfg-options', dest='options', nargs='+', metavar='KEY=VALUE', help='override the config'
        )
    fetch = commands.add_parser('fetch', help='download weights that do not ship')
    fetch.add_argument('name', help='of the registry')
    save = commands.add_parser('save', help='write a folder that a model hub takes as it is')
    save.add_argument('model', metavar='MODEL|CONFIG', help='a name of the registry, or a config file')
    save.add_argument('arguments', nargs='+', metavar='[CHECKPOINT] FOLDER', help='its weights; the folder')
    save.add_argument('--card', metavar='FILE', help='the card of a network that has none in the registry')
    save.add_argument('--dataset', metavar='NAME|FOLDER', help="whose statistics a config's network takes")
    widen = commands.add_parser('widen', help='begin a wider network as a trained narrower one')
    widen.add_argument(
        'model', metavar='MODEL|CONFIG', help='the narrower: a name of the registry, or a config'
    )
    widen.add_argument('config', help="the wider network's config")
    widen.add_argument('out', help='the checkpoint to write')
    widen.add_argument('--checkpoint', metavar='FILE', help="the narrower network's weights, for a config")
    widen.add_argument(
        '--cfg-options',
        dest='options',
        nargs='+',
        metavar='KEY=VALUE',
        help="override the wider one's config",
    )
    for each in (save, widen):
        each.add_argument('--force', action='store_true', help='replace a file that is there')
    for each in (add, widen):
        add_trust(each)


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    args = parser.parse_args(arguments)
    if args.command == 'save':
        if len(args.arguments) > 2:
            parser.error(
                f'save: expected at most CHECKPOINT and FOLDER, found {len(args.arguments)} arguments'
            )
        *checkpoint, args.folder = args.arguments
        args.checkpoint = checkpoint[0] if checkpoint else None
    return args


def work(args: argparse.Namespace) -> Callable:
    if args.command == 'list':
        from madnet.inference.listing import networks_text

        return networks_text
    if args.command == 'save':
        from madnet.inference.saving import save_pretrained

        where = args.model, args.folder, args.checkpoint, args.card, args.dataset
        return lambda: str(save_pretrained(*where, force=args.force))
    if args.command == 'card':
        from madnet.records import get_pretrained

        return lambda: get_pretrained(args.name).read_card()
    if args.command == 'fetch':
        from madnet.engine.checkpoint_file import fetch_weights
        from madnet.records import get_pretrained

        return lambda: str(fetch_weights(get_pretrained(args.name)))
    options = vars(args)
    if args.command == 'widen':
        from madnet.pretrained.widening import write_widened

        del options['command']
        return lambda: write_widened(**options)
    from madnet.pretrained.writing import register_weights, ship_weights

    write = ship_weights if options.pop('command') == 'add' else register_weights

    def run() -> str:
        record = write(**options)
        return f'{args.name}: {{parameters:,}} weights as {{dtype}}, {{weights}}, sha256 {{sha256}}'.format(
            **record
        )

    return run

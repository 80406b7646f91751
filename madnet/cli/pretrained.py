"""The registry of weights: list them, read their cards, fetch them, add to them, save a folder for a hub."""

import argparse
from pathlib import Path

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

A file of facts is JSON with some of: about, licence, data (dataset, split_set, split, images, sha256 of each
part trained on), claims (dataset, split_set, split, protocol, views, values in percent and 1e-6, source,
note), address, converter (one of those of madnet convert --list), origin (repository and path).
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(
        dest='command', required=True, metavar='{list,card,add,register,fetch,save}'
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
            '--folder', metavar='DIR', help="another registry's folder (default: the package's own)"
        )
        each.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override the config')
    fetch = commands.add_parser('fetch', help='download weights that do not ship')
    fetch.add_argument('name', help='of the registry')
    save = commands.add_parser('save', help='write a folder that a model hub takes as it is')
    save.add_argument('model', metavar='MODEL|CONFIG', help='a name of the registry, or a config file')
    save.add_argument('arguments', nargs='+', metavar='[CHECKPOINT] FOLDER', help='its weights; the folder')
    save.add_argument('--card', metavar='FILE', help='the card of a network that has none in the registry')
    save.add_argument('--dataset', metavar='NAME|FOLDER', help="whose statistics a config's network takes")
    add.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """List, show or add; returns the exit code."""
    args = parser.parse_args(arguments)

    from madnet.engine.cli import run_tool

    if args.command == 'save' and len(args.arguments) > 2:
        parser.error(f'save: expected at most CHECKPOINT and FOLDER, found {len(args.arguments)} arguments')

    def run() -> None:
        if args.command == 'list':
            from madnet.inference.command import detectors_text

            print(detectors_text())
        elif args.command == 'card':
            from madnet.records import get_pretrained

            print(get_pretrained(args.name).read_card())
        elif args.command == 'fetch':
            from madnet.engine.checkpoint_file import fetch_weights
            from madnet.records import get_pretrained

            print(fetch_weights(get_pretrained(args.name)))
        elif args.command == 'save':
            from madnet.inference.saving import save_pretrained

            *given, folder = args.arguments
            checkpoint = given[0] if given else None
            print(save_pretrained(args.model, folder, checkpoint, card=args.card, dataset=args.dataset))
        else:
            print(_add(args, Path(args.folder) if args.folder else None))

    return run_tool(run)


def _add(args: argparse.Namespace, folder: Path | None) -> str:
    from madnet.pretrained.writing import register_weights, ship_weights

    where = {'folder': folder, 'options': args.cfg_options, 'facts': args.facts}
    if args.command == 'register':
        record = register_weights(args.name, args.config, args.checkpoint, **where)
        return f'{args.name}: {record["parameters"]:,} weights, sha256 {record["sha256"]}'
    record = ship_weights(
        args.name,
        args.config,
        args.checkpoint,
        args.card,
        half=args.half,
        check_split=args.check_split,
        trust_checkpoint=args.trust_checkpoint,
        **where,
    )
    return f'{args.name}: {record["parameters"]:,} weights as {record["dtype"]}, {record["weights"]}'

"""Make a report of one or many results: an HTML page, tables and figures for a paper."""

import argparse
from collections.abc import Callable

from madnet.options import add_mask_values

EXAMPLES = """
examples:
  %(prog)s work_dirs/madnet_nuaa --out report
      one result: report/index.html, report/tables/*.{md,csv,tex}, report/figures/*.{pdf,png}
  %(prog)s "Top-hat=results/tophat" "MAD-Net=work_dirs/madnet_nuaa/metrics.json" --out report
      several methods with labels
  %(prog)s MAD-Net=work_dirs/seed1 MAD-Net=work_dirs/seed2 MAD-Net=work_dirs/seed3 --out report
      one label for several seeds: mean and standard deviation
  %(prog)s work_dirs/zoo_small --out report
      the folder of madnet compare: all its runs, and accuracy against cost
  %(prog)s work_dirs/zoo_small --out report --columns IoU,nIoU,F1
      tables that fit one column of a paper

Pictures are drawn from score maps in the result's folder scores/ (or from the folder that madnet evaluate
scored), with images and masks of the data set under $MADNET_DATA_ROOT, or of --images and --masks; or else
taken from the result's folder overlays/.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'results', nargs='+', metavar='[LABEL=]RESULT', help='a metrics.json, or a folder that holds one'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='where the report goes')
    parser.add_argument('--images', metavar='DIR', help='the images, for pictures')
    parser.add_argument('--masks', metavar='DIR', help='the masks, for pictures')
    add_mask_values(parser)
    parser.add_argument('--title', default='Infrared small target detection: results', help='of the page')
    parser.add_argument(
        '--columns',
        metavar='NAME[,NAME...]',
        help='metrics of the tables, such as IoU,nIoU,F1 for one column of a paper, or AUC, which does not '
        'compare detectors of different kinds (default: IoU, nIoU, F1, precision, recall, Pd, Fa and cost)',
    )
    parser.add_argument(
        '--gallery',
        type=int,
        default=4,
        metavar='N',
        help='worst and best images of each result (default: 4)',
    )


def work(args: argparse.Namespace) -> Callable:
    from madnet.datasets.splits import few
    from madnet.records import get_columns
    from madnet.visualization.report import build_report
    from madnet.visualization.run_results import load_results

    def run() -> str:
        results = load_results(args.results, args.images, args.masks, args.mask_values)
        columns = {'columns': get_columns(args.columns)} if args.columns is not None else {}
        page = build_report(results, args.out, title=args.title, gallery=args.gallery, **columns)
        without = [r.label for r in results if r.scores and not r.material.images and not r.overlays]
        if without:
            print(f'no pictures of {few(without)}: give --images, the folder of the images that were scored')
        return f'page     {page}\ntables   {page.parent / "tables"}\nfigures  {page.parent / "figures"}'

    return run

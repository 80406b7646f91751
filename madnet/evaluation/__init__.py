"""From score maps and masks to numbers, under a named protocol: functions on arrays."""

from madnet.evaluation.bootstrap import bootstrap_intervals, mean_std, paired_bootstrap
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.evaluator import Evaluator, evaluate, evaluate_all
from madnet.evaluation.folders import compare_folders, score_folder
from madnet.evaluation.matching import Match, match_components
from madnet.evaluation.protocols import PROTOCOLS, Protocol, get_protocol, get_protocols, make_protocol

__all__ = [
    'PROTOCOLS', 'Components', 'Evaluator', 'Match', 'Protocol', 'bootstrap_intervals', 'compare_folders',
    'evaluate', 'evaluate_all', 'find_components', 'get_protocol', 'get_protocols', 'make_protocol',
    'match_components', 'mean_std', 'paired_bootstrap', 'score_folder',
]  # fmt: skip

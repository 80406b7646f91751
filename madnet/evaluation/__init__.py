"""From score maps and masks to numbers, under a named protocol: functions on arrays."""

from madnet.evaluation.accumulator import Evaluator, evaluate
from madnet.evaluation.bootstrap import bootstrap_intervals, mean_std, paired_bootstrap
from madnet.evaluation.components import Components, Match, find_components, match_greedy, match_one_to_one
from madnet.evaluation.folders import compare_folders, score_folder
from madnet.evaluation.protocols import PROTOCOLS, Protocol, get_protocol, get_protocols, make_protocol

__all__ = [
    'PROTOCOLS',
    'Components',
    'Evaluator',
    'Match',
    'Protocol',
    'bootstrap_intervals',
    'compare_folders',
    'evaluate',
    'find_components',
    'get_protocol',
    'get_protocols',
    'make_protocol',
    'match_greedy',
    'match_one_to_one',
    'mean_std',
    'paired_bootstrap',
    'score_folder',
]

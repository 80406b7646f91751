"""From score maps and masks to numbers, under a named protocol: functions on arrays."""

from madnet.evaluation.bootstrap import bootstrap_intervals, mean_std, paired_bootstrap
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.evaluator import Evaluator, evaluate, evaluate_all
from madnet.evaluation.folders import compare_folders, score_folder
from madnet.evaluation.matching import Match, match_components
from madnet.evaluation.protocols import PROTOCOLS, Protocol, get_protocol, get_protocols, make_protocol

"""What is kept of tests, runs and comparisons: typed records, their files, and the tables made of them.

Needs NumPy's and Python's own types only.
"""

from madnet.records.averaging import Averaging
from madnet.records.calibration import Calibration, CalibrationErrors
from madnet.records.claims_file import CheckedClaim, ClaimsFile, claim_rows
from madnet.records.columns import (
    COLUMNS,
    COST,
    HEADLINE,
    SHORT,
    Column,
    Spread,
    as_text,
    column,
    get_columns,
)
from madnet.records.comparison import Comparison, ComparisonPlan, ComparisonRow
from madnet.records.costs import Cost, Costs, how_measured, measured_like
from madnet.records.export_info import ExportInfo
from madnet.records.metrics_file import (
    MAPS,
    PICTURES,
    CheckpointInfo,
    DatasetInfo,
    Details,
    MetricsFile,
    SetResults,
    TrainingInfo,
    few_images_text,
    read_per_image,
    write_results,
)
from madnet.records.negatives_file import NegativesFile
from madnet.records.pretrained_index import (
    Claim,
    PretrainedEntry,
    TrainingPart,
    get_pretrained,
    list_pretrained,
    list_registered,
)
from madnet.records.probe_file import ProbeCheck, ProbeFile, ProbePoint, ProbeSweep
from madnet.records.result_table import (
    ResultTable,
    latex_escape,
    markdown_table,
    metrics_text,
    slug,
    text_table,
)
from madnet.records.run_file import RunFile

__all__ = [
    'COLUMNS', 'COST', 'HEADLINE', 'MAPS', 'PICTURES', 'SHORT', 'Averaging', 'Calibration',
    'CalibrationErrors', 'CheckedClaim', 'CheckpointInfo', 'Claim', 'ClaimsFile', 'Column', 'Comparison',
    'ComparisonPlan', 'ComparisonRow',
    'Cost', 'Costs', 'DatasetInfo', 'Details', 'ExportInfo', 'MetricsFile', 'NegativesFile',
    'PretrainedEntry', 'ProbeCheck', 'ProbeFile', 'ProbePoint', 'ProbeSweep', 'ResultTable', 'RunFile',
    'SetResults', 'Spread', 'TrainingInfo', 'TrainingPart', 'as_text', 'claim_rows', 'column',
    'few_images_text', 'get_columns', 'get_pretrained', 'how_measured', 'latex_escape',
    'list_pretrained', 'list_registered', 'markdown_table', 'measured_like', 'metrics_text',
    'read_per_image', 'slug', 'text_table', 'write_results',
]  # fmt: skip

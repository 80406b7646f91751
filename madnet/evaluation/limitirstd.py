"""The score of the LimitIRSTD challenge: accuracy and thrift in one number."""

#: The challenge's reference model: parameters, and multiply-accumulates on one 512×512 image.
REFERENCE_PARAMS = 2.225e6
REFERENCE_MACS = 12.56e9
#: A false-alarm rate above this forfeits the accuracy part.
FA_LIMIT = 1e-4


def limitirstd_score(
    iou: float, pd: float, fa: float, params: float | None = None, macs: float | None = None
) -> dict[str, float]:
    """``Sp`` = 0.5·IoU + 0.5·Pd (0 where Fa > 1e-4), ``Se`` = 1 − 0.5·(params/2.225 M + MACs/12.56 G) and
    ``score`` = (Sp+Se)/2, from a set's numbers as fractions, and a model's parameters and MACs for one image:
    without these, Sp only. Se falls below 0 for a model larger than twice the reference."""
    accuracy = 0.0 if fa > FA_LIMIT else 0.5 * iou + 0.5 * pd
    if params is None or macs is None:
        return {'Sp': accuracy}
    thrift = 1 - 0.5 * (params / REFERENCE_PARAMS + macs / REFERENCE_MACS)
    return {'Sp': accuracy, 'Se': thrift, 'score': (accuracy + thrift) / 2}

#!/usr/bin/env python
"""Score maps of the classical white top-hat on NUAA-SIRST, for docs/results.md.

The response is S = I − opening(I) with a flat 5 × 5 square (Tom et al., SPIE 1954, 1993); a pixel is a
detection where S > mean(S) + k·std(S) over its image. The score is S over twice that threshold, so that
detections score above 0.5. k is the one of {3, 5, 7, 10, 12, 15, 20} with the best IoU on the validation
images; the test images have no part in it.

Writes OUT/scores/<id>.png and, since one mask of the release has another size than its image,
OUT/masks/<id>.png.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from madnet.datasets import SIRSTDataset
from madnet.evaluation import evaluate


def top_hat(image: np.ndarray, k: float) -> np.ndarray:
    """(H, W) grey levels 0-255 → (H, W) scores in 0-1, above 0.5 where the response exceeds mean + k·std."""
    response = cv2.morphologyEx(image.astype(np.float64), cv2.MORPH_TOPHAT, np.ones((5, 5), np.uint8))
    return np.clip(response / (2 * (response.mean() + k * response.std())), 0, 1)


def samples(split: str):
    """(id, image (H, W), mask (H, W)) of each image of a part of NUAA-SIRST."""
    load = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]
    dataset = SIRSTDataset(name='NUAA-SIRST', split=split, pipeline=load)
    for index in range(len(dataset)):
        sample = dataset[index]
        yield sample['img_id'], sample['img'][..., 0], sample['gt_mask']


def main() -> None:
    """Choose the threshold, write the maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path)
    out = parser.parse_args().out
    for part in ('scores', 'masks'):
        (out / part).mkdir(parents=True, exist_ok=True)
    validation = list(samples('val'))
    iou = {}
    for k in (3, 5, 7, 10, 12, 15, 20):
        scores = (top_hat(image, k) for _, image, _ in validation)
        iou[k] = evaluate(scores, (mask for *_, mask in validation))['IoU']
    best = max(iou, key=iou.get)
    print(f'k = {best}, IoU {100 * iou[best]:.2f} on the {len(validation)} validation images')
    for name, image, mask in samples('test'):
        score = np.round(top_hat(image, best) * 65535).astype(np.uint16)
        cv2.imwrite(str(out / 'scores' / f'{name}.png'), score)
        cv2.imwrite(str(out / 'masks' / f'{name}.png'), mask)


if __name__ == '__main__':
    from mmengine.registry import init_default_scope

    init_default_scope('mmseg')
    main()

"""Which images of NUAA-SIRST the test images of SIRST-AUG are cut from.

Keypoints (SIFT) of each SIRST-AUG image are looked up among those of all 427 NUAA-SIRST images; the image
that most of them fit by one similarity transform is its origin. Takes a minute and no arguments; both sets
lie under $MADNET_DATA_ROOT.
"""

from collections import Counter, defaultdict

import cv2
import numpy as np

from madnet.datasets import SIRSTDataset

LOADING = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]
CROPS = 5  # the release numbers the crops around a target one after the other
NEIGHBOURS, CANDIDATES, FARTHEST = 5, 8, 250.0
ENOUGH = 4  # keypoints that fit; two always do


def read(name: str, split: str) -> list[dict]:
    """All samples of a part."""
    dataset = SIRSTDataset(name=name, split=split, pipeline=LOADING)
    return [dataset[i] for i in range(len(dataset))]


def keypoints(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 2) and descriptors (n, 128) of an image (H, W, 1), local contrast evened out."""
    even = cv2.createCLAHE(4, (8, 8)).apply(np.uint8(image[..., 0]))
    points, descriptors = cv2.SIFT_create(400, contrastThreshold=0.01).detectAndCompute(even, None)
    if descriptors is None:
        descriptors = np.zeros((0, 128), np.float32)
    return np.float32([p.pt for p in points]).reshape(-1, 2), descriptors


def fitting(matches: list[tuple[int, int]], places: np.ndarray, others: np.ndarray) -> int:
    """How many matches agree with one shift, turn and scale."""
    if len(matches) < ENOUGH:
        return 0
    mine, theirs = np.transpose(matches)
    _, fits = cv2.estimateAffinePartial2D(places[mine], others[theirs], ransacReprojThreshold=2.5)
    return 0 if fits is None else int(fits.sum())


def main() -> None:
    """Print the origin of every group of crops, and what does not add up."""
    parts = {split: read('NUAA-SIRST', split) for split in ('trainval', 'test')}
    names = [(split, sample['img_id']) for split, samples in parts.items() for sample in samples]
    found = [keypoints(sample['img']) for samples in parts.values() for sample in samples]
    owner = np.repeat(np.arange(len(found)), [len(places) for places, _ in found])
    places = np.concatenate([places for places, _ in found])
    matcher = cv2.FlannBasedMatcher({'algorithm': 1, 'trees': 4}, {'checks': 48})
    matcher.add([np.concatenate([descriptors for _, descriptors in found])])

    groups = defaultdict(Counter)
    for index, sample in enumerate(read('SIRST-AUG', 'test')):
        mine, descriptors = keypoints(sample['img'])
        votes = defaultdict(list)
        for nearest in matcher.knnMatch(descriptors, k=NEIGHBOURS) if len(descriptors) else ():
            for match in nearest:
                if match.distance < FARTHEST:
                    votes[owner[match.trainIdx]].append((match.queryIdx, match.trainIdx))
        for other in sorted(votes, key=lambda o: -len(votes[o]))[:CANDIDATES]:
            fits = fitting(votes[other], mine, places)
            if fits >= ENOUGH:
                groups[index // CROPS][names[other]] += fits

    targets = {
        s['img_id']: cv2.connectedComponents(np.uint8(s['gt_mask'] > 127))[0] - 1 for s in parts['test']
    }
    origins = Counter()
    for group in range(sum(targets.values())):
        ranking = groups[group].most_common(2)
        clear = ranking and (len(ranking) == 1 or ranking[0][1] >= 1.5 * ranking[1][1])
        origins[ranking[0][0] if clear else None] += 1
    print(f'{sum(origins.values())} groups of {CROPS}: {origins.pop(None, 0)} without a clear origin,')
    for split in parts:
        print(f'  {sum(n for (part, _), n in origins.items() if part == split)} from {split} images')
    exact = [name for name, count in targets.items() if origins[('test', name)] == count]
    print(f'{len(exact)} of {len(targets)} test images have as many groups as targets; the others:')
    for name in targets.keys() - exact:
        print(f'  {name}: {targets[name]} targets, {origins[("test", name)]} groups')


if __name__ == '__main__':
    main()

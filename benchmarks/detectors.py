"""What the two reference detectors reach on real slices that they never saw: `python -m benchmarks.detectors --data DIR --volumes DIR`

The shipped files are measured, at the thresholds in their contracts: on `val` of brain_t1gd, and on the patients of brain_progression that are
held back (`training.detectors.HELD_BACK`). With `--pairs N`, also what they say of N synthetic cases and their clean twins, made by the pack. The interval is Wilson's, 95%, as if slices were independent; those of one patient are not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from meddiff.case import Request
from meddiff.stress.detectors import REFERENCES, ArrayDetector, load_detector, mark_hits
from meddiff.stress.records import Kind
from meddiff.synthesis.studio import Studio
from meddiff.training.detectors import auc, figures, load_sets

SHARES = {  # figure: what it is a share of
    "lesions found": "lesions",
    "sensitivity": "slices",
    "specificity": "tumour-free slices",
    "sensitivity, same patients": "slices with tumour, same patients",
}


def looker(detector: ArrayDetector, batch: int = 16):
    """Pictures [N, 1, 256, 256] -> what the detector's file gives for them."""

    def look(pictures: np.ndarray) -> np.ndarray:
        lots = range(0, len(pictures), batch)
        return np.concatenate([detector.model(pictures[first : first + batch])[0] for first in lots])

    return look


PAIRS = (  # asked of the pack in turn, with seeds counting up from FIRST_SEED
    "Axial T1 post-contrast, ring-enhancing left frontal glioma, 35 mm",
    "Axial T1 post-contrast, right parietal meningioma, 25 mm",
    "Coronal T1 post-contrast, pituitary tumour, 15 mm",
    "Sagittal T1 post-contrast, glioma, 30 mm",
)
FIRST_SEED = 900


def on_pairs(count: int) -> None:
    """Prints what both say of synthetic cases and twins at their thresholds, whether the check took the case or not."""
    studio = Studio("brain-t1gd", "int8")
    asked = [Request(sentence=PAIRS[i % len(PAIRS)], seed=FIRST_SEED + i) for i in range(count)]
    cases = [case for request in asked for case in studio.create(request)]
    for name in REFERENCES:
        detector = load_detector(name)
        threshold = detector.contract.threshold
        said, twins = (detector.look([getattr(case, which) for case in cases]) for which in ("image", "twin"))
        print(f"{name}, {len(cases)} synthetic pairs")
        if detector.contract.kind is Kind.MASK:
            marked = [mark_hits(a, case.mask, case.image.spacing_mm) for a, case in zip(said, cases, strict=True)]
            found = [any(mark.hit and mark.score >= threshold for mark in answer.marks) for answer in marked]
            false = [sum(mark.score >= threshold for mark in answer.marks) for answer in twins]
            print(f"  {'lesions found':36s}{np.mean(found):.3f}\n  {'false marks a twin':36s}{np.mean(false):.3f}")
        for which, answers in (("cases", said), ("twins", twins)):
            print(f"  {which + ' called a lesion':36s}{np.mean([a.score >= threshold for a in answers]):.3f}")
        print(
            f"  {'AUC, cases against twins':36s}{auc(*(np.array([a.score for a in each]) for each in (said, twins))):.3f}"
        )


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--volumes", type=Path, required=True, help="folder of brain_progression (docs/data.md)")
    parser.add_argument("--pairs", type=int, default=0, help="synthetic pairs to look at, too (default none)")
    args = parser.parse_args()
    sets = load_sets(args.data, args.volumes)
    for name in REFERENCES:
        detector = load_detector(name)
        assert isinstance(detector, ArrayDetector)
        reached = figures(name, looker(detector), detector.contract.threshold, sets)
        print(f"{name}, threshold {detector.contract.threshold:g}")
        for what, value in reached.items():
            said = str(value) if isinstance(value, int) else f"{value:.3f}"
            if what in SHARES:
                total = int(reached[SHARES[what]])
                low, high = binomtest(round(value * total), total).proportion_ci(method="wilson")
                said += f"  ({low:.3f} to {high:.3f})"
            print(f"  {what:36s}{said}")
    if args.pairs:
        on_pairs(args.pairs)
    return 0


if __name__ == "__main__":
    sys.exit(main())

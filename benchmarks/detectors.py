"""What the two reference detectors reach on real slices that they never saw: `python -m benchmarks.detectors --data DIR --volumes DIR`

The shipped files are measured, at the thresholds in their contracts: on `val` of brain_t1gd, and on the patients of brain_progression that are
held back (`training.detectors.HELD_BACK`). The interval is Wilson's, 95%, as if slices were independent; those of one patient are not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from meddiff.stress.detectors import REFERENCES, ArrayDetector, load_detector
from meddiff.training.detectors import figures, load_sets

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


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--volumes", type=Path, required=True, help="folder of brain_progression (docs/data.md)")
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
    return 0


if __name__ == "__main__":
    sys.exit(main())

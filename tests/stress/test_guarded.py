"""A detector that crashes, hangs or answers nonsense is a finding: it costs one picture, and the run goes on."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from meddiff.case import MedDiffError
from meddiff.marking import SealedImage
from meddiff.stress.detectors import Guarded, guarded, load_detector
from meddiff.stress.records import Answer, FaultKind
from tests.exchange.dicom_support import sealed_of
from tests.stress.broken_detectors import Moody

HERE = "tests.stress.broken_detectors:"
HOUSE = Path(__file__).parent.parent.parent


def grey(level: int) -> SealedImage:
    return sealed_of(np.full((256, 256), level, np.uint8))


@pytest.fixture(scope="module")
def good():
    return grey(100)


def pid_of(detector: Guarded) -> int:
    return detector._process._child.pid


def runs(pid: int) -> bool:
    """Whether a process runs; an orphan that ended may wait for a reaper."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(*pids: int) -> bool:
    """Whether all have ended, soon."""
    deadline = time.monotonic() + 10
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(runs, pids))


def test_what_goes_wrong_at_one_picture_is_its_fault_alone(good):
    with Guarded(HERE + "Moody", timeout_s=20) as detector:
        assert detector.name == "Moody" and detector.contract == Moody.contract
        answers = detector.look([good, grey(1), good, grey(2), good, grey(4), good, grey(6), grey(7)])
        detector.timeout_s = 1
        (hung,) = detector.look([grey(5)])
        detector.timeout_s = 20
        answers += [hung, *detector.look([good])]

    def said(answer: Answer) -> object:
        return (answer.fault.kind.value, answer.fault.message) if answer.fault else round(answer.score * 100)

    # The probe was the first picture it saw; after a dead process the count begins again, after a mere exception it does not.
    assert [said(answer) for answer in answers] == [
        2,
        ("crash", "ValueError: too dark for me"),
        4,
        ("crash", "Its process ended with exit code 7."),
        1,
        ("crash", "Its process ended by SIGSEGV."),
        1,
        ("nonsense", "1 of its 1 numbers is NaN or infinite."),
        3,  # it printed, and that was no answer
        ("hang", "It did not answer within 1 s; its process was ended."),
        1,
    ]
    assert all(answer.score == 0 and not answer.marks for answer in answers if answer.fault)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (HERE + "dies_at_the_probe", r"shown a probe picture .* \(crash\): Its process ended with exit code 3"),
        ("tests.stress.leaves_at_import:f", r"cannot be loaded \(SystemExit: 5\)"),
    ],
)
def test_a_detector_that_cannot_be_started_is_an_error(spec, says):
    detector = Guarded(spec, timeout_s=20)
    with pytest.raises(MedDiffError, match=says):
        detector.start()
    assert detector._process is None


def test_a_detector_that_does_not_come_back_stays_a_finding(good, tmp_path, monkeypatch):
    """It dies, and can then not be loaded again: some tries, and every picture has its fault."""
    monkeypatch.setattr(guarded, "MOST_STARTS", 1)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "once.py").write_text(
        "import os\nfrom pathlib import Path\nif Path(__file__).with_name('gone').exists():\n    raise OSError('gone')\n"
        "def detector(batch):\n    if batch.mean() < 0.02:\n        Path(__file__).with_name('gone').touch()\n"
        "        os._exit(1)\n    return 0.5\ndetector.contract = {'kind': 'classifier'}\n"
    )
    with Guarded("once:detector") as detector:
        answers = detector.look([grey(0), good, good])
    assert [answer.fault.kind for answer in answers] == [FaultKind.CRASH] * 3
    assert "OSError: gone" in answers[1].fault.message and "1 times in a row" in answers[2].fault.message


def test_its_process_ends_with_it_and_so_do_those_it_started(good):
    with Guarded(HERE + "Parent") as detector:
        pid, grandchild = pid_of(detector), round(detector.look([good])[0].score * 10**7)
        assert runs(pid) and runs(grandchild)
    assert ended(pid, grandchild)


def test_its_process_ends_when_the_run_is_killed(tmp_path):
    """Even while the detector hangs, so that nothing is left behind."""
    (tmp_path / "hangs.py").write_text(
        "import time\nfirst = []\ndef detector(batch):\n    if first:\n        time.sleep(600)\n"
        "    first.append(1)\n    return 0.5\ndetector.contract = {'kind': 'classifier'}\n"
    )
    script = (
        "from meddiff.stress.detectors import Guarded, probe_image\n"
        "d = Guarded('hangs:detector', timeout_s=500)\nd.start()\nprint(d._process._child.pid, flush=True)\nd.look([probe_image()])\n"
    )
    path = os.pathsep.join([str(HOUSE), str(tmp_path)])
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=HOUSE, env={**os.environ, "PYTHONPATH": path}
    )
    pid = int(run.stdout.readline())
    assert runs(pid)
    run.kill()
    run.communicate()
    assert ended(pid)


def test_each_process_has_a_detector_of_its_own(good):
    """A pickled one, as a worker gets it, and one inherited by a fork start their own process, and leave the first one alone."""
    with Guarded(Moody) as detector:
        with pickle.loads(pickle.dumps(detector)) as other:
            assert pid_of(other) != pid_of(detector)
        child = os.fork()
        if child == 0:
            first = detector.look([good])[0].score == 0.01  # that its own process sees
            detector.close()
            os._exit(0 if first else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # And threads of one process take turns with one.
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda image: detector.look([image])[0], [good, grey(1)] * 6))
    assert all(answer.fault is None for answer in answers[::2])
    assert all(answer.fault is not None for answer in answers[1::2])
    assert sorted(round(100 * answer.score) for answer in answers[::2])[-1] <= 13  # the probe, and these twelve


def test_what_cannot_be_guarded_is_refused_in_words():
    with pytest.raises(MedDiffError, match="no name that can be imported"):
        Guarded(lambda batch: 0.5)
    with pytest.raises(MedDiffError, match="more than 0"):
        Guarded("segmenter", timeout_s=0)
    with pytest.raises(MedDiffError, match="RuntimeError: no licence"):
        load_detector(HERE + "CannotBeMade")
    with pytest.raises(MedDiffError, match=r"Nothing says what broken_detectors.py takes"):
        load_detector(HERE + "without_contract")

"""A journal of ten thousand trials that is killed at any byte: no trial twice, none missing, none half."""

import os
import random

import pytest

from meddiff.case import MedDiffError, Request
from meddiff.stress.journal import NAME, Journal, read_head, read_journal
from meddiff.stress.records import Outcome

HEAD = {"plan": {"seed": 1}, "pack_sha256": "a", "detectors": [], "software": "MedDiff"}
TRIALS = 10_000


def outcome(trial: int) -> Outcome:
    return Outcome(
        trial=trial,
        block=trial // 10,
        levels={"noise": float(trial % 5)},
        case="",
        request=REQUEST,
        counts=False,
        accepted=False,
    )


REQUEST = Request(seed=1)


def test_ten_thousand_trials_survive_kills_at_any_byte(tmp_path):
    drawn = random.Random(0)
    done, ran = 0, []
    while done < TRIALS:
        journal = Journal(tmp_path, HEAD)
        left = [trial for trial in range(TRIALS) if trial not in journal.outcomes]
        assert left == list(range(done, TRIALS))
        some = [outcome(trial) for trial in left[: drawn.randint(500, 3000)]]
        for at in range(0, len(some), 250):
            journal.add(some[at : at + 250])
        ran += [one.trial for one in some]
        # What a kill in the middle of a write leaves: the file cut at any byte of its last lines.
        path, cut = tmp_path / NAME, drawn.randint(0, 1000) if done + len(some) < TRIALS else 0
        os.truncate(path, path.stat().st_size - cut)
        done = (path.read_bytes()).count(b"\n")
    assert [one.trial for one in read_journal(tmp_path)] == list(range(TRIALS))
    assert len(ran) - TRIALS < 20  # only what the kills cut off was run again


def test_what_is_there_is_not_added_again(tmp_path):
    journal = Journal(tmp_path, HEAD)
    journal.add([outcome(0), outcome(1)])
    journal.add([outcome(1), outcome(2)])
    assert [one.trial for one in read_journal(tmp_path)] == [0, 1, 2]


def test_a_disk_that_is_full_is_told_and_loses_nothing(tmp_path, monkeypatch):
    journal = Journal(tmp_path, HEAD)
    journal.add([outcome(0)])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meddiff.stress.journal.os.fsync", full)
    with pytest.raises(MedDiffError, match=r"No space left on device.*start the same command again"):
        journal.add([outcome(1)])
    monkeypatch.undo()
    assert 0 in Journal(tmp_path, HEAD).outcomes


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(MedDiffError, match="holds no stress run"):
        read_head(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(MedDiffError, match="is damaged"):
        read_head(tmp_path)

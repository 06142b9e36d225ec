"""Detectors that misbehave, for the guard's tests: a child process imports them by name."""

import os
import subprocess
import time

from meddiff.stress.records import Contract, Kind


def brightness(batch):
    """The mean grey level of a picture's upper half, where no stamp lies."""
    return round(float(batch[0, 0, :128].mean()) * 255)


class Moody:
    """Answers how many pictures this process saw, in hundredths: a new process begins again. Some grey levels it cannot bear."""

    contract = Contract(kind=Kind.CLASSIFIER)

    def __init__(self):
        self.seen = 0

    def __call__(self, batch):
        self.seen += 1
        level = brightness(batch)
        if level == 1:
            raise ValueError("too dark\nfor me")
        if level == 2:
            os._exit(7)
        if level == 4:
            os.kill(os.getpid(), 11)
        if level == 5:
            time.sleep(600)
        if level == 6:
            return float("nan")
        if level == 7:
            print("a line among the answers", flush=True)
            os.write(1, b"{}\n")
        return self.seen / 100


def dies_at_the_probe(batch):
    os._exit(3)


dies_at_the_probe.contract = Moody.contract


class CannotBeMade:
    """Raises as it is made."""

    def __init__(self):
        raise RuntimeError("no licence")


def without_contract(batch):
    return 0.5


class Parent:
    """Starts a process, and answers its number in ten-millionths."""

    contract = Moody.contract

    def __init__(self):
        self.started = subprocess.Popen(["sleep", "600"])

    def __call__(self, batch):
        return self.started.pid / 10**7

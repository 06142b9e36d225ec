"""Detectors that misbehave, for the guard's tests: a child process imports them by name. Each looks at the picture's brightness to decide."""

import os
import time

import numpy as np

from meddiff.stress.records import Contract, Kind

DARK = 0.02  # mean of a picture that each of them fails at


def _fails(function):
    function.contract = Contract(kind=Kind.CLASSIFIER)
    return function


@_fails
def raises(batch):
    if batch.mean() < DARK:
        raise ValueError("too dark\nfor me")
    return float(batch.mean())


@_fails
def dies(batch):
    if batch.mean() < DARK:
        os._exit(7)
    return float(batch.mean())


@_fails
def is_killed(batch):
    if batch.mean() < DARK:
        os.kill(os.getpid(), 11)
    return float(batch.mean())


@_fails
def sleeps(batch):
    if batch.mean() < DARK:
        time.sleep(600)
    return float(batch.mean())


@_fails
def gives_nan(batch):
    return float("nan") if batch.mean() < DARK else float(batch.mean())


@_fails
def prints(batch):
    print("a line among the answers")
    os.write(1, b"{}\n")
    return float(batch.mean())


@_fails
def always_nan(batch):
    return np.full((1, 1), np.nan)


@_fails
def always_dies(batch):
    os._exit(3)


class Counting:
    """Answers how many pictures this process saw, in hundredths: a new process begins again."""

    contract = Contract(kind=Kind.CLASSIFIER)

    def __init__(self):
        self.seen = 0

    def __call__(self, batch):
        self.seen += 1
        if batch.mean() < DARK:
            os._exit(1)
        return self.seen / 100


class CannotBeMade:
    """Raises as it is made."""

    def __init__(self):
        raise RuntimeError("no licence")


def without_contract(batch):
    return 0.5

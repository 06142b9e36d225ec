"""What the invisible mark says, and how it survives: a case id, protected by a checksum and a convolutional code.

A message of 88 bits becomes 288 coded bits of +1 and -1:

| bits | what |
|---|---|
| 12 | a choice of the embedder's: it scrambles all that follows, so each case has 4096 code words, and the one that the picture resembles most by chance is taken (informed coding: Miller, Doerr and Cox, IEEE Trans. Image Processing 13(6), 2004) |
| 48 | the case's number, the hex digits of its id |
| 4 | version of the mark |
| 24 | checksum, the low bits of CRC-32 |

The code is the best of rate 1/3 and constraint length 9 (generators 557, 663, 711 octal; Larsen, IEEE Trans. Information Theory 19(3), 1973),
ended by eight zeros, decoded softly by Viterbi's algorithm, many words at a time.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache

import numpy as np

from meddiff.case import MedDiffError

VERSION = 1
CHOICE_BITS, NUMBER_BITS, VERSION_BITS, CHECK_BITS = 12, 48, 4, 24
BODY_BITS = NUMBER_BITS + VERSION_BITS + CHECK_BITS
MESSAGE_BITS = CHOICE_BITS + BODY_BITS
MEMORY, GENERATORS = 8, (0o557, 0o663, 0o711)
CODED_BITS = (MESSAGE_BITS + MEMORY) * len(GENERATORS)
CHANCE = 2.0 ** -(CHECK_BITS + VERSION_BITS)  # that one attempt at decoding noise gives a word that checks

_STATES = np.arange(1 << MEMORY)
_INPUTS = _STATES[:, None] | (np.arange(2) << MEMORY)  # [state, bit]: the register, newest bit on top
_NEXT = _INPUTS >> 1
_OUTPUTS = 1.0 - 2.0 * (np.bitwise_count(_INPUTS[..., None] & np.array(GENERATORS)) & 1)  # [state, bit, 3]
_HALF = len(_STATES) // 2
# What each branch says, [3, bit, j, branch]: into state (bit, j) lead the states 2 j and 2 j + 1.
_BRANCH = _OUTPUTS.reshape(_HALF, 2, 2, 3).transpose(3, 2, 0, 1).reshape(3, -1).astype(np.float32)


def number_of(case_id: str) -> int:
    """The 48-bit number in a case's id, `MD-` and 12 hex digits.

    Raises:
        MedDiffError: another form of id.
    """
    if not re.fullmatch(r"MD-[0-9a-f]{12}", case_id):
        raise MedDiffError(f"{case_id!r} is no id of a case: it is MD- and 12 hex digits.")
    return int(case_id[3:], 16)


def case_id_of(number: int) -> str:
    """The case's id that a number stands for."""
    return f"MD-{number:012x}"


@lru_cache(maxsize=1)
def _scramblers() -> np.ndarray:
    """uint8 [4096, 76]: what the bits after the choice are combined with."""
    return np.random.default_rng(99).integers(0, 2, (1 << CHOICE_BITS, BODY_BITS), dtype=np.uint8)


def _bits(number: int, count: int) -> np.ndarray:
    return np.array([number >> at & 1 for at in reversed(range(count))], np.uint8)


def _body(number: int, version: int) -> np.ndarray:
    said = number << VERSION_BITS | version
    return np.concatenate([_bits(said, NUMBER_BITS + VERSION_BITS), _bits(_checksum(said), CHECK_BITS)])


def _checksum(said: int, start: int = 0) -> int:
    return zlib.crc32(said.to_bytes(7, "big"), start) & ((1 << CHECK_BITS) - 1)


def code_words(number: int) -> np.ndarray:
    """All code words that say `number`: float32 [4096, 288] of +1 and -1, by the embedder's choice.

    The code is linear: the word of two messages combined is the product of their words.
    """
    return _choice_words() * _encoded(np.concatenate([np.zeros(CHOICE_BITS, np.uint8), _body(number, VERSION)])[None])


@lru_cache(maxsize=1)
def _choice_words() -> np.ndarray:
    """float32 [4096, 288]: the words of every choice with what it combines the other bits with."""
    choices = np.unpackbits(np.arange(1 << CHOICE_BITS, dtype=">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    return _encoded(np.hstack([choices, _scramblers()]))


def _encoded(messages: np.ndarray) -> np.ndarray:
    """Code words float32 [N, 288] of messages uint8 [N, 88]."""
    padded = np.pad(messages, ((0, 0), (0, MEMORY)))
    state, words = np.zeros(len(padded), np.int64), []
    for bit in padded.T:
        words.append(_OUTPUTS[state, bit])
        state = _NEXT[state, bit]
    return np.concatenate(words, axis=1).astype(np.float32)


def decode(soft: np.ndarray) -> list[int | None]:
    """The numbers that N noisy code words say.

    Args:
        soft: float [N, 288], positive where +1 is likelier; the larger, the surer.

    Returns:
        N numbers, None where the checksum or the version does not agree.
    """
    return [said >> VERSION_BITS if agrees(said, check) else None for said, check in zip(*decoded(soft), strict=True)]


def agrees(said: int, check: int, start: int = 0) -> bool:
    """Whether number and version carry this version and their checksum; another `start` of the CRC is another checksum."""
    return said % (1 << VERSION_BITS) == VERSION and _checksum(said, start) == check


def decoded(soft: np.ndarray) -> tuple[list[int], list[int]]:
    """The likeliest message of each of N noisy code words [N, 288]: number and version, and checksum."""
    steps = np.asarray(soft, np.float32).reshape(len(soft), -1, len(GENERATORS))
    metric = np.full((len(soft), len(_STATES)), -1e9, np.float32)
    metric[:, 0] = 0
    second = np.empty((steps.shape[1], *metric.shape), bool)  # whether that of the two ways into a state was the better
    for at in range(steps.shape[1]):
        ways = (steps[:, at] @ _BRANCH).reshape(-1, 2, _HALF, 2)
        ways += metric.reshape(-1, 1, _HALF, 2)
        first, other = ways[..., 0].reshape(metric.shape), ways[..., 1].reshape(metric.shape)
        np.greater(other, first, out=second[at])
        metric = np.maximum(first, other)
    state, rows = np.zeros(len(soft), np.int64), np.arange(len(soft))
    bits = np.empty((len(soft), steps.shape[1]), np.uint8)
    for at in reversed(range(steps.shape[1])):
        bits[:, at] = state >> (MEMORY - 1)
        state = (state % _HALF) * 2 + second[at, rows, state]
    choices = bits[:, :CHOICE_BITS] @ (1 << np.arange(CHOICE_BITS)[::-1])
    bodies = bits[:, CHOICE_BITS:MESSAGE_BITS] ^ _scramblers()[choices]
    said = bodies[:, :-CHECK_BITS] @ (1 << np.arange(BODY_BITS - CHECK_BITS, dtype=np.int64)[::-1])
    checks = bodies[:, -CHECK_BITS:] @ (1 << np.arange(CHECK_BITS)[::-1])
    return said.tolist(), checks.tolist()

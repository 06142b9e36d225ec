"""MP4 out: sealed pictures one after the other, as any player and any slide shows them; the stamp is in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from meddiff.case import SYNTHETIC_NOTICE
from meddiff.exchange.atomic import write_atomic
from meddiff.exchange.gif import frames_of, records_of
from meddiff.marking.seal import SealedImage

TITLE = "SYNTHETIC - not for diagnosis (MedDiff)"
SCALE = 2  # pixels of the film to one of the picture: the stamp's small letters outlive the codec
RATE = 10  # frames a second: players stumble over one frame a second


def write_mp4(pictures: Sequence[SealedImage], path: str | Path, seconds: float = 1.0) -> Path:
    """Writes sealed images as an H.264 film; the notice stands in its title, notice and every record in its comment.

    Shown as `exchange.gif.write_gif` shows them, each pixel as four. The codec loses a little: for measuring, there are other formats.

    Args:
        seconds: each picture is shown, 0.1 at least.

    Raises:
        MedDiffError: no picture, one that is not sealed, pictures of several sizes, or the file cannot be written.
    """
    frames = frames_of(pictures)
    told = {"title": TITLE, "comment": f"{SYNTHETIC_NOTICE}\n{records_of(pictures)}"}
    return write_atomic(path, lambda temporary: _film(frames, temporary, told, max(round(seconds * RATE), 1)))


def read_mp4_comment(path: str | Path) -> str:
    """The comment of a film: the notice on its first line, the records as JSON on its second."""
    import av

    with av.open(str(path)) as film:
        return film.metadata.get("comment", "")


def _film(frames: list[np.ndarray], path: Path, told: dict[str, str], repeats: int) -> None:
    import av  # its libraries take a moment to load, and few write films

    # bitexact: no version of the encoder and no date, so that the same pictures are the same bytes.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as film:
        film.metadata.update(told)
        stream = film.add_stream("libx264", rate=RATE, options={"crf": "10", "preset": "medium", "threads": "1"})
        stream.height, stream.width = (side * SCALE for side in frames[0].shape)
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for grey in frames:
            large = np.kron(grey, np.ones((SCALE, SCALE), np.uint8))
            for _ in range(repeats):
                film.mux(stream.encode(av.VideoFrame.from_ndarray(large, format="gray")))
        film.mux(stream.encode())

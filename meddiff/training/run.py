"""What every recipe shares: a folder with state, log and sheets; a clock; an average of the weights."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from meddiff.case import MedDiffError
from meddiff.diffusion.checkpoint import RECORD


class Run:
    """A training run in a folder: resumes from `state.pt`, stops on the clock, writes `log.jsonl` and sample sheets.

    Args:
        folder: where state and log go; ignored by git (`runs/`).
        seconds: how long this call may train; the schedule is spread over it unless a recipe says otherwise.
        save_every: seconds between two saves of the state.
    """

    def __init__(self, folder: str | Path, seconds: float, save_every: float = 120.0) -> None:
        if seconds <= 0:
            raise MedDiffError(f"Training time is {seconds:g} seconds: give a number above zero (--minutes).")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seconds = seconds
        self.save_every = save_every
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.step = 0
        self.samples = 0
        self._parts: dict[str, Any] = {}
        self._losses: list[Tensor] = []
        self._told: dict[str, list[Tensor]] = {}

    def keep(self, **parts: Any) -> None:
        """Names what is saved and resumed: modules, optimisers, averages (anything with state_dict)."""
        self._parts = parts

    def resume(self) -> bool:
        """Loads the newest state. True when there was one. Raises MedDiffError when it fits another model."""
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        try:
            for name, part in self._parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise MedDiffError(
                f"The saved state {path} is of another model than this recipe now builds: "
                "choose another folder, or what it was started with."
            ) from error
        self.step, self.samples = state["step"], state["samples"]
        return True

    def save(self) -> None:
        """Writes the state; a kill at any moment leaves the older or the newer one whole."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "step": self.step,
            "samples": self.samples,
        }
        temporary = self.folder / "state.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.folder / "state.pt")

    def clock(self, report_every: float = 30.0) -> Iterator[float]:
        """Yields the share of the time gone, in [0, 1), once a step, until it is up; saves and reports on the way."""
        start = saved = reported = time.monotonic()
        while (now := time.monotonic()) - start < self.seconds:
            yield (now - start) / self.seconds
            self.step += 1
            if now - saved > self.save_every:
                self.save()
                saved = time.monotonic()
            if now - reported > report_every and self._losses:
                parts = {name: round(float(torch.stack(values).mean()), 5) for name, values in self._told.items()}
                self.log(seconds=round(now - start), loss=round(float(torch.stack(self._losses).mean()), 5), **parts)
                self._losses.clear()
                self._told.clear()
                reported = now
        self.save()

    def descend(
        self,
        model: nn.Module,
        optimizer: Any,
        average: Average,
        rate: Callable[[float], float],
        loss: Callable[[], Tensor],
        samples: int,
    ) -> None:
        """Steps until the time is up; gradients are clipped to norm 1, the average follows the model.

        Args:
            optimizer: as `accelerator.prepare` gave it.
            rate: learning rate by the share of the time that is gone.
            loss: of a fresh batch.
            samples: in a batch.
        """
        for gone in self.clock():
            set_learning_rate(optimizer, rate(gone))
            value = loss()
            self.accelerator.backward(value)
            self.accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update(model)
            self.seen(value, samples)

    def seen(self, loss: Tensor, samples: int) -> None:
        """Counts a step's samples and remembers its loss for the log."""
        self._losses.append(loss.detach())  # read when it is logged: reading waits for a GPU
        self.samples += samples

    def tell(self, **parts: Tensor) -> None:
        """Remembers parts of a step's loss, whose means stand beside it in the log."""
        for name, part in parts.items():
            self._told.setdefault(name, []).append(part.detach())

    def log(self, **values: Any) -> None:
        """One line to the log and to the screen."""
        line = {"step": self.step, "samples": self.samples, **values}
        if self.accelerator.is_main_process:
            with open(self.folder / "log.jsonl", "a") as file:
                file.write(json.dumps(line) + "\n")
            print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)


class Average(nn.Module):
    """Exponential moving average of a module's weights, warmed up as (1 + step) / (10 + step)."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        import copy

        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay
        self.count: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module."""
        self.count += 1
        n = int(self.count)
        decay = min(self.decay, (1 + n) / (10 + n))
        means: list[Tensor] = list(self.module.parameters())
        values: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(means, values, 1 - decay)
        for kept, now in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(now)


def learning_rate(peak: float, step: int, gone: float, warmup: int = 100, floor: float = 0.03) -> float:
    """Linear warm-up over `warmup` steps, then a cosine over the run's time from `peak` to `floor * peak`."""
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(gone, 1.0)))
    return peak * min(1.0, (step + 1) / warmup) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Same rate for every group."""
    for group in optimizer.param_groups:
        group["lr"] = value


def write_record(folder: Path, steps: int, samples: int) -> None:
    """Writes beside saved weights how long they were trained in all, over every run: `training.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (RECORD + ".tmp")
    temporary.write_text(json.dumps({"steps": steps, "samples": samples}) + "\n")
    os.replace(temporary, folder / RECORD)


def read_record(folder: Path) -> tuple[int, int]:
    """Steps and samples that saved weights were trained for; (0, 0) when nothing says so.

    Raises:
        MedDiffError: when the record is damaged.
    """
    path = folder / RECORD
    if not path.exists():
        return 0, 0
    try:
        record = json.loads(path.read_text())
        steps, samples = int(record["steps"]), int(record["samples"])
    except (ValueError, KeyError, TypeError) as error:
        raise MedDiffError(f"{path} does not say steps and samples as whole numbers: delete or mend it.") from error
    if steps < 0 or samples < 0:
        raise MedDiffError(f"{path} says {steps} steps and {samples} samples: delete or mend it.")
    return steps, samples


def write_sheet(pictures: Tensor, path: Path, columns: int) -> None:
    """Pictures [N, 1, H, W] in [0, 1] as one PNG, `columns` a row."""
    array = (pictures.clamp(0, 1) * 255).round().byte().squeeze(1).cpu().numpy()
    rows = [np.hstack(list(array[i : i + columns])) for i in range(0, len(array) - columns + 1, columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(path)

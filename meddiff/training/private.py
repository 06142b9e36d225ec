"""Recipe: the denoiser with differential privacy. `meddiff train private --data DIR --epsilon 8 --steps 2000`

DP-SGD (Abadi et al., *Deep Learning with Differential Privacy*, CCS 2016; for diffusion models Dockhorn et al., *Differentially Private Diffusion Models*,
TMLR 2023) by opacus: each slice's gradient is clipped to norm C, and Gaussian noise of sigma C is put on their sum. Whoever sees the weights then
learns little about whether any one slice was in the set: no test can tell the two apart with more than e^epsilon to one, up to delta (here 1/N).

What this recipe does otherwise than `training.denoiser`, because the guarantee would not hold:

- Every slice is in a step's batch or not by a coin of its own (Poisson sampling, the same chance for all); a batch may be empty.
- A slice takes part as itself alone: no follow-ups made of a neighbour's lesion, no times shared out over a batch.
- Autoencoder and atlas of heads come from a pack, so that nothing else is learned from `DIR`: one that has not seen `DIR`, or the guarantee is of the
  gradients alone.
- Coins and noise come from the system's entropy, not from a seed. (Not opacus' `secure_mode`: the noise is torch's ordinary generator.)
- The state holds the accountant: a run that was killed goes on with what it has spent, and ends when its steps are done.

The guarantee is for one slice. A patient with k slices is protected by k times the epsilon at most, and a far larger delta. The log's losses are of real slices
and not private: give away the weights, never the run's folder. `--start` with weights that have seen slices of `DIR` voids it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import secrets
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from meddiff.case import MedDiffError
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.checkpoint import open_pipeline
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.training.dataset import load_brain_t1gd
from meddiff.training.denoiser import MOVED, WIDTHS, draw_batch, flow_loss, go_on_from, takes_guidance_at
from meddiff.training.prior import heads_of
from meddiff.training.run import Average, Run, learning_rate, set_learning_rate, write_record
from meddiff.training.slices import Slices, prepare

OPACUS = "opacus==1.6.0"
AT_ONCE = 8  # slices whose gradients are held in memory together, each as large as the network
RECORD = "privacy.json"


def needs_opacus() -> None:
    """Raises MedDiffError with the command to install opacus where it is missing."""
    try:
        import opacus  # noqa: F401
    except ImportError as error:
        raise MedDiffError(f"Private training needs opacus, which is not installed: pip install {OPACUS}") from error


@dataclass(frozen=True)
class Budget:
    """What a run may spend, and how.

    Attributes:
        epsilon: when all steps are done, above 0; infinity: clipped, but without noise or guarantee.
        steps: over all calls.
        batch: slices in a step's batch on average, less than `slices`.
        clip: the norm C that each slice's gradient has at most.
        slices: N of the set.
    """

    epsilon: float
    steps: int
    batch: int
    clip: float
    slices: int

    def __post_init__(self) -> None:
        """Raises MedDiffError when a value makes no sense, naming it."""
        wrong = {
            f"epsilon is {self.epsilon:g}: give a number above 0 (--epsilon)": not self.epsilon > 0,
            f"{self.steps} steps are asked for: give 1 or more (--steps)": self.steps < 1,
            f"batches of {self.batch} are drawn of {self.slices} slices: give 1 or more, less than there are (--batch)": (
                not 1 <= self.batch < self.slices
            ),
            f"gradients are clipped to {self.clip:g}: give a number above 0 (--clip)": not 0 < self.clip < math.inf,
        }
        for words in (words for words, is_so in wrong.items() if is_so):
            raise MedDiffError(f"Private training cannot begin: {words}.")

    @property
    def rate(self) -> float:
        """The chance of a slice to be in a step's batch."""
        return self.batch / self.slices

    @property
    def delta(self) -> float:
        """1/N: with a larger one, a recipe that gives one whole slice away in every other run would count as private."""
        return 1 / self.slices

    def noise(self) -> float:
        """sigma, in units of the clip, with which `steps` steps spend epsilon.

        Raises:
            MedDiffError: when no noise is enough.
        """
        from opacus.accountants.utils import get_noise_multiplier

        if math.isinf(self.epsilon):
            return 0.0
        try:
            return float(
                get_noise_multiplier(
                    target_epsilon=self.epsilon, target_delta=self.delta, sample_rate=self.rate, steps=self.steps
                )
            )
        except ValueError as error:
            raise MedDiffError(
                f"No noise is enough for epsilon {self.epsilon:g} over {self.steps} steps: give more epsilon, or fewer steps."
            ) from error


class Ledger:
    """What has been spent of a budget, by opacus' accountant (Renyi differential privacy, Mironov et al., 2019: an upper bound).

    Part of a run's state, so that epsilon after a resume counts every step whose result was kept.
    """

    def __init__(self, budget: Budget) -> None:
        from opacus.accountants import RDPAccountant

        self.budget = budget
        self.noise = budget.noise()
        self.accountant = RDPAccountant()

    @property
    def taken(self) -> int:
        """Steps so far, over all calls."""
        return sum(steps for _, _, steps in self.accountant.history)

    @property
    def spent(self) -> float:
        """epsilon so far, at the budget's delta: 0 before the first step."""
        with warnings.catch_warnings():
            # At very small or large epsilon the best order is the last that opacus tries: the bound is loose there, and still one.
            warnings.filterwarnings("ignore", message="Optimal order")
            return self.accountant.get_epsilon(self.budget.delta)

    def state_dict(self) -> dict[str, Any]:
        """Budget, noise and the accountant's history."""
        return {
            "budget": asdict(self.budget),
            "noise": self.noise,
            "accountant": dict(self.accountant.state_dict()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state. Raises MedDiffError when it was another budget's: what is spent cannot be taken back."""
        if state["budget"] != asdict(self.budget):
            told = ", ".join(f"{name} {value:g}" for name, value in state["budget"].items())
            raise MedDiffError(
                f"This run was begun with {told}: go on with the same, or choose another folder (--run)."
            )
        self.noise = state["noise"]
        self.accountant.load_state_dict(state["accountant"])

    def record(self) -> dict[str, float | int | str | None]:
        """What can be said of the weights, for `privacy.json`; an epsilon of None is no guarantee."""
        return {
            "unit": "one slice",
            "epsilon": self.spent if math.isfinite(self.spent) else None,
            "delta": self.budget.delta,
            "steps": self.taken,
            "noise": self.noise,
            "clip": self.budget.clip,
            "sampling_rate": self.budget.rate,
            "slices": self.budget.slices,
            "accountant": "opacus RDPAccountant, Poisson sampling, add or remove one slice",
        }


class Contiguous(nn.Module):
    """A network as opacus reads it rightly.

    opacus 1.6.0 unfolds a convolution's input by its strides, and silently gives wrong gradients where channels come last, as
    `denoiser.answer` lays them. In float32 on a GPU too: a norm rounded to bfloat16 may lie above the clip.
    """

    def __init__(self, network: nn.Module, config: Any) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, inputs: Tensor, *arguments: Any, **named: Any) -> Any:
        """As the network's."""
        with torch.autocast(inputs.device.type, enabled=False):
            return self.network(inputs.contiguous(), *arguments, **named)


def by_sample(model: UNet2DConditionModel) -> nn.Module:
    """The network with per-sample gradients (`grad_sample` of each weight) of a mean loss; the weights are the model's own."""
    from opacus import GradSampleModule

    return Contiguous(GradSampleModule(model, loss_reduction="mean"), model.config)


def private_optimizer(optimizer: torch.optim.Optimizer, ledger: Ledger, generator: torch.Generator) -> Any:
    """opacus' optimiser around another: clips, sums, adds noise from the generator, divides by the mean batch, and tells the accountant."""
    from opacus.optimizers import DPOptimizer

    private = DPOptimizer(
        optimizer,
        noise_multiplier=ledger.noise,
        max_grad_norm=ledger.budget.clip,
        expected_batch_size=ledger.budget.batch,
        generator=generator,
    )
    private.attach_step_hook(ledger.accountant.get_optimizer_hook_fn(ledger.budget.rate))
    return private


def alone(data: Slices) -> Slices:
    """The set with nothing in a slice's place that came from another slice, and none drawn more often."""
    return replace(data, carried=None, follows=None, weight=torch.ones_like(data.weight))


def by_coin(budget: Budget, generator: torch.Generator) -> Tensor:
    """The slices of a step's batch [n], n from 0: each by a coin of its own (Poisson sampling, which the accountant counts on)."""
    return torch.nonzero(
        torch.rand(budget.slices, generator=generator, device=generator.device) < budget.rate
    ).flatten()


def private_step(optimizer: Any, picks: Tensor, loss: Callable[[Tensor], Tensor]) -> float | None:
    """One step on the slices that were drawn, `AT_ONCE` at a time; noise is added, and the step counted, when none was drawn too.

    Args:
        optimizer: of `private_optimizer`.
        picks: slices [n].
        loss: the mean loss of some of them, through a network of `by_sample`.

    Returns:
        Their mean loss, not private, or None.
    """
    parts, total = picks.split(AT_ONCE), 0.0
    for number, part in enumerate(parts):
        if len(part):
            value = loss(part)
            value.backward()
            total += float(value.detach()) * len(part)
        else:
            for weight in optimizer.params:
                weight.grad_sample = weight.new_zeros((0, *weight.shape))
        optimizer.signal_skip_step(number + 1 < len(parts))
        optimizer.step()
        optimizer.zero_grad()
    return total / len(picks) if len(picks) else None


def train_private(
    data: Slices,
    vae: PatchAutoencoder,
    folder: str | Path,
    seconds: float,
    budget: Budget,
    rate: float = 4e-4,
    widths: tuple[int, ...] = WIDTHS,
    average_decay: float = 0.999,
    start: str | Path | None = None,
    moved_by: float = MOVED,
    seed: int | None = None,
) -> tuple[UNet2DConditionModel, Ledger]:
    """Trains until the clock or the budget's steps are up, resuming from the folder's state; the averaged denoiser, on the CPU, and what it cost.

    The average is made of private weights alone, and is as private as they are.

    Args:
        start: a saved denoiser to go on from, which should have seen none of the set's slices.
        seed: for tests. None takes the system's entropy: noise from a known seed hides nothing.

    Raises:
        MedDiffError: when opacus is missing, or the state is of another budget or model.
    """
    needs_opacus()
    # Inputs need no gradient, and opacus asks for none of them.
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    torch.manual_seed(seed or 0)  # the first weights: public
    run = Run(folder, seconds)
    device = run.accelerator.device
    ledger = Ledger(budget)
    model = build_denoiser(widths, guided=takes_guidance_at(None if start is None else Path(start))).to(device).train()
    average = Average(model, average_decay)
    descent = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
    run.keep(ledger=ledger, model=model, average=average, optimizer=descent)
    if not run.resume() and start is not None:
        go_on_from(Path(start), model, average, run)
    draws, noise = (
        torch.Generator(device).manual_seed(secrets.randbits(63) if seed is None else 2 * (seed + run.step) + which)
        for which in (0, 1)
    )
    network = by_sample(model)
    optimizer = private_optimizer(descent, ledger, noise)
    there, encoder = alone(data).to(device), copy.deepcopy(vae).to(device)

    def loss(picks: Tensor) -> Tensor:
        batch = draw_batch(there, encoder, len(picks), draws, moved_by, picks=picks)
        return flow_loss(network, batch, encoder, draws, apart=True)

    for _ in run.clock():
        if ledger.taken >= budget.steps:
            break
        gone = ledger.taken / budget.steps
        set_learning_rate(descent, learning_rate(rate, ledger.taken, gone, warmup=min(100, 1 + budget.steps // 20)))
        picks = by_coin(budget, draws)
        value = private_step(optimizer, picks, loss)
        average.update(model)
        if value is not None:
            run.seen(torch.tensor(value), len(picks))
    run.save()  # the clock saves when the time is up, and here the steps may be
    write_record(run.folder / "unet", run.step, run.samples)
    (run.folder / RECORD).write_text(json.dumps(ledger.record(), indent=2) + "\n")
    return average.module.cpu(), ledger  # type: ignore[return-value]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train private`."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the set to protect, laid out as brain_t1gd (docs/data.md)"
    )
    parser.add_argument(
        "--pack", type=Path, default=Path("checkpoints/brain-t1gd"), help="pack whose autoencoder and heads are used"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/private"), help="folder of state, log and result")
    parser.add_argument(
        "--start", type=Path, help="denoiser to go on from, one that saw none of the set (default: from nothing)"
    )
    parser.add_argument("--minutes", type=float, default=90, help="how long to train in this call (default 90)")
    parser.add_argument(
        "--epsilon", type=float, default=8.0, help="to be spent when all steps are done (default 8; inf: no noise)"
    )
    parser.add_argument("--steps", type=int, default=2000, help="steps in all, over every call (default 2000)")
    parser.add_argument("--batch", type=int, default=64, help="slices a step, on average (default 64)")
    parser.add_argument("--clip", type=float, default=1.0, help="norm of one slice's gradient at most (default 1)")
    parser.add_argument("--rate", type=float, default=4e-4, help="peak learning rate (default 4e-4)")
    parser.add_argument(
        "--widths", type=int, nargs="+", default=list(WIDTHS), help=f"of the three levels (default {WIDTHS})"
    )


def main(args: argparse.Namespace) -> int:
    """Trains, resuming, writes the averaged `unet/` and `privacy.json` into the run's folder, and says what was spent."""
    needs_opacus()
    pipeline = open_pipeline(args.pack)
    brain = load_brain_t1gd(args.data).where("train")
    budget = Budget(args.epsilon, args.steps, args.batch, args.clip, len(brain))
    heads = heads_of(pipeline.prior, brain) if pipeline.prior is not None else None
    model, ledger = train_private(
        prepare(brain, heads=heads),
        pipeline.vae,
        args.run,
        args.minutes * 60,
        budget,
        rate=args.rate,
        widths=tuple(args.widths),
        start=args.start,
    )
    model.save_pretrained(args.run / "unet")
    print(
        f"epsilon {ledger.spent:.2f} of {budget.epsilon:g} at delta {budget.delta:.1e}, for one slice, after {ledger.taken} of "
        f"{budget.steps} steps with noise {ledger.noise:.3f}: {args.run / RECORD}"
    )
    return 0

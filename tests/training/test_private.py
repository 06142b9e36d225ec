"""Private training: gradients are clipped slice by slice, noise is there, and what was spent is counted through a kill."""

import json
import math
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from meddiff.case import MedDiffError, Plane
from meddiff.cli import main
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.training import private
from meddiff.training.dataset import BrainSet
from meddiff.training.denoiser import draw_batch, flow_loss, lose, train_denoiser
from meddiff.training.private import OPACUS, Budget, Ledger, alone, by_coin, by_sample, private_optimizer, private_step
from meddiff.training.run import Run
from meddiff.training.slices import Slices, prepare

from ..conftest import make_phantom

NOTHING = 1e-9  # seconds: the clock is past it when it is first read
LONG = 1e6


def test_opacus_that_is_missing_is_named_with_the_command_that_brings_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "opacus", None)
    assert main(["train", "private", "--data", str(tmp_path)]) == 2
    assert f"pip install {OPACUS}" in capsys.readouterr().err
    wanted = Path(__file__).parents[2] / "requirements-dev.txt"
    assert OPACUS in wanted.read_text().split()


def test_a_budget_that_makes_no_sense_is_refused_with_its_option():
    right = {"epsilon": 8.0, "steps": 100, "batch": 4, "clip": 1.0, "slices": 40}
    assert Budget(**right).rate == 0.1 and Budget(**right).delta == 1 / 40
    for name, wrong in [
        ("epsilon", 0.0),
        ("epsilon", math.nan),
        ("steps", 0),
        ("batch", 0),
        ("batch", 40),
        ("clip", 0.0),
        ("clip", math.inf),
    ]:
        with pytest.raises(MedDiffError, match=f"--{name}"):
            Budget(**right | {name: wrong})


pytest_opacus = pytest.mark.skipif(find_spec("opacus") is None, reason=f"needs {OPACUS} (requirements-dev.txt)")


@pytest.fixture(scope="module")
def slices() -> Slices:
    """Eight slices of a phantom, each darker than the one before, with the same lesion."""
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    mask = (np.hypot(rows + 0.12, columns - 0.12) < 0.06).astype(np.uint8) * 255
    pictures = np.stack([(make_phantom() * (255 - 10 * i)).astype(np.uint8) for i in range(8)])
    return prepare(
        BrainSet(
            names=tuple("abcdefgh"),
            pictures=pictures,
            masks=np.stack([mask] * 8),
            types=("glioma",) * 8,
            planes=(Plane.AXIAL,) * 8,
            spacing_mm=0.98,
            split=("train",) * 8,
        ),
        wordings=1,
    )


@pytest.fixture(scope="module")
def vae(slices) -> PatchAutoencoder:
    model = PatchAutoencoder(width=16, blocks=1)
    model.start_from_components(slices.pictures[:1, None].float() / 127.5 - 1)
    return model.eval()


class Bench:
    """A tiny network with opacus' optimiser around plain descent at rate 1, so that weights move by the private gradient itself."""

    def __init__(self, slices: Slices, vae: PatchAutoencoder, clip: float, noise: float, batch: int = 2) -> None:
        torch.manual_seed(0)
        self.slices, self.vae = alone(slices), vae
        self.model = build_denoiser((16, 16), heads=2, guided=True).train()
        self.ledger = Ledger(Budget(math.inf, 10, batch, clip, len(slices.weight)))
        self.ledger.noise = noise
        self.network = by_sample(self.model)
        descent = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.optimizer = private_optimizer(descent, self.ledger, torch.Generator().manual_seed(0))
        self.loud: int | None = None  # the slice whose loss counts a million times

    def loss(self, picks: torch.Tensor, network: torch.nn.Module | None = None) -> torch.Tensor:
        """Of each slice with draws of its own, so that they are the same whoever else is in the batch."""
        values = []
        for pick in picks:
            draws = torch.Generator().manual_seed(int(pick))
            batch = draw_batch(self.slices, self.vae, 1, draws, picks=pick[None])
            values.append(flow_loss(network or self.network, batch, self.vae, draws, apart=True))
            values[-1] = values[-1] * (1e6 if self.loud == int(pick) else 1)
        return torch.stack(values).mean()

    def weights(self) -> torch.Tensor:
        return torch.cat([weight.detach().flatten().clone() for weight in self.model.parameters()])

    def moved(self, *picks: int) -> torch.Tensor:
        """How far a step on these slices moves the weights."""
        before = self.weights()
        private_step(self.optimizer, torch.tensor(picks, dtype=torch.long), self.loss)
        return self.weights() - before


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch):
    """`Bench.loss` draws for each slice; a part of a batch is one slice, so that batches come in several parts."""
    monkeypatch.setattr(private, "AT_ONCE", 1)


@pytest_opacus
def test_without_clip_and_noise_a_private_step_is_an_ordinary_one(slices, vae):
    """opacus reads gradients wrongly where channels come last, which is how `answer` lays them: then this fails."""
    bench = Bench(slices, vae, clip=1e9, noise=0.0, batch=3)
    twin = build_denoiser((16, 16), heads=2, guided=True).train()
    twin.load_state_dict(bench.model.state_dict())
    bench.loss(torch.tensor([0, 3, 5]), twin).backward()
    wanted = torch.cat([-weight.grad.flatten() for weight in twin.parameters()])
    assert wanted.norm() > 0.1
    assert (bench.moved(0, 3, 5) - wanted).norm() < 1e-4 * wanted.norm()


@pytest_opacus
@pytest.mark.parametrize("loud", [False, True])
def test_one_slice_moves_the_weights_by_no_more_than_the_bound(slices, vae, loud):
    clip, batch = 0.05, 2
    steps = []
    for picks in ((0, 1), (0, 1, 6)):
        bench = Bench(slices, vae, clip, noise=0.0, batch=batch)
        bench.loud = 6 if loud else None
        steps.append(bench.moved(*picks))
    apart = float((steps[1] - steps[0]).norm())
    assert 0.98 * clip / batch < apart < 1.001 * clip / batch  # louder or not: it was longer than the clip
    # The same without clipping: the bound is what held it.
    free = [Bench(slices, vae, 1e12, 0.0, batch) for _ in range(2)]
    for bench in free:
        bench.loud = 6 if loud else None
    assert (free[1].moved(0, 1, 6) - free[0].moved(0, 1)).norm() > (1e4 if loud else 2) * clip / batch


@pytest_opacus
def test_a_batch_that_nobody_is_in_still_gets_its_noise_and_is_counted(slices, vae):
    bench = Bench(slices, vae, clip=0.5, noise=3.0, batch=2)
    moved = bench.moved()
    assert abs(float(moved.std()) / (3.0 * 0.5 / 2) - 1) < 0.02 and abs(float(moved.mean())) < 0.02
    assert bench.ledger.taken == 1
    full = bench.moved(0, 1)
    assert abs(float(full.std()) / (3.0 * 0.5 / 2) - 1) < 0.02  # once a step, not once a part of it
    assert bench.ledger.taken == 2 and not torch.equal(full, moved)


@pytest_opacus
def test_epsilon_grows_with_steps_and_less_noise_spends_more():
    ledger = Ledger(Budget(8.0, 100, 4, 1.0, 400))
    assert ledger.spent == 0
    spent = []
    for step in range(1, 101):
        ledger.accountant.step(noise_multiplier=ledger.noise, sample_rate=ledger.budget.rate)
        if step in (1, 2, 50, 99, 100):
            spent.append(ledger.spent)
    assert all(b > a for a, b in pairwise(spent))
    assert 7.9 < spent[-1] <= 8.0  # the budget, when its steps are done
    assert Ledger(Budget(1.0, 100, 4, 1.0, 400)).noise > ledger.noise > Ledger(Budget(math.inf, 100, 4, 1.0, 400)).noise
    with pytest.raises(MedDiffError, match="No noise is enough"):
        Ledger(Budget(1e-12, 10**6, 4, 1.0, 400))


class Killed(BaseException):
    """A kill amid a step."""


@pytest_opacus
def test_what_was_spent_survives_a_kill_and_the_run_ends_with_its_budget(slices, vae, tmp_path, monkeypatch):
    budget = Budget(4.0, 6, 2, 1.0, 8)
    arguments = {"budget": budget, "widths": (16, 16)}
    step, done = private.private_step, []

    def killed(*given):
        if len(done) == 3:
            raise Killed
        done.append(step(*given))
        return done[-1]

    init = Run.__init__
    monkeypatch.setattr(Run, "__init__", lambda run, folder, seconds: init(run, folder, seconds, save_every=0))
    monkeypatch.setattr(private, "private_step", killed)
    with pytest.raises(Killed):
        private.train_private(slices, vae, tmp_path, LONG, **arguments)
    monkeypatch.undo()
    monkeypatch.setattr(private, "AT_ONCE", 4)

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 3
    model, ledger = private.train_private(slices, vae, tmp_path, NOTHING, **arguments)
    assert ledger.taken == 3 and ledger.noise == state["parts"]["ledger"]["noise"] > 0
    fresh = Ledger(budget)
    for _ in range(3):
        fresh.accountant.step(noise_multiplier=fresh.noise, sample_rate=budget.rate)
    assert ledger.spent == fresh.spent > 0
    kept = state["parts"]["average"]
    assert all(torch.equal(kept[f"module.{name}"], value) for name, value in model.state_dict().items())

    model, ledger = private.train_private(slices, vae, tmp_path, LONG, **arguments)
    assert ledger.taken == 6 and fresh.spent < ledger.spent <= 4.0
    told = json.loads((tmp_path / "privacy.json").read_text())
    assert told["unit"] == "one slice" and told["epsilon"] == ledger.spent and told["delta"] == 1 / 8
    again, ledger = private.train_private(slices, vae, tmp_path, LONG, **arguments)
    assert ledger.taken == 6
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


@pytest_opacus
def test_a_run_goes_on_with_its_own_budget_alone(slices, vae, tmp_path):
    budget = Budget(4.0, 6, 2, 1.0, 8)
    private.train_private(slices, vae, tmp_path / "run", NOTHING, budget, widths=(16, 16))
    for change in ({"epsilon": 8.0}, {"steps": 60}, {"batch": 3}, {"clip": 2.0}):
        with pytest.raises(MedDiffError, match="begun with epsilon 4, steps 6, batch 2"):
            private.train_private(slices, vae, tmp_path / "run", LONG, replace(budget, **change), widths=(16, 16))
    train_denoiser(slices, vae, tmp_path / "plain", NOTHING, widths=(16, 16))
    with pytest.raises(MedDiffError, match="of another model"):  # no ledger: nobody knows what it has spent
        private.train_private(slices, vae, tmp_path / "plain", LONG, budget, widths=(16, 16))


@pytest_opacus
def test_noise_and_coins_come_from_no_seed_unless_one_is_given(slices, vae, tmp_path):
    budget = Budget(4.0, 1, 2, 1.0, 8)
    weights = [
        private.train_private(slices, vae, tmp_path / name, LONG, budget, widths=(16, 16), seed=seed)[0].conv_in.weight
        for name, seed in (("a", None), ("b", None), ("c", 3), ("d", 3))
    ]
    assert not torch.equal(weights[0], weights[1]) and torch.equal(weights[2], weights[3])


def test_every_slice_is_drawn_by_a_coin_of_its_own():
    budget, generator = Budget(8.0, 1, 3, 1.0, 8), torch.Generator().manual_seed(0)
    seen = [by_coin(budget, generator).tolist() for _ in range(3000)]
    sizes = [len(picks) for picks in seen]
    assert all(len(set(picks)) == len(picks) for picks in seen) and min(sizes) == 0
    assert abs(np.mean(sizes) - 3) < 0.1 and abs(np.var(sizes) - 8 * 3 / 8 * 5 / 8) < 0.15  # a binomial's
    shares = np.bincount(np.concatenate(seen).astype(int), minlength=8) / len(seen)
    assert np.abs(shares - 3 / 8).max() < 0.03


def test_a_slice_takes_part_as_itself_alone(slices, vae):
    """Neither its neighbour's lesion nor how many others there are changes what it gives."""
    worlds = replace(slices, carried=255 - slices.pictures, follows=torch.ones(8, dtype=torch.bool))
    batch = draw_batch(alone(worlds), vae, 16, torch.Generator().manual_seed(0))
    assert batch.carried is None and batch.follows is None and alone(worlds).weight.unique().tolist() == [1.0]
    batch = draw_batch(alone(slices), vae, 64, torch.Generator().manual_seed(0))
    apart, shared = (lose(batch, torch.Generator().manual_seed(0), own).t.flatten() for own in (True, False))

    def filled(times: torch.Tensor) -> int:
        """How many of 64 equally likely stretches hold a time."""
        places = torch.special.ndtr((torch.logit(times) - 0.6) / 1.1)
        return len((places * 64).long().unique())

    assert filled(shared) >= 63 and 30 < filled(apart) < 52  # independent ones leave a third or so empty


@pytest_opacus
def test_the_command_trains_with_a_pack_s_autoencoder_and_heads_and_says_what_was_spent(
    slices, tiny_packs, tmp_path, capsys
):
    rows = ["image,mask,tumor,plane,pixel_spacing_mm,split"]
    for i in range(4):
        for name, pixels in (("image", slices.pictures[i]), ("mask", slices.masks[i])):
            Image.fromarray(pixels.numpy()).save(tmp_path / f"{name}{i}.png")
        rows.append(f"image{i}.png,mask{i}.png,glioma,axial,0.98,train")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    run = tmp_path / "run"
    asked = ["train", "private", "--data", str(tmp_path), "--pack", str(tiny_packs / "brain-t1gd"), "--run", str(run)]
    assert main([*asked, "--epsilon", "3", "--steps", "1", "--batch", "1", "--widths", "16", "16"]) == 0
    told = json.loads((run / "privacy.json").read_text())
    assert 2.9 < told["epsilon"] <= 3 and told["slices"] == 4
    assert (run / "unet" / "config.json").exists() and (run / "unet" / "training.json").exists()
    assert (
        f"epsilon {told['epsilon']:.2f} of 3 at delta 2.5e-01, for one slice, after 1 of 1 steps"
        in capsys.readouterr().out
    )
    assert main([*asked, "--epsilon", "9", "--steps", "1", "--batch", "1", "--widths", "16", "16"]) == 2
    assert "begun with epsilon 3" in capsys.readouterr().err

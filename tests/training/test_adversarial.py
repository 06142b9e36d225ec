"""The critic learns what is real; the student is asked what it meets in use, and learns from the critic."""

from dataclasses import replace

import pytest
import torch

from meddiff.case import MedDiffError
from meddiff.conditions.tensors import edit_cells
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.training.adversarial import answered, ask, critic_error, over_the_lesion, student_error, train_adversarial
from meddiff.training.critic import MADE, Critic, class_error, classes_of, rarity_of
from meddiff.training.denoiser import draw_batch

from .test_recipes import atlas, few, slices, vae  # noqa: F401

NARROW = (8, 8, 8)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return build_denoiser((16, 16), guided=True)


@pytest.fixture
def batch(slices, vae):  # noqa: F811
    return draw_batch(slices, vae, 96, torch.Generator().manual_seed(1))


def test_classes_are_no_lesion_the_types_and_made():
    masks = torch.zeros(2, 1, 8, 8)
    masks[:, :, 2:6, 2:6] = 1
    classes = classes_of(masks, torch.tensor([0, 2]))
    assert classes.shape == (2, 4, 4) and MADE == 4
    assert classes[0].unique().tolist() == [0, 1] and classes[1].unique().tolist() == [0, 3]
    assert (classes > 0).sum((1, 2)).tolist() == [4, 4]


def test_a_rare_class_counts_as_much_as_a_common_one():
    classes = torch.zeros(1, 10, 10, dtype=torch.long)
    classes[0, 0, :] = 2
    weights = rarity_of(classes)
    assert float(weights[classes == 0].sum()) == pytest.approx(float(weights[classes == 2].sum()))
    classes[0, 0, 1:] = 0
    assert float(rarity_of(classes).max()) <= 20


def test_places_that_do_not_count_do_not_count():
    logits = torch.randn(1, 5, 4, 4)
    classes = torch.zeros(1, 4, 4, dtype=torch.long)
    where = torch.zeros(1, 4, 4)
    where[..., :2] = 1
    other = torch.where(where[:, None] > 0, logits, 100 * torch.randn(logits.shape))
    ones = torch.ones_like(where)
    assert float(class_error(logits, classes, where, ones)) == pytest.approx(
        float(class_error(other, classes, where, ones))
    )


def test_the_critic_learns_to_tell_made_from_real_and_one_type_from_another():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    critic = Critic(NARROW)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    masks = torch.zeros(4, 1, 32, 32)
    masks[:, :, 8:20, 8:20] = 1
    types = torch.tensor([0, 1, 2, 0])
    real = torch.where(masks > 0, types.view(-1, 1, 1, 1) / 2.0 - 0.5, torch.full_like(masks, -0.9))
    right = classes_of(masks, types)
    for _ in range(150):
        made = real + 0.3 * torch.randn(real.shape, generator=generator)
        logits, _ = critic(torch.cat([real, made]))
        everywhere = torch.ones(4, 16, 16)
        of_real, of_made = logits.chunk(2)
        loss = class_error(of_real, right, everywhere, rarity_of(right))
        loss = loss + class_error(of_made, torch.full_like(right, MADE), everywhere, rarity_of(right))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (of_real.argmax(1) == right).float().mean() > 0.9
    assert (of_made.argmax(1) == MADE).float().mean() > 0.9


def test_the_student_is_asked_what_it_meets_in_use(slices, vae, student, batch):  # noqa: F811
    generator = torch.Generator().manual_seed(0)
    asked = ask(student, batch, generator)
    given = batch.given
    kept = 1 - edit_cells(asked.batch.conditions.edit)
    # What the network sees of a given slice it may not change, and what it answers there is the slice.
    made = answered(student, asked)
    assert torch.equal((made * kept)[given], (batch.latents * kept)[given])
    # A healthy head never starts from the slice, whose lesion it would show.
    assert not asked.real.flatten()[(batch.shown == 0) & ~given].any() or batch.head is None
    assert asked.real.flatten()[batch.follows].all() and 0.1 < asked.real.float().mean() < 0.9
    assert float(asked.t.min()) > 0 and float(asked.t.max()) < 1


def test_a_removal_over_the_lesion_leaves_none_and_one_beside_it_leaves_it(slices, vae, student, batch):  # noqa: F811
    asked = ask(student, batch, torch.Generator().manual_seed(0))
    removal = batch.given & (batch.shown == 0)
    over = removal & (asked.batch.conditions.edit != batch.conditions.edit).flatten(1).any(1)
    assert over.any() and (removal & ~over).any()
    assert not asked.masks[over].any()
    beside = asked.masks[removal & ~over]
    assert torch.equal(beside, batch.masks[removal & ~over])
    assert not asked.real.flatten()[over].any()
    lesion = (batch.shown > 0) & ~batch.given
    assert torch.equal(asked.masks[lesion], batch.masks[lesion])
    again = over_the_lesion(batch, torch.Generator().manual_seed(0))
    assert torch.equal(again.conditions.mask, batch.conditions.mask)


def test_only_what_was_made_is_called_made(slices, vae, student, batch):  # noqa: F811
    """The slice around an edit region is real: whether the critic calls it so must not count."""
    asked = ask(student, batch, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    critic = Critic(NARROW).eval()
    real = vae.decode(batch.latents).detach()
    closed = replace(asked.batch.conditions, edit=torch.zeros_like(asked.batch.conditions.edit))
    shut = replace(asked, batch=replace(asked.batch, conditions=closed))
    one, other = (float(critic_error(critic, real, made, shut)) for made in (real, -real))
    assert one == pytest.approx(other, abs=1e-5)
    opened = [float(critic_error(critic, real, made, asked)) for made in (real, -real)]
    assert opened[0] != pytest.approx(opened[1], abs=1e-4)


def test_the_student_s_losses_reach_its_weights(slices, vae, student, batch):  # noqa: F811
    asked = ask(student, batch, torch.Generator().manual_seed(0))
    critic = Critic(NARROW).requires_grad_(False)
    latents = answered(student, asked)
    loss, parts = student_error(critic, vae.decode(latents), latents, batch.latents, asked, vae)
    loss.backward()
    assert float(student.conv_out.weight.grad.abs().max()) > 0
    assert set(parts) == {"critic", "said", "anchor"} and all(torch.isfinite(part) for part in parts.values())
    student.zero_grad()


def test_the_recipe_trains_and_goes_on_where_it_stopped(slices, vae, student, tmp_path):  # noqa: F811
    arguments = {"batch": 4, "warm_up": 1, "widths": NARROW}
    first = train_adversarial(student, slices, vae, tmp_path, 6, **arguments)
    before = torch.load(tmp_path / "state.pt", weights_only=True)
    assert before["step"] > 1 and not torch.equal(first.conv_out.weight, student.conv_out.weight)
    train_adversarial(student, slices, vae, tmp_path, 1, **arguments)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] > before["step"]
    with pytest.raises(MedDiffError, match="not built to take guidance"):
        train_adversarial(build_denoiser((16, 16)), slices, vae, tmp_path / "other", 1)

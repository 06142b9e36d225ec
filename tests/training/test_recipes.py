"""Recipes run, resume where they stopped, and refuse what does not fit."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.clinical import CLINICAL_DIM
from meddiff.conditions.tensors import edit_cells
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.denoiser import (
    LEAST_GUIDANCE,
    MOST_GUIDANCE,
    build_denoiser,
    fixed_channels,
    takes_guidance,
)
from meddiff.training.dataset import BrainSet
from meddiff.training.denoiser import (
    CARRIED,
    SHARES,
    draw_batch,
    flow_loss,
    grow,
    sample_sheet,
    takes_guidance_at,
    train_denoiser,
)
from meddiff.training.distillation import distil, guidance_loss
from meddiff.training.finder import dice, draw_pictures, finder_loss, train_finder
from meddiff.training.pack import average_of
from meddiff.training.portable import read_portable, training_slices, write_slices
from meddiff.training.prior import fit_prior, heads_of, read_heads
from meddiff.training.run import Average, Run, learning_rate, read_record
from meddiff.training.slices import even_weights, follow_ups, prepare

from ..conftest import make_phantom


@pytest.fixture(scope="module")
def few() -> BrainSet:
    """Six slices of a phantom with its lesion."""
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    mask = np.hypot(rows + 0.12, columns - 0.12) < 0.06
    picture = (make_phantom() * 255).astype(np.uint8)
    return BrainSet(
        names=tuple("abcdef"),
        pictures=np.stack([picture] * 6),
        masks=np.stack([mask.astype(np.uint8) * 255] * 6),
        types=("glioma", "meningioma", "pituitary_tumor") * 2,
        planes=(Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL) * 2,
        spacing_mm=0.98,
        split=("train",) * 6,
    )


@pytest.fixture(scope="module")
def vae(few) -> PatchAutoencoder:
    model = PatchAutoencoder(width=16, blocks=1)
    model.start_from_components(torch.from_numpy(few.pictures[:1, None]).float() / 127.5 - 1)
    return model.eval()


@pytest.fixture(scope="module")
def atlas(few):
    """A prior of the phantoms, and the heads it draws for them."""
    return fit_prior(few, levels=2, rank=2, size=48)


@pytest.fixture(scope="module")
def slices(few, atlas):
    return prepare(few, wordings=2, heads=atlas[1])


def test_the_denoiser_trains_and_goes_on_where_it_stopped(slices, vae, tmp_path):
    arguments = {"batch": 2, "widths": (16, 16)}
    train_denoiser(slices, vae, tmp_path, 2, **arguments)
    before = torch.load(tmp_path / "state.pt", weights_only=True)
    train_denoiser(slices, vae, tmp_path, 2, **arguments)
    after = torch.load(tmp_path / "state.pt", weights_only=True)
    assert after["step"] > before["step"] > 0
    assert after["samples"] == 2 * after["step"]


NOTHING = 1e-9  # seconds: the clock is past it when it is first read


@pytest.fixture(scope="module")
def trained(slices, vae, tmp_path_factory):
    """A denoiser's folder as a finished run leaves it, record and all."""
    run = tmp_path_factory.mktemp("trained")
    train_denoiser(slices, vae, run, 1, batch=2, widths=(16, 16)).save_pretrained(run / "unet")
    return run / "unet"


def test_training_that_starts_from_saved_weights_starts_at_them_and_counts_on(slices, vae, trained, tmp_path):
    before = UNet2DConditionModel.from_pretrained(trained).state_dict()
    steps, samples = read_record(trained)
    assert samples == 2 * steps > 0
    model = train_denoiser(slices, vae, tmp_path, NOTHING, batch=2, widths=(16, 16), start=trained)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert all(torch.equal(state["parts"]["model"][name], value) for name, value in before.items())
    assert not state["parts"]["optimizer"]["state"]
    assert (state["step"], state["samples"]) == read_record(tmp_path / "unet") == (steps, samples)
    # The average is not forgotten within a few steps, as a young one is.
    assert int(state["parts"]["average"]["count"]) >= 10_000


def test_a_run_that_has_a_state_goes_on_from_it_and_not_from_the_start(slices, vae, trained, tmp_path):
    arguments = {"batch": 2, "widths": (16, 16), "start": trained}
    train_denoiser(slices, vae, tmp_path, 1, **arguments)
    before = torch.load(tmp_path / "state.pt", weights_only=True)
    model = train_denoiser(slices, vae, tmp_path, NOTHING, **arguments)
    after = torch.load(tmp_path / "state.pt", weights_only=True)
    assert after["step"] == before["step"] > read_record(trained)[0]
    kept = before["parts"]["average"]
    assert all(torch.equal(kept[f"module.{name}"], value) for name, value in model.state_dict().items())
    saved = UNet2DConditionModel.from_pretrained(trained).state_dict()
    assert any(not torch.equal(saved[name], value) for name, value in model.state_dict().items())


def test_training_starts_from_weights_without_a_record_at_nought(slices, vae, trained, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(trained, bare, ignore=shutil.ignore_patterns("training.json"))
    train_denoiser(slices, vae, tmp_path / "run", NOTHING, batch=2, widths=(16, 16), start=bare)
    assert read_record(tmp_path / "run" / "unet") == (0, 0)


def test_weights_that_training_cannot_start_from_are_refused_in_words(slices, vae, trained, tmp_path):
    with pytest.raises(MedDiffError, match="holds no denoiser that this recipe builds"):
        train_denoiser(slices, vae, tmp_path / "a", NOTHING, widths=(16, 16), start=tmp_path)
    with pytest.raises(MedDiffError, match="holds no denoiser that this recipe builds"):
        train_denoiser(slices, vae, tmp_path / "b", NOTHING, widths=(32, 32), start=trained)
    damaged = tmp_path / "damaged"
    shutil.copytree(trained, damaged)
    (damaged / "training.json").write_text('{"steps": -3, "samples": 0}')
    with pytest.raises(MedDiffError, match=r"training\.json says -3 steps"):
        train_denoiser(slices, vae, tmp_path / "c", NOTHING, widths=(16, 16), start=damaged)
    (damaged / "training.json").write_text('{"steps": 3}')
    with pytest.raises(MedDiffError, match="delete or mend"):
        train_denoiser(slices, vae, tmp_path / "d", NOTHING, widths=(16, 16), start=damaged)


def test_a_pack_made_of_a_run_s_state_knows_how_long_it_was_trained(trained):
    model, steps, samples = average_of(trained.parent / "state.pt")
    assert (steps, samples) == read_record(trained)
    saved = UNet2DConditionModel.from_pretrained(trained).state_dict()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


def test_every_type_is_drawn_evenly_and_a_small_lesion_counts_as_much_as_a_large_one(few, slices, vae):
    rare = replace(few, types=("glioma",) * 4 + ("meningioma", "pituitary_tumor"))
    weights = even_weights(rare)
    assert torch.allclose(weights[:4].sum(), weights[4]) and torch.allclose(weights[4], weights[5])
    small = slices.masks.clone()
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    small[:] = torch.from_numpy((np.hypot(rows + 0.12, columns - 0.12) < 0.04).astype(np.uint8) * 255)
    shares = []
    for masks in (slices.masks, small):
        batch = draw_batch(replace(slices, masks=masks), vae, 64, torch.Generator().manual_seed(0))
        whole = batch.weight.amin((1, 2, 3)) == 1  # from nothing, lesion shown or not
        added = (batch.weight - 1).mean((1, 2, 3))[whole]
        shares.append(added[added > 0].mean())
    assert shares[0] > 0.1 and abs(shares[0] - shares[1]) < 0.5 * shares[0]


def test_a_run_ends_with_a_sheet_of_outlines_and_what_was_made_in_them(slices, vae, tmp_path):
    model = train_denoiser(slices, vae, tmp_path, 0.5, batch=2, widths=(16, 16))
    sample_sheet(model, slices, vae, tmp_path / "sheet.png", steps=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (512, 6 * 256)
    assert set(np.unique(sheet[:256])) == {0, 255} and sheet[256:].std() > 0


def test_a_state_of_another_size_is_refused_in_words(slices, vae, tmp_path):
    train_denoiser(slices, vae, tmp_path, 0.5, batch=2, widths=(16, 16))
    with pytest.raises(MedDiffError, match="of another model"):
        train_denoiser(slices, vae, tmp_path, 0.5, batch=2, widths=(32, 32))


def test_a_slice_s_own_head_looks_like_it_without_its_lesion(few, atlas):
    prior, heads = atlas[0], atlas[1].numpy()
    assert sorted(set(prior.plane.tolist()) - {-1}) == [0, 1, 2]
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(few.pictures).float().unsqueeze(1), 2).squeeze(1).numpy()
    inside = few.masks[:, ::2, ::2] > 127
    for head, picture, lesion in zip(heads, small, inside, strict=True):
        assert np.corrcoef(head[~lesion], picture[~lesion])[0, 1] > 0.9
    again = heads_of(prior, few).numpy()
    assert np.abs(again.astype(float) - heads).mean() < 6


def test_heads_of_another_set_are_refused(tmp_path):
    np.save(tmp_path / "heads.npy", np.zeros((3, 128, 128), np.uint8))
    with pytest.raises(MedDiffError, match="3 heads for 5 slices"):
        read_heads(tmp_path / "heads.npy", 5)
    with pytest.raises(MedDiffError, match="train prior first"):
        read_heads(tmp_path / "none.npy", 5)


def test_every_task_hides_what_it_must(slices, vae):
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(12):
        batch = draw_batch(slices, vae, 4, generator)
        for i in range(4):
            outline, edit = batch.conditions.mask[i], batch.conditions.edit[i]
            everywhere = bool(edit.min() == 1)
            given, hidden = bool(batch.given[i]), bool(batch.hidden[i].any())
            assert not (given and batch.head[i].any())
            assert given != everywhere
            if hidden:
                seen.add("healthy")
                assert not outline.any() and batch.weight[i][batch.hidden[i] > 0].sum() == 0
            elif given:
                seen.add("insert" if outline.any() else "remove or untold")
                cells = torch.nn.functional.max_pool2d(edit, 8) > 0
                assert batch.weight[i][~torch.nn.functional.max_pool2d(cells.float(), 3, 1, 1).bool()].sum() == 0
            else:
                seen.add("lesion")
    assert len(seen) == 4 and abs(sum(SHARES.values()) - 1) < 1e-9


def test_latent_noise_lies_on_what_is_made_and_never_on_what_is_given(slices, vae):
    """Two batches of one seed differ by the noise alone; the background that the network is shown does not differ."""
    clean, noisy = (
        draw_batch(slices, vae, 64, torch.Generator().manual_seed(0), latent_noise=noise) for noise in (0.0, 0.2)
    )
    added = noisy.latents - clean.latents
    open_cells = edit_cells(clean.conditions.edit)
    within = added[(open_cells > 0).expand_as(added)]
    assert abs(float(within.std()) - 0.2) < 0.005 and abs(float(within.mean())) < 0.005
    assert clean.given.any() and not (added * (1 - open_cells))[clean.given].any()
    shown = [fixed_channels(batch.conditions, batch.latents) for batch in (clean, noisy)]
    assert torch.equal(*shown) and shown[0].any()
    # Other noise for every sample: none can be learned as part of a slice.
    whole = added[~clean.given]
    assert float(torch.corrcoef(whole.flatten(1)).fill_diagonal_(0).abs().max()) < 0.05


def test_without_latent_noise_a_seed_gives_the_batches_that_it_always_gave(slices, vae):
    drawn = []
    for options in ({}, {"latent_noise": 0.0}, {"latent_noise": 0.1}):
        generator = torch.Generator().manual_seed(3)
        batch = draw_batch(slices, vae, 4, generator, **options)
        drawn.append((batch.latents, torch.rand(1, generator=generator)))
    assert torch.equal(drawn[0][0], drawn[1][0]) and drawn[0][1] == drawn[1][1]
    assert not torch.equal(drawn[0][0], drawn[2][0])


def test_the_denoiser_trains_on_noised_latents_and_refuses_what_is_no_noise(slices, vae, tmp_path, monkeypatch):
    from meddiff.training import denoiser as recipe

    asked = []

    def seen(*arguments):
        asked.append(arguments[-1])
        return draw_batch(*arguments)

    monkeypatch.setattr(recipe, "draw_batch", seen)
    train_denoiser(slices, vae, tmp_path / "run", 0.5, batch=2, widths=(16, 16), latent_noise=0.3)
    assert asked and set(asked) == {0.3}
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(MedDiffError, match="--latent-noise"):
            train_denoiser(slices, vae, tmp_path / "none", 1, latent_noise=wrong)


def test_growing_is_the_square_maximum():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 10, 12] = 1
    assert grow(mask, 3)[0, 0].nonzero().min(0).values.tolist() == [7, 9]
    assert grow(mask, 3).sum() == 49


def test_the_finder_trains_on_real_pictures(few, tmp_path):
    data = [torch.from_numpy(a) for a in (few.pictures, few.masks, few.type_numbers())]
    model = train_finder(*data, val=tuple(data), folder=tmp_path, seconds=2, batch=2)
    assert model.find(few.pictures[:1].astype(np.float32) / 255).mask_probability.shape == (1, 256, 256)
    with pytest.raises(ValueError, match="256, 256"):
        model.find(np.zeros((1, 64, 64), np.float32))


def test_dice_of_stacks():
    a = np.zeros((2, 4, 4), bool)
    a[0, :2] = True
    assert dice(a, a).tolist() == [1, 1]


def test_the_average_starts_at_the_weights_and_follows():
    module = torch.nn.Linear(2, 2)
    average = Average(module, 0.99)
    with torch.no_grad():
        module.weight += 1
    gap = (module.weight - average.module.weight).abs().max()
    average.update(module)
    assert (module.weight - average.module.weight).abs().max() < gap


def test_the_rate_warms_up_and_falls():
    rates = [learning_rate(1.0, step, step / 1000) for step in (0, 50, 100, 500, 999)]
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > 0


def test_no_time_is_no_training(tmp_path):
    with pytest.raises(MedDiffError, match="above zero"):
        Run(tmp_path, 0)


def shown(spot: tuple[float, float], radius: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A phantom with a bright disc, and the disc, uint8 [256, 256] each."""
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    mask = np.hypot(rows - spot[0], columns - spot[1]) < radius
    noise = np.random.default_rng(seed).normal(0, 3, (256, 256))
    picture = np.clip(make_phantom() * 150 + noise + 90 * mask, 0, 255)
    return picture.astype(np.uint8), mask.astype(np.uint8) * 255


def test_neighbours_that_show_one_lesion_are_follow_ups_of_each_other(few):
    """The lesion of the neighbour lies in this slice's outline; a lesion elsewhere, another plane or type is no follow-up."""
    slices = [shown((-0.1, 0.1), r, i) for i, r in enumerate((0.06, 0.09))] + [shown((0.12, -0.1), 0.06, 5)] * 2
    pictures, masks = (np.stack([pair[i] for pair in slices]) for i in (0, 1))
    data = replace(
        few,
        names=tuple("abcd"),
        pictures=pictures,
        masks=masks,
        types=("glioma", "glioma", "glioma", "meningioma"),
        planes=(Plane.AXIAL,) * 4,
        split=("train",) * 4,
    )
    carried, follows = follow_ups(data)
    assert follows.tolist() == [True, True, False, False]
    assert torch.equal(carried[2:], torch.from_numpy(pictures[2:]))
    there = masks[1] > 127
    away = ~(grow(torch.from_numpy(masks[1:2, None]).float(), 6)[0, 0].numpy() > 0)
    assert np.array_equal(carried[1].numpy()[away], pictures[1][away])
    assert abs(carried[1].numpy()[there].mean() - pictures[1][there].mean()) < 15
    assert np.abs(carried[1].numpy()[there].astype(int) - pictures[1][there]).max() > 0


def test_a_follow_up_starts_from_the_neighbour_and_is_asked_for_the_slice(slices, vae):
    """A network that answers the slice itself has no error, whatever it starts from."""
    worlds = replace(slices, carried=255 - slices.pictures, follows=torch.ones(len(slices.pictures), dtype=torch.bool))
    batch = draw_batch(worlds, vae, 64, torch.Generator().manual_seed(0))
    assert batch.follows is not None and batch.carried is not None
    assert 0 < batch.follows.sum() < batch.given.sum()
    seen = []

    def knows(inputs, times, **_):
        x_t, t = inputs[:, :16], times.view(-1, 1, 1, 1) / 1000
        spread = (1 - t) ** 2 + t**2
        answer = (x_t - batch.latents) / t
        seen.append((x_t, t))
        return SimpleNamespace(sample=(answer - (2 * t - 1) / spread * x_t) * spread**0.5)

    assert flow_loss(knows, batch, vae, torch.Generator().manual_seed(0)) < 1e-6
    x_t, t = seen[0]
    follow = batch.follows
    assert ((t[follow] >= CARRIED[0]) & (t[follow] <= CARRIED[1])).all()
    near_slice = (x_t - (1 - t) * batch.latents).square().mean((1, 2, 3)) / t.flatten() ** 2
    assert near_slice[follow].mean() > 1.5 > 1.1 > near_slice[~follow].mean()  # noise alone has variance 1


def test_the_finder_learns_from_windows_and_from_slices_without_a_lesion(few):
    pictures, masks, types = (torch.from_numpy(a) for a in (few.pictures, few.masks, few.type_numbers()))
    clear = torch.full((2, 256, 256), 9, dtype=torch.uint8)
    x, m, kinds, shown = draw_pictures(pictures, masks, types, clear, 200, torch.Generator().manual_seed(0))
    assert x.shape == m.shape == (200, 1, 256, 256) and set(kinds.tolist()) == {0, 1, 2}
    empty = m.amax((1, 2, 3)) < 0.5
    flat = x.std((1, 2, 3)) < 0.05  # of the noise alone
    assert 8 <= flat.sum() <= 34 and empty[flat].all()  # a tenth
    assert (empty & ~flat).sum() >= 4  # windows that show none of it
    assert not shown[empty].any() and shown[~empty].float().mean() > 0.8
    none = draw_pictures(pictures, masks, types, None, 64, torch.Generator().manual_seed(0))[0]
    assert (none.std((1, 2, 3)) > 0.05).all()


def test_a_type_that_does_not_show_is_not_learned():
    generator = torch.Generator().manual_seed(0)
    outline, mask = torch.randn(2, 1, 8, 8, generator=generator), torch.zeros(2, 1, 8, 8)
    right, wrong = torch.tensor([[9.0, 0, 0], [9.0, 0, 0]]), torch.tensor([[9.0, 0, 0], [0, 9.0, 0]])
    types, shown = torch.tensor([0, 0]), torch.tensor([True, False])
    assert finder_loss(outline, right, mask, types, shown) == finder_loss(outline, wrong, mask, types, shown)
    assert finder_loss(outline, right, mask, types, ~shown) < finder_loss(outline, wrong, mask, types, ~shown)


def test_the_set_travels_in_one_file_and_is_the_same_there(slices, few, tmp_path):
    worlds = replace(slices, carried=slices.pictures.clone(), follows=torch.tensor([True] + [False] * 5))
    worlds.carried[0, 100:110, 100:110] = 200
    clear = np.zeros((1, 256, 256), np.uint8)
    path = write_slices(tmp_path / "set.npz", worlds, few, clear)
    assert path.stat().st_size < 0.2 * worlds.pictures.numel()
    back = training_slices(None, path, tmp_path / "no-prior-is-needed")
    for name in ("contexts", "healthy", "clinical", "mirrorable", "weight", "follows", "types"):
        assert torch.equal(getattr(back, name), getattr(worlds, name)), name
    assert torch.equal(back.masks > 127, worlds.masks > 127)
    for name in ("pictures", "heads", "carried"):
        assert (getattr(back, name).float() - getattr(worlds, name).float()).abs().mean() < 2, name
    assert back.carried[0, 105, 105] > 180 and torch.equal(back.carried[1:], back.pictures[1:])
    held = read_portable(path)
    assert torch.equal(held["val_types"], torch.from_numpy(few.type_numbers())) and held["clear"].shape == (1, 256, 256)
    with pytest.raises(MedDiffError, match="meddiff train portable"):
        read_portable(tmp_path / "none.npz")


class Says(torch.nn.Module):
    """A network that takes guidance and answers with a function of what it is told, so that the guided answer is known."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.config = {"projection_class_embeddings_input_dim": CLINICAL_DIM + 1}
        self.answer = answer

    def forward(self, inputs, times, encoder_hidden_states, class_labels):
        asked = encoder_hidden_states.abs().amax((1, 2)).gt(0).float().view(-1, 1, 1, 1)
        return SimpleNamespace(sample=self.answer(inputs[:, :16], asked, class_labels[:, -1].view(-1, 1, 1, 1)))


def test_a_student_that_answers_as_two_guided_passes_do_has_no_loss(slices, vae):
    batch = draw_batch(slices, vae, 32, torch.Generator().manual_seed(0))
    teacher = Says(lambda x, asked, code: 0.1 * x + asked)
    spread = MOST_GUIDANCE - LEAST_GUIDANCE
    guided = Says(lambda x, asked, code: 0.1 * x + asked * (LEAST_GUIDANCE + spread * code))
    deaf = Says(lambda x, asked, code: 0.1 * x + asked)

    def loss(student):
        return float(guidance_loss(student, teacher, batch, vae, torch.Generator().manual_seed(1)))

    assert loss(guided) < 1e-8 < 0.1 < loss(deaf)


def test_guidance_is_taught_to_a_copy_that_starts_as_its_teacher(slices, vae, tmp_path):
    teacher = train_denoiser(slices, vae, tmp_path / "teacher", NOTHING, batch=2, widths=(16, 16), guided=True)
    start = distil(teacher, slices, vae, tmp_path / "none", NOTHING, batch=2)
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), teacher.parameters(), strict=True))
    taught = distil(teacher, slices, vae, tmp_path / "run", 1, batch=2)
    assert not torch.equal(taught.conv_out.weight, teacher.conv_out.weight) and takes_guidance(taught)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    distil(teacher, slices, vae, tmp_path / "run", 0.5, batch=2)
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] > state["step"] > 0
    with pytest.raises(MedDiffError, match="not built to take guidance"):
        distil(build_denoiser((16, 16)), slices, vae, tmp_path / "other", 1)


def test_a_new_denoiser_takes_guidance_and_an_old_one_goes_on_as_it_is(trained, tmp_path):
    assert takes_guidance_at(None) and not takes_guidance_at(trained)
    model, _, _ = average_of(trained.parent / "state.pt")
    assert not takes_guidance(model)

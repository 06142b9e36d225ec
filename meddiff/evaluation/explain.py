"""Explaining: where in the picture each word is heard, and a check that this means something.

Cross-attention maps (Tang et al., *What the DAAM*, ACL 2023): how much every place listens to each of the 16 tokens, averaged over
layers, heads and steps. The codebook says which token tells what, so that tokens become words. A map alone proves nothing (Jain &
Wallace, *Attention is not explanation*, NAACL 2019): a word is also left out, the picture made again from the same seed, and where it
changed is held against where the word was heard, beside maps of other pictures as baseline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from scipy import ndimage
from scipy.stats import spearmanr
from torch import Tensor, nn

from meddiff.case import MedDiffError, Request
from meddiff.conditions.codebook import ATTRIBUTES, PAIRS, TOKENS
from meddiff.conditions.masks import edit_region
from meddiff.conditions.tensors import Conditions
from meddiff.diffusion.denoiser import takes_guidance
from meddiff.diffusion.pipeline import sample_latents
from meddiff.diffusion.precision import torch_denoise
from meddiff.evaluation.figures import mean_figure
from meddiff.evaluation.keep import kept_arrays
from meddiff.evaluation.material import Material, Progress
from meddiff.evaluation.plates import overlay, sealed, write_plate
from meddiff.evaluation.records import Figure, Part, Plate
from meddiff.synthesis.studio import Studio

__all__ = ["attention_maps", "explain", "overlay"]

SLOTS = (*ATTRIBUTES, "size")  # the first nine tokens; pairs follow
LEFT_OUT = ("type", "region", "enhancement", "conspicuity", "size")  # words that the check leaves out
OF_THE_LESION = ("lesion", "type", "enhancement", "margin", "conspicuity", "size")
QUICK, FULL = 4, 16  # requests
GROWN_MM = 8.0
COARSE = 16  # cells along a map's side: no attention layer sees more
SMOOTH = 4  # pixels, of a change


# ---------------------------------------------------------------- words and tokens


def weights_of(attribute: str) -> np.ndarray:
    """How much of each token an attribute says, [16]: its own whole, half of each pair that names it. Over all attributes they add up to 1.

    Raises:
        ValueError: for no attribute of the codebook.
    """
    if attribute not in SLOTS:
        raise ValueError(f"{attribute!r} is no attribute of the codebook: {', '.join(SLOTS)}")
    weights = np.zeros(TOKENS, np.float32)
    weights[SLOTS.index(attribute)] = 1
    for number, pair in enumerate(PAIRS):
        weights[len(SLOTS) + number] = 0.5 * (attribute in pair)
    return weights


def words_of(request: Request) -> dict[str, str]:
    """What a request says, attribute by attribute, in words; what it leaves open is left out."""
    findings, finding = request.findings, request.findings.finding
    said = {"plane": findings.plane.value if findings.plane else "unknown"}
    if finding is not None:
        said |= {"lesion": "focal lesion", "type": (finding.pathology or "unknown").replace("_", " ")}
        said |= {
            name: getattr(finding, name).value for name in ("side", "region", "enhancement", "margin", "conspicuity")
        }
        said["size"] = f"{finding.size_mm:g} mm" if finding.size_mm else "unknown"
    return {name: said[name] for name in SLOTS if said.get(name, "unknown") != "unknown"}


def without(context: Tensor, attribute: str) -> Tensor:
    """A context [B, 16, 128] in which no token says the attribute: all that name it are 0, as where nothing is asked."""
    kept = torch.from_numpy(weights_of(attribute) == 0).to(context.dtype)
    return context * kept.view(1, TOKENS, 1)


# ---------------------------------------------------------------- listening


@contextmanager
def listening(unet: UNet2DConditionModel) -> Iterator[list[Tensor]]:
    """Collects, of every cross-attention of every pass, how much each place listens to each token: [16, h, w], mean over heads.

    Of the first sample of a batch, which is the one with conditions. Queries and keys are read as they pass; nothing is changed.
    """
    seen: list[Tensor] = []
    queries: dict[str, Tensor] = {}
    handles = []

    def hear(name: str, attention: nn.Module) -> None:
        def on_query(module: nn.Module, given: object, out: Tensor) -> None:
            queries[name] = out[0]

        def on_key(module: nn.Module, given: object, out: Tensor) -> None:
            q, k = (x.float().unflatten(-1, (attention.heads, -1)).transpose(0, 1) for x in (queries.pop(name), out[0]))
            share = (q @ k.transpose(1, 2) * attention.scale).softmax(-1).mean(0)  # [places, tokens]
            side = math.isqrt(len(share))
            seen.append(share.T.reshape(-1, side, side).cpu())

        handles.append(attention.to_q.register_forward_hook(on_query))  # type: ignore[union-attr,arg-type]
        handles.append(attention.to_k.register_forward_hook(on_key))  # type: ignore[union-attr,arg-type]

    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            hear(name, module)
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def joined_maps(seen: Sequence[Tensor], size: int) -> np.ndarray:
    """Mean of maps [16, h, w] of any sides, each drawn to the picture's size first; float32 [16, size, size]."""
    total = torch.zeros(1, TOKENS, size, size)
    for side in sorted({one.shape[-1] for one in seen}):
        alike = torch.stack([one for one in seen if one.shape[-1] == side]).sum(0, keepdim=True)
        total += F.interpolate(alike, size=(size, size), mode="bilinear", align_corners=False)
    return (total[0] / len(seen)).numpy()


@torch.inference_mode()
def drawn(studio: Studio, request: Request, conditions: Conditions) -> np.ndarray:
    """The picture of a completed request from nothing under given conditions, by the torch network whatever the studio's precision: uint8 [H, W]."""
    pipeline = studio.load().pipeline
    plane = request.findings.plane
    head = pipeline.head(plane, conditions.mask, request.seed) if plane else None
    until = pipeline.prior.config.until if pipeline.prior is not None else 1.0
    latents = sample_latents(
        torch_denoise(pipeline.unet), pipeline.scheduler, conditions, request.seed, request.steps, request.guidance,
        None, head, until, one_pass=takes_guidance(pipeline.unet),
    )  # fmt: skip
    picture = pipeline.vae.decode(latents.to(pipeline.vae.encoder.weight.dtype)).float() / 2 + 0.5
    return np.clip(np.rint(picture[0, 0].numpy() * 255), 0, 255).astype(np.uint8)


def token_maps(studio: Studio, request: Request) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a completed request, uint8 [256, 256], and how much each place of it listens to each token, [16, 256, 256].

    Raises:
        MedDiffError: for a request on a given slice, or one that was not completed.
    """
    if request.background_sha256 is not None:
        raise MedDiffError("Words are followed in a case from nothing: this request changes a given slice.")
    with listening(studio.load().pipeline.unet) as seen:
        picture = drawn(studio, request, studio.conditions(request))
    return picture, joined_maps(seen, len(picture))


def attention_maps(studio: Studio, request: Request) -> dict[str, np.ndarray]:
    """Where each word of a completed request is heard: "enhancement: ring" -> float32 [256, 256] in [0, 1].

    A map is the share of a place's attention that goes to the tokens that say the word (`weights_of`). The INT8 network cannot be
    listened to: the torch one is asked, whose picture differs a little.

    Raises:
        MedDiffError: see `token_maps`.
    """
    return word_maps(token_maps(studio, request)[1], words_of(request))


def word_maps(tokens: np.ndarray, words: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Maps of tokens [16, H, W] as maps of words."""
    return {
        f"{name}: {word}": np.tensordot(weights_of(name), tokens, 1).astype(np.float32) for name, word in words.items()
    }


# ---------------------------------------------------------------- does it mean something


def agreement(heard: np.ndarray, changed: np.ndarray) -> float:
    """Spearman's rank correlation of two maps [H, W] on `COARSE` x `COARSE` cells; NaN where one does not vary."""
    one, other = (_cells(array).ravel() for array in (heard, changed))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def _cells(array: np.ndarray) -> np.ndarray:
    step = len(array) // COARSE
    return array.reshape(COARSE, step, COARSE, step).mean((1, 3))


def change(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two pictures uint8 [H, W] differ, grey levels, smoothed; [H, W]."""
    return ndimage.gaussian_filter(np.abs(first.astype(np.float32) - second), SMOOTH)


def mass_inside(heard: np.ndarray, region: np.ndarray) -> float:
    """Share of a map's mass [H, W] that lies in a region, bool [H, W]; NaN for an empty map."""
    total = float(heard.sum())
    return float(heard[region].sum()) / total if total > 0 else float("nan")


def left_out(material: Material, request: Request) -> dict[str, np.ndarray]:
    """A request's picture (`picture`), its token maps (`tokens`) and its picture without each of `LEFT_OUT` that it says; kept in the folder."""

    def make() -> dict[str, np.ndarray]:
        picture, tokens = token_maps(material.studio, request)
        asked = material.studio.conditions(request)
        parts = {"picture": picture, "tokens": tokens.astype(np.float16)}
        for name in set(LEFT_OUT) & set(words_of(request)):
            told = replace(asked, context=without(asked.context, name))
            parts[name] = drawn(material.studio, request, told)
        return parts

    return kept_arrays(material.folder / "explain" / f"{request.digest()[:20]}.safetensors", make)


def explain(material: Material, progress: Progress) -> Part:
    """Maps of the words of a few requests, and of what each word changes; kept in `folder / "explain"`."""
    count = min(QUICK if material.quick else FULL, len(material.requests))
    picks = np.linspace(0, len(material.requests) - 1, count).round().astype(int)
    requests = [material.requests[i] for i in picks]
    looked = []
    for number, request in enumerate(requests):
        progress(number, count, "pictures with a word left out")
        looked.append(left_out(material, request))
    maps = [one["tokens"].astype(np.float32) for one in looked]
    changed = [{name: change(one["picture"], one[name]) for name in LEFT_OUT if name in one} for one in looked]
    plate = _plate(material, requests, looked, maps, changed)
    progress(count, count, "done")
    spacing = (material.made.spacing_mm,) * 2
    grown = [edit_region(r.mask.to_array(), GROWN_MM, spacing) for r in requests if r.mask is not None]
    figures = [*inside_figures(maps, grown, [words_of(r) for r in requests]), *occlusion_figures(maps, changed)]
    return Part(
        name="explain",
        title="Explaining: where each word is heard, and what changes without it",
        figures=tuple(figures),
        plates=(plate,),
        remarks=(
            f"Attention is seen in cells of {256 // COARSE} pixels at best; a pair token (type and enhancement, say) counts half for each.",
            "Words say nothing of the outline, which the network is given beside them: where the lesion goes need not be heard in a word.",
        ),
    )


def inside_figures(
    maps: Sequence[np.ndarray], grown: Sequence[np.ndarray], words: Sequence[Mapping[str, str]]
) -> list[Figure]:
    """Share of each lesion word's attention inside the grown outlines, bool [H, W] each, beside their share of the area."""
    rows = []
    for name in OF_THE_LESION:
        pairs = [
            (mass_inside(np.tensordot(weights_of(name), one, 1), region), float(region.mean()))
            for one, region, said in zip(maps, grown, words, strict=True)
            if name in said
        ]
        values = np.array(pairs, float).reshape(-1, 2)
        rows.append(
            mean_figure(
                f"explain.inside.{name}", f"Attention to the {name} within 8 mm of the outline", values[:, 0],
                baseline=values[:, 1], baseline_name="share of the area", better="more",
            )
        )  # fmt: skip
    return rows


def occlusion_figures(maps: Sequence[np.ndarray], changed: Sequence[Mapping[str, np.ndarray]]) -> list[Figure]:
    """Where a word is heard against where the picture changes without it; baseline: the same word's maps in the other pictures."""
    rows: list[Figure] = []
    own_all: list[float] = []
    other_all: list[float] = []
    for name in LEFT_OUT:
        own: list[float] = []
        other: list[float] = []
        for i, change_map in ((i, c[name]) for i, c in enumerate(changed) if name in c):
            heard = [np.tensordot(weights_of(name), one, 1) for one in maps]
            own.append(agreement(heard[i], change_map))
            other.append(float(np.mean([agreement(h, change_map) for j, h in enumerate(heard) if j != i] or [np.nan])))
        own_all += own
        other_all += other
        rows.append(
            _occlusion(f"explain.occlusion.{name}", f"Attention to the {name} against change without it", own, other)
        )
    rows.append(
        _occlusion("explain.occlusion.all", "Attention against change without the word, all words", own_all, other_all)
    )
    gain = np.array(own_all, float) - np.array(other_all, float)
    rows.append(
        mean_figure(
            "explain.occlusion.gain", "The same, own map minus other pictures' maps", gain, better="more", baseline=0.0,
            baseline_name="maps mean nothing", note="Above 0 throughout its interval the maps say something of their own picture.",
        )
    )  # fmt: skip
    return rows


def _occlusion(key: str, name: str, own: Sequence[float], other: Sequence[float]) -> Figure:
    return mean_figure(
        key, f"{name}, rank correlation", np.array(own, float), baseline=np.array(other, float),
        baseline_name="maps of other pictures", better="more",
    )  # fmt: skip


def _plate(
    material: Material,
    requests: Sequence[Request],
    looked: Sequence[Mapping[str, np.ndarray]],
    maps: Sequence[np.ndarray],
    changed: Sequence[Mapping[str, np.ndarray]],
) -> Plate:
    """A row a request: the picture, then for three words where it is heard and where the picture changes without it."""
    shown = ("type", "enhancement", "size")
    rows, over = [], []
    for request, one, tokens, differs in zip(requests, looked, maps, changed, strict=True):
        outline = request.mask.to_array() if request.mask else None
        image = sealed(material.studio, request, one["picture"], outline)
        heats: list[np.ndarray | None] = [None]
        for name in shown:
            heard = np.tensordot(weights_of(name), tokens, 1)
            heats += [heard - heard.min(), differs.get(name)]  # what every place hears alike says nothing
        rows.append([image] * len(heats))
        over.append(heats)
    file = write_plate(material.folder / "explain_words.png", rows, over)
    said = ", ".join(shown)
    return Plate(
        key="explain.words",
        caption=f"Each row a picture, then for {said}: where the word is heard, and where the picture changes without it.",
        file=file.name,
        synthetic=True,
    )

"""Where a picture from nothing starts: an atlas of heads that can be bent.

A young denoiser finishes a slice that is half lost in noise very well, and cannot find a head's anatomy in noise alone. So
the anatomy is drawn first, from an active appearance model (Cootes et al., *Active Appearance Models*, 1998): for each plane some
templates, each the mean of many slices of one level that were bent onto each other with their lesions left out; how they bend, and
how they look once bent, as Gaussians of a few components. A drawn head has ventricles, skull and sinuses in their places
and no texture; the denoiser is given it as a guide at every pass (`denoiser.fixed_channels`) and makes a picture of it.

Each template is the mean of `FEWEST` slices or more, mirror images not counted. The source has no patient numbers, so slices are
counted, not patients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from meddiff.case import Plane

PLANES = tuple(Plane)
FEWEST = 20
FIELDS = 16  # the lesion's place is told by how much of each of 16 x 16 fields it covers
CALM = 0.8  # of the fitted spread is drawn: the far ends of a Gaussian are no heads
SIDE = 256  # pixels of a finished head
TRIES = 6  # heads drawn until one has tissue all around the lesion
AIR = 0.08  # below it a drawn head shows none
UNTIL = 0.75  # time at which a drawn head is handed over to the denoiser
FARTHEST = 2.5  # standard deviations that a slice's own scores may have


class HeadPrior(ModelMixin, ConfigMixin):
    """Bendable templates of heads, given the plane and where the lesion lies.

    Args:
        templates: of all planes together.
        components: of bending and of looks, each.
        size: pixels along a template.
        controls: points of the bending's grid along one axis.
        until: time in (0, 1] at which the denoiser takes over.
    """

    @register_to_config
    def __init__(
        self, templates: int = 48, components: int = 12, size: int = 96, controls: int = 6, until: float = UNTIL
    ) -> None:
        super().__init__()
        bend = (2, controls, controls)
        self.plane: Tensor  # which of PLANES each template shows; -1: unused
        self.register_buffer("plane", torch.full((templates,), -1))
        self.count: Tensor  # slices that each is the mean of
        self.register_buffer("count", torch.zeros(templates))
        self.mean: Tensor  # in [0, 1]
        self.register_buffer("mean", torch.zeros(templates, size, size))
        self.looks: Tensor  # components, each as long as its standard deviation
        self.register_buffer("looks", torch.zeros(templates, components, size, size))
        self.form: Tensor  # mean bending, in units of half a picture
        self.register_buffer("form", torch.zeros(templates, *bend))
        self.forms: Tensor
        self.register_buffer("forms", torch.zeros(templates, components, *bend))
        self.gain: Tensor  # mean and standard deviation of the logarithm of the brightness
        self.register_buffer("gain", torch.zeros(templates, 2))
        self.where: Tensor  # share of the slices whose lesion covers each field
        self.register_buffer("where", torch.zeros(templates, FIELDS**2))

    def picture(self, template: int, looks: Tensor, forms: Tensor, gain: Tensor) -> Tensor:
        """Heads [N, 1, 256, 256] in [0, 1] of one template.

        Args:
            looks, forms: scores [N, components] in standard deviations.
            gain: brightness [N].
        """
        flat = self.mean[template] + torch.einsum("nr,rhw->nhw", looks, self.looks[template])
        bend = self.form[template] + torch.einsum("nr,rchw->nchw", forms, self.forms[template])
        straight = F.interpolate(flat.unsqueeze(1), size=SIDE, mode="bicubic", align_corners=False)
        grid = places(unbent(bend, SIDE // 2), SIDE)
        bent = F.grid_sample(straight, grid, padding_mode="border", align_corners=False)  # a neck goes on below
        return (bent * gain.view(-1, 1, 1, 1)).clamp(0, 1)

    @torch.inference_mode()
    def draw(self, plane: Plane, mask: Tensor, generator: torch.Generator) -> Tensor:
        """A head [1, 1, 256, 256] in [0, 1] for a lesion outlined by mask [1, 1, 256, 256] (blank: none told).

        Raises:
            ValueError: when no template shows the plane.
        """
        ours = torch.where(self.plane == PLANES.index(plane), self.count, torch.zeros_like(self.count))
        if not ours.any():
            raise ValueError(f"the prior has no template of the {plane.value} plane")
        if mask.any():
            fields = F.adaptive_avg_pool2d(mask, FIELDS).flatten()
            ours = ours * (self.where @ (fields / fields.sum()) + 1e-4)
        best, most = None, -1.0
        around = F.max_pool2d(mask, 9, 1, 4) > 0
        for _ in range(TRIES):
            template = int(torch.multinomial(ours, 1, generator=generator))
            looks, forms = (torch.randn(1, self.config.components, generator=generator) * CALM for _ in range(2))
            mean, spread = self.gain[template]
            gain = (mean + CALM * spread * torch.randn(1, generator=generator)).exp()
            head = self.picture(template, looks, forms, gain)
            tissue = float((head > AIR)[around].float().mean()) if around.any() else 1.0
            if tissue > most:
                best, most = head, tissue
            if tissue > 0.99:
                break
        assert best is not None
        return best


def field(bend: Tensor, side: int) -> Tensor:
    """Displacements [N, 2, side, side] of control points [N, 2, g, g]."""
    return F.interpolate(bend, size=(side, side), mode="bicubic", align_corners=True)


def places(displacement: Tensor, side: int) -> Tensor:
    """Sampling grid [N, side, side, 2] of displacements [N, 2, h, w]."""
    straight = F.affine_grid(torch.eye(2, 3).unsqueeze(0), [1, 1, side, side], align_corners=False)
    if displacement.shape[-1] != side:
        displacement = F.interpolate(displacement, size=(side, side), mode="bilinear", align_corners=False)
    return straight + displacement.permute(0, 2, 3, 1)


def unbent(bend: Tensor, side: int, rounds: int = 8) -> Tensor:
    """Displacements that undo those of control points [N, 2, g, g], by fixed-point iteration: v(y) = -d(y + v(y))."""
    forward = field(bend, side)
    back = -forward
    for _ in range(rounds):
        back = -F.grid_sample(forward, places(back, side), padding_mode="border", align_corners=False)
    return back

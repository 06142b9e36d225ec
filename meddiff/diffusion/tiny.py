"""A pack with tiny random weights: the real classes, the real folder, made in seconds, for tests and for trying the page."""

from __future__ import annotations

from pathlib import Path

import torch

from meddiff.case import Plane
from meddiff.conditions.text import Resampler
from meddiff.diffusion.autoencoder import PatchAutoencoder
from meddiff.diffusion.checkpoint import PackInfo, save_pack
from meddiff.diffusion.denoiser import build_denoiser
from meddiff.diffusion.flow import solver
from meddiff.diffusion.pipeline import MedDiffPipeline
from meddiff.diffusion.prior import HeadPrior

WORDS = (
    "axial coronal sagittal t1 post contrast ring enhancing solid left right frontal temporal mass glioma mm no focal"
)


def write_tiny_pack(folder: Path, name: str = "brain-t1gd", seed: int = 0) -> Path:
    """Writes a pack with random weights into `folder/name` and returns that path. Its pictures show nothing."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    path = Path(folder) / name
    path.mkdir(parents=True, exist_ok=True)
    words = BertWordPieceTokenizer(lowercase=True)
    words.train_from_iterator([WORDS], vocab_size=200, min_frequency=1)
    words.save(str(path / "tokenizer.tmp"))
    tokenizer = BertTokenizerFast(tokenizer_file=str(path / "tokenizer.tmp"), do_lower_case=True)
    (path / "tokenizer.tmp").unlink()
    bert = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=96,
        ),
        add_pooling_layer=False,
    )
    vae = PatchAutoencoder(width=16, blocks=1)
    vae.start_from_components(torch.rand(4, 1, 64, 64) * 2 - 1)
    prior = HeadPrior(templates=3, components=2, size=32)
    prior.plane.copy_(torch.arange(3))
    prior.count += 1
    prior.mean += torch.rand(prior.mean.shape)
    pipeline = MedDiffPipeline(
        vae,
        build_denoiser((16, 16), heads=2),
        solver(1.5),
        bert,
        tokenizer,
        Resampler(32),
        prior,
    )
    info = PackInfo(
        name=name,
        title="Tiny random pack for tests",
        modality="MR",
        anatomy="brain",
        sequence="T1 post-contrast",
        planes=tuple(Plane),
        types=("meningioma", "glioma", "pituitary_tumor"),
        steps=2,
    )
    save_pack(path, info, pipeline)
    return path

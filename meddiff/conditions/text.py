"""From a sentence to 16 context tokens: a `BertModel`, then a small resampler that learned the codebook.

The denoiser sees only the context, [B, 16, 128] (`conditions.codebook`), so the encoder can be exchanged without touching
it: our compact BERT ships, and any `AutoModel` (Bio_ClinicalBERT first) can be put in its place once `meddiff text fit`
has fitted a resampler of its own (`FittedEncoder`). Resampler: Alayrac et al., *Flamingo*, 2022, one layer of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors import SafetensorError
from torch import Tensor, nn

from meddiff.case import SHIPPED_TEXT_ENCODER, MedDiffError, Record, pixel_sha256
from meddiff.conditions.codebook import CONTEXT_DIM, TOKENS

MAX_WORDPIECES = 96  # as many as our BERT has positions; longer sentences are refused, not cut

CLINICAL_BERT = "emilyalsentzer/Bio_ClinicalBERT"
FITTED = "text_encoder.json"


class Resampler(ModelMixin, ConfigMixin):
    """Hidden states [B, T, hidden] with mask [B, T] -> context [B, 16, 128], the tokens of the codebook."""

    @register_to_config
    def __init__(self, hidden: int = 192, width: int = CONTEXT_DIM, tokens: int = TOKENS, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.key_value = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.out = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """See the class."""
        memory = self.norm(self.key_value(states))
        queries = self.queries.expand(len(states), -1, -1)
        seen, _ = self.attention(queries, memory, memory, key_padding_mask=mask == 0, need_weights=False)
        x = queries + seen
        return self.out(x + self.mlp(x))


class TextEncoder:
    """Sentences in, context tokens out.

    Args:
        tokenizer, bert: a transformers tokenizer and encoder that belong together.
        resampler: fitted to that encoder.
        name: what records call it.
    """

    def __init__(self, tokenizer: Any, bert: nn.Module, resampler: Resampler, name: str = SHIPPED_TEXT_ENCODER) -> None:
        self.tokenizer = tokenizer
        self.bert = bert.eval()
        self.resampler = resampler.eval()
        self.name = name

    def hidden(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, hidden] and attention mask [B, T].

        Raises:
            MedDiffError: for a sentence of more than 96 word pieces.
        """
        batch = self.tokenizer([s.lower() for s in sentences], padding=True, return_tensors="pt")
        if batch["input_ids"].shape[1] > MAX_WORDPIECES:
            raise MedDiffError(
                f"The sentence is too long ({batch['input_ids'].shape[1]} word pieces, at most {MAX_WORDPIECES}): "
                "describe one lesion in one sentence."
            )
        states = self.bert(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        return states, batch["attention_mask"]

    @torch.inference_mode()
    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Context [B, 16, 128] of B sentences; each sentence's context does not depend on the others."""
        # One by one: padding changes sums in the last bits, and a case must not depend on its batch.
        return torch.cat([self.resampler(*self.hidden([sentence])) for sentence in sentences]).clone()

    def save(self, folder: str | Path) -> None:
        """Writes `text_encoder/`, `tokenizer/` and `resampler/` into a pack's folder."""
        folder = Path(folder)
        self.bert.save_pretrained(folder / "text_encoder")  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder / "tokenizer")
        self.resampler.save_pretrained(folder / "resampler")

    @staticmethod
    def load(folder: str | Path) -> TextEncoder:
        """The encoder a pack ships."""
        from transformers import AutoTokenizer, BertModel

        folder = Path(folder)
        return TextEncoder(
            AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            BertModel.from_pretrained(folder / "text_encoder", local_files_only=True, add_pooling_layer=False),
            Resampler.from_pretrained(folder / "resampler"),  # type: ignore[arg-type]
        )

    def save_fitted(self, folder: str | Path, encoder: str) -> None:
        """Writes the resampler alone, and to which encoder (hub name or folder) it was fitted."""
        source = Path(encoder).resolve() if Path(encoder).is_dir() else encoder
        self.resampler.save_pretrained(folder)
        fitted = FittedEncoder(encoder=str(source), name=self.name)
        (Path(folder) / FITTED).write_text(fitted.model_dump_json(indent=1) + "\n")

    @staticmethod
    def load_fitted(folder: str | Path) -> TextEncoder:
        """The encoder that `meddiff text fit` wrote `folder` for.

        Raises:
            MedDiffError: when the folder is not such a one, or the encoder cannot be had or was changed since.
        """
        folder = Path(folder)
        try:
            fitted = FittedEncoder.model_validate_json((folder / FITTED).read_bytes())
            resampler: Any = Resampler.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise MedDiffError(
                f"{folder} holds no fitted text encoder: give the folder that `meddiff text fit` wrote."
            ) from error
        tokenizer, bert = load_auto(fitted.encoder)
        if record_name(fitted.encoder, tokenizer, bert, resampler) != fitted.name:
            raise MedDiffError(
                f"The text encoder {fitted.name} or its resampler was changed since `meddiff text fit` wrote {folder}: "
                "fit again, into another folder."
            )
        return TextEncoder(tokenizer, bert, resampler, fitted.name)


class FittedEncoder(Record):
    """What `meddiff text fit` writes beside a resampler."""

    encoder: str  # hub name, or a folder on this machine: it stays here, files that leave carry the name
    name: str  # see `record_name`


def record_name(encoder: str, tokenizer: Any, *modules: nn.Module) -> str:
    """What records call a fitted encoder: hub name or the folder's own name, and a hash of vocabulary and weights."""
    parts = [json.dumps(tokenizer.get_vocab(), sort_keys=True)]
    for module in modules:
        parts += sorted(pixel_sha256(weight.detach().numpy()) for weight in module.parameters())
    said = Path(encoder).resolve().name if Path(encoder).is_dir() else encoder
    return f"{said}@{hashlib.sha256(''.join(parts).encode()).hexdigest()[:12]}"


def load_auto(name: str) -> tuple[Any, nn.Module]:
    """Tokenizer and encoder of a hub name or a folder, in float32.

    Raises:
        MedDiffError: when they cannot be had, or weights are missing.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        bert, report = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise MedDiffError(
            f"The text encoder {name!r} could not be loaded: {str(error).strip().splitlines()[0].rstrip('.')}. "
            "Connect to the model hub once, or give the folder that holds its weights."
        ) from error
    if getattr(bert, "pooler", None) is not None:
        bert.pooler = None  # nothing here reads it, and many checkpoints leave it to chance
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("pooler.")):
        raise MedDiffError(f"The text encoder {name!r} is not whole: {missing[0]} is missing. Get its weights again.")
    return tokenizer, bert.float().eval()

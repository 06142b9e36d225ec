"""From a sentence to 16 context tokens: a `BertModel`, then a small resampler that learned the codebook.

The denoiser sees only the context, [B, 16, 128] (`conditions.codebook`), so the encoder can be exchanged without touching
it: our compact BERT ships, and any `AutoModel` (Bio_ClinicalBERT first) can be put in its place once `meddiff text fit`
has fitted a resampler of its own. Resampler: Alayrac et al., *Flamingo*, 2022, one layer of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from meddiff.case import MedDiffError
from meddiff.conditions.codebook import CONTEXT_DIM, TOKENS

MAX_WORDPIECES = 64  # longer sentences are refused, not cut

CLINICAL_BERT = "emilyalsentzer/Bio_ClinicalBERT"


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
        name: what it is called in provenance ("meddiff-compact-bert", a hub name, a folder).
    """

    def __init__(self, tokenizer: Any, bert: nn.Module, resampler: Resampler, name: str) -> None:
        self.tokenizer = tokenizer
        self.bert = bert.eval()
        self.resampler = resampler.eval()
        self.name = name

    def hidden(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, hidden] and attention mask [B, T].

        Raises:
            MedDiffError: for a sentence of more than 64 word pieces.
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
            "meddiff-compact-bert",
        )

    @staticmethod
    def load_foreign(name: str, fitted: str | Path) -> TextEncoder:
        """Any `AutoModel` by hub name or folder, with the resampler that `meddiff text fit` wrote to `fitted`.

        Raises:
            MedDiffError: when the weights cannot be had (offline) or the resampler is missing.
        """
        tokenizer, bert = load_auto(name)
        if not (Path(fitted) / "config.json").exists():
            raise MedDiffError(f"No resampler fitted to {name} lies in {fitted}: run `meddiff text fit {name}` first.")
        return TextEncoder(tokenizer, bert, Resampler.from_pretrained(fitted), name)  # type: ignore[arg-type]


def load_auto(name: str) -> tuple[Any, nn.Module]:
    """Tokenizer and encoder of a hub name or a folder.

    Raises:
        MedDiffError: when they cannot be had.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name).eval()
    except (OSError, ValueError) as error:
        raise MedDiffError(
            f"The text encoder {name!r} could not be loaded: it is neither a folder here nor could it be fetched. "
            "Connect to the model hub once, or give the folder that holds its weights."
        ) from error

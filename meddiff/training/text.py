"""Recipes: a text encoder that says the codebook. `meddiff train text` (ours) and `meddiff text fit NAME` (any other).

No corpus of reports is needed for the sentences that MedDiff understands: the vocabulary writes them. A sentence is
paraphrased, the encoder and its resampler say 16 tokens, and the tokens shall be those of the codebook. Ours is trained
whole; of a foreign encoder (Bio_ClinicalBERT) the resampler alone is fitted, on the user's machine, in minutes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meddiff.case import Conspicuity, Enhancement, Finding, Findings, Margin, Plane, Region, Side
from meddiff.conditions.codebook import ATTRIBUTES, codeword, context_of, values_of
from meddiff.conditions.prompt import paraphrase, write_sentence
from meddiff.conditions.text import Resampler, TextEncoder, load_auto
from meddiff.conditions.vocabulary import drawn_as, load_pathologies
from meddiff.training.run import Average, Run, learning_rate, set_learning_rate

HIDDEN = 192
CHOICES: dict[str, list[str]] = {
    "lesion": ["none", "focal"],
    "plane": ["unknown", *(p.value for p in Plane)],
    "side": [s.value for s in Side],
    "region": [r.value for r in Region],
    "enhancement": [e.value for e in Enhancement],
    "margin": [m.value for m in Margin],
    "conspicuity": [c.value for c in Conspicuity],
}


def random_findings(rng: random.Random, pathologies: list[str]) -> Findings:
    """Findings as people would ask for them: any attribute may be left unsaid; one in eight says: no focal lesion."""
    plane = rng.choice([None, *Plane])
    if rng.random() < 0.125:
        return Findings(plane=plane)

    def maybe(values: Any, said: float) -> Any:
        known = [value for value in values if value.value != "unknown"]
        return rng.choice(known) if rng.random() < said else values("unknown")

    return Findings(
        plane=plane,
        finding=Finding(
            pathology=rng.choice(pathologies) if rng.random() < 0.8 else None,
            side=maybe(Side, 0.6),
            region=maybe(Region, 0.6),
            enhancement=maybe(Enhancement, 0.6),
            margin=maybe(Margin, 0.5),
            conspicuity=maybe(Conspicuity, 0.4),
            size_mm=float(rng.randint(4, 90)) if rng.random() < 0.6 else None,
        ),
    )


def sentences(count: int, seed: int) -> Iterator[tuple[str, Findings]]:
    """Sentences and what they say; one in four canonical, the others paraphrased."""
    rng = random.Random(seed)
    pathologies = sorted(load_pathologies())
    for _ in range(count):
        findings = random_findings(rng, pathologies)
        draw = rng.randrange(2**31)
        yield (write_sentence(findings) if draw % 4 == 0 else paraphrase(findings, draw)), findings


def contexts_of(batch: list[Findings]) -> Tensor:
    """The codebook's contexts [B, 16, 128] of findings."""
    return torch.stack([context_of(findings, drawn_as(findings)) for findings in batch])


def read_back(context: Tensor, name: str, choices: list[str]) -> list[str]:
    """Which value of an attribute each context [B, 16, 128] says: the nearest codeword."""
    words = torch.stack([codeword(f"{name}={value}") for value in choices])
    token = context[:, ATTRIBUTES.index(name)]
    return [choices[i] for i in torch.cdist(token, words).argmin(1).tolist()]


def agreement(encoder: TextEncoder, count: int = 400, seed: int = 2**30) -> dict[str, float]:
    """How much of the meaning survives the encoder, on sentences it was not trained on.

    Returns:
        per attribute the share of sentences whose token is nearest to the right codeword, and `context`: the share of
        the codebook's variance that the 16 tokens carry (1 = all, 0 = none).
    """
    said, meant = zip(*sentences(count, seed), strict=True)
    context, target = encoder(said), contexts_of(list(meant))
    choices = {**CHOICES, "type": ["unknown", *sorted({p.drawn_as for p in load_pathologies().values()})]}
    scores = {}
    for name, values in choices.items():
        right = [values_of(f, drawn_as(f))[name] for f in meant]
        heard = read_back(context, name, values)
        scores[name] = sum(a == b for a, b in zip(right, heard, strict=True)) / count
    scores["context"] = 1 - float((context - target).square().mean() / target.var())
    return scores


def train_tokenizer(folder: Path) -> Any:
    """A lower-case WordPiece tokenizer of some 1,500 pieces, learned from 20,000 sentences."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator((s.lower() for s, _ in sentences(20_000, 1)), vocab_size=1500, min_frequency=2)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return BertTokenizerFast(tokenizer_file=str(path), do_lower_case=True)


def compact_bert(vocabulary: int) -> nn.Module:
    """Our encoder with random weights: three layers of width 192."""
    from transformers import BertConfig, BertModel

    return BertModel(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=HIDDEN,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=3 * HIDDEN,
            max_position_embeddings=96,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )


def train_text(folder: str | Path, seconds: float, batch: int = 64, rate: float = 1e-3, seed: int = 0) -> TextEncoder:
    """Trains tokenizer, BERT and resampler from nothing but the vocabulary; prints how much of the meaning survives."""
    torch.manual_seed(seed)
    folder = Path(folder)
    if (folder / "tokenizer.json").exists():
        from transformers import BertTokenizerFast

        tokenizer: Any = BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), do_lower_case=True)
    else:
        tokenizer = train_tokenizer(folder)
    bert = compact_bert(len(tokenizer))
    return _fit(
        TextEncoder(tokenizer, bert, Resampler(HIDDEN), "meddiff-compact-bert"), True, folder, seconds, batch, rate
    )


def fit_text(
    name: str, folder: str | Path, seconds: float, batch: int = 32, rate: float = 1e-3, seed: int = 0
) -> TextEncoder:
    """Fits a resampler for any `AutoModel` by hub name or folder and saves it to `folder`."""
    torch.manual_seed(seed)
    tokenizer, bert = load_auto(name)
    bert.requires_grad_(False)
    config: Any = bert.config
    hidden = int(config.hidden_size)
    encoder = _fit(TextEncoder(tokenizer, bert, Resampler(hidden), name), False, Path(folder), seconds, batch, rate)  # type: ignore[arg-type,union-attr]
    encoder.resampler.save_pretrained(folder)
    return encoder


def _fit(encoder: TextEncoder, whole: bool, folder: Path, seconds: float, batch: int, rate: float) -> TextEncoder:
    parts = {"resampler": encoder.resampler} | ({"bert": encoder.bert} if whole else {})
    model = nn.ModuleDict(parts).train()
    average = Average(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    run = Run(folder, seconds)
    run.keep(model=model, average=average, optimizer=optimizer)
    run.resume()
    for gone in run.clock():
        set_learning_rate(optimizer, learning_rate(rate, run.step, gone))
        said, meant = zip(*sentences(batch, 1000 + run.step), strict=True)
        with torch.set_grad_enabled(whole):
            states, mask = encoder.hidden(said)
        loss = F.mse_loss(encoder.resampler(states, mask), contexts_of(list(meant)))
        run.accelerator.backward(loss)
        run.accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(model)
        run.seen(loss, batch)
    best: Any = average.module
    done = TextEncoder(encoder.tokenizer, best["bert"] if whole else encoder.bert, best["resampler"], encoder.name)
    run.log(**{f"survives_{name}": round(value, 4) for name, value in agreement(done).items()})
    return done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train text`."""
    parser.add_argument("--run", type=Path, default=Path("runs/text"), help="folder of state, log and result")
    parser.add_argument("--minutes", type=float, default=8, help="how long to train (default 8)")


def main(args: argparse.Namespace) -> int:
    """Trains and writes `text_encoder/`, `tokenizer/` and `resampler/` into the run's folder."""
    train_text(args.run, args.minutes * 60).save(args.run)
    return 0

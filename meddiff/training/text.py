"""Recipes: a text encoder that says the codebook. `meddiff train text` (ours) and `meddiff text fit NAME` (any other).

No corpus of reports is needed for the sentences that MedDiff understands: the vocabulary writes them. A sentence is
paraphrased, the encoder and its resampler say 16 tokens, and the tokens shall be those of the codebook. Ours is trained
whole; of a foreign encoder (Bio_ClinicalBERT) the resampler alone is fitted, on the user's machine, in minutes.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from meddiff.case import Conspicuity, Enhancement, Finding, Findings, Margin, MedDiffError, Plane, Region, Side
from meddiff.conditions.codebook import ATTRIBUTES, LARGEST_MM, codeword, context_of, size_code, values_of
from meddiff.conditions.prompt import paraphrase, write_sentence
from meddiff.conditions.text import Resampler, TextEncoder, load_auto, record_name
from meddiff.conditions.vocabulary import drawn_as, load_pathologies
from meddiff.training.run import Average, Run, learning_rate, set_learning_rate

HIDDEN = 192
POOL = 16_384  # sentences that a frozen encoder reads at most: 600 MB at Bio_ClinicalBERT's width
CHOICES: dict[str, list[str]] = {
    "lesion": ["none", "focal"],
    "plane": ["unknown", *(p.value for p in Plane)],
    "side": [s.value for s in Side],
    "region": [r.value for r in Region],
    "enhancement": [e.value for e in Enhancement],
    "margin": [m.value for m in Margin],
    "conspicuity": [c.value for c in Conspicuity],
}
Batch = tuple[Tensor, Tensor, Tensor]  # hidden states [B, T, hidden], mask [B, T], contexts [B, 16, 128]


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


def read_size(context: Tensor) -> list[float | None]:
    """The whole mm that each context [B, 16, 128] says, None for a size not said: the nearest of the size codes."""
    lengths = [None, *map(float, range(1, int(LARGEST_MM) + 1))]
    words = torch.stack([size_code(length) for length in lengths])
    return [lengths[i] for i in torch.cdist(context[:, len(ATTRIBUTES)], words).argmin(1).tolist()]


def _same_size(said: float | None, heard: float | None) -> bool:
    return said is heard if said is None or heard is None else abs(said - heard) <= 3


def agreement(encoder: TextEncoder, count: int = 400, seed: int = 2**30) -> dict[str, float]:
    """How much of the meaning survives the encoder, on sentences it was not trained on.

    Returns:
        per attribute the share of sentences whose token is nearest to the right codeword, for `size` to one at most
        3 mm off; and `context`: the share of the codebook's variance that the 16 tokens carry (1 = all, 0 = none).
    """
    said, meant = zip(*sentences(count, seed), strict=True)
    context, target = encoder(said), contexts_of(list(meant))
    choices = {**CHOICES, "type": ["unknown", *sorted({p.drawn_as for p in load_pathologies().values()})]}
    scores = {}
    for name, values in choices.items():
        right = [values_of(f, drawn_as(f))[name] for f in meant]
        heard = read_back(context, name, values)
        scores[name] = sum(a == b for a, b in zip(right, heard, strict=True)) / count
    sizes = [f.finding.size_mm if f.finding else None for f in meant]
    scores["size"] = sum(map(_same_size, sizes, read_size(context))) / count
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
    encoder = TextEncoder(tokenizer, compact_bert(len(tokenizer)), Resampler(HIDDEN))
    parts = nn.ModuleDict({"resampler": encoder.resampler, "bert": encoder.bert})
    run = Run(folder, seconds)

    def batches() -> Iterator[Batch]:
        while True:
            said, meant = zip(*sentences(batch, 1000 + run.step), strict=True)
            yield *encoder.hidden(said), contexts_of(list(meant))

    best: Any = _fit(run, encoder.resampler, parts, batches(), rate)
    return _counted(run, TextEncoder(tokenizer, best["bert"], best["resampler"]))


def fit_text(
    name: str, folder: str | Path, seconds: float, batch: int = 64, rate: float = 3e-3, seed: int = 0
) -> TextEncoder:
    """Fits a resampler for any `AutoModel` by hub name or folder; `folder` then is what `TextEncoder.load_fitted` takes.

    Raises:
        MedDiffError: when the encoder cannot be had or says nothing a resampler could read, or another's state lies
            in the folder.
    """
    torch.manual_seed(seed)
    tokenizer, bert = load_auto(name)
    encoder = TextEncoder(tokenizer, bert.requires_grad_(False), Resampler(1))
    try:
        hidden = encoder.hidden(["No focal lesion"])[0].shape[-1]
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise MedDiffError(
            f"The model {name!r} gives no hidden states of a sentence: choose a text encoder of the BERT kind."
        ) from error
    resampler = Resampler(hidden)
    run = Run(folder, seconds)
    kept = record_name(name, tokenizer, bert).replace(".", "_")  # the state of another encoder's resampler is refused
    best: Any = _fit(run, resampler, nn.ModuleDict({kept: resampler}), _read_once(encoder, batch, run), rate)
    done = TextEncoder(tokenizer, bert, best[kept], record_name(name, tokenizer, bert, best[kept]))
    done.save_fitted(folder, name)
    return _counted(run, done)


def _read_once(encoder: TextEncoder, batch: int, run: Run) -> Iterator[Batch]:
    """Batches of what a frozen encoder says: it is slow, so each sentence is read once, and half of the time goes on that."""
    pool: list[tuple[Tensor, Tensor]] = []  # hidden states [T, hidden] in half precision, context [16, 128]
    rng = random.Random(run.step)
    start, reading = time.monotonic(), 0.0
    while True:
        began = time.monotonic()
        if len(pool) < POOL and reading <= (began - start) / 2:
            said, meant = zip(*sentences(2 * batch, 1000 + run.step + len(pool)), strict=True)
            with torch.no_grad():
                states, mask = encoder.hidden(said)
            read = (state[seen > 0].half() for state, seen in zip(states, mask, strict=True))
            pool += zip(read, contexts_of(list(meant)), strict=True)
            reading += time.monotonic() - began
        drawn, targets = zip(*rng.sample(pool, batch), strict=True)
        lengths = torch.tensor([len(states) for states in drawn])
        mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        yield pad_sequence(list(drawn), batch_first=True).float(), mask, torch.stack(targets)


def _fit(run: Run, resampler: Resampler, parts: nn.ModuleDict, batches: Iterator[Batch], rate: float) -> nn.ModuleDict:
    """Trains `parts` to say the codebook until the run's time is up; returns the average of their weights."""
    average = Average(parts.train(), 0.995)
    optimizer = torch.optim.AdamW(parts.parameters(), lr=rate, weight_decay=0.01)
    run.keep(model=parts, average=average, optimizer=optimizer)
    run.resume()
    for gone in run.clock():
        set_learning_rate(optimizer, learning_rate(rate, run.step, gone))
        states, mask, target = next(batches)
        loss = F.mse_loss(resampler(states, mask), target)
        run.accelerator.backward(loss)
        run.accelerator.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(parts)
        run.seen(loss, len(states))
    return average.module  # type: ignore[return-value]


def _counted(run: Run, encoder: TextEncoder) -> TextEncoder:
    run.log(**{f"survives_{name}": round(value, 4) for name, value in agreement(encoder).items()})
    return encoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train text`."""
    parser.add_argument("--run", type=Path, default=Path("runs/text"), help="folder of state, log and result")
    parser.add_argument("--minutes", type=float, default=8, help="how long to train (default 8)")


def main(args: argparse.Namespace) -> int:
    """Trains and writes `text_encoder/`, `tokenizer/` and `resampler/` into the run's folder."""
    train_text(args.run, args.minutes * 60).save(args.run)
    return 0

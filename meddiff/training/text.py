"""Recipe: our compact BERT and its resampler. `meddiff train text --run runs/text --minutes 4`

No corpus of reports is needed for the sentences that MedDiff understands: the vocabulary writes them. A sentence is
paraphrased, the encoder reads it, and each finding must be readable again from a context token of its own
(plane from the first, pathology from the second, ...) and all of them from the free ones together. What the denoiser then
sees is the meaning, whichever synonym said it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from meddiff.case import Conspicuity, Enhancement, Finding, Findings, Margin, Plane, Region, Side
from meddiff.conditions.prompt import paraphrase, write_sentence
from meddiff.conditions.text import CONTEXT_DIM, TOKENS, Resampler, TextEncoder
from meddiff.conditions.vocabulary import load_pathologies
from meddiff.training.run import Average, Run, learning_rate, set_learning_rate

HIDDEN = 192
MAX_SIZE_MM = 100.0


def random_findings(rng: random.Random, pathologies: list[str]) -> Findings:
    """Findings as people would ask for them: any attribute may be left unsaid; one in eight says: no focal lesion."""
    plane = rng.choice([None, *Plane])
    if rng.random() < 0.125:
        return Findings(plane=plane)

    def maybe(values: type, said: float) -> object:
        known = [value for value in values if value.value != "unknown"]  # type: ignore[attr-defined]
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


class Reader(nn.Module):
    """Reads the findings back from context tokens: one head a token, and every head again from the free tokens."""

    def __init__(self, pathologies: list[str]) -> None:
        super().__init__()
        self.pathologies = [None, *pathologies]
        self.fields = {
            "plane": [None, *Plane],
            "pathology": self.pathologies,
            "side": list(Side),
            "region": list(Region),
            "enhancement": list(Enhancement),
            "margin": list(Margin),
            "conspicuity": list(Conspicuity),
            "lesion": [False, True],
        }
        free = TOKENS - len(self.fields) - 1
        self.own = nn.ModuleList(nn.Linear(CONTEXT_DIM, len(values)) for values in self.fields.values())
        self.free = nn.ModuleList(nn.Linear(CONTEXT_DIM * free, len(values)) for values in self.fields.values())
        self.size = nn.Linear(CONTEXT_DIM, 2)  # known?, size / 100 mm

    def targets(self, batch: list[Findings]) -> tuple[Tensor, Tensor]:
        """Class numbers [B, fields] and size targets [B, 2]."""
        classes, sizes = [], []
        for findings in batch:
            finding = findings.finding or Finding()
            row = {**finding.__dict__, "plane": findings.plane, "lesion": findings.finding is not None}
            classes.append([values.index(row[name]) for name, values in self.fields.items()])  # type: ignore[attr-defined]
            sizes.append([float(finding.size_mm is not None), (finding.size_mm or 0) / MAX_SIZE_MM])
        return torch.tensor(classes), torch.tensor(sizes)

    def loss(self, context: Tensor, batch: list[Findings]) -> tuple[Tensor, Tensor]:
        """Loss and, per field, the share read right [fields]."""
        classes, sizes = self.targets(batch)
        rest = context[:, len(self.fields) + 1 :].flatten(1)
        total, right = torch.zeros(()), []
        for index, (own, free) in enumerate(zip(self.own, self.free, strict=True)):
            logits = own(context[:, index])
            total = total + F.cross_entropy(logits, classes[:, index]) + 0.3 * F.cross_entropy(free(rest), classes[:, index])
            right.append((logits.argmax(-1) == classes[:, index]).float().mean())
        size = self.size(context[:, len(self.fields)])
        known = sizes[:, 0]
        total = total + F.binary_cross_entropy_with_logits(size[:, 0], known)
        total = total + 10 * ((size[:, 1] - sizes[:, 1]).abs() * known).mean()
        return total, torch.stack(right)


def sentences(count: int, seed: int, pathologies: list[str]) -> Iterator[tuple[str, Findings]]:
    """Sentences and what they say; one in four canonical, the others paraphrased."""
    rng = random.Random(seed)
    for _ in range(count):
        findings = random_findings(rng, pathologies)
        draw = rng.randrange(2**31)
        yield (write_sentence(findings) if draw % 4 == 0 else paraphrase(findings, draw)), findings


def train_tokenizer(folder: Path, pathologies: list[str]) -> object:
    """A lower-case WordPiece tokenizer of some 1,500 pieces, learned from 20,000 sentences."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator((s for s, _ in sentences(20_000, 1, pathologies)), vocab_size=1500, min_frequency=2)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return BertTokenizerFast(tokenizer_file=str(path), do_lower_case=True)


def train_text(folder: str | Path, seconds: float, batch: int = 96, rate: float = 6e-4, seed: int = 0) -> TextEncoder:
    """Trains tokenizer, BERT and resampler from nothing but the vocabulary."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    folder = Path(folder)
    pathologies = sorted(load_pathologies())
    tokenizer = train_tokenizer(folder, pathologies)
    bert = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),  # type: ignore[arg-type]
            hidden_size=HIDDEN,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=3 * HIDDEN,
            max_position_embeddings=96,
            hidden_dropout_prob=0.05,
            attention_probs_dropout_prob=0.05,
        ),
        add_pooling_layer=False,
    )
    encoder = TextEncoder(tokenizer, bert, Resampler(HIDDEN), "meddiff-compact-bert")
    reader = Reader(pathologies)
    model = nn.ModuleDict({"bert": bert, "resampler": encoder.resampler, "reader": reader}).train()
    average = Average(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    run = Run(folder, seconds)
    run.keep(model=model, average=average, optimizer=optimizer)
    run.resume()
    for gone in run.clock():
        set_learning_rate(optimizer, learning_rate(rate, run.step, gone))
        said, meant = zip(*sentences(batch, 1000 + run.step, pathologies), strict=True)
        loss, _ = reader.loss(encoder.resampler(*encoder.hidden(said)), list(meant))
        run.accelerator.backward(loss)
        run.accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(model)
        run.seen(loss, batch)
    best: nn.ModuleDict = average.module  # type: ignore[assignment]
    encoder = TextEncoder(tokenizer, best["bert"], best["resampler"], encoder.name)  # type: ignore[arg-type]
    said, meant = zip(*sentences(512, 2**30, pathologies), strict=True)
    with torch.no_grad():
        _, right = best["reader"].loss(encoder(said), list(meant))  # type: ignore[operator]
    run.log(**{f"read_{name}": round(float(value), 4) for name, value in zip(reader.fields, right, strict=True)})
    return encoder

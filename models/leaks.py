"""All seven leak tests on one model, random or trained, each with what it measured and whether it passed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .causality import LOGIT_TOLERANCE, STEP_TOLERANCE, causality_verdict, prefix_difference
from .data.batches import LanguageBlocks
from .errors import ModelError
from .language import Reevaluation, autoregressive_reevaluation
from .leak_probes import ALIGNMENT_TOLERANCE, Alignment, RandomTokenProbe, random_token_probe, target_alignment
from .result import CausalityVerdict
from .tasks.language import TokenBatches

# |autoregressive - one pass|, nats per token.
REEVALUATION_TOLERANCE = 1e-4
# Whose targets are looked at.
_BLOCKS = 4


@dataclass(frozen=True)
class LeakTest:
    """One test: its number in the list of the reference, what it is, whether it passed, and what was measured, in words."""

    number: int
    name: str
    passed: bool
    measured: str


@dataclass(frozen=True)
class LeakReport:
    """The seven tests and the measurements behind them."""

    tests: tuple[LeakTest, ...]
    verdict: CausalityVerdict
    reevaluation: Reevaluation
    probe: RandomTokenProbe
    alignment: Alignment

    @property
    def causal(self) -> bool:
        """Whether all seven passed."""
        return all(test.passed for test in self.tests)

    @property
    def failed(self) -> tuple[int, ...]:
        """Numbers of the tests that found a leak."""
        return tuple(test.number for test in self.tests if not test.passed)

    def summary(self) -> str:
        """A line for each test."""
        return "\n".join(
            f"{t.number} {t.name:28s}{'passed' if t.passed else 'LEAKS':8s}{t.measured}" for t in self.tests
        )


def leak_report(
    model: PreTrainedModel,
    text: Tensor | None = None,
    *,
    length: int | None = None,
    reevaluate: int = 2000,
    probe_steps: int = 150,
    vocabulary: int = 64,
    seed: int = 0,
) -> LeakReport:
    """Run all seven tests.

    text : token numbers ``[tokens]`` for the re-evaluation and the alignment, whose blocks are drawn and batched as those of
    training; random tokens by default. length : of the
    sequences of tests 1 to 3 (default: all positions). reevaluate : tokens predicted prefix by prefix. probe_steps : training
    of tests 5 and 6; a weak leak, such as that of a branch with a tiny scale, needs more.
    Raises ModelError for a model or text that is too short to have a future.
    """
    limit, size = int(model.config.max_position_embeddings), int(model.config.vocab_size)
    generator = torch.Generator().manual_seed(seed)
    if text is None:
        text = torch.randint(0, size, (max(2 * limit, 2) + reevaluate,), generator=generator)
    if len(text) < 2:
        raise ModelError(f"the text for the leak tests has {len(text)} tokens; expected at least 2")
    verdict = causality_verdict(model, length=length, seed=seed)
    prefixes = prefix_difference(model, length=length, seed=seed)
    again = autoregressive_reevaluation(model, text, max(reevaluate, 1))
    probe = random_token_probe(model, vocabulary=min(vocabulary, size), steps=probe_steps, seed=seed)
    span = min(limit, len(text))
    blocks = LanguageBlocks(text.cpu().numpy(), span, _BLOCKS, seed)
    alignment = target_alignment(model, TokenBatches(blocks, _BLOCKS, 1)[0], text)
    scale, size_probed = max(1.0, prefixes.largest), min(vocabulary, size)
    tests = (
        LeakTest(
            1, "future perturbation", verdict.max_logit_change <= LOGIT_TOLERANCE and not verdict.nan_leak,
            f"logits change by {verdict.max_logit_change:.1e}, at most {LOGIT_TOLERANCE:.0e}; NaN "
            f"{'leaks' if verdict.nan_leak else 'stays'}",
        ),
        LeakTest(
            2, "gradient of the future", verdict.max_future_gradient == 0.0,
            f"{verdict.max_future_gradient:.1e}, exactly 0",
        ),
        LeakTest(
            3, "pass, steps and prefixes",
            verdict.chunked_vs_step <= STEP_TOLERANCE * scale and prefixes.difference <= STEP_TOLERANCE * scale,
            f"steps {verdict.chunked_vs_step:.1e}, prefixes {prefixes.difference:.1e}, at most {STEP_TOLERANCE * scale:.1e} with "
            f"logits up to {prefixes.largest:.2g}",
        ),
        LeakTest(
            4, "autoregressive evaluation", again.difference < REEVALUATION_TOLERANCE,
            f"{again.difference:.1e} nats per token over {again.tokens:,}, below {REEVALUATION_TOLERANCE:.0e}",
        ),
        LeakTest(
            # A probe whose training broke down has shown nothing.
            5, "floor of random tokens", math.isfinite(probe.nats) and not probe.below_floor,
            f"{probe.nats:.4f} nats (s.e. {probe.nats_se:.4f}), at least {probe.floor - 3.0 * probe.nats_se:.4f}: "
            f"ln {size_probed} less 3 s.e.",
        ),
        LeakTest(
            6, "shifted copy", not probe.copies,
            f"accuracy {probe.accuracy:.4f}, at most {probe.highest_by_chance:.4f}: chance and 3 s.e.",
        ),
        LeakTest(
            7, "alignment of targets", alignment.aligned,
            f"loss {alignment.loss_difference:.1e}, rows {alignment.row_difference:.1e}, at most {ALIGNMENT_TOLERANCE:.0e}; "
            f"{alignment.misplaced} misplaced, none allowed; passes {'repeat' if alignment.repeats else 'DIFFER'}; "
            f"weights {'tied' if alignment.tied_weights else 'not tied'}",
        ),
    )  # fmt: skip
    return LeakReport(tests, verdict, again, probe, alignment)

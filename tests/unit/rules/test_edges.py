"""The moments between blocks and loss: last block forward, final norm backward, and logits that a caller holds on to."""

from dataclasses import replace

from tests.models import TINY, model
from vramcast.catalog.stacks import find_stack
from vramcast.domain.forecast import Category, Instant
from vramcast.domain.run import AttentionKernel, Loss, Precision, Recompute, TrainRun
from vramcast.rules.scene import set_scene
from vramcast.rules.train_step import train_step

SPEC = model(TINY | {"vocab_size": 32000})
RUN = TrainRun(seq_len=256, micro_batch=2, attention=AttentionKernel.FLASH, loss=Loss.FUSED_LINEAR)
D, N, V = SPEC.hidden_size, RUN.tokens, SPEC.vocab_size


def instant(run: TrainRun, name: str, stack: str = "hf-trainer") -> Instant:
    """The moment of that name."""
    step = train_step(SPEC, run, find_stack(stack), None)
    return next(one for one in step.instants if one.name.startswith(name))


def passing(moment: Instant, category: Category, label: str) -> int:
    """Bytes of one of its terms."""
    return sum(term.bytes for term in moment.terms if term.category is category and label in term.label)


def test_final_norm_backward() -> None:
    """Five FP32 gradients of the hidden state's size, while all blocks and the norm's FP32 input are kept."""
    moment = instant(RUN, "backward of the final norm")
    scene = set_scene(SPEC, RUN, find_stack("hf-trainer"), None)
    assert passing(moment, Category.TEMPORARY, "final norm") == 5 * 4 * N * D
    assert passing(moment, Category.ACTIVATIONS, "final norm") == scene.kept + N * (4 * D + 4)


def test_scores_while_softmax_runs() -> None:
    """Eager attention's forward holds the scores and their FP32 copy beside what it keeps: as much as one FP32 softmax."""
    eager = replace(RUN, attention=AttentionKernel.EAGER, seq_len=2048)
    moment = instant(eager, "forward of the last block")
    assert passing(moment, Category.TEMPORARY, "last block") == 4 * 8 * 2 * 2048**2


def test_logits_that_the_caller_holds() -> None:
    """A loop that keeps the model's outputs holds the logits through the backward of every block."""
    stock = replace(RUN, loss=Loss.STOCK)
    for name in ("backward of block", "backward of the embedding", "backward of the final norm"):
        plain, held = (instant(stock, name, stack).allocated for stack in ("hf-trainer", "torch"))
        assert held - plain == 2 * N * V


def test_copies_of_recomputed_weights() -> None:
    """When autocast ends its cache goes; the graph of recomputed blocks holds no copies, the projection's stays."""
    run = replace(RUN, precision=Precision.AMP_BF16, recompute=Recompute.FULL, loss=Loss.STOCK)
    scene = set_scene(SPEC, run, find_stack("hf-trainer"), None)
    assert scene.casts_held == V * D
    assert scene.casts == V * D + 4 * scene.blocks[0].casts
    kept = set_scene(SPEC, replace(run, recompute=Recompute.NONE), find_stack("hf-trainer"), None)
    assert kept.casts_held == kept.casts == scene.casts

"""The moments of a mixture's backward, and what a block's code refers to while its feed-forward part runs."""

from dataclasses import replace

import pytest

from tests.models import TINY, model
from vramcast.domain.family_code import Referred
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.run import Adapter, Method, Recompute, TrainRun
from vramcast.rules.saved.block import block_segments
from vramcast.rules.saved.ops import Segment
from vramcast.rules.sizes import Sizes, sizes_of

SPEC = model(TINY)
D = SPEC.hidden_size
K, F, E = 2, 48, 4
LAYER = replace(SPEC.layers[0].layer, ffn=MixtureOfExperts(experts=E, top_k=K, width=F))
EXPERTS = frozenset({"gate_up_proj", "down_proj"})
LORA = TrainRun(method=Method.LORA, adapter=Adapter(rank=4, targets=("all-linear",)))


def segments(sizes: Sizes, layer: Layer = LAYER) -> tuple[Segment, ...]:
    """The segments of one block of which nothing is recomputed."""
    return block_segments(layer, sizes, masked=False, recomputed=False, leaf=False)


def of_experts(sizes: Sizes) -> dict[str, Segment]:
    """The mixture's segments by their worst moment."""
    return {one.inner_name: one for one in segments(sizes) if one.name == "mixture of experts"}


def test_experts_run_backward_in_four_moments() -> None:
    """Each moment holds the gradients that its operators read and write, and the residual stream's."""
    found = of_experts(sizes_of(SPEC, TrainRun()))
    s = 2
    assert {name: one.inner // s for name, one in found.items()} == {
        "experts' first product": D + 2 * K * F + K * D,
        "experts' gated product": D + 3 * K * F,
        "experts' second product": D + K * D + K * F,
        "experts' weights": D + 3 * K * D,
    }


def test_every_weight_of_a_mixture_stands_in_one_segment() -> None:
    """Gradients that appear segment by segment come to those of the whole mixture."""
    assert LAYER.ffn is not None
    held = [w for one in of_experts(sizes_of(SPEC, TrainRun())).values() for w in one.weights]
    assert sorted(held, key=str) == sorted(LAYER.ffn.weights(D), key=str)


def test_an_adapted_expert_weight_has_its_whole_gradient_for_a_moment() -> None:
    """Both products of adapted experts lay a gradient as large as the weight beside it."""
    found = of_experts(sizes_of(SPEC, LORA, frozenset(), EXPERTS))
    assert found["experts' first product"].once == 2 * E * 2 * F * D
    assert found["experts' second product"].once == 2 * E * D * F


def test_an_adapted_router_keeps_its_input() -> None:
    """PEFT adds the update to the router's weight, which therefore needs a gradient, and with it the input."""
    without, routed = (sizes_of(SPEC, LORA, frozenset(), merged) for merged in (EXPERTS, EXPERTS | {"router"}))
    kept = [sum(s.per_token for one in segments(sizes) for s in one.saved) for sizes in (without, routed)]
    assert kept[1] - kept[0] == 2 * D


@pytest.mark.parametrize(("referred", "tensors"), [(Referred.OUTPUT, 1), (Referred.INPUT, 2)])
def test_what_a_block_refers_to_lives_while_its_mlp_runs(referred: Referred, tensors: int) -> None:
    """GPT-2's block has a name for attention's output, StableLM's one for what it read too."""
    dense = SPEC.layers[0].layer
    run = replace(LORA, recompute=Recompute.FULL)

    def passing(layer: Layer) -> int:
        return segments(sizes_of(SPEC, run), layer)[-1].passing

    assert passing(replace(dense, referred=referred)) - passing(dense) == tensors * 2 * D

"""The weights of hyper-connections, which mix several residual streams before and after each block part."""

from vramcast.domain.weights import Weight, WeightKind


def block_mixers(hidden: int, streams: int, outputs: int, scales: int) -> tuple[Weight, ...]:
    """What one block stores to mix its streams around attention and again around the feed-forward part."""
    return (
        Weight("hc.fn", (outputs, streams * hidden), WeightKind.OTHER, 2),
        Weight("hc.base", (outputs,), WeightKind.OTHER, 2),
        Weight("hc.scale", (scales,), WeightKind.OTHER, 2),
    )


def head_mixer(hidden: int, streams: int) -> tuple[Weight, ...]:
    """What the model stores to fold its streams into one before the last norm."""
    return (
        Weight("hc_head.fn", (streams, streams * hidden), WeightKind.OTHER),
        Weight("hc_head.base", (streams,), WeightKind.OTHER),
        Weight("hc_head.scale", (1,), WeightKind.OTHER),
    )

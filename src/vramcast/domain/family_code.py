"""How families' own code differs where their weights do not; this decides what backward keeps."""

from enum import StrEnum

CLAMPED_SWIGLU = "swiglu-clamped"  # gpt-oss: gate and up clamped, the gate through its own scaled sigmoid, up plus one


class NormCode(StrEnum):
    """
    How a family's eager code runs a norm, which decides what its backward keeps.

    `plain`: an RMS norm that is cast before it is scaled (Llama), torch's own layer norm. `fp32`: scaled in FP32, cast
    afterwards (OLMo 2), a layer norm written out so (Cohere) or run on an FP32 copy (OLMo 1). `one-plus`: scaled by
    1 + weight (Gemma, Nemotron). `power`: (mean + ε)^-½ in place of its 1/√ (Gemma 3n).
    """

    PLAIN = "plain"
    FP32 = "fp32"
    ONE_PLUS = "one-plus"
    POWER = "power"


class Scores(StrEnum):
    """
    Number formats inside a family's eager attention.

    `softmax-fp32`: its softmax runs in FP32 (most). `as-run`: all of it in the run's format (GPT-2). `fp32`: query and key
    too are cast to FP32 (GPT-J).
    """

    SOFTMAX_FP32 = "softmax-fp32"
    AS_RUN = "as-run"
    FP32 = "fp32"


class Referred(StrEnum):
    """
    What a block's code still refers to while its feed-forward part runs, so that it lives on.

    `nothing` (Llama, whose names are given to what comes next), attention's `output`, or its `input` too.
    """

    NOTHING = "nothing"
    OUTPUT = "output"
    INPUT = "input"


class Routing(StrEnum):
    """
    How a family's router weighs the experts it chooses, which decides what its backward keeps.

    `softmax`: over all experts in FP32 (Mixtral); `softmax-cast`: the same, cast to the run's format afterwards (Qwen);
    `softmax-fp32`, `sigmoid-fp32`: of scores that are computed in FP32 (DeepSeek V2, V3), the latter in groups;
    `chosen`: softmax over the chosen ones alone (gpt-oss).
    """

    SOFTMAX = "softmax"
    SOFTMAX_CAST = "softmax-cast"
    SOFTMAX_FP32 = "softmax-fp32"
    SIGMOID_FP32 = "sigmoid-fp32"
    CHOSEN = "chosen"

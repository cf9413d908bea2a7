"""
Mixers that keep a state of fixed size for each sequence instead of a cache for each token.

Letters: I inner width, S state size, C convolution channels, R rank of the time step, N heads, K width of all keys,
V width of all values, H key width of one head, c tokens of a chunk, D hidden.

What backward keeps was read off the autograd functions that transformers 5.23 calls when their packages are installed,
and off the module code around them: state-spaces/mamba e9594ce (`MambaInnerFn` and `SelectiveScanFn` in
selective_scan_interface.py, `MambaSplitConv1dScanCombinedFn` in ssd_combined.py), Dao-AILab/causal-conv1d 0d2252d
(`CausalConv1dFn`), fla-org/flash-linear-attention bc3b101 (`ChunkGatedDeltaRuleFunction`, `ChunkKDAFunction`).

The counts hold what lies between the first projections and the last one. They leave out what the first ones read (the
block norm's output) and what the last one reads, which belong to those linears; but a fused function contains the last
projection and computes its input again (`fused_output`). Gated norms run as transformers' own eager code, except inside a
fused function. Without the packages transformers falls back to plain torch, which keeps far more: Mamba's scan then holds
several tensors of I · S for each token.
"""

from dataclasses import dataclass
from enum import StrEnum

from vramcast.domain.errors import UnsupportedError
from vramcast.domain.weights import Weight


class StateSpaceKind(StrEnum):
    """A state-space recurrence as a family's code runs it."""

    MAMBA = "mamba"  # one fused function
    JAMBA = "jamba"  # Mamba with norms on time step, B and C, which keep convolution and scan apart
    ZAMBA = "zamba"  # Mamba in independent heads, one scan for each
    MAMBA2 = "mamba2"  # one fused function


class LinearKind(StrEnum):
    """A linear recurrence as a family's code runs it."""

    GATED_DELTA_NET = "gated_delta_net"
    KIMI_DELTA = "kimi_delta"
    BAILING_DELTA = "bailing_delta"  # Kimi's rule with full-rank gates
    LIGHTNING = "lightning"
    RG_LRU = "rg_lru"
    RWKV = "rwkv"
    SHORT_CONV = "short_conv"
    MLSTM = "mlstm"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpace:
    """
    A state-space layer (Mamba 1 or 2).

    `inner` is I, `state` S, `conv_width` C: the channels that the convolution runs over; `tail` is how many past tokens of
    them the cache keeps. `heads` is N (1 for a plain Mamba 1), `dt_rank` R (0 for Mamba 2). `parts` are the weights, as
    the reader found them; the last linear among them is the output projection. The convolution tail has the model's
    number format; so has the state, unless `state_fp32`.
    """

    variant: StateSpaceKind
    inner: int
    state: int
    conv_width: int
    tail: int
    heads: int = 1
    dt_rank: int = 0
    state_fp32: bool = True
    parts: tuple[Weight, ...] = ()

    @property
    def state_elements(self) -> int:
        """Elements of the recurrent state of one sequence: I · S."""
        return self.inner * self.state

    @property
    def conv_elements(self) -> int:
        """Elements of the convolution tail of one sequence: C · tail."""
        return self.conv_width * self.tail

    @property
    def fused_output(self) -> bool:
        """Whether one function runs up to and including the output projection, whose input is then not kept."""
        return self.variant in {StateSpaceKind.MAMBA, StateSpaceKind.MAMBA2}

    @property
    def saved_elements_per_token(self) -> int:
        """
        Elements in the run's number format that backward keeps of one token.

        Formula:  MAMBA 3·I + R + 4·S  (x and z 2·I, x_proj's output R + 2·S, B and C 2·S, the scan's output I; the
                  convolution, the time step and the gated output are computed again)
                  JAMBA 7·I + 2·R + 4·S  (x and z 2·I, a copy of z, the convolution's output and the scan's copy of it,
                  the time step, the scan's output before the gate; dt, B and C before and after their scales)
                  ZAMBA 6·I + N·(R + 2·S)  (the same with x copied out of x and z)
                  MAMBA2 2·I + C + N  (z, x, B, C and dt as projected: I + C + N, the scan's output I; the convolution,
                  the chunk states and the gated norm are computed again)
        Source:   see this module.
        Ignores:  Mamba 1: 2·I·S FP32 elements for each 2,048 tokens of a sequence, or part of them. Mamba 2: one FP32
                  element for each group of its gated norm.
        """
        match self.variant:
            case StateSpaceKind.MAMBA:
                return 3 * self.inner + self.dt_rank + 4 * self.state
            case StateSpaceKind.JAMBA:
                return 7 * self.inner + 2 * self.dt_rank + 4 * self.state
            case StateSpaceKind.ZAMBA:
                return 6 * self.inner + self.heads * (self.dt_rank + 2 * self.state)
            case StateSpaceKind.MAMBA2:
                return 2 * self.inner + self.conv_width + self.heads

    @property
    def saved_fp32_per_token(self) -> int:
        """Elements that backward keeps in FP32 of one token, whatever the run: JAMBA R + 2·S + 3 (its norms), else 0."""
        return self.dt_rank + 2 * self.state + 3 if self.variant is StateSpaceKind.JAMBA else 0

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """The weights as read."""
        return self.parts


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAttention:
    """
    Attention whose memory is a matrix per head, or a vector, or only the tail of a short convolution.

    `heads` is N, each with values of `value_dim`; keys have `key_heads` heads (N if None) of `key_dim` H. A recurrence over
    single channels (RWKV, RG-LRU) has key_dim 1. `conv_width` is C: the channels that the convolution, or RWKV's shift by
    one token, runs over; `tail` is how many past tokens of them the cache keeps. `chunk` is c: tokens that are worked on
    together. `parts` are the weights, as the reader found them; the last linear among them is the output projection. The
    convolution tail has the model's number format; so has the state, unless `state_fp32`.
    """

    variant: LinearKind
    heads: int
    key_dim: int
    value_dim: int
    key_heads: int | None = None
    conv_width: int = 0
    tail: int = 0
    chunk: int = 64  # flash-linear-attention's
    state_fp32: bool = True
    parts: tuple[Weight, ...] = ()

    @property
    def key_width(self) -> int:
        """K: key heads · H."""
        return (self.key_heads or self.heads) * self.key_dim

    @property
    def value_width(self) -> int:
        """V: N · (value dim of a head)."""
        return self.heads * self.value_dim

    @property
    def state_elements(self) -> int:
        """
        Elements of the recurrent state of one sequence.

        Formula:  H · V; RWKV 3 · V (numerator, denominator, maximum); mLSTM H · V + N · (H + 1) (normaliser, maximum);
                  0 for a short convolution
        """
        matrix = self.key_dim * self.value_width
        match self.variant:
            case LinearKind.SHORT_CONV:
                return 0
            case LinearKind.RWKV:
                return 3 * matrix
            case LinearKind.MLSTM:
                return matrix + self.heads * (self.key_dim + 1)
            case _:
                return matrix

    @property
    def conv_elements(self) -> int:
        """Elements of the convolution tail of one sequence: C · tail."""
        return self.conv_width * self.tail

    @property
    def fused_output(self) -> bool:
        """Never: the output projection is a linear of its own, which keeps its input."""
        return False

    @property
    def saved_elements_per_token(self) -> int:
        """
        Elements in the run's number format that backward keeps of one token.

        Formula:  GATED_DELTA_NET C + 2·K + 3·V + (c + 1)·N  (the convolution's input, normalised query and key, the value,
                  two more of V in the gated norm, the solved c · N of each chunk, beta)
                  KIMI_DELTA C + 3·V + (2·c + 1)·N + 2·H  (query, key and value, two such matrices, the low ranks of both
                  gates)
                  BAILING_DELTA C + 4·V + (2·c + 1)·N  (the same with the decay in the run's format, no low ranks)
                  LIGHTNING 12·V + c·N + H·V / c  (plain torch: 3·V before the activation, 6·V of blocks, c · N decayed
                  scores, the state at each block, 3·V of norm and gate)
                  RG_LRU 14·V  (plain torch, one step a token)
                  RWKV 4·V + 2·C  (key, value, receptance, the kernel's output; the shift and the three mixes that key,
                  value and receptance read)
                  SHORT_CONV 5·V  (both gates and x, the convolution's input and output)
        Source:   see this module; MiniMax, RecurrentGemma and RWKV from transformers' own code.
        Ignores:  OLMo's doubled beta (N); RG-LRU's reset masks (2 bytes).

        Raises:
            UnsupportedError: mLSTM, whose kernels no account covers.
        """
        values, heads = self.value_width, self.heads
        match self.variant:
            case LinearKind.GATED_DELTA_NET:
                return self.conv_width + 2 * self.key_width + 3 * values + (self.chunk + 1) * heads
            case LinearKind.KIMI_DELTA:
                return self.conv_width + 3 * values + (2 * self.chunk + 1) * heads + 2 * self.key_dim
            case LinearKind.BAILING_DELTA:
                return self.conv_width + 4 * values + (2 * self.chunk + 1) * heads
            case LinearKind.LIGHTNING:
                return 12 * values + self.chunk * heads + self.key_dim * values // self.chunk
            case LinearKind.RG_LRU:
                return 14 * values
            case LinearKind.RWKV:
                return 4 * values + 2 * self.conv_width
            case LinearKind.SHORT_CONV:
                return 5 * values
            case LinearKind.MLSTM:
                raise UnsupportedError("no account of what an mLSTM layer keeps for backward", "serving is covered")

    @property
    def saved_fp32_per_token(self) -> int:
        """
        Elements that backward keeps in FP32 of one token, whatever the run.

        Formula:  GATED_DELTA_NET 3·V + 4·N + 2·(key heads)  (gated norm and gate 3·V + N, decay 3·N, norms of query, key)
                  KIMI_DELTA 9·V + 3·N + V/4  (decay gate, its running sum, gated norm and gate; a mask of one byte)
                  BAILING_DELTA 7·V + 3·N · LIGHTNING V + 1 (norm) · RG_LRU 2·V (state and decay at each step) · else 0
        Source:   see this module.
        """
        values, heads = self.value_width, self.heads
        match self.variant:
            case LinearKind.GATED_DELTA_NET:
                return 3 * values + 4 * heads + 2 * (self.key_heads or heads)
            case LinearKind.KIMI_DELTA:
                return 9 * values + 3 * heads + values // 4
            case LinearKind.BAILING_DELTA:
                return 7 * values + 3 * heads
            case LinearKind.LIGHTNING:
                return values + 1
            case LinearKind.RG_LRU:
                return 2 * values
            case _:
                return 0

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """The weights as read."""
        return self.parts

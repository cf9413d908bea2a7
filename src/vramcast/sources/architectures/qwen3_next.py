"""Qwen3-Next and Qwen3.5: gated delta nets, every fourth block gated attention. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.feed_forward import Dense, Ffn, MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.recurrent import LinearAttention
from vramcast.domain.weights import linear
from vramcast.sources.common import dense, grouped_query, rms
from vramcast.sources.config import Config
from vramcast.sources.delta_net import delta_net, delta_sizes
from vramcast.sources.moe_common import gated, mixed_decoder, mixture
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, RECURRENT, block_kinds


@reads("qwen3_next")
def read_qwen3_next(config: Config) -> ModelSpec:
    """A mixture in every `decoder_sparse_step`-th block that `mlp_only_layers` does not exempt, else an MLP."""
    step = config.size("decoder_sparse_step", default=1)
    exempt = frozenset(config.sizes("mlp_only_layers"))
    any_experts = config.count("num_experts", default=512) > 0

    def sparse(index: int) -> bool:
        return any_experts and index not in exempt and (index + 1) % step == 0

    def layer(block: tuple[str, bool]) -> Layer:
        mixer = _attention(config, kv_heads=2) if block[0] == FULL else _fused_delta_net(config)
        return _block(config, mixer, _mixture(config, 512, 10) if block[1] else dense(config))

    return mixed_decoder(config, ((kind, sparse(index)) for index, kind in enumerate(_kinds(config))), layer)


@reads("qwen3_5_text")
def read_qwen3_5(config: Config) -> ModelSpec:
    """The same with an MLP everywhere, and a projection for each of the delta net's inputs."""
    return _qwen3_5(config, dense(config), kv_heads=4)


@reads("qwen3_5_moe_text")
def read_qwen3_5_moe(config: Config) -> ModelSpec:
    """The same with a mixture everywhere."""
    return _qwen3_5(config, _mixture(config, 256, 8), kv_heads=2)


def _qwen3_5(config: Config, ffn: Dense | MixtureOfExperts, *, kv_heads: int) -> ModelSpec:
    def layer(kind: str) -> Layer:
        mixer = _attention(config, kv_heads=kv_heads) if kind == FULL else _split_delta_net(config)
        return _block(config, mixer, ffn)

    return mixed_decoder(config, _kinds(config), layer)


def _kinds(config: Config) -> tuple[str, ...]:
    every = config.size("full_attention_interval", default=4)
    return block_kinds(
        config, ("layer_types",), (RECURRENT, FULL), lambda index: RECURRENT if (index + 1) % every else FULL
    )


def _block(config: Config, mixer: Attention | LinearAttention, ffn: Ffn) -> Layer:
    norm = rms(config.size("hidden_size"))
    return Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))


def _attention(config: Config, *, kv_heads: int) -> Attention:
    """The query projection also makes a gate on the output."""
    bias = config.flag("attention_bias")
    plain = grouped_query(config, kv_heads=kv_heads, head_dim=256, qkv_bias=bias, out_bias=bias, output_gate=True)
    return replace(plain, qk_norms=(rms(plain.head_dim),) * 2)


def _fused_delta_net(config: Config) -> LinearAttention:
    hidden, sizes = config.size("hidden_size"), delta_sizes(config)
    inputs = (
        *linear("in_proj_qkvz", 2 * sizes.keys + 2 * sizes.values, hidden),
        *linear("in_proj_ba", 2 * sizes.value_heads, hidden),
    )
    return delta_net(config, sizes, inputs)


def _split_delta_net(config: Config) -> LinearAttention:
    hidden, sizes = config.size("hidden_size"), delta_sizes(config)
    inputs = (
        *linear("in_proj_qkv", 2 * sizes.keys + sizes.values, hidden),
        *linear("in_proj_z", sizes.values, hidden),
        *linear("in_proj_b", sizes.value_heads, hidden),
        *linear("in_proj_a", sizes.value_heads, hidden),
    )
    return delta_net(config, sizes, inputs)


def _mixture(config: Config, experts: int, visited: int) -> MixtureOfExperts:
    """A mixture beside a gated shared expert; `experts` and `visited` are the family's defaults."""
    return mixture(
        config,
        experts=config.size("num_experts", default=experts),
        top_k=config.size("num_experts_per_tok", default=visited),
        width=config.size("moe_intermediate_size", default=512),
        shared=gated(config, config.count("shared_expert_intermediate_size", default=512)),
        shared_gate=True,
    )

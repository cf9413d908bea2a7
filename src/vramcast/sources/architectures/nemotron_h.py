"""Nemotron-H and Nemotron 3: blocks of one part each, Mamba 2, attention, MLP or mixture. Checked: transformers 5.23."""

from dataclasses import replace

from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import Dense, Ffn, MixtureOfExperts
from vramcast.domain.layer import Layer, Mixer
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, linear
from vramcast.sources.common import grouped_query, rms
from vramcast.sources.config import MOST_LAYERS, Config
from vramcast.sources.moe_common import mixed_decoder, mixture
from vramcast.sources.registry import reads
from vramcast.sources.state_space import FULL, RECURRENT, mamba2

_LETTERS = {"M": RECURRENT, "*": FULL, "-": "mlp", "E": "moe"}
_WORDS = {word: word for word in _LETTERS.values()} | {"mamba": RECURRENT, "attention": FULL}


@reads("nemotron_h")
def read_nemotron_h(config: Config) -> ModelSpec:
    """The list or pattern of blocks alone says how many there are; `num_hidden_layers` does not."""

    def layer(kind: str) -> Layer:
        mixer, ffn = _part(config, kind)
        return Layer(mixer=mixer, ffn=ffn, norms=(rms(config.size("hidden_size")),))

    return mixed_decoder(config, _kinds(config), layer, tied_head=False, logits_upcast=True)


def _kinds(config: Config) -> tuple[str, ...]:
    listed = config.words("layers_block_type", "layer_types")
    words = listed or tuple(config.text("hybrid_override_pattern", default="ME*-"))
    known = _WORDS if listed else _LETTERS
    if not 1 <= len(words) <= MOST_LAYERS:
        raise InputError(f"{config.name}: a model of {len(words):,} blocks")
    for word in words:
        if word not in known:
            raise InputError(f"{config.name}: no kind of block is called {word[:20]!r}", f"known: {', '.join(known)}")
    return tuple(known[word] for word in words)


def _part(config: Config, kind: str) -> tuple[Mixer | None, Ffn | None]:
    if kind == RECURRENT:
        return _mamba(config), None
    if kind == FULL:
        return grouped_query(config, kv_heads=8, head_dim=128, rotary=False), None
    return None, _mlp(config, config.size("intermediate_size")) if kind == "mlp" else _experts(config)


def _mamba(config: Config) -> Mixer:
    bias = config.flag("use_bias")
    return mamba2(
        config,
        heads=config.size("mamba_num_heads", default=128),
        head_dim=config.size("mamba_head_dim", default=64),
        state=config.size("ssm_state_size", default=128),
        groups=config.size("mamba_n_groups", "n_groups", default=8),
        kernel=config.size("mamba_d_conv", "conv_kernel", default=4),
        bias=bias,
        conv_bias=config.flag("mamba_conv_bias", "use_conv_bias", default=True),
        out_bias=bias,
    )


def _mlp(config: Config, width: int) -> Dense:
    return Dense(width=width, gated=False, bias=config.flag("mlp_bias"), activation=_activation(config))


def _experts(config: Config) -> MixtureOfExperts:
    hidden, bias = config.size("hidden_size"), config.flag("mlp_bias")
    latent = config.size("moe_latent_size", default=None)
    between: tuple[Weight, ...] = ()
    if latent is not None:
        between = (
            *linear("fc1_latent_proj", latent, hidden, bias=bias),
            *linear("fc2_latent_proj", hidden, latent, bias=bias),
        )
    experts = mixture(
        config,
        experts=config.size("n_routed_experts", "num_local_experts", default=8),
        top_k=config.size("num_experts_per_tok", default=2),
        width=config.size("moe_intermediate_size", default=7688),
        gated=False,
        shared=_mlp(config, config.size("moe_shared_expert_intermediate_size", default=7688)),
        latent=latent,
        extra=between,
    )
    return replace(experts, activation=_activation(config))


def _activation(config: Config) -> str:
    return config.text("mlp_hidden_act", default="relu2")

"""LongCat-Flash. Checked against transformers 5.23."""

from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.layer import Layer, LayerRun
from vramcast.domain.model import ModelSpec
from vramcast.sources.common import decoder, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import further_tokens, gated, latent_attention, mixture
from vramcast.sources.registry import reads


@reads("longcat_flash")
def read_longcat(config: Config) -> ModelSpec:
    """
    Each block attends and feeds forward twice; a mixture beside its first MLP joins at the end of the block.

    So a block is two layers here, of which the first holds the mixture with its MLP as what every token runs through.
    Experts that hand their input through are counted as transformers builds them; published counts leave them out.
    """
    norm, mixer = rms(config.size("hidden_size")), latent_attention(config)
    plain = gated(config, config.size("ffn_hidden_size", "intermediate_size"))
    ffn = _mixture(config)
    first = Layer(mixer=mixer, ffn=ffn, norms=(norm, norm))
    second = Layer(mixer=mixer, ffn=plain, norms=(norm, norm))
    return decoder(
        config,
        (LayerRun(first, 1), LayerRun(second, 1)) * config.size("num_layers"),
        notes=(*further_tokens(config), *_unread(ffn)),
    )


def _unread(ffn: MixtureOfExperts) -> tuple[str, ...]:
    if not ffn.zero_experts:
        return ()
    return (f"the smaller size of published checkpoints, which hold no rows for the {ffn.zero_experts} zero experts",)


def _mixture(config: Config) -> MixtureOfExperts:
    return mixture(
        config,
        experts=config.size("n_routed_experts", "num_local_experts"),
        top_k=config.size("moe_topk", "num_experts_per_tok", default=12),
        width=config.size("expert_ffn_hidden_size", "moe_intermediate_size"),
        shared=gated(config, config.size("ffn_hidden_size", "intermediate_size")),
        router_bias=config.flag("router_bias"),
        router_linear=True,
        zero_experts=config.count("zero_expert_num", default=256),
    )

"""JetMoE. Checked against transformers 5.23."""

from vramcast.domain.attention import Attention
from vramcast.domain.layer import Layer
from vramcast.domain.model import ModelSpec
from vramcast.domain.weights import Weight, WeightKind, linear
from vramcast.sources.common import decoder, rms
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixture
from vramcast.sources.registry import reads


@reads("jetmoe")
def read_jetmoe(config: Config) -> ModelSpec:
    """Experts in attention too: each makes a query for every KV head and reads what those heads found."""
    config = config.renamed(hidden_act="activation_function", head_dim="kv_channels")
    hidden = config.size("hidden_size")
    norm = rms(hidden)
    ffn = mixture(
        config,
        experts=config.size("num_local_experts", default=8),
        top_k=config.size("num_experts_per_tok", default=2),
        width=config.size("intermediate_size"),
        router_linear=True,
        extra=(Weight("experts.bias", (hidden,), WeightKind.BIAS),),
    )
    layer = Layer(mixer=_attention(config, ffn.experts, ffn.top_k), ffn=ffn, norms=(norm, norm))
    return decoder(config, layer, tied=True)


def _attention(config: Config, experts: int, top_k: int) -> Attention:
    hidden, groups = config.size("hidden_size"), config.size("num_key_value_heads", default=16)
    width = config.size("head_dim", default=128)
    return Attention(
        heads=groups * top_k,
        kv_heads=groups,
        head_dim=width,
        parts=(
            *linear("kv_proj", 2 * groups * width, hidden),
            *linear("attention_router", experts, hidden),
            Weight("q_experts", (experts, groups * width, hidden), WeightKind.EXPERTS),
            Weight("o_experts", (experts, hidden, groups * width), WeightKind.EXPERTS),
            Weight("attention_experts.bias", (hidden,), WeightKind.BIAS),
        ),
    )

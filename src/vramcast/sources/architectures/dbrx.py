"""DBRX. Checked against transformers 5.23."""

from dataclasses import replace

from vramcast.domain.attention import Attention
from vramcast.domain.errors import InputError
from vramcast.domain.feed_forward import MixtureOfExperts
from vramcast.domain.layer import Layer
from vramcast.domain.model import Dropout, ModelSpec
from vramcast.sources.common import decoder, layer_norm, multi_head
from vramcast.sources.config import Config
from vramcast.sources.moe_common import mixture
from vramcast.sources.registry import reads


@reads("dbrx")
def read_dbrx(config: Config) -> ModelSpec:
    """One matrix for query, key and value, norms without bias, sizes in two sub-tables; the head is never tied."""
    config = config.renamed(
        hidden_size="d_model",
        num_attention_heads="n_heads",
        num_hidden_layers="n_layers",
        max_position_embeddings="max_seq_len",
    )
    attention = _table(config, "attn_config")
    norm = layer_norm(config.size("hidden_size"), bias=False)
    return decoder(
        config,
        Layer(mixer=_attention(config, attention), ffn=_mixture(_table(config, "ffn_config")), norms=(norm, norm)),
        tied_head=False,
        dropout=Dropout(
            embedding=config.probability("emb_pdrop"),
            attention=attention.probability("attn_pdrop"),
            residual=config.probability("resid_pdrop"),
        ),
    )


def _table(config: Config, key: str) -> Config:
    return config.part(key) or Config({}, config.name)


def _attention(config: Config, table: Config) -> Attention:
    whole, groups = multi_head(config, fused_qkv=True), table.size("kv_n_heads", default=1)
    if whole.heads % groups:
        raise InputError(f"{config.name}: {groups} key/value heads do not divide {whole.heads} heads")
    return replace(whole, kv_heads=groups)


def _mixture(ffn: Config) -> MixtureOfExperts:
    activation = _table(ffn, "ffn_act_fn").renamed(hidden_act="name")
    return mixture(
        activation,
        experts=ffn.size("moe_num_experts", default=4),
        top_k=ffn.size("moe_top_k", default=1),
        width=ffn.size("ffn_hidden_size", default=3584),
        router_linear=True,
    )

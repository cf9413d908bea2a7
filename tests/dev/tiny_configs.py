"""One tiny config for every family that has one: dense, mixtures, hybrids."""

from typing import Any

from tests import hybrid_cases
from tests.dev import dense_configs, moe_configs
from tests.dev.test_meta_parity_moe import BODIES

WRAPPED = {"mllama_text_model", *BODIES}  # language parts that transformers builds only inside a multimodal model
TINY: dict[str, dict[str, Any]] = {
    name: config
    for name, config in {
        **{name: own | {"model_type": name} for name, (own, _) in dense_configs.CASES.items()},
        **{name: moe_configs.BASE | own | {"model_type": name} for name, (own, _) in moe_configs.CASES.items()},
        **{name: hybrid_cases.BASE | own | {"model_type": name} for name, (own, _) in hybrid_cases.CASES.items()},
    }.items()
    if name not in WRAPPED
}

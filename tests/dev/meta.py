"""What transformers builds on the meta device: the truth that the closed forms are held against."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def parameters_on_meta(config: dict[str, Any]) -> int:
    """Parameters of the causal language model that transformers builds from `config`, tied ones once."""
    options = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **options))
    return sum(parameter.numel() for parameter in model.parameters())

"""One file a family: from its `config.json` to a ModelSpec, equal to the byte to what transformers builds."""

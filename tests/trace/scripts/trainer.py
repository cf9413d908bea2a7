import sys

from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

config = LlamaConfig(
    vocab_size=128,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
row = {"input_ids": list(range(32)), "labels": list(range(32)), "attention_mask": [1] * 32}
arguments = TrainingArguments(
    output_dir=sys.argv[1],
    per_device_train_batch_size=2,
    gradient_accumulation_steps=2,
    bf16=True,
    max_steps=50,
    report_to=[],
    logging_steps=1,
    dataloader_num_workers=2,
)
Trainer(model=LlamaForCausalLM(config), args=arguments, train_dataset=[row] * 64).train()

import sys

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

path, bits = sys.argv[1:]


class Words(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        ids = torch.randint(0, 64, (32,))
        return {"input_ids": ids, "labels": ids.clone(), "attention_mask": torch.ones_like(ids)}


four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
bnb = BitsAndBytesConfig(**(four if bits == "4" else {"load_in_8bit": True}))
model = AutoModelForCausalLM.from_pretrained(path, quantization_config=bnb, device_map={"": 0})
model = prepare_model_for_kbit_training(model)
model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
settings = {"bf16": True, "gradient_checkpointing": True, "optim": "paged_adamw_8bit", "report_to": []}
arguments = TrainingArguments("out", per_device_train_batch_size=2, max_steps=2, save_strategy="no", **settings)
Trainer(model, arguments, train_dataset=Words()).train()

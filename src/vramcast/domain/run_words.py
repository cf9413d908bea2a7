"""A run in the words of the command line."""

from vramcast.domain.run import Run, ServeRun, TrainRun

Plain = str | int | float | bool | None


def run_words(run: Run) -> dict[str, Plain]:
    """
    The run as plain values, under the names that flags and assumptions use: `{"method": "qlora", "seq_len": 2048, …}`.

    What does not apply to the run (a rank without adapters) is left out, as is what few runs have (evaluation); None is a choice that was left open.
    """
    return _serve_words(run) if isinstance(run, ServeRun) else _train_words(run)


def _train_words(run: TrainRun) -> dict[str, Plain]:
    words: dict[str, Plain] = {
        "method": run.method.value,
        "precision": run.precision.value,
        "autocast": run.autocast,
        "optimizer": run.optimizer.value,
    }
    if run.adapter is not None:
        words |= {
            "lora_rank": run.adapter.rank,
            "lora_targets": ",".join(run.adapter.targets),
            "lora_dropout": run.adapter.dropout,
            "dora": run.adapter.dora,
            "adapter_fp32": run.adapter.fp32,
        }
        if run.adapter.modules_to_save:
            words["modules_to_save"] = ",".join(run.adapter.modules_to_save)
    if run.quantization is not None:
        words |= {"base_format": run.quantization.format.name, "kbit_upcast": run.quantization.upcast}
    words |= {
        "seq_len": run.seq_len,
        "micro_batch": run.micro_batch,
        "accum_steps": run.accum_steps,
        "recompute": run.recompute.value,
        "attention": run.attention.value,
        "loss": run.loss.value,
        "kernels": run.kernels.value,
        "offload": run.offload.value,
    }
    said = {"reentrant": run.reentrant, "evaluate": run.evaluate, "save": run.save}
    return words | {name: value for name, value in said.items() if value}


def _serve_words(run: ServeRun) -> dict[str, Plain]:
    return {
        "method": "serve",
        "engine": run.engine,
        "weight_format": run.weight_format.name if run.weight_format else None,
        "kv_format": run.kv_format.name,
        "max_model_len": run.max_model_len,
        "max_num_seqs": run.max_num_seqs,
        "prefill_tokens": run.prefill_tokens,
        "attention": run.attention.value,
        "reserve": run.reserve,
    }

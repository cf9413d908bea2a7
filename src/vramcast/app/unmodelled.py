"""What an answer leaves out, listed with it."""

from vramcast.domain.layer import MixtureOfExperts
from vramcast.domain.model import ModelSpec
from vramcast.domain.run import Method, Run, ServeRun, TrainRun


def unmodelled(model: ModelSpec, run: Run) -> tuple[str, ...]:
    """Everything the rules know they do not count for this model and run."""
    notes = [*model.notes]
    if not model.layers:
        notes.append("everything that needs the model's shape: activations, logits, caches, adapters, workspaces")
    if isinstance(run, ServeRun):
        notes.append("an engine's own reserves, CUDA graphs, and requests of different lengths")
    else:
        notes.extend(_training(model, run))
    notes.append("other processes and the display on the same device")
    return tuple(dict.fromkeys(notes))


def _training(model: ModelSpec, run: TrainRun) -> list[str]:
    notes = ["padded batches (their attention mask), evaluation, saving, and the spike while loading", "torch.compile"]
    fused = any(isinstance(r.layer.ffn, MixtureOfExperts) and r.layer.ffn.fused for r in model.layers)
    if fused and run.method is not Method.FULL:
        notes.append("adapters on fused 3-D experts: PEFT leaves them alone, and so does bitsandbytes")
    if run.adapter is not None and run.adapter.dora:
        notes.append("what DoRA's weight norm saves and allocates")
    if run.optimizer.startswith("paged"):
        notes.append("paged states that the driver keeps on the device while there is room (in the band's high end)")
    if run.offload != "none":
        notes.append("host memory and the buffers of offloading")
    return notes

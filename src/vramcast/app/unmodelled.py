"""What an answer leaves out, listed with it."""

from vramcast.domain.model import ModelSpec
from vramcast.domain.number_format import FormatKind
from vramcast.domain.run import Adapter, AttentionKernel, Run, ServeRun, TrainRun
from vramcast.domain.weights import WeightKind
from vramcast.rules.adapters import adapted
from vramcast.rules.attention_kernel import asked_attention
from vramcast.rules.parameters import OWN_LINEARS


def unmodelled(model: ModelSpec, run: Run) -> tuple[str, ...]:
    """Everything the rules know they do not count for this model and run."""
    notes = [*model.notes]
    if not model.layers:
        notes.append("everything that needs the model's shape: activations, logits, caches, adapters, workspaces")
    if isinstance(run, ServeRun):
        notes.append("an engine's own reserves, CUDA graphs, and requests of different lengths")
    else:
        notes.extend(_training(model, run))
    if model.model_type in OWN_LINEARS and _quantized(run):
        notes.append("quantised linear layers: transformers 5.23 leaves this family's own class of them as they are")
    notes.append("other processes and the display on the same device")
    return tuple(dict.fromkeys(notes))


def _quantized(run: Run) -> bool:
    if isinstance(run, ServeRun):
        return run.weight_format is not None and run.weight_format.kind is FormatKind.CODEBOOK
    return run.quantization is not None


def _training(model: ModelSpec, run: TrainRun) -> list[str]:
    notes = ["padded batches (their attention mask), evaluation, saving, and the spike while loading", "torch.compile"]
    if model.layers and asked_attention(run.attention, model) is AttentionKernel.EAGER:
        notes.append("the mask that eager attention adds to its scores")
    if run.adapter is not None:
        notes.extend(_adapters(model, run.adapter))
    if run.optimizer.startswith("paged"):
        notes.append("paged states that the driver keeps on the device while there is room (in the band's high end)")
    if run.offload != "none":
        notes.append("host memory and the buffers of offloading")
    return notes


def _adapters(model: ModelSpec, adapter: Adapter) -> list[str]:
    notes = []
    fused = any(w.kind is WeightKind.EXPERTS for w in model.weights)
    if fused and set(adapter.targets) != {"attention"} and not adapted(model, adapter.targets).experts:
        notes.append("adapters on fused 3-D experts: PEFT leaves them alone in this family")
    if any(w.kind is WeightKind.SHARED for w in model.weights):
        notes.append("adapters on matrices that several blocks share")
    if adapter.dora:
        notes.append("what DoRA's weight norm saves and allocates")
    return notes

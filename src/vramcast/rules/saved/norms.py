"""What normalisations save."""

from vramcast.domain.layer import Norm, NormKind
from vramcast.rules.saved.ops import FULL, Saved
from vramcast.rules.sizes import Sizes


def norm_saved(norm: Norm, sizes: Sizes, itemsize: int, *, rows: int = 1, letter: str = "D") -> tuple[Saved, ...]:
    """
    What one norm keeps per token, its output left to whoever reads it.

    Formula:  eager RMS norm: 4·D (the input in FP32) + 4 (1/rms) + itemsize·D (the normed value, if the scale is trained)
              layer norm: itemsize·D (the input) + 8 (mean, 1/std);  fused RMS norm: itemsize·D + 4
    Source:   transformers 5.23 modeling_llama.py (LlamaRMSNorm), torch derivatives of native_layer_norm and _fused_rms_norm;
              seen with saved-tensor hooks on torch 2.13.
    Ignores:  norms that cast in another order (Gemma scales in FP32).
    """
    width = norm.width * rows
    name = f"{rows}·{letter}" if rows > 1 else letter
    if norm.kind is NormKind.LAYER:
        size = FULL if sizes.autocast else itemsize
        return (
            Saved(
                "layer norm input, mean, 1/std", f"{size}·{name} + {2 * FULL * rows}", size * width + 2 * FULL * rows
            ),
        )
    if sizes.fused_norms:
        return (Saved("RMS norm input, 1/rms", f"{itemsize}·{name} + {FULL * rows}", itemsize * width + FULL * rows),)
    saved = Saved("RMS norm input in FP32, 1/rms", f"{FULL}·{name} + {FULL * rows}", FULL * width + FULL * rows)
    if not (sizes.trains_weights and norm.affine):
        return (saved,)
    return (saved, Saved("normed value", f"{itemsize}·{name}", itemsize * width))

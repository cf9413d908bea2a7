"""What normalisations save."""

from vramcast.domain.layer import Norm, NormKind
from vramcast.rules.saved.ops import FULL, Saved
from vramcast.rules.sizes import Sizes


def norm_saved(
    norm: Norm, sizes: Sizes, itemsize: int, *, rows: int = 1, letter: str = "D", held: bool = False
) -> tuple[Saved, ...]:
    """
    What one norm keeps per token, its output left to whoever reads it.

    `held` says that its input stays alive in any case (a recomputed block's own input), so that only a copy of it counts.

    Formula:  eager RMS norm: 4·D (the input in FP32) + 4 (1/rms) + itemsize·D (the normed value, if the scale is trained)
              layer norm: itemsize·D (the input) + 8 (mean, 1/std);  fused RMS norm: itemsize·D + 4
    Source:   transformers 5.23 modeling_llama.py (LlamaRMSNorm), torch derivatives of native_layer_norm and _fused_rms_norm;
              seen with saved-tensor hooks on torch 2.13.
    Ignores:  norms that cast in another order (Gemma scales in FP32).
    """
    width = norm.width * rows
    name = f"{rows}·{letter}" if rows > 1 else letter
    if norm.kind is NormKind.LAYER:
        return (
            _input(
                "layer norm input, mean, 1/std",
                name,
                width,
                FULL if sizes.autocast else itemsize,
                itemsize,
                2 * rows,
                held,
            ),
        )
    if sizes.fused_norms:
        return (_input("RMS norm input, 1/rms", name, width, itemsize, itemsize, rows, held),)
    saved = _input("RMS norm input in FP32, 1/rms", name, width, FULL, itemsize, rows, held)
    if not (sizes.trains_weights and norm.affine):
        return (saved,)
    return (saved, Saved("normed value", f"{itemsize}·{name}", itemsize * width))


def _input(op: str, name: str, width: int, kept: int, itemsize: int, statistics: int, held: bool) -> Saved:
    """The input in `kept` bytes an element, which is a copy if its own item size differs, and FP32 statistics."""
    if held and kept == itemsize:
        return Saved(f"{op} (the block's own input)", f"{FULL * statistics}", FULL * statistics)
    return Saved(op, f"{kept}·{name} + {FULL * statistics}", kept * width + FULL * statistics)

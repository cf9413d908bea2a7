"""The page that says how far rules and trace are apart."""

from collections.abc import Iterator, Sequence

from tests.trace.both_engines import PHASES, TIERS, Outcome

MEGA = 2**20
WORST_SHOWN = 12
HEAD = """# Rules against trace

Two witnesses that share no code answer the same {count} questions: closed forms (`--engine rules`), and the real code of
transformers, PEFT, bitsandbytes and torch on a device that stores nothing (`--engine trace`), whose every allocation is
replayed through a simulated caching allocator. The models have the widths of published ones, with fewer layers and a smaller
vocabulary, so that blocks count beside logits. A difference is (rules − trace) / trace; the table shows its size.

    python -m tests.trace.rules_against_trace docs/rules-against-trace.md

runs all of them and writes this page. The tests run a sample each time, and hold this page against it.

"""
RESERVED_SAYS = """
Reserved, and process with it, is the history of every request since the first: which freed segments the next tensor fits
into. Rules have no history: [they promise a band](adr/0015-reserved-is-a-band-for-closed-forms.md), from no fragmentation to no
reuse, and the figure inside it is only what must lie idle at the worst moment. The trace's process tier lies within that band in
{within} of {count} runs; `--exact` gives the figure.
"""
CAUSES = """
## Where the differences come from

- **Ends of blocks.** torch does not split a segment of 10 MiB or more when 1 MiB or less would be left, and counts the whole
  as allocated; rules count what is asked for. It shows where tensors are no multiples of 2 MiB: GPT-2's and Gemma 3's widths.
- **The order inside one block.** Rules look at a block's backward at its output projection, its product or kernel, and at the
  end of its recomputation. Tensors that the Python code still refers to, or autograd frees a step later, are some
  hidden-state widths more or less there.
- **Activations written out in Python** (GPT-2): their backward has more moments than one.
- **Eager attention with one sequence** needs no copies of views, so a fused projection stays whole (GPT-NeoX, Falcon).
- **Adapters on a part of the first block**: over frozen embeddings, what stands before its first adapter keeps nothing.
"""
PHASES_SAY = """
## By phase, allocated

The peak of each phase of the last step. Rules name the moments that can be the peak of the whole step: a forward pass over
recomputed blocks never is, so what it takes for itself is not among them.

"""


def page(found: Sequence[Outcome]) -> str:
    """The whole page, in Markdown."""
    parts = [
        HEAD.format(count=len(found)),
        "## By tier\n\n",
        _table("tier", [(tier, found, tier) for tier in TIERS]),
        RESERVED_SAYS.format(within=sum(outcome.within for outcome in found), count=len(found)),
        PHASES_SAY,
        _table("phase", [(str(phase), found, str(phase)) for phase in PHASES]),
        "\n## By family, allocated\n\n",
        _table("family", list(_groups(found, "family"))),
        "\n## By method, allocated\n\n",
        _table("method", list(_groups(found, "method"))),
        "\n## The worst, allocated\n\n",
        _worst(found),
        CAUSES,
    ]
    return "".join(parts)


def figures(found: Sequence[Outcome], name: str) -> tuple[float, float, float]:
    """Median, 90th percentile and worst of the differences' sizes in a tier or phase."""
    sizes = sorted(abs(outcome.apart(name)) for outcome in found)
    return sizes[len(sizes) // 2], sizes[len(sizes) * 9 // 10], sizes[-1]


def _table(title: str, rows: Sequence[tuple[str, Sequence[Outcome], str]]) -> str:
    lines = [f"| {title} | runs | median | 90 % below | worst |", "|:--|--:|--:|--:|--:|"]
    for label, found, name in rows:
        shown = " | ".join(f"{100 * figure:.2f} %" for figure in figures(found, name))
        lines.append(f"| {label} | {len(found)} | {shown} |")
    return "\n".join(lines) + "\n"


def _groups(found: Sequence[Outcome], by: str) -> Iterator[tuple[str, Sequence[Outcome], str]]:
    for word in dict.fromkeys(getattr(outcome, by) for outcome in found):
        yield word, [outcome for outcome in found if getattr(outcome, by) == word], "allocated"


def _worst(found: Sequence[Outcome]) -> str:
    lines = [
        "| run | rules | trace | apart | most of it in | worst moment by rules | by trace |",
        "|:--|--:|--:|--:|:--|:--|:--|",
    ]
    for outcome in sorted(found, key=lambda one: -abs(one.apart("allocated")))[:WORST_SHOWN]:
        rules, trace = outcome.tiers["allocated"]
        category, size = outcome.largest
        cells = [
            outcome.name,
            f"{rules / MEGA:.0f} MiB",
            f"{trace / MEGA:.0f} MiB",
            f"{100 * outcome.apart('allocated'):+.2f} %",
            f"{category} {size / MEGA:+.0f} MiB",
            *outcome.moments,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

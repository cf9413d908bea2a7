"""Whatever stands on the command line, the answer is an answer or one line that says what is wrong."""

import contextlib
import io

from hypothesis import given
from hypothesis import strategies as st

from vramcast.cli.options import FLAGS
from vramcast.cli.run import run

WORDS = (
    *("full", "lora", "qlora", "serve", "bf16", "fp32", "amp-bf16", "master-fp16", "adamw-foreach", "muon", "none"),
    *("selective", "full", "eager", "flash", "stock", "chunked", "fused", "nf4", "fp8-e4m3", "rtx-4090", "torch@2.15"),
    *(
        "all-linear",
        "q_proj",
        "24GiB",
        "80GB",
        "1",
        "16",
        "4096",
        "0",
        "-1",
        "1e9",
        "2147483648",
        "9" * 40,
        "nan",
        "inf",
    ),
    *("0.1", "", " ", "é", "--method", "None", "true"),
)
values = st.one_of(st.sampled_from(WORDS), st.text(max_size=20))
flags = st.lists(st.tuples(st.sampled_from(sorted(FLAGS)), values), max_size=4)
models = st.one_of(
    st.sampled_from(
        ["llama-3.1-8b", "gpt2", "8B", "mixtral-8x7b", "t5-small", "nothing-like-it", "0B", "-1B", "", "../.."]
    ),
    st.text(max_size=20),
)


def answer(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()


@given(st.sampled_from(["predict", "explain"]), models, flags)
def test_any_command_line_has_a_clear_end(command: str, model: str, given_flags: list[tuple[str, str]]) -> None:
    """Exit 0 with an answer, or exit 2 with `error:` and no traceback; nothing else, and nothing on the wrong stream."""
    arguments = [command, "--offline", model]
    for name, value in given_flags:
        arguments += [f"--{name}"] if name in ("dora", "offline") else [f"--{name}", value]
    code, out, err = answer(arguments)
    assert code in (0, 2), (arguments, err)
    assert "Traceback" not in err
    if code == 0:
        assert out
    else:
        assert not out
        assert err.startswith("error: ")
        assert len(err.splitlines()) <= 2

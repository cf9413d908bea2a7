"""What a run can be that no rule covers."""

from typing import Any

import pytest

from vramcast.app.predict import predict
from vramcast.domain.errors import UnsupportedError


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"evaluate": True}, "evaluation"),
        ({"save": True}, "saving"),
        ({"modules_to_save": "lm_head"}, "trained whole"),
    ],
)
def test_what_no_rule_counts_is_refused(options: dict[str, Any], what: str) -> None:
    """With the engine that does."""
    with pytest.raises(UnsupportedError, match=what) as refused:
        predict("llama-3.1-8b", method="lora", **options)
    assert "--exact" in refused.value.hint

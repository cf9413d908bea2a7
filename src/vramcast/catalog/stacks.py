"""Framework defaults by version, with the date they were checked."""

from functools import cache

from vramcast.catalog.data_file import read_rows
from vramcast.domain.errors import InputError
from vramcast.domain.stack import Stack


@cache
def all_stacks() -> tuple[Stack, ...]:
    """Every row of the catalog, oldest version of a framework first."""
    return tuple(
        Stack(
            name=row["name"],
            version=row["version"],
            checked=row["checked"],
            source=row["source"],
            versions=tuple(row["versions"].items()),
            defaults=tuple(row["defaults"].items()),
            kept_workspace=row["kept_workspace"],
        )
        for row in read_rows("stacks.json")
    )


def find_stack(name: str) -> Stack:
    """
    The stack called `name` (`trl-sft`) or `name@version`, of which the first numbers are enough (`torch@2.15`).

    Without a version it is the oldest row's, which releases keep stable.

    Raises:
        InputError: no row has that name or version.
    """
    wanted, _, version = name.lower().partition("@")
    numbers = version.split(".") if version else []
    for stack in all_stacks():
        if stack.name == wanted and stack.version.split(".")[: len(numbers)] == numbers:
            return stack
    known = ", ".join(f"{stack.name}@{stack.version}" for stack in all_stacks())
    raise InputError(f"no stack is called {name[:40]!r}", f"known: {known}")

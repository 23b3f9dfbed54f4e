"""The knobs of a configuration as options of the command line, made from the same table.

A command says `config: Config` and gets one, read when it is called. Knows nothing of any command.
"""

import functools
import inspect
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar, overload

import typer

from gateway.config import Config, ConfigError, Knob, has_password, knobs, load
from gateway.output import say

R = TypeVar("R")


@overload
def with_config_options(command: Callable[..., R], /) -> Callable[..., R]: ...
@overload
def with_config_options(*, only: Collection[str]) -> Callable[[Callable[..., R]], Callable[..., R]]: ...
def with_config_options(command: Any = None, /, *, only: Collection[str] | None = None) -> Any:
    """Give a typer command an option for each knob, or for `only` some, and `--config`; it gets `config`.

    An option that is not given overrides nothing. Its text is judged together with everything else: mistakes
    end the command with status 2, each on a line of standard error.
    """
    names = {knob.name for knob in knobs()}
    if unknown := set(only or ()) - names:
        raise TypeError(f"not knobs: {unknown}")
    chosen = [knob for knob in knobs() if knob.name in (names if only is None else only)]
    return _configured(command, chosen) if command else functools.partial(_configured, chosen=chosen)


def _configured(command: Callable[..., R], chosen: Collection[Knob]) -> Callable[..., R]:
    @functools.wraps(command)
    def configured(*args: Any, **given: Any) -> R:
        overrides = {knob.name: given.pop(knob.name, None) for knob in chosen}
        return command(*args, config=_load(given.pop("config_file", None), overrides), **given)

    own = inspect.signature(command, eval_str=True)
    kinds: dict[str, Any] = {
        knob.name: Annotated[bool | None if knob.flag else str | None, _option(knob)] for knob in chosen
    }
    kinds["config_file"] = Annotated[
        Path | None, typer.Option("--config", help="TOML file with any of these as keys (default: none)")
    ]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    others = [parameter for name, parameter in own.parameters.items() if name != "config"]
    shape = own.replace(parameters=[*others, *options])
    configured.__annotations__ = {name: parameter.annotation for name, parameter in shape.parameters.items()}
    vars(configured)["__signature__"] = shape  # typer reads a command's options from these two
    return configured


def _load(file: Path | None, overrides: dict[str, object]) -> Config:
    try:
        config = load(os.environ, file, overrides)
    except ConfigError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    os.environ.pop("PGPASSWORD", None)  # it is in its URL; asyncpg would use it for every other login too
    _warn_of_passwords(overrides)
    return config


def _warn_of_passwords(overrides: dict[str, object]) -> None:
    for knob in knobs():
        value = overrides.get(knob.name)
        if knob.secret and isinstance(value, str) and has_password(value):
            instead = knob.option.replace("-url", "-password-file")
            say(
                f"warning: {knob.option}: every user of this machine can read a password on a command line;"
                f" use {instead}, or {knob.variable}",
                err=True,
            )


def _option(knob: Knob) -> Any:
    if knob.flag:
        both = f"{knob.option}/--no-{knob.option.removeprefix('--')}"
        return typer.Option(both, help=knob.help, show_default=False)
    metavar = "|".join(knob.choices) or (knob.unit or "text").upper()
    return typer.Option(knob.option, help=knob.help, metavar=metavar, show_default=False)

"""The options of Config as arguments of commands, made from the same table.

A command declares `config: Config` and receives one, read when it is called. Independent of any command.
"""

import functools
import inspect
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar, overload

import typer

from gateway.config import Config, ConfigError, all_options
from gateway.config_loading import has_password, ignored_parameters, load
from gateway.config_option import Option
from gateway.output import say

R = TypeVar("R")


@overload
def with_config_options(command: Callable[..., R], /) -> Callable[..., R]: ...
@overload
def with_config_options(*, only: Collection[str]) -> Callable[[Callable[..., R]], Callable[..., R]]: ...
def with_config_options(command: Any = None, /, *, only: Collection[str] | None = None) -> Any:
    """Add `--config` and an argument for each option, or for those in `only`, to a typer command; it receives `config`.

    An argument that is not given overrides nothing. Values are checked together with the rest of the configuration:
    mistakes end the command with status 2, each on one line of standard error.
    """
    names = {option.name for option in all_options()}
    if unknown := set(only or ()) - names:
        raise TypeError(f"no such options: {unknown}")
    chosen = [option for option in all_options() if option.name in (names if only is None else only)]
    return _configured(command, chosen) if command else functools.partial(_configured, chosen=chosen)


def _configured(command: Callable[..., R], chosen: Collection[Option]) -> Callable[..., R]:
    @functools.wraps(command)
    def configured(*args: Any, **given: Any) -> R:
        overrides = {option.name: given.pop(option.name, None) for option in chosen}
        overrides = {name: None if value == [] else value for name, value in overrides.items()}
        return command(*args, config=_load(given.pop("config_file", None), overrides), **given)

    own = inspect.signature(command, eval_str=True)
    kinds: dict[str, Any] = {
        option.name: Annotated[_argument_type(option), _typer_option(option)] for option in chosen
    }
    kinds["config_file"] = Annotated[
        Path | None,
        typer.Option("--config", help="TOML file with any of these options as keys (default: none)"),
    ]
    arguments = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    others = [parameter for name, parameter in own.parameters.items() if name != "config"]
    shape = own.replace(parameters=[*others, *arguments])
    configured.__annotations__ = {name: parameter.annotation for name, parameter in shape.parameters.items()}
    vars(configured)["__signature__"] = shape  # typer reads a command's arguments from these two
    return configured


def _load(file: Path | None, overrides: dict[str, object]) -> Config:
    try:
        config = load(os.environ, file, overrides)
    except ConfigError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    os.environ.pop("PGPASSWORD", None)  # now part of its URL; asyncpg would use it for every other login too
    _warn_of_passwords(overrides)
    for ignored in ignored_parameters(config):
        say(f"warning: {ignored}", err=True)
    return config


def _warn_of_passwords(overrides: dict[str, object]) -> None:
    for option in all_options():
        value = overrides.get(option.name)
        if option.is_secret and isinstance(value, str) and has_password(value):
            instead = option.argument.replace("-url", "-password-file")
            say(
                f"warning: {option.argument}: use {instead} or {option.variable} instead;"
                " every user of this machine can read a password on a command line",
                err=True,
            )


def _argument_type(option: Option) -> Any:
    if option.is_boolean:
        return bool | None
    return list[str] | None if option.is_list else str | None


def _typer_option(option: Option) -> Any:
    if option.is_boolean:
        both = f"{option.argument}/--no-{option.argument.removeprefix('--')}"
        return typer.Option(both, help=option.help, show_default=False)
    metavar = "|".join(option.choices) or (option.unit or "text").upper()
    return typer.Option(option.argument, help=option.help, metavar=metavar, show_default=False)

"""One option: its names, its unit, its description and the processes that use it.

Independent of which options there are.
"""

from typing import Any, Literal, NamedTuple, get_args, get_origin

from msgspec import Meta

from gateway.redaction import without_passwords

PREFIX = "VALGNATT_"
Role = Literal["push", "feed", "signer", "mirror"]
"""The roles of a machine's processes: one for each door, the signer, and the mirror."""
Process = Literal["every", "supervisor"] | Role
"""Which processes use an option; the supervisor uses all of them."""


def described(
    description: str, unit: str = "", *, argument: str = "", process: Process = "every", **limits: Any
) -> Meta:
    """Describe an option in the type of its member. An option that may contain a secret names its process."""
    return Meta(
        description=description, extra={"unit": unit, "argument": argument, "process": process}, **limits
    )


class Option(NamedTuple):
    """One member of `Config`, and what is known about it."""

    name: str
    type: Any
    default: object
    unit: str
    description: str
    argument: str
    """Its name on the command line, such as `--feed-port`."""
    process: Process
    """Which processes use it."""

    @property
    def variable(self) -> str:
        """Its name in the environment, such as `VALGNATT_FEED_PORT`."""
        return PREFIX + self.name.upper()

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option that is a choice, else none."""
        kind = get_args(self.type)[0]
        return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()

    @property
    def is_boolean(self) -> bool:
        """Whether it is switched on or off; `true` or `false` in the environment."""
        return get_args(self.type)[0] is bool

    @property
    def help(self) -> str:
        """Description, unit and default, for `--help` and tables in the documentation."""
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        if self.is_boolean:
            default = "on" if default else "off"
        unit = f", in {self.unit}" if self.unit == "s" else ""
        return f"{self.description}{unit} (default: {'none' if default in (None, ()) else default})"

    @property
    def is_list(self) -> bool:
        """Whether it has several values: separated by commas, on the command line also as repeated arguments."""
        return get_origin(get_args(self.type)[0]) is tuple

    @property
    def is_secret(self) -> bool:
        """Whether its value may contain a password."""
        return self.name.endswith("database_url")

    def redacted(self, value: object) -> object:
        """Return the value without secrets: of a URL only what follows user and password."""
        if self.is_secret and isinstance(value, str):
            place = value.rpartition("@")[2] if "@" in value else value.partition("://")[2]
            return f"postgresql://{place.partition('?')[0]}"
        return without_passwords(value) if isinstance(value, str) else value


def option_of(name: str, annotated: Any, default: object) -> Option:
    """Return the option of a member of `Config`, whose type was annotated with `described`."""
    meta = get_args(annotated)[-1]
    extra = meta.extra
    argument = extra["argument"] or "--" + name.replace("_", "-")
    return Option(name, annotated, default, extra["unit"], meta.description, argument, extra["process"])

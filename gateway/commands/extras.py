"""PURE: the packages that only the gateway needs; `pip install valgnatt` alone installs the clients."""

MODULES_OF_GATEWAY = frozenset({"asyncpg", "hdrh", "prometheus_client", "structlog", "uvloop"})
"""The names under which the packages of the extra `gateway` (pyproject.toml) are imported."""


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the extra to install, if an import failed because a package is missing."""
    if error.name is None or error.name.partition(".")[0] not in MODULES_OF_GATEWAY:
        return None
    return (
        f"this command is part of the gateway, and {error.name} is not installed: pip install 'valgnatt[gateway]',"
        " or 'valgnatt[embedded]' for a gateway with a Postgres of its own"
    )

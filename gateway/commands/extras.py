"""PURE: the packages that only the gateway needs; `pip install valgnatt` alone installs the clients."""

MODULES_OF_GATEWAY = frozenset({"asyncpg", "hdrh", "prometheus_client", "structlog", "uvloop"})
"""What the packages of the extra `gateway` (pyproject.toml) are imported as."""


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return which extra to install, if an import failed for the lack of it."""
    if error.name is None or error.name.partition(".")[0] not in MODULES_OF_GATEWAY:
        return None
    return (
        f"this command is part of the gateway, and {error.name} is not installed: pip install 'valgnatt[gateway]',"
        " or 'valgnatt[embedded]' for a gateway with a Postgres of its own"
    )

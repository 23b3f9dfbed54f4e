"""Run Patroni without its lower limits for `ttl` (20 s) and `retry_timeout` (3 s): failovers then take seconds.

    .patroni/bin/python short_ttl.py CONFIGURATION

Everything else is Patroni's own. The rule that `loop_wait + 2 * retry_timeout` is at most `ttl` has to be kept by the
configuration, since nothing adjusts it.
"""

from typing import Any

from patroni.__main__ import main
from patroni.config import Config


def accept(_: Config, __: dict[str, Any]) -> None:
    """Accept the timeouts of a configuration as they are."""


if __name__ == "__main__":
    Config._validate_and_adjust_timeouts = accept  # type: ignore[method-assign]
    main()

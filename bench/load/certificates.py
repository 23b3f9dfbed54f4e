"""Certificates of a gateway that is measured with TLS."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from bench.figures import Unavailable
from bench.load.processes import program

OPENSSL_S = 20.0


async def create_certificate(directory: Path) -> Path:
    """Create a key and a certificate for this machine, in one file. Raises Unavailable."""
    key, shown, both = (directory / name for name in ("key.pem", "certificate.pem", "both.pem"))
    process = await asyncio.create_subprocess_exec(
        program("openssl", "apt-get install openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(shown),
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip
    _, output = await asyncio.wait_for(process.communicate(), OPENSSL_S)
    if process.returncode:
        raise Unavailable(
            "TLS", f"openssl created no certificate: {output.decode().strip()[-200:]}", "a newer openssl"
        )
    both.write_bytes(shown.read_bytes() + key.read_bytes())
    return both

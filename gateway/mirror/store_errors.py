"""PURE: what an error of an object store means for a mirror, and what to do about it.

Only codes and our own words are shown: what a store answers, and the URL of a request, may contain credentials.
"""

import re

from gateway.mirror.store_places import Place

_CODE = re.compile(r"<Code>(\w{1,60})</Code>|\(code: (\w{1,60})\)")
_STATUS = re.compile(r"status code: (\d{3})")
_METADATA = re.compile(r"/latest/api/token|/latest/meta-data|/computeMetadata/|/metadata/identity|169\.254\.")
"""Requests for the credentials of a virtual machine, which are made if there are no others."""

_BAD_CREDENTIALS = frozenset(
    {
        *(
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "TokenRefreshRequired",
        ),
        *(
            "AuthenticationFailed",
            "InvalidAuthenticationInfo",
            "NoAuthenticationInformation",
            "AccountIsDisabled",
        ),
    }
)
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "InvalidResourceName"})
_WRONG_REGION = frozenset(
    {
        *("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"),
        *("IllegalLocationConstraintException", "InvalidRegion"),
    }
)
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "ServerBusy", "TooManyRequests", "RequestLimitExceeded"})
_DENIED = frozenset(
    {
        "AccessDenied",
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "InsufficientAccountPermissions",
    }
)

_RIGHTS = (
    "it lists, reads, writes and deletes objects below its prefix (a policy: deploy/mirror/s3-policy.json)"
)


def is_bucket_missing(text: str) -> bool:
    """Return whether an error is about the bucket, and not about an object in it."""
    return _code(text) in _NO_BUCKET


def explain(text: str, place: Place) -> tuple[str, bool]:
    """Return a sentence about an error, and whether waiting does not help."""
    provider, code = place.provider, _code(text)
    status = found[1] if (found := _STATUS.search(text)) else None
    said = f" ({code})" if code else f" (status {status})" if status else ""
    if code in _NO_BUCKET:
        return (
            f"{place.where}: there is no {provider.bucket} {place.bucket!r}{said}; create it, or correct the name",
            True,
        )
    if code in _BAD_CREDENTIALS or status == "401":
        return f"{place.where}: the credentials are not valid{said}; check {provider.credentials}", True
    if code == "RequestTimeTooSkewed":
        return f"{place.where}: the clock of this machine is wrong{said}; correct it", True
    if code in _WRONG_REGION or "status code: 301" in text:
        return f"{place.where}: the {provider.bucket} is in another region{said}; set AWS_REGION", True
    if code in _DENIED or status == "403":
        return f"{place.where}: the credentials do not allow what a mirror does{said}; {_RIGHTS}", True
    if code in _BUSY or status in ("429", "503"):
        return (
            f"{place.where}: the store limits requests{said}; the mirror continues when it answers again",
            False,
        )
    if code == "NotImplemented" or status == "501":
        return (
            f"{place.where}: the store does not support conditional writes{said}, which exclude a second mirror",
            True,
        )
    if _METADATA.search(text):
        return f"{place.where}: there are no credentials; set {provider.credentials} in the environment", True
    if status:
        return f"{place.where}: the store refused a request{said}", False
    return f"{place.where}: {_unreachable(text)}", False


def _code(text: str) -> str | None:
    found = _CODE.search(text)
    return (found[1] or found[2]) if found else None


def _unreachable(text: str) -> str:
    lower = text.lower()
    if "dns error" in lower or "failed to lookup" in lower:
        return "the name of its host cannot be resolved; check the endpoint, the region and the network"
    if "certificate" in lower:
        return "its TLS certificate is not accepted; check the endpoint and the certificates of this machine"
    if "timed out" in lower or "timedout" in lower:
        return "it does not answer in time; check the network and proxies"
    if "refused" in lower:
        return "the connection was refused; check the endpoint and the network"
    return "it cannot be reached; check the endpoint, the network and proxies (HTTPS_PROXY)"

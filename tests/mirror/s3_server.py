"""A server with the interface of S3 on 127.0.0.1 (moto), which checks credentials and rights as S3 does.

`python -m tests.mirror.s3_server`, in a process of its own, ends when its standard input does. It prints its address,
and the credentials of a user with the rights of deploy/mirror/s3-policy.json. `POST /_faults` makes requests fail.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto import settings
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET, PREFIX = "results", "night"
POLICY = Path(__file__).parents[2] / "deploy" / "mirror" / "s3-policy.json"
ACCOUNT = "123456789012"
Environ = dict[str, Any]
Start = Callable[..., Any]


class Faulty:
    """Passes requests on, and remembers them; fails as it was asked to.

    `fail` is `{"method": …, "path": REGEX, "times": …, "how": …}`: `before` refuses a request, `after` loses the answer
    to one that was carried out, `stall` does not answer.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._faults: list[dict[str, Any]] = []
        self._seen: list[tuple[str, str, int]] = []
        self._busy = self._busiest = 0
        self._stalled = threading.Event()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.startswith("/_"):
            return self._control(path, environ, start)
        with self._lock:
            self._busy += 1
            self._busiest = max(self._busiest, self._busy)
            how = self._fault(method, path)
        try:
            return self._pass(method, path, how, environ, start)
        finally:
            with self._lock:
                self._busy -= 1

    def _fault(self, method: str, path: str) -> str | None:
        for each in self._faults:
            if each["times"] and each["method"] == method and re.search(each["path"], path):
                each["times"] -= 1
                return str(each["how"])
        return None

    def _pass(
        self, method: str, path: str, how: str | None, environ: Environ, start: Start
    ) -> Iterable[bytes]:
        if how == "stall":
            self._stalled.wait(30)
        if how == "before":
            return _answer(start, "503 Slow Down", b"<Error><Code>SlowDown</Code></Error>")
        answered: list[Any] = []
        body = list(self._application(environ, lambda *given: answered.append(given)))
        with self._lock:
            self._seen.append((method, path, int(answered[-1][0].split()[0])))
        if how == "after":
            return _answer(start, "500 Internal Server Error", b"<Error><Code>InternalError</Code></Error>")
        start(*answered[-1])
        return body

    def _control(self, path: str, environ: Environ, start: Start) -> Iterable[bytes]:
        with self._lock:
            if path == "/_faults":
                self._faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
                self._seen, self._busiest = [], 0
                self._stalled.set()
                self._stalled = threading.Event()
            return _answer(
                start, "200 OK", json.dumps({"seen": self._seen, "busiest": self._busiest}).encode()
            )


def _answer(start: Start, status: str, body: bytes) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


class Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None: ...


def create_user() -> dict[str, str]:
    """Create a bucket, and a user who may do in it what the policy allows."""
    s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, "us-east-1")
    iam = iam_backends[ACCOUNT]["aws"]
    iam.create_user("us-east-1", "mirror")
    policy = json.loads(POLICY.read_text().replace("BUCKET", BUCKET).replace("PREFIX", PREFIX))
    # This server asks for the right to delete in the bucket where S3 asks for it in the object.
    policy["Statement"].append(
        {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{BUCKET}"}
    )
    iam.put_user_policy("mirror", "mirror", json.dumps(policy))
    key = iam.create_access_key("mirror")
    return {"AWS_ACCESS_KEY_ID": key.access_key_id, "AWS_SECRET_ACCESS_KEY": key.secret_access_key}


def main() -> None:
    credentials = create_user()
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(
        json.dumps({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", **credentials}) + "\n"
    )
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

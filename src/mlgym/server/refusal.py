"""What a service refuses, and the one form in which it says so.

Routes of `/api/` answer `{"error": {"code", "message", "path"}}`, the older ones `{"detail": message}`.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mlgym.errors import EventLogError, InvalidNameError, LogInUseError, MlgymError, RunError
from mlgym.texts import printable

API: Final = "/api/"
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_encoding",
}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_OCCUPIED: Final = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP)


class RefusedError(MlgymError):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        code: one word for programs.
        message: one sentence for people.
        path: which part of the request it is about, such as `files.model.safetensors`; None for all of it.
        headers: to send along.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.path = path
        self.headers = dict(headers or {})
        super().__init__(message)


def not_found(message: str) -> RefusedError:
    """Gives the refusal for what is not there."""
    return RefusedError(404, "not_found", message)


def ending() -> RefusedError:
    """Gives the refusal of what a service does not finish, as it ends."""
    return RefusedError(503, "ending", "the service ends; ask again when it is back")


def no_such_range(num_bytes: int) -> RefusedError:
    """Gives the refusal for a range of bytes beyond the end."""
    headers = {"Content-Range": f"bytes */{num_bytes}"}
    return RefusedError(416, "no_such_range", f"there are {num_bytes:,} bytes", headers=headers)


def error_response(url_path: str, refusal: RefusedError) -> JSONResponse:
    """Gives the answer to a refused request in the form of its route.

    Args:
        url_path: of the request.
        refusal: why.
    """
    content: dict[str, object] = {"detail": str(refusal)}
    if url_path.startswith(API):
        content = {"error": {"code": refusal.code, "message": str(refusal), "path": refusal.path}}
    return JSONResponse(content, status_code=refusal.status, headers=refusal.headers)


def add_error_handlers(app: FastAPI) -> None:
    """Makes an app answer every error in one form."""

    def on_known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, MlgymError | OSError)
        return error_response(request.url.path, refusal_of(error))

    def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = _CODES.get(error.status_code, "error")
        message = str(error.detail)
        if error.status_code == 404 and request.url.path.startswith(API):
            message = "there is nothing of this name; what there is stands in /api/v1/openapi.json"
        refusal = RefusedError(error.status_code, code, message, headers=error.headers)
        return error_response(request.url.path, refusal)

    def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # What was sent is not repeated: it may be no text at all.
        first = error.errors()[0]
        path = printable(".".join(str(part) for part in first["loc"]))
        message = printable(f"{path}: {first['msg']}")
        return error_response(request.url.path, RefusedError(422, "invalid", message, path=path))

    def on_gone(request: Request, error: Exception) -> JSONResponse:
        # Nobody reads this; the server only wants to have an answer.
        return error_response(request.url.path, RefusedError(400, "disconnected", "the body did not end"))

    def on_unforeseen(request: Request, error: Exception) -> JSONResponse:
        message = "the service failed; its log says how"
        return error_response(request.url.path, RefusedError(500, "internal", message))

    app.add_exception_handler(MlgymError, on_known)
    app.add_exception_handler(OSError, on_known)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(ClientDisconnect, on_gone)
    app.add_exception_handler(Exception, on_unforeseen)


def refusal_of(error: MlgymError | OSError) -> RefusedError:
    """Gives the refusal that an error comes to."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, InvalidNameError):
        return RefusedError(400, "invalid_name", printable(str(error)))
    if isinstance(error, LogInUseError):
        return RefusedError(409, "in_use", "another process writes the log of this run; try again when it has ended")
    if isinstance(cause, OSError):
        return _disk_refusal(cause)
    if isinstance(error, RunError | EventLogError):
        return RefusedError(400, "refused", printable(str(error)))
    return RefusedError(500, "internal", "the service failed; its log says how")


def _disk_refusal(error: OSError) -> RefusedError:
    # Paths of this machine are nobody's business elsewhere.
    if error.errno in _FULL:
        return RefusedError(507, "disk_full", "the disk of the hub is full; nothing of this was kept, try again later")
    if error.errno == errno.ENOENT:
        return not_found("there is no such file")
    if error.errno in _OCCUPIED:
        return RefusedError(409, "conflict", "something else is there under this name")
    return RefusedError(500, "disk", f"the disk of the hub refused: {error.strerror}")

"""A reference service that scores one application over HTTP.

``python examples/service/app.py --model risk.model`` listens on the local machine only. Put a proxy
for authentication and encryption in front of it. It requires ``pip install "skhuihen[service]"``.

* ``POST /score``: an application as JSON; ``GET /health``; ``GET /model``: the manifest.
* SIGHUP loads the file again. Running requests keep the model with which they started, and each
  response contains the hash of its model. If the file cannot be loaded, the current model stays.
* The log contains nothing about an applicant. Errors and warnings are in the response.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from skhuihen import OnlineScorer, load_model, read_manifest
from skhuihen._online import ApplicationError
from skhuihen.persistence import ModelFileError

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from pydantic import BaseModel, ConfigDict
    from starlette.exceptions import HTTPException
except ImportError as error:
    raise ImportError(
        "The service requires FastAPI and uvicorn. Install them: pip install skhuihen[service]"
    ) from error

#: Limits: bytes per request, events per application, seconds to receive and to answer a request.
LARGEST_BODY, MOST_EVENTS, SECONDS_TO_ASK, SECONDS = 1_000_000, 10_000, 5.0, 2.0
log = logging.getLogger("skhuihen.service")


class Event(BaseModel):
    """An event; the other subfields are in the schema of the model."""

    model_config = ConfigDict(extra="allow")
    time: str
    operation: str | None
    item: str | None = None
    amount: float | None = None


class Application(BaseModel):
    """The time of the application, its events, and the profile by column."""

    model_config = ConfigDict(extra="allow")
    applied_at: str
    behaviors: list[Event] | None = None


class Score(BaseModel):
    """The response."""

    probability: float
    label: str
    warnings: list[str]
    model: str


class FieldError(BaseModel):
    """An error in a field."""

    field: str
    message: str


class Errors(BaseModel):
    """The errors of a request."""

    errors: list[FieldError]


class Served(NamedTuple):
    """The model that is being served."""

    scorer: OnlineScorer
    manifest: dict[str, Any]


class _Told(threading.local):
    """The warnings of the request that this thread processes."""

    def __init__(self) -> None:
        self.messages: list[str] = []


_told = _Told()


def _keep_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _told.messages.append(str(message))


def read(path: Path, sha256: str | None) -> Served:
    """Load a model file."""
    manifest = read_manifest(path)
    scorer = OnlineScorer(load_model(path, sha256=sha256 or manifest["sha256"]))
    return Served(scorer, manifest)


def answer(scorer: OnlineScorer, application: dict[str, Any]) -> tuple[float, list[str]]:
    """Return the score and the warnings."""
    _told.messages = []
    return scorer.probability(application), _told.messages


def refusal(status: int, *errors: tuple[str, str]) -> JSONResponse:
    """Return a response that names the invalid fields."""
    content = [{"field": plain(field), "message": plain(message)} for field, message in errors]
    return JSONResponse({"errors": content}, status)


def plain(text: str) -> str:
    """Escape invalid Unicode, which JSON can contain, so that every encoding can write the text."""
    return text.encode("utf-8", "backslashreplace").decode()


def make_app(path: Path, sha256: str | None = None) -> FastAPI:
    """Return the service of a model file.

    Parameters
    ----------
    path : Path
    sha256 : str, default=None
        The hash that the file must have. None accepts any file at the path.
    """
    served = read(path, sha256)

    def reload() -> None:
        nonlocal served
        try:
            served = read(path, sha256)
            log.info("serving %s", served.manifest["sha256"])
        except (ModelFileError, OSError) as error:
            log.error("the file cannot be loaded; the model stays: %s", error)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # A warning can quote a value of the applicant, so it goes into the response, not the log.
        warnings.simplefilter("always")
        warnings.showwarning = _keep_warning
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(
            signal.SIGHUP, lambda: threading.Thread(target=reload, daemon=True).start()
        )
        log.info("serving %s", served.manifest["sha256"])
        yield

    app = FastAPI(title="Overdue risk", lifespan=lifespan)
    app.add_middleware(LimitedBody)

    @app.exception_handler(RequestValidationError)
    async def wrong_form(_: Request, error: RequestValidationError) -> JSONResponse:
        # The response of pydantic would repeat the input.
        return refusal(
            422,
            *(
                (".".join(map(str, found["loc"][1:])), found["msg"])
                for found in error.errors()[:20]
            ),
        )

    @app.exception_handler(HTTPException)
    async def no_such_page(_: Request, error: HTTPException) -> JSONResponse:
        return refusal(error.status_code, ("", str(error.detail)))

    @app.post("/score", responses={code: {"model": Errors} for code in (413, 422, 500, 503)})
    async def score(application: Application) -> Score:
        now = served
        if len(application.behaviors or ()) > MOST_EVENTS:
            return refusal(  # type: ignore[return-value]
                413, ("behaviors", f"more than {MOST_EVENTS} events; pass only the latest")
            )
        try:
            probability, told = await asyncio.wait_for(
                run_in_threadpool(answer, now.scorer, application.model_dump(exclude_unset=True)),
                SECONDS,
            )
        except ApplicationError as error:
            return refusal(422, (error.field, str(error)))  # type: ignore[return-value]
        except (ValueError, TypeError) as error:  # errors of the model quote the column
            named = [name for name in application.model_dump() if repr(name) in str(error)]
            field = named[0] if len(named) == 1 else ""
            return refusal(422, (field, str(error)))  # type: ignore[return-value]
        except TimeoutError:
            log.error("an answer took more than %s s", SECONDS)
            return refusal(503, ("", "too busy; try again"))  # type: ignore[return-value]
        except Exception as error:
            # The message can quote values of the applicant.
            log.error("a request failed: %s", type(error).__name__)
            return refusal(500, ("", "internal error"))  # type: ignore[return-value]
        return Score(
            probability=probability,
            label=str(now.scorer.model_.classes_[1]),
            warnings=[plain(message) for message in told],
            model=now.manifest["sha256"],
        )

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": served.manifest["sha256"]}

    @app.get("/model")
    async def model() -> dict[str, Any]:
        return served.manifest

    return app


Message = MutableMapping[str, Any]


class LimitedBody:
    """Reject a body that is too long or too slow, and log only the type of an error."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            body = await asyncio.wait_for(self.read(receive), SECONDS_TO_ASK)
        except TimeoutError:
            return await refusal(408, ("", "the request is too slow"))(scope, receive, send)  # type: ignore[arg-type]
        if body is None:
            return None
        if len(body) > LARGEST_BODY:
            refused = refusal(413, ("", f"the request has more than {LARGEST_BODY} bytes"))
            return await refused(scope, receive, send)  # type: ignore[arg-type]
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        begun = False

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            return await self.app(scope, again, noted)
        except Exception as error:
            # uvicorn would log the message, which can quote values of the applicant.
            log.error("a request failed: %s", type(error).__name__)
            if begun:
                return None
            return await refusal(500, ("", "internal error"))(scope, receive, send)  # type: ignore[arg-type]

    async def read(self, receive: Callable[[], Awaitable[Message]]) -> bytes | None:
        """Return the body, up to a little more than the limit; None if the client disconnected."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > LARGEST_BODY or not message.get("more_body"):
                return body


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sha256", help="hash that the model file must have")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    torch.set_num_threads(1)  # requests run in parallel instead
    app = make_app(arguments.model, arguments.sha256)
    # Running requests are answered before the service stops.
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()

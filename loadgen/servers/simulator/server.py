"""The simulated server: a listening socket, the routes, and the process that serves them until it is told to stop."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

import loadgen.servers.simulator.cerebras as cerebras
from loadgen.errors import UsageError
from loadgen.servers.simulator.client_connection import ClientConnection, HttpRequest, ask_for_stamps
from loadgen.servers.simulator.dialect import (
    JSON,
    OWNER,
    StreamEncoder,
    encode,
    http_head,
    models,
    tokenized,
    version,
    whole_response,
)
from loadgen.servers.simulator.faults import FAULTS, HEADER, STALE_CLOSE, Fault, FaultPlan
from loadgen.servers.simulator.generation import SimulatedRefusal, parse_generation, parse_tokenize
from loadgen.servers.simulator.metrics_page import CONTENT_TYPE, expose
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.quota import Quota
from loadgen.servers.simulator.script import StreamedResponse, plain, whole
from loadgen.servers.simulator.service import Response, Service
from loadgen.servers.simulator.truth import Truth, TruthRecord

_GENERATION = ("/v1/completions", "/v1/chat/completions")
_OURS = ("/truth/reset", "/truth", "/health")  # which a twin of a provider has too, to be started and judged by
_BACKLOG_CONNECTIONS = 4096
_ACCEPT_PAUSE_S = 0.1  # when the system has no file descriptor left


class Simulator:
    """All that one simulated server holds: its connections, its service, and its truth."""

    def __init__(
        self,
        options: SimulatorOptions,
        faults: FaultPlan,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        service: Service,
        key: str | None = None,
    ) -> None:
        self._options = options
        self._faults = faults
        self._loop = loop
        self._listener = listener
        self._service = service
        self._is_cerebras = options.provider == "cerebras"
        self._key = key
        self._quota = cerebras.quota_of(options) if self._is_cerebras else Quota(options.rate_limits)
        self._asked = 0
        self._truth = Truth(options.truth_requests)
        self._connections: set[ClientConnection] = set()
        self._created_s = _now_s()
        self._routes: dict[str, tuple[str, Callable[[ClientConnection, HttpRequest], None]]] = {
            "/v1/completions": ("POST", lambda connection, request: self._generate(connection, request, False)),
            "/v1/chat/completions": ("POST", lambda connection, request: self._generate(connection, request, True)),
            "/tokenize": ("POST", self._tokenize),
            "/truth/reset": ("POST", self._reset_truth),
            "/truth": (
                "GET",
                lambda connection, request: self._respond(connection, 200, encode(self._truth.to_json())),
            ),
            "/metrics": ("GET", self._metrics),
            "/health": ("GET", lambda connection, request: self._respond(connection, 200, b"", None)),
            "/version": ("GET", lambda connection, request: self._respond(connection, 200, encode(version()))),
            "/v1/models": ("GET", self._models),
        }
        if self._is_cerebras:
            self._routes = {path: self._routes[path] for path in (*cerebras.PATHS, *_OURS)}
        listener.setblocking(False)
        loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening and leave every client."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for connection in list(self._connections):
            connection.close()
        self._service.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_ACCEPT_PAUSE_S, self._loop.add_reader, self._listener.fileno(), self._accept)
                return
            self._connections.add(
                ClientConnection(self._loop, accepted, self._handle, self._connections.discard, self._fault_of)
            )

    def _fault_of(self, method: str, path: str, headers: dict[str, str]) -> Fault | None:
        """The fault that a request is to meet; only generation meets any."""
        if method != "POST" or path not in _GENERATION:
            return None
        return self._faults.next() or FAULTS.get(headers.get(HEADER, ""))

    def _handle(self, connection: ClientConnection, request: HttpRequest) -> None:
        route = self._routes.get(request.path)
        if route is None:
            self._respond(connection, 404, encode({"detail": "Not Found"}))
            return
        method, response = route
        if request.method != method:
            self._respond(connection, 405, encode({"detail": "Method Not Allowed"}), allow=method)
            return
        try:
            if self._is_cerebras and request.path in cerebras.PATHS:
                cerebras.check_key(request.headers, self._key)
            if method == "POST" and request.path != "/truth/reset":
                _check_content_type(request)
            response(connection, request)
        except SimulatedRefusal as refusal:
            retry_after = None if refusal.retry_after_s is None else str(refusal.retry_after_s)
            document = cerebras.error(refusal) if self._is_cerebras else refusal.to_json()
            self._respond(connection, refusal.status, encode(document), retry_after=retry_after)

    def _respond(
        self,
        connection: ClientConnection,
        status: int,
        body: bytes,
        content_type: str | None = JSON,
        allow: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        headers = {
            "allow": allow,
            "content-length": str(len(body)),
            "content-type": content_type,
            "retry-after": retry_after,
            **self._limit_headers(),
        }
        connection.send(http_head(status, headers, connection.keep_alive) + body)
        connection.done()

    def _limit_headers(self) -> dict[str, str | None]:
        """What every response tells of the client's limits; vLLM's tell nothing."""
        if not self._is_cerebras:
            return {}
        return cerebras.limit_headers(self._quota, self._options, time.monotonic_ns())

    def _generate(self, connection: ClientConnection, request: HttpRequest, chat: bool) -> None:
        if self._is_cerebras:
            generation = cerebras.parse(request.body, chat, self._options, self._asked)
            self._asked += 1
        else:
            generation = parse_generation(request.body, chat, self._options)
        self._quota.admit(generation, request.arrival_ns)
        fault = request.fault if generation.stream else None
        if fault is not None and fault.name == STALE_CLOSE and connection.answered_requests:
            connection.leave()
            return
        completion_id = ("chatcmpl-" if chat else "cmpl-") + os.urandom(8).hex()
        model = self._options.model
        record = TruthRecord(
            completion_id,
            request.headers.get("x-request-id"),
            request.arrival_ns,
            len(generation.prompt_ids),
            generation.choices * generation.output_tokens,
            generation.stream,
            fault.name if fault is not None else None,
        )
        well_behaved = cerebras.streamed if self._is_cerebras else plain
        limits = self._limit_headers()

        def framed(body: bytes) -> bytes:
            head = {"content-length": str(len(body)), "content-type": JSON, **limits}
            return http_head(200, head, request.keep_alive) + body

        if generation.stream:
            if self._is_cerebras:
                encoder: StreamEncoder = cerebras.CerebrasEncoder(generation, completion_id, _now_s(), model, record)
            else:
                encoder = StreamEncoder(generation, completion_id, _now_s(), model)
            streamed = StreamedResponse(encoder, request.keep_alive, limits)
            script = well_behaved(streamed) if fault is None or fault.script is None else fault.script(streamed)
        elif self._is_cerebras:
            script = cerebras.whole(generation, completion_id, _now_s(), model, record, framed)
        else:
            body = encode(whole_response(generation, completion_id, _now_s(), model))
            script = whole(framed(body), generation.output_tokens - 1, record.output_tokens)
        response = Response(record, script, connection, generation.choices)
        connection.on_hang_up = lambda: self._service.drop(response)
        self._truth.add(record, request.kernel_stamped)
        self._service.admit(response)

    def _tokenize(self, connection: ClientConnection, request: HttpRequest) -> None:
        ids = parse_tokenize(request.body, self._options)
        self._respond(connection, 200, encode(tokenized(ids, self._options)))

    def _models(self, connection: ClientConnection, request: HttpRequest) -> None:
        if self._is_cerebras:
            document = cerebras.models(self._options, self._created_s, OWNER)
        else:
            document = models(self._options, self._created_s)
        self._respond(connection, 200, encode(document))

    def _metrics(self, connection: ClientConnection, request: HttpRequest) -> None:
        service = self._service
        text = expose(
            service.counters, service.running, service.waiting, service.kv_cache_usage_ratio, self._options.model
        )
        self._respond(connection, 200, text.encode(), CONTENT_TYPE)

    def _reset_truth(self, connection: ClientConnection, request: HttpRequest) -> None:
        self._truth.reset()
        self._respond(connection, 200, encode({"reset": True}))


def serve(
    options: SimulatorOptions, on_ready: Callable[[int], None] | None = None, *, lifeline_fd: int | None = None
) -> None:
    """Serve in the foreground of the main thread until SIGINT or SIGTERM, or until `lifeline_fd` reaches its end.

    `on_ready` is told the port once connections are accepted. Raises `UsageError` when the address cannot be had,
    for a fault that there is not, and when the key's variable is not set.
    """
    faults = FaultPlan(options.faults)
    key = _key(options.api_key_env)
    service_on = _service(options)
    listener = _listen(options)
    loop = asyncio.new_event_loop()
    simulator = Simulator(options, faults, loop, listener, service_on(loop), key)
    try:
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, loop.stop)
        if lifeline_fd is not None:
            loop.add_reader(lifeline_fd, lambda: None if os.read(lifeline_fd, 4096) else loop.stop())
        # Connections break their reference cycles when they close, so counting references is enough; a collection would
        # stall every stream for milliseconds.
        gc.collect()
        gc.freeze()
        gc.disable()
        if on_ready is not None:
            on_ready(listener.getsockname()[1])
        loop.run_forever()
    finally:
        gc.enable()
        simulator.close()
        loop.close()


def _service(options: SimulatorOptions) -> Callable[[asyncio.AbstractEventLoop], Service]:
    """What makes the service on a loop. UsageError for a model on hardware that cannot be."""
    if options.hardware is None:
        return lambda loop: Service(options, loop)
    from loadgen.servers.simulator.engine_service import EngineService, deployment_for  # takes 0.3 s

    deployment = deployment_for(options)
    return lambda loop: EngineService(options, loop, deployment)


def _listen(options: SimulatorOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family, backlog=_BACKLOG_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = f"port {options.port} on {options.host} is already in use"
        else:  # create_server appends the address to the system's own words
            reason = (error.strerror or str(error)).partition(" (while")[0]
            problem = f"the simulator cannot listen on {options.host} port {options.port} ({reason})"
        raise UsageError(f"{problem}; choose another with --port, or --port 0 for any free one") from error
    ask_for_stamps(listener)
    _allow_many_connections()
    return listener


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"the environment variable {variable}, whose key the clients are to send, is not set; export it with any text"
        )
    return key


def _allow_many_connections() -> None:
    """Raise the limit of open files to what the system grants; each stream is one."""
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_content_type(request: HttpRequest) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
        raise SimulatedRefusal(message, kind="Bad Request")


def _now_s() -> int:
    """Seconds since 1970, for the field `created`."""
    return int(datetime.now(UTC).timestamp())

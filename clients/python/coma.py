"""The client of coma for modules that are written in Python: one file, the standard library only, Python 3.9 or later.

A module that "coma run" starts finds this file by itself. It connects, receives and sends:

    import coma

    with coma.connect() as agent:
        for message in agent:
            agent.send("speaker", "heard: " + message.text)

or, with asyncio, with the same names:

    async with await coma.connect_async() as agent:
        async for message in agent:
            await agent.send("speaker", "heard: " + message.text)

A message is the mailbox's until the module has finished with it, which is its next receive or its clean end: a module
that dies with a message in hand gets that message again. A host that is restarted is waited for: what was not answered
is asked again, and nothing is lost or comes twice.

When the module is asked to stop (a reload, Ctrl-C: SIGTERM), receive raises Stopped, which ends the program unless it
is caught, and a loop over the agent ends. Any other call raises it a second later, if it has no answer by then: the
memory is away, say; the message in hand comes again after that. A module that has no message in hand and does not wait
in a call of this file is interrupted where it is, as Ctrl-C interrupts Python; one that has gets the time to finish
with it.

How to read this file: errors; values (Message, Record, conditions, retrievers); the WebSocket (_Address, _Frames); the
protocol as a state machine without any input or output (_Core), which is all that a client in another language needs
too; the connection that drives it (_Wire); what is asked of the host, said once for both faces (_Speaks, _Remembers);
and the two faces, Agent for threads and AsyncAgent for asyncio.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import hashlib
import inspect
import itertools
import json
import logging
import math
import os
import random
import re
import select
import signal
import socket
import ssl
import sys
import threading
import time as _time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import (
    TYPE_CHECKING, Any, AsyncIterator, Awaitable, Callable, Deque, Dict, Generic, Iterable, Iterator, List, Mapping,
    Optional, Sequence, Set, Tuple, Type, TypeVar, Union, overload,
)
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    P = ParamSpec("P")
else:
    P = TypeVar("P")  # Python 3.9 has no ParamSpec
T = TypeVar("T")

__all__ = [
    "Agent", "AlphaBeta", "AsyncAgent", "AsyncMemory", "Away", "Closed", "Condition", "Error", "InUse", "Invalid",
    "KeyCondition", "Latest", "LogHandler", "MarginalRelevance", "Match", "Memory", "Message", "NoInput", "NotFound",
    "Oldest", "Record", "Replaced", "Stopped", "TimeWeighted", "TooLarge", "Unauthorized", "Unknown", "all_of", "any_of",
    "connect", "connect_async", "contains", "key", "matches", "not_contains", "not_matches", "run",
]

MAX_MESSAGE_BYTES = 16 << 20  # the text of one message or publication
_MAX_FRAME = (256 << 20) + (64 << 10)  # of what the host sends at once
_MAX_SENDING = 256  # sends under way; more wait here, well below what the host answers at the same time
_MAX_HELD = 1000  # log lines and printed pieces that wait for a host that is away
_PATIENCE = 3.0  # seconds that a host may say that another has our place before it is believed
_LAST_WAIT = 1.0  # seconds that a call still has for its answer when the module is asked to stop
_CLOSE_TIMEOUT = 1.0  # seconds that a module that ends waits for a host that is away
_LOCK_TIMEOUT = 1.0  # seconds that a log line waits for its turn
_GIVEN_BACK = 128 + signal.SIGTERM  # the exit status of a program that was stopped, with its message not finished with
_DIAL_TIMEOUT = 5.0  # seconds for one attempt to connect
_IDLE = 0.05  # seconds without a thread that reads, after which the wire's own does

# ---------------------------------------------------------------------------------------------------------------------
# Errors


class Error(Exception):
    """What the host refuses. code is the JSON-RPC error code; the classes below are those that have one of their own."""

    code = 1000


class NoInput(Error, EOFError):
    """input: there is nobody (left) to ask."""


class NotFound(Error, LookupError):
    """Memory.update: no record has that ID."""


class Unknown(Error, LookupError):
    """send: nobody runs, or has run, a module of that name; the text has the nearest names."""


class Invalid(Error, ValueError):
    """An argument is wrong; the text says which."""


class TooLarge(Error, ValueError):
    """A message (16 MiB), publication (16 MiB) or kept value (1 MiB) is over its limit."""


class Replaced(Error):
    """A newer generation of this module has its place."""


class Closed(Error):
    """The session is closed."""


class Unauthorized(Error, PermissionError):
    """The host does not know the token, or does not let its owner do this."""


class InUse(Error):
    """Another has what was asked for."""


class Away(Error, ConnectionError):
    """No host answers at the address."""


class Stopped(SystemExit):
    """The module was asked to stop. Where it is not caught the program ends, and that is a clean end: with exit code 0, or
    with 143, by which the host knows that the message in hand is not finished with and is to come again."""


_KINDS = (NoInput, NotFound, Unknown, Invalid, TooLarge, Replaced, Closed, Unauthorized, InUse)  # from code 1001 on
_ERRORS: Dict[int, Type[Error]] = dict(enumerate(_KINDS, 1001))
for _code, _kind in _ERRORS.items():
    _kind.code = _code
_OTHER_VERSION = (-32600, -32601, -32602)  # JSON-RPC's own, with which only a host of another version answers "open"


def _refusal(error: Dict[str, Any]) -> Error:
    code, text = error.get("code"), error.get("message")
    e = _ERRORS.get(code if isinstance(code, int) else 0, Error)(text or "the host does not say what is wrong")
    e.code = code if isinstance(code, int) else Error.code
    return e


def _again(e: Error) -> Error:
    """A fresh copy, to be raised: one that is raised twice would gather both tracebacks."""
    copy = type(e)(*e.args)
    copy.code = e.code
    return copy


# ---------------------------------------------------------------------------------------------------------------------
# Values


@dataclass
class Message:
    """Text (any bytes) from a module, a device or a person."""

    text: str  #: the content; where data is not UTF-8, with replacement characters
    data: bytes  #: the content as bytes
    id: str  #: unique
    sender: str  #: "agent/module", "mqtt:<client id>" for a device, "cli" for "coma send" (package coma's From)
    to: str  #: the module that received it, as "agent/module"
    topic: str  #: the MQTT topic, for what arrived by subscribe; else ""
    time: datetime  #: when the host accepted it, in UTC
    content_type: str  #: MIME type, "" for plain text
    headers: Dict[str, str]  #: free; traceparent is W3C trace context
    reply_to: str  #: where an answer goes, "" for sender
    correlation_id: str  #: ties an answer to its request
    deadline: Optional[datetime]  #: after which an answer is of no use
    deaths: int  #: how many times a module died while it had this message in hand

    @property
    def age(self) -> float:
        """How long ago the host accepted it, in seconds."""
        return (datetime.now(timezone.utc) - self.time).total_seconds()

    def json(self) -> Any:
        """Reads the text as JSON. json.JSONDecodeError (a ValueError) where it is none."""
        return json.loads(self.text)


def _message(wire: Dict[str, Any], to: str) -> Message:
    get = wire.get
    if "data" in wire:  # what JSON cannot carry as text
        data = base64.b64decode(wire["data"])
        text = data.decode("utf-8", "replace")
    else:
        text = get("text", "")
        data = text.encode()
    deadline = get("deadline")
    return Message(
        text, data, get("id", ""), get("from", ""), to, get("topic", ""), _EPOCH + timedelta(0, 0, get("time", 0) // 1000),
        get("content_type", ""), get("headers") or {}, get("reply_to", ""), get("correlation_id", ""),
        _EPOCH + timedelta(0, 0, deadline // 1000) if deadline else None, get("deaths", 0))


Vector = Union[Sequence[float], Any]  # a list of floats, or what has tolist(), such as an array of numpy
Metadata = Mapping[str, Union[str, int, float, bool]]


@dataclass
class Record:
    """One entry of a memory."""

    text: str = ""  #: in update: "" leaves it as it is
    id: str = ""  #: unique; made when it is added if it is ""
    time: Optional[datetime] = None  #: with a time zone; now, if it is None; kept to the microsecond
    metadata: Dict[str, Any] = field(default_factory=dict)  #: strings, integers, floats and bools; no NaN, no infinity
    vector: Optional[Vector] = None  #: made from text if it is None; in answers only with vectors=True, a list
    expires: Optional[datetime] = None  #: from then on it is not there any more; None: as the memory's ttl says


@dataclass
class Match(Record):
    """A record that query or retrieve found."""

    distance: float = 0.0  #: cosine distance to what was asked for: 0 is the same direction, 2 the opposite
    score: float = 0.0  #: what a retriever went by, as its class says; 0 from query


@dataclass(frozen=True)
class Condition:
    """What is asked of a record, such as key("mood").equal("calm"). Several in one call must all hold."""

    filter: Mapping[str, Any]  #: as the host's API has it: op, key, value, filters


def _holds(op: str) -> Callable[[KeyCondition, Any], Condition]:
    return lambda key, value: Condition({"op": op, "key": key.name, "value": value})


@dataclass(frozen=True)
class KeyCondition:
    """A Condition on the metadata value of that name, in the making; its methods finish it. Numbers compare by value."""

    name: str

    equal = _holds("eq")
    not_equal = _holds("ne")  #: holds also where the value is not there
    greater = _holds("gt")
    at_least = _holds("gte")
    less = _holds("lt")
    at_most = _holds("lte")

    def one_of(self, *values: Any) -> Condition:
        """Package coma's In."""
        return _holds("in")(self, values)

    def none_of(self, *values: Any) -> Condition:
        """Package coma's NotIn: holds where the value is none of those given, or is not there."""
        return _holds("nin")(self, values)


key = KeyCondition


def _text(op: str) -> Callable[[str], Condition]:
    return lambda value: Condition({"op": op, "value": value})


contains = _text("contains")  # the record's text has that part in it, to the letter
not_contains = _text("notcontains")
matches = _text("regex")  # a pattern, of RE2's syntax, is found somewhere in the record's text
not_matches = _text("notregex")


def all_of(*conditions: Condition) -> Condition:
    """Package coma's All."""
    return Condition({"op": "and", "filters": [c.filter for c in conditions]})


def any_of(*conditions: Condition) -> Condition:
    """Package coma's Any: holds where at least one of conditions does."""
    return Condition({"op": "or", "filters": [c.filter for c in conditions]})


class _Retriever:
    """A rule by which Memory.retrieve chooses records. Formulas and sources are in docs/memory.md."""

    _rule = ""  # its name in the host's API, where its fields have the names that they have here

    def _wire(self) -> Dict[str, Any]:
        return {self._rule: {k: _rfc3339(v) if isinstance(v, datetime) else v for k, v in vars(self).items() if v is not None}}


@dataclass(frozen=True)
class Latest(_Retriever):
    """Retrieves the newest records, newest first. It reads no text."""

    _rule = "by_time"


@dataclass(frozen=True)
class Oldest(_Retriever):
    """Retrieves the oldest records, oldest first. It reads no text."""

    def _wire(self) -> Dict[str, Any]:
        return {"by_time": {"oldest": True}}


@dataclass(frozen=True)
class TimeWeighted(_Retriever):
    """Retrieves by distance × exp(age in seconds × decay), the least first; a match's score is that product."""

    _rule = "time_weighted"
    decay: float  #: a second; positive pushes old records back: 1e-5 doubles the distance of one 19 hours old
    now: Optional[datetime] = None  #: when ages are taken; None: the present
    all: bool = False  #: weigh every record rather than the nearest 100
    space: str = "l2"  #: what the distance is: "l2", the squared Euclidean distance, or "cosine"


@dataclass(frozen=True)
class AlphaBeta(_Retriever):
    """Draws records at random, without replacement, by what was retrieved often and by how far they are from the text:
    pi · softmax(alpha × share of references) + (1 − pi) · softmax(beta × distance). A match's score is its probability in
    the first draw. A positive beta prefers what is far, as in the Python framework; give a negative one for what is near."""

    _rule = "alpha_beta"
    alpha: float
    beta: float
    pi: float  #: 0 to 1
    seed: int = 0  #: the same seed, records and counts draw the same; 0: at random. Give each call one of its own
    all: bool = False  #: draw from every record rather than from the nearest 100
    space: str = "l2"  #: what the distance is: "l2", the squared Euclidean distance, or "cosine"


@dataclass(frozen=True)
class MarginalRelevance(_Retriever):
    """Retrieves by recency × relevance × importance, and passes over records that say the same as one that it has
    chosen already. It weighs every record. A match's score is its marginal relevance when it was chosen, 1 at most."""

    half_life: float = 0.0  #: seconds, the age at which a record counts half; 0: age does not count
    importance: str = ""  #: the metadata key of a positive number (without it: 1); "": importance does not count
    weight: float = 0.0  #: how much relevance counts against novelty, to 1: relevance alone; 0 stands for 0.5
    now: Optional[datetime] = None  #: when ages are taken; None: the present

    def _wire(self) -> Dict[str, Any]:
        rule = {"half_life": round(self.half_life * 1e9), "importance": self.importance, "lambda": self.weight}
        return {"marginal_relevance": {**rule, **({"now": _rfc3339(self.now)} if self.now else {})}}


_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _encode(value: Any, what: str) -> str:
    try:
        return _json(value)
    except (TypeError, ValueError, RecursionError) as e:
        raise Invalid(f"{what}: {e}") from e


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise Invalid(f"{what}: the text is no Unicode: {e}") from e


def _aware(t: datetime) -> datetime:
    if t.tzinfo is None:
        raise Invalid(f"time {t}: it says no time zone; use datetime.now(timezone.utc), or t.astimezone()")
    return t


def _rfc3339(t: datetime) -> str:
    return _aware(t).astimezone(timezone.utc).isoformat()


def _instant(text: str) -> datetime:
    """Reads RFC 3339, of which Python before 3.11 reads only a part."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise Error(f"time {text!r} from the host: not RFC 3339")
    seconds, fraction, zone = found.groups()
    return datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6]:<06}{'+00:00' if zone == 'Z' else zone}")


def _floats(vector: Vector) -> List[float]:
    return [float(x) for x in (vector.tolist() if hasattr(vector, "tolist") else vector)]


def _wire_record(r: Record) -> Dict[str, Any]:
    wire: Dict[str, Any] = {"id": r.id, "text": r.text, "metadata": dict(r.metadata)}
    if r.vector is not None:
        wire["vector"] = _floats(r.vector)
    wire.update((name, _rfc3339(t)) for name, t in (("time", r.time), ("expires", r.expires)) if t is not None)
    return wire


def _match(wire: Dict[str, Any], kind: Type[Record] = Match) -> Any:
    for name in ("time", "expires"):
        if name in wire:
            wire[name] = _instant(wire[name])
    return kind(**{name: value for name, value in wire.items() if name in kind.__dataclass_fields__})


def _record(wire: Dict[str, Any]) -> Any:
    return _match(wire, Record)


# ---------------------------------------------------------------------------------------------------------------------
# WebSocket, RFC 6455

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_SUBPROTOCOL = "coma.batch"  # arrays may mix calls, answers and notifications
_MAX_HEAD = 16 << 10  # bytes of the host's answer to the handshake
_READ = 64 << 10  # bytes read at once, where it is not known that more come


class _Broken(Exception):
    """What the host has sent is not the protocol. The connection is given up, with this close code (section 7.4)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class _Address:
    """Where a host is: "unix:///path", "http://host:port" or "https://host:port"."""

    url: str
    path: str = ""  # of the unix socket, or
    host: str = ""
    port: int = 0
    tls: bool = False

    @staticmethod
    def parse(url: str) -> _Address:
        try:
            u = urlsplit(url)
            port = u.port
        except ValueError as e:
            raise Invalid(f"host address {url!r}: {e}") from e
        if u.username is not None:  # addresses are shown
            raise Invalid("host address: it is no place for a password: user:password is a token")
        if u.scheme == "unix" and u.path:
            return _Address(url, path=unquote(u.path))
        if u.scheme in ("http", "https") and u.hostname:
            tls = u.scheme == "https"
            return _Address(url, host=u.hostname, port=port or (443 if tls else 80), tls=tls)
        raise Invalid(f"host address {url!r}: want unix:///path, http://host:port or https://host:port")

    def greeting(self, token: str, key: str) -> bytes:
        """The client's half of the opening handshake (section 4.1)."""
        host = "coma" if self.path else (f"[{self.host}]" if ":" in self.host else self.host) + f":{self.port}"
        lines = [
            "GET /rpc HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {_SUBPROTOCOL}",
        ]
        if token:
            if not token.isascii() or not token.isprintable():
                raise Invalid("the token has characters that a header cannot carry")
            lines.append(f"Authorization: Bearer {token}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def check(self, head: bytes, key: str) -> None:
        """Reads the host's half, up to the empty line (section 4.2.2)."""
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ", 2)
        if len(status) < 2 or not status[0].startswith("HTTP/1.1"):
            raise Away(f"connect to {self.url}: what answers there is no host of coma")
        if status[1] == "401":
            raise Unauthorized(f"connect to {self.url}: the token is not the host's (COMA_TOKEN, or connect's token)")
        if status[1] != "101":
            raise Away(f"connect to {self.url}: the host answered {' '.join(status[1:])}")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        if (
            headers.get("upgrade", "").lower() != "websocket"
            or "upgrade" not in headers.get("connection", "").lower()
            or headers.get("sec-websocket-accept") != accept.decode()
            or headers.get("sec-websocket-protocol") != _SUBPROTOCOL
            or "sec-websocket-extensions" in headers
        ):
            raise Away(f"connect to {self.url}: what answers there does not speak coma's WebSocket protocol")

    def away(self, e: OSError) -> Away:
        reason = e.strerror or str(e) or type(e).__name__
        return Away(f"connect to {self.url}: {reason}: is coma running there? (coma run, or coma backend start)")


def _mask(payload: bytes, key: bytes) -> bytes:
    """Section 5.3, all bytes at once: as one long number."""
    n = len(payload)
    keys = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(n, "little")


def _frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame to the host (section 5.2)."""
    n = len(payload)
    if n < 126:
        head = bytes((0x80 | opcode, 0x80 | n))
    elif n < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + n.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + n.to_bytes(8, "big")
    key = os.urandom(4)
    return head + key + _mask(payload, key)


class _Frames:
    """What the host sends, put together to whole messages (sections 5.2 to 5.5)."""

    def __init__(self, limit: int = _MAX_FRAME) -> None:
        self._limit = limit
        self._data = bytearray()  # not looked at yet
        self._parts: Optional[bytearray] = None  # of a message that comes in fragments
        self.wants = _READ  # how many bytes are to be read next

    def feed(self, data: bytes) -> List[Tuple[int, bytes]]:
        """Takes what was read; returns the (opcode, payload) that are whole by it. _Broken: it is not the protocol."""
        if not self._data and self._parts is None and len(data) > 1 and data[0] == 0x80 | _TEXT:  # one message, mostly
            n = data[1]
            if n < 126 and len(data) == 2 + n:
                return [(_TEXT, data[2:])]
            if n == 126 and len(data) > 4 and len(data) == 4 + (data[2] << 8 | data[3]):
                return [(_TEXT, data[4:])]
        self._data += data
        whole: List[Tuple[int, bytes]] = []
        at = 0
        while True:
            end = self._next(at, whole)
            if end < 0:
                break
            at = end
        del self._data[:at]
        return whole

    def _next(self, at: int, whole: List[Tuple[int, bytes]]) -> int:
        """Reads the frame at that place and returns where it ends, or -1 where it is not all there."""
        self.wants = _READ
        data = self._data
        have = len(data) - at
        if have < 2:
            return -1
        first, n = data[at], data[at + 1]
        opcode, final = first & 0x0F, first & 0x80 != 0
        if first & 0x70:
            raise _Broken(1002, "a frame has bits set that nobody agreed on")
        if n & 0x80:
            raise _Broken(1002, "the host's frame is masked")
        start = 2
        if n >= 126:
            start += 2 if n == 126 else 8
            if have < start:
                return -1
            n = int.from_bytes(data[at + 2 : at + start], "big")
        if opcode >= _CLOSE:
            if opcode > _PONG or not final or n > 125:
                raise _Broken(1002, f"a control frame of kind {opcode} and {n} bytes")
        elif opcode > _BINARY:
            raise _Broken(1002, f"a frame of kind {opcode}")
        elif opcode == _BINARY:
            raise _Broken(1003, "a binary frame: JSON-RPC is text")
        elif (opcode == _CONTINUATION) != (self._parts is not None):
            raise _Broken(1002, "fragments of messages are mixed up")
        elif n + len(self._parts or b"") > self._limit:
            raise _Broken(1009, f"a message of more than {self._limit} bytes")
        if have < start + n:
            self.wants = max(_READ, min(start + n - have, 1 << 20))
            return -1
        payload = bytes(memoryview(data)[at + start : at + start + n])
        if opcode >= _CLOSE or (final and self._parts is None):
            whole.append((opcode, payload))
        else:
            self._parts = bytearray() if self._parts is None else self._parts
            self._parts += payload
            if final:
                whole.append((_TEXT, bytes(self._parts)))
                self._parts = None
        return at + start + n


# ---------------------------------------------------------------------------------------------------------------------
# The protocol: JSON-RPC 2.0 and a module's seat


class _Request(Generic[T]):
    """One call of the host's API: its parameters as JSON, and how its result is read."""

    __slots__ = ("failed", "last_wait", "marked", "method", "params", "read")

    def __init__(
        self, method: str, params: Union[str, Dict[str, Any]], read: Callable[[Any], T], marked: bool = False,
        last_wait: Optional[float] = None, failed: Callable[[], None] = lambda: None,
    ) -> None:
        self.method, self.read = method, read
        self.params = _utf8(params if isinstance(params, str) else _encode(params, method), method)
        self.marked = marked  # a repetition after a lost connection says that it is one
        self.last_wait = _LAST_WAIT if last_wait is None else last_wait  # seconds, when the module is asked to stop
        self.failed = failed  # called where it was refused or given up


def _nothing(_: Any) -> None:
    return None


def _count(result: Any) -> int:
    return int(result["count"])


class _Call:
    """A call that waits for its answer, over as many connections as that takes."""

    __slots__ = ("done", "error", "id", "request", "result", "sent", "started", "wake")

    def __init__(self, id: int, request: _Request[Any], wake: Callable[[], None]) -> None:
        self.id, self.request = id, request
        self.wake = wake  # called once, when done
        self.sent = False  # on some connection
        self.started = False  # on this one
        self.done = False
        self.result: Any = None
        self.error: Optional[Error] = None

    def text(self) -> bytes:
        params = self.request.params
        if self.sent and self.request.marked:
            params = params[:-1] + b',"resent":true}'
        self.sent = True
        return b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}' % (self.id, self.request.method.encode(), params)

    def finish(self, result: Any, error: Optional[Error]) -> None:
        self.done, self.result, self.error = True, result, error
        if error is not None:
            self.request.failed()
        self.wake()

    def value(self) -> Any:
        if self.error is not None:
            raise _again(self.error)
        try:
            return self.request.read(self.result)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as e:
            raise Error(f"{self.request.method}: the host's answer cannot be read: {e!r}") from e


_AWAY, _GREETING, _UP = "away", "greeting", "up"


class _Core:
    """A module's session as a state machine. It does no input or output and holds no lock: the wire tells it what has come
    (attached, take_in, lost) and what is wanted (call, notify, take), and writes what is in out, in order.

    The host pushes messages ahead, up to a window; take hands out what has come. Each take tells the host, in one
    notification, what is finished with: that frees the window, and lets the host know which message is in the module's
    hand should the module die. When the connection is lost, what was pushed ahead is forgotten here and pushed again by
    the host; the message in hand stays in hand. This is internal/link/session.go in Python.
    """

    def __init__(self, agent: str, module: str, generation: int) -> None:
        self.agent, self.module, self.generation = agent, module, generation
        self.out: List[bytes] = []  # to be written, each one JSON-RPC message
        self.state = _AWAY
        self.resuming = False  # the session has been opened, on this connection or one before
        self.refusal: Optional[Error] = None  # what the host says to being greeted
        self.dead: Optional[Error] = None  # nothing more will come or go
        self.arrived: Callable[[], None] = lambda: None  # called when a message has come, or none will
        self.queue: Deque[Dict[str, Any]] = deque()  # pushed, not handed out
        self.hand = 0  # the seq of the message in the module's hand; 0: none
        self._done = 0  # all up to here are finished with
        self._waits = False  # the host knows that the next message is in hand at once
        self._ended: Optional[Error] = None  # why no message will come
        self._topics: Dict[str, None] = {}  # subscribed to, in order
        self._last_id = 0
        self._calls: Dict[int, _Call] = {}  # that wait for an answer, in order
        self._greeting: Set[int] = set()  # the calls of the greeting that are not answered yet
        self._opening = 0  # which of them is the open
        self._sending = 0  # how many of the calls are sends that are under way
        self._crowded: Deque[_Call] = deque()  # sends that wait until fewer are
        self.held: Deque[bytes] = deque()  # notifications that wait for a connection
        self._refused = 0.0  # since when the host says that another has our place
        self._name, self._ids = os.urandom(8).hex(), itertools.count()

    def new_id(self) -> str:
        """A new ID for a message or a record, unique among all hosts and modules. It needs no lock."""
        return f"{self._name}-{next(self._ids)}"

    # What the wire has to say of the connection.

    def attached(self) -> None:
        """There is a connection: the host is greeted."""
        self.state, self.refusal = _GREETING, None
        self.queue.clear()
        params: Dict[str, Any] = {"agent": self.agent, "module": self.module, "generation": self.generation}
        if self.resuming:
            params.update(resume=True, hand=self.hand, done=self._done)
        self._greeting.clear()
        self._opening = self._greet("open", params)

    def lost(self) -> None:
        """The connection is gone."""
        self.state = _AWAY
        self.out.clear()

    def refused_for_good(self, now: float) -> bool:
        """Whether the refusal is the last word of the host, rather than that of one that is starting. now is in seconds,
        from any beginning."""
        e = self.refusal
        if isinstance(e, InUse):  # it may be our own lost connection, which the host has not noticed yet
            self._refused = self._refused or now
            return now - self._refused > _PATIENCE
        self._refused = 0.0
        return isinstance(e, (Replaced, Unauthorized, Invalid)) or (e is not None and e.code in _OTHER_VERSION)

    def fail(self, e: Error) -> None:
        """Nothing more will come or go, because of e."""
        if self.dead is not None:
            return
        self.dead = e
        self._ended = self._ended or e
        self.state = _AWAY
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.finish(None, e)
        self.arrived()

    def take_in(self, payload: bytes) -> None:
        """Takes one frame of the host: a message of JSON-RPC, or an array of them."""
        try:
            frame = json.loads(payload.decode())
        except (ValueError, RecursionError) as e:
            raise _Broken(1007, f"the host sent what is not JSON: {e}") from e
        for m in frame if type(frame) is list else (frame,):
            if type(m) is not dict:
                raise _Broken(1002, "the host sent what is not JSON-RPC")
            method = m.get("method")
            if method == "message":
                self._push(m.get("params"))
            elif method is None:
                self._answered(m)
            elif "id" in m:
                self._refuse(m)
            elif method == "ended":
                p = m.get("params")
                self._end(_refusal(p) if isinstance(p, dict) else Closed("session ended"))

    def _refuse(self, m: Dict[str, Any]) -> None:
        """Nothing is asked of a module."""
        error = {"code": -32601, "message": f"no method {m['method']!r}"}
        self.out.append(_json({"jsonrpc": "2.0", "id": m["id"], "error": error}).encode("utf-8", "replace"))

    # Calls.

    def call(self, request: _Request[Any], wake: Callable[[], None]) -> _Call:
        """Asks the host; wake is called when the answer is there. When the connection is lost before, it is asked again
        on the next: all methods are safe to repeat but send, which marks the repetition."""
        if self.dead is not None:
            raise _again(self.dead)
        self._last_id += 1
        call = self._calls[self._last_id] = _Call(self._last_id, request, wake)
        if self.state is _UP:
            self._start(call)
        return call

    def _start(self, call: _Call) -> None:
        call.started = not call.request.marked or self._sending < _MAX_SENDING
        if not call.started:
            self._crowded.append(call)
            return
        self._sending += call.request.marked
        self.out.append(call.text())

    def cancel(self, call: _Call) -> None:
        """Nobody waits for the answer any more."""
        if self._calls.pop(call.id, None) is None:
            return
        call.request.failed()
        if self.state is not _UP or not call.started:
            return
        self.out.append(b'{"jsonrpc":"2.0","method":"$/cancel","params":{"id":%d}}' % call.id)
        self._leave(call)

    def _leave(self, call: _Call) -> None:
        """A call is no longer under way: that may make room for a send that waits."""
        if not call.request.marked:
            return
        self._sending -= 1
        while self._crowded and self._sending < _MAX_SENDING:
            waiting = self._crowded.popleft()
            if waiting.id in self._calls:
                self._start(waiting)

    def _answered(self, m: Dict[str, Any]) -> None:
        id, error = m.get("id"), m.get("error")
        if type(id) is not int:
            return  # an error about a frame that the host could not read
        e = _refusal(error) if isinstance(error, dict) else None
        if id in self._greeting:
            self._greeted(id, e)
            return
        call = self._calls.pop(id, None)
        if call is None:
            return  # nobody waits for it any more
        self._leave(call)
        if e is None and "result" not in m:
            e = Error(f"{call.request.method}: the host's answer has no result")
        call.finish(m.get("result"), e)

    def notify(self, method: str, params: str) -> bool:
        """Tells the host something. While it is away that waits; False: too much waits, or it will not be back."""
        text = f'{{"jsonrpc":"2.0","method":"{method}","params":{params}}}'.encode("utf-8", "replace")
        if self.state is _UP:
            self.out.append(text)
        elif self.dead is not None or len(self.held) >= _MAX_HELD:
            return False
        else:
            self.held.append(text)
        return True

    def subscribe(self, pattern: str) -> _Request[None]:
        """The pattern is known here before the host knows it, lest it be forgotten when the host is restarted right
        after."""
        already = pattern in self._topics
        self._topics[pattern] = None
        forget: Callable[[], None] = lambda: None if already else self._topics.pop(pattern, None)
        return _Request("subscribe", {"pattern": pattern}, _nothing, failed=forget)

    def unsubscribe(self, pattern: str) -> _Request[None]:
        self._topics.pop(pattern, None)
        return _Request("unsubscribe", {"pattern": pattern}, _nothing)

    # The greeting: open; then, on a connection made again, all subscriptions; then where the module stands, before all
    # else that is said on it.

    def _greet(self, method: str, params: Dict[str, Any]) -> int:
        self._last_id += 1
        self._greeting.add(self._last_id)
        text = _json({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})
        self.out.append(text.encode("utf-8", "replace"))
        return self._last_id

    def _greeted(self, id: int, e: Optional[Error]) -> None:
        self._greeting.discard(id)
        if id == self._opening:
            if e is not None:
                self.refusal = e
                return
            if self.resuming:
                for pattern in list(self._topics):  # which calls add to
                    self._greet("subscribe", {"pattern": pattern})
        # A subscription that is refused is the affair of the call that is under way with it.
        if self._greeting:
            return
        self.state, self._refused = _UP, 0.0
        if self.resuming:
            self._tell(self._waits or self.hand != 0)
        self.resuming = True
        self.out.extend(self.held)
        self.held.clear()
        self._crowded.clear()
        self._sending = 0
        for call in self._calls.values():
            self._start(call)

    # Receiving.

    def _push(self, p: Any) -> None:
        seq = p.get("seq") if isinstance(p, dict) else None
        if type(seq) is not int:
            self._end(Error("message from host: it has no place in the mailbox"))
            return
        if seq > (self.queue[-1]["seq"] if self.queue else max(self._done, self.hand)):
            self.queue.append(p)
            self.arrived()

    def _end(self, e: Error) -> None:
        self._ended = self._ended or e
        self.arrived()

    def _tell(self, next: bool) -> None:
        """Says where the module stands: with next, that it has the message after done in hand or waits for it, else that
        it has nothing and wants nothing. Where there is no connection, the greeting tells it to the next one."""
        if self.state is _UP:
            method = b"next" if next else b"later"
            self.out.append(b'{"jsonrpc":"2.0","method":"%b","params":{"ack":%d}}' % (method, self._done))

    def take(self, wait: bool) -> Optional[Message]:
        """Finishes with the message in hand and takes the next one of the queue. With wait, where there is none, the host
        is told that one is waited for. What is in out is to be written before the message is handed out: should it kill
        the module at once, the host knows which one it was."""
        if self._ended is not None:
            raise _again(self._ended)
        if self.hand:
            self._done, self.hand = self.hand, 0
        told, self._waits = self._waits, False
        message = None
        if self.queue:
            wire = self.queue.popleft()
            self.hand = wire["seq"]
            try:
                message = _message(wire, f"{self.agent}/{self.module}")
            except (AttributeError, OverflowError, TypeError, ValueError) as e:
                self._end(Error(f"message from host cannot be read: {e!r}"))
                raise _again(self._ended or Error()) from e
        else:
            self._waits = wait
        if not told and (message is not None or wait):
            self._tell(True)
        return message

    def give_up(self, finish: bool) -> None:
        """A receive no longer waits. With finish, what was in hand before it is finished with; without, a message that
        was taken but not handed out stays in hand."""
        if self.hand and finish:
            self._done, self.hand = self.hand, 0
        self._waits = False
        self._tell(self.hand != 0)

    def poll(self) -> _Request[None]:
        """Asks for what the host has: it arrives before the answer does."""
        return _Request("poll", f'{{"ack":{self._done}}}', _nothing)

    @property
    def readable(self) -> bool:
        """Whether take returns a message, or raises."""
        return bool(self.queue) or self._ended is not None

    def close(self, outcome: str) -> _Request[None]:
        """Says how the module ended: finished, stopped (a message in hand goes back) or died (and counts a death)."""
        params = {"outcome": outcome, "done": self._done, "hand": self.hand}
        return _Request("close", params, _nothing, last_wait=math.inf)


# ---------------------------------------------------------------------------------------------------------------------
# The connection


class _Socket:
    """A connection to the host, handshake done. Reading is one thread's at a time, writing that of who has the wire's
    lock; the state of TLS is changed under that lock alone."""

    def __init__(
        self, address: _Address, token: str, context: Optional[ssl.SSLContext], timeout: float, wake: int
    ) -> None:
        self.frames = _Frames()
        self._tls: Optional[ssl.SSLObject] = None
        self._sealed, self._sealing = ssl.MemoryBIO(), ssl.MemoryBIO()  # what TLS is to read, and has written
        self._socket = socket.socket(socket.AF_UNIX) if address.path else socket.socket()
        try:
            self._socket.settimeout(timeout)
            if address.path:
                self._socket.connect(address.path)
            else:
                self._socket.close()
                self._socket = socket.create_connection((address.host, address.port), timeout)
                _keep_alive(self._socket)
            if address.tls:
                context = context or ssl.create_default_context()
                self._tls = context.wrap_bio(self._sealed, self._sealing, server_hostname=address.host)
                while not self._shaken(self._tls):
                    self._sealed.write(self._socket.recv(_READ) or _ended())
            head, key = b"", base64.b64encode(os.urandom(16)).decode()
            self.write(address.greeting(token, key))
            while b"\r\n\r\n" not in head:
                head += self._opened(self._socket.recv(_READ))
                if len(head) > _MAX_HEAD:
                    raise Away(f"connect to {address.url}: what answers there is no host of coma")
            head, _, self.first = head.partition(b"\r\n\r\n")
            address.check(head, key)
        except BaseException as e:
            self._socket.close()
            if isinstance(e, OSError) and not isinstance(e, Error):
                raise address.away(e) from e
            raise
        self._socket.settimeout(None)
        self.fd = self._socket.fileno()
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)
        self._poll.register(wake, select.POLLIN)

    def _shaken(self, tls: ssl.SSLObject) -> bool:
        """One step of the TLS handshake; whether it was the last."""
        try:
            tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self._socket.sendall(self._sealing.read())

    def wait(self, timeout: Optional[float]) -> Optional[bytes]:
        """Waits until something has come, and returns it as it came: b"" at the end, None where the wire is to look up
        (its wake is readable) or the time is up. Called without the wire's lock."""
        for fd, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            if fd == self.fd:
                return self.receive()
        return None

    def receive(self) -> Optional[bytes]:
        """Returns what has come, as it came: b"" at the end, None where there is nothing."""
        try:
            return self._socket.recv(self.frames.wants, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""  # the connection is lost, in whatever way

    def _opened(self, data: bytes) -> bytes:
        """What was read, decrypted; b"" where that is nothing yet. OSError: the connection is at its end."""
        if not data:
            _ended()
        if self._tls is None:
            return data
        self._sealed.write(data)
        opened = bytearray()
        try:
            while True:
                opened += self._tls.read(_READ) or _ended()
        except ssl.SSLWantReadError:
            return bytes(opened)

    def messages(self, data: bytes) -> List[Tuple[int, bytes]]:
        """The messages that are whole by what was read. OSError: the connection is at its end."""
        return self.frames.feed(self._opened(data))

    def write(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._sealing.read()
        self._socket.sendall(data)

    def end(self) -> None:
        """Ends the connection; who waits for it returns, and closes it."""
        with contextlib.suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def _ended() -> Any:
    raise ConnectionError("the connection ended")


def _keep_alive(s: socket.socket) -> None:
    """A network's connection of which only this end knows is found out within a minute."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 50_000)):
        if hasattr(socket, name):  # not on every system
            s.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Waiter:
    """A thread that waits for something. All but its sleep is done with the wire's lock held."""

    __slots__ = ("asleep",)

    def __init__(self) -> None:
        self.asleep = threading.Lock()  # held while it sleeps, or is about to

    def wake(self) -> None:
        if self.asleep.locked():
            self.asleep.release()


class _Wire:
    """A core and its connection, which is made again when it is lost.

    There is no thread between the socket and who waits for what it brings: of the threads that wait, one reads, for all
    of them, and when it has what it waits for, another of them reads on. A thread of the wire's own, the keeper, reads
    while no other does: it notices that the host is restarted. Where an event loop reads (looped), the keeper only makes
    the connection again. All but the waiting itself is done with lock held."""

    def __init__(
        self, core: _Core, address: _Address, token: str, context: Optional[ssl.SSLContext], looped: bool
    ) -> None:
        self.core = core
        self.lock = threading.Lock()
        self.stopped_at = math.inf  # when the module was asked to stop, by time.monotonic
        self._dial: Callable[[float], _Socket] = lambda t: _Socket(address, token, context, t, self.wake_out)
        self._looped = looped
        self.attached: Callable[[], None] = lambda: None  # tells the event loop that there is a connection again
        self._away = Away(f"connect to {address.url}: the host ended the connection")
        self.wake_out, self._wake_in = os.pipe()  # read by who reads, to look up
        os.set_blocking(self.wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._hears = False  # signals write to it, too
        self.cut_short = 0  # the seq of the message that was in hand when a call was ended by the stop
        self._socket: Optional[_Socket] = None
        self._reading = False
        self._waiters: Dict[_Waiter, None] = {}
        self._pause = 0.0  # seconds before the next attempt to reach the host: 10 ms, then twice as long each time
        self._next_attempt = 0.0
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="coma", daemon=True)
        self._keeper_rests = False
        self._keeper_called = threading.Semaphore(0)

    @property
    def stopping(self) -> bool:
        """Whether the module was asked to stop."""
        return self.stopped_at < math.inf

    def stop(self) -> None:
        """The module is asked to stop. It takes no lock: signals' handlers call it."""
        self.stopped_at = min(self.stopped_at, _time.monotonic())
        self.look_up()

    def stopped(self) -> Stopped:
        """What is raised because of that. A message in hand is not finished with, whatever becomes of it."""
        self.cut_short = self.core.hand
        return Stopped(_GIVEN_BACK if self.cut_short else 0)

    @property
    def unfinished(self) -> bool:
        """Whether the message in hand is to come again, and the host does not know."""
        return self.cut_short != 0 and self.cut_short == self.core.hand

    def hear_signals(self, hear: bool) -> None:
        """Makes every signal wake who reads: one that arrives right before Python begins to wait would else be handled
        when that ends. Called by the main thread."""
        before = signal.set_wakeup_fd(self._wake_in if hear else -1, warn_on_full_buffer=False)
        self._hears = hear and before == -1
        if before not in (-1, self._wake_in):  # another, such as an event loop, hears them
            signal.set_wakeup_fd(before)

    def open(self, timeout: float) -> None:
        """Makes the first connection; where there is none, or the host refuses, that is the caller's to know."""
        try:
            deadline = _time.monotonic() + timeout
            with self.lock:
                self._attach(self._dial(timeout))
                answered = lambda: self.core.resuming or self.core.refusal is not None or self._socket is None
                self.until(answered, deadline, _Waiter())
                if not self.core.resuming:
                    raise self.core.refusal or self._away
        except TimeoutError as e:
            raise Away(f"{self._away}: no answer within {timeout:g} seconds") from e
        finally:
            if not self.core.resuming:
                self.leave()
        self._keeper.start()

    def cancel(self, call: _Call) -> None:
        self.core.cancel(call)
        self.flush()

    def take(self, wait: bool) -> Optional[Message]:
        """As the core's. What it has to say has left when this returns."""
        if self.stopping:
            self.give_up(finish=not self.unfinished)
            raise self.stopped()
        message = self.core.take(wait)
        self.flush()
        return message

    def give_up(self, finish: bool = False) -> None:
        self.core.give_up(finish)
        self.flush()

    def ending(self, outcome: str) -> _Request[None]:
        """Tells the host how the module ends. Until it has answered, the message in hand is one that is to come again,
        unless it is finished with."""
        self.cut_short = 0 if outcome == "finished" else self.core.hand
        return self.core.close(outcome)

    def tell(self, method: str, params: str) -> bool:
        told = self.core.notify(method, params)
        self.flush()
        return told

    def look_up(self) -> None:
        """Makes who reads look at what else there is to do. It takes no lock: signals' handlers call it."""
        with contextlib.suppress(BlockingIOError):  # it is full of such calls already
            os.write(self._wake_in, b".")

    def leave(self) -> None:
        """Ends the connection without a word, and waits until nothing of it runs any more."""
        with self.lock:
            if self._closing.is_set():
                return
            self._closing.set()
            self.core.fail(Closed("the session is closed"))
            for text in self.core.held:  # log lines and printed pieces that the host will not hear
                print(text.decode(), file=sys.stderr)
            if self._socket is not None:
                self._socket.end()
            self.look_up()
            self._wake_all()
        self._keeper_called.release()
        if self._keeper.ident is not None and self._keeper is not threading.current_thread():
            self._keeper.join()
        with self.lock:
            while self._reading:
                self._wait(_Waiter(), None)
            self._hand_over()
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            if not self._hears:  # else they would write to whatever had its number next
                os.close(self._wake_in)
                os.close(self.wake_out)

    # For an event loop, which waits and reads by itself.

    @property
    def fd(self) -> int:
        """The connection, to be waited for, and then read; -1: there is none now."""
        return -1 if self._socket is None else self._socket.fd

    def read(self) -> bool:
        """Takes in what has come; whether the connection is still there."""
        with self.lock:
            data = None if self._socket is None else self._socket.receive()
            if self._socket is not None and data is not None:
                self._take_from(self._socket, data)
            if self._socket is None:
                self._hand_over()
            return self._socket is not None

    def looked_up(self) -> None:
        with self.lock:
            self._looked_up()

    # Waiting.

    def until(
        self, ready: Callable[[], bool], deadline: float, waiter: _Waiter, last_wait: float = math.inf
    ) -> None:
        """Returns when ready, reading what the host sends for as long as nobody else does. TimeoutError at deadline;
        Stopped when the module was asked to stop and last_wait seconds are over. Called with lock held."""
        began = now = _time.monotonic()
        try:
            while not ready():
                stop = max(began, self.stopped_at) + last_wait
                if stop <= now:
                    raise self.stopped()
                if deadline <= now:
                    raise TimeoutError("it has not come in time")
                end = min(stop, deadline)
                left = None if end == math.inf else end - now
                if self._reading:
                    self._wait(waiter, left)
                    now = _time.monotonic()
                    continue
                self._reading = True
                try:
                    self._read(left)
                finally:
                    self._reading = False
                now = _time.monotonic()
        finally:
            self._hand_over()

    def _wait(self, waiter: _Waiter, left: Optional[float]) -> None:
        waiter.asleep.acquire(blocking=False)
        self._waiters[waiter] = None
        self.lock.release()
        try:
            waiter.asleep.acquire(timeout=-1 if left is None else left)
        finally:
            self.lock.acquire()
            self._waiters.pop(waiter, None)

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.wake()

    def _hand_over(self) -> None:
        """Who has what it waited for leaves the reading to another."""
        if self._reading:
            return
        for waiter in self._waiters:
            waiter.wake()
            return
        if self._keeper_rests:
            self._keeper_rests = False
            self._keeper_called.release()

    def _keep(self) -> None:
        """Reads while nobody else does."""
        over: Callable[[], bool] = lambda: self.core.dead is not None
        there: Callable[[], bool] = lambda: self._looped and self._socket is not None
        while not self._closing.wait(0 if self._looped else _IDLE):
            with self.lock:
                if over():
                    return
                self._keeper_rests = self._reading or there()
                if not self._keeper_rests:
                    self.until(lambda: bool(self._waiters) or over() or there(), math.inf, _Waiter())
            if self._keeper_rests:
                self._keeper_called.acquire()
            else:
                self.attached()

    # Reading and writing.

    def _read(self, left: Optional[float]) -> None:
        """One look at the connection, or one attempt to make it again."""
        s = self._socket
        if s is None:
            self._connect_again(left)
            return
        self.lock.release()
        try:
            data = s.wait(left)
        finally:
            self.lock.acquire()
        if data is None:
            self._looked_up()
        else:
            self._take_from(s, data)

    def _take_from(self, s: _Socket, data: bytes) -> None:
        try:
            self._take_in(s.messages(data))
        except _Broken as e:
            self._write(_frame(_CLOSE, e.code.to_bytes(2, "big")))
            self._lose()
        except OSError:
            self._lose()

    def _take_in(self, messages: List[Tuple[int, bytes]]) -> None:
        for opcode, payload in messages:
            if opcode == _TEXT:
                self.core.take_in(payload)
            elif opcode == _PING:
                self._write(_frame(_PONG, payload))
            elif opcode == _CLOSE:
                raise _Broken(1000, "the host has closed the connection")
        self.flush()
        if self.core.refusal is not None and self.core.resuming:
            if self.core.refused_for_good(_time.monotonic()):
                self.core.fail(self.core.refusal)
            self._lose()

    def flush(self) -> None:
        """Writes what the core has to say: what is ready together leaves together, up to about a megabyte."""
        out = self.core.out
        while out and self._socket is not None:
            n, size = 1, len(out[0])
            while n < len(out) and size + len(out[n]) < 1 << 20:
                size += len(out[n])
                n += 1
            payload = out[0] if n == 1 else b"[" + b",".join(out[:n]) + b"]"
            del out[:n]
            self._write(_frame(_TEXT, payload))

    def _write(self, data: bytes) -> None:
        if self._socket is None:
            return
        try:
            self._socket.write(data)
        except OSError:
            self._socket.end()  # who reads finds it lost
        except BaseException:
            self._socket.end()  # a part of a frame may have left
            raise

    def _attach(self, s: _Socket) -> None:
        self._socket = s
        self.core.attached()
        self.flush()
        try:
            self._take_in(s.frames.feed(s.first))
        except _Broken:
            self._lose()

    def _lose(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.core.state is _UP:
            self._pause = 0.0
        self.core.lost()
        self._back_off()

    def _back_off(self) -> None:
        self._pause = min(max(2 * self._pause, 0.01), 1.0)
        # A hundred modules do not come back all at once.
        self._next_attempt = _time.monotonic() + self._pause * random.uniform(0.8, 1.0)

    def _connect_again(self, left: Optional[float]) -> None:
        pause = self._next_attempt - _time.monotonic()
        s: Optional[_Socket] = None
        e: Optional[Error] = None
        self.lock.release()
        try:
            if pause > 0:
                select.select([self.wake_out], [], [], pause if left is None else min(pause, left))
            else:
                s = self._dial(_DIAL_TIMEOUT if left is None else min(left, _DIAL_TIMEOUT))
        except Error as refused:
            e = refused
        finally:
            self.lock.acquire()
        if s is not None and self.core.dead is None:
            self._attach(s)
        elif s is not None:
            s.close()
        elif e is None:
            self._looked_up()
        elif isinstance(e, Away):
            self._back_off()
        else:
            self.core.fail(e)

    def _looked_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_out, 64)
        self._wake_all()


# ---------------------------------------------------------------------------------------------------------------------
# What is asked of the host, by both faces


class _Face:
    """What speaks through a wire: _ask waits for the answer, or returns what is awaited for it."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def _ask(self, request: _Request[Any]) -> Any:
        raise NotImplementedError


class _Threads(_Face):
    """The face for threads."""


class _Tasks(_Face):
    """The face for asyncio."""


class _asks(Generic[P, T]):
    """Makes a method of both faces of a function that says what is asked: for threads it returns the answer, for asyncio
    it returns what is awaited for it."""

    def __init__(self, says: Callable[Concatenate[Any, P], _Request[T]]) -> None:
        self._says = says

    @overload
    def __get__(self, face: None, kind: Any) -> Callable[..., Any]: ...
    @overload
    def __get__(self, face: _Threads, kind: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, face: _Tasks, kind: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, face: Optional[_Face], kind: Any) -> Callable[..., Any]:
        if face is None:
            return self._says
        ask, says = face._ask, self._says
        return lambda *args, **options: ask(says(face, *args, **options))


def _select(
    conditions: Iterable[Condition], since: Optional[datetime] = None, until: Optional[datetime] = None, **rest: Any
) -> Dict[str, Any]:
    """What narrows a call on a memory, as it crosses."""
    rest.update((name, _rfc3339(t)) for name, t in (("since", since), ("until", until)) if t is not None)
    filters = [c.filter for c in conditions]
    if filters:
        rest["filter"] = filters[0] if len(filters) == 1 else {"op": "and", "filters": filters}
    return rest


class _Remembers(_Face):
    """The agent's shared memory: records of text, found again by time, by what they say, or by their metadata. What add
    has returned for is on disk. All modules of an agent see the same records at once.

    Conditions, such as key("mood").equal("calm"), narrow a call; all must hold. since (inclusive) and until (exclusive)
    are times with a time zone. With vectors=True the records of the answer carry theirs."""

    def __init__(self, agent: _Speaks) -> None:
        super().__init__(agent._wire)
        self._ask = agent._ask  # type: ignore[method-assign]

    @_asks
    def add(
        self, text: str, metadata: Optional[Metadata] = None, *, ttl: Union[float, timedelta, None] = None,
        time: Optional[datetime] = None, vector: Optional[Vector] = None,
    ) -> _Request[str]:
        """Remembers text and returns the new record's ID. metadata are strings, integers, floats and bools; ttl, in
        seconds, makes it remember for that long only; time is now if None; vector is made from text if None."""
        expires = None
        if ttl is not None:
            expires = datetime.now(timezone.utc) + (ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl))
        record = Record(text, self._wire.core.new_id(), time, dict(metadata or {}), vector, expires)
        return _Request("memory.add", {"records": [_wire_record(record)]}, lambda result: str(result[0]))

    @_asks
    def add_records(self, records: Iterable[Record]) -> _Request[List[str]]:
        """Remembers all records, or none if one of them is wrong, and returns their IDs in order. A record whose ID is
        there already is left as it is."""
        wire = [_wire_record(r) for r in records]
        for r in wire:
            r["id"] = r["id"] or self._wire.core.new_id()  # so that asking again adds nothing twice
        return _Request("memory.add", {"records": wire}, lambda result: list(result or ()))

    @_asks
    def get(
        self, limit: int = 0, *conditions: Condition, oldest: bool = False, since: Optional[datetime] = None,
        until: Optional[datetime] = None, ids: Optional[Iterable[str]] = None, vectors: bool = False,
    ) -> _Request[List[Record]]:
        """Returns the newest limit records (all, if limit is 0), newest first; with oldest, the oldest, oldest first.
        ids chooses records by their IDs; no ID at all chooses no record."""
        select = _select(conditions, since, until, ids=_chosen(ids), limit=limit, oldest=oldest, vectors=vectors)
        return _Request("memory.get", {"select": select}, lambda found: list(map(_record, found or ())))

    @_asks
    def query(
        self, text: str, k: int = 10, *conditions: Condition, since: Optional[datetime] = None,
        until: Optional[datetime] = None, vectors: bool = False,
    ) -> _Request[List[Match]]:
        """Returns the k records that are nearest to text, nearest first."""
        query = _select(conditions, since, until, text=text, k=k, vectors=vectors)
        return _Request("memory.query", {"query": query}, _matches)

    @_asks
    def query_vector(
        self, vector: Vector, k: int = 10, *conditions: Condition, since: Optional[datetime] = None,
        until: Optional[datetime] = None, vectors: bool = False,
    ) -> _Request[List[Match]]:
        """Is query for a vector of the caller's own, in as many dimensions as the memory's."""
        query = _select(conditions, since, until, vector=_some(vector), k=k, vectors=vectors)
        return _Request("memory.query", {"query": query}, _matches)

    @_asks
    def retrieve(
        self, retriever: _Retriever, text: str = "", k: int = 10, *conditions: Condition,
        since: Optional[datetime] = None, until: Optional[datetime] = None, vectors: bool = False,
    ) -> _Request[List[Match]]:
        """Returns up to k records that matter for text by the rule of retriever, what matters most first."""
        query = _select(conditions, since, until, text=text, k=k, vectors=vectors)
        return _Request("memory.retrieve", {"retrieval": {**query, **retriever._wire()}}, _matches)

    @_asks
    def retrieve_vector(
        self, retriever: _Retriever, vector: Vector, k: int = 10, *conditions: Condition,
        since: Optional[datetime] = None, until: Optional[datetime] = None, vectors: bool = False,
    ) -> _Request[List[Match]]:
        """Is retrieve for a vector of the caller's own."""
        query = _select(conditions, since, until, vector=_some(vector), k=k, vectors=vectors)
        return _Request("memory.retrieve", {"retrieval": {**query, **retriever._wire()}}, _matches)

    @_asks
    def update(self, records: Iterable[Record]) -> _Request[None]:
        """Changes the records with the given IDs: fields that are set replace what was there; a new text is embedded
        again. If an ID is unknown, nothing is changed and the error is NotFound."""
        return _Request("memory.update", {"records": [_wire_record(r) for r in records]}, _nothing)

    @_asks
    def delete(self, *conditions: Condition, ids: Optional[Iterable[str]] = None) -> _Request[int]:
        """Forgets the records that ids or conditions choose (at least one is needed) and returns how many there were."""
        return _Request("memory.delete", _select(conditions, ids=_chosen(ids)), _count)

    @_asks
    def count(self, *conditions: Condition) -> _Request[int]:
        """Counts the records that fulfil all conditions; without one, all records."""
        return _Request("memory.count", _select(conditions), _count)

    @_asks
    def clear(self) -> _Request[int]:
        """Forgets everything and returns how many records there were."""
        return _Request("memory.clear", {}, _count)


def _chosen(ids: Optional[Iterable[str]]) -> Optional[List[str]]:
    """To the host, no IDs would be all records; no record has the ID ""."""
    return None if ids is None else list(ids) or [""]


def _matches(found: Any) -> List[Match]:
    return list(map(_match, found or ()))


def _some(vector: Vector) -> List[float]:
    floats = _floats(vector)
    if not floats:  # the host would take it for a question of no text, which is near to nothing
        raise Invalid("query records: the vector is empty")
    return floats


class _Speaks(_Face):
    """What an agent of both faces says."""

    def __init__(self, wire: _Wire, inside: bool) -> None:
        super().__init__(wire)
        self.name = wire.core.agent  #: the agent's name
        self.module = wire.core.module  #: this module's name
        self.generation = wire.core.generation  #: 1 for the first loaded version, one more with every reload
        self._inside = inside  # coma runs this program
        self._iterated = False  # a loop over the agent has ended because of a stop
        self._restore: Callable[[], None] = lambda: None

    @_asks
    def send(
        self, to: str, text: Union[str, bytes], *, content_type: str = "", headers: Optional[Mapping[str, str]] = None,
        reply_to: str = "", correlation_id: str = "", deadline: Optional[datetime] = None, id: str = "",
    ) -> _Request[None]:
        """Puts text (any bytes) into the mailbox of module to, which is "module" for one of the same agent or
        "agent/module" for another's. It returns once the host has the message. While that mailbox is full it waits.
        Unknown: nobody runs or has run such a module. TooLarge: over 16 MiB. id: of two messages with one ID that
        arrive shortly after each other, a host may keep only the first; "" makes one."""
        what, name, size = "send to " + to, "text", len(text)
        if not isinstance(text, str):
            data = bytes(text)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                name, text = "data", base64.b64encode(data).decode()
        elif size > MAX_MESSAGE_BYTES // 4:
            size = len(_utf8(text, what))
        if size > MAX_MESSAGE_BYTES:
            raise TooLarge(f"{what}: message of {size} bytes: at most {MAX_MESSAGE_BYTES}")
        id = id or self._wire.core.new_id()
        params = f'{{"id":{_encode(id, what)},"to":{_encode(to, what)},"{name}":{_encode(text, what)}'
        if content_type or headers or reply_to or correlation_id or deadline:
            rest: Dict[str, Any] = {"content_type": content_type, "reply_to": reply_to, "correlation_id": correlation_id}
            if headers:
                rest["headers"] = dict(headers)
            if deadline:
                rest["deadline"] = (_aware(deadline) - _EPOCH) // timedelta(microseconds=1) * 1000
            params += "," + _encode(rest, what)[1:-1]
        return _Request("send", params + "}", _nothing, marked=True)

    @_asks
    def send_json(self, to: str, value: Any) -> _Request[None]:
        """Sends value as JSON, with content type application/json. The receiver reads it with Message.json."""
        text = _encode(value, "send to " + to)
        return _Speaks.send(self, to, text, content_type="application/json")  # type: ignore[no-any-return]

    @_asks
    def pending(self) -> _Request[int]:
        """Counts the messages that wait in the module's mailbox, without the one received last."""
        return _Request("pending", "{}", _count)

    @_asks
    def publish(self, topic: str, text: Union[str, bytes], *, retain: bool = False) -> _Request[None]:
        """Sends text (any bytes) to an MQTT topic: actuators, other systems, whoever subscribes."""
        payload = _utf8(text, "publish") if isinstance(text, str) else bytes(text)
        if len(payload) > MAX_MESSAGE_BYTES:
            raise TooLarge(f"publish on {topic}: {len(payload)} bytes: at most {MAX_MESSAGE_BYTES}")
        params = {"topic": topic, "payload": base64.b64encode(payload).decode(), "retain": retain}
        return _Request("publish", params, _nothing)

    @_asks
    def publish_retained(self, topic: str, text: Union[str, bytes]) -> _Request[None]:
        """Is publish, and the broker keeps the text for those who subscribe later. An empty text removes it."""
        return _Speaks.publish(self, topic, text, retain=True)  # type: ignore[no-any-return]

    @_asks
    def subscribe(self, pattern: str) -> _Request[None]:
        """Lets what is published on topics that match pattern arrive by receive, with Message.topic set. A pattern is
        MQTT's: + stands for one level, # at the end for all levels below. A subscription holds over a reload if the new
        generation subscribes again before it first receives. When the mailbox is full, the oldest waiting publication
        makes room for the newest; messages that were sent to the module are never dropped."""
        return self._wire.core.subscribe(pattern)

    @_asks
    def unsubscribe(self, pattern: str) -> _Request[None]:
        """Ends what subscribe began."""
        return self._wire.core.unsubscribe(pattern)

    @_asks
    def input(self, prompt: str = "") -> _Request[str]:
        """Asks the person at the console and returns the line that is answered. Modules that ask at the same time wait
        for each other. NoInput: there is nobody to ask (any more). Stopped: the module was asked to stop."""
        return _Request("input", {"text": prompt}, lambda result: str(result["text"]), last_wait=0.0)

    @_asks
    def keep(self, key: str, value: Any) -> _Request[None]:
        """Stores value, as JSON, under key for later generations of this module: after a reload, a restart or a crash,
        kept has it. None removes the key. Values are small (1 MiB); what other modules should know belongs into
        memory."""
        params: Dict[str, Any] = {"key": key}
        if value is not None:
            text = _utf8(_encode(value, f"keep {key!r}"), "keep")
            params.update(value=base64.b64encode(text).decode(), found=True)
        return _Request("keep", params, _nothing)

    @_asks
    def kept(self, key: str, default: Any = None) -> _Request[Any]:
        """Returns what keep stored under key, or default where nothing is kept."""
        read = lambda result: json.loads(base64.b64decode(result["value"])) if result.get("found") else default
        return _Request("kept", {"key": key}, read)

    def print(self, *args: object, sep: str = " ", end: str = "") -> None:
        """Writes to the person at the console, as print does but without adding a line end: a stream of tokens can be
        printed piece by piece. Where the host is out of reach, it goes to standard output, which is the log's."""
        text = sep.join(map(str, args)) + end
        if not self._tell("print", _encode({"text": text}, "print")):
            print(text, end="", flush=True)

    def log(self, *args: object, level: str = "INFO", **attrs: object) -> None:
        """Writes a line to the module's log, as print forms it, with attrs as key=value. level is DEBUG, INFO, WARN or
        ERROR. What a module prints to its standard output or standard error is logged too, a line an entry."""
        text = " ".join(map(str, args))
        entry: Dict[str, Any] = {"time": _rfc3339(datetime.now(timezone.utc)), "level": level, "text": text}
        entry["attrs"] = [{"key": k, "value": str(v)} for k, v in attrs.items()]
        if not self._tell("log", _encode(entry, "log")):  # the host is out of reach
            print(text, *(f"{k}={v}" for k, v in attrs.items()), file=sys.stderr)

    def _tell(self, method: str, params: str) -> bool:
        """Tells the host; False: it does not learn of it. Nor does it where the lock is not to be had: a destructor or a
        signal's handler that logs may have come in the middle of what this very thread does with it."""
        if not self._wire.lock.acquire(timeout=_LOCK_TIMEOUT):
            return False
        try:
            return self._wire.tell(method, params)
        finally:
            self._wire.lock.release()

    def _on_sigterm(self, stop: Callable[[], None]) -> None:
        """SIGTERM asks the module to stop, for as long as the session lasts. A program that has a handler keeps it.
        Threads that end with Stopped end quietly, as those that end with SystemExit do."""
        main = threading.current_thread() is threading.main_thread()
        if not self._inside or not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            return
        handler = lambda _number, _frame: stop()
        hook = threading.excepthook
        quiet = lambda args: None if args.exc_type is Stopped else hook(args)
        signal.signal(signal.SIGTERM, handler)
        self._wire.hear_signals(True)
        threading.excepthook = quiet

        def restore() -> None:
            if threading.current_thread() is threading.main_thread():
                self._wire.hear_signals(False)
                if signal.getsignal(signal.SIGTERM) is handler:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if threading.excepthook is quiet:
                threading.excepthook = hook

        self._restore = restore

    def _outcome(self, e: Optional[BaseException] = None) -> str:
        if e is None or (isinstance(e, SystemExit) and not isinstance(e, Stopped) and e.code in (None, 0)):
            return "stopped" if self._wire.unfinished else "finished"
        return "stopped" if isinstance(e, (Stopped, KeyboardInterrupt, asyncio.CancelledError)) else "died"

    def _closed(self, e: Optional[BaseException]) -> None:
        """The host knows the outcome, unless it did not answer: then the exit status is to tell it."""
        if isinstance(e, Stopped) and not self._wire.unfinished:
            e.code = 0


# ---------------------------------------------------------------------------------------------------------------------
# The face for threads


class Memory(_Threads, _Remembers):
    __doc__ = _Remembers.__doc__


class _Here:
    """Stands around all that a stop may not interrupt in the middle: it counts how deep the main thread is in it."""

    def __init__(self) -> None:
        self.depth = 0
        self._main = threading.main_thread().ident

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self.depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main:
            self.depth -= 1


class Agent(_Threads, _Speaks):
    """A module's view of the agent that it is a part of: its own name, its mailbox, the other modules, the person at the
    console and the memory that all modules share. It is made by connect, is safe for use by several threads, and is a
    context manager: its end closes the session with what has become of the module.

    timeout bounds every call but receive, in seconds: TimeoutError. None, as it is at first, waits, also for a host that
    is restarted, a mailbox that is full or a person."""

    timeout: Optional[float] = None

    def __init__(self, wire: _Wire, inside: bool) -> None:
        super().__init__(wire, inside)
        self.memory = Memory(self)  #: the agent's shared memory
        self._receiving = threading.Lock()
        self._here = _Here()
        self._interruptible = threading.current_thread() is threading.main_thread()
        self._on_sigterm(self._stop)
        atexit.register(self._exit)

    def receive(self, timeout: Optional[float] = None) -> Message:
        """Waits for the next message and returns it. Calling receive (or try_receive) also tells the host that the
        message received before is finished with. TimeoutError: none has come within timeout seconds. Stopped: the
        module was asked to stop."""
        wire, deadline = self._wire, _deadline(timeout)
        if not self._receiving.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise TimeoutError("another thread receives")
        try:
            with self._here, wire.lock:
                message = wire.take(True)
                while message is None:
                    waiter = _Waiter()
                    wire.core.arrived = waiter.wake
                    try:
                        wire.until(lambda: wire.core.readable or wire.stopping, deadline, waiter)
                        message = wire.take(True)
                    except BaseException:
                        wire.give_up()
                        raise
                return message
        finally:
            self._receiving.release()

    def try_receive(self) -> Optional[Message]:
        """Is receive that does not wait: None where no message is there."""
        with self._receiving, self._here:
            with self._wire.lock:
                message = self._wire.take(False)
            if message is None:
                self._ask(self._wire.core.poll())
                with self._wire.lock:
                    message = self._wire.take(False)
            return message

    def __iter__(self) -> Iterator[Message]:
        """Receives until the module is asked to stop, and then ends (once: receiving goes on raising Stopped)."""
        while True:
            try:
                message = self.receive()
            except Stopped:
                if self._iterated:
                    raise
                self._iterated = True
                return
            yield message

    def close(self, outcome: str = "") -> None:
        """Ends the session: "finished" (a message in hand is done with), "stopped" (it goes back to the mailbox) or
        "died" (and that counts as one death of the message). "" is "finished", unless a call was ended by Stopped while
        the message was in hand. Leaving the context manager does it."""
        atexit.unregister(self._exit)
        self._restore()
        self._close(outcome or self._outcome())

    def _close(self, outcome: str) -> None:
        if self._wire.core.dead is None:
            with contextlib.suppress(TimeoutError, Replaced, Closed):  # a newer generation has the place, as it should
                self._ask(self._wire.ending(outcome), _CLOSE_TIMEOUT)
                self._wire.core.hand = 0
        self._wire.leave()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, _kind: Any, e: Optional[BaseException], _trace: Any) -> None:
        self.close(self._outcome(e))
        self._closed(e)

    def _exit(self) -> None:
        """The program ends without having closed the session. Where coma runs it, the host sees how."""
        self._restore()
        if self._inside:
            self._wire.leave()
        else:
            self._close("died" if getattr(sys, "last_type", None) is not None else self._outcome())

    def _ask(self, request: _Request[Any], timeout: Optional[float] = None) -> Any:
        wire, waiter, deadline = self._wire, _Waiter(), _deadline(self.timeout if timeout is None else timeout)
        with self._here, wire.lock:
            call = wire.core.call(request, waiter.wake)
            try:
                wire.flush()
                wire.until(lambda: call.done, deadline, waiter, request.last_wait)
            except BaseException:
                wire.cancel(call)
                raise
        return call.value()

    def _tell(self, method: str, params: str) -> bool:
        with self._here:
            return super()._tell(method, params)

    def _stop(self) -> None:
        """What SIGTERM does, to a main thread that may be anywhere."""
        first = not self._wire.stopping
        self._wire.stop()
        if first and self._interruptible and not self._here.depth and not self._wire.core.hand:
            raise self._wire.stopped()


def _deadline(timeout: Optional[float]) -> float:
    return math.inf if timeout is None else _time.monotonic() + timeout


def connect(
    api: Optional[str] = None, token: Optional[str] = None, agent: Optional[str] = None, module: Optional[str] = None,
    *, timeout: float = 10.0, tls: Optional[ssl.SSLContext] = None,
) -> Agent:
    """Takes this module's seat at the host. Inside a module all is known from the environment: COMA_API, COMA_TOKEN,
    COMA_AGENT, COMA_MODULE, COMA_GENERATION. A program outside says where the host's API is ("unix:///path",
    "http://host:port" or "https://host:port"), its token, and the agent and module that it is to be.

    Away: no host answers, within timeout seconds. Unauthorized: the token is not the host's. tls says which
    certificates to trust for https; None trusts those that the system does."""
    wire, inside = _place(api, token, agent, module, tls, looped=False)
    wire.open(timeout)
    return Agent(wire, inside)


def _place(
    api: Optional[str], token: Optional[str], agent: Optional[str], module: Optional[str],
    tls: Optional[ssl.SSLContext], looped: bool,
) -> Tuple[_Wire, bool]:
    """Who and where this module is, and whether coma runs it."""
    env = os.environ
    inside = agent is None and module is None and api is None
    found = {"COMA_API": api, "COMA_AGENT": agent, "COMA_MODULE": module}
    found = {name: value or env.get(name) for name, value in found.items()}
    missing = ", ".join(name for name, value in found.items() if not value)
    if missing:
        raise Invalid(f"connect: {missing} not set: coma did not start this program; "
                      "say connect(api=…, token=…, agent=…, module=…)")
    generation = env.get("COMA_GENERATION", "") if inside else ""
    core = _Core(str(found["COMA_AGENT"]), str(found["COMA_MODULE"]), int(generation) if generation.isdigit() else 0)
    address = _Address.parse(str(found["COMA_API"]))
    wire = _Wire(core, address, env.get("COMA_TOKEN", "") if token is None else token, tls, looped)
    if inside:
        _OWN.append(wire)
    return wire, inside


_OWN: List[_Wire] = []  # what this program speaks through, where coma runs it


@atexit.register  # when this file is imported: most of what else is to be done at the end is done before
def _tell_by_status() -> None:
    """To the host, exit code 0 says that the message in hand is finished with. This is for one that is not, where nobody
    has closed the session, or the host has not answered."""
    if any(wire.unfinished for wire in _OWN) and getattr(sys, "last_type", None) is None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or it is closed
                stream.flush()
        os._exit(_GIVEN_BACK)


# ---------------------------------------------------------------------------------------------------------------------
# The face for asyncio


class AsyncMemory(_Tasks, _Remembers):
    __doc__ = _Remembers.__doc__


class AsyncAgent(_Tasks, _Speaks):
    """Is Agent for asyncio: the same methods, awaited; log and print are called as they are. It is made by connect_async,
    belongs to one event loop, and is an asynchronous context manager. A call ends early as all of asyncio does: by
    cancellation, or asyncio.wait_for.

    When the module is asked to stop, what waits in receive or input raises Stopped, and a loop over the agent ends. The
    task that has connected is cancelled where it is not the one that learns of it so, once no message is in hand."""

    def __init__(self, wire: _Wire, inside: bool) -> None:
        super().__init__(wire, inside)
        self.memory = AsyncMemory(self)  #: the agent's shared memory
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._owner = asyncio.current_task()
        self._receiving = asyncio.Lock()
        self._waiting: Dict[asyncio.Future[None], float] = {}  # and how many seconds more when the module is asked to stop
        self._flushing = False  # what is to be said leaves soon
        self._watched = [wire.wake_out]  # by the loop
        self._loop.add_reader(wire.wake_out, wire.looked_up)
        wire.attached = lambda: self._soon(self._watch)
        self._watch()
        self._on_sigterm(lambda: self._soon(self._stop))

    async def receive(self, timeout: Optional[float] = None) -> Message:
        """See Agent.receive."""
        wire, deadline = self._wire, _deadline(timeout)
        async with self._receiving:
            while True:
                with wire.lock:
                    message = wire.take(True)
                    if message is not None:
                        return message
                    arrived: asyncio.Future[None] = self._loop.create_future()
                    wire.core.arrived = self._waker(arrived)
                try:
                    await self._woken(arrived, 0.0, deadline)
                    if deadline <= _time.monotonic() and not wire.core.readable:
                        raise TimeoutError("it has not come in time")
                except BaseException:
                    with wire.lock:
                        wire.give_up()
                    raise

    async def try_receive(self) -> Optional[Message]:
        """See Agent.try_receive."""
        async with self._receiving:
            with self._wire.lock:
                message = self._wire.take(False)
            if message is None:
                await self._ask(self._wire.core.poll())
                with self._wire.lock:
                    message = self._wire.take(False)
            return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        """See Agent.__iter__."""
        while True:
            try:
                message = await self.receive()
            except Stopped:
                if self._iterated:
                    raise
                self._iterated = True
                if asyncio.current_task() is not self._owner:
                    self._interrupt()
                return
            yield message

    async def close(self, outcome: str = "") -> None:
        """See Agent.close."""
        self._restore()
        if self._wire.core.dead is None:
            with contextlib.suppress(asyncio.TimeoutError, Replaced, Closed):
                await asyncio.wait_for(self._ask(self._wire.ending(outcome or self._outcome())), _CLOSE_TIMEOUT)
                self._wire.core.hand = 0
        for fd in self._watched:
            self._loop.remove_reader(fd)
        self._watched.clear()
        await self._loop.run_in_executor(None, self._wire.leave)

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(self, _kind: Any, e: Optional[BaseException], _trace: Any) -> None:
        await self.close(self._outcome(e))
        self._closed(e)
        if self._wire.stopping and isinstance(e, asyncio.CancelledError):
            raise self._wire.stopped() from e

    async def _ask(self, request: _Request[Any]) -> Any:
        answered: asyncio.Future[None] = self._loop.create_future()
        with self._wire.lock:
            call = self._wire.core.call(request, self._waker(answered))
        if not self._flushing:  # what other tasks have to say in this turn of the loop leaves with it
            self._flushing = True
            self._loop.call_soon(self._flush)
        try:
            await self._woken(answered, request.last_wait)
            if not call.done:
                raise self._wire.stopped()
        finally:
            if not call.done:
                with self._wire.lock:
                    self._wire.cancel(call)
        return call.value()

    async def _woken(self, wake: asyncio.Future[None], last_wait: float, deadline: float = math.inf) -> None:
        """Waits until wake is done: by what is waited for, at deadline, or last_wait seconds after the module was asked to
        stop. It makes no task: Stopped, raised in one, would end the loop."""
        self._waiting[wake] = last_wait
        if self._wire.stopping:
            self._end_later(wake, last_wait)
        late = self._loop.call_later(deadline - _time.monotonic(), _wake, wake) if deadline < math.inf else None
        try:
            await wake
        finally:
            del self._waiting[wake]
            if late is not None:
                late.cancel()

    def _end_later(self, wake: asyncio.Future[None], last_wait: float) -> None:
        if last_wait < math.inf:
            self._loop.call_later(last_wait, _wake, wake)

    def _flush(self) -> None:
        self._flushing = False
        with self._wire.lock:
            self._wire.flush()

    def _watch(self) -> None:
        """Lets the loop read the connection, unless the session is closed."""
        fd = self._wire.fd
        if self._watched and fd >= 0:
            self._watched.append(fd)
            self._loop.add_reader(fd, self._read, fd)

    def _read(self, fd: int) -> None:
        if not self._wire.read():
            self._watched.remove(fd)
            self._loop.remove_reader(fd)

    def _waker(self, wake: asyncio.Future[None]) -> Callable[[], None]:
        return lambda: _wake(wake) if threading.get_ident() == self._thread else self._soon(_wake, wake)

    def _soon(self, call: Callable[..., None], *args: Any) -> None:
        """Calls it in the loop, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nothing waits any more
            self._loop.call_soon_threadsafe(call, *args)

    def _stop(self) -> None:
        self._wire.stop()
        for wake, last_wait in self._waiting.items():
            self._end_later(wake, last_wait)
        if 0.0 not in self._waiting.values() and not self._wire.core.hand:
            self._interrupt()

    def _interrupt(self) -> None:
        if self._owner is not None:
            self._owner.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def connect_async(
    api: Optional[str] = None, token: Optional[str] = None, agent: Optional[str] = None, module: Optional[str] = None,
    *, timeout: float = 10.0, tls: Optional[ssl.SSLContext] = None,
) -> AsyncAgent:
    """Is connect for asyncio."""
    wire, inside = _place(api, token, agent, module, tls, looped=True)
    await asyncio.get_running_loop().run_in_executor(None, wire.open, timeout)
    return AsyncAgent(wire, inside)


# ---------------------------------------------------------------------------------------------------------------------
# Around a module


def run(main: Callable[[Any], Any]) -> None:
    """Connects, calls main with the Agent (with an AsyncAgent, in an event loop of its own, if main is a coroutine
    function) and closes the session with what has become of it: a return is a clean end, an exception is not."""
    if inspect.iscoroutinefunction(main):
        stopped = asyncio.run(_run_async(main))
        if stopped is not None:
            raise stopped
        return
    with connect() as agent:
        main(agent)


async def _run_async(main: Callable[[AsyncAgent], Awaitable[None]]) -> Optional[Stopped]:
    """Returns the Stopped that has ended it: raised in a task it would end the event loop, and asyncio complain."""
    try:
        async with await connect_async() as agent:
            await main(agent)
    except Stopped as e:
        return e
    return None


class LogHandler(logging.Handler):
    """Sends what package logging records to the module's log: logging.getLogger().addHandler(coma.LogHandler(agent)).
    What is given as extra goes along as key=value."""

    _usual = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def __init__(self, agent: Union[Agent, AsyncAgent], level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._agent = agent

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = next((name for name, least in _LEVELS if record.levelno >= least), "DEBUG")
            extra = {k: v for k, v in record.__dict__.items() if k not in self._usual and k != "level"}
            self._agent.log(self.format(record), level=level, **extra)
        except Exception:
            self.handleError(record)  # which says so on standard error


_LEVELS = (("ERROR", logging.ERROR), ("WARN", logging.WARNING), ("INFO", logging.INFO))

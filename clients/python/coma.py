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

When the module is asked to stop (a reload, Ctrl-C: SIGTERM), receive raises Stopped, which ends the program with exit
code 0 unless it is caught, and a loop over the agent ends. A module that has no message in hand and does not wait in a
call of this file is interrupted where it is, as Ctrl-C interrupts Python; one that has gets the time to finish with it.

How to read this file: errors, then values (Message, Record, conditions, retrievers), then what is asked of the host
(the functions that return a _Request), the WebSocket (_Frames), the protocol as a state machine without any input or
output (_Core), and on it the two faces: Agent for threads, AsyncAgent for asyncio.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import hashlib
import inspect
import json
import logging
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
from types import FrameType, TracebackType
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Deque,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    Type,
    TypeVar,
    Union,
)
from urllib.parse import unquote, urlsplit

__all__ = [
    "Agent", "AlphaBeta", "AsyncAgent", "AsyncMemory", "Away", "Closed", "Condition", "Error", "InUse", "Invalid",
    "Latest", "LogHandler", "MarginalRelevance", "Match", "Memory", "Message", "NoInput", "NotFound", "Oldest", "Record",
    "Replaced", "Retriever", "Stopped", "TimeWeighted", "TooLarge", "Unauthorized", "Unknown", "all_of", "any_of",
    "connect", "connect_async", "contains", "key", "matches", "not_contains", "not_matches", "run",
]

T = TypeVar("T")

MAX_MESSAGE_BYTES = 16 << 20  # the text of one message or publication
_MAX_FRAME = (256 << 20) + (64 << 10)  # of what the host sends at once
_MAX_SENDING = 256  # sends under way; more wait here, well below what the host answers at the same time
_MAX_HELD = 1000  # log lines and printed pieces that wait for a host that is away
_PATIENCE = 3.0  # seconds that a host may say that another has our place before it is believed
_CLOSE_TIMEOUT = 1.0  # seconds that a module that ends waits for a host that is away
_DIAL_TIMEOUT = 5.0  # seconds for one attempt to connect


# ---------------------------------------------------------------------------------------------------------------------
# Errors


class Error(Exception):
    """What the host refuses. code is the JSON-RPC error code; the classes below are those that have one of their own."""

    code = 1000


class NoInput(Error, EOFError):
    """input: there is nobody (left) to ask."""

    code = 1001


class NotFound(Error, LookupError):
    """Memory.update: no record has that ID."""

    code = 1002


class Unknown(Error, LookupError):
    """send: nobody runs, or has run, a module of that name; the text has the nearest names."""

    code = 1003


class Invalid(Error, ValueError):
    """An argument is wrong; the text says which."""

    code = 1004


class TooLarge(Error, ValueError):
    """A message, publication or kept value is over its limit (16 MiB, 16 MiB, 1 MiB)."""

    code = 1005


class Replaced(Error):
    """A newer generation of this module has its place."""

    code = 1006


class Closed(Error):
    """The session is closed."""

    code = 1007


class Unauthorized(Error, PermissionError):
    """The host does not know the token, or does not let its owner do this."""

    code = 1008


class InUse(Error):
    """Another has what was asked for."""

    code = 1009


class Away(Error, ConnectionError):
    """No host answers at the address."""

    code = 0


class Stopped(SystemExit):
    """The module was asked to stop. Where it is not caught the program ends with exit code 0, which is a clean end."""

    def __init__(self) -> None:
        super().__init__(0)


_ERRORS: Mapping[int, Type[Error]] = {
    e.code: e for e in (NoInput, NotFound, Unknown, Invalid, TooLarge, Replaced, Closed, Unauthorized, InUse)
}

# JSON-RPC's own codes that only a host of another version answers an "open" with.
_OTHER_VERSION = (-32600, -32601, -32602)


def _error(code: int, text: str) -> Error:
    known = _ERRORS.get(code)
    if known is not None:
        return known(text)
    e = Error(text)
    e.code = code
    return e


def _again(e: Error) -> Error:
    """A fresh copy, to be raised: one that is raised twice would gather both tracebacks."""
    copy = type(e)(*e.args)
    copy.code = e.code
    return copy


# ---------------------------------------------------------------------------------------------------------------------
# Values


class Message:
    """Text (any bytes) from a module, a device or a person. Its fields are read only."""

    __slots__ = ("_to", "_wire")

    def __init__(self, wire: Dict[str, Any], to: str) -> None:
        self._wire, self._to = wire, to  # read when asked for: most are, of most messages, never asked for

    @property
    def text(self) -> str:
        """The content. Where it is not UTF-8, with replacement characters; data has it as it is."""
        data = self._wire.get("data")
        if data is None:
            text: str = self._wire.get("text", "")
            return text
        return base64.b64decode(data).decode("utf-8", "replace")

    @property
    def data(self) -> bytes:
        """The content as bytes."""
        data = self._wire.get("data")
        if data is None:
            return self.text.encode()
        return base64.b64decode(data)

    @property
    def id(self) -> str:
        """Unique."""
        return self._text("id")

    @property
    def sender(self) -> str:
        """From whom: "agent/module", "mqtt:<client id>" for a device, "cli" for "coma send"."""
        return self._text("from")

    @property
    def to(self) -> str:
        """The module that received it, as "agent/module"."""
        return self._to

    @property
    def topic(self) -> str:
        """The MQTT topic, for what arrived by subscribe; else ""."""
        return self._text("topic")

    @property
    def time(self) -> datetime:
        """When the host accepted it, in UTC."""
        return _from_nanoseconds(self._wire.get("time", 0))

    @property
    def age(self) -> float:
        """How long ago the host accepted it, in seconds."""
        return (datetime.now(timezone.utc) - self.time).total_seconds()

    @property
    def content_type(self) -> str:
        """The MIME type, "" for plain text."""
        return self._text("content_type")

    @property
    def headers(self) -> Dict[str, str]:
        """Free; traceparent is W3C trace context."""
        return dict(self._wire.get("headers") or {})

    @property
    def reply_to(self) -> str:
        """Where an answer goes, "" for sender."""
        return self._text("reply_to")

    @property
    def correlation_id(self) -> str:
        """What ties an answer to its request."""
        return self._text("correlation_id")

    @property
    def deadline(self) -> Optional[datetime]:
        """After which an answer is of no use."""
        deadline = self._wire.get("deadline", 0)
        return _from_nanoseconds(deadline) if deadline else None

    @property
    def deaths(self) -> int:
        """How many times a module died while it had this message in hand."""
        return int(self._wire.get("deaths", 0))

    def json(self) -> Any:
        """Reads the text as JSON. json.JSONDecodeError (a ValueError) where it is none."""
        return json.loads(self.text)

    def _text(self, name: str) -> str:
        text: str = self._wire.get(name, "")
        return text

    def __repr__(self) -> str:
        return f"Message({self.text!r}, id={self.id!r}, sender={self.sender!r}, to={self.to!r})"


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


@dataclass(frozen=True)
class KeyCondition:
    """A Condition in the making; its methods finish it."""

    name: str

    def _is(self, op: str, value: Any) -> Condition:
        return Condition({"op": op, "key": self.name, "value": value})

    def equal(self, value: Any) -> Condition:
        """Holds where the value is there and equal. Numbers compare by value: 2 equals 2.0."""
        return self._is("eq", value)

    def not_equal(self, value: Any) -> Condition:
        """Holds where the value differs or is not there."""
        return self._is("ne", value)

    def greater(self, value: Any) -> Condition:
        """Holds where the value is a number above."""
        return self._is("gt", value)

    def at_least(self, value: Any) -> Condition:
        """Holds where the value is a number above or equal."""
        return self._is("gte", value)

    def less(self, value: Any) -> Condition:
        """Holds where the value is a number below."""
        return self._is("lt", value)

    def at_most(self, value: Any) -> Condition:
        """Holds where the value is a number below or equal."""
        return self._is("lte", value)

    def one_of(self, *values: Any) -> Condition:
        """Holds where the value is one of those given. (package coma's In; "in" is a word of Python's.)"""
        return self._is("in", list(values))

    def none_of(self, *values: Any) -> Condition:
        """Holds where the value is none of those given, or is not there. (package coma's NotIn.)"""
        return self._is("nin", list(values))


def key(name: str) -> KeyCondition:
    """Begins a condition on the metadata value of that name."""
    return KeyCondition(name)


def contains(part: str) -> Condition:
    """Holds where the record's text has part in it, to the letter."""
    return Condition({"op": "contains", "value": part})


def not_contains(part: str) -> Condition:
    """Holds where the record's text does not have part in it."""
    return Condition({"op": "notcontains", "value": part})


def matches(pattern: str) -> Condition:
    """Holds where pattern, a regular expression of RE2's syntax, is found somewhere in the record's text."""
    return Condition({"op": "regex", "value": pattern})


def not_matches(pattern: str) -> Condition:
    """Holds where pattern is nowhere found in the record's text."""
    return Condition({"op": "notregex", "value": pattern})


def all_of(*conditions: Condition) -> Condition:
    """Holds where every one of conditions does. (package coma's All.)"""
    return Condition({"op": "and", "filters": [c.filter for c in conditions]})


def any_of(*conditions: Condition) -> Condition:
    """Holds where at least one of conditions does. (package coma's Any.)"""
    return Condition({"op": "or", "filters": [c.filter for c in conditions]})


@dataclass(frozen=True)
class Latest:
    """Retrieves the newest records, newest first. It reads no text."""

    def _rule(self) -> Dict[str, Any]:
        return {"by_time": {}}


@dataclass(frozen=True)
class Oldest:
    """Retrieves the oldest records, oldest first. It reads no text."""

    def _rule(self) -> Dict[str, Any]:
        return {"by_time": {"oldest": True}}


@dataclass(frozen=True)
class TimeWeighted:
    """Retrieves by distance × exp(age in seconds × decay), the least first; a match's score is that product."""

    decay: float  #: a second; positive pushes old records back: 1e-5 doubles the distance of one 19 hours old
    now: Optional[datetime] = None  #: when ages are taken; None: the present
    all: bool = False  #: weigh every record rather than the nearest 100
    space: str = "l2"  #: what the distance is: "l2", the squared Euclidean distance, or "cosine"

    def _rule(self) -> Dict[str, Any]:
        rule: Dict[str, Any] = {"decay": self.decay, "all": self.all, "space": self.space}
        return {"time_weighted": _with_time(rule, "now", self.now)}


@dataclass(frozen=True)
class AlphaBeta:
    """Draws records at random, without replacement, by what was retrieved often and by how far they are from the text:
    pi · softmax(alpha × share of references) + (1 − pi) · softmax(beta × distance). The memory keeps count of the
    references. A match's score is the probability that it had in the first draw. A positive beta prefers what is far,
    as in the Python framework's code: give a negative one to prefer what is near."""

    alpha: float
    beta: float
    pi: float  #: 0 to 1
    seed: int = 0  #: the same seed, records and counts draw the same; 0: at random. Give each call one of its own
    all: bool = False  #: draw from every record rather than from the nearest 100
    space: str = "l2"  #: what the distance is: "l2", the squared Euclidean distance, or "cosine"

    def _rule(self) -> Dict[str, Any]:
        return {"alpha_beta": {"alpha": self.alpha, "beta": self.beta, "pi": self.pi, "seed": self.seed,
                               "all": self.all, "space": self.space}}


@dataclass(frozen=True)
class MarginalRelevance:
    """Retrieves by recency × relevance × importance, and passes over records that say the same as one that it has
    chosen already. It weighs every record. A match's score is its marginal relevance when it was chosen, 1 at most."""

    half_life: float = 0.0  #: seconds, the age at which a record counts half; 0: age does not count
    importance: str = ""  #: the metadata key of a positive number (without it: 1); "": importance does not count
    weight: float = 0.0  #: how much relevance counts against novelty, to 1: relevance alone; 0 stands for 0.5
    now: Optional[datetime] = None  #: when ages are taken; None: the present

    def _rule(self) -> Dict[str, Any]:
        rule: Dict[str, Any] = {"half_life": round(self.half_life * 1e9), "importance": self.importance,
                                "lambda": self.weight}
        return {"marginal_relevance": _with_time(rule, "now", self.now)}


Retriever = Union[Latest, Oldest, TimeWeighted, AlphaBeta, MarginalRelevance]


# ---------------------------------------------------------------------------------------------------------------------
# How values cross

_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _encode(value: Any, what: str) -> str:
    try:
        return _json(value)
    except (TypeError, ValueError, RecursionError) as e:
        raise Invalid(f"{what}: {e}") from e


def _from_nanoseconds(n: int) -> datetime:
    return _EPOCH + timedelta(microseconds=n // 1000)


def _nanoseconds(t: datetime) -> int:
    return (_aware(t) - _EPOCH) // timedelta(microseconds=1) * 1000


def _aware(t: datetime) -> datetime:
    if t.tzinfo is None:
        raise Invalid(f"time {t}: it says no time zone; use datetime.now(timezone.utc), or t.astimezone()")
    return t


def _instant(text: str) -> datetime:
    """Reads RFC 3339, of which Python before 3.11 reads only a part."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise Error(f"time {text!r} from the host: not RFC 3339")
    seconds, fraction, zone = found.groups()
    return datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6]:<06}{'+00:00' if zone == 'Z' else zone}")


def _with_time(into: Dict[str, Any], name: str, t: Optional[datetime]) -> Dict[str, Any]:
    if t is not None:
        into[name] = _aware(t).astimezone(timezone.utc).isoformat()
    return into


def _floats(vector: Vector) -> List[float]:
    if hasattr(vector, "tolist"):
        vector = vector.tolist()
    return [float(x) for x in vector]


def _wire_record(r: Record) -> Dict[str, Any]:
    wire: Dict[str, Any] = {"id": r.id, "text": r.text, "metadata": dict(r.metadata)}
    if r.vector is not None:
        wire["vector"] = _floats(r.vector)
    return _with_time(_with_time(wire, "time", r.time), "expires", r.expires)


def _record_fields(wire: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "text": wire.get("text", ""),
        "id": wire.get("id", ""),
        "time": _instant(wire["time"]) if "time" in wire else None,
        "metadata": wire.get("metadata") or {},
        "vector": wire.get("vector"),
        "expires": _instant(wire["expires"]) if "expires" in wire else None,
    }


def _records(result: Any) -> List[Record]:
    return [Record(**_record_fields(r)) for r in result or ()]


def _found(result: Any) -> List[Match]:
    return [
        Match(**_record_fields(m), distance=m.get("distance", 0.0), score=m.get("score", 0.0)) for m in result or ()
    ]


def _filter(conditions: Iterable[Condition]) -> Optional[Mapping[str, Any]]:
    all_conditions = tuple(conditions)
    if not all_conditions:
        return None
    return all_conditions[0].filter if len(all_conditions) == 1 else all_of(*all_conditions).filter


# ---------------------------------------------------------------------------------------------------------------------
# What is asked of the host


class _Request(Generic[T]):
    """One call of the host's API: its parameters as JSON, and how its result is read."""

    __slots__ = ("marked", "method", "params", "read")

    def __init__(self, method: str, params: str, read: Callable[[Any], T], marked: bool = False) -> None:
        self.method, self.params, self.read = method, _utf8(params, method), read
        self.marked = marked  # a repetition after a lost connection says that it is one


def _nothing(_: Any) -> None:
    return None


def _count(result: Any) -> int:
    return int(result["count"])


def _send(
    id: str,
    to: str,
    text: Union[str, bytes],
    content_type: str,
    headers: Optional[Mapping[str, str]],
    reply_to: str,
    correlation_id: str,
    deadline: Optional[datetime],
) -> _Request[None]:
    size, name = len(text), "text"
    if isinstance(text, str):
        if size > MAX_MESSAGE_BYTES // 4:
            size = len(text.encode("utf-8", "replace"))
    else:
        data = bytes(text)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            name, text = "data", base64.b64encode(data).decode()
    if size > MAX_MESSAGE_BYTES:
        raise TooLarge(f"send to {to}: message of {size} bytes: at most {MAX_MESSAGE_BYTES}")
    params = f'{{"id":"{id}","to":{_encode(to, "send")},"{name}":{_encode(text, "send to " + to)}'
    if content_type or headers or reply_to or correlation_id or deadline:
        rest: Dict[str, Any] = {"content_type": content_type, "reply_to": reply_to, "correlation_id": correlation_id}
        if headers:
            rest["headers"] = dict(headers)
        if deadline:
            rest["deadline"] = _nanoseconds(deadline)
        params += "," + _encode(rest, "send to " + to)[1:-1]
    return _Request("send", params + "}", _nothing, marked=True)


def _send_json(id: str, to: str, value: Any) -> _Request[None]:
    return _send(id, to, _encode(value, "send to " + to), "application/json", None, "", "", None)


def _publish(topic: str, text: Union[str, bytes], retain: bool) -> _Request[None]:
    payload = _utf8(text, "publish on " + topic) if isinstance(text, str) else text
    if len(payload) > MAX_MESSAGE_BYTES:
        raise TooLarge(f"publish on {topic}: {len(payload)} bytes: at most {MAX_MESSAGE_BYTES}")
    params = {"topic": topic, "payload": base64.b64encode(payload).decode(), "retain": retain}
    return _Request("publish", _encode(params, "publish"), _nothing)


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise Invalid(f"{what}: the text is no Unicode: {e}") from e


def _pattern(method: str, pattern: str) -> _Request[None]:
    return _Request(method, _encode({"pattern": pattern}, method), _nothing)


def _pending() -> _Request[int]:
    return _Request("pending", "{}", _count)


def _input(prompt: str) -> _Request[str]:
    return _Request("input", _encode({"text": prompt}, "input"), lambda result: str(result["text"]))


def _keep(key: str, value: Any) -> _Request[None]:
    params: Dict[str, Any] = {"key": key}
    if value is not None:
        text = _utf8(_encode(value, f"keep {key!r}"), f"keep {key!r}")
        params.update(value=base64.b64encode(text).decode(), found=True)
    return _Request("keep", _encode(params, "keep"), _nothing)


def _kept(key: str, default: Any) -> _Request[Any]:
    def read(result: Any) -> Any:
        return json.loads(base64.b64decode(result["value"])) if result.get("found") else default

    return _Request("kept", _encode({"key": key}, "kept"), read)


def _memory(method: str, params: Dict[str, Any], read: Callable[[Any], T]) -> _Request[T]:
    return _Request("memory." + method, _encode(params, f"memory.{method}"), read)


def _add(new_id: Callable[[], str], records: Iterable[Record]) -> _Request[List[str]]:
    wire = [_wire_record(r) for r in records]
    for r in wire:
        r["id"] = r["id"] or new_id()  # so that asking again after a lost connection adds nothing twice
    return _memory("add", {"records": wire}, lambda result: [str(id) for id in result or ()])


def _one_record(
    text: str,
    metadata: Optional[Metadata],
    ttl: Union[float, timedelta, None],
    time: Optional[datetime],
    vector: Optional[Vector],
) -> Record:
    if ttl is not None and not isinstance(ttl, timedelta):
        ttl = timedelta(seconds=ttl)
    expires = None if ttl is None else datetime.now(timezone.utc) + ttl
    return Record(text, time=time, metadata=dict(metadata or {}), vector=vector, expires=expires)


def _get(
    limit: int,
    conditions: Iterable[Condition],
    oldest: bool,
    since: Optional[datetime],
    until: Optional[datetime],
    ids: Optional[Iterable[str]],
    vectors: bool,
) -> Optional[_Request[List[Record]]]:
    chosen = None if ids is None else list(ids)
    if chosen == []:
        return None  # to the host, no IDs would be all records
    select: Dict[str, Any] = {"ids": chosen, "limit": limit, "oldest": oldest, "filter": _filter(conditions)}
    select["vectors"] = vectors
    return _memory("get", {"select": _with_time(_with_time(select, "since", since), "until", until)}, _records)


def _question(
    text: str,
    vector: Optional[Vector],
    k: int,
    conditions: Iterable[Condition],
    since: Optional[datetime],
    until: Optional[datetime],
    vectors: bool,
) -> Dict[str, Any]:
    question: Dict[str, Any] = {"text": text, "k": k, "filter": _filter(conditions), "vectors": vectors}
    if vector is not None:
        question["vector"] = _floats(vector)
        if not question["vector"]:  # the host would take it for a question of no text, which is near to nothing
            raise Invalid("query records: the vector is empty")
    return _with_time(_with_time(question, "since", since), "until", until)


def _query(question: Dict[str, Any]) -> _Request[List[Match]]:
    return _memory("query", {"query": question}, _found)


def _retrieve(retriever: Retriever, question: Dict[str, Any]) -> _Request[List[Match]]:
    return _memory("retrieve", {"retrieval": {**question, **retriever._rule()}}, _found)


def _update(records: Iterable[Record]) -> _Request[None]:
    return _memory("update", {"records": [_wire_record(r) for r in records]}, _nothing)


def _delete(conditions: Iterable[Condition], ids: Optional[Iterable[str]]) -> Optional[_Request[int]]:
    chosen = None if ids is None else list(ids)
    if chosen == []:
        return None
    return _memory("delete", {"ids": chosen, "filter": _filter(conditions)}, _count)


def _count_records(conditions: Iterable[Condition]) -> _Request[int]:
    return _memory("count", {"filter": _filter(conditions)}, _count)


def _clear() -> _Request[int]:
    return _memory("clear", {}, _count)


def _log_entry(text: str, level: str, attrs: Mapping[str, Any]) -> str:
    entry: Dict[str, Any] = {"time": datetime.now(timezone.utc).isoformat(), "level": level, "text": text}
    if attrs:
        entry["attrs"] = [{"key": k, "value": str(v)} for k, v in attrs.items()]
    return _encode(entry, "log")


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
        if u.scheme == "unix" and u.path:
            return _Address(url, path=unquote(u.path))
        if u.scheme in ("http", "https") and u.hostname:
            tls = u.scheme == "https"
            return _Address(url, host=u.hostname, port=port or (443 if tls else 80), tls=tls)
        raise Invalid(f"host address {url!r}: want unix:///path or http://host:port")

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


def _new_key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


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


def _close_frame(code: int) -> bytes:
    return _frame(_CLOSE, code.to_bytes(2, "big"))


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
        self.wake()

    def value(self) -> Any:
        if self.error is not None:
            raise _again(self.error)
        return self.request.read(self.result)


_AWAY, _GREETING, _UP = "away", "greeting", "up"


class _Core:
    """A module's session as a state machine. It does no input or output and holds no lock: a face tells it what has come
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
        self._held: Deque[bytes] = deque()  # notifications that wait for a connection
        self._refused = 0.0  # since when the host says that another has our place
        self._ids = (os.urandom(8).hex(), 0)

    def new_id(self) -> str:
        """A new ID for a message or a record, unique among all hosts and modules."""
        name, n = self._ids
        self._ids = name, n + 1
        return f"{name}-{n}"

    # What the face has to say of the connection.

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
        if self._calls.pop(call.id, None) is None or self.state is not _UP or not call.started:
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
        elif self.dead is not None or len(self._held) >= _MAX_HELD:
            return False
        else:
            self._held.append(text)
        return True

    @contextlib.contextmanager
    def subscribing(self, pattern: str) -> Iterator[_Request[None]]:
        """Around the call that subscribes. The pattern is known here before the host knows it, lest it be forgotten when
        the host is restarted right after."""
        already = pattern in self._topics
        self._topics[pattern] = None
        try:
            yield _pattern("subscribe", pattern)
        except BaseException:
            if not already:
                self._topics.pop(pattern, None)
            raise

    def unsubscribe(self, pattern: str) -> _Request[None]:
        self._topics.pop(pattern, None)
        return _pattern("unsubscribe", pattern)

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
                for pattern in self._topics:
                    self._greet("subscribe", {"pattern": pattern})
        # A subscription that is refused is the affair of the call that is under way with it.
        if self._greeting:
            return
        self.state, self._refused = _UP, 0.0
        if self.resuming:
            self._tell(self._waits or self.hand != 0)
        self.resuming = True
        self.out.extend(self._held)
        self._held.clear()
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
            message = Message(wire, f"{self.agent}/{self.module}")
        else:
            self._waits = wait
        if not told and (message is not None or wait):
            self._tell(True)
        return message

    def give_up(self) -> None:
        """A receive no longer waits, and what was in hand before it is finished with."""
        if self.hand:
            self._done, self.hand = self.hand, 0
        self._waits = False
        self._tell(False)

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
        return _Request("close", _json(params), _nothing)


def _refusal(error: Dict[str, Any]) -> Error:
    code, text = error.get("code"), error.get("message")
    return _error(code if type(code) is int else 1000, text if isinstance(text, str) else "the host does not say what")


# ---------------------------------------------------------------------------------------------------------------------
# The face for threads


class _Socket:
    """A connection to the host, handshake done. Reading is one thread's at a time, writing that of who has the wire's
    lock; TLS's state is changed under that lock alone."""

    def __init__(
        self, address: _Address, token: str, context: Optional[ssl.SSLContext], timeout: float, wake: int
    ) -> None:
        self._tls: Optional[ssl.SSLObject] = None
        self._sealed, self._sealing = ssl.MemoryBIO(), ssl.MemoryBIO()  # what TLS is to read, and has written
        self.frames = _Frames()
        self.first = b""  # read together with the handshake
        try:
            if address.path:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(timeout)
                self._socket.connect(address.path)
            else:
                self._socket = socket.create_connection((address.host, address.port), timeout)
                _keep_alive(self._socket)
        except OSError as e:
            if address.path and hasattr(self, "_socket"):
                self._socket.close()
            raise address.away(e) from e
        try:
            if address.tls:
                self._shake_hands(context or ssl.create_default_context(), address.host)
            key = _new_key()
            self.write(address.greeting(token, key))
            head = b""
            while b"\r\n\r\n" not in head:
                data = self._opened(self._socket.recv(_READ))
                if data is None or len(head) > _MAX_HEAD:
                    raise Away(f"connect to {address.url}: the connection ended before the host answered")
                head += data
            head, _, self.first = head.partition(b"\r\n\r\n")
            address.check(head, key)
        except OSError as e:
            self._socket.close()
            if isinstance(e, Error):
                raise
            raise address.away(e) from e
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(wake, select.POLLIN)
        self._fd = self._socket.fileno()

    def _shake_hands(self, context: ssl.SSLContext, host: str) -> None:
        self._tls = context.wrap_bio(self._sealed, self._sealing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._socket.sendall(self._sealing.read())
                data = self._socket.recv(_READ)
                if not data:
                    raise ConnectionError("the connection ended in the TLS handshake") from None
                self._sealed.write(data)
        self._socket.sendall(self._sealing.read())

    def wait(self, timeout: Optional[float]) -> Optional[bytes]:
        """Waits until something has come, and returns it as it came: b"" at the end, None where the wire is to look up
        (its wake is readable) or the time is up. Called without the wire's lock."""
        for fd, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            if fd == self._fd:
                try:
                    return self._socket.recv(self.frames.wants)
                except OSError:
                    return b""  # the connection is lost, in whatever way
        return None

    def _opened(self, data: bytes) -> Optional[bytes]:
        """What was read, decrypted; None at the end."""
        if not data:
            return None
        if self._tls is None:
            return data
        self._sealed.write(data)
        parts: List[bytes] = []
        try:
            while True:
                part = self._tls.read(_READ)
                if not part:
                    return None
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts)
        except ssl.SSLZeroReturnError:
            return b"".join(parts) or None

    def messages(self, data: bytes) -> Optional[List[Tuple[int, bytes]]]:
        """The messages that are whole by what was read; None at the end."""
        opened = self._opened(data)
        return None if opened is None else self.frames.feed(opened)

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


def _keep_alive(s: socket.socket) -> None:
    """A network's connection of which only this end knows is found out within a minute."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 50_000)):
        if hasattr(socket, name):  # not on every system
            s.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Backoff:
    """The pauses between attempts to reach a host: 10 ms at first, twice as long each time up to 1 s."""

    def __init__(self) -> None:
        self._last = 0.0

    def next(self) -> float:
        self._last = min(max(2 * self._last, 0.01), 1.0)
        return self._last * random.uniform(0.8, 1.0)  # a hundred modules do not come back at once

    def reset(self) -> None:
        self._last = 0.0


class _Waiter:
    """A thread that waits for another that reads."""

    __slots__ = ("_lock", "woken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.woken = False

    def wake(self) -> None:
        if not self.woken:
            self.woken = True
            self._lock.release()

    def reset(self) -> None:
        self._lock.acquire(blocking=False)
        self.woken = False

    def wait(self, timeout: Optional[float]) -> None:
        self._lock.acquire(timeout=-1 if timeout is None else timeout)


_IDLE = 0.05  # seconds without a thread that reads, after which the wire's own does


class _Wire:
    """A core and its connection, for threads.

    There is no thread between the socket and who waits for what it brings: of the threads that wait, one reads, for all
    of them, and when it has what it waits for, another of them reads on. Only while none waits, a thread of the wire's
    own reads: it notices that the host is restarted, and connects again. All but the waiting itself is done with lock
    held."""

    def __init__(
        self, core: _Core, address: _Address, token: str, context: Optional[ssl.SSLContext], interruptible: bool
    ) -> None:
        self.core = core
        self.lock = threading.Lock()
        self.stopping = False  # the module was asked to stop
        self.inside = 0  # how deep the main thread is in this file's code
        self._address, self._token, self._context = address, token, context
        self._interruptible = interruptible
        self._wake_out, self._wake_in = os.pipe()  # read by who reads, to look up
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._socket: Optional[_Socket] = None
        self._reading = False
        self._waiters: Dict[_Waiter, None] = {}
        self._backoff = _Backoff()
        self._next_attempt = 0.0
        self._closing = threading.Event()
        self._keeper_rests = False
        self._keeper_called = threading.Semaphore(0)
        self._keeper = threading.Thread(target=self._keep, name="coma", daemon=True)

    def open(self, timeout: float) -> None:
        """Makes the first connection; where there is none, or the host refuses, that is the caller's to know."""
        try:
            deadline = _time.monotonic() + timeout
            with self.lock:
                self._attach(_Socket(self._address, self._token, self._context, timeout, self._wake_out))
                self._until(lambda: self.core.state is not _GREETING or self.core.refusal is not None, deadline, first=True)
                if not self.core.resuming:
                    raise self.core.refusal or Away(f"connect to {self._address.url}: the host ended the connection")
        except BaseException:
            self._end(Closed("the session is closed"))
            raise
        self._keeper.start()

    # What the faces' methods are made of.

    def ask(self, request: _Request[T], timeout: Optional[float] = None, stops: bool = False) -> T:
        """Asks the host and waits for its answer; TimeoutError after so many seconds. With stops, Stopped when the
        module is asked to stop."""
        deadline = None if timeout is None else _time.monotonic() + timeout
        with self._here(), self.lock:
            waiter = _Waiter()
            call = self.core.call(request, waiter.wake)
            try:
                self._flush()
                self._until(lambda: call.done, deadline, stops, waiter)
            except BaseException:
                self.core.cancel(call)
                self._flush()
                raise
        value: T = call.value()
        return value

    def tell(self, method: str, params: str) -> bool:
        with self._here(), self.lock:
            told = self.core.notify(method, params)
            self._flush()
            return told

    def take(self, wait: bool, deadline: Optional[float]) -> Optional[Message]:
        with self._here(), self.lock:
            if self.stopping:
                self.core.give_up()
                self._flush()
                raise Stopped
            message = self.core.take(wait)
            self._flush()
            while message is None and wait:
                waiter = _Waiter()
                self.core.arrived = waiter.wake
                try:
                    self._until(lambda: self.core.readable, deadline, True, waiter)
                    if self.stopping:
                        raise Stopped
                    message = self.core.take(True)
                    self._flush()
                except BaseException:
                    if self.core.dead is None:
                        self.core.give_up()
                        self._flush()
                    raise
            return message

    def stop(self) -> None:
        """Asks the module to stop. It is called by a signal's handler, which may have interrupted what holds lock."""
        first, self.stopping = not self.stopping, True
        self._look_up()
        if first and self._interruptible and not self.inside and not self.core.hand:
            raise Stopped

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        """Around all that a stop may not interrupt in the middle."""
        main = threading.current_thread() is threading.main_thread()
        self.inside += main
        try:
            yield
        finally:
            self.inside -= main

    def close(self, outcome: str) -> None:
        """Says how the module ended, waiting for a host that is away for a short while only: it learns of the module's
        end from whoever runs it, too."""
        if self.core.dead is None:
            try:
                self.ask(self.core.close(outcome), _CLOSE_TIMEOUT)
            except (TimeoutError, Replaced, Closed):  # a newer generation has the place, as it should
                pass
        self._end(Closed("the session is closed"))

    def leave(self) -> None:
        """Ends the connection without a word: who runs the module sees how it ended."""
        self._end(Closed("the session is closed"))

    # Waiting.

    def _until(
        self,
        ready: Callable[[], bool],
        deadline: Optional[float],
        stops: bool = False,
        waiter: Optional[_Waiter] = None,
        first: bool = False,
    ) -> None:
        """Returns when ready, reading what the host sends for as long as nobody else does. Called with lock held."""
        try:
            while not ready():
                if stops and self.stopping:
                    raise Stopped
                left = None if deadline is None else deadline - _time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("the host has not answered in time" if not stops else "nothing has come in time")
                if self._reading:
                    waiter = waiter or _Waiter()
                    self._wait(waiter, left)
                    continue
                self._reading = True
                try:
                    self._read(left, first)
                finally:
                    self._reading = False
        finally:
            self._hand_over()

    def _wait(self, waiter: _Waiter, left: Optional[float]) -> None:
        waiter.reset()
        self._waiters[waiter] = None
        self.lock.release()
        try:
            waiter.wait(left)
        finally:
            self.lock.acquire()
            self._waiters.pop(waiter, None)

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
        while not self._closing.wait(_IDLE):
            with self.lock:
                self._keeper_rests = self._reading
                if not self._reading:
                    self._until(lambda: bool(self._waiters) or self._closing.is_set(), None)
            if self._keeper_rests:
                self._keeper_called.acquire()

    def _read(self, left: Optional[float], first: bool) -> None:
        """One look at the connection, or one attempt to make it again."""
        s = self._socket
        if s is None:
            if first:
                raise Away(f"connect to {self._address.url}: the host ended the connection")
            self._connect_again(left)
            return
        self.lock.release()
        try:
            data = s.wait(left)
        finally:
            self.lock.acquire()
        if data is None:
            self._looked_up()
            return
        try:
            messages = s.messages(data)
            if messages is not None:
                self._take_in(messages)
        except _Broken as e:
            self._write(_close_frame(e.code))
            messages = None
        except OSError:  # of TLS
            messages = None
        if messages is None:
            self._lose()
            return
        self._flush()
        if self.core.refusal is not None and not first:
            if self.core.refused_for_good(_time.monotonic()):
                self.core.fail(self.core.refusal)
            self._lose()

    def _take_in(self, messages: List[Tuple[int, bytes]]) -> None:
        for opcode, payload in messages:
            if opcode == _TEXT:
                self.core.take_in(payload)
            elif opcode == _PING:
                self._write(_frame(_PONG, payload))
            elif opcode == _CLOSE:
                raise _Broken(1000, "the host has closed the connection")

    def _flush(self) -> None:
        """Writes what the core has to say: what is ready together leaves together."""
        out = self.core.out
        if not out or self._socket is None:
            return
        for payload in _batches(out):
            self._write(_frame(_TEXT, payload))
        out.clear()

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
        self._flush()
        self._take_in(s.frames.feed(s.first))

    def _lose(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.core.state is _UP:
            self._backoff.reset()
        self.core.lost()
        self._next_attempt = _time.monotonic() + self._backoff.next()

    def _connect_again(self, left: Optional[float]) -> None:
        pause = self._next_attempt - _time.monotonic()
        s: Optional[_Socket] = None
        refusal: Optional[Error] = None
        self.lock.release()
        try:
            if pause > 0:
                select.select([self._wake_out], [], [], pause if left is None else min(pause, left))
            else:
                timeout = _DIAL_TIMEOUT if left is None else min(left, _DIAL_TIMEOUT)
                s = _Socket(self._address, self._token, self._context, timeout, self._wake_out)
        except Away:
            pass
        except Error as e:
            refusal = e
        finally:
            self.lock.acquire()
        if s is not None and self.core.dead is not None:
            s.close()
        elif s is not None:
            try:
                self._attach(s)
            except _Broken:
                self._lose()
        elif refusal is not None:
            self.core.fail(refusal)
        elif pause > 0:
            self._looked_up()
        else:
            self._next_attempt = _time.monotonic() + self._backoff.next()

    def _look_up(self) -> None:
        """Makes who waits look at what else there is to do."""
        with contextlib.suppress(BlockingIOError):  # it is full of such calls already
            os.write(self._wake_in, b".")

    def _looked_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_out, 64)
        for waiter in self._waiters:
            waiter.wake()

    def _end(self, e: Error) -> None:
        with self._here():
            with self.lock:
                if self._closing.is_set():
                    return
                self._closing.set()
                self.core.fail(e)
                if self._socket is not None:
                    self._socket.end()
                self._look_up()
                for waiter in self._waiters:
                    waiter.wake()
            self._keeper_called.release()
            if self._keeper.ident is not None and self._keeper is not threading.current_thread():
                self._keeper.join()
            with self.lock:
                waiter = _Waiter()
                while self._reading:
                    self._wait(waiter, None)
                self._hand_over()
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None
                os.close(self._wake_in)
                os.close(self._wake_out)


def _batches(out: Sequence[bytes]) -> Iterator[bytes]:
    """Messages as the payloads of frames: arrays of about a megabyte at most, or larger messages alone."""
    if len(out) == 1:
        yield out[0]
        return
    batch: List[bytes] = []
    size = 0
    for text in out:
        if batch and size + len(text) > 1 << 20:
            yield b"[" + b",".join(batch) + b"]"
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    yield b"[" + b",".join(batch) + b"]"


class Memory:
    """The agent's shared memory: records of text, found again by time, by what they say, or by their metadata. What add
    has returned for is on disk. All modules of an agent see the same records at once.

    Conditions, such as key("mood").equal("calm"), narrow a call; all must hold. since (inclusive) and until (exclusive)
    are times with a time zone. With vectors=True the records of the answer carry theirs. timeout is in seconds; None
    waits, also for a host that is restarted."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def add(
        self,
        text: str,
        metadata: Optional[Metadata] = None,
        *,
        ttl: Union[float, timedelta, None] = None,
        time: Optional[datetime] = None,
        vector: Optional[Vector] = None,
        timeout: Optional[float] = None,
    ) -> str:
        """Remembers text and returns the new record's ID. metadata are strings, integers, floats and bools; ttl, in
        seconds, makes it remember for that long only; time is now if None; vector is made from text if None."""
        return self.add_records([_one_record(text, metadata, ttl, time, vector)], timeout=timeout)[0]

    def add_records(self, records: Iterable[Record], *, timeout: Optional[float] = None) -> List[str]:
        """Remembers all records, or none if one of them is wrong, and returns their IDs in order. A record whose ID is
        there already is left as it is."""
        return self._wire.ask(_add(self._wire.core.new_id, records), timeout)

    def get(
        self,
        limit: int = 0,
        *conditions: Condition,
        oldest: bool = False,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        ids: Optional[Iterable[str]] = None,
        vectors: bool = False,
        timeout: Optional[float] = None,
    ) -> List[Record]:
        """Returns the newest limit records (all, if limit is 0), newest first; with oldest, the oldest, oldest first.
        ids chooses records by their IDs; no ID at all chooses no record."""
        request = _get(limit, conditions, oldest, since, until, ids, vectors)
        return [] if request is None else self._wire.ask(request, timeout)

    def query(
        self,
        text: str,
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
        timeout: Optional[float] = None,
    ) -> List[Match]:
        """Returns the k records that are nearest to text, nearest first."""
        return self._wire.ask(_query(_question(text, None, k, conditions, since, until, vectors)), timeout)

    def query_vector(
        self,
        vector: Vector,
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
        timeout: Optional[float] = None,
    ) -> List[Match]:
        """Is query for a vector of the caller's own, in as many dimensions as the memory's."""
        return self._wire.ask(_query(_question("", vector, k, conditions, since, until, vectors)), timeout)

    def retrieve(
        self,
        retriever: Retriever,
        text: str = "",
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
        timeout: Optional[float] = None,
    ) -> List[Match]:
        """Returns up to k records that matter for text by the rule of retriever, what matters most first."""
        question = _question(text, None, k, conditions, since, until, vectors)
        return self._wire.ask(_retrieve(retriever, question), timeout)

    def retrieve_vector(
        self,
        retriever: Retriever,
        vector: Vector,
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
        timeout: Optional[float] = None,
    ) -> List[Match]:
        """Is retrieve for a vector of the caller's own."""
        question = _question("", vector, k, conditions, since, until, vectors)
        return self._wire.ask(_retrieve(retriever, question), timeout)

    def update(self, records: Iterable[Record], *, timeout: Optional[float] = None) -> None:
        """Changes the records with the given IDs: fields that are set replace what was there; a new text is embedded
        again. If an ID is unknown, nothing is changed and the error is NotFound."""
        self._wire.ask(_update(records), timeout)

    def delete(
        self, *conditions: Condition, ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> int:
        """Forgets the records that ids or conditions choose (at least one is needed) and returns how many there were."""
        request = _delete(conditions, ids)
        return 0 if request is None else self._wire.ask(request, timeout)

    def count(self, *conditions: Condition, timeout: Optional[float] = None) -> int:
        """Counts the records that fulfil all conditions; without one, all records."""
        return self._wire.ask(_count_records(conditions), timeout)

    def clear(self, *, timeout: Optional[float] = None) -> int:
        """Forgets everything and returns how many records there were."""
        return self._wire.ask(_clear(), timeout)


class Agent:
    """A module's view of the agent that it is a part of: its own name, its mailbox, the other modules, the person at the
    console and the memory that all modules share. It is made by connect, is safe for use by several threads, and is a
    context manager: its end closes the session with what has become of the module.

    timeout is in seconds and ends a call with TimeoutError; None waits, also for a host that is restarted."""

    def __init__(self, wire: _Wire, inside: bool) -> None:
        core = wire.core
        self.name = core.agent  #: the agent's name
        self.module = core.module  #: this module's name
        self.generation = core.generation  #: 1 for the module's first loaded version, one more with every reload
        self.memory = Memory(wire)  #: the agent's shared memory
        self._wire = wire
        self._receiving = threading.Lock()
        self._inside = inside
        self._signals = _Signals()
        if inside:
            self._signals.take(wire.stop)
        self._iterated = False  # a loop over the agent has ended because of a stop
        atexit.register(self._exit)

    def send(
        self,
        to: str,
        text: Union[str, bytes],
        *,
        content_type: str = "",
        headers: Optional[Mapping[str, str]] = None,
        reply_to: str = "",
        correlation_id: str = "",
        deadline: Optional[datetime] = None,
        id: str = "",
        timeout: Optional[float] = None,
    ) -> None:
        """Puts text (any bytes) into the mailbox of module to, which is "module" for one of the same agent or
        "agent/module" for another's. It returns once the host has the message. While that mailbox is full it waits.
        Unknown: nobody runs or has run such a module. TooLarge: over 16 MiB. id: of two messages with one ID that
        arrive shortly after each other, a host may keep only the first; "" makes one."""
        id = id or self._wire.core.new_id()
        request = _send(id, to, text, content_type, headers, reply_to, correlation_id, deadline)
        self._wire.ask(request, timeout)

    def send_json(self, to: str, value: Any, *, timeout: Optional[float] = None) -> None:
        """Sends value as JSON, with content type application/json. The receiver reads it with Message.json."""
        self._wire.ask(_send_json(self._wire.core.new_id(), to, value), timeout)

    def receive(self, timeout: Optional[float] = None) -> Message:
        """Waits for the next message and returns it. Calling receive (or try_receive) also tells the host that the
        message received before is finished with. Stopped: the module was asked to stop."""
        deadline = None if timeout is None else _time.monotonic() + timeout
        with self._alone(timeout):
            message = self._wire.take(True, deadline)
        assert message is not None
        return message

    def try_receive(self) -> Optional[Message]:
        """Is receive that does not wait: None where no message is there."""
        with self._alone(None):
            message = self._wire.take(False, None)
            if message is None:
                self._wire.ask(self._wire.core.poll())
                message = self._wire.take(False, None)
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

    @contextlib.contextmanager
    def _alone(self, timeout: Optional[float]) -> Iterator[None]:
        """One receive at a time."""
        if not self._receiving.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise TimeoutError("another thread receives")
        try:
            yield
        finally:
            self._receiving.release()

    def pending(self, *, timeout: Optional[float] = None) -> int:
        """Counts the messages that wait in the module's mailbox, without the one received last."""
        return self._wire.ask(_pending(), timeout)

    def publish(self, topic: str, text: Union[str, bytes], *, timeout: Optional[float] = None) -> None:
        """Sends text (any bytes) to an MQTT topic: actuators, other systems, whoever subscribes."""
        self._wire.ask(_publish(topic, text, False), timeout)

    def publish_retained(self, topic: str, text: Union[str, bytes], *, timeout: Optional[float] = None) -> None:
        """Is publish, and the broker keeps the text for those who subscribe later. An empty text removes it."""
        self._wire.ask(_publish(topic, text, True), timeout)

    def subscribe(self, pattern: str, *, timeout: Optional[float] = None) -> None:
        """Lets what is published on topics that match pattern arrive by receive, with Message.topic set. A pattern is
        MQTT's: + stands for one level, # at the end for all levels below. A subscription holds over a reload if the new
        generation subscribes again before it first receives. When the mailbox is full, the oldest waiting publication
        makes room for the newest; messages that were sent to the module are never dropped."""
        with self._wire.core.subscribing(pattern) as request:
            self._wire.ask(request, timeout)

    def unsubscribe(self, pattern: str, *, timeout: Optional[float] = None) -> None:
        """Ends what subscribe began."""
        self._wire.ask(self._wire.core.unsubscribe(pattern), timeout)

    def print(self, *args: object, sep: str = " ", end: str = "") -> None:
        """Writes to the person at the console, as print does but without adding a line end: a stream of tokens can be
        printed piece by piece."""
        text = sep.join(map(str, args)) + end
        if not self._wire.tell("print", _encode({"text": text}, "print")):
            _print_here(text)

    def input(self, prompt: str = "", *, timeout: Optional[float] = None) -> str:
        """Asks the person at the console and returns the line that is answered. Modules that ask at the same time wait
        for each other. NoInput: there is nobody to ask (any more). Stopped: the module was asked to stop."""
        return self._wire.ask(_input(prompt), timeout, stops=True)

    def keep(self, key: str, value: Any, *, timeout: Optional[float] = None) -> None:
        """Stores value, as JSON, under key for later generations of this module: after a reload, a restart or a crash,
        kept has it. None removes the key. Values are small (1 MiB); what other modules should know belongs into
        memory."""
        self._wire.ask(_keep(key, value), timeout)

    def kept(self, key: str, default: Any = None, *, timeout: Optional[float] = None) -> Any:
        """Returns what keep stored under key, or default where nothing is kept."""
        return self._wire.ask(_kept(key, default), timeout)

    def log(self, *args: object, level: str = "INFO", **attrs: object) -> None:
        """Writes a line to the module's log, as print forms it, with attrs as key=value. level is DEBUG, INFO, WARN or
        ERROR. What a module prints to its standard output or standard error is logged too, a line an entry."""
        text = " ".join(map(str, args))
        if not self._wire.tell("log", _log_entry(text, level, attrs)):
            _log_here(text, attrs)

    def close(self, outcome: str = "finished") -> None:
        """Ends the session: "finished" (a message in hand is done with), "stopped" (it goes back to the mailbox) or
        "died" (and that counts as one death of the message). Leaving the context manager does it."""
        atexit.unregister(self._exit)
        self._signals.give_back()
        self._wire.close(outcome)

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], e: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close(_outcome(e))

    def _exit(self) -> None:
        """The program ends without having closed the session. For a module of coma's, the host sees how it ended."""
        self._signals.give_back()
        if self._inside:
            self._wire.leave()
        else:
            self._wire.close("died" if getattr(sys, "last_type", None) is not None else "finished")


def _outcome(e: Optional[BaseException]) -> str:
    if e is None or (isinstance(e, SystemExit) and not isinstance(e, Stopped) and e.code in (None, 0)):
        return "finished"
    return "stopped" if isinstance(e, (Stopped, KeyboardInterrupt, asyncio.CancelledError)) else "died"


def _print_here(text: str) -> None:
    """The console is out of reach: the module's own output still reaches its log."""
    print(text, end="", flush=True)


def _log_here(text: str, attrs: Mapping[str, object]) -> None:
    """The host is out of reach: standard error is the log's other way."""
    print(text, *(f"{k}={v}" for k, v in attrs.items()), file=sys.stderr)


class _Signals:
    """SIGTERM, which asks a module to stop, for as long as it is taken. A program that has a handler keeps it. Threads
    that end with Stopped end quietly, as those that end with SystemExit do."""

    def __init__(self) -> None:
        self._handler: Optional[Callable[[int, Optional[FrameType]], None]] = None
        self._hook = threading.excepthook

    def take(self, stop: Callable[[], None]) -> None:
        if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            return

        def handler(_number: int, _frame: Optional[FrameType]) -> None:
            stop()

        self._handler = handler
        signal.signal(signal.SIGTERM, handler)
        hook = self._hook = threading.excepthook
        threading.excepthook = lambda args: None if args.exc_type is Stopped else hook(args)

    def give_back(self) -> None:
        if self._handler is None or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is self._handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._handler, threading.excepthook = None, self._hook


def connect(
    api: Optional[str] = None,
    token: Optional[str] = None,
    agent: Optional[str] = None,
    module: Optional[str] = None,
    *,
    timeout: float = 10.0,
    tls: Optional[ssl.SSLContext] = None,
) -> Agent:
    """Takes this module's seat at the host. Inside a module all is known from the environment: COMA_API, COMA_TOKEN,
    COMA_AGENT, COMA_MODULE, COMA_GENERATION. A program outside says where the host's API is ("unix:///path",
    "http://host:port" or "https://host:port"), its token, and the agent and module that it is to be.

    Away: no host answers, within timeout seconds. Unauthorized: the token is not the host's. tls says which
    certificates to trust for https; None trusts those that the system does."""
    core, address, key, inside = _place(api, token, agent, module)
    main = threading.current_thread() is threading.main_thread()
    wire = _Wire(core, address, key, tls, interruptible=main)
    wire.open(timeout)
    return Agent(wire, inside)


def _place(
    api: Optional[str], token: Optional[str], agent: Optional[str], module: Optional[str]
) -> Tuple[_Core, _Address, str, bool]:
    """Who and where this module is, and whether coma runs it."""
    env = os.environ
    inside = agent is None and module is None and api is None
    found = {"COMA_API": api, "COMA_AGENT": agent, "COMA_MODULE": module}
    for name in found:
        found[name] = found[name] or env.get(name)
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise Invalid(
            f"connect: {', '.join(missing)} not set: coma did not start this program; say connect(api=…, token=…, agent=…, module=…)"
        )
    generation = env.get("COMA_GENERATION", "") if inside else ""
    core = _Core(str(found["COMA_AGENT"]), str(found["COMA_MODULE"]), int(generation) if generation.isdigit() else 0)
    return core, _Address.parse(str(found["COMA_API"])), env.get("COMA_TOKEN", "") if token is None else token, inside


# ---------------------------------------------------------------------------------------------------------------------
# The face for asyncio


class _Stream(asyncio.Protocol):
    """A connection to the host: the handshake, then frames."""

    def __init__(self, address: _Address, token: str, wire: _AsyncWire) -> None:
        self._address, self._wire = address, wire
        self._key = _new_key()
        self._hello = address.greeting(token, self._key)
        self._head: Optional[bytes] = b""  # of the host's answer, while it comes
        self._frames = _Frames()
        self.transport: Optional[asyncio.Transport] = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        connection = transport.get_extra_info("socket")
        if connection is not None and not self._address.path:
            _keep_alive(connection)
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        try:
            if self._head is not None:
                self._head += data
                if b"\r\n\r\n" not in self._head:
                    if len(self._head) > _MAX_HEAD:
                        raise Away(f"connect to {self._address.url}: what answers there is no host of coma")
                    return
                head, _, data = self._head.partition(b"\r\n\r\n")
                self._head = None
                self._address.check(head, self._key)
                _wake(self.ready)
                self._wire.attached(self)
            for opcode, payload in self._frames.feed(data):
                if opcode == _TEXT:
                    self._wire.core.take_in(payload)
                elif opcode == _PING:
                    self.write(_frame(_PONG, payload))
                elif opcode == _CLOSE:
                    raise _Broken(1000, "the host has closed the connection")
            self._wire.moved()
        except Error as e:  # the handshake's
            if not self.ready.done():
                self.ready.set_exception(e)
            self.end()
        except _Broken as e:
            self.write(_close_frame(e.code))
            self.end()

    def connection_lost(self, e: Optional[Exception]) -> None:
        if not self.ready.done():
            reason = f": {e}" if e else ""
            self.ready.set_exception(
                Away(f"connect to {self._address.url}: the connection ended before the host answered{reason}")
            )
        self.lost.set()
        self._wire.lost(self)

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def waiting(self) -> int:
        """How many bytes are still to be written."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def end(self) -> None:
        if self.transport is not None:
            self.transport.abort()


_MAX_UNWRITTEN = 16 << 20  # bytes, after which output is no longer given to a host that does not read


class _AsyncWire:
    """A core and its connection, for one event loop. A task makes the connection again when it is lost."""

    def __init__(self, core: _Core, address: _Address, token: str, context: Optional[ssl.SSLContext]) -> None:
        self.core = core
        self.stopping = False
        self.receiving = asyncio.Lock()
        self._address, self._token, self._context = address, token, context
        self._stream: Optional[_Stream] = None
        self._greeted = asyncio.Event()  # the host has answered the greeting, well or not
        self._stoppable: Set[asyncio.Future[Any]] = set()  # what waits, and ends when the module is asked to stop
        self._keeper: Optional[asyncio.Task[None]] = None

    async def open(self, timeout: float) -> None:
        stream = None
        try:
            stream = await asyncio.wait_for(self._attempt(), timeout)
            if not self.core.resuming:
                raise self.core.refusal or Away(f"connect to {self._address.url}: the host ended the connection")
        except asyncio.TimeoutError as e:
            raise Away(f"connect to {self._address.url}: no answer within {timeout:g} seconds") from e
        finally:
            if not self.core.resuming:
                await self._end(Closed("the session is closed"))
        self._keeper = asyncio.get_running_loop().create_task(self._keep(stream))

    async def _attempt(self) -> _Stream:
        """One attempt to connect and to be greeted."""
        loop = asyncio.get_running_loop()
        at = self._address
        made: Tuple[Any, _Stream]
        try:
            if at.path:
                made = await loop.create_unix_connection(lambda: _Stream(at, self._token, self), at.path)
            else:
                context = (self._context or ssl.create_default_context()) if at.tls else None
                made = await loop.create_connection(
                    lambda: _Stream(at, self._token, self), at.host, at.port, ssl=context
                )
        except Error:
            raise
        except OSError as e:
            raise at.away(e) from e
        stream = made[1]
        try:
            await stream.ready
            await self._greeted.wait()
        except BaseException:
            stream.end()
            await stream.lost.wait()
            raise
        return stream

    async def _keep(self, stream: _Stream) -> None:
        backoff = _Backoff()
        while True:
            await stream.lost.wait()
            while self.core.state is not _UP:
                await asyncio.sleep(backoff.next())
                try:
                    stream = await asyncio.wait_for(self._attempt(), _DIAL_TIMEOUT)
                except (Away, asyncio.TimeoutError):
                    continue
                except Error as e:
                    self.core.fail(e)
                    return
                if self.core.refusal is not None:
                    if self.core.refused_for_good(_time.monotonic()):
                        self.core.fail(self.core.refusal)
                        return
                    stream.end()
                    await stream.lost.wait()
            backoff.reset()

    def attached(self, stream: _Stream) -> None:
        self._stream = stream
        self._greeted.clear()
        self.core.attached()
        self.flush()

    def lost(self, stream: _Stream) -> None:
        if self._stream is stream:
            self._stream = None
            self.core.lost()
            self._greeted.set()

    def moved(self) -> None:
        """Something has come."""
        if self.core.state is _UP or self.core.refusal is not None:
            self._greeted.set()
        self.flush()

    def flush(self) -> None:
        out = self.core.out
        if out and self._stream is not None:
            for payload in _batches(out):
                self._stream.write(_frame(_TEXT, payload))
            out.clear()

    async def ask(self, request: _Request[T], stops: bool = False) -> T:
        """Asks the host and waits for its answer; when it is cancelled, so is the call at the host."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = self.core.call(request, lambda: _wake(answered))
        self.flush()
        try:
            await self._stopped_or(answered, stops)
        finally:
            if not call.done:
                self.core.cancel(call)
                self.flush()
        value: T = call.value()
        return value

    async def _stopped_or(self, awaited: asyncio.Future[None], stops: bool) -> None:
        if stops:
            if self.stopping:
                raise Stopped
            self._stoppable.add(awaited)
        try:
            await awaited
        finally:
            self._stoppable.discard(awaited)
        if stops and self.stopping:
            raise Stopped

    def tell(self, method: str, params: str) -> bool:
        if self._stream is not None and self._stream.waiting() > _MAX_UNWRITTEN:
            return False
        told = self.core.notify(method, params)
        self.flush()
        return told

    async def take(self, wait: bool) -> Optional[Message]:
        if self.stopping:
            self.core.give_up()
            self.flush()
            raise Stopped
        message = self.core.take(wait)
        self.flush()
        while message is None and wait:
            arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.core.arrived = lambda: _wake(arrived)
            try:
                await self._stopped_or(arrived, True)
                message = self.core.take(True)
                self.flush()
            except BaseException:
                self.core.give_up()
                self.flush()
                raise
        return message

    def stop(self) -> bool:
        """Asks the module to stop; whether something of it waits and learns of it, or has a message to finish with."""
        self.stopping = True
        waiting = bool(self._stoppable)
        for awaited in self._stoppable:
            _wake(awaited)
        return waiting or self.core.hand != 0

    async def close(self, outcome: str) -> None:
        if self.core.dead is None:
            try:
                await asyncio.wait_for(self.ask(self.core.close(outcome)), _CLOSE_TIMEOUT)
            except (asyncio.TimeoutError, Replaced, Closed):  # a newer generation has the place, as it should
                pass
        await self._end(Closed("the session is closed"))

    async def _end(self, e: Error) -> None:
        self.core.fail(e)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._stream is not None:
            stream = self._stream
            stream.end()
            await stream.lost.wait()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class AsyncMemory:
    """Is Memory for asyncio: the same methods, awaited. See there."""

    def __init__(self, wire: _AsyncWire) -> None:
        self._wire = wire

    async def add(
        self,
        text: str,
        metadata: Optional[Metadata] = None,
        *,
        ttl: Union[float, timedelta, None] = None,
        time: Optional[datetime] = None,
        vector: Optional[Vector] = None,
    ) -> str:
        """See Memory.add."""
        return (await self.add_records([_one_record(text, metadata, ttl, time, vector)]))[0]

    async def add_records(self, records: Iterable[Record]) -> List[str]:
        """See Memory.add_records."""
        return await self._wire.ask(_add(self._wire.core.new_id, records))

    async def get(
        self,
        limit: int = 0,
        *conditions: Condition,
        oldest: bool = False,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        ids: Optional[Iterable[str]] = None,
        vectors: bool = False,
    ) -> List[Record]:
        """See Memory.get."""
        request = _get(limit, conditions, oldest, since, until, ids, vectors)
        return [] if request is None else await self._wire.ask(request)

    async def query(
        self,
        text: str,
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
    ) -> List[Match]:
        """See Memory.query."""
        return await self._wire.ask(_query(_question(text, None, k, conditions, since, until, vectors)))

    async def query_vector(
        self,
        vector: Vector,
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
    ) -> List[Match]:
        """See Memory.query_vector."""
        return await self._wire.ask(_query(_question("", vector, k, conditions, since, until, vectors)))

    async def retrieve(
        self,
        retriever: Retriever,
        text: str = "",
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
    ) -> List[Match]:
        """See Memory.retrieve."""
        question = _question(text, None, k, conditions, since, until, vectors)
        return await self._wire.ask(_retrieve(retriever, question))

    async def retrieve_vector(
        self,
        retriever: Retriever,
        vector: Vector,
        k: int = 10,
        *conditions: Condition,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        vectors: bool = False,
    ) -> List[Match]:
        """See Memory.retrieve_vector."""
        question = _question("", vector, k, conditions, since, until, vectors)
        return await self._wire.ask(_retrieve(retriever, question))

    async def update(self, records: Iterable[Record]) -> None:
        """See Memory.update."""
        await self._wire.ask(_update(records))

    async def delete(
        self, *conditions: Condition, ids: Optional[Iterable[str]] = None
    ) -> int:
        """See Memory.delete."""
        request = _delete(conditions, ids)
        return 0 if request is None else await self._wire.ask(request)

    async def count(self, *conditions: Condition) -> int:
        """See Memory.count."""
        return await self._wire.ask(_count_records(conditions))

    async def clear(self) -> int:
        """See Memory.clear."""
        return await self._wire.ask(_clear())


class AsyncAgent:
    """Is Agent for asyncio: the same methods, awaited; log and print do not wait and are called as they are. It is made by
    connect_async, belongs to one event loop, and is an asynchronous context manager. A call ends early as all of asyncio
    does: by cancellation, or asyncio.wait_for.

    When the module is asked to stop, what waits in receive or input raises Stopped; where nothing does, and no message
    is in hand, the task that has connected is cancelled."""

    def __init__(self, wire: _AsyncWire, inside: bool) -> None:
        core = wire.core
        self.name = core.agent  #: the agent's name
        self.module = core.module  #: this module's name
        self.generation = core.generation  #: 1 for the module's first loaded version, one more with every reload
        self.memory = AsyncMemory(wire)  #: the agent's shared memory
        self._wire = wire
        self._owner = asyncio.current_task()
        self._signals = _Signals()
        if inside:
            loop = asyncio.get_running_loop()
            self._signals.take(lambda: None if loop.is_closed() else _soon(loop, self._stop))
        self._iterated = False  # a loop over the agent has ended because of a stop

    def _stop(self) -> None:
        if not self._wire.stop() and self._owner is not None:
            self._owner.cancel()

    async def send(
        self,
        to: str,
        text: Union[str, bytes],
        *,
        content_type: str = "",
        headers: Optional[Mapping[str, str]] = None,
        reply_to: str = "",
        correlation_id: str = "",
        deadline: Optional[datetime] = None,
        id: str = "",
    ) -> None:
        """See Agent.send."""
        id = id or self._wire.core.new_id()
        await self._wire.ask(_send(id, to, text, content_type, headers, reply_to, correlation_id, deadline))

    async def send_json(self, to: str, value: Any) -> None:
        """See Agent.send_json."""
        await self._wire.ask(_send_json(self._wire.core.new_id(), to, value))

    async def receive(self, timeout: Optional[float] = None) -> Message:
        """See Agent.receive. TimeoutError after timeout seconds."""
        if timeout is None:
            return await self._receive()
        try:
            return await asyncio.wait_for(self._receive(), timeout)
        except asyncio.TimeoutError as e:  # of a class of its own before Python 3.11
            raise TimeoutError("nothing has come in time") from e

    async def _receive(self) -> Message:
        async with self._wire.receiving:
            message = await self._wire.take(True)
        assert message is not None
        return message

    async def try_receive(self) -> Optional[Message]:
        """See Agent.try_receive."""
        async with self._wire.receiving:
            message = await self._wire.take(False)
            if message is None:
                await self._wire.ask(self._wire.core.poll())
                message = await self._wire.take(False)
            return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Receives until the module is asked to stop, and then ends (once: receiving goes on raising Stopped)."""
        while True:
            try:
                message = await self.receive()
            except Stopped:
                if self._iterated:
                    raise
                self._iterated = True
                return
            yield message

    async def pending(self) -> int:
        """See Agent.pending."""
        return await self._wire.ask(_pending())

    async def publish(self, topic: str, text: Union[str, bytes]) -> None:
        """See Agent.publish."""
        await self._wire.ask(_publish(topic, text, False))

    async def publish_retained(self, topic: str, text: Union[str, bytes]) -> None:
        """See Agent.publish_retained."""
        await self._wire.ask(_publish(topic, text, True))

    async def subscribe(self, pattern: str) -> None:
        """See Agent.subscribe."""
        with self._wire.core.subscribing(pattern) as request:
            await self._wire.ask(request)

    async def unsubscribe(self, pattern: str) -> None:
        """See Agent.unsubscribe."""
        await self._wire.ask(self._wire.core.unsubscribe(pattern))

    def print(self, *args: object, sep: str = " ", end: str = "") -> None:
        """See Agent.print. It does not wait."""
        text = sep.join(map(str, args)) + end
        if not self._wire.tell("print", _encode({"text": text}, "print")):
            _print_here(text)

    async def input(self, prompt: str = "") -> str:
        """See Agent.input."""
        return await self._wire.ask(_input(prompt), stops=True)

    async def keep(self, key: str, value: Any) -> None:
        """See Agent.keep."""
        await self._wire.ask(_keep(key, value))

    async def kept(self, key: str, default: Any = None) -> Any:
        """See Agent.kept."""
        return await self._wire.ask(_kept(key, default))

    def log(self, *args: object, level: str = "INFO", **attrs: object) -> None:
        """See Agent.log. It does not wait."""
        text = " ".join(map(str, args))
        if not self._wire.tell("log", _log_entry(text, level, attrs)):
            _log_here(text, attrs)

    async def close(self, outcome: str = "finished") -> None:
        """See Agent.close."""
        self._signals.give_back()
        await self._wire.close(outcome)

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], e: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close(_outcome(e))
        if self._wire.stopping and isinstance(e, asyncio.CancelledError):
            raise Stopped from e


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(call)


async def connect_async(
    api: Optional[str] = None,
    token: Optional[str] = None,
    agent: Optional[str] = None,
    module: Optional[str] = None,
    *,
    timeout: float = 10.0,
    tls: Optional[ssl.SSLContext] = None,
) -> AsyncAgent:
    """Is connect for asyncio."""
    core, address, key, inside = _place(api, token, agent, module)
    wire = _AsyncWire(core, address, key, tls)
    await wire.open(timeout)
    return AsyncAgent(wire, inside)


# ---------------------------------------------------------------------------------------------------------------------
# Around a module


def run(main: Callable[[Any], Any]) -> None:
    """Connects, calls main with the Agent (with an AsyncAgent, in an event loop of its own, if main is a coroutine
    function) and closes the session with what has become of it: a return is a clean end, an exception is not."""
    if inspect.iscoroutinefunction(main):
        asyncio.run(_run_async(main))
        return
    with connect() as agent:
        main(agent)


async def _run_async(main: Callable[[AsyncAgent], Awaitable[None]]) -> None:
    async with await connect_async() as agent:
        await main(agent)


class LogHandler(logging.Handler):
    """Sends what package logging records to the module's log: logging.getLogger().addHandler(coma.LogHandler(agent)).
    What is given as extra goes along as key=value."""

    def __init__(self, agent: Union[Agent, AsyncAgent], level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._agent = agent

    def emit(self, record: logging.LogRecord) -> None:
        try:
            attrs = {k: str(v) for k, v in record.__dict__.items() if k not in _PLAIN and k not in _OWN}
            text = self.format(record)
            if not self._agent._wire.tell("log", _log_entry(text, _level(record.levelno), attrs)):
                _log_here(text, attrs)
        except Exception:
            self.handleError(record)  # which says so on standard error


_PLAIN = frozenset(logging.makeLogRecord({}).__dict__)  # what every record has
_OWN = frozenset(("message", "asctime", "taskName"))  # what formatting adds


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "ERROR"
    if number >= logging.WARNING:
        return "WARN"
    return "INFO" if number >= logging.INFO else "DEBUG"

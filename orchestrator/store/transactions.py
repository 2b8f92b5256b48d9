"""A MULTI/EXEC that belongs to a caller, as redis-py's pipelines make it: a call is queued there and its reply is read.

What fails inside an EXEC takes none of the caller's writes back, so a call that is queued must not fail. It is sent as EVAL,
because EVALSHA fails where the server has forgotten the script; and with leave to run out of memory, because Redis would
refuse it alone in a transaction whose other commands free memory. Nothing is executed here: the pipeline stays the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio

from orchestrator.errors import InvalidRequest
from orchestrator.plan import Argument, Call
from orchestrator.store.exchange import Profile, as_eval
from orchestrator.store.failures import translate
from orchestrator.store.installation import recorded_partitions
from orchestrator.store.keys import Keys

if TYPE_CHECKING:
    Pipeline = redis.client.Pipeline | redis.cluster.ClusterPipeline
    AsyncPipeline = redis.asyncio.client.Pipeline | redis.asyncio.cluster.ClusterPipeline

_ALLOW_OOM = "#!lua flags=allow-oom\n"


_seen: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # by pool: the installations that it was found to lead to


class Transaction:
    """One pipeline of the caller's, whose commands go into one MULTI/EXEC.

    ``is_async`` says which kind is wanted. Raises ``InvalidRequest`` for anything that is no such pipeline, or not yet.
    Example: ``place = Transaction(pipeline, is_async=False).queue(profile, call)``
    """

    def __init__(self, pipeline: Any, *, is_async: bool) -> None:
        self._pipeline = pipeline
        self._redis: Any = redis.asyncio if is_async else redis
        if not isinstance(pipeline, (self._redis.client.Pipeline, self._redis.cluster.ClusterPipeline)):
            kind = self._redis.__name__
            raise InvalidRequest(f"{pipeline!r} is no pipeline of {kind}; give {kind}.Redis(...).pipeline()")
        self._check()
        # On a cluster there are many, all with the one database that a cluster has.
        self._pool = getattr(pipeline, "connection_pool", None)
        self._encoding = getattr(pipeline, "cluster_client", pipeline).get_encoder().encoding

    def is_known(self, keys: Keys) -> bool:
        """Whether it was found before that the pipeline leads to this installation, as far as that can be told."""
        return self._pool is None or keys.namespace in _seen.get(self._pool, ())

    def look(self, keys: Keys) -> Any:
        """The number of partitions of the installation where the pipeline leads to: raw, for ``note``; with asyncio awaited."""
        client = self._redis.Redis(connection_pool=self._pool)
        return client.execute_command(*recorded_partitions(keys).words)

    def note(self, keys: Keys, found: bytes | str | None) -> None:
        """Take in what ``look`` found. Raises ``InvalidRequest`` when the pipeline leads elsewhere."""
        if found is None or int(found) != keys.partitions:
            raise InvalidRequest(
                f"the pipeline's Redis database has not the installation {keys.namespace!r} of this client: a start in its "
                "transaction would be lost; make the pipeline with a client of the same Redis and database"
            )
        _seen.setdefault(self._pool, set()).add(keys.namespace)

    def queue(self, profile: Profile, call: Call) -> int:
        """Put a call at the end of the transaction; gives its place among the replies."""
        self._check()
        name, source, *words = as_eval(profile, call)
        place = len(self._pipeline)
        text = str(source).replace("#!lua\n", _ALLOW_OOM, 1)
        # In bytes, whatever encoding the caller's client has.
        self._pipeline.execute_command(name, *(_in_bytes(word) for word in (text, *words)))
        return place

    def reply(self, place: int, replies: list[Any], call: Call) -> Any:
        """The decoded reply to the call that was queued at ``place``, in what ``execute()`` of the pipeline gave.

        Raises ``InvalidRequest`` for something else, and the product's error for one that is an error.
        """
        if not isinstance(replies, list) or len(replies) <= place:
            raise InvalidRequest(
                f"{replies!r:.80} are not the replies of the transaction; give what its execute() returned"
            )
        reply = replies[place]
        if isinstance(reply, Exception):
            raise translate(reply, call)
        if not isinstance(reply, list):
            raise InvalidRequest(f"reply {place} is {reply!r:.80}: give all replies of the transaction, in their order")
        return call.decode(self._raw(reply)) if call.decode else reply

    def _raw(self, reply: Any) -> Any:
        """A reply as our own connections give it, whether or not the caller's client makes text of bytes."""
        if isinstance(reply, list):
            return [self._raw(part) for part in reply]
        return reply.encode(self._encoding) if isinstance(reply, str) else reply

    def _check(self) -> None:
        # On a cluster the pipeline leaves its state to a strategy, under names of its own.
        strategy = getattr(self._pipeline, "_execution_strategy", None)
        if strategy is None:
            state = vars(self._pipeline)
            has_multi = state.get("explicit_transaction", False)
            is_transaction = state.get("transaction", state.get("is_transaction", False))
            watches = state.get("watching", False)
        else:
            has_multi = getattr(strategy, "_explicit_transaction", False)
            is_transaction = type(strategy).__name__ == "TransactionStrategy"
            watches = getattr(strategy, "_watching", False)
        if watches and not has_multi:
            raise InvalidRequest("the pipeline watches keys and executes at once; call its multi() first")
        if not is_transaction and not has_multi:
            raise InvalidRequest("the pipeline is no transaction; make it with pipeline(transaction=True)")


def _in_bytes(word: Argument) -> Argument:
    return word.encode() if isinstance(word, str) else word

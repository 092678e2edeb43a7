"""Publishing from programs that are no server: `Publisher` and `AsyncPublisher`."""

from typing import TYPE_CHECKING

from fanwire.lazy_names import lazy_names

if TYPE_CHECKING:
    from fanwire.publisher.asynchronous import AsyncPublisher
    from fanwire.publisher.publication import Publication, Published, PublishFailed
    from fanwire.publisher.synchronous import Publisher

__all__ = ["AsyncPublisher", "Publication", "PublishFailed", "Published", "Publisher"]

_MODULES = {
    "AsyncPublisher": "fanwire.publisher.asynchronous",
    "Publication": "fanwire.publisher.publication",
    "PublishFailed": "fanwire.publisher.publication",
    "Published": "fanwire.publisher.publication",
    "Publisher": "fanwire.publisher.synchronous",
}
"""The module of each name: the imports above, which are for type checkers. A test compares the two."""

__getattr__, __dir__ = lazy_names(__name__, globals(), _MODULES)

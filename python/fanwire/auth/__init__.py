"""Ready-made authenticators for `Server(authenticate=...)`.

::

    from fanwire.auth import JWT, ApiKeys, Chain, Keys

    keys = Keys.url("https://login.example.com/.well-known/jwks.json")
    users = JWT(keys, algorithms=["ES256"], issuer="https://login.example.com", audience="fanwire")
    feeds = ApiKeys({"feed": os.environ["FEED_KEY"]})
    server = fanwire.Server(authenticate=Chain(users, feeds))

A function of your own returns an `Identity`, or `ANONYMOUS` to let a client in without one. Each class here makes
objects that are called with a `Request`, and awaited; they return an `Identity` or raise `Refused`. The reason
is for the operator, and never quotes a credential. `fanwire` itself does not import this package: its cryptography
takes 50 ms to load.
"""

from fanwire.auth.api_keys import ApiKeys
from fanwire.auth.chain import Chain
from fanwire.auth.cookie import CookieSession
from fanwire.auth.jwt import JWT
from fanwire.auth.keys import Keys
from fanwire.identity.identity import ANONYMOUS, Anonymous

__all__ = ["ANONYMOUS", "JWT", "Anonymous", "ApiKeys", "Chain", "CookieSession", "Keys"]

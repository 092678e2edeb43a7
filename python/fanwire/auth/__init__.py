"""Ready-made authenticators for `Server(authenticate=...)`.

::

    from fanwire.auth import JWT, ApiKeys, Chain, Keys

    keys = Keys.url("https://login.example.com/.well-known/jwks.json")
    users = JWT(keys, algorithms=["ES256"], issuer="https://login.example.com", audience="fanwire")
    feeds = ApiKeys({"feed": os.environ["FEED_KEY"]})
    server = fanwire.Server(authenticate=Chain(users, feeds))

An object of these classes is called with a `Request` and awaited. It returns an `Identity` or raises `Refused`, whose
reason is for the operator and never quotes a credential. Your own function may return an `Identity`, or `ANONYMOUS`
to accept a client without one. `fanwire` itself does not import this package: its cryptography takes 50 ms to load.
"""

from fanwire.auth.api_keys import ApiKeys
from fanwire.auth.chain import Chain
from fanwire.auth.cookie import CookieSession
from fanwire.auth.jwt import JWT
from fanwire.auth.keys import Keys
from fanwire.identity.identity import ANONYMOUS, Anonymous

__all__ = ["ANONYMOUS", "JWT", "Anonymous", "ApiKeys", "Chain", "CookieSession", "Keys"]

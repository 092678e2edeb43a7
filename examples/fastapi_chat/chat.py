"""A chat: an application of FastAPI and Fanwire on one port. Users log in over HTTP, and write in rooms."""

from __future__ import annotations

import hmac
import os
import secrets
import time
from dataclasses import dataclass
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

import fanwire
from fanwire.auth import JWT, Keys

SECRET = os.environ.get("CHAT_SECRET") or secrets.token_hex(32)
LIFETIME = 600
"""Seconds for which a login is valid. A client asks for a new token in time."""

PASSWORDS = {"alice": "queen of hearts", "bob": "the builder"}
"""Stands for a database of users and hashed passwords."""

app = FastAPI()
authenticate = JWT(Keys.secret(SECRET), algorithms=["HS256"])
server = fanwire.Server(port=8000, authenticate=authenticate, app=app)

# Everybody reads; what is written comes through the message type "say", which adds the name of the author.
server.room("chat.*", presence=True, history=100)


class Line(BaseModel):
    """What a client sends."""

    room: Annotated[str, Field(pattern=r"^chat\.\w{1,20}$")]
    text: Annotated[str, Field(min_length=1, max_length=300)]


@dataclass(frozen=True)
class Written:
    """What members of a room get."""

    name: str
    text: str


class Login(BaseModel):
    """The body of `POST /login`."""

    name: str
    password: str


@server.on_connect
def connected(conn: fanwire.Connection) -> None:
    conn.info = {"name": name_of(conn)}  # what others see of this member


@server.on("say", Line)
def say(conn: fanwire.Connection, line: Line) -> None:
    if line.room not in conn.rooms:
        raise fanwire.Reject("not_a_member", f"join {line.room} before you write in it")
    server.publish(line.room, Written(name_of(conn), line.text))


@app.post("/login")
async def login(body: Login) -> dict[str, str]:
    if not hmac.compare_digest(PASSWORDS.get(body.name, "").encode(), body.password.encode()) or not body.password:
        raise HTTPException(401, "unknown name or wrong password")
    token = jwt.encode({"sub": body.name, "exp": int(time.time()) + LIFETIME}, SECRET, "HS256")
    return {"token": token}


def user(authorization: Annotated[str, Header()] = "") -> str:
    """The user of a request, by the same token as on the WebSocket."""
    try:
        claims = jwt.decode(
            authorization.removeprefix("Bearer "), SECRET, ["HS256"], options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "log in first") from None
    return str(claims["sub"])


@app.get("/rooms")
async def rooms(_: Annotated[str, Depends(user)]) -> dict[str, int]:
    """The rooms, and how many members each has."""
    return {name: count for name, count in server.rooms().items() if count}


@app.post("/announcements")
async def announce(text: str, name: Annotated[str, Depends(user)]) -> None:
    """Writes in every room that has members."""
    for room in await rooms(name):
        server.publish(room, Written("announcement", text))


def name_of(conn: fanwire.Connection) -> str:
    return str(conn.identity.subject)


if __name__ == "__main__":
    server.run()

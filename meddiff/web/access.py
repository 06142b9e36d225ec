"""The door, where accounts exist: who is asked to log in, and which page each is shown.

There is one address and two pages: an educator's with everything, and a learner's (`learners`) that holds nothing else than what a
learner does. Each is an application of its own, and whose session a request carries decides which of them hears it, so that no
path and no event of the educator's page exists for a learner. Before anything else stands the login: without a session there is
no page, no file, no style sheet, only a form.

What a learner's browser sends is looked at once more:

- only the paths that their page needs pass (`LEARNERS_MAY`), and of events only those of Gradio's queue;
- the name that Gradio gives to what one browser tab has before it (`session_hash`) is made part of the account: a name that
  somebody else's tab has means another thing here, so that nobody hears or moves what is another's;
- neither a file of the server nor an address elsewhere can be named as an input or asked for.

Educators see all there is, each other's work too, and are not kept apart.

| against | is |
|---|---|
| a stolen table of accounts | scrypt with a salt (`teaching.accounts`) |
| guessing | after a few wrong passwords each next one has to wait, twice as long each time (`Guesses`) |
| asking who exists | the same words and the same work for an unknown name |
| scripts that read the session | its cookie is HttpOnly, SameSite=Lax, Secure over HTTPS; the server keeps only its hash |
| another site that logs somebody in as somebody else | the form carries a word that must agree with a cookie (SameSite=Strict) |
| an account that was removed or has a new password | its sessions end within `FRESH_S` seconds |

Over a network the page belongs behind HTTPS (a reverse proxy): a password sent by plain HTTP can be read on its way.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
import secrets
import socket
import sqlite3
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode

import anyio
import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meddiff.case import MedDiffError
from meddiff.settings import settings
from meddiff.web import language
from meddiff.web.language import in_chinese
from meddiff.web.style import FOOTER

if TYPE_CHECKING:  # the database's libraries take seconds that a page without accounts does not wait for
    from meddiff.teaching.accounts import Account, Role
    from meddiff.teaching.store import Questions

SESSION = "meddiff-session"  # with the port behind it: cookies know no ports
FORM = "meddiff-form"
LASTS_S = 12 * 3600.0  # a session
FRESH_S = 3.0  # how old what is known of the accounts may be
FREE = {"name": 20, "address": 100, "both": 5}  # wrong passwords
MOST_S, FORGOTTEN_S, MOST_KEPT = 900.0, 1800.0, 20_000
LONGEST_FORM, LONGEST_EVENT = 10_000, 1_000_000  # bytes
ACCOUNT = "meddiff.account"  # in a request's scope
LEARNERS_MAY = re.compile(
    r"(GET|HEAD) /(config|theme\.css|favicon\.ico|manifest\.json|(assets|static)/.+|"
    r"gradio_api/(info|startup-events|queue/data|heartbeat/[^/]+|file=(?!(?i:https?:)).+))?|POST /gradio_api/queue/join"
)
_A_FILE = '"gradio.FileData"'  # how an input says that it is a file, in JSON
_BY_ACCOUNT = 32  # letters of an account in what its tabs are called
GONE = "You are logged out: load the page again and log in."
CLOSED = "This is not open to learners."


def asked_for() -> bool:
    """Whether somebody has an account, so that everybody must log in.

    Raises:
        MedDiffError: the database cannot be read. It is not taken for an empty one: that would open the page to all.
    """
    url = settings().bank_url
    if not url.startswith("sqlite:///"):
        from meddiff.teaching.accounts import list_accounts
        from meddiff.teaching.store import Questions

        return bool(list_accounts(Questions()))
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            known = database.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'accounts'"
            ).fetchone()
            return bool(known and database.execute("SELECT 1 FROM accounts LIMIT 1").fetchone())
    except sqlite3.Error as error:
        raise MedDiffError(
            f"The accounts in {path} cannot be read: {error}. Check the file, then start again."
        ) from error


# ---------------------------------------------------------------- who is logged in


class Guesses:
    """How long somebody has to wait before the next password is looked at.

    Every try counts as wrong until it is known to be right, so that many at once gain nothing. Wrong ones are counted by name, by
    address, and by both; what is `FREE` of each costs nothing, the next waits a second, and each after it twice as long, `MOST_S`
    at most. A class behind one address has many tries; one name from one address has few.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._wrong, self._lock = clock, dict[tuple[str, ...], tuple[int, float]](), threading.Lock()

    def wait(self, name: str, address: str) -> float:
        """Seconds until a password is looked at; 0: now, and it counts as wrong until `right`."""
        with self._lock:
            moment, keys = self._clock(), self._keys(name, address)
            if len(self._wrong) > MOST_KEPT:
                self._wrong = {k: v for k, v in self._wrong.items() if moment - v[1] < FORGOTTEN_S}
            left = max(self._left(key, moment) for key in keys)
            if left <= 0:
                for key in keys:
                    self._wrong[key] = (self._count(key, moment) + 1, moment)
            return left

    def right(self, name: str, address: str) -> None:
        """The password fitted: its name begins anew, and the try did not count for its address."""
        with self._lock:
            by_name, by_address, both = self._keys(name, address)
            for key in (by_name, both):
                self._wrong.pop(key, None)
            count, at = self._wrong.get(by_address, (1, 0.0))
            self._wrong[by_address] = (count - 1, at)

    def _keys(self, name: str, address: str) -> list[tuple[str, ...]]:
        return [("name", name), ("address", address), ("both", name, address)]

    def _count(self, key: tuple[str, ...], moment: float) -> int:
        count, at = self._wrong.get(key, (0, moment))
        return 0 if moment - at >= FORGOTTEN_S else count

    def _left(self, key: tuple[str, ...], moment: float) -> float:
        over = self._count(key, moment) - FREE[key[0]]
        return 0.0 if over < 0 else self._wrong[key][1] + min(2.0**over, MOST_S) - moment


@dataclass
class _Session:
    account: Account
    ends: float


@dataclass
class Sessions:
    """Who is logged in: random words in memory, known by their hash. A restart logs everybody out."""

    questions: Questions
    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, _Session] = field(default_factory=dict)
    _accounts: dict[str, Account] = field(default_factory=dict)
    _read: float = float("-inf")

    def begin(self, account: Account) -> str:
        """The word of a new session."""
        moment = self.clock()
        self._kept = {key: one for key, one in self._kept.items() if moment < one.ends}
        token = secrets.token_urlsafe(32)
        self._kept[_hashed(token)] = _Session(account, moment + LASTS_S)
        self._accounts[account.name] = account  # it may be newer than what was read last
        return token

    def end(self, token: str) -> None:
        """Forgets a session."""
        self._kept.pop(_hashed(token), None)

    async def account(self, token: str) -> Account | None:
        """Whose session this is; None where there is none, or the account has changed since.

        Raises:
            MedDiffError: the accounts cannot be read.
        """
        session = self._kept.get(_hashed(token))
        moment = self.clock()
        if session is None or moment >= session.ends:
            return None
        if moment - self._read >= FRESH_S:
            await anyio.to_thread.run_sync(self._read_accounts)
        if self._accounts.get(session.account.name) != session.account:
            now = self._accounts.get(session.account.name)
            if now is None or (now.role, now.changed) != (session.account.role, session.account.changed):
                self.end(token)
                return None
            session.account = now  # only the pseudonym is another: it was erased
        return session.account

    def _read_accounts(self) -> None:
        from meddiff.teaching.accounts import list_accounts

        moment = self.clock()
        self._accounts = {account.name: account for account in list_accounts(self.questions)}
        self._read = moment


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


# ---------------------------------------------------------------- the login


WORDS = {
    "en": {
        "title": "Log in to MedDiff", "name": "Name", "password": "Password", "enter": "Log in",
        "lost": "No account, or the password forgotten? Ask whoever teaches.",
        "wrong": "This name and this password do not fit each other. Check both, capitals in the password too.",
        "wait": "Too many wrong passwords. Try again in {wait}.", "s": "{n} seconds", "min": "{n} minutes",
        "stale": "This form was open for too long. Please log in again.",
    },
    "zh": {
        "title": "登录 MedDiff", "name": "用户名", "password": "密码", "enter": "登录",
        "lost": "没有账户或忘记密码？请联系授课教师。",
        "wrong": "用户名与密码不匹配。请检查两者，密码区分大小写。",
        "wait": "密码错误次数过多。请在{wait}后重试。", "s": " {n} 秒", "min": " {n} 分钟",
        "stale": "此表单打开时间过长，请重新登录。",
    },
}  # fmt: skip

_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,"><style>
:root {{ color-scheme: light dark; --ground: #f1f5f9; --card: #fff; --ink: #1e293b; --soft: #64748b; --line: #cbd5e1; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #020617; --card: #0f172a; --ink: #e2e8f0; --soft: #94a3b8; --line: #334155; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px 16px 72px; background: var(--ground); color: var(--ink);
  font: 16px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif; }}
form {{ width: 100%; max-width: 380px; background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 24px; }}
h1 {{ font-size: 1.3rem; font-weight: 650; margin: 0 0 16px; }}
label {{ display: block; font-weight: 500; font-size: .92rem; margin: 12px 0 4px; }}
input {{ width: 100%; padding: 10px 12px; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 8px; }}
button {{ width: 100%; margin-top: 20px; padding: 11px; font: inherit; font-weight: 600; color: #fff; background: #0f766e; border: 0; border-radius: 8px; cursor: pointer; }}
button:hover {{ background: #115e59; }} :is(input, button):focus-visible {{ outline: 2px solid #14b8a6; outline-offset: 1px; }}
.told {{ border-left: 4px solid #c8473d; background: #fdf1ef; color: #6e1f18; padding: 10px 12px; border-radius: 6px; }}
.lost {{ margin: 16px 0 0; font-size: .88rem; color: var(--soft); }}
footer {{ position: fixed; left: 0; right: 0; bottom: 0; text-align: center; padding: 9px 12px; font-size: .9rem; font-weight: 600;
  background: #1e2a33; color: #ffd98a; border-top: 1px solid #33434f; }}
</style></head><body>
<form method="post" action="./login"><h1>{title}</h1>{told}
<input type="hidden" name="form" value="{form}">
<label for="name">{name}</label><input id="name" name="name" value="{given}" autocomplete="username" autocapitalize="none" required{first}>
<label for="password">{password}</label><input id="password" name="password" type="password" autocomplete="current-password" required{second}>
<button type="submit">{enter}</button><p class="lost">{lost}</p></form>
<footer role="contentinfo">{foot}</footer></body></html>"""


def login_page(language: str, form: str, told: str = "", given: str = "") -> str:
    """The form, as HTML.

    Args:
        language: en or zh.
        form: the word that must agree with the cookie.
        told: what went wrong, in words.
        given: the name that was typed.
    """
    escaped = {key: html.escape(word) for key, word in WORDS[language].items()}
    escaped["foot"] = html.escape(FOOTER if language == "en" else in_chinese(FOOTER))
    alert = f'<p class="told" role="alert">{html.escape(told)}</p>' if told else ""
    first, second = ("", " autofocus") if given else (" autofocus", "")
    return _PAGE.format(
        **escaped, language=language, told=alert, form=form, given=html.escape(given), first=first, second=second
    )


def language_of(accepted: str) -> str:
    """en, or zh where a browser asks for Chinese before English; by its Accept-Language."""
    wanted = [part.split(";")[0].strip().lower()[:2] for part in accepted.split(",")]
    return next((word for word in wanted if word in WORDS), "en")


class Door:
    """Login, logout, and which page hears a request.

    Args:
        sessions: who is logged in.
        pages: the application of each role.
        port: of the server.
    """

    def __init__(self, sessions: Sessions, pages: Mapping[Role, ASGIApp], port: int) -> None:
        self.sessions, self.pages, self.port = sessions, pages, port
        self.guesses = Guesses()
        self._hashing = anyio.CapacityLimiter(2)  # a crowd at the login leaves room for those who work

    async def show(self, request: Request) -> Response:
        """The form; who is logged in goes on to the page."""
        if await self.sessions.account(self._token(request)):
            return RedirectResponse("./", 303)
        return self._form(request)

    async def log_in(self, request: Request) -> Response:
        """Looks at a name and a password, and begins a session."""
        from meddiff.teaching.accounts import check_password

        words = WORDS[language_of(request.headers.get("accept-language", ""))]
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > LONGEST_FORM:
            return Response(status_code=413)
        said = {key: values[0] for key, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        name, password = said.get("name", "").strip(), said.get("password", "")
        cookie = request.cookies.get(f"{FORM}-{self.port}", "")
        if not cookie or not hmac.compare_digest(cookie.encode(), said.get("form", "").encode()):
            return self._form(request, words["stale"], name, 403)
        address = request.client.host if request.client else ""
        if (left := self.guesses.wait(name.casefold(), address)) > 0:
            unit, n = ("s", left) if left <= 90 else ("min", left / 60)
            told = words["wait"].format(wait=words[unit].format(n=int(n) + 1))
            return self._form(request, told, name, 429)
        account = await anyio.to_thread.run_sync(
            check_password, self.sessions.questions, name, password, limiter=self._hashing
        )
        if account is None:
            return self._form(request, words["wrong"], name, 403)
        self.guesses.right(name.casefold(), address)
        answer = RedirectResponse("./", 303)
        self._put_cookie(request, answer, SESSION, self.sessions.begin(account), "/", "lax")
        return answer

    async def log_out(self, request: Request) -> Response:
        """Ends the session of this browser."""
        self.sessions.end(self._token(request))
        answer = RedirectResponse("./login", 303)
        answer.delete_cookie(f"{SESSION}-{self.port}")
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request to the page of whoever sent it."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        account = await self.sessions.account(self._token(request))
        path = scope["path"]
        if account is None:
            at_home = path == "/" and scope["method"] in ("GET", "HEAD")
            refused = RedirectResponse("./login", 303) if at_home else JSONResponse({"detail": GONE}, 401)
            await refused(scope, receive, send)
            return
        scope = {**scope, ACCOUNT: account}
        if account.role.value == "learner":
            if not LEARNERS_MAY.fullmatch(f"{scope['method']} {path}"):
                await JSONResponse({"detail": CLOSED}, 403)(scope, receive, send)
                return
            told = await _own(scope, receive, account.name)
            if isinstance(told, Response):
                await told(scope, receive, send)
                return
            scope, receive = told
        await self.pages[account.role](
            scope, receive, _unkept(send) if not path.startswith(("/assets", "/static")) else send
        )

    def _form(self, request: Request, told: str = "", given: str = "", status: int = 200) -> Response:
        form = secrets.token_urlsafe(24)
        language = language_of(request.headers.get("accept-language", ""))
        page = HTMLResponse(login_page(language, form, told, given), status, {"cache-control": "no-store"})
        self._put_cookie(request, page, FORM, form, "/", "strict")
        return page

    def _put_cookie(self, request: Request, answer: Response, name: str, value: str, path: str, site: Any) -> None:
        secure = request.url.scheme == "https"
        answer.set_cookie(f"{name}-{self.port}", value, path=path, httponly=True, samesite=site, secure=secure)

    def _token(self, request: Request) -> str:
        return request.cookies.get(f"{SESSION}-{self.port}", "")


async def _own(scope: Scope, receive: Receive, name: str) -> tuple[Scope, Receive] | Response:
    """A learner's request with what it calls its tab made part of the account; or why it is refused."""

    def mine(tab: object) -> str:
        return hashlib.sha256(name.encode()).hexdigest()[:_BY_ACCOUNT] + str(tab)

    path = scope["path"]
    if path in ("/", "/config"):  # what may follow it asks for a kept state of the page
        return {**scope, "query_string": b""}, receive
    if path.startswith("/gradio_api/heartbeat/"):
        head, _, tab = path.rpartition("/")
        return {**scope, "path": f"{head}/{mine(tab)}", "raw_path": f"{head}/{mine(tab)}".encode()}, receive
    if path == "/gradio_api/queue/data":
        said = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        query = urlencode({**said, "session_hash": mine(said.get("session_hash", ""))})
        return {**scope, "query_string": query.encode()}, receive
    if scope["method"] != "POST":
        return scope, receive
    try:
        event = json.loads(await _body(receive))
        event["session_hash"] = mine(event["session_hash"])
        body = json.dumps(event).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return JSONResponse({"detail": "This is no event of the page."}, 400)
    if _A_FILE in body.decode():
        return JSONResponse({"detail": CLOSED}, 403)
    headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
    told = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return told.pop() if told else await receive()

    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}, again


async def _body(receive: Receive) -> bytes:
    """A request's body.

    Raises:
        ValueError: it is larger than an event of the page can be, or it did not come to its end.
    """
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if message["type"] != "http.request" or len(body) > LONGEST_EVENT:
            raise ValueError("no event of the page")
    return body


def _unkept(send: Send) -> Send:
    """Says that a browser others may use after this person keeps nothing of it."""

    async def act(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(key, value) for key, value in message["headers"] if key.lower() != b"cache-control"]
            message["headers"] = [*kept, (b"cache-control", b"no-store")]
        await send(message)

    return act


# ---------------------------------------------------------------- on the pages


def place() -> tuple[Callable[[gr.Request], str], gr.HTML]:
    """Places who is logged in, with a button to log out; returns what fills it when the page loads, and the component."""

    def told(request: gr.Request) -> str:
        return (
            f'<form class="md-account" method="post" action="./logout"><span>{html.escape(request.username or "")}</span> '
            '<button type="submit">Log out</button></form>'
        )

    return told, gr.HTML(elem_id="md-account", min_width=200)


def whose(questions: Questions) -> Callable[[gr.Request], str]:
    """What tells the pseudonym of whoever sent an event."""
    from meddiff.teaching.accounts import learner_of

    return lambda request: learner_of(questions, request.username or "")


# ---------------------------------------------------------------- the server


def serve(
    pages: Mapping[Role, gr.Blocks],
    questions: Questions,
    host: str,
    port: int,
    middleware: list[Middleware],
    look: dict[str, Any],
    opened: Callable[[], None],
) -> None:
    """Shows each role its page behind the login, and stays until it is stopped.

    Args:
        pages: of each role, with their queues set.
        middleware: before everything, the login too.
        look: what `gr.mount_gradio_app` takes of theme, style and limits.
        opened: called when browsers can come.

    Raises:
        OSError: the port is taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
        mounted = {role: mount(page, host, port, role.value == "educator", look) for role, page in pages.items()}
        door = Door(Sessions(questions), mounted, port)
        settled = uvicorn.Config(house(door, middleware), log_level="warning", timeout_graceful_shutdown=2)
        opened()
        uvicorn.Server(settled).run(sockets=[listening])


def mount(page: gr.Blocks, host: str, port: int, tells_errors: bool, look: dict[str, Any]) -> FastAPI:
    """A page as an application that knows who asks by what `Door` found."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="SSR mode is not supported")  # nobody asked for it
        gr.mount_gradio_app(
            app, page, "/", server_name=host, server_port=port, run_history=False, show_error=tells_errors,
            i18n=language.translated(page), **look,
            app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
            auth_dependency=lambda request: account.name if (account := request.scope.get(ACCOUNT)) else None,
        )  # fmt: skip
    page.has_launched = True  # Gradio looks at which files an event may name only where it believes this
    return app


def house(door: Door, middleware: list[Middleware]) -> Starlette:
    """The whole application: the login, and behind it the pages."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for app in door.pages.values():
                assert isinstance(app, FastAPI)
                await running.enter_async_context(app.router.lifespan_context(app))
            yield

    routes = [
        Route("/login", door.show, methods=["GET"]),
        Route("/login", door.log_in, methods=["POST"]),
        Route("/logout", door.log_out, methods=["POST"]),
        Mount("/", door),
    ]
    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)

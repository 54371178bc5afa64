"""A sign-in service in the place of the Matrix Authentication Service, which no registry here has: it gives codes to
whoever opens its page, tokens for codes, and tells the homeserver whose they are.

Source: client-server API 1.15, "OAuth 2.0 API"; RFC 6749, 7009, 7591, 7636, 7662; Synapse 1.163, api/auth/mas.py and
rest/synapse/mas. Arguments: its port, the homeserver's address, its database, the secret of both, and for how many
seconds a token is good.
"""

import base64
import hashlib
import json
import secrets
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, HOMESERVER, DATABASE, SECRET, LIFE = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
ISSUER = f"http://127.0.0.1:{PORT}/"
DEVICE = "urn:matrix:org.matrix.msc2967.client:device:"
API = "urn:matrix:org.matrix.msc2967.client:api:*"

lock = threading.Lock()
clients, codes, refreshes, tokens = {}, {}, {}, {}
counts = {"registered": 0, "codes": 0, "renewed": 0, "refused": 0}


def tell_homeserver(what, body):
    request = urllib.request.Request(
        f"{HOMESERVER}/_synapse/mas/{what}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def of_old(token):
    """Whose a token is that the homeserver gave before it had this service; that one takes them over as well."""
    base = sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True)
    try:
        row = base.execute("SELECT user_id, device_id FROM access_tokens WHERE token = ?", (token,)).fetchone()
    finally:
        base.close()
    return row and (row[0][1:].split(":")[0], row[1])


def give(session):
    access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    tokens[access] = (session, time.time() + LIFE)
    refreshes[refresh] = session
    return {
        "access_token": access,
        "refresh_token": refresh,
        "token_type": "Bearer",
        "expires_in": LIFE,
        "scope": session["scope"],
    }


class Refused(Exception):
    pass


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=None, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/.well-known/openid-configuration":
            return self.answer(200, {
                "issuer": ISSUER,
                "account_management_uri": f"{ISSUER}account/",
                "authorization_endpoint": f"{ISSUER}authorize",
                "token_endpoint": f"{ISSUER}oauth2/token",
                "registration_endpoint": f"{ISSUER}oauth2/registration",
                "revocation_endpoint": f"{ISSUER}oauth2/revoke",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "fragment"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
            })
        if path == "/counts":
            return self.answer(200, counts)
        if path == "/authorize":
            return self.guarded(lambda: self.authorize(dict(urllib.parse.parse_qsl(query))))
        self.answer(404, {"error": "not_found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = lambda: dict(urllib.parse.parse_qsl(body.decode()))
        ways = {
            "/oauth2/registration": lambda: self.register(json.loads(body)),
            "/oauth2/token": lambda: self.token(form()),
            "/oauth2/introspect": lambda: self.introspect(form()),
            "/oauth2/revoke": lambda: self.end(lambda session: session is tokens.get(form()["token"], (None,))[0]),
            "/end": lambda: self.end(lambda session: True),
        }
        way = ways.get(self.path)
        return self.guarded(way) if way else self.answer(404, {"error": "not_found"})

    def guarded(self, work):
        try:
            with lock:
                work()
        except Refused as refused:
            counts["refused"] += 1
            self.answer(400, {"error": refused.args[0], "error_description": refused.args[1]})

    def register(self, told):
        home = urllib.parse.urlsplit(told.get("client_uri", "")).hostname
        back = told.get("redirect_uris", [])
        if not back or any(urllib.parse.urlsplit(uri).hostname != home for uri in back):
            raise Refused("invalid_redirect_uri", "not of the client's host")
        if told.get("token_endpoint_auth_method") != "none" or "code" not in told.get("response_types", []):
            raise Refused("invalid_client_metadata", "not a public client that takes codes")
        client_id = secrets.token_hex(8)
        clients[client_id] = told
        counts["registered"] += 1
        self.answer(201, {"client_id": client_id, **told})

    def authorize(self, asked):
        """Whoever `as` names has signed in here and says yes."""
        client = clients.get(asked.get("client_id"))
        if not client or asked.get("redirect_uri") not in client["redirect_uris"]:
            raise Refused("invalid_request", "an unknown client, or another address")
        if asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", "no code, or nothing that proves whose")
        back = asked["redirect_uri"] + "?"
        if asked.get("as") == "nobody":
            told = {"error": "access_denied", "error_description": "nobody said yes", "state": asked["state"]}
            return self.answer(302, headers=[("Location", back + urllib.parse.urlencode(told))])
        code = secrets.token_urlsafe(12)
        codes[code] = asked
        counts["codes"] += 1
        told = urllib.parse.urlencode({"code": code, "state": asked["state"]})
        self.answer(302, headers=[("Location", back + told)])

    def token(self, form):
        if form.get("grant_type") == "refresh_token":
            session = refreshes.pop(form.get("refresh_token"), None)
            if session is None:
                raise Refused("invalid_grant", "no such refresh token")
            counts["renewed"] += 1
            return self.answer(200, give(session))
        asked = codes.pop(form.get("code"), None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or proof.rstrip(b"=").decode() != asked["code_challenge"]:
            raise Refused("invalid_grant", "no such code, or somebody else's")
        if (form.get("redirect_uri"), form.get("client_id")) != (asked["redirect_uri"], asked["client_id"]):
            raise Refused("invalid_grant", "not what the code was given for")
        devices = [part[len(DEVICE):] for part in asked["scope"].split() if part.startswith(DEVICE)]
        session = {"user": asked["as"], "device": devices[0], "scope": asked["scope"]}
        tell_homeserver("upsert_device", {"localpart": session["user"], "device_id": devices[0]})
        self.answer(200, give(session))

    def introspect(self, form):
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            return self.answer(401, {})
        session, until = tokens.get(form["token"], (None, 0))
        if session and until > time.time():
            return self.answer(200, {
                "active": True, "username": session["user"], "scope": session["scope"],
                "expires_in": int(until - time.time()),
            })
        old = of_old(form["token"])
        if old:
            return self.answer(200, {"active": True, "username": old[0], "device_id": old[1], "scope": API})
        self.answer(200, {"active": False})

    def end(self, fits):
        ended = {id(session): session for session, _ in tokens.values() if fits(session)}
        for session in ended.values():
            for known in (refreshes, tokens):
                for key in [key for key, of in known.items() if (of if known is refreshes else of[0]) is session]:
                    del known[key]
            tell_homeserver("delete_device", {"localpart": session["user"], "device_id": session["device"]})
        self.answer(200, {})


server = ThreadingHTTPServer(("127.0.0.1", PORT), Service)
print("ready", flush=True)
server.serve_forever()

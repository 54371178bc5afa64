"""Runs itchat-uos, a client written by others, against the simulated service.

Its protocol code is untouched: requests are sent as it makes them, for the hosts that it names. Only the
socket goes elsewhere: scheme and authority are replaced in the transport, and `Host` keeps the real name.

WXGATE_SIM_URL      base URL of the service, such as http://127.0.0.1:9000
WXGATE_SIM_CONTROL  base URL of its control API (default: the same)
"""

import hashlib
import json
import os
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import requests.adapters

SERVICE = os.environ.get("WXGATE_SIM_URL", "").rstrip("/")
CONTROL = os.environ.get("WXGATE_SIM_CONTROL", SERVICE).rstrip("/")
ACCOUNT = f"itchat-{os.getpid()}"
PATIENCE_S = 30


class Failed(Exception):
    """One sentence that says what did not work."""


def step(text):
    print(f"itchat-uos: {text}", flush=True)


def control(verb, **fields):
    request = urllib.request.Request(
        f"{CONTROL}/_sim/{verb}",
        data=json.dumps(fields).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        raise Failed(f"control verb {verb} failed: {error.read().decode()}") from None
    return body if verb == "media" else json.loads(body)


def redirect_hosts():
    """Sends every request to the simulated service, whatever host it names."""
    target = urllib.parse.urlsplit(SERVICE)
    send = requests.adapters.HTTPAdapter.send

    def elsewhere(self, request, **kwargs):
        sent = request.copy()
        parts = urllib.parse.urlsplit(sent.url)
        sent.headers["Host"] = parts.netloc
        sent.url = urllib.parse.urlunsplit(
            (target.scheme, target.netloc, parts.path, parts.query, "")
        )
        answer = send(self, sent, **kwargs)
        # Cookies belong to the host that the client meant.
        answer.url = request.url
        answer.request = request
        return answer

    requests.adapters.HTTPAdapter.send = elsewhere


def wait_for(what, look):
    """Waits until `look` returns something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise Failed(f"waited {PATIENCE_S} s for {what}")


def expect(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: expected {wanted!r}, got {got!r}")


def sign_in(itchat):
    def watch_qr(uuid, status, qrcode):
        if status == "0":
            step(f"shows the QR code of {uuid}")
            control("scan", uuid=uuid, account=ACCOUNT)
        elif status == "201":
            step("was told of the scan")
            # The client keeps asking with tip=1 until the phone confirms.
            if not confirmed.is_set():
                confirmed.set()
                control("confirm", uuid=uuid or itchat.originInstance.uuid)

    confirmed = threading.Event()
    itchat.login(qrCallback=watch_qr, loginCallback=lambda: None)
    control("wait", account=ACCOUNT, state="online")
    step("is signed in")


def check_contacts(itchat):
    friends = itchat.get_friends()
    rooms = itchat.get_chatrooms()
    # Twelve contacts of which one is an official account, and ourselves.
    expect(len(friends), 12, "friends with ourselves")
    expect(len(itchat.get_mps()), 1, "official accounts")
    if len(rooms) < 2:
        raise Failed(f"found only {len(rooms)} groups")
    for friend in friends:
        if "�" in friend["NickName"] and friend["NickName"].startswith("截断"):
            step("survived a name that is not UTF-8")
    step(f"has {len(friends)} friends and {len(rooms)} groups")


def name_of(who):
    return control("person", account=ACCOUNT, who=who)["user_name"]


def main():
    if not SERVICE:
        raise Failed("WXGATE_SIM_URL is not set")
    redirect_hosts()
    os.chdir(tempfile.mkdtemp(prefix="itchat-"))
    import itchat
    from itchat.content import PICTURE, TEXT

    control("accounts", name=ACCOUNT, uin=2_000_000_000 + os.getpid(), contacts=12, groups=4)
    inbox = []

    @itchat.msg_register([TEXT, PICTURE])
    def private(message):
        inbox.append(message)

    @itchat.msg_register([TEXT, PICTURE], isGroupChat=True)
    def group(message):
        inbox.append(message)

    sign_in(itchat)
    check_contacts(itchat)
    threading.Thread(target=itchat.run, daemon=True).start()

    def said(kind, text=None):
        return wait_for(
            f"a message of type {kind}",
            lambda: next(
                (m for m in inbox if m["Type"] == kind and text in (None, m["Text"])), None
            ),
        )

    control("say", account=ACCOUNT, chat="c0", kind="text", text="明天几点？ <b> & 😄")
    message = said("Text", "明天几点？ <b> & 😄")
    expect(message["FromUserName"], name_of("c0"), "sender of the private text")
    step("received a private text")

    stranger = next(m for m in control("person", account=ACCOUNT, who="g0")["members"] if m[0] == "m")
    control("say", account=ACCOUNT, chat="g0", **{"from": stranger}, kind="text", text="大家好:\n第二行")
    message = said("Text", "大家好:\n第二行")
    expect(message["FromUserName"], name_of("g0"), "group of the group text")
    expect(message["ActualUserName"], name_of(stranger), "sender of the group text")
    step("received a group text")

    picture = control("say", account=ACCOUNT, chat="c1", kind="image")
    message = said("Picture")
    wanted = control("media", account=ACCOUNT, msg_id=picture["msg_id"])
    # The service answers the first request for some files with nothing.
    got = wait_for("the picture's bytes", message["Text"])
    if got != wanted:
        raise Failed(f"the picture differs: {len(got)} bytes instead of {len(wanted)}")
    step(f"received an image of {len(got)} bytes")

    answer = itchat.send("好的，9点见 <3 & 😀\n第二行", toUserName=name_of("c0"))
    expect(answer["BaseResponse"]["Ret"], 0, "answer to the text")
    control("wait", account=ACCOUNT, state="ledger", kind="text", text="好的，9点见 <3 & 😀\n第二行")
    step("sent a text")

    with open("picture.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4_000)
    with open("picture.png", "rb") as file:
        md5 = hashlib.md5(file.read()).hexdigest()
    answer = itchat.send_image("picture.png", toUserName=name_of("g0"))
    expect(answer["BaseResponse"]["Ret"], 0, "answer to the image")
    entries = control("ledger", account=ACCOUNT)["entries"]
    heard = [e for e in entries if e["way"] == "from_account" and e["kind"] == "image"]
    expect([(e["chat"], e["media_md5"]) for e in heard], [("g0", md5)], "images in the ledger")
    step("sent an image in two pieces")

    itchat.logout()
    control("wait", account=ACCOUNT, state="offline")
    step("logged out")
    report()


def report():
    for verb in ("violations", "tolerated"):
        for breach in control(verb):
            if breach["account"] == ACCOUNT:
                step(f"{verb}: {breach['endpoint']}: {breach['what']} ({breach['count']})")


try:
    main()
except Failed as error:
    print(f"itchat-uos: FAILED: {error}", file=sys.stderr, flush=True)
    os._exit(1)
step("passed")
# Its threads may still be waiting for an answer.
os._exit(0)

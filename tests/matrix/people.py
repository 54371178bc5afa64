"""Plays people of a homeserver with matrix-nio, a client library written by others.

Led by lines of JSON on standard input, each `{"id": 7, "who": "ann", "do": "send", …}`. Each is
answered on standard output by `{"id": 7, "ok": …}` or `{"id": 7, "error": "…"}`. Between answers
stand lines without an id: what the people's own sync brought, one line per event:
`{"who": "ann", "room": "!…", "part": "timeline", "class": "RoomMessageText", "event": {…}}`.
`class` is what matrix-nio took the event for. Ends when standard input ends.

Somebody who signs in with `"encrypts": true` has a device with keys: what is said to them is decrypted, and
what they say in an encrypted room is encrypted. With `"patient": true` their client waits where the homeserver says
that there is too much of it.
"""

import asyncio
import base64
import json
import sys
import tempfile
from urllib.parse import quote

from nio import AsyncClient, AsyncClientConfig, EnableEncryptionBuilder, ErrorResponse
from nio.crypto import decrypt_attachment
from nio.events import MegolmEvent
from nio.exceptions import EncryptionError
from nio.responses import Response

# A homeserver that is away must show as an error of the one call, not as a call that never ends.
CALL_SECONDS = 60
SYNC_MS = 20_000
# Stories judge every event; without this the homeserver gives ten and leaves a gap.
SYNC_FILTER = {"room": {"timeline": {"limit": 1000}}}
# Largest line of a story: a file of some megabytes as base64.
LINE_BYTES = 64 * 1024 * 1024


class Odd(Exception):
    """The homeserver, or this driver, could not do what was asked."""


def tell(line):
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def good(answer):
    if isinstance(answer, ErrorResponse) or not isinstance(answer, Response):
        raise Odd(str(answer))
    return answer


class Person:
    def __init__(self, homeserver, who, auto_join, encrypts=False, patient=False):
        config = AsyncClientConfig(max_timeouts=0, max_limit_exceeded=None if patient else 0,
                                   request_timeout=CALL_SECONDS, encryption_enabled=encrypts)
        self.who, self.auto_join, self.encrypts = who, auto_join, encrypts
        self.store = tempfile.TemporaryDirectory(prefix="wxgate-nio-") if encrypts else None
        self.client = AsyncClient(homeserver, who, config=config,
                                  store_path=self.store.name if encrypts else "")
        self.syncing, self.known, self.shut = None, set(), []

    async def begin(self, password, is_new):
        if is_new:
            good(await self.client.register(self.who, password, "story"))
        else:
            good(await self.client.login(password, "story"))
        self.syncing = asyncio.create_task(self.sync())
        return {"user_id": self.client.user_id, "token": self.client.access_token}

    async def end(self):
        self.syncing.cancel()
        await self.client.close()
        if self.store:
            self.store.cleanup()

    async def sync(self):
        since = None
        while True:
            try:
                answer = await self.client.sync(SYNC_MS, SYNC_FILTER, since)
                if isinstance(answer, ErrorResponse):
                    raise Odd(str(answer))
                since = answer.next_batch
                await self.see_to_keys()
                await self.show(answer.rooms)
                self.try_again()
            except Exception as error:  # A client goes on syncing, whatever one answer was.
                print(f"{self.who}: {type(error).__name__}: {error}", file=sys.stderr)
                await asyncio.sleep(0.2)

    async def see_to_keys(self):
        """What matrix-nio does in `sync_forever`, which keeps the events to itself."""
        if not self.encrypts:
            return
        if self.client.should_upload_keys:
            good(await self.client.keys_upload())
        if self.client.should_query_keys:
            good(await self.client.keys_query())
        if self.client.should_claim_keys:
            good(await self.client.keys_claim(self.client.get_users_for_key_claiming()))
        await self.client.send_to_device_messages()

    async def show(self, rooms):
        for room, info in rooms.invite.items():
            for event in info.invite_state:
                self.emit(room, "invite", event)
            if self.auto_join:
                good(await self.client.join(room))
        for room, info in rooms.join.items():
            for event in info.state:
                self.emit(room, "state", event)
            if info.timeline.limited and room in self.known:
                raise Odd(f"a gap in the timeline of {room}")
            self.known.add(room)
            for event in info.timeline.events:
                self.emit(room, "timeline", event)
            for event in info.ephemeral:
                tell({"who": self.who, "room": room, "part": "ephemeral",
                      "class": type(event).__name__, "event": ephemeral(event)})
        for room, info in rooms.leave.items():
            for event in info.timeline.events:
                self.emit(room, "timeline", event)
            tell({"who": self.who, "room": room, "part": "left", "class": "", "event": {}})

    def try_again(self):
        """What could not be read when it came, because its key comes with a later answer."""
        waiting, self.shut = self.shut, []
        for room, event in waiting:
            try:
                self.emit(room, "timeline", self.client.decrypt_event(event))
            except EncryptionError:
                self.shut.append((room, event))

    def emit(self, room, part, event):
        if self.encrypts and part == "timeline" and isinstance(event, MegolmEvent):
            event.room_id = room
            self.shut.append((room, event))
        source = getattr(event, "source", None)
        tell({"who": self.who, "room": room, "part": part,
              "class": type(event).__name__, "event": source})

    # What a person can do.

    async def do_send(self, room, content, type="m.room.message", txn=None):
        answer = good(await self.client.room_send(room, type, content, tx_id=txn,
                                                  ignore_unverified_devices=True))
        return {"event_id": answer.event_id}

    async def do_upload(self, data, mime, name):
        data = base64.b64decode(data)
        answer, _ = await self.client.upload(lambda *_: data, mime, name, filesize=len(data))
        return {"mxc": good(answer).content_uri}

    async def do_send_file(self, room, data, mime, name):
        """A file as a client sends it: encrypted, because the room is."""
        data = base64.b64decode(data)
        answer, keys = await self.client.upload(lambda *_: data, mime, name, encrypt=True,
                                                filesize=len(data))
        file = {**keys, "url": good(answer).content_uri}
        kind = {"image": "m.image", "video": "m.video", "audio": "m.audio"}.get(mime.split("/")[0], "m.file")
        content = {"msgtype": kind, "body": name, "file": file, "info": {"mimetype": mime, "size": len(data)}}
        return await self.do_send(room, content)

    async def do_download(self, mxc=None, file=None):
        if file is not None:
            sealed = good(await self.client.download(mxc=file["url"]))
            data = decrypt_attachment(sealed.body, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
            return {"data": base64.b64encode(data).decode()}
        answer = good(await self.client.download(mxc=mxc))
        return {"data": base64.b64encode(answer.body).decode(), "mime": answer.content_type,
                "name": answer.filename}

    async def do_redact(self, room, event, reason=None):
        return {"event_id": good(await self.client.room_redact(room, event, reason)).event_id}

    async def do_read(self, room, event):
        good(await self.client.room_read_markers(room, event, event))

    async def do_typing(self, room, on):
        good(await self.client.room_typing(room, on))

    async def do_join(self, room):
        return {"room": good(await self.client.join(room)).room_id}

    async def do_leave(self, room):
        good(await self.client.room_leave(room))

    async def do_create(self, invite=(), name=None, direct=False, encrypted=False):
        state = [EnableEncryptionBuilder().as_dict()] if encrypted else []
        answer = await self.client.room_create(name=name, invite=list(invite), is_direct=direct,
                                               initial_state=state)
        return {"room": good(answer).room_id}

    async def do_invite(self, room, user):
        good(await self.client.room_invite(room, user))

    async def do_state(self, room):
        return [event for event in good(await self.client.room_get_state(room)).events]

    async def do_history(self, room, limit=500):
        """Everything of a room, oldest first, from the homeserver and not from what sync brought."""
        events, start = [], None
        while len(events) < limit:
            url = f"/_matrix/client/v3/rooms/{quote(room)}/messages?dir=b&limit=100"
            page = await self.ask("GET", url + (f"&from={quote(start)}" if start else ""))
            events.extend(page["chunk"])
            start = page.get("end")
            if start is None:
                break
        return events[::-1]

    async def do_ask(self, method, path, body=None):
        return await self.ask(method, path, body)

    async def ask(self, method, path, body=None):
        """A request that matrix-nio has no method for, over its connection and with its token."""
        headers = {"Authorization": f"Bearer {self.client.access_token}"}
        data = None if body is None else json.dumps(body)
        answer = await self.client.send(method, path, data, headers, timeout=CALL_SECONDS)
        text = await answer.text()
        if answer.status >= 300:
            raise Odd(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)


def ephemeral(event):
    if hasattr(event, "users"):
        return {"users": event.users}
    if hasattr(event, "receipts"):
        return {"receipts": [vars(receipt) for receipt in event.receipts]}
    return getattr(event, "source", {})


async def obey(people, homeserver, order):
    who, verb = order.pop("who"), order.pop("do")
    if verb in ("register", "login"):
        person = Person(homeserver, who, order.get("auto_join", False), order.get("encrypts", False),
                        order.get("patient", False))
        people[who] = person
        return await person.begin(order["password"], verb == "register")
    if who not in people:
        raise Odd(f"{who} has not signed in")
    if verb == "end":
        return await people.pop(who).end()
    act = getattr(people[who], f"do_{verb}", None)
    if act is None:
        raise Odd(f"nobody can '{verb}'")
    return await act(**order)


async def answer(people, homeserver, line):
    order = json.loads(line)
    number = order.pop("id")
    try:
        tell({"id": number, "ok": await obey(people, homeserver, order)})
    except Exception as error:  # Whatever it is, the story must hear of it.
        tell({"id": number, "error": f"{type(error).__name__}: {error}"})


async def main(homeserver):
    people, running = {}, set()
    lines = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        # Orders of one story may be on their way at once; it waits for answers where order matters.
        task = asyncio.create_task(answer(people, homeserver, line))
        running.add(task)
        task.add_done_callback(running.discard)
    for person in people.values():
        await person.end()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

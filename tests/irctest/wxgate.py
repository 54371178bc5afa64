"""How irctest, a public suite for IRC servers, starts and configures wxgate; see README.md here."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Optional, Type

from irctest import patma
from irctest.basecontrollers import BaseServerController, DirectoryBasedController
from irctest.runner import NotImplementedByController
from irctest.specifications import Capabilities, OptionalBehaviors

PROGRAM = os.environ.get("WXGATE_BIN", "wxgate")

# Nobody signs in to WeChat here: the suite is about the server and its local channels.
CONFIG = """
data_dir = "{dir}/data"
[wechat]
service = "http://127.0.0.1:9"
[irc.server]
name = "My.Little.Server"
listen = [{plain}]
tls_listen = [{tls}]
{tls_files}
websocket_listen = [{websocket}]
guests = "{guests}"
local_channels = "#"
flood_control = false
[web]
listen = "127.0.0.1:{web}"
[log]
filter = "warn"
"""


# The operator that the suite logs in as is an administrator here. People live in the database: it is made once and
# copied for each test.
OPERATOR, SECRET = "operuser", "operpassword"
_filled: Optional[Path] = None


def filled(web: int) -> Path:
    global _filled
    if _filled is None:
        place = Path(tempfile.mkdtemp(prefix="wxgate-irctest-"))
        config = place / "wxgate.toml"
        empty = {"plain": "", "tls": "", "tls_files": "", "websocket": "", "guests": "off"}
        config.write_text(CONFIG.format(dir=place, web=web, **empty).replace("[irc.server]", "[irc.server]\nenabled = false"))
        with subprocess.Popen([PROGRAM, "run", "-c", config]) as gateway:
            for _ in range(200):
                if (place / "data/wxgate.sock").exists():
                    break
                time.sleep(0.05)
            add = [PROGRAM, "user", "add", OPERATOR, "--admin", "--password-stdin", "-c", config]
            subprocess.run(add, input=SECRET.encode() + b"\n", check=True, stdout=subprocess.DEVNULL)
            gateway.terminate()
        _filled = place / "data"
    return _filled


class WxgateController(BaseServerController, DirectoryBasedController):
    software_name = "wxgate"
    _port_wait_interval = 0.02
    supported_sasl_mechanisms = {"PLAIN", "SCRAM-SHA-256"}
    # Told to others than this machine only.
    supports_sts = False
    capabilities = frozenset(
        (
            Capabilities.ACCOUNT_NOTIFY,
            Capabilities.ACCOUNT_TAG,
            Capabilities.AWAY_NOTIFY,
            Capabilities.BATCH,
            Capabilities.ECHO_MESSAGE,
            Capabilities.EXTENDED_JOIN,
            Capabilities.EXTENDED_MONITOR,
            Capabilities.LABELED_RESPONSE,
            Capabilities.MESSAGE_REDACTION,
            Capabilities.MESSAGE_TAGS,
            Capabilities.MULTILINE,
            Capabilities.MULTI_PREFIX,
            Capabilities.READ_MARKER,
            Capabilities.SERVER_TIME,
            Capabilities.SETNAME,
        ),
    )
    optional_behaviors = frozenset(
        (
            OptionalBehaviors.CAP_REQ_MINUS,
            OptionalBehaviors.MULTI_JOIN,
            OptionalBehaviors.MULTI_KICK,
            OptionalBehaviors.MULTI_PRIVMSG,
            OptionalBehaviors.SASL_AFTER_REGISTRATION,
        )
    )
    isupport = {
        "BOT": "B",
        "CASEMAPPING": "ascii",
        "ELIST": patma.ANYSTR,
        "MONITOR": patma.ANYSTR,
        "PREFIX": "(ohv)@%+",
        "STATUSMSG": patma.ANYSTR,
        "TARGMAX": patma.ANYSTR,
        "UTF8ONLY": None,
        "WHOX": None,
    }

    def run(
        self,
        hostname: str,
        port: int,
        *,
        password: Optional[str],
        ssl: bool,
        run_services: bool,
        faketime: Optional[str],
        websocket_hostname: Optional[str],
        websocket_port: Optional[int],
    ) -> None:
        if password is not None:
            # Everybody has a password of their own here.
            raise NotImplementedByController("PASS command")
        self.port = port
        self.hostname = hostname
        self.create_config()
        (_, web) = self.get_hostname_and_port()
        plain, tls, tls_files = f'"127.0.0.1:{port}"', "", ""
        if ssl:
            self.gen_ssl()
            # A key that others can read is refused.
            os.chmod(self.key_path, 0o600)
            plain, tls = "", plain
            tls_files = f'tls_cert = "{self.pem_path}"\ntls_key = "{self.key_path}"'
        self.config_path = self.directory / "wxgate.toml"
        self.config_path.write_text(
            CONFIG.format(
                dir=self.directory,
                plain=plain,
                tls=tls,
                tls_files=tls_files,
                websocket=f'"127.0.0.1:{websocket_port}"' if websocket_port else "",
                web=web,
                # Whoever comes by WebSocket may be a page that a browser of this machine shows.
                guests="anywhere" if websocket_port else "loopback",
            )
        )
        shutil.copytree(filled(web), self.directory / "data")
        self.proc = self.execute([PROGRAM, "run", "-c", self.config_path])

    def wait_for_services(self) -> None:
        pass

    def registerUser(self, case, username: str, password: Optional[str] = None) -> None:
        if not case.run_services:
            raise ValueError("a name can be registered only where services run")
        self.wait_for_port()
        subprocess.run(
            [PROGRAM, "user", "add", username, "--password-stdin", "-c", self.config_path],
            input=(password or "").encode() + b"\n",
            check=True,
            stdout=subprocess.DEVNULL,
        )


def get_irctest_controller_class() -> Type[WxgateController]:
    return WxgateController

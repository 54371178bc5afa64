#!/usr/bin/env bash
# Makes the captures in this folder: the demo, with irssi and WeeChat beside it in tmux.
# Usage: docs/captures/capture.sh [PATH-OF-WXGATE]
# Needs irssi, weechat-curses and tmux; ends only what it started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
program=${1:-../../target/release/wxgate}
work=$(mktemp -d)
export LC_ALL=C.UTF-8 HOME="$work"
tmux() { command tmux -L wxgate-captures -f /dev/null "$@"; }
"$program" demo --plain --rate 2 --seconds 300 >"$work/demo.txt" 2>"$work/demo.err" &
demo=$!
trap 'tmux kill-server 2>/dev/null || true; kill "$demo" 2>/dev/null || true; wait "$demo" 2>/dev/null || true; sleep 1; rm -rf "$work" || true' EXIT

# Waits until a command succeeds, for a minute at most.
await() {
  for _ in $(seq 300); do "$@" && return 0; sleep 0.2; done
  echo "waited in vain for: $*" >&2
  return 1
}
shows() { tmux capture-pane -p -t "$1" | grep -qF -- "$2"; }
keep() { tmux capture-pane -p -t "$1" | sed 's/[[:space:]]*$//' | cat -s >"$2"; }

await grep -q 'Ctrl-C ends the demo' "$work/demo.txt"
tmux -u new-session -d -s irssi -x 110 -y 32 "irssi --home=$work/irssi --noconnect"
await shows irssi 'Irssi v'
for line in '/set show_server_time on' '/connect 127.0.0.1 6667 demo/lin:demo demo'; do
  tmux send-keys -t irssi -l "$line"
  tmux send-keys -t irssi Enter
done
tmux -u new-session -d -s weechat -x 120 -y 32 "weechat -d $work/weechat -r \
  '/set irc.server_default.capabilities *;/server add wx 127.0.0.1/6667 -notls -nossl -nicks=demo -password=demo/lin@weechat:demo;/connect wx'"
await shows irssi 'Act:'
tmux send-keys -t irssi -l '/window goto #家'
tmux send-keys -t irssi Enter
await shows irssi '[#家'
tmux send-keys -t irssi -l '你好 hello 👋 from irssi'
tmux send-keys -t irssi Enter
await grep -q 'from irssi' "$work/demo.txt"
await shows irssi 'http://'
keep irssi irssi-group.txt
# The first link of an image that irssi shows opens, and is an image.
link=$(tmux capture-pane -p -J -t irssi -S -200 | grep -o 'http://127[^ ]*' | head -1)
python3 - "$link" >media-link.txt <<'P'
import sys, urllib.request
answer = urllib.request.urlopen(sys.argv[1], timeout=30)
body = answer.read()
print(answer.status, answer.headers["Content-Type"], len(body), "bytes, begins", body[:4].hex())
P
tmux send-keys -t irssi -l '/msg wechat help'
tmux send-keys -t irssi Enter
tmux send-keys -t irssi -l '/query wechat'
tmux send-keys -t irssi Enter
await shows irssi 'status'
keep irssi irssi-service.txt
# A private chat: the first window that is no channel, with what was said on the phone.
for window in $(seq 2 20); do
  tmux send-keys -t irssi -l "/window $window"
  tmux send-keys -t irssi Enter
  sleep 0.5
  if ! shows irssi ']#' && ! shows irssi '[#' && ! shows irssi '[wechat]' && shows irssi '< demo>'; then break; fi
done
keep irssi irssi-private.txt
tmux send-keys -t weechat -l '/buffer #家'
tmux send-keys -t weechat Enter
await shows weechat 'from irssi'
keep weechat weechat-group.txt
head -n 120 "$work/demo.txt" >demo.txt

#!/usr/bin/env bash
# Makes the captures in this folder: the demo, with irssi and WeeChat beside it in tmux.
# Usage: docs/captures/capture.sh [PATH-OF-WXGATE]
# Needs irssi, weechat-curses, tmux, ss and curl; ends only what it started.
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
# What the owner writes on the phone, to the group and to one person. The simulated service has no
# fixed port; it is the demo's own listener that is neither IRC nor the web page.
service=$(ss -Hltnp "src 127.0.0.1" | grep "pid=$demo," | awk '{print $4}' | grep -v ':6667$\|:8480$' | head -1)
tell() { curl -fsS "http://$service/_sim/say" -d "{\"account\":\"lin\",\"chat\":\"$1\",\"from\":\"$2\",\"kind\":\"text\",\"text\":\"$3\"}" >/dev/null; }
person() { curl -fsS "http://$service/_sim/person" -d "{\"account\":\"lin\",\"who\":\"$1\"}"; }
for at in 0 1 2 3 4 5 6 7; do person "g$at" | grep -q '"家"' && family=g$at && break; done
friend=c9
tmux send-keys -t irssi -l '你好 hello 👋 from irssi'
tmux send-keys -t irssi Enter
await grep -q 'from irssi' "$work/demo.txt"
tell "$family" self '在手机上写的 written on my phone 📱'
await shows irssi 'written on my phone'
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
# A private chat: somebody writes, the owner answers on the phone and then here.
tell "$friend" "$friend" '到家了吗？ are you home? 🏠'
await grep -q 'are you home' "$work/demo.txt"
tell "$friend" self '快了 almost, from my phone 📱'
await grep -q 'almost, from my phone' "$work/demo.txt"
for window in $(seq 2 40); do
  tmux send-keys -t irssi -l "/window $window"
  tmux send-keys -t irssi Enter
  sleep 0.3
  if shows irssi 'are you home'; then break; fi
done
await shows irssi 'almost, from my phone'
tmux send-keys -t irssi -l '到了 home now, from irssi'
tmux send-keys -t irssi Enter
await grep -q 'home now, from irssi' "$work/demo.txt"
sleep 1
keep irssi irssi-private.txt
tmux send-keys -t weechat -l '/buffer #家'
tmux send-keys -t weechat Enter
await shows weechat 'written on my phone'
keep weechat weechat-group.txt
for buffer in $(seq 2 40); do
  tmux send-keys -t weechat -l "/buffer $buffer"
  tmux send-keys -t weechat Enter
  sleep 0.3
  if shows weechat 'are you home'; then break; fi
done
await shows weechat 'home now, from irssi'
keep weechat weechat-private.txt
head -n 120 "$work/demo.txt" >demo.txt

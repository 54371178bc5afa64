// An IRC client written by others (irc-framework, the library under The Lounge and Kiwi IRC) on the built-in
// server, with the capabilities that terminal clients of Debian lack. Led by the story `web_library`, which
// says in WeChat what this waits for. Prints each step; exits with 1 and one sentence when one fails.
//
// WXGATE_IRC      HOST:PORT
// WXGATE_LOGIN    user/account@client of SASL
// WXGATE_PASSWORD its password
// WXGATE_CHANNEL  the channel of the group

import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const IRC = require('irc-framework')
const PATIENCE_MS = 30_000
const EXTRA = ['labeled-response', 'draft/chathistory', 'draft/event-playback', 'draft/read-marker', 'extended-monitor',
  'draft/message-redaction', 'draft/multiline', 'draft/metadata-2', 'standard-replies', 'soju.im/search']
const { WXGATE_IRC, WXGATE_LOGIN, WXGATE_PASSWORD, WXGATE_CHANNEL: channel } = process.env
const [host, port] = WXGATE_IRC.split(':')

const step = text => console.log(`irc-framework: ${text}`)

function fail (text) {
  console.error(`irc-framework: FAILED: ${text}`)
  process.exit(1)
}

function ensure (condition, text) {
  if (!condition) fail(text)
}

const client = new IRC.Client()
client.requestCap(EXTRA)

// The next event of a kind that fits.
function next (event, what, fits = () => true) {
  return new Promise(resolve => {
    const timer = setTimeout(() => fail(`waited ${PATIENCE_MS / 1000} s for ${what}`), PATIENCE_MS)
    const hear = found => {
      if (!fits(found)) return
      clearTimeout(timer)
      client.off(event, hear)
      resolve(found)
    }
    client.on(event, hear)
  })
}

const raw = (what, fits) => next('raw', what, event => event.from_server && fits(event.line)).then(event => event.line)

function told (event) {
  ensure(event.tags.msgid?.startsWith('wx'), `no msgid on ${JSON.stringify(event)}`)
  ensure(/^\d{4}-.*Z$/.test(event.tags.time), `no server time on ${JSON.stringify(event)}`)
}

const registered = next('registered', 'the welcome')
const names = next('userlist', 'NAMES', list => list.channel === channel)
client.connect({
  host,
  port: Number(port),
  nick: 'webby',
  username: 'webby',
  gecos: 'A web client',
  account: { account: WXGATE_LOGIN, password: WXGATE_PASSWORD },
  enable_chghost: true,
  enable_setname: true,
  enable_echomessage: true,
  auto_reconnect: false
})
await registered
const me = client.user.nick
for (const cap of [...EXTRA, 'sasl', 'batch', 'echo-message', 'message-tags', 'server-time', 'away-notify', 'setname', 'chghost']) {
  ensure(client.network.cap.isEnabled(cap), `${cap} is not on`)
}
ensure(client.network.supports('CHATHISTORY') && client.network.supports('WHOX'), 'no CHATHISTORY or WHOX in 005')
step('registered by SASL with all capabilities')
const members = (await names).users.map(user => user.nick)
ensure(members.includes(me) && members.length > 2, `members are ${members}`)

const who = await new Promise(resolve => client.who(channel, resolve))
ensure(who.users.length === members.length, `WHO tells of ${who.users.length}, NAMES of ${members.length}`)
ensure(who.users.filter(user => user.nick !== me).every(user => user.account && user.hostname), 'WHOX tells no accounts')
step('NAMES and WHOX agree')

const arrived = next('privmsg', 'the words of the group', event => event.message.includes('from the phone of somebody'))
console.log('READY')
const first = await arrived
told(first)
ensure(first.target === channel && members.includes(first.nick), `it came as ${JSON.stringify(first)}`)
ensure(first.account || first.tags.account, 'no account tag')
step('a message has its id, time and account')

const echo = next('privmsg', 'the echo', event => event.nick === me && event.message === 'typed in a web client')
client.say(channel, 'typed in a web client')
const own = await echo
told(own)
ensure(own.from_server !== true || own.target === channel, 'the echo went elsewhere')
step('what is typed comes back when WeChat has it')

const labelled = raw('the labelled echo', line => line.includes('label=answer'))
client.raw(`@label=answer;+draft/reply=${first.tags.msgid} PRIVMSG ${channel} :an answer to it`)
const line = await labelled
ensure(line.includes('msgid=wx') && line.includes(`+draft/reply=${first.tags.msgid}`), `the echo is ${line}`)
step('an answer with a label is one')

const batch = next('batch end chathistory', 'the history')
client.raw(`CHATHISTORY LATEST ${channel} * 10`)
const texts = (await batch).commands.map(command => command.params.at(-1))
const places = ['from the phone of somebody', 'typed in a web client', 'an answer to it'].map(text =>
  texts.findIndex(said => said.includes(text)))
ensure(places.every((place, at) => place >= 0 && (at === 0 || place > places[at - 1])), `the history is ${texts}`)
step('the history holds all three, in order')

const long = next('batch end draft/multiline', 'the message of several lines')
client.raw(`BATCH +m1 draft/multiline ${channel}`)
client.raw(`@batch=m1 PRIVMSG ${channel} :first line`)
client.raw(`@batch=m1 PRIVMSG ${channel} :second line`)
client.raw('BATCH -m1')
ensure((await long).commands.length === 2, 'two lines became something else')
step('two lines are one message')

const mark = raw('the mark', line => line.includes(` MARKREAD ${channel} timestamp=`))
client.raw(`MARKREAD ${channel} timestamp=${own.tags.time}`)
ensure((await mark).includes(own.tags.time), 'the mark stands elsewhere')
const redacted = raw('the recall', line => line.includes(` REDACT ${channel} ${own.tags.msgid}`))
client.raw(`REDACT ${channel} ${own.tags.msgid}`)
await redacted
step('read marks and recalls cross')

const online = next('users online', 'MONITOR')
client.addMonitor(first.nick)
ensure((await online).nicks.includes(first.nick), 'somebody in WeChat is not online')
const named = raw('METADATA', line => line.includes(' 761 ') && line.includes('display-name'))
client.raw(`METADATA ${first.nick} GET display-name`)
await named
const found = next('batch end soju.im/search', 'what was looked for')
client.raw('SEARCH text=phone')
ensure((await found).commands.some(command => command.params.at(-1).includes('phone of somebody')), 'SEARCH finds nothing')
step('MONITOR, METADATA and SEARCH answer')

const gone = next('socket close', 'the end')
client.quit('seen enough')
await gone
step('done')
process.exit(0)

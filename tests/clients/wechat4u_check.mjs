// Runs wechat4u, a client written by others, against the simulated service.
//
// Its protocol code is untouched: requests are made as it makes them, for the hosts that it names. Only the
// socket goes elsewhere: scheme and authority are replaced in axios' adapter, and `Host` keeps the real name.
//
// WXGATE_SIM_URL      base URL of the service, such as http://127.0.0.1:9000
// WXGATE_SIM_CONTROL  base URL of its control API (default: the same)
// WXGATE_NODE_MODULES where wechat4u is installed (default: node_modules beside this file)

import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const modules = process.env.WXGATE_NODE_MODULES ?? path.join(here, 'node_modules')
const service = (process.env.WXGATE_SIM_URL ?? '').replace(/\/$/, '')
const controlUrl = (process.env.WXGATE_SIM_CONTROL ?? service).replace(/\/$/, '')
const account = `wechat4u-${process.pid}`
const PATIENCE_MS = 30_000

const step = text => console.log(`wechat4u: ${text}`)

function fail (text) {
  console.error(`wechat4u: FAILED: ${text}`)
  process.exit(1)
}

async function control (verb, fields = {}) {
  const answer = await fetch(`${controlUrl}/_sim/${verb}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(fields)
  })
  if (!answer.ok) fail(`control verb ${verb} failed: ${await answer.text()}`)
  return verb === 'media' ? Buffer.from(await answer.arrayBuffer()) : answer.json()
}

async function waitFor (what, look) {
  const end = Date.now() + PATIENCE_MS
  while (Date.now() < end) {
    const found = await look()
    if (found) return found
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  fail(`waited ${PATIENCE_MS / 1000} s for ${what}`)
}

function expect (got, wanted, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)]
  if (a !== b) fail(`${what}: expected ${b}, got ${a}`)
}

// Sends every request to the simulated service, whatever host it names.
function redirectHosts (axios) {
  const target = new URL(service)
  const http = axios.getAdapter('http')
  axios.defaults.adapter = config => {
    const meant = new URL(config.url)
    config.headers.set('Host', meant.host)
    config.url = target.origin + meant.pathname + meant.search
    config.beforeRedirect = options => {
      options.headers.host = options.host
      options.protocol = target.protocol
      options.hostname = target.hostname
      options.host = target.hostname
      options.port = target.port
    }
    return http(config)
  }
}

const nameOf = async who => (await control('person', { account, who })).user_name

async function signIn (bot) {
  let confirmed = false
  bot.on('uuid', uuid => {
    step(`shows the QR code of ${uuid}`)
    control('scan', { uuid, account })
  })
  bot.on('user-avatar', avatar => {
    if (!avatar.startsWith('data:img/jpg;base64,')) fail('the avatar is not a data URL')
    if (confirmed) return
    confirmed = true
    step('was told of the scan')
    control('confirm', { uuid: bot.PROP.uuid })
  })
  const signedIn = new Promise(resolve => bot.on('login', resolve))
  bot.start()
  await Promise.race([signedIn, waitFor('the login', () => bot.state === bot.CONF.STATE.login)])
  await control('wait', { account, state: 'online' })
  step('is signed in')
}

async function receive (bot, inbox) {
  const said = (what, fits) => waitFor(what, () => inbox.find(fits))
  await control('say', { account, chat: 'c0', kind: 'text', text: '明天几点？ <b>\n第二行' })
  // It decodes <, > and line breaks, but no other entity, so the text has none.
  const text = await said('the private text', m => m.Content === '明天几点？ <b>\n第二行')
  expect(text.FromUserName, await nameOf('c0'), 'sender of the private text')
  step('received a private text')

  const { members } = await control('person', { account, who: 'g0' })
  const stranger = members.find(member => member.startsWith('m'))
  await control('say', { account, chat: 'g0', from: stranger, kind: 'text', text: '大家好' })
  const inGroup = await said('the group text', m => m.Content.endsWith('大家好'))
  expect(inGroup.FromUserName, await nameOf('g0'), 'group of the group text')
  expect(inGroup.OriginalContent.split(':<br/>')[0], await nameOf(stranger), 'sender of the group text')
  step('received a group text')

  const picture = await control('say', { account, chat: 'c1', kind: 'image' })
  const image = await said('the image', m => m.MsgType === bot.CONF.MSGTYPE_IMAGE)
  const wanted = await control('media', { account, msg_id: picture.msg_id })
  // The service answers the first request for some files with nothing.
  const got = await waitFor('the picture\'s bytes', async () => {
    const { data } = await bot.getMsgImg(image.MsgId)
    return data.length > 0 && data
  })
  if (!wanted.equals(got)) fail(`the picture differs: ${got.length} bytes instead of ${wanted.length}`)
  step(`received an image of ${got.length} bytes`)
}

async function send (bot) {
  const line = '好的，9点见 <3 & 😀\n第二行'
  await bot.sendMsg(line, await nameOf('c0'))
  await control('wait', { account, state: 'ledger', kind: 'text', text: line })
  step('sent a text')

  const picture = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(70_000, 7)])
  const md5 = createHash('md5').update(picture).digest('hex')
  await bot.sendMsg({ file: picture, filename: 'picture.png' }, await nameOf('g0'))
  const { entries } = await control('ledger', { account })
  const heard = entries.filter(entry => entry.way === 'from_account' && entry.kind === 'image')
  expect(heard.map(entry => [entry.chat, entry.media_md5]), [['g0', md5]], 'images in the ledger')
  step('sent an image')
}

async function report () {
  for (const verb of ['violations', 'tolerated']) {
    for (const breach of await control(verb)) {
      if (breach.account === account) {
        step(`${verb}: ${breach.endpoint}: ${breach.what} (${breach.count})`)
      }
    }
  }
}

async function main () {
  if (!service) fail('WXGATE_SIM_URL is not set')
  const require = createRequire(path.join(modules, 'wechat4u', 'package.json'))
  redirectHosts(require('axios'))
  const Wechat = require(path.join(modules, 'wechat4u'))
  const bot = new Wechat()
  bot.on('error', error => step(`reports: ${error.message ?? error}`))
  const inbox = []
  bot.on('message', message => inbox.push(message))
  await control('accounts', { name: account, uin: 3_000_000_000 + process.pid, contacts: 12, groups: 4 })
  await signIn(bot)
  const contacts = await waitFor('15 contacts', () => {
    const all = Object.values(bot.contacts)
    return all.length >= 15 && all
  })
  const groups = contacts.filter(contact => contact.UserName.startsWith('@@'))
  if (groups.length < 2) fail(`found only ${groups.length} groups`)
  step(`has ${contacts.length} contacts, ${groups.length} of them groups`)
  await receive(bot, inbox)
  await send(bot)
  await bot.logout()
  await control('wait', { account, state: 'offline' })
  step('logged out')
  await report()
  step('passed')
  process.exit(0)
}

main().catch(error => fail(error.stack ?? String(error)))

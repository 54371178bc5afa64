// The Lounge 4.5 wants Node 22, of which it uses the built-in database: for messages that it keeps, and here it keeps
// none. With an older Node (seen with 20.20) it is told what it wants to hear.
const Module = require('node:module')

if (Number(process.versions.node.split('.')[0]) < 22) {
  Object.defineProperty(process, 'version', { value: 'v22.0.0' })
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.0.0' } })
  const load = Module._load
  Module._load = (name, ...rest) => name === 'node:sqlite' ? {} : load(name, ...rest)
}

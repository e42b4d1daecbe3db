// A live dashboard of a service's hottest functions, over server-sent events:
//
//     node examples/dashboard.mjs PID [PORT]
//
// One sampling session serves any number of browsers. Children (workers) are followed too.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { attach } from 'pyprof-rs'

const [pid, port = '8080'] = process.argv.slice(2)
if (pid === undefined) {
  console.error('Usage: node examples/dashboard.mjs PID [PORT]')
  process.exit(2)
}

const session = await attach(Number(pid), { rate: 200, subprocesses: true, bufferSize: 0 })
const browsers = new Set()
let last = ''

const server = createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.write(last)
    browsers.add(response)
    response.on('close', () => browsers.delete(response))
  } else if (request.url === '/') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE)
  } else {
    response.writeHead(404).end()
  }
})
server.listen(Number(port), '127.0.0.1')
await once(server, 'listening')
console.log(`http://127.0.0.1:${server.address().port}/`)

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pyprof-rs: hottest functions</title>
<style>
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  table { width: 100%; border-collapse: collapse }
  td { padding: .15rem .6rem .15rem 0; white-space: nowrap }
  td:last-child { width: 100% }
  td.share { text-align: right; font-variant-numeric: tabular-nums }
  .bar { height: .8rem; border-radius: 2px; background: #d9822b }
  small { opacity: .65 }
</style>
<h1 id="title">waiting for samples</h1>
<p><small id="health"></small></p>
<table id="functions"></table>
<script>
  const at = (id) => document.getElementById(id)
  new EventSource('/events').onmessage = ({ data }) => {
    const seen = JSON.parse(data)
    at('title').textContent = seen.command.join(' ') || 'pid ' + seen.pid
    at('health').textContent = seen.samples + ' samples in the last second, ' + (100 * seen.cutShare).toFixed(1) + '% cut'
    at('functions').replaceChildren(...seen.functions.map(({ name, where, share }) => {
      const row = document.createElement('tr')
      const cells = ['', '', ''].map((text) => row.appendChild(document.createElement('td')))
      cells[0].className = 'share'
      cells[0].textContent = (100 * share).toFixed(1) + '%'
      cells[1].append(name, ' ')
      cells[1].appendChild(document.createElement('small')).textContent = where
      const bar = cells[2].appendChild(document.createElement('div'))
      bar.className = 'bar'
      bar.style.width = 100 * share + '%'
      return row
    }))
  }
</script>
</html>
`

process.once('SIGINT', () => session.close())
while (session.ended === null) {
  const profile = await session.collect({ duration: 1000 })
  const { command, cutShare, functions, stats } = profile.summary({ functions: 15 })
  const seen = {
    pid: session.pid,
    command,
    cutShare,
    samples: stats.samples,
    functions: functions.map(({ name, file, firstLine, selfShare }) => ({
      name,
      where: `${file}${firstLine ? `:${firstLine}` : ''}`,
      share: selfShare,
    })),
  }
  // JSON holds no line break, so it is one `data` line.
  last = `data: ${JSON.stringify(seen)}\n\n`
  for (const browser of browsers) browser.write(last)
}
console.log(`the session has ended: ${session.ended}`)
for (const browser of browsers) browser.end()
server.close()

// npm run bench:soak [-- --minutes 10] [--python PATH]: a long session with threads and children that come and go.
import { parseArgs } from 'node:util'
import { held, resources, slope } from './process.mjs'
import { python, start } from './target.mjs'

const { values } = parseArgs({
  options: { python: { type: 'string' }, minutes: { type: 'string', default: '10' } },
})
const { attach } = await import('../../dist/index.js')
const minutes = Number(values.minutes)
/** KiB that may be gained in an hour: memory still settles in the first quarter of it. */
const MOST = { rss: 20 * 1024, heap: 1024, buffers: 1024 }
const LOOKS = 60

const target = await start(python(values.python), 'coming_and_going.py', [])
const session = await attach(target.pid, { rate: 1000, subprocesses: true, duration: minutes * 60_000 })
const seen = {}
const looks = []
const timer = setInterval(
  () => {
    looks.push({ ...resources(), ...held() })
    const { rss, heap, buffers, descriptors, threads } = looks.at(-1)
    const { samples, lost, missed, failed, processes } = session.stats
    console.log(
      `${(session.stats.elapsedNs / 6e10).toFixed(1)} min: ${(rss / 1024).toFixed(1)} MiB (heap ${(heap / 1024).toFixed(1)}, buffers ${(buffers / 1024).toFixed(1)}), ` +
        `${descriptors} descriptors, ${threads} threads, ${samples} samples, ${lost} lost, ${missed} missed, ` +
        `${failed} failed, ${processes} processes; seen: ${JSON.stringify(seen)}`,
    )
  },
  (minutes * 60_000) / LOOKS,
)
for await (const event of session) {
  seen[event.type] = (seen[event.type] ?? 0) + 1
  if (event.type === 'gap') seen.lost = (seen.lost ?? 0) + event.lost
}
clearInterval(timer)
target.kill()

// The first fifth fills what is kept for ever.
const steady = looks.slice(LOOKS / 5)
let missed = 0
for (const [what, most] of Object.entries(MOST)) {
  const hourly = slope(steady.map((look) => look[what])) * LOOKS * (60 / minutes)
  const good = hourly <= most
  if (!good) missed++
  console.log(`${good ? 'ok    ' : 'MISSED'} ${what}: ${hourly.toFixed(1)} more in an hour (at most ${most})`)
}
// Each process that is followed has descriptors, until it has gone.
const fewest = (part, what) => Math.min(...part.map((look) => look[what]))
for (const what of ['others', 'gone', 'threads']) {
  const [early, late] = [fewest(looks.slice(0, LOOKS / 3), what), fewest(looks.slice(-LOOKS / 3), what)]
  if (late > early) missed++
  const name = { others: 'descriptors', gone: 'descriptors of processes that have gone', threads: 'threads' }[
    what
  ]
  console.log(`${late > early ? 'MISSED' : 'ok    '} ${name}: ${early} at least at first, ${late} at the end`)
}
const whole = seen.sample + (seen.lost ?? 0) === session.stats.samples
console.log(`${whole ? 'ok    ' : 'MISSED'} every sample was delivered or counted as lost`)
process.exitCode = missed > 0 || !whole ? 1 : 0

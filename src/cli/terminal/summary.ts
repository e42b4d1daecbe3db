/** What a recording was like, in a few lines at its end. */
import type { Format } from '../../formats/index.js'
import type { Profile } from '../../profile.js'
import { gilUse } from '../../summary.js'
import type { EndReason } from '../../types.js'
import { plain } from './plain.js'
import { table } from './table.js'
import { count, percent, time } from './units.js'

export const ENDS: Record<EndReason, string> = {
  duration: 'the time was over',
  stopped: 'stopped',
  exited: 'the process ended',
  denied: 'the kernel no longer lets the process be read',
  replaced: 'the process became a program that is not Python',
}

const VIEWERS: Record<Format, string> = {
  collapsed: 'open it at https://www.speedscope.app, or `flamegraph.pl FILE > out.svg`',
  speedscope: 'open it at https://www.speedscope.app (it stays in your browser), or `npx speedscope FILE`',
  pprof: '`go tool pprof -http=: FILE`, or any viewer of pprof',
}

/** `file`: where the result is; absent when it went to standard output. */
export function summary(profile: Profile, format: Format, file: string | undefined): string {
  const { stats } = profile
  const seconds = stats.elapsedNs / 1e9
  const lines = [
    `${target(profile)}: ${count(stats.samples)} samples in ` +
      `${time(stats.elapsedNs)} (${profile.endReason ? ENDS[profile.endReason] : 'it goes on'})`,
    `rate reached ${seconds > 0 ? (stats.rounds / seconds).toFixed(0) : 0} of ${profile.rate} Hz, ` +
      `missed ${count(stats.missed)}, failed ${count(stats.failed)} (${percent(stats.failed, stats.rounds)}), ` +
      `cut short ${count(stats.cut)} (${percent(stats.cut, stats.samples)})`,
    `CPU used by the profiler: ${time(stats.cpuNs)} (${percent(stats.cpuNs, stats.elapsedNs)} of a CPU)`,
  ]
  if (stats.engine !== 'snapshot' || profile.engineAdvice !== null) lines.push(engine(profile))
  if (stats.idle > 0) lines.push(left(profile))
  if (stats.samples === 0) lines.push('Nothing was seen, so the result is empty.')
  if (file !== undefined) {
    const name = plain(file)
    lines.push(`Result: ${name}`, `Look at it: ${VIEWERS[format].replace('FILE', () => quote(name))}`)
  }
  return `${lines.join('\n')}\n`
}

function target({ pid, pythonVersion, subprocesses, processes }: Profile): string {
  const root = `${pythonVersion ? `CPython ${pythonVersion}, ` : ''}pid ${pid}`
  if (!subprocesses) return root
  const pythons = processes.filter((process) => process.pythonVersion !== null).length
  return `${root} and its children (${count(processes.length)} processes, ${count(pythons)} of them Python)`
}

function engine({ stats, engineAdvice }: Profile): string {
  const parts = [`engine ${stats.engine}`]
  if (stats.offcpu) parts.push(`blocked time from switch to switch, ${count(stats.waits)} waits`)
  if (stats.lostInterrupts > 0) parts.push(`lost interrupts ${count(stats.lostInterrupts)}`)
  if (stats.unmerged > 0)
    parts.push(
      `native frames not placed ${count(stats.unmerged)} (${percent(stats.unmerged, stats.samples)})`,
    )
  return parts.join(', ') + (engineAdvice === null ? '' : `\nA better one: ${plain(engineAdvice)}`)
}

function left({ stats, mode }: Profile): string {
  const hint =
    mode === 'wall' ? 'waiting threads; --idle shows them' : `threads that did not count in mode ${mode}`
  return `left out: ${count(stats.idle)} stacks of ${hint}`
}

function quote(name: string): string {
  return /^[\w./+:@%-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`
}

/** Who held the GIL and who waited for it, for `--gil-stats`. */
export function gilTable({ threads, stats }: Profile): string {
  const rows = gilUse(threads).map(({ name, tid, heldNs, waitedNs }) => [
    time(heldNs),
    percent(heldNs, stats.elapsedNs),
    time(waitedNs),
    percent(waitedNs, stats.elapsedNs),
    String(tid || '?'),
    plain(name),
  ])
  if (rows.length === 0) return 'GIL: no thread was seen to hold it or to wait for it.\n'
  const right = true
  return table(
    [
      { title: 'GIL HELD', right },
      { title: 'SHARE', right },
      { title: 'WAITED', right },
      { title: 'SHARE', right },
      { title: 'TID', right },
      { title: 'THREAD' },
    ],
    rows,
  )
}

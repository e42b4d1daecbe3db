import { processes } from '../../processes.js'
import type { ProcessInfo } from '../../types.js'
import { UsageError } from '../exit.js'
import { parse } from '../options.js'
import { plain } from '../terminal/plain.js'
import { table } from '../terminal/table.js'
import { time } from '../terminal/units.js'

export async function run(args: string[]): Promise<number> {
  const { values, positionals, program } = parse('ps', args)
  if (positionals.length > 0 || program) throw new UsageError('ps takes no arguments', 'ps')
  const list = await processes()
  if (values['json']) {
    process.stdout.write(`${JSON.stringify({ schemaVersion: 1, processes: list }, null, 2)}\n`)
  } else if (list.length === 0) {
    process.stderr.write('No Python process runs on this host (or none that this user can see).\n')
  } else {
    process.stdout.write(render(list, process.stdout.columns))
  }
  return 0
}

export function render(list: ProcessInfo[], width?: number): string {
  const rows = list.map((info) => [
    String(info.pid),
    info.pythonVersion ?? '?',
    plain(info.user),
    String(info.threads),
    time(info.cpuNs),
    time(info.uptimeNs),
    info.obstacle ? 'no' : 'yes',
    plain(info.command.join(' ') || info.executable),
  ])
  const columns = [
    { title: 'PID', right: true },
    { title: 'PYTHON' },
    { title: 'USER' },
    { title: 'THREADS', right: true },
    { title: 'CPU', right: true },
    { title: 'UP', right: true },
    { title: 'PROFILE' },
    { title: 'COMMAND' },
  ]
  const obstacles = list.filter(({ obstacle }) => obstacle)
  const reasons = obstacles.map(({ pid, obstacle }) => `  ${pid}: ${plain(obstacle!.message)}\n`)
  return (
    table(columns, rows, width) + (reasons.length > 0 ? `\nCannot be profiled:\n${reasons.join('')}` : '')
  )
}

/** `top` alone: which process? */
import type { ProcessInfo } from '../../../types.js'
import { type GridColumn, grid } from '../../terminal/grid.js'
import type { Key } from '../../terminal/keyboard.js'
import { type Line, parts, span } from '../../terminal/paint.js'
import { plain } from '../../terminal/plain.js'
import { time } from '../../terminal/units.js'
import { wrap } from '../../terminal/wrap.js'
import { contains } from '../lists.js'
import { type Size, slice } from './context.js'
import { shortCommand } from './text.js'

export interface Choosing {
  /** `null` until they are known. */
  processes: readonly ProcessInfo[] | null
  /** pid */
  cursor: number | null
  filter: string
  typing: boolean
}

export type Chosen = { pid: number } | 'quit' | 'suspend' | null

export function chooser(choosing: Choosing, { columns, rows: height }: Size): Line[] {
  const all = shown(choosing)
  const chosen = current(choosing)
  const why = chosen?.obstacle ? wrap(plain(chosen.obstacle.message), columns).slice(0, 3) : []
  const space = Math.max(1, height - 5 - why.length)
  const part = slice(all, chosen ? all.indexOf(chosen) : -1, space)
  const dim = ({ obstacle }: ProcessInfo) => (obstacle ? 'dim' : undefined)
  const shape: GridColumn<ProcessInfo>[] = [
    { title: 'PID', right: true, width: 7, cell: ({ pid }) => String(pid), style: dim },
    { title: 'PYTHON', width: 7, from: 50, cell: ({ pythonVersion }) => pythonVersion ?? '?', style: dim },
    { title: 'USER', from: 70, cell: ({ user }) => plain(user), style: dim },
    { title: 'CPU', right: true, width: 6, cell: ({ cpuNs }) => time(cpuNs), style: dim },
    { title: 'UP', right: true, width: 6, from: 60, cell: ({ uptimeNs }) => time(uptimeNs), style: dim },
    {
      title: 'COMMAND',
      cell: ({ command, executable }) => plain(shortCommand(command.join(' ') || executable)),
      style: dim,
      share: 8,
    },
  ]
  const list = grid(shape, part.rows, columns, part.chosen)
  const empty = choosing.processes === null ? 'Looking for Python processes ...' : 'No Python process found.'
  const body: Line[] = all.length === 0 ? [[span(empty, 'dim')]] : [list.heading, ...list.rows]
  const lines: Line[] = [[span('Which process?', 'bold')], [], ...body]
  while (lines.length < height - 1 - why.length) lines.push([])
  return [...lines, ...why.map((text): Line => [span(text, 'bad')]), footer(choosing, columns)].slice(-height)
}

function footer({ typing, filter }: Choosing, columns: number): Line {
  if (typing) return [span('filter: ', 'bold'), span(plain(filter)), span(' ', 'chosen')]
  const hints: Line[] = [
    ['Enter', 'look into it'],
    ['↑ ↓', 'choose'],
    ['/', 'filter'],
    ['q', 'quit'],
  ].map(([key, text]) => [span(key!, 'bold'), span(` ${text}`, 'dim')])
  return parts(hints, columns)
}

export function pressInChooser(choosing: Choosing, key: Key): { choosing: Choosing; chosen: Chosen } {
  if (key.ctrl && key.name === 'c') return { choosing, chosen: 'quit' }
  if (key.ctrl && key.name === 'z') return { choosing, chosen: 'suspend' }
  if (key.name === 'return') {
    const process = current(choosing)
    return process && !process.obstacle
      ? { choosing, chosen: { pid: process.pid } }
      : { choosing, chosen: null }
  }
  const list = shown(choosing)
  const at = Math.max(0, list.indexOf(current(choosing)!))
  const go = (to: number) => {
    const process = list[Math.min(Math.max(0, to), list.length - 1)]
    return { choosing: { ...choosing, cursor: process?.pid ?? null }, chosen: null }
  }
  switch (key.name) {
    case 'up':
      return go(at - 1)
    case 'down':
      return go(at + 1)
    case 'pageup':
      return go(at - 10)
    case 'pagedown':
      return go(at + 10)
    case 'home':
      return go(0)
    case 'end':
      return go(list.length - 1)
    case 'escape':
      return { choosing: { ...choosing, filter: '', typing: false }, chosen: null }
  }
  if (choosing.typing) {
    const filter =
      key.name === 'backspace' ? [...choosing.filter].slice(0, -1).join('') : choosing.filter + key.text
    return { choosing: { ...choosing, filter }, chosen: null }
  }
  if (key.text === '/') return { choosing: { ...choosing, typing: true }, chosen: null }
  if (key.text === 'q') return { choosing, chosen: 'quit' }
  if (key.text === 'k') return go(at - 1)
  if (key.text === 'j') return go(at + 1)
  return { choosing, chosen: null }
}

function shown({ processes, filter }: Choosing): ProcessInfo[] {
  return (processes ?? []).filter(({ pid, command, executable }) =>
    contains(filter, String(pid), command.join(' '), executable),
  )
}

/** The chosen process, else the first that can be profiled. */
function current(choosing: Choosing): ProcessInfo | undefined {
  const list = shown(choosing)
  return list.find(({ pid }) => pid === choosing.cursor) ?? list.find(({ obstacle }) => !obstacle) ?? list[0]
}

/** All keys, and what the figures mean. */
import { type Line, span } from '../../terminal/paint.js'
import { wrap } from '../../terminal/wrap.js'
import type { View } from './context.js'

export const KEYS: readonly (readonly [string, string])[] = [
  ['1 to 5, Tab', 'functions, lines, threads, processes, stack (6: output of a started program)'],
  ['↑ ↓ PgUp PgDn', 'choose a row, scroll'],
  ['Enter', "a function's lines, a thread's stack, only this process"],
  ['t', 'count only this thread'],
  ['← →', 'stack: another thread'],
  ['Esc', 'back to all: filter, function, thread or process'],
  ['s, S', 'sort by the next or previous column'],
  ['m', 'time that counts: wall, cpu, gil'],
  ['i', 'count waiting threads too'],
  ['/', 'filter by part of a name or file'],
  ['p, Space', 'pause the picture; counting goes on'],
  ['r', 'reset: count from here on'],
  ['w', "write what was seen to a file; its name's end is the format"],
  ['h, ?', 'this help'],
  ['q, Ctrl-C', 'quit'],
]

const NOTES = (seconds: number): readonly string[] => [
  `SELF% and TOTAL% are the last ${seconds} s, SELF and TOTAL the time since the start or reset. 100% is one thread all the time, so several threads can be more. Self is the time in which a function was the innermost one; total is that of all it called, too.`,
  'wall: elapsed time of threads that run or want to. cpu: CPU time by the kernel. gil: elapsed time of the thread that holds the GIL.',
  `${'[missing: stack cut]'} stands for calls that could not be proven. failed: looks at the process that brought nothing back. lost: samples that came faster than they could be shown.`,
]

export const helpView: View = ({ state, windowNs }, { columns, rows }) => {
  const left = 15
  const lines: Line[] = []
  for (const [keys, text] of KEYS) {
    wrap(text, Math.max(10, columns - left)).forEach((line, i) => {
      lines.push([span((i === 0 ? keys : '').padEnd(left), 'bold'), span(line)])
    })
  }
  for (const note of NOTES(windowNs / 1e9)) {
    lines.push([], ...wrap(note, columns).map((line): Line => [span(line, 'dim')]))
  }
  const first = Math.max(0, Math.min(state.scroll, lines.length - rows))
  return lines.slice(first, first + rows)
}

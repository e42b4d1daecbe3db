/** All commands and options, once: parsing and `--help` both come from here. */
import { parseArgs } from 'node:util'
import { ENGINES } from '../engines.js'
import type { Mode } from '../types.js'
import { UsageError } from './exit.js'

export interface Option {
  /** What the value is called in the help; absent for a switch. */
  value?: string
  short?: string
  /** May be given several times. */
  multiple?: true
  help: string
}

export interface Command {
  summary: string
  usage: readonly string[]
  /** Paragraphs after the options. */
  notes?: readonly string[]
  options: Readonly<Record<string, Option>>
}

const HELP: Option = { short: 'h', help: 'Show this help' }

const NATIVE_HELP = 'Show native frames, and threads that run no Python'
const KERNEL_HELP = 'Show kernel frames'
const OFFCPU_HELP =
  'Measure blocked time from switch to switch, with the stack of each wait; keeps threads that wait. Needs the exact ' +
  'engine'
const JITTER_HELP =
  'Move each sample by chance, up to this share of the interval, 0 to 1: for programs with a period of their own ' +
  '(default: 0)'
const ENGINE_HELP =
  "How stacks are taken: exact (the threads' own interrupts), perf or snapshot (default: snapshot; with native or " +
  'kernel frames the best there is; `pyprof-rs doctor` tells)'

export const COMMANDS: Readonly<Record<string, Command>> = {
  ps: {
    summary: 'List the Python processes of this host and whether they can be profiled',
    usage: ['pyprof-rs ps [--json]'],
    options: { json: { help: 'Print JSON' }, help: HELP },
  },
  dump: {
    summary: "Show all threads' stacks of a process now",
    usage: ['pyprof-rs dump [options] <pid>'],
    options: {
      pid: { short: 'p', value: 'PID', help: 'The process; the same as <pid>' },
      locals: { short: 'l', help: 'Show arguments and local variables' },
      native: { short: 'n', help: 'Show native frames of threads that wait, and threads without Python' },
      kernel: { short: 'k', help: 'Show kernel frames of threads that wait (root only), or the system call' },
      subprocesses: { short: 's', help: 'Show its children, and theirs, too' },
      json: { help: 'Print JSON as described by docs/dump.schema.json (with -s docs/tree.schema.json)' },
      help: HELP,
    },
  },
  top: {
    summary: 'Watch where a process, or a program and its arguments, spends its time',
    usage: ['pyprof-rs top [options] [<pid>]', 'pyprof-rs top [options] -- python app.py [args]'],
    options: {
      pid: { short: 'p', value: 'PID', help: 'The process; the same as <pid> (default: choose from a list)' },
      rate: { short: 'r', value: 'HZ', help: 'Samples a second (default: 1000)' },
      jitter: { value: 'SHARE', help: JITTER_HELP },
      duration: { short: 'd', value: 'TIME', help: 'End after this time: 10 (seconds), 500ms, 1.5m, 1h' },
      interval: {
        short: 'i',
        value: 'TIME',
        help: 'Time between pictures or tables (default: 500ms, without a terminal 1s)',
      },
      view: { value: 'VIEW', help: 'Begin with functions, lines, threads or processes (default: functions)' },
      sort: {
        value: 'COLUMN',
        help: 'functions, lines: self-now, total-now, self, total, name; threads: cpu-now, gil-now, cpu, name; processes: cpu-now, cpu, pid',
      },
      filter: { value: 'TEXT', help: 'Only rows with this in their name or file' },
      mode: {
        value: 'MODE',
        help: 'Which time counts: wall (elapsed), cpu, or gil (elapsed while holding the GIL) (default: wall)',
      },
      idle: { help: 'Count threads that wait (sleep, I/O, locks) too' },
      thread: { value: 'NAME', multiple: true, help: 'Only threads of this name; can be repeated' },
      subprocesses: {
        short: 's',
        help: 'Follow children, and theirs; the process itself need not be Python',
      },
      native: { help: NATIVE_HELP },
      kernel: { help: KERNEL_HELP },
      offcpu: { help: OFFCPU_HELP },
      engine: { value: 'ENGINE', help: ENGINE_HELP },
      count: { short: 'n', value: 'N', help: 'Without a terminal: end after this many tables' },
      limit: { value: 'N', help: 'Without a terminal: rows of a table (default: 20)' },
      json: { help: 'One JSON object a line for each interval, no pictures' },
      help: HELP,
    },
    notes: [
      'SELF% and TOTAL% are of the last 5 seconds (without a terminal: of the interval), SELF and TOTAL since the ' +
        'start. 100% is one thread all the time. The key ? explains all keys.',
      'Without a terminal, tables are printed. What a started program writes is a view of its own, and goes to ' +
        'standard error when there is no terminal. Leaving ends the program by SIGTERM.',
    ],
  },
  record: {
    summary: 'Record a process, or a program and its arguments, into a file',
    usage: ['pyprof-rs record [options] <pid>', 'pyprof-rs record [options] -- python app.py [args]'],
    options: {
      pid: { short: 'p', value: 'PID', help: 'The process; the same as <pid>' },
      rate: { short: 'r', value: 'HZ', help: 'Samples a second (default: 1000)' },
      jitter: { value: 'SHARE', help: JITTER_HELP },
      duration: {
        short: 'd',
        value: 'TIME',
        help: 'End after this time: 10 (seconds), 500ms, 1.5m, 1h (default: until the target ends or Ctrl-C)',
      },
      output: {
        short: 'o',
        value: 'FILE',
        help: 'Result; - is standard output (default: pyprof-NAME-TIME in this folder)',
      },
      format: {
        short: 'f',
        value: 'FORMAT',
        help: "collapsed, speedscope or pprof (default: by the file's name, else speedscope)",
      },
      mode: {
        value: 'MODE',
        help: 'Which time counts: wall (elapsed), cpu, or gil (elapsed while holding the GIL) (default: wall)',
      },
      threads: { help: 'Keep threads apart (pprof always does, by labels)' },
      thread: { value: 'NAME', multiple: true, help: 'Only threads of this name; can be repeated' },
      idle: { help: 'Keep threads that wait (sleep, I/O, locks) too' },
      subprocesses: {
        short: 's',
        help: 'Follow children, and theirs; the process itself need not be Python',
      },
      native: { short: 'n', help: NATIVE_HELP },
      kernel: { short: 'k', help: KERNEL_HELP },
      offcpu: { help: OFFCPU_HELP },
      engine: { value: 'ENGINE', help: ENGINE_HELP },
      lines: { help: "Tell lines apart: show the line a frame was at, not its function's first" },
      'gil-stats': { help: 'Show at the end who held the GIL, and who waited for it and how long' },
      'json-summary': {
        help:
          'Print the hottest functions, lines and stacks as JSON (docs/summary.schema.json); a file is written only ' +
          'with -o, and a program started here gets standard error as its standard output',
      },
      quiet: { short: 'q', help: 'No progress and no summary' },
      help: HELP,
    },
    notes: [
      'Formats by file name: .collapsed .folded .txt; .speedscope.json .json; .pb.gz .pprof.',
      'Ctrl-C ends the recording and writes what was seen. A program started by `record --` gets Ctrl-C and ' +
        'other signals itself; a second Ctrl-C ends the recording but not the program. Its exit status becomes ' +
        'that of pyprof-rs.',
    ],
  },
  doctor: {
    summary: 'Show what can be profiled here, how deep, and what would give more',
    usage: ['pyprof-rs doctor [pid] [--json]'],
    options: {
      pid: { short: 'p', value: 'PID', help: 'Examine this process too; the same as <pid>' },
      json: { help: 'Print JSON as described by docs/doctor.schema.json' },
      help: HELP,
    },
    notes: [
      'Changes nothing. The status is 0 when profiling (of that process) is possible, else the one that record ' +
        'would end with.',
    ],
  },
}

export interface Parsed {
  values: Record<string, string | boolean | (string | boolean)[] | undefined>
  positionals: string[]
  /** What follows `--`; absent without `--`. */
  program?: string[]
}

/** @throws {UsageError} */
export function parse(name: string, args: string[]): Parsed {
  const command = COMMANDS[name]!
  const end = args.indexOf('--')
  const own = end < 0 ? args : args.slice(0, end)
  const options = Object.fromEntries(
    Object.entries(command.options).map(([long, { value, short, multiple }]) => [
      long,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        ...(short === undefined ? {} : { short }),
        ...(multiple === undefined ? {} : { multiple }),
      },
    ]),
  )
  try {
    const { values, positionals } = parseArgs({ args: own, options, allowPositionals: true, strict: true })
    return { values: { ...values }, positionals, ...(end < 0 ? {} : { program: args.slice(end + 1) }) }
  } catch (error) {
    throw new UsageError(explain(error as NodeJS.ErrnoException), name)
  }
}

/** Node's message names the option first; its advice about `--` does not fit commands without programs. */
function explain(error: NodeJS.ErrnoException): string {
  const text = error.message.split('. ')[0]!.split('\n')[0]!
  return error.code?.startsWith('ERR_PARSE_ARGS')
    ? text.charAt(0).toLowerCase() + text.slice(1)
    : String(error)
}

/** A pid given as an argument or by `-p`. */
export function pidOf(name: string, { values, positionals }: Parsed): number | undefined {
  const given = [...positionals]
  if (typeof values['pid'] === 'string') given.push(values['pid'])
  if (given.length === 0) return undefined
  if (given.length > 1) throw new UsageError(`one pid, not ${given.join(' ')}`, name)
  if (!/^[1-9]\d{0,9}$/.test(given[0]!)) {
    const hint = name === 'record' || name === 'top' ? '; a program to start goes after --' : ''
    throw new UsageError(`${given[0]} is not a pid${hint}`, name)
  }
  return Number(given[0])
}

/** ms. */
export function parseDuration(text: string, command = 'record'): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)?$/.exec(text)
  const ms = match && Number(match[1]) * { ms: 1, s: 1e3, m: 6e4, h: 3.6e6 }[match[2] ?? 's']!
  if (!ms) throw new UsageError(`${text} is not a duration above 0; write 10, 500ms, 1.5m or 1h`, command)
  return ms
}

export function modeOf(command: string, text: string): Mode {
  if (text === 'wall' || text === 'cpu' || text === 'gil') return text
  throw new UsageError(`no mode '${text}', only wall, cpu, gil`, command)
}

/** How stacks are taken. */
export function engineOf(command: string, text: string): (typeof ENGINES)[number] {
  const engine = ENGINES.find((known) => known === text)
  if (engine === undefined) throw new UsageError(`no engine '${text}', only ${ENGINES.join(', ')}`, command)
  return engine
}

/** A share of the time between samples. */
export function jitterOf(command: string, text: string): number {
  const jitter = Number(text)
  if (text.trim() === '' || !(jitter >= 0 && jitter <= 1)) {
    throw new UsageError(`${text} is not a share of the time between samples, 0 to 1`, command)
  }
  return jitter
}

/** Samples a second. */
export function rateOf(command: string, text: string): number {
  const rate = Number(text)
  if (!(rate > 0)) throw new UsageError(`${text} is not a rate above 0`, command)
  return rate
}

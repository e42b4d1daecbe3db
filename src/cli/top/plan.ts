/** The command line of `top`, understood. */
import { basename } from 'node:path'
import type { ENGINES } from '../../engines.js'
import { UsageError } from '../exit.js'
import { engineOf, jitterOf, modeOf, type Parsed, parseDuration, pidOf, rateOf } from '../options.js'
import { PLACE_SORTS } from './model/rows.js'
import { initialState, PROCESS_SORTS, type State, THREAD_SORTS, type View } from './state.js'

/** Those without a terminal, too. */
const LISTS: readonly View[] = ['functions', 'lines', 'threads', 'processes']

export interface Plan {
  /** `null`: the user chooses. */
  target: { pid: number } | { program: [string, ...string[]] } | null
  /** For file names. */
  name: string | null
  rate: number
  jitter: number
  /** ms; absent: as suits the output. */
  interval?: number
  duration?: number
  count?: number
  limit: number
  json: boolean
  subprocesses: boolean
  threadNames: string[]
  native: boolean
  kernel: boolean
  offcpu: boolean
  engine?: (typeof ENGINES)[number]
  state: State
}

export function planOf(parsed: Parsed): Plan {
  const { values, program } = parsed
  const text = (name: string) => values[name] as string | undefined
  const pid = pidOf('top', parsed)
  const [command, ...args] = program ?? []
  if (pid !== undefined && program) throw new UsageError('give a pid or a program, not both', 'top')
  if (program && command === undefined) throw new UsageError('top needs a program after --', 'top')
  const view = viewOf(text('view') ?? 'functions')
  return {
    target: pid !== undefined ? { pid } : command !== undefined ? { program: [command, ...args] } : null,
    name: command === undefined ? null : basename(args.find((word) => word.endsWith('.py')) ?? command),
    rate: values['rate'] === undefined ? 1000 : rateOf('top', text('rate')!),
    jitter: values['jitter'] === undefined ? 0 : jitterOf('top', text('jitter')!),
    ...(values['interval'] === undefined ? {} : { interval: intervalOf(text('interval')!) }),
    ...(values['duration'] === undefined ? {} : { duration: parseDuration(text('duration')!, 'top') }),
    ...(values['count'] === undefined ? {} : { count: numberOf('count', text('count')!) }),
    limit: values['limit'] === undefined ? 20 : numberOf('limit', text('limit')!),
    json: values['json'] === true,
    subprocesses: values['subprocesses'] === true,
    threadNames: (values['thread'] ?? []) as string[],
    native: values['native'] === true,
    kernel: values['kernel'] === true,
    offcpu: values['offcpu'] === true,
    ...(values['engine'] === undefined ? {} : { engine: engineOf('top', text('engine')!) }),
    state: initialState({
      view,
      hasOutput: program !== undefined,
      // Who asks for blocked time wants to see it.
      measure: measureOf(
        text('mode'),
        values['idle'] === true || (values['offcpu'] === true && !text('mode')),
      ),
      filter: text('filter') ?? '',
      ...sortOf(view, text('sort')),
    }),
  }
}

function measureOf(mode: string | undefined, idle: boolean): State['measure'] {
  const measure = modeOf('top', mode ?? 'wall')
  if (!idle) return measure
  if (measure !== 'wall') throw new UsageError(`waiting threads have no ${measure} time`, 'top')
  return 'all'
}

function viewOf(text: string): View {
  if ((LISTS as readonly string[]).includes(text)) return text as View
  throw new UsageError(`no view '${text}', only ${LISTS.join(', ')}`, 'top')
}

/** `self-now` for `self now`. */
function sortOf(view: View, text: string | undefined): Partial<State> {
  if (text === undefined) return {}
  const find = <Name extends string>(names: readonly Name[]): Name => {
    const option = (name: string) => name.replace(' ', '-').toLowerCase()
    const found = names.find((name) => option(name) === text.toLowerCase())
    if (found) return found
    throw new UsageError(
      `${view} cannot be sorted by '${text}', only by ${names.map(option).join(', ')}`,
      'top',
    )
  }
  if (view === 'threads') return { threadSort: find(THREAD_SORTS) }
  if (view === 'processes') return { processSort: find(PROCESS_SORTS) }
  return { placeSort: find(PLACE_SORTS) }
}

function intervalOf(text: string): number {
  const ms = parseDuration(text, 'top')
  if (ms >= 50 && ms <= 86_400_000) return ms
  throw new UsageError(`an interval is 50ms at least and a day at most, not ${text}`, 'top')
}

function numberOf(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new UsageError(`--${name} is a whole number above 0, not ${text}`, 'top')
}

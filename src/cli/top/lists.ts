/** The rows of each list in the order asked for: the views draw them, the keys move among them. */
import type { ProcessActivity, ThreadActivity } from './model/activity.js'
import { measureIndex } from './model/measure.js'
import type { Model } from './model/model.js'
import type { Place } from './model/places.js'
import { compare, type PlaceRow, placeRows } from './model/rows.js'
import type { ProcessSort, State, ThreadSort } from './state.js'

const CPU = measureIndex('cpu')
const GIL = measureIndex('gil')

export function functionRows(model: Model, state: State): PlaceRow[] {
  const { measure, placeSort: sort } = state
  return placeRows(model.places.functions, model.tally.functions, { measure, sort, accepts: filter(state) })
}

export function lineRows(model: Model, state: State): PlaceRow[] {
  const { measure, placeSort: sort, within } = state
  const owner = within === null ? undefined : model.places.functions.places[within]
  const matches = filter(state)
  const accepts = owner ? (place: Place) => sameFunction(place, owner) && matches(place) : matches
  return placeRows(model.places.lines, model.tally.lines, { measure, sort, accepts })
}

export function threadRows(model: Model, { threadSort, filter }: State): ThreadActivity[] {
  const rows = model.threads().filter(({ info }) => contains(filter, info.name, String(info.tid)))
  return rows.sort((a, b) => THREAD_ORDERS[threadSort](a, b) || a.info.id - b.info.id)
}

export function processRows(model: Model, { processSort, filter }: State): ProcessActivity[] {
  const rows = model
    .processes()
    .filter(({ info }) => contains(filter, info.command.join(' '), String(info.pid)))
  return rows.sort((a, b) => PROCESS_ORDERS[processSort](a, b) || a.info.pid - b.info.pid)
}

/** The thread of the stack view: the one chosen, else the main one, else the first. */
export function stackThread(model: Model, state: State): ThreadActivity | undefined {
  const threads = model.threads()
  return (
    threads.find(({ info }) => info.id === state.thread) ??
    threads.find(({ info }) => info.tid === info.pid) ??
    threads[0]
  )
}

/** Ids of the rows of the current list, in order; empty for views that are no list. */
export function rowIds(model: Model, state: State): number[] {
  switch (state.view) {
    case 'functions':
      return functionRows(model, state).map(({ id }) => id)
    case 'lines':
      return lineRows(model, state).map(({ id }) => id)
    case 'threads':
      return threadRows(model, state).map(({ info }) => info.id)
    case 'processes':
      return processRows(model, state).map(({ info }) => info.id)
    default:
      return []
  }
}

const THREAD_ORDERS: Record<ThreadSort, (a: ThreadActivity, b: ThreadActivity) => number> = {
  'CPU now': (a, b) => b.now[CPU]! - a.now[CPU]!,
  'GIL now': (a, b) => b.now[GIL]! - a.now[GIL]!,
  CPU: (a, b) => b.overall[CPU]! - a.overall[CPU]!,
  name: (a, b) => compare(a.info.name, b.info.name),
}

const PROCESS_ORDERS: Record<ProcessSort, (a: ProcessActivity, b: ProcessActivity) => number> = {
  'CPU now': (a, b) => b.now[CPU]! - a.now[CPU]!,
  CPU: (a, b) => b.overall[CPU]! - a.overall[CPU]!,
  pid: (a, b) => a.info.pid - b.info.pid,
}

function filter({ filter }: State): (place: Place) => boolean {
  return ({ name, file }) => contains(filter, name, file)
}

/** Upper and lower case count only when the text asked for has upper case. */
export function contains(part: string, ...texts: string[]): boolean {
  if (part === '') return true
  const exact = part !== part.toLowerCase()
  return texts.some((text) => (exact ? text : text.toLowerCase()).includes(part))
}

function sameFunction(line: Place, owner: Place): boolean {
  return line.name === owner.name && line.file === owner.file && line.kind === owner.kind
}

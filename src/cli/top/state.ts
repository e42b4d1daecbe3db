/** What the user has chosen to see. */
import type { Measure } from './model/measure.js'
import type { PlaceSort } from './model/rows.js'

export const VIEWS = ['functions', 'lines', 'threads', 'processes', 'stack', 'output'] as const
export type View = (typeof VIEWS)[number]

export const THREAD_SORTS = ['CPU now', 'GIL now', 'CPU', 'name'] as const
export type ThreadSort = (typeof THREAD_SORTS)[number]

export const PROCESS_SORTS = ['CPU now', 'CPU', 'pid'] as const
export type ProcessSort = (typeof PROCESS_SORTS)[number]

export interface Prompt {
  for: 'filter' | 'save'
  text: string
}

export interface State {
  view: View
  /** `output` exists only for a program started here. */
  hasOutput: boolean
  help: boolean
  measure: Measure
  placeSort: PlaceSort
  threadSort: ThreadSort
  processSort: ProcessSort
  /** Part of a name or file. */
  filter: string
  /** Only lines of this function; an index of `Places.functions`. */
  within: number | null
  prompt: Prompt | null
  /** The chosen row of each list, by its id; absent: none. */
  cursor: Partial<Record<View, number>>
  /** Thread of the stack view; `null`: the main one. */
  thread: number | null
  /** Lines away from where help, stack and output begin. */
  scroll: number
  /** Said until the next key. */
  message: { text: string; bad: boolean } | null
}

export function initialState(chosen: Partial<State> = {}): State {
  return {
    view: 'functions',
    hasOutput: false,
    help: false,
    measure: 'wall',
    placeSort: 'self now',
    threadSort: 'CPU now',
    processSort: 'CPU now',
    filter: '',
    within: null,
    prompt: null,
    cursor: {},
    thread: null,
    scroll: 0,
    message: null,
    ...chosen,
  }
}

export function viewsOf({ hasOutput }: State): readonly View[] {
  return hasOutput ? VIEWS : VIEWS.slice(0, -1)
}

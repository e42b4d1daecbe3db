/** What a key does: a new state, and something that the one who runs the view must do. */
import type { Key } from '../terminal/keyboard.js'
import { rowIds, stackThread } from './lists.js'
import { MEASURES } from './model/measure.js'
import type { Model, Scope } from './model/model.js'
import { PLACE_SORTS } from './model/rows.js'
import { PROCESS_SORTS, type State, THREAD_SORTS, type View, viewsOf } from './state.js'

export type Action =
  | { type: 'quit' }
  | { type: 'suspend' }
  | { type: 'reset' }
  | { type: 'pause' }
  | { type: 'save'; path: string }
  | { type: 'scope'; scope: Scope | null }

export interface Pressed {
  state: State
  action?: Action
}

export interface Context {
  model: Model
  /** Rows of a page. */
  page: number
  /** Proposed when saving. */
  fileName: () => string
}

export function press(before: State, key: Key, context: Context): Pressed {
  if (key.ctrl && key.name === 'c') return { state: before, action: { type: 'quit' } }
  if (key.ctrl && key.name === 'z') return { state: before, action: { type: 'suspend' } }
  const state = { ...before, message: null }
  if (state.prompt) return typed(state, key)
  if (key.ctrl) return { state }
  const digit = Number(key.text)
  const views = viewsOf(state)
  if (digit >= 1 && digit <= views.length) return { state: show(state, views[digit - 1]!) }
  switch (key.name ?? key.text) {
    case 'q':
      return state.help ? { state: { ...state, help: false } } : { state, action: { type: 'quit' } }
    case 'tab':
      return { state: show(state, next(views, state.view, key.shift ? -1 : 1)) }
    case 'up':
    case 'k':
      return { state: move(state, context, -1) }
    case 'down':
    case 'j':
      return { state: move(state, context, 1) }
    case 'pageup':
      return { state: move(state, context, -context.page) }
    case 'pagedown':
      return { state: move(state, context, context.page) }
    case 'home':
      return { state: move(state, context, -Infinity) }
    case 'end':
      return { state: move(state, context, Infinity) }
    case 'left':
      return { state: otherThread(state, context, -1) }
    case 'right':
      return { state: otherThread(state, context, 1) }
    case 'return':
    case 'enter':
      return open(state, context)
    case 't':
      return onlyThread(state, context)
    case 'escape':
      return back(state, context)
    case 's':
      return { state: sortBy(state, key.shift ? -1 : 1) }
    case 'm':
      return { state: { ...state, measure: nextMeasure(state) } }
    case 'i':
      return { state: { ...state, measure: state.measure === 'all' ? 'wall' : 'all' } }
    case 'p':
    case 'space':
      return { state, action: { type: 'pause' } }
    case 'r':
      return {
        state: { ...state, message: { text: 'counting from here on', bad: false } },
        action: { type: 'reset' },
      }
    case 'w':
      return { state: { ...state, prompt: { for: 'save', text: context.fileName() } } }
    case '/':
      return { state: { ...state, help: false, prompt: { for: 'filter', text: state.filter } } }
    case 'h':
    case '?':
      return { state: { ...state, help: !state.help, scroll: 0 } }
    default:
      return { state }
  }
}

/** Into the prompt. A filter works while it is typed. */
function typed(state: State, { name, text, ctrl }: Key): Pressed {
  const prompt = state.prompt!
  const write = (text: string): Pressed => ({
    state: { ...state, prompt: { ...prompt, text }, ...(prompt.for === 'filter' ? { filter: text } : {}) },
  })
  const closed = { ...state, prompt: null }
  if (name === 'escape') {
    return { state: prompt.for === 'filter' ? { ...closed, filter: '' } : closed }
  }
  if (name === 'return' || name === 'enter') {
    if (prompt.for === 'filter' || prompt.text === '') return { state: closed }
    return { state: closed, action: { type: 'save', path: prompt.text } }
  }
  if (name === 'backspace') return write([...prompt.text].slice(0, -1).join(''))
  if (ctrl && name === 'u') return write('')
  if (ctrl && name === 'w') return write(prompt.text.replace(/[^/\s]*[/\s]*$/, ''))
  if (ctrl || !/^[^\x00-\x1f\x7f]+$/.test(text)) return { state }
  return write(prompt.text + text)
}

function show(state: State, view: View): State {
  return { ...state, view, help: false, scroll: 0 }
}

function move(state: State, { model }: Context, by: number): State {
  if (state.help || state.view === 'output' || state.view === 'stack') {
    // Stack and output begin at their ends, where the news is.
    const away = state.help ? by : -by
    return { ...state, scroll: Math.min(Math.max(0, state.scroll + away), 1e6) }
  }
  const ids = rowIds(model, state)
  if (ids.length === 0) return state
  const at = ids.indexOf(state.cursor[state.view] ?? -1)
  // The first key only shows where one is.
  const from = at < 0 ? (Math.abs(by) === 1 ? -by : 0) : at
  const to = from + by
  const id = ids[Math.min(Math.max(0, to), ids.length - 1)]!
  return { ...state, cursor: { ...state.cursor, [state.view]: id } }
}

function otherThread(state: State, { model }: Context, by: 1 | -1): State {
  if (state.view !== 'stack') return state
  const ids = model.threads().map(({ info }) => info.id)
  const now = stackThread(model, state)?.info.id
  return now === undefined ? state : { ...state, thread: next(ids, now, by), scroll: 0 }
}

function open(state: State, { model }: Context): Pressed {
  const id = chosen(state, model)
  if (id === undefined || state.help) return { state }
  if (state.view === 'functions') return { state: { ...show(state, 'lines'), within: id } }
  if (state.view === 'threads') return { state: { ...show(state, 'stack'), thread: id } }
  if (state.view !== 'processes') return { state }
  return { state: show(state, 'functions'), action: { type: 'scope', scope: { process: id } } }
}

function onlyThread(state: State, { model }: Context): Pressed {
  const id = state.view === 'stack' ? stackThread(model, state)?.info.id : chosen(state, model)
  if (id === undefined || (state.view !== 'threads' && state.view !== 'stack')) return { state }
  return { state: show(state, 'functions'), action: { type: 'scope', scope: { thread: id } } }
}

/** The chosen row, else the first one. */
function chosen(state: State, model: Model): number | undefined {
  const ids = rowIds(model, state)
  const id = state.cursor[state.view]
  return id !== undefined && ids.includes(id) ? id : ids[0]
}

/** Takes back one thing, the last one first. */
function back(state: State, { model }: Context): Pressed {
  if (state.help) return { state: { ...state, help: false } }
  if (state.filter !== '') return { state: { ...state, filter: '' } }
  if (state.view === 'lines' && state.within !== null) {
    return { state: { ...show(state, 'functions'), within: null } }
  }
  if (model.scope) return { state, action: { type: 'scope', scope: null } }
  return { state: { ...state, cursor: {}, scroll: 0 } }
}

function sortBy(state: State, by: 1 | -1): State {
  switch (state.view) {
    case 'threads':
      return { ...state, threadSort: next(THREAD_SORTS, state.threadSort, by) }
    case 'processes':
      return { ...state, processSort: next(PROCESS_SORTS, state.processSort, by) }
    case 'functions':
    case 'lines':
      return { ...state, placeSort: next(PLACE_SORTS, state.placeSort, by) }
    default:
      return state
  }
}

/** Waiting time has a key of its own. */
function nextMeasure({ measure }: State): State['measure'] {
  return next(
    MEASURES.filter((name) => name !== 'all'),
    measure === 'all' ? 'wall' : measure,
    1,
  )
}

function next<T>(list: readonly T[], now: T, by: 1 | -1): T {
  return list[(list.indexOf(now) + by + list.length) % list.length]!
}

/** The lines above every view: the target, how busy it is, how the sampler does, and what is shown. */
import { type Line, lineWidth, parts, type Style, span } from '../../terminal/paint.js'
import { plain } from '../../terminal/plain.js'
import { count, percent, time } from '../../terminal/units.js'
import { cut, width } from '../../terminal/width.js'
import { measureIndex } from '../model/measure.js'
import { engineText } from '../model/pace.js'
import { type State, viewsOf } from '../state.js'
import type { Scene, Size } from './context.js'
import { share, shortCommand } from './text.js'

const CPU = measureIndex('cpu')
const GIL = measureIndex('gil')

export function header(scene: Scene, { columns, rows }: Size): Line[] {
  const busy = activity(scene)
  const health = sampler(scene)
  // On a low screen the table needs the lines more.
  const middle =
    rows < 16
      ? [parts([...busy.slice(0, 2), ...health], columns)]
      : [
          parts([[span('process', 'dim')], ...busy], columns),
          parts([[span('sampler', 'dim')], ...health], columns),
        ]
  return [title(scene, columns), ...middle, tabs(scene, columns)]
}

function title({ target, ended, model }: Scene, columns: number): Line {
  const right: Line = ended ? [span(ended, 'bad')] : model.paused ? [span('paused', 'bad')] : version(target)
  const pid = target.pid === null ? 'starting' : `pid ${target.pid}`
  const space = columns - width(pid) - 2 - lineWidth(right) - 2
  // What happened matters more than the command's name.
  if (space < 8) return parts([[span(pid, 'bold')], right], columns)
  const command = cut(plain(shortCommand(target.command)), space)
  return [span(pid, 'bold'), span(`  ${command}${' '.repeat(space - width(command))}  `), ...right]
}

function version({ pythonVersion }: Scene['target']): Line {
  return pythonVersion === null ? [] : [span(`CPython ${pythonVersion}`, 'dim')]
}

function activity({ model }: Scene): Line[] {
  const threads = model.threads().filter(({ ended }) => !ended)
  const processes = model.processes().filter(({ ended }) => !ended)
  const { nowNs, overallNs } = model.everything.functions
  const sum = (measure: number) => threads.reduce((all, { now }) => all + now[measure]!, 0)
  const running = threads.filter(({ onCpu }) => onCpu).length
  const tree: Line = processes.length > 1 ? [span(`${processes.length} processes`)] : []
  return [
    labelled('CPU', share(sum(CPU), nowNs)),
    labelled('GIL', share(sum(GIL), nowNs)),
    [span(`${threads.length} ${threads.length === 1 ? 'thread' : 'threads'}, ${running} running`)],
    tree,
    [span(`for ${time(overallNs)}`, 'dim')],
  ]
}

function sampler({ pace, rate, model }: Scene): Line[] {
  // Below this the figures stand for much less than they seem to.
  const slow = pace.rate > 0 && pace.rate < 0.8 * rate
  return [
    [span(`${pace.rate.toFixed(0)}/${rate} Hz`, slow ? 'bad' : undefined)],
    labelled('cut', percent(pace.cut, 1), pace.cut > 0.5 ? 'bad' : undefined),
    labelled('failed', percent(pace.failed, 1), pace.failed > 0.2 ? 'bad' : undefined),
    labelled('own CPU', percent(pace.ownCpu, 1)),
    pace.engine === '' ? [] : [span(engineText(pace), 'dim')],
    model.lost > 0 ? labelled('lost', count(model.lost), 'bad') : [],
  ]
}

function labelled(name: string, value: string, style?: Style): Line {
  return [span(`${name} `, 'dim'), span(value, style)]
}

const MEASURE_NAMES: Record<State['measure'], string> = {
  wall: 'wall',
  all: 'wall and waiting',
  cpu: 'cpu',
  gil: 'gil',
}

function tabs({ state, model }: Scene, columns: number): Line {
  const names = viewsOf(state).map((view, i) => {
    const style = view === state.view && !state.help ? 'chosen' : 'dim'
    return { view, span: span(` ${i + 1} ${view} `, style) }
  })
  const all = names.map(({ span }) => span)
  const shown =
    lineWidth(all) <= columns ? all : names.filter(({ view }) => view === state.view).map(({ span }) => span)
  const space = columns - lineWidth(shown) - 2
  const text = cut(chosen(state, model), Math.max(0, space))
  if (text === '' || state.help) return shown
  return [...shown, span(' '.repeat(space - width(text) + 2)), span(text, 'dim')]
}

/** `wall, by self now, only thread x, /filter`, the most surprising first: it is what gets seen when space is short. */
function chosen(state: State, model: Scene['model']): string {
  const { scope, tables } = model
  const thread = scope && 'thread' in scope ? tables?.threads.get(scope.thread)?.name : undefined
  const process = scope && 'process' in scope ? tables?.processes.get(scope.process)?.pid : undefined
  const places = state.view === 'functions' || state.view === 'lines'
  const owner =
    state.view === 'lines' && state.within !== null ? model.places.functions.places[state.within] : null
  return [
    state.filter && !state.prompt ? `/${plain(state.filter)}` : '',
    places && thread !== undefined ? `only ${plain(thread)}` : '',
    places && process !== undefined ? `only pid ${process}` : '',
    owner ? `in ${plain(owner.name)}` : '',
    places ? MEASURE_NAMES[state.measure] : '',
    sortName(state),
  ]
    .filter((part) => part !== '')
    .join(', ')
}

function sortName(state: State): string {
  switch (state.view) {
    case 'functions':
    case 'lines':
      return `by ${state.placeSort}`
    case 'threads':
      return `by ${state.threadSort}`
    case 'processes':
      return `by ${state.processSort}`
    case 'stack':
      return 'most recent call last'
    default:
      return ''
  }
}

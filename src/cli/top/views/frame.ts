/** One whole picture: exactly as many lines as the screen has. */
import { type Line, parts, span } from '../../terminal/paint.js'
import { plain } from '../../terminal/plain.js'
import { cutStart } from '../../terminal/width.js'
import type { View as ViewName } from '../state.js'
import type { Scene, Size, View } from './context.js'
import { header } from './header.js'
import { helpView } from './help.js'
import { outputView } from './output.js'
import { functionsView, linesView } from './places.js'
import { processesView } from './processes.js'
import { stackView } from './stack.js'
import { threadsView } from './threads.js'

const VIEWS: Record<ViewName, View> = {
  functions: functionsView,
  lines: linesView,
  threads: threadsView,
  processes: processesView,
  stack: stackView,
  output: outputView,
}

export function frame(scene: Scene, size: Size): Line[] {
  const top = header(scene, size).slice(0, Math.max(1, size.rows - 2))
  const height = bodyHeight(size)
  const view = scene.state.help ? helpView : VIEWS[scene.state.view]
  const body = height > 0 ? view(scene, { columns: size.columns, rows: height }).slice(0, height) : []
  const filled = [...top, ...body]
  while (filled.length < size.rows - 1) filled.push([])
  return [...filled, footer(scene, size.columns)].slice(-size.rows)
}

/** Lines of a view, its heading among them. */
export function bodyHeight({ rows }: Size): number {
  return Math.max(0, rows - (rows < 16 ? 3 : 4) - 1)
}

/** The most wanted first: narrow screens show only these. */
const HINTS = {
  help: ['? back', '↑↓ scroll'],
  live: ['q quit', '? help', 's sort', '/ filter', 'm mode', 'p pause', 'r reset', 'w write', 'Enter open'],
  ended: ['q quit', 'w write', '? help', '/ filter', 's sort', 'm mode'],
}

const PROMPTS = { filter: 'filter: ', save: 'write to: ' }

function footer({ state, ended }: Scene, columns: number): Line {
  if (state.prompt) {
    const label = PROMPTS[state.prompt.for]
    return [
      span(label, 'bold'),
      span(cutStart(plain(state.prompt.text), columns - label.length - 1)),
      span(' ', 'chosen'),
    ]
  }
  if (state.message) return [span(plain(state.message.text), state.message.bad ? 'bad' : 'bold')]
  const hints = state.help ? HINTS.help : ended ? HINTS.ended : HINTS.live
  return parts(
    hints.map((hint) => {
      const [key, ...words] = hint.split(' ')
      return [span(key!, 'bold'), span(` ${words.join(' ')}`, 'dim')]
    }),
    columns,
  )
}

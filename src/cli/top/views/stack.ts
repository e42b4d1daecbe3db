/** Where one thread is: its stack in the last look, most recent call last, as in a traceback. */
import { type Line, span } from '../../terminal/paint.js'
import { plain } from '../../terminal/plain.js'
import { stackThread } from '../lists.js'
import { measureIndex } from '../model/measure.js'
import { NO_PYTHON, type Place } from '../model/places.js'
import { slice, type View } from './context.js'
import { placeName, placeStyle, placeWhere, share } from './text.js'

const CPU = measureIndex('cpu')

export const stackView: View = ({ model, state }, { rows: height }) => {
  const thread = stackThread(model, state)
  if (!thread) return [[], [span('Nothing seen yet.', 'dim')]]
  const threads = model.threads()
  const number = threads.findIndex(({ info }) => info.id === thread.info.id) + 1
  const { nowNs } = model.everything.functions
  const head: Line = [
    span(plain(thread.info.name), 'bold'),
    span(`  ${thread.info.tid || 'id unknown'}  `, 'dim'),
    span(thread.ended ? 'ended' : thread.onCpu ? 'runs' : 'waits', thread.onCpu ? 'good' : 'dim'),
    span(thread.holdsGil ? ', holds the GIL' : ''),
    span(`  CPU ${share(thread.now[CPU]!, nowNs)}`),
    span(`  thread ${number} of ${threads.length}`, 'dim'),
  ]
  const lines = frameLines(model.framesOf(thread.stack))
  return [head, ...lastLines(lines, state.scroll, height - 1)]
}

/** The end, or as far above it as was scrolled to. */
export function lastLines(lines: readonly Line[], up: number, height: number): Line[] {
  const end = Math.max(Math.min(lines.length, height), lines.length - up)
  return slice(lines.slice(0, end), end, height).rows
}

/** Deep recursion repeats a frame; as in a traceback, three are shown and the rest counted. */
function frameLines(frames: readonly Place[]): Line[] {
  if (frames.length === 0) return [[span(NO_PYTHON, 'dim')]]
  const lines: Line[] = []
  let repeats = 0
  frames.forEach((frame, i) => {
    const before = frames[i - 1]
    repeats = before && same(before, frame) ? repeats + 1 : 1
    const after = frames[i + 1]
    if (repeats <= 3) lines.push(frameLine(frame))
    else if (!after || !same(frame, after)) {
      const more = repeats - 3
      lines.push([span(`[previous frame repeated ${more} more ${more === 1 ? 'time' : 'times'}]`, 'dim')])
    }
  })
  return lines
}

function frameLine(frame: Place): Line {
  return [span(placeName(frame), placeStyle(frame)), span(`  ${placeWhere(frame)}`, 'dim')]
}

function same(a: Place, b: Place): boolean {
  return a.name === b.name && a.file === b.file && a.line === b.line
}

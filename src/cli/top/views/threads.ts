/** Threads: how much CPU and GIL they have, whether they run, and where they are. */
import { type GridColumn, grid } from '../../terminal/grid.js'
import { plain } from '../../terminal/plain.js'
import { time } from '../../terminal/units.js'
import { threadRows } from '../lists.js'
import type { ThreadActivity } from '../model/activity.js'
import { measureIndex } from '../model/measure.js'
import { NO_PYTHON } from '../model/places.js'
import { slice, type View } from './context.js'
import { nothing } from './places.js'
import { placeName, placeWhere, share } from './text.js'

const CPU = measureIndex('cpu')
const GIL = measureIndex('gil')
const WALL = measureIndex('wall')

export const threadsView: View = ({ model, state }, { columns, rows: height }) => {
  const all = threadRows(model, state)
  if (all.length === 0) return nothing(state.filter)
  const at = all.findIndex(({ info }) => info.id === state.cursor.threads)
  const { rows, chosen } = slice(all, at, height - 1)
  const { nowNs } = model.everything.functions
  const several = new Set(all.map(({ info }) => info.pid)).size > 1
  const sort = state.threadSort
  const part = (measure: number) => (row: ThreadActivity) => share(row.now[measure]!, nowNs)
  const shape: GridColumn<ThreadActivity>[] = [
    { title: 'CPU%', right: true, width: 6, sorted: sort === 'CPU now', cell: part(CPU) },
    { title: 'GIL%', right: true, width: 6, sorted: sort === 'GIL now', cell: part(GIL) },
    { title: 'RUN%', right: true, width: 6, from: 70, cell: part(WALL) },
    {
      title: 'CPU',
      right: true,
      width: 6,
      from: 60,
      sorted: sort === 'CPU',
      cell: (row) => time(row.overall[CPU]!),
    },
    {
      title: 'STATE',
      width: 5,
      cell: threadState,
      style: ({ ended, onCpu }) => (onCpu ? 'good' : ended ? 'bad' : 'dim'),
    },
    { title: 'TID', right: true, width: 7, from: 60, cell: ({ info }) => String(info.tid || '?') },
    ...(several
      ? [
          {
            title: 'PID',
            right: true,
            width: 7,
            from: 80,
            cell: (row: ThreadActivity) => String(row.info.pid),
          },
        ]
      : []),
    { title: 'NAME', sorted: sort === 'name', cell: ({ info }) => plain(info.name) },
    { title: 'AT', from: 50, cell: ({ stack }) => leaf(stack), style: () => 'dim' },
  ]
  const { heading, rows: lines } = grid(shape, rows, columns, chosen)
  return [heading, ...lines]

  function leaf(stack: number): string {
    const frame = model.framesOf(stack).at(-1)
    if (!frame) return NO_PYTHON
    const where = placeWhere(frame)
    return `${placeName(frame)}${where && `  ${where}`}`
  }
}

/** In the last look at it. */
export function threadState({ ended, onCpu, holdsGil }: ThreadActivity): string {
  if (ended) return 'ended'
  if (holdsGil) return 'GIL'
  return onCpu ? 'runs' : 'waits'
}

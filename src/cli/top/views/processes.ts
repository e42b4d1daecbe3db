/** Processes of the tree: all their threads together. */
import { type GridColumn, grid } from '../../terminal/grid.js'
import { plain } from '../../terminal/plain.js'
import { time } from '../../terminal/units.js'
import { processRows } from '../lists.js'
import type { ProcessActivity } from '../model/activity.js'
import { measureIndex } from '../model/measure.js'
import { slice, type View } from './context.js'
import { nothing } from './places.js'
import { share, shortCommand } from './text.js'

const CPU = measureIndex('cpu')
const GIL = measureIndex('gil')

export const processesView: View = ({ model, state }, { columns, rows: height }) => {
  const all = processRows(model, state)
  if (all.length === 0) return nothing(state.filter)
  const at = all.findIndex(({ info }) => info.id === state.cursor.processes)
  const { rows, chosen } = slice(all, at, height - 1)
  const { nowNs } = model.everything.functions
  const sort = state.processSort
  const part = (measure: number) => (row: ProcessActivity) => share(row.now[measure]!, nowNs)
  const shape: GridColumn<ProcessActivity>[] = [
    { title: 'CPU%', right: true, width: 6, sorted: sort === 'CPU now', cell: part(CPU) },
    { title: 'GIL%', right: true, width: 6, from: 50, cell: part(GIL) },
    {
      title: 'CPU',
      right: true,
      width: 6,
      from: 60,
      sorted: sort === 'CPU',
      cell: ({ overall }) => time(overall[CPU]!),
    },
    { title: 'THREADS', right: true, width: 7, from: 70, cell: ({ threads }) => String(threads) },
    { title: 'PID', right: true, width: 7, sorted: sort === 'pid', cell: ({ info }) => String(info.pid) },
    { title: 'PARENT', right: true, width: 7, from: 80, cell: ({ info }) => String(info.ppid || '?') },
    {
      title: 'PYTHON',
      width: 7,
      from: 50,
      cell: ({ info, ended }) => (ended ? 'ended' : (info.pythonVersion ?? 'no')),
      style: ({ ended }) => (ended ? 'bad' : undefined),
    },
    { title: 'COMMAND', cell: ({ info }) => plain(shortCommand(info.command.join(' '))) || '?' },
  ]
  const { heading, rows: lines } = grid(shape, rows, columns, chosen)
  return [heading, ...lines]
}

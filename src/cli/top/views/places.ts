/** Functions and lines: self and total time, now and since the start. */
import { type GridColumn, grid } from '../../terminal/grid.js'
import { type Line, span } from '../../terminal/paint.js'
import { time } from '../../terminal/units.js'
import { functionRows, lineRows } from '../lists.js'
import type { PlaceRow } from '../model/rows.js'
import type { Rolling } from '../model/sums.js'
import { type Scene, type Size, slice, type View } from './context.js'
import { bar, placeName, placeStyle, placeWhere, share } from './text.js'

const BAR = 10

export const functionsView: View = (scene, size) =>
  placesView(scene, size, functionRows(scene.model, scene.state), scene.model.tally.functions, 'FUNCTION')

export const linesView: View = (scene, size) =>
  placesView(scene, size, lineRows(scene.model, scene.state), scene.model.tally.lines, 'FUNCTION')

function placesView(
  { state }: Scene,
  { columns, rows: height }: Size,
  all: PlaceRow[],
  { nowNs, overallNs }: Rolling,
  title: string,
): Line[] {
  const at = all.findIndex(({ id }) => id === state.cursor[state.view])
  const { rows, chosen } = slice(all, at, height - 1)
  const sort = state.placeSort
  const shape: GridColumn<PlaceRow>[] = [
    {
      title: 'SELF%',
      right: true,
      width: 6,
      sorted: sort === 'self now',
      cell: ({ selfNow }) => share(selfNow, nowNs),
      style: ({ selfNow }) => (selfNow > 0.1 * nowNs ? 'bold' : selfNow === 0 ? 'dim' : undefined),
    },
    {
      title: 'TOTAL%',
      right: true,
      width: 6,
      sorted: sort === 'total now',
      cell: ({ totalNow }) => share(totalNow, nowNs),
      style: ({ totalNow }) => (totalNow === 0 ? 'dim' : undefined),
    },
    {
      title: '',
      from: 100,
      width: BAR,
      cell: ({ selfNow }) => bar(selfNow / nowNs, BAR),
      style: () => 'good',
    },
    {
      title: 'SELF',
      right: true,
      width: 6,
      from: 60,
      sorted: sort === 'self',
      cell: ({ self }) => time(self),
      style: ({ self }) => (self === 0 ? 'dim' : undefined),
    },
    {
      title: '',
      right: true,
      width: 6,
      from: 120,
      cell: ({ self }) => share(self, overallNs),
      style: () => 'dim',
    },
    {
      title: 'TOTAL',
      right: true,
      width: 6,
      from: 60,
      sorted: sort === 'total',
      cell: ({ total }) => time(total),
    },
    {
      title: '',
      right: true,
      width: 6,
      from: 120,
      cell: ({ total }) => share(total, overallNs),
      style: () => 'dim',
    },
    {
      title,
      share: 3,
      sorted: sort === 'name',
      cell: ({ place }) => placeName(place),
      style: ({ place }) => placeStyle(place),
    },
    {
      title: 'WHERE',
      from: 50,
      path: true,
      share: 2,
      cell: ({ place }) => placeWhere(place),
      style: () => 'dim',
    },
  ]
  if (all.length === 0) return nothing(state.filter)
  const { heading, rows: lines } = grid(shape, rows, columns, chosen)
  return [heading, ...lines]
}

export function nothing(filter: string): Line[] {
  const text = filter === '' ? 'Nothing seen yet.' : `Nothing matches ${filter}; Esc shows all.`
  return [[], [span(text, 'dim')]]
}

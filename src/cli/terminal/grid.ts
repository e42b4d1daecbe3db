/** A table for a screen: columns that come and go with its width, one that takes the rest. */
import { type Line, type Span, type Style, span } from './paint.js'
import { cutPath, fit, width } from './width.js'

export interface GridColumn<Row> {
  title: string
  cell: (row: Row) => string
  right?: boolean
  /** In columns of the screen; absent: shares what is left, by `share`. */
  width?: number
  /** Of what is left. Default: 1. */
  share?: number
  /** Screens narrower than this go without the column. */
  from?: number
  /** A path: its end is kept when it does not fit. */
  path?: boolean
  style?: (row: Row) => Style | undefined
  /** The rows are ordered by it. */
  sorted?: boolean
}

export interface Grid {
  heading: Line
  rows: Line[]
}

const GAP = 2

/** `chosen`: the row that is, drawn over its whole width. */
export function grid<Row>(
  all: readonly GridColumn<Row>[],
  rows: readonly Row[],
  columns: number,
  chosen = -1,
): Grid {
  const shown = all.filter(({ from = 0 }) => columns >= from)
  const widths = widthsOf(shown, rows, columns)
  const line = (cell: (column: GridColumn<Row>) => Span, plain: boolean): Line => {
    const spans: Span[] = []
    shown.forEach((column, i) => {
      if (i > 0) spans.push(span(' '.repeat(GAP)))
      const { text, style } = cell(column)
      const kept = column.path ? cutPath(text, widths[i]!) : text
      spans.push(span(fit(kept, widths[i]!, column.right), style))
    })
    return plain ? [span(fit(spans.map(({ text }) => text).join(''), columns), 'chosen')] : trimmed(spans)
  }
  return {
    heading: line(({ title, sorted }) => span(title, sorted ? 'bold' : 'dim'), false),
    rows: rows.map((row, i) => line((column) => span(column.cell(row), column.style?.(row)), i === chosen)),
  }
}

/** Shared space goes to who needs it: a column gets no more than its longest cell. */
function widthsOf<Row>(shown: readonly GridColumn<Row>[], rows: readonly Row[], columns: number): number[] {
  const widths = shown.map((column) => column.width ?? 0)
  let left = columns - GAP * (shown.length - 1) - widths.reduce((a, b) => a + b, 0)
  let waiting = shown.flatMap((column, i) => (column.width === undefined ? [i] : []))
  const needs = new Map(
    waiting.map((i) => [
      i,
      Math.max(width(shown[i]!.title), ...rows.map((row) => width(shown[i]!.cell(row)))),
    ]),
  )
  const share = (i: number) => shown[i]!.share ?? 1
  while (waiting.length > 0) {
    const shares = waiting.reduce((sum, i) => sum + share(i), 0)
    const content = waiting.filter((i) => needs.get(i)! <= Math.floor((left * share(i)) / shares))
    if (content.length === 0) {
      for (const i of waiting) widths[i] = Math.max(0, Math.floor((left * share(i)) / shares))
      break
    }
    for (const i of content) {
      widths[i] = needs.get(i)!
      left -= needs.get(i)!
    }
    waiting = waiting.filter((i) => !content.includes(i))
  }
  return widths
}

function trimmed(spans: Span[]): Line {
  const result = [...spans]
  for (let last = result.pop(); last; last = result.pop()) {
    const text = last.text.trimEnd()
    if (text !== '') return [...result, { ...last, text }]
  }
  return []
}

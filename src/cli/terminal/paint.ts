/** Lines of styled text, and how they become what a terminal draws. */
import { cut, width } from './width.js'

/** `heading`: of a table. `chosen`: the row or tab that is. Colours are of the sixteen that every theme sets itself. */
export type Style = 'bold' | 'dim' | 'heading' | 'chosen' | 'native' | 'kernel' | 'good' | 'bad'

export interface Span {
  text: string
  style?: Style
}

export type Line = readonly Span[]

const CODES: Record<Style, { attributes?: string; colour?: string }> = {
  bold: { attributes: '1' },
  dim: { attributes: '2' },
  heading: { attributes: '4' },
  chosen: { attributes: '7' },
  native: { colour: '35' },
  kernel: { colour: '36' },
  good: { colour: '32' },
  bad: { attributes: '1', colour: '31' },
}

/** `none`: text alone. `attributes`: bold and reversed, no colour (NO_COLOR). */
export type Colours = 'none' | 'attributes' | 'all'

export function lineWidth(line: Line): number {
  return line.reduce((sum, { text }) => sum + width(text), 0)
}

/** At most `columns` wide. */
export function paint(line: Line, columns: number, colours: Colours): string {
  let left = columns
  let result = ''
  for (const { text, style } of line) {
    if (left <= 0) break
    const shown = cut(text, left)
    left -= width(shown)
    result += styled(shown, style, colours)
    // A cut text fills its columns, or all but one before a wide character that does not fit.
    if (shown !== text) break
  }
  return result
}

function styled(text: string, style: Style | undefined, colours: Colours): string {
  if (!style || colours === 'none' || text === '') return text
  const { attributes, colour } = CODES[style]
  const codes = [attributes, colours === 'all' ? colour : undefined].filter((code) => code !== undefined)
  return codes.length === 0 ? text : `\x1b[${codes.join(';')}m${text}\x1b[0m`
}

export function span(text: string, style?: Style): Span {
  return style === undefined ? { text } : { text, style }
}

/** As many parts as fit beside each other, the first ones first; `gap` spaces between them. */
export function parts(list: readonly Line[], columns: number, gap = 2): Line {
  const line: Span[] = []
  let used = 0
  for (const part of list) {
    const needed = lineWidth(part) + (used === 0 ? 0 : gap)
    if (part.length === 0 || (used > 0 && used + needed > columns)) continue
    if (used > 0) line.push({ text: ' '.repeat(gap) })
    line.push(...part)
    used += needed
  }
  return line
}

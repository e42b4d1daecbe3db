/** How many columns of a terminal a text takes, and texts cut to columns. */
import { eastAsianWidth } from 'get-east-asian-width'

/** Drawn over the character before: marks, joiners, variation selectors, the later parts of Hangul syllables. */
const ZERO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]/u
const PLAIN = /^[\x20-\x7e]*$/

export function width(text: string): number {
  if (PLAIN.test(text)) return text.length
  let columns = 0
  for (const char of text) columns += widthOf(char)
  return columns
}

/** At most `columns` wide; what was cut is marked by `…`. */
export function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text
  return columns < 1 ? '' : `${take(text, columns - 1)}…`
}

/** Like `cut`, keeping the end. */
export function cutStart(text: string, columns: number): string {
  if (width(text) <= columns) return text
  if (columns < 1) return ''
  const chars = [...text]
  let first = chars.length
  for (let left = columns - 1; first > 0; first--) {
    left -= widthOf(chars[first - 1]!)
    if (left < 0) break
  }
  // A mark alone would sit on the dots.
  while (first < chars.length && widthOf(chars[first]!) === 0) first++
  return `…${chars.slice(first).join('')}`
}

/** Like `cutStart`, at a whole part of a path where there is one. */
export function cutPath(path: string, columns: number): string {
  const short = cutStart(path, columns)
  const part = short.indexOf('/')
  return short === path || part < 0 ? short : `…${short.slice(part)}`
}

/** Exactly `columns` wide: cut or filled with spaces. */
export function fit(text: string, columns: number, right = false): string {
  const short = cut(text, columns)
  const space = ' '.repeat(Math.max(0, columns - width(short)))
  return right ? space + short : short + space
}

function take(text: string, columns: number): string {
  let end = 0
  let left = columns
  for (const char of text) {
    left -= widthOf(char)
    if (left < 0) break
    end += char.length
  }
  return text.slice(0, end)
}

function widthOf(char: string): number {
  if (ZERO_WIDTH.test(char)) return 0
  return eastAsianWidth(char.codePointAt(0)!)
}

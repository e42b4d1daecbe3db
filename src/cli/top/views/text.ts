/** How names, places and numbers are written. */
import type { Style } from '../../terminal/paint.js'
import { plain } from '../../terminal/plain.js'
import type { Place } from '../model/places.js'

/** `12.3%` of one thread's time; 5 columns up to 999%. */
export function share(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return '0%'
  const value = (100 * part) / whole
  return value < 0.05 ? '<0.1%' : value < 99.95 ? `${value.toFixed(1)}%` : `${value.toFixed(0)}%`
}

export function placeName({ name }: Place): string {
  return plain(name)
}

/** `json/encoder.py:12`, or the module of a native frame. `whole`: the path as it is. */
export function placeWhere({ kind, file, line }: Place, whole = false): string {
  if (kind === 'native' || kind === 'kernel') return plain(moduleName(file))
  if (file === '') return ''
  return `${whole ? plain(file) : shortPath(plain(file))}${line > 0 ? `:${line}` : ''}`
}

export function placeStyle({ kind }: Place): Style | undefined {
  if (kind === 'native') return 'native'
  if (kind === 'kernel') return 'kernel'
  return kind === 'missing' ? 'dim' : undefined
}

/** Libraries by what they are imported as: where they are installed is the same for all of them. */
export function shortPath(path: string): string {
  const match =
    /^.*\/(?:site-packages|dist-packages|python3\.\d+)\/(?!site-packages|dist-packages)(.+)$/.exec(path)
  return match?.[1] ?? path
}

/** Where the interpreter lies matters less than what it runs. */
export function shortCommand(command: string): string {
  return command.replace(/^\/\S*\/(?=[^/\s])/, '')
}

function moduleName(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1)
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** `portion` (0 to 1) of `columns`; of nothing, none. */
export function bar(portion: number, columns: number): string {
  const eighths = Math.round(Math.min(Math.max(portion || 0, 0), 1) * columns * 8)
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]!
}

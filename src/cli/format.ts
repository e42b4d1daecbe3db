/** Which format a result has, and what its file is called. */
import type { Format } from '../formats/index.js'

export const EXTENSIONS: Record<Format, string> = {
  collapsed: '.collapsed',
  speedscope: '.speedscope.json',
  pprof: '.pb.gz',
}

/** By the end of the file's name; `undefined` when it tells none. */
export function formatOfPath(path: string): Format | undefined {
  if (/\.(collapsed|folded|txt)$/.test(path)) return 'collapsed'
  if (/\.json$/.test(path)) return 'speedscope'
  if (/\.(pb\.gz|pprof)$/.test(path)) return 'pprof'
  return undefined
}

/** `pyprof-NAME-20261123-154500.pb.gz`, local time */
export function fileName(name: string, format: Format, date: Date): string {
  const pad = (n: number) => String(n).padStart(2, '0')
  const day = `${date.getFullYear()}${pad(date.getMonth() + 1)}${pad(date.getDate())}`
  const time = `${pad(date.getHours())}${pad(date.getMinutes())}${pad(date.getSeconds())}`
  return `pyprof-${name}-${day}-${time}${EXTENSIONS[format]}`
}

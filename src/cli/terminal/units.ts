/** Numbers as people read them. */

/** `0.5s`, `12s`, `3m05s`, `2h03m`, `5d04h` */
export function time(ns: number): string {
  const s = ns / 1e9
  if (s < 9.95) return `${s.toFixed(1)}s`
  const whole = Math.round(s)
  if (whole < 60) return `${whole}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m${pad(whole % 60)}s`
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${pad(Math.floor(whole / 60) % 60)}m`
  return `${Math.floor(whole / 86_400)}d${pad(Math.floor(whole / 3600) % 24)}h`
}

/** `0`, `0.03%`, `12.3%` */
export function percent(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0%'
  const value = (100 * part) / whole
  return value < 0.01 ? '<0.01%' : `${value.toFixed(value < 1 ? 2 : 1)}%`
}

/** `12,345` */
export function count(n: number): string {
  return n.toLocaleString('en-US')
}

function pad(n: number): string {
  return String(n).padStart(2, '0')
}

/** Self and total time by function. */
import { frameFile, frameName, weightColumn } from './formats/frames.js'
import type { RawProfile } from './raw.js'
import type { Mode } from './types.js'

/** A function and its time in ns: CPU time in mode `cpu`, elapsed time otherwise, added up over all threads. */
export interface HotFunction {
  name: string
  file: string
  firstLine: number | null
  /** Time in which it was the innermost Python function. */
  selfNs: number
  /** Time in which it was anywhere on the stack. */
  totalNs: number
  /** `selfNs` as a share of everything recorded, 0 to 1. */
  selfShare: number
  /** `totalNs` as a share of everything recorded, 0 to 1. */
  totalShare: number
  /** With `offcpu`: part of `totalNs` in which the thread was blocked. */
  blockedNs?: number
  /** With `offcpu`: how often it was blocked in that. */
  waits?: number
}

export function hottest(raw: RawProfile, mode: Mode, limit: number): HotFunction[] {
  const { frames, stacks, entries } = raw
  const weights = weightColumn(entries, mode)
  const functions = new Map<string, HotFunction>()
  const ofFrame = Array.from(frames.kind, (_, frame) => {
    const name = frameName(raw, frame)
    const file = frameFile(raw, frame)
    const firstLine = frames.firstLine[frame] || null
    const key = `${name}\0${file}\0${firstLine}`
    let fn = functions.get(key)
    if (!fn) {
      fn = { name, file, firstLine, selfNs: 0, totalNs: 0, selfShare: 0, totalShare: 0 }
      functions.set(key, fn)
    }
    return fn
  })
  const own = new Float64Array(stacks.parent.length)
  const { offcpu } = raw.stats
  const blocked = new Float64Array(offcpu ? own.length : 0)
  const waits = new Float64Array(blocked.length)
  let all = 0
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!
    all += weight
    own[entries.stack[i]!]! += weight
    if (!offcpu) continue
    blocked[entries.stack[i]!]! += entries.blockedNs[i]!
    waits[entries.stack[i]!]! += entries.waits[i]!
  }
  for (let stack = 1; stack < own.length; stack++) {
    const weight = own[stack]!
    if (weight === 0 && !waits[stack]) continue
    ofFrame[stacks.frame[stack]!]!.selfNs += weight
    const seen = new Set<HotFunction>()
    for (let at = stack; at !== 0; at = stacks.parent[at]!) {
      const fn = ofFrame[stacks.frame[at]!]!
      // Recursion: a function counts once for each stack.
      if (seen.has(fn)) continue
      seen.add(fn)
      fn.totalNs += weight
      if (!offcpu) continue
      fn.blockedNs = (fn.blockedNs ?? 0) + blocked[stack]!
      fn.waits = (fn.waits ?? 0) + waits[stack]!
    }
  }
  const result = [...functions.values()].sort((a, b) => b.selfNs - a.selfNs).slice(0, limit)
  for (const fn of result) {
    fn.selfShare = all && fn.selfNs / all
    fn.totalShare = all && fn.totalNs / all
  }
  return result
}

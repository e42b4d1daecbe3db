/** What a profile says, ranked and small enough to be read in one go: by a person, a script or an agent. */
import { frameShown, framesOf, frameText, isMissing, NO_PYTHON, weightColumn } from './formats/frames.js'
import { type HotFunction, hottest } from './hottest.js'
import type { RawProfile } from './raw.js'
import type { EndReason, Mode, ProfiledThread, ProgramExit, RecordingStats } from './types.js'

/** A line and the time in which it was the innermost one. */
export interface HotLine {
  name: string
  file: string
  line: number | null
  selfNs: number
  selfShare: number
}

/** A stack and the time in which it was the whole stack; lines of one function are taken together. */
export interface HotStack {
  /** `name (file:first line)`, root first. In a deep one the middle is left out: `… 12 frames …` */
  frames: string[]
  ns: number
  share: number
  /** With `offcpu`: part of `ns` in which the thread was blocked, and how often it was. */
  blockedNs?: number
  waits?: number
}

/** A thread and its time. */
export interface HotThread {
  name: string
  pid: number
  tid: number
  ns: number
  share: number
}

/** A thread and the GIL: elapsed time, whether the thread's samples were kept or not. */
export interface GilUse {
  name: string
  pid: number
  tid: number
  /** It held the GIL. */
  heldNs: number
  /** It waited for the GIL. */
  waitedNs: number
}

/** What `Profile.summary()` gives and `record --json-summary` prints. Shares are 0 to 1 of `totalNs`. */
export interface ProfileSummary {
  /** Version of this shape. Fields may be added within a version, never changed or taken away. */
  schemaVersion: 1
  pid: number
  pythonVersion: string
  /** Arguments of the process. */
  command: string[]
  /** Which time counts: CPU time in mode `cpu`, elapsed time otherwise. */
  mode: Mode
  /** Samples a second, asked for and reached. */
  rate: number
  rateReached: number
  /** Why it ended; `null` when it goes on. */
  endReason: EndReason | null
  exit: ProgramExit | null
  stats: RecordingStats
  /** All time recorded, added up over threads. */
  totalNs: number
  /** Share of `totalNs` in stacks that had to be cut: that time is known to a caller only. */
  cutShare: number
  threads: HotThread[]
  /** Who held the GIL and who waited for it, most first; threads that did neither are left out. */
  gil: GilUse[]
  functions: HotFunction[]
  lines: HotLine[]
  stacks: HotStack[]
}

/** How many rows each ranking has at most. */
export interface SummaryLimits {
  /** Default: 20. */
  functions?: number
  /** Default: 20. */
  lines?: number
  /** Default: 10. */
  stacks?: number
  /** Default: 10. */
  threads?: number
}

/** Of a deeper stack the middle is left out. */
const MAX_FRAMES = 40

type Rankings = Pick<
  ProfileSummary,
  'totalNs' | 'cutShare' | 'threads' | 'gil' | 'functions' | 'lines' | 'stacks'
>

export function rank(raw: RawProfile, mode: Mode, limits: SummaryLimits): Rankings {
  const weights = weightColumn(raw.entries, mode)
  const totalNs = weights.reduce((sum, weight) => sum + weight, 0)
  const share = (ns: number) => totalNs && ns / totalNs
  const threads = new Map<number, number>()
  const lines = new Map<string, HotLine>()
  const stacks = new Map<string, HotStack>()
  let cut = 0
  for (let i = 0; i < weights.length; i++) {
    const ns = weights[i]!
    const thread = raw.entries.thread[i]!
    threads.set(thread, (threads.get(thread) ?? 0) + ns)
    const frames = framesOf(raw, raw.entries.stack[i]!)
    const leaf = frames.at(-1)
    if (leaf !== undefined) {
      if (isMissing(raw, leaf)) cut += ns
      const at = lineOf(raw, leaf)
      const key = `${at.name}\0${at.file}\0${at.line}`
      const line = lines.get(key) ?? at
      line.selfNs += ns
      lines.set(key, line)
    }
    const texts =
      frames.length === 0 ? [NO_PYTHON] : frames.map((frame) => frameText(frameShown(raw, frame, false)))
    const key = texts.join('\0')
    const stack = stacks.get(key) ?? { frames: shorten(texts), ns: 0, share: 0 }
    stack.ns += ns
    if (raw.stats.offcpu) {
      stack.blockedNs = (stack.blockedNs ?? 0) + raw.entries.blockedNs[i]!
      stack.waits = (stack.waits ?? 0) + raw.entries.waits[i]!
    }
    stacks.set(key, stack)
  }
  return {
    totalNs,
    cutShare: share(cut),
    threads: top(
      [...threads].map(([index, ns]) => ({ index, ns })),
      ({ ns }) => ns,
      limits.threads ?? 10,
    ).map(({ index, ns }) => {
      const { name, pid, tid } = raw.threads[index]!
      return { name, pid, tid, ns, share: share(ns) }
    }),
    gil: gilUse(raw.threads).slice(0, limits.threads ?? 10),
    functions: hottest(raw, mode, limits.functions ?? 20),
    lines: top(lines.values(), ({ selfNs }) => selfNs, limits.lines ?? 20).map((line) => ({
      ...line,
      selfShare: share(line.selfNs),
    })),
    stacks: top(stacks.values(), ({ ns }) => ns, limits.stacks ?? 10).map((stack) => ({
      ...stack,
      share: share(stack.ns),
    })),
  }
}

/** Who had to do with the GIL, by the time they did. */
export function gilUse(threads: readonly ProfiledThread[]): GilUse[] {
  return threads
    .filter(({ gilHeldNs, gilWaitedNs }) => gilHeldNs + gilWaitedNs > 0)
    .map(({ name, pid, tid, gilHeldNs, gilWaitedNs }) => ({
      name,
      pid,
      tid,
      heldNs: gilHeldNs,
      waitedNs: gilWaitedNs,
    }))
    .sort((a, b) => b.heldNs + b.waitedNs - (a.heldNs + a.waitedNs))
}

function top<T>(rows: Iterable<T>, weight: (row: T) => number, limit: number): T[] {
  return [...rows].sort((a, b) => weight(b) - weight(a)).slice(0, limit)
}

function lineOf(raw: RawProfile, frame: number): HotLine {
  const { name, file, line } = frameShown(raw, frame, true)
  return { name, file, line: line || null, selfNs: 0, selfShare: 0 }
}

function shorten(frames: string[]): string[] {
  if (frames.length <= MAX_FRAMES) return frames
  const half = MAX_FRAMES / 2
  const middle = `… ${frames.length - MAX_FRAMES} frames …`
  return [...frames.slice(0, half), middle, ...frames.slice(-half)]
}

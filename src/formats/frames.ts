/** What all formats say in the same way: names of frames and threads, and which weight counts. */
import type { RawEntries, RawProcessSeen, RawProfile } from '../raw.js'
import type { Mode, ProfiledThread } from '../types.js'

/** Leaf of a stack that was cut: what ran below could not be proven. */
export const MISSING = '[missing: stack cut]'

/** Stands for a thread that ran no Python code. */
export const NO_PYTHON = '[no Python frames]'

/** `FrameKind::Missing` of the core */
const KIND_MISSING = 1

export function isMissing(raw: RawProfile, frame: number): boolean {
  return raw.frames.kind[frame] === KIND_MISSING
}

export function frameName(raw: RawProfile, frame: number): string {
  return isMissing(raw, frame) ? MISSING : raw.strings[raw.frames.name[frame]!]!
}

/** The file that names a frame: its source, or the binary that holds it; empty when neither is known. */
export function frameFile(raw: RawProfile, frame: number): string {
  return raw.strings[raw.frames.file[frame]!]! || frameModule(raw, frame)
}

/** The binary of a native frame, the kernel module of a kernel frame; else empty. */
export function frameModule(raw: RawProfile, frame: number): string {
  return raw.strings[raw.frames.module[frame]!]!
}

export interface ShownFrame {
  name: string
  file: string
  line: number
}

/**
 * What a text shows of a frame: its name, the file that names it, and where it is: the line of its function, or with
 * `lines` the one it was at. An empty file and line 0 are unknown; of what is missing nothing is known.
 */
export function frameShown(raw: RawProfile, frame: number, lines: boolean): ShownFrame {
  const name = frameName(raw, frame)
  if (isMissing(raw, frame)) return { name, file: '', line: 0 }
  const line = (lines ? raw.frames.line : raw.frames.firstLine)[frame]!
  return { name, file: frameFile(raw, frame), line }
}

/** `name (file:line)`, as far as they are known. */
export function frameText({ name, file, line }: ShownFrame): string {
  if (file === '') return name
  return `${name} (${file}${line ? `:${line}` : ''})`
}

export function threadName({ name, tid }: ProfiledThread): string {
  return `thread ${name} (${tid || 'id unknown'})`
}

/** Longer command lines are cut: they name a process, they do not document it. */
const MAX_COMMAND = 80

export function processName({ command, pid }: RawProcessSeen): string {
  const [program = '', ...args] = command
  const text = [program.slice(program.lastIndexOf('/') + 1), ...args].join(' ')
  return `process ${text.length > MAX_COMMAND ? `${text.slice(0, MAX_COMMAND)}…` : text} (${pid || 'ended'})`
}

/** Frames of a stack, root first. */
export function framesOf(raw: RawProfile, stack: number): number[] {
  const frames: number[] = []
  for (let at = stack; at !== 0; at = raw.stacks.parent[at]!) frames.push(raw.stacks.frame[at]!)
  return frames.reverse()
}

/** The time that counts in a mode, in ns. */
export function weightColumn(entries: RawEntries, mode: Mode): Float64Array {
  return mode === 'cpu' ? entries.cpuNs : entries.wallNs
}

/**
 * Collapsed stacks, one a line: `root;caller;leaf WEIGHT`, for flamegraph.pl, inferno and speedscope.
 *
 * A frame is `name (file:line)`; where children were followed the process comes first. The weight is a whole number of
 * microseconds of the mode's time; what rounds to none is left out. The format has no quoting of its own, so `;`, a
 * backslash and control characters inside a name are written as backslash escapes.
 */
import type { RawProfile } from '../raw.js'
import {
  frameShown,
  framesOf,
  frameText,
  NO_PYTHON,
  processName,
  threadName,
  weightColumn,
} from './frames.js'
import type { Described, FormatOptions } from './input.js'

export function collapsed(raw: RawProfile, about: Described, options: FormatOptions): string {
  const { threads = false, lines = false } = options
  const texts = Array.from(raw.frames.kind, (_, frame) => {
    const { name, file, line } = frameShown(raw, frame, lines)
    return frameText({ name: escapeFrame(name), file: escapeFrame(file), line })
  })
  const threadTexts = raw.threads.map((thread) => escapeFrame(threadName(thread)))
  const processTexts = raw.processes.map((process) => escapeFrame(processName(process)))
  const weights = weightColumn(raw.entries, about.mode)
  // Different lines of one function make different stacks of the same text: their weights belong together.
  const sums = new Map<string, number>()
  for (let i = 0; i < weights.length; i++) {
    const frames = framesOf(raw, raw.entries.stack[i]!).map((frame) => texts[frame]!)
    if (frames.length === 0) frames.push(NO_PYTHON)
    const thread = raw.entries.thread[i]!
    if (threads) frames.unshift(threadTexts[thread]!)
    if (about.subprocesses) frames.unshift(processTexts[raw.threads[thread]!.process]!)
    const text = frames.join(';')
    sums.set(text, (sums.get(text) ?? 0) + weights[i]!)
  }
  let out = ''
  for (const [text, ns] of sums) {
    const us = Math.round(ns / 1e3)
    if (us > 0) out += `${text} ${us}\n`
  }
  return out
}

/** Takes the meaning from characters that end a frame or a line. */
export function escapeFrame(text: string): string {
  return text.replace(/[;\\\x00-\x1f\x7f]/g, (char) => {
    if (char === '\\') return '\\\\'
    if (char === '\n') return '\\n'
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

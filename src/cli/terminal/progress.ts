/** One line on standard error that is written over while a recording runs. Only on a terminal. */
import type { RecordingStats } from '../../types.js'
import { count, percent, time } from './units.js'

export class Progress {
  #shown = false
  #timer: NodeJS.Timeout | undefined

  start(stats: () => RecordingStats, rate: number): void {
    if (!process.stderr.isTTY) return
    this.#timer = setInterval(() => this.#show(progressText(stats(), rate)), 250)
    this.#timer.unref()
  }

  end(): void {
    clearInterval(this.#timer)
    if (this.#shown) process.stderr.write('\r\x1b[K')
    this.#shown = false
  }

  #show(text: string): void {
    const width = process.stderr.columns || 80
    process.stderr.write(`\r${text.slice(0, width - 1)}\x1b[K`)
    this.#shown = true
  }
}

export function progressText(stats: RecordingStats, rate: number): string {
  const reached = stats.elapsedNs > 0 ? stats.rounds / (stats.elapsedNs / 1e9) : 0
  return [
    time(stats.elapsedNs),
    `${count(stats.samples)} samples`,
    `${reached.toFixed(0)}/${rate} Hz`,
    `cut ${percent(stats.cut, stats.samples)}`,
    `failed ${percent(stats.failed, stats.rounds)}`,
    `own CPU ${percent(stats.cpuNs, stats.elapsedNs)}`,
  ].join('  ')
}
